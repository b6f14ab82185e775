/* SPDX-License-Identifier: Apache-2.0
 *
 * One decision with everything that led to it. Event, condition, log line, metric and `flyball
 * explain` are made from this struct and from nothing else. */
#ifndef FB_AUTOSCALE_DECISION_H
#define FB_AUTOSCALE_DECISION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DECISION_METRICS_MAX 16

enum metric_state { METRIC_VALUE, METRIC_EMPTY, METRIC_UNKNOWN };

struct decision_metric {
    char name[80];   /* "s0-prometheus" */
    char query[160]; /* what was asked, cut */
    enum metric_state state;
    double value;
    int64_t target_milli;
    bool is_average; /* target type AverageValue */
    int64_t proposal;
    int64_t average_milli;
    char why[240]; /* of an unknown or empty value */
};

struct decision {
    int64_t at_ms, current, ready, min, max;
    struct decision_metric metrics[DECISION_METRICS_MAX];
    size_t n;
    int64_t proposal; /* highest of the metrics; -1: none is known */
    int64_t stabilized, desired;
    bool held; /* some value is unknown: the count may not fall */
    char stabilize_reason[32], limit_reason[32];
};

/* One sentence: "3 replicas: s0-prometheus is 5, target 2 per replica, so ceil(5/2) = 3; ...". */
void decision_text(const struct decision *d, char *out, size_t cap);

#endif
