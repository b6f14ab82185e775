/* SPDX-License-Identifier: Apache-2.0
 *
 * The HPA's arithmetic (hpa.md): pure functions of their arguments, in the order of operations of
 * the original, so that results are equal to the bit. Replica counts are int32 in the API, int64
 * here; metric values are milli. */
#ifndef FB_AUTOSCALE_HPA_H
#define FB_AUTOSCALE_HPA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hpa_tolerance {
    double down, up; /* 0.1 each by default */
};

/* External and Object metrics, target type AverageValue: ceil(sum / target), unless sum / (target *
 * pods) is within tolerance. status_replicas: pods that exist now. */
int64_t hpa_average_value(int64_t status_replicas, int64_t sum_milli, int64_t target_milli,
                          struct hpa_tolerance t, int64_t *ret_average_milli);
/* Target type Value: ceil(sum / target * ready pods); with no pods ceil(sum / target). */
int64_t hpa_value(int64_t current, int64_t ready, int64_t sum_milli, int64_t target_milli,
                  struct hpa_tolerance t);

struct hpa_recommendation {
    int64_t replicas, at_ms;
};

/* Past recommendations, and past changes of size: what stabilization and rates need. */
#define HPA_HISTORY_MAX 4096
struct hpa_history {
    struct hpa_recommendation *items; /* owned */
    size_t n, cap;
};
void hpa_history_add(struct hpa_history *h, int64_t replicas, int64_t at_ms);
void hpa_history_prune(struct hpa_history *h, int64_t before_ms);
void hpa_history_done(struct hpa_history *h);

/* Behavior: the lowest recommendation of the up-window bounds from below what may be added, the
 * highest of the down-window what may be removed. *ret_reason: ScaleUpStabilized,
 * ScaleDownStabilized or ReadyForNewScale. */
int64_t hpa_stabilize(const struct hpa_history *h, int64_t now_ms, int64_t current, int64_t desired,
                      int64_t up_window_s, int64_t down_window_s, const char **ret_reason);

enum hpa_policy_type { HPA_PODS, HPA_PERCENT };
enum hpa_select { HPA_SELECT_MAX, HPA_SELECT_MIN, HPA_SELECT_DISABLED };
struct hpa_policy {
    enum hpa_policy_type type;
    int64_t value, period_s;
};
struct hpa_rules {
    int64_t window_s; /* -1: not given */
    enum hpa_select select;
    struct hpa_policy policies[16];
    size_t n;
    double tolerance; /* -1: not given */
};

/* How far the size may go at once. *ret_reason: DesiredWithinRange, TooFewReplicas,
 * TooManyReplicas, ScaleUpLimit, ScaleDownLimit. */
int64_t hpa_limit_rate(int64_t now_ms, int64_t current, int64_t desired, int64_t min, int64_t max,
                       const struct hpa_rules *up, const struct hpa_rules *down,
                       const struct hpa_history *ups, const struct hpa_history *downs,
                       const char **ret_reason);

#endif
