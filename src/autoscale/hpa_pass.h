/* SPDX-License-Identifier: Apache-2.0
 *
 * One pass of the HPA (hpa.md 9, 10, 14): what was seen -> a decision with its conditions and
 * events. Pure but for the memory it is given, which belongs to one HPA. A decision to rescale is
 * written by the caller, who then tells the outcome with hpa_pass_written. */
#ifndef FB_AUTOSCALE_HPA_PASS_H
#define FB_AUTOSCALE_HPA_PASS_H

#include "autoscale/decision.h"
#include "autoscale/hpa.h"

struct hpa_config {
    double tolerance;                                          /* both ways, without behavior's */
    int64_t downscale_window_ms;                               /* without behavior's */
    int64_t cpu_initialization_ms, initial_readiness_delay_ms; /* hpa.md 5 */
    bool configurable_tolerance, scale_to_zero;                /* gates */
    /* The classic limit "at most twice the size" is meant per sync of 15 s. Who decides more often
     * gives that period, and the limit counts from the size at its start; 0: every pass is one. */
    int64_t classic_period_s;
    bool coalesces; /* histories forget what no window can tell apart (hpa.h) */
};
extern const struct hpa_config HPA_CONFIG_DEFAULT;

/* One element of spec.metrics and what was seen of it. */
struct hpa_input {
    struct hpa_metric metric;
    bool is_unknown_type;
    const char *name;                 /* "cpu", "qps": of the metric */
    const char *text;                 /* "external metric qps(nil)": of the metric in reasons */
    const char *error;                /* why there is no value, or NULL */
    bool may_not_lower;               /* the value counts, but not for fewer replicas */
    int64_t at_ms;                    /* of the oldest sample; 0: not known */
    const struct hpa_sample *samples; /* per pod */
    size_t n_samples;
    const struct hpa_pod *pods; /* the scene's, read for this resource; NULL: the scene's */
    const int64_t *values;
    size_t n_values;
    const struct decision_metric *seen; /* of a trigger: goes into the decision; may be NULL */
    const json_t *json;                 /* the element itself, borrowed; may be NULL */
};

struct hpa_spec {
    int64_t min, max;
    bool has_behavior;
    struct hpa_rules up, down;
    struct hpa_input *metrics;
    size_t n;
};

/* spec: of an HPA object; texts and lists are copied into the arena, only `json` is borrowed. */
void hpa_spec_read(const json_t *spec, struct arena *a, struct hpa_spec *ret);
/* A pod for the metric's resource; texts are borrowed from the tree. */
void hpa_pod_read(const json_t *pod, struct str resource, struct arena *a, struct hpa_pod *ret);

struct hpa_scene {
    int64_t now_ms;  /* wall: of samples, pods and conditions */
    int64_t mono_ms; /* of windows and rates, which a wall clock that jumps must not end */
    /* Samples of several pods are never of one instant: a request that moves from one to another
     * in between counts twice, and with an up-window of 0 one such look would add a pod for five
     * minutes. Who can look again at once says so; a look that would grow then only asks for
     * another (decision.looks_again), and the lower of the two proposals counts. */
    bool may_look_again;
    int64_t settle_ms;       /* hpa_metric.h */
    const char *scale_error; /* the target could not be read; nothing below counts then */
    int64_t current, status_replicas;
    /* NULL, or "SelectorRequired", "InvalidSelector", "AmbiguousSelector", with the text */
    const char *selector_reason, *selector_error;
    const struct hpa_pod *pods; /* of the target's selector */
    size_t n_pods;
    bool was_scaled_to_zero; /* condition ScaledToZero is True */
};

struct hpa_memory {
    struct hpa_history recommendations, ups, downs;
    int64_t first_look; /* proposal that waits for a second look; 0: none */
    bool has_started;
};
void hpa_memory_done(struct hpa_memory *m);

/* A decision that says what was seen, and to stay: how each pass begins. ret: zeroed. */
void hpa_pass_begin(const struct hpa_spec *spec, const struct hpa_scene *scene,
                    struct decision *ret);
void hpa_pass(const struct hpa_config *c, const struct hpa_spec *spec,
              const struct hpa_scene *scene, struct hpa_memory *memory, struct decision *ret);
/* After the write that d->is_rescale asked for; error NULL: it succeeded. */
void hpa_pass_written(const struct hpa_config *c, const struct hpa_spec *spec,
                      struct hpa_memory *memory, struct decision *d, const char *error);

#endif
