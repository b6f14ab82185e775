/* SPDX-License-Identifier: Apache-2.0
 *
 * What a type of trigger is made of. docs/adding-a-trigger.md shows how to add one. */
#ifndef FB_TRIGGERS_TRIGGER_INT_H
#define FB_TRIGGERS_TRIGGER_INT_H

#include "triggers/trigger.h"

struct trigger_type {
    const char *name;
    const char *scaler; /* what KEDA's metrics call it: "prometheusScaler" */
    size_t size;        /* of its struct, whose first member is struct trigger */
    bool is_external;   /* its metric in the HPA is External */
    /* The name of its metric behind "s<index>-", before unfit characters become "-"; NULL: the
     * type's own name. */
    void (*metric_name)(struct buf *out, const json_t *meta, struct str ns);
    /* The metadata it reads, ends with NULL; NULL: takes any. */
    const char *const *keys;
    /* Fills query, threshold and its own fields from the metadata and trigger_param. Its own fields
     * are zero at first. parse, start, done and again parse may follow each other: what
     * authentication gives has changed. meta is borrowed for the call. */
    int (*parse)(struct trigger *t, const json_t *meta, struct err *err);
    void (*start)(struct trigger *t); /* after parse; may be NULL */
    void (*done)(struct trigger *t);  /* also after half a parse; may be NULL */
    void (*value)(struct trigger *t, int64_t now_ms, const struct trigger_target *target,
                  struct decision_metric *ret, char *warning, size_t cap);
    bool (*is_waiting)(const struct trigger *t);     /* NULL: never */
    bool (*is_builtin)(const struct trigger *t);     /* NULL: never */
    json_t *(*metric_spec)(const struct trigger *t); /* NULL: External, as all others */
    bool is_polled; /* asks over HTTP: its struct begins with a struct polled (poll.h) */
    /* Seconds that its last answer took, negative: there is none yet. NULL: its value is found in
     * place, or it is polled. */
    double (*latency)(const struct trigger *t);
    /* NULL: active while the value is above the activation threshold. */
    bool (*is_active)(const struct trigger *t, const struct decision_metric *m);
    /* NULL: always; as trigger_has_spec. */
    bool (*has_spec)(const struct trigger *t, const char **ret_why);
};

struct trigger_source; /* trigger.c: what it is made from anew */

/* Thousands of them are kept: what few have is behind a pointer. */
struct trigger {
    const struct trigger_type *type;
    const struct trigger_world *w;
    char *ns; /* the texts behind it are in the same block (trigger_set_texts) */
    const char *so_name;
    const char *given_name;  /* spec.triggers[].name; "" if not given */
    const char *metric_type; /* "" if not given */
    char *name;              /* of its metric */
    int index;
    bool is_average, has_modifiers;
    bool is_stale; /* hub.c: something it depends on has changed */
    int64_t poll_ms;
    void (*changed)(void *arg);
    void (*respec)(void *arg);
    void *changed_arg;
    struct auth *auth;             /* NULL: none */
    struct trigger_source *source; /* NULL: nothing that may change */
    struct list hub_link;
    char *broken; /* why it cannot be made any more; NULL: it works */
    /* Its metrics beside the first: TRIGGER_METRICS_MAX - 1 places, made when needed and kept until
     * it ends. */
    struct trigger **more;
    size_t n_more; /* that count now */
    /* by parse: */
    char *query; /* what texts call it by; no secret; freed, unless done makes it NULL */
    double threshold, activation;
    /* Of those whose value is found in place: */
    int64_t took_ns;  /* the last look; 0: none yet */
    uint64_t n_empty; /* looks that found no series */
};

extern const struct trigger_type trigger_prometheus, trigger_cron, trigger_workload, trigger_cpu,
    trigger_memory, trigger_external, trigger_external_push, trigger_metrics_api, trigger_graphite;

/* NULL: there is none. */
const struct trigger_type *trigger_type_named(const char *name);
const struct trigger_type *trigger_type_at(size_t i);
/* The value of a metric is not known, and why. */
void trigger_unknown(struct decision_metric *m, const char *why);
void trigger_tell(struct trigger *t); /* calls changed */
/* Copies them into the trigger, which has none yet. */
void trigger_set_texts(struct trigger *t, struct str ns, struct str so_name, const char *given_name,
                       const char *metric_type);
/* auth_scrub with what the trigger knows. */
void trigger_scrub(const struct trigger *t, char *text);

/* --- authentication: resolved before parse, the same until done. Secrets: no text may quote one
 * --- */

/* A parameter such as "bearerToken", "caCert"; trimmed. NULL: absent or empty. */
const char *trigger_param(const struct trigger *t, const char *name);
/* A variable of the scale target's container (of spec.scaleTargetRef.envSourceContainerName, else
 * the first). Only known where some key of the metadata ends in FromEnv. NULL: absent. */
const char *trigger_env(const struct trigger *t, const char *name);

/* --- metadata: trimmed, empty counts as absent (then KEYFromEnv names a variable of the target's
 * container); all errors of one trigger are told together, so none of these stops at what an
 * earlier call put into err, which is never NULL (keda.md 5) --- */

/* Adds "...; TEXT" to err; returns ERR_INVALID. */
__attribute__((format(printf, 3, 4))) int meta_wrong(const struct trigger *t, struct err *err,
                                                     const char *fmt, ...);

/* For free(); NULL: absent. */
char *meta_text(const struct trigger *t, const json_t *meta, const char *key);
/* Whether the value is one of the environment: not to be shown. */
bool meta_is_hidden(const struct trigger *t, const json_t *meta, const char *key);
int meta_required(const struct trigger *t, const json_t *meta, const char *key, char **ret,
                  struct err *err);
int meta_number(const struct trigger *t, const json_t *meta, const char *key, bool is_required,
                double def, double *ret, struct err *err);
int meta_flag(const struct trigger *t, const json_t *meta, const char *key, bool def, bool *ret,
              struct err *err);
/* One of several words, compared exactly; *ret is its index, def where it is absent. words ends
 * with NULL. */
int meta_word(const struct trigger *t, const json_t *meta, const char *key,
              const char *const *words, int def, int *ret, struct err *err);
/* Go's "1m30s", or integer milliseconds; 0 and absent: def. */
int meta_duration(const struct trigger *t, const json_t *meta, const char *key, int64_t def_ms,
                  int64_t *ret_ms, struct err *err);
/* threshold > 0, into t->threshold; may be left out, which gives 1, only if is_optional. */
int meta_threshold(struct trigger *t, const json_t *meta, const char *key, bool is_optional,
                   struct err *err);
/* "no parameter NAME in the TriggerAuthentication", and why. */
int param_missing(const struct trigger *t, const char *name, struct err *err);

#endif
