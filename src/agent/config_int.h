/* SPDX-License-Identifier: Apache-2.0
 *
 * How the parts of the configuration are read: a table of keys per map, one reader per type of
 * value. A reader that finds a fault notes it and goes on. */
#ifndef FB_AGENT_CONFIG_INT_H
#define FB_AGENT_CONFIG_INT_H

#include "agent/config.h"

struct conf {
    struct agent_config *c;
    struct buf *problems;
    size_t n_problems;
    node_getenv *env;
    /* global of the receiver at hand */
    int64_t global_interval_ms, global_timeout_ms;
};

typedef void conf_reader(struct conf *f, const struct node *n, const char *path, void *out);

struct conf_key {
    const char *name;
    conf_reader *read; /* NULL: taken, and without effect here */
    size_t at;         /* offset of what it sets */
};

__attribute__((format(printf, 4, 5))) void conf_problem(struct conf *f, const struct node *n,
                                                        const char *path, const char *fmt, ...);
/* "PATH.KEY"; in the arena. */
const char *conf_path(struct conf *f, const char *path, struct str key);
const char *conf_path_at(struct conf *f, const char *path, size_t i);
/* Each member by its key; what is not in the table is refused. False: not a map. */
bool conf_map(struct conf *f, const struct node *n, const char *path, const struct conf_key *keys,
              size_t n_keys, void *out);
/* False: not a list (noted; nothing at all is an empty list). */
bool conf_is_list(struct conf *f, const struct node *n, const char *path);

conf_reader conf_text;     /* struct str */
conf_reader conf_cstr;     /* const char * */
conf_reader conf_bool;     /* bool */
conf_reader conf_duration; /* int64_t, ms */
conf_reader conf_count;    /* int64_t, not negative */
conf_reader conf_number;   /* double */
conf_reader conf_tls;      /* struct agent_tls */
/* A list of texts. */
struct str *conf_texts(struct conf *f, const struct node *n, const char *path, size_t *ret_n);

/* The components: a node under receivers, processors or exporters. */
void conf_prometheus(struct conf *f, const struct node *n, const char *path);
void conf_processor(struct conf *f, const struct node *n, const char *path, struct str type);
void conf_exporter(struct conf *f, const struct node *n, const char *path, struct str type);
struct agent_step *conf_add_step(struct conf *f, enum agent_step_kind kind);

#endif
