/* SPDX-License-Identifier: Apache-2.0
 *
 * One decision with everything that led to it. Event, condition, log line, metric and `flyball
 * explain` are made from this struct and from nothing else. A decision owns its memory: who keeps
 * one moves the struct, and ends it with decision_done. */
#ifndef FB_AUTOSCALE_DECISION_H
#define FB_AUTOSCALE_DECISION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "autoscale/hpa_metric.h"
#include "base/arena.h"

enum metric_state { METRIC_VALUE, METRIC_EMPTY, METRIC_UNKNOWN };

struct decision_metric {
    char name[80];   /* "s0-prometheus" */
    char query[160]; /* what was asked, cut */
    enum metric_state state;
    double value;
    int64_t at_ms; /* wall, when that was so; 0: not known */
    int64_t target_milli;
    bool is_average; /* target type AverageValue */
    int64_t proposal;
    int64_t average_milli;
    char why[240]; /* of an unknown or empty value */
    /* for status.currentMetrics and texts: */
    enum hpa_metric_type type;
    enum hpa_target_type target_type;
    int64_t value_milli, utilization; /* percent */
    int64_t target_percent;           /* of HPA_UTILIZATION */
};

/* status NULL: the condition is to be removed. */
struct decision_condition {
    const char *type, *status, *reason, *message;
};

struct decision_event {
    bool is_warning;
    const char *reason, *message;
};

#define DECISION_CONDITIONS_MAX 4 /* AbleToScale, ScalingActive, ScalingLimited, ScaledToZero */

struct decision {
    struct arena arena; /* of all texts and lists below */
    int64_t at_ms, current, ready, min, max;
    struct decision_metric *metrics; /* parallel to spec.metrics */
    size_t n;
    int64_t mono_ms;
    int64_t proposal;   /* highest of the metrics, never below 0; -1: none was made */
    int64_t first_look; /* > 0: what the look just before had proposed; the lower of the two counts
                         */
    int64_t stabilized, desired;
    int64_t held_until_ms; /* wall: the window that holds the count then ends; 0: none does */
    int64_t next_ms;       /* wall: the next look, unless something changes before; 0: not known */
    bool looks_again;      /* nothing is decided before one more look, at once */
    bool is_rescale;       /* desired is to be written to the scale */
    bool held;             /* some value is unknown: the count may not fall */
    bool has_failed;       /* the original's sync ends with an error */
    bool has_metrics;      /* metrics were looked at: status.currentMetrics is new */
    const char *stabilize_reason, *limit_reason; /* "" while that step was not reached */
    const char *rescale_reason;                  /* "All metrics below target"; "" without one */
    const char *other_reason; /* why another than the HPA decided (KEDA, around zero); "" */
    struct decision_condition conditions[DECISION_CONDITIONS_MAX];
    size_t n_conditions;
    struct decision_event *events;
    size_t n_events, cap_events;
};

void decision_done(struct decision *d);
/* Later settings of one type replace earlier ones; the message is copied. */
void decision_set(struct decision *d, const char *type, const char *status, const char *reason,
                  const char *message);
__attribute__((format(printf, 4, 5))) void decision_event(struct decision *d, bool is_warning,
                                                          const char *reason, const char *fmt, ...);
/* One sentence: "3 replicas: s0-prometheus is 5, target 2 per replica, so ceil(5/2) = 3; ...". */
#define DECISION_TEXT_MAX 1000
void decision_text(const struct decision *d, char *out, size_t cap);

#endif
