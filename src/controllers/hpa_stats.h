/* SPDX-License-Identifier: Apache-2.0
 *
 * What kube-controller-manager counts of its HPA controller, under its names. */
#ifndef FB_CONTROLLERS_HPA_STATS_H
#define FB_CONTROLLERS_HPA_STATS_H

#include "autoscale/decision.h"
#include "base/buf.h"

enum { HPA_ACTIONS = 3, HPA_ERRORS = 3, HPA_BUCKETS = 15 };

struct hpa_histogram {
    uint64_t buckets[HPA_BUCKETS]; /* each its own, not summed up */
    uint64_t count;
    double sum_s;
};

struct hpa_stats {
    struct hpa_histogram passes[HPA_ACTIONS][HPA_ERRORS];
    uint64_t metrics[HPA_ACTIONS][HPA_ERRORS][HPA_METRIC_TYPES];
};
void hpa_stats_count(struct hpa_stats *s, const struct decision *d, int64_t took_ns);
void hpa_stats_write(const struct hpa_stats *s, struct buf *out);

#endif
