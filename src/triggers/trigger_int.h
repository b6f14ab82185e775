/* SPDX-License-Identifier: Apache-2.0
 *
 * What a type of trigger is made of. */
#ifndef FB_TRIGGERS_TRIGGER_INT_H
#define FB_TRIGGERS_TRIGGER_INT_H

#include "triggers/trigger.h"

struct trigger_type {
    const char *name;
    size_t size;      /* of its struct, whose first member is struct trigger */
    bool is_external; /* its metric in the HPA is External */
    /* Fills query, threshold and its own fields from the metadata. */
    int (*parse)(struct trigger *t, const json_t *meta, struct err *err);
    void (*start)(struct trigger *t); /* after parse; may be NULL */
    void (*done)(struct trigger *t);  /* may be NULL */
    void (*value)(struct trigger *t, int64_t now_ms, const struct trigger_target *target,
                  struct decision_metric *ret, char *warning, size_t cap);
    bool (*is_waiting)(const struct trigger *t);     /* NULL: never */
    bool (*is_builtin)(const struct trigger *t);     /* NULL: never */
    json_t *(*metric_spec)(const struct trigger *t); /* NULL: External, as all others */
};

struct trigger {
    const struct trigger_type *type;
    const struct trigger_world *w;
    char *ns, *name, *query, *metric_type; /* metric_type: "" if not given */
    int index;
    int64_t poll_ms;
    double threshold, activation;
    bool is_average;
    void (*changed)(void *arg);
    void *changed_arg;
};

extern const struct trigger_type trigger_prometheus, trigger_cron, trigger_workload, trigger_cpu,
    trigger_memory;

/* The value of a metric is not known, and why. */
void trigger_unknown(struct decision_metric *m, const char *why);

/* --- metadata: trimmed, empty counts as absent; all errors of one trigger are told together, so
 * none of these stops at what an earlier call put into err, which is never NULL (keda.md 5) --- */

/* Adds "...; TEXT" to err; returns ERR_INVALID. */
__attribute__((format(printf, 3, 4))) int meta_wrong(const struct trigger *t, struct err *err,
                                                     const char *fmt, ...);

char *meta_text(const json_t *meta, const char *key); /* for free(); NULL: absent */
int meta_required(const struct trigger *t, const json_t *meta, const char *key, char **ret,
                  struct err *err);
int meta_number(const struct trigger *t, const json_t *meta, const char *key, bool is_required,
                double def, double *ret, struct err *err);
int meta_flag(const struct trigger *t, const json_t *meta, const char *key, bool def, bool *ret,
              struct err *err);
/* Go's "1m30s", or integer milliseconds; 0 and absent: def. */
int meta_duration(const struct trigger *t, const json_t *meta, const char *key, int64_t def_ms,
                  int64_t *ret_ms, struct err *err);
/* threshold > 0, into t->threshold */
int meta_threshold(struct trigger *t, const json_t *meta, const char *key, struct err *err);

#endif
