/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the ScaledObject controller share: scaledobject.c reconciles, so_scaler.c keeps
 * triggers and timers, so_fetch.c asks the triggers, evaluate.c decides, so_status.c tells,
 * so_target.c knows what is scaled. */
#ifndef FB_CONTROLLERS_SO_INT_H
#define FB_CONTROLLERS_SO_INT_H

#include "autoscale/formula.h"
#include "autoscale/keda_hpa.h"
#include "base/table.h"
#include "controllers/child.h"
#include "controllers/hpa_run.h"
#include "controllers/scaledobject.h"
#include "controllers/status_writer.h"

#define SO_COMPONENT "keda-operator"
#define SO_FINALIZER "finalizer.keda.sh"
#define SO_NAME_LABEL "scaledobject.keda.sh/name"

/* What a trigger gave, without the texts that it has itself (decision.h). */
struct so_seen {
    bool is_asked; /* false: never yet */
    bool is_average;
    enum metric_state state;
    double value;
    int64_t at_ms;
    char *why; /* NULL: none */
};

/* One trigger between looks. */
struct so_trigger {
    struct trigger *t;
    char *name;          /* spec.triggers[].name; NULL: it has none */
    bool is_more;        /* a further metric of the trigger before it, which owns it */
    bool is_cached;      /* useCachedMetrics: one fetch per pollingInterval */
    int64_t next_ms;     /* mono: the cached fetch holds until then; 0: there is none */
    struct so_seen seen; /* of the last fetch */
    struct keda_fallen fallen;
    uint64_t errors;    /* that counted */
    int64_t counted_ms; /* mono: the last failure that counted; 0: none since it worked */
    /* A source that comes back is believed after one full round more. */
    bool has_failed, is_back;
    int64_t back_ms; /* mono: of its first answer */
};

/* What is known of one ScaledObject between rounds. */
struct scaler {
    struct scaledobject_controller *c;
    char *uid, *ns, *name, *target;
    int64_t generation; /* that triggers and spec are of; -1: none yet */
    bool is_running;    /* the scale loop */
    struct so_trigger *triggers;
    size_t n;
    struct keda_spec spec;   /* of that generation too */
    struct arena texts;      /* of it */
    struct formula *formula; /* NULL: no modifiers */
    json_t *health;          /* status.health, the newest; NULL: there is no fallback */
    int64_t last_active_ms;  /* wall, as in the status; -1: never */
    int64_t active_ms;       /* mono: of the same; a cooldown is a distance */
    bool in_fallback;        /* condition Fallback is True */
    /* The object as it was last seen (own reference), and what every look reads of it. */
    const struct object *seen;
    struct keda_pauses pauses;
    char *target_kind, *hpa_name;
    uint64_t errors;    /* a trigger or the formula could not be made */
    struct hpa_run run; /* of the HPA */
    struct status_writer status;
    uint64_t told;                    /* hash of what the written status says */
    int64_t status_ms;                /* mono: of the last status write for numbers alone */
    enum keda_act act;                /* that the scale write under way is of */
    char *active;                     /* names of what is active, for its event */
    struct loop_timer tick;           /* what no round brings */
    struct loop_timer answer;         /* answers of several triggers are one look */
    int64_t round_ms;                 /* mono: of the last round; 0: none yet */
    double late_s;                    /* the last look of its loop, after it was due */
    struct loop_timer poll, sync;     /* upstream timing: KEDA's loop, the HPA's */
    bool is_complete;                 /* the round: every target answered */
    char *last_warning, *unknown_why; /* NULL: none */
};

struct scaledobject_controller {
    struct scaledobject_deps d;
    struct reconciler *r;
    struct table scalers; /* uid -> struct scaler */
};

struct cluster *so_cluster(const struct scaledobject_controller *c);
int64_t so_mono_ms(const struct scaler *s);

/* --- so_scaler.c --- */

struct scaler *so_scaler_of(struct scaledobject_controller *c, const struct object *o,
                            const json_t *so);
void so_scaler_free(struct scaler *s);
/* Triggers and formula of the object's generation; those there are stay when one cannot be made. */
bool so_scaler_build(struct scaler *s, const struct object *o, const json_t *so, struct err *err);
/* Takes in the metrics that triggers have beside their first (external scalers). */
void so_scaler_expand(struct scaler *s);
/* *kept, for free(), becomes the text; NULL where there is none. */
void so_keep_text(char **kept, struct str now);
/* Takes in what looks need of the object: pauses, target_kind, hpa_name. */
void so_scaler_see(struct scaler *s, const struct object *o);
/* It is active now, at now_ms of the wall clock. */
void so_scaler_touch(struct scaler *s, int64_t now_ms);
/* Begin and end of the loop, with their events. */
void so_scaler_start(struct scaler *s, const struct object *o);
void so_scaler_stop(struct scaler *s, const struct object *o);
/* What is counted and kept as one poll: pollingInterval, or def_ms without one. */
int64_t so_period_ms(const struct scaler *s, int64_t def_ms);

/* --- so_target.c --- */

struct so_target {
    const struct kind *kind;
    const struct object *o;
    int64_t replicas;
};
/* What scaleTargetRef names; ERR_NOT_FOUND: it is not there; ERR_INVALID: it cannot be scaled. */
int so_target_find(struct cluster *c, const json_t *so, struct str ns, struct so_target *ret,
                   struct err *err);
/* Writes the count past all decisions: a pause, a restoration. */
void so_target_scale(struct cluster *c, const struct so_target *t, int64_t replicas);

/* --- so_fetch.c --- */

/* One look at all triggers. */
struct so_look {
    struct keda_trigger *triggers; /* parallel to the scaler's */
    struct keda_state state;
    struct keda_verdict verdict;
    bool has_composite, is_held; /* is_held: some value may not lower the count */
    int64_t composite_milli;
    struct buf warnings;
    const char *why; /* of the first failure; NULL: none */
    enum keda_fallback_change fallback;
};
/* What it gave last, whole. */
void so_seen_metric(const struct so_trigger *t, struct decision_metric *ret);
/* Fetches, falls back, aggregates, and fills the look's External metrics. */
void so_fetch(struct scaler *s, struct hpa_look *l, struct so_look *x);

/* --- evaluate.c --- */

enum so_what { SO_BOTH, SO_POLL, SO_SYNC }; /* upstream these are two loops */
void so_evaluate(struct scaler *s, int64_t now_ms, enum so_what what);
/* The decision's scale was written, or not: hpa_run's hook. */
void so_scaled(void *arg, const struct decision *d, const char *error);

/* --- so_status.c --- */

/* conditions[c], in a status tree. */
void so_set_condition(json_t *status, const char *type, const struct keda_condition *c);
const char *so_condition(const json_t *status, const char *type, const char *member);
/* A copy of the newest status with all four conditions there. */
json_t *so_status_begin(struct scaler *s, const struct object *o);
void so_status_tell(struct scaler *s, const struct object *o, struct hpa_look *l,
                    const struct so_look *x);

#endif
