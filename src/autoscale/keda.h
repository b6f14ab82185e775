/* SPDX-License-Identifier: Apache-2.0
 *
 * KEDA's rules for ScaledObjects (keda.md 1.3, 3, 4.1) as pure functions: what the spec and the
 * annotations mean, what a failed trigger counts, what the triggers say together, and whether the
 * target goes to or from zero. Between 1 and max the HPA decides (hpa_pass.h). Texts are borrowed
 * from what they were read from. */
#ifndef FB_AUTOSCALE_KEDA_H
#define FB_AUTOSCALE_KEDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "codec/json.h"

#define KEDA_COMPOSITE "composite-metric"

/* --- what is wanted --- */

enum keda_behavior {
    KEDA_STATIC,
    KEDA_CURRENT,
    KEDA_CURRENT_IF_HIGHER,
    KEDA_CURRENT_IF_LOWER,
    KEDA_MODIFIERS
};

struct keda_fallback {
    bool is_set;
    int64_t threshold, replicas;
    enum keda_behavior behavior;
};

struct keda_modifiers {
    bool is_used; /* any of the four fields is there */
    const char *formula, *target_text;
    double target, activation; /* target 0: not a number above 0 */
    bool is_value;             /* metricType Value */
};

struct keda_spec {
    bool has_min, has_idle;
    int64_t min, max, idle; /* defaults filled in */
    int64_t polling_s;      /* 0: not given */
    int64_t cooldown_s, initial_cooldown_s;
    bool restores;
    struct keda_fallback fallback;
    struct keda_modifiers modifiers;
};
void keda_spec_read(const json_t *spec, struct keda_spec *ret);
/* A fallback that counts: bounds hold and, with modifiers, their target is a number. */
bool keda_fallback_is_valid(const struct keda_spec *s);

struct keda_pauses {
    bool full;         /* by either annotation */
    bool has_replicas; /* paused-replicas is there */
    bool is_wrong;     /* ... and no integer */
    int64_t replicas;
    bool scale_in, scale_out;
    bool forced; /* force-activation */
};
void keda_pauses_read(const json_t *annotations, struct keda_pauses *ret);

/* --- one condition of a ScaledObject --- */

struct keda_condition {
    const char *status, *reason, *message; /* status NULL: not written */
};
extern const struct keda_condition KEDA_READY, KEDA_PAUSED, KEDA_UNPAUSED, KEDA_FALLS_BACK,
    KEDA_NO_FALLBACK, KEDA_ACTIVE, KEDA_NOT_ACTIVE;

/* HPAActive out of the HPA's condition ScalingActive (status NULL: none yet); false: leave it as it
 * is. */
bool keda_hpa_health(const char *status, const char *reason, const char *message,
                     struct keda_condition *ret);

/* --- fallback of one metric (3.6) --- */

struct keda_fetch {
    const char *metric;
    double target; /* of the trigger */
    bool is_value; /* target type Value */
    bool has_failed;
    bool is_counted; /* this failure is one more: who looks more often than it polls says no */
    int64_t current; /* replicas; -1: unreadable */
    int64_t ready;   /* ready pods of the target; -1: unreadable */
};

enum keda_fallback_change { KEDA_UNCHANGED, KEDA_TRUE, KEDA_FALSE };
struct keda_fallen {
    bool has_value;    /* value replaces the trigger's */
    bool is_active;    /* the fallback is in force, and the trigger counts as active */
    bool is_nil;       /* the formula sees nil for this trigger */
    bool is_error;     /* the failure stands */
    bool is_composite; /* value is of the composite metric */
    int64_t milli;
    enum keda_fallback_change condition;
};
/* health: status.health, changed in place. */
void keda_fall_back(const struct keda_spec *s, const struct keda_fetch *f, json_t *health,
                    struct keda_fallen *ret);
/* Entries of metrics that are no more go. names: list of texts. */
void keda_health_prune(json_t *health, const json_t *names);

/* --- all triggers together (3.2, 4.1) --- */

struct keda_trigger {
    const char *metric; /* "s0-prometheus" */
    const char *name;   /* of the trigger, "" without one */
    bool is_resource;   /* cpu, memory: the HPA looks itself */
    bool is_active;     /* above its activation threshold */
    bool has_error;     /* after fallback */
    bool in_fallback;
    bool is_nil;  /* see keda_fallen */
    double value; /* for the formula; in_fallback: milli / 1000 */
};

struct keda_state {
    bool is_active, is_error, in_fallback;
    bool is_composite; /* the composite metric is what is active */
};
/* composite: the formula's value; NULL: none. */
void keda_aggregate(const struct keda_spec *s, const struct keda_trigger *t, size_t n,
                    const double *composite, struct keda_state *ret);
/* Names of what is active, for events: an array of n + 1; returns how many. */
size_t keda_active_names(const struct keda_state *x, const struct keda_trigger *t, size_t n,
                         const char **ret);

/* Which value an external metric of the HPA has. */
enum keda_answer { KEDA_NOTHING, KEDA_TRIGGER, KEDA_FORMULA };
/* KEDA_TRIGGER: *ret_index is whose value (its fallback's, with modifiers); KEDA_NOTHING: an error.
 */
enum keda_answer keda_request(const struct keda_spec *s, const struct keda_trigger *t, size_t n,
                              const char *metric, bool has_composite, size_t *ret_index);

struct formula;
/* The composite value, cut to milli; ERR_INVALID where the formula has none. */
int keda_composite(const struct keda_spec *s, const struct formula *f, const struct keda_trigger *t,
                   size_t n, int64_t *ret_milli, struct err *err);

/* Whether what a scaler's stream says is still of the object there is: one that was made anew, or
 * has another spec, gets streams of its own. */
bool keda_stream_is_current(struct str stream_uid, int64_t stream_generation, struct str uid,
                            int64_t generation);

/* --- status.triggersActivity: name -> isActive (3.8) --- */

/* A new map of bools. push_metric: the push trigger whose message this is; "" for a poll. */
json_t *keda_activity(const json_t *external_names, const json_t *existing,
                      const char *const *active, size_t n, const char *push_metric);
/* What result changed against baseline, applied to fresh; new. */
json_t *keda_activity_merge(const json_t *baseline, const json_t *result, const json_t *fresh,
                            bool *ret_changed);

/* --- to and from zero (3.3, 3.4) --- */

struct keda_scene {
    const struct keda_spec *spec;
    const struct keda_pauses *pauses;
    int64_t now_ms, created_ms;
    int64_t last_active_ms; /* -1: never */
    bool is_unreadable;     /* the target's replicas are */
    int64_t current;
    bool is_active, is_error;
    const char *error; /* why, for texts; may be NULL */
};

enum keda_act {
    KEDA_STAY,
    KEDA_ACTIVATE,   /* from zero or idle */
    KEDA_DEACTIVATE, /* to zero or idle */
    KEDA_RAISE       /* to the minimum, without an event */
};
struct keda_verdict {
    enum keda_act act;
    int64_t to;
    bool touches;    /* lastActiveTime = now; with KEDA_ACTIVATE only once that is written */
    bool has_failed; /* the target is unreadable */
    struct keda_condition ready, active, paused;
    char text[300]; /* of a message that is made here */
};
void keda_decide(const struct keda_scene *s, struct keda_verdict *ret);
/* Why, as part of a sentence; "" for KEDA_STAY. is_forced: no trigger is active, but an annotation
 * wants it so. */
const char *keda_act_text(enum keda_act act, bool is_forced);
/* The event that tells of it; NULL: none. */
const char *keda_event_reason(enum keda_act act, bool has_failed);

#endif
