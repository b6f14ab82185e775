/* SPDX-License-Identifier: Apache-2.0
 *
 * From a proposal to a size, as the HPA does it (hpa.md 11 to 13): stabilization, limits, rates.
 * Pure functions of their arguments, in the original's order of operations, so that results are
 * equal to the bit. Replica counts are int32 in the API, int64 here. hpa_metric.h makes the
 * proposals. */
#ifndef FB_AUTOSCALE_HPA_H
#define FB_AUTOSCALE_HPA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "codec/json.h"

/* --- history --- */

struct hpa_entry {
    int64_t replicas, at_ms; /* a recommendation, or by how much the size changed */
    bool outdated;           /* a change older than every period: its slot may be reused */
};

/* Past recommendations, or past changes of size. Slots are reused, so the order says nothing. */
#define HPA_HISTORY_MAX 65536 /* an hour of looks every 100 ms; beyond, the oldest goes */
struct hpa_history {
    struct hpa_entry *items; /* owned */
    size_t n, cap;
    size_t last;    /* slot stored last */
    bool coalesces; /* keeps only what some window can tell apart: a recommendation that is neither
                       higher nor lower than all later ones goes, one equal to the last moves its
                       time. In order of time, at most two a size. */
    uint64_t changes; /* goes up with every change but that of a time */
};
void hpa_history_done(struct hpa_history *h);
/* Appends, as when reading a history back. */
void hpa_history_add(struct hpa_history *h, struct hpa_entry e);
/* A change of size that was written (hpa.md 13): reuses the slot of one older than every period.
 * longest_period_s -1: there is no spec.behavior, nothing is stored. */
void hpa_history_changed(struct hpa_history *h, int64_t change, int64_t now_ms,
                         int64_t longest_period_s);
/* Sum of the changes younger than period_s. */
int64_t hpa_history_sum(const struct hpa_history *h, int64_t now_ms, int64_t period_s);

/* --- spec.behavior --- */

enum hpa_policy_type { HPA_POLICY_PODS, HPA_POLICY_PERCENT };
enum hpa_select { HPA_SELECT_MAX, HPA_SELECT_MIN, HPA_SELECT_DISABLED };
struct hpa_policy {
    enum hpa_policy_type type;
    int32_t value, period_s;
};
struct hpa_rules {
    int64_t window_s;
    enum hpa_select select;
    struct hpa_policy *policies;
    size_t n;
    double tolerance; /* -1: not given */
};
enum hpa_direction { HPA_DOWN, HPA_UP };
/* One direction of spec.behavior with the API's defaults filled in; json may be NULL. The list is
 * in the arena. */
void hpa_rules_read(const json_t *json, enum hpa_direction way, struct arena *a,
                    struct hpa_rules *ret);
int64_t hpa_rules_longest_period(const struct hpa_rules *r); /* seconds */

/* --- normalisation with spec.behavior --- */

/* The lowest recommendation of the up-window bounds what may be added, the highest of the
 * down-window what may be removed; desired is stored. *ret_reason: ScaleUpStabilized,
 * ScaleDownStabilized or ReadyForNewScale. */
int64_t hpa_stabilize(struct hpa_history *h, int64_t now_ms, int64_t current, int64_t desired,
                      int64_t up_window_s, int64_t down_window_s, const char **ret_reason);

/* When the window no longer holds a recommendation that holds the size at `size` (it is_down: one
 * as high, else as low); 0: none does now. */
int64_t hpa_held_until(const struct hpa_history *h, int64_t now_ms, int64_t size, bool is_down,
                       int64_t window_ms);

/* How far the size may go at once. *ret_reason: DesiredWithinRange, TooFewReplicas,
 * TooManyReplicas, ScaleUpLimit, ScaleDownLimit. */
int64_t hpa_limit_rate(int64_t now_ms, int64_t current, int64_t desired, int64_t min, int64_t max,
                       const struct hpa_rules *up, const struct hpa_rules *down,
                       const struct hpa_history *ups, const struct hpa_history *downs,
                       const char **ret_reason);

/* --- without --- */

int64_t hpa_stabilize_classic(struct hpa_history *h, int64_t now_ms, int64_t desired,
                              int64_t window_ms, const char **ret_reason);
/* start: the size when the period began for which "at most twice" is meant. */
int64_t hpa_limit_classic(int64_t start, int64_t current, int64_t desired, int64_t min, int64_t max,
                          const char **ret_reason);

#endif
