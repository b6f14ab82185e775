/* SPDX-License-Identifier: Apache-2.0 */
#include "autoscale/hpa.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

static bool within(double ratio, struct hpa_tolerance t)
{
    return (1.0 - t.down) <= ratio && ratio <= (1.0 + t.up);
}

static int64_t ceil_count(double v)
{
    v = ceil(v);
    return v > INT32_MAX ? INT32_MAX : v < 0 ? 0 : (int64_t)v;
}

int64_t hpa_average_value(int64_t status_replicas, int64_t sum, int64_t target,
                          struct hpa_tolerance t, int64_t *ret_average)
{
    int64_t replicas = status_replicas;
    double ratio = (double)sum / ((double)target * (double)status_replicas);

    if (status_replicas == 0 || !within(ratio, t))
        replicas = ceil_count((double)sum / (double)target);
    *ret_average = status_replicas ? (int64_t)ceil((double)sum / (double)status_replicas) : sum;
    return replicas;
}

int64_t hpa_value(int64_t current, int64_t ready, int64_t sum, int64_t target,
                  struct hpa_tolerance t)
{
    double ratio = (double)sum / (double)target;

    if (current == 0)
        return ceil_count(ratio);
    if (within(ratio, t))
        return current;
    return ceil_count(ratio * (double)ready);
}

/* --- history --- */

void hpa_history_add(struct hpa_history *h, int64_t replicas, int64_t at_ms)
{
    if (h->n == HPA_HISTORY_MAX)
        hpa_history_prune(h, h->items[1].at_ms);
    mem_grow(&h->items, &h->cap, h->n);
    h->items[h->n++] = (struct hpa_recommendation){replicas, at_ms};
}

void hpa_history_prune(struct hpa_history *h, int64_t before_ms)
{
    size_t k = 0;

    for (size_t i = 0; i < h->n; i++)
        if (h->items[i].at_ms >= before_ms)
            h->items[k++] = h->items[i];
    h->n = k;
}

void hpa_history_done(struct hpa_history *h)
{
    free(h->items);
    *h = (struct hpa_history){0};
}

int64_t hpa_stabilize(const struct hpa_history *h, int64_t now, int64_t current, int64_t desired,
                      int64_t up_s, int64_t down_s, const char **ret_reason)
{
    int64_t up = desired, down = desired, up_cutoff = now - up_s * 1000,
            down_cutoff = now - down_s * 1000, r = current;

    for (size_t i = 0; i < h->n; i++) {
        if (h->items[i].at_ms > up_cutoff && h->items[i].replicas < up)
            up = h->items[i].replicas;
        if (h->items[i].at_ms > down_cutoff && h->items[i].replicas > down)
            down = h->items[i].replicas;
    }
    if (r < up)
        r = up;
    if (r > down)
        r = down;
    *ret_reason = r == desired        ? "ReadyForNewScale"
                  : desired > current ? "ScaleUpStabilized"
                                      : "ScaleDownStabilized";
    return r;
}

/* --- rates --- */

static int64_t changed(const struct hpa_history *h, int64_t now, int64_t period_s)
{
    int64_t cutoff = now - period_s * 1000, sum = 0;

    for (size_t i = 0; i < h->n; i++)
        if (h->items[i].at_ms > cutoff)
            sum += h->items[i].replicas;
    return sum;
}

static int64_t up_limit(int64_t now, int64_t current, const struct hpa_rules *r,
                        const struct hpa_history *ups, const struct hpa_history *downs)
{
    int64_t best = r->select == HPA_SELECT_MIN ? INT32_MAX : INT32_MIN;

    if (r->select == HPA_SELECT_DISABLED)
        return current;
    for (size_t i = 0; i < r->n; i++) {
        const struct hpa_policy *p = &r->policies[i];
        int64_t start = current - changed(ups, now, p->period_s) + changed(downs, now, p->period_s);
        int64_t proposed = p->type == HPA_PODS
                               ? start + p->value
                               : (int64_t)ceil((double)start * (1 + (double)p->value / 100));

        best = r->select == HPA_SELECT_MIN ? (proposed < best ? proposed : best)
                                           : (proposed > best ? proposed : best);
    }
    return best;
}

static int64_t down_limit(int64_t now, int64_t current, const struct hpa_rules *r,
                          const struct hpa_history *ups, const struct hpa_history *downs)
{
    int64_t best = r->select == HPA_SELECT_MIN ? INT32_MIN : INT32_MAX;

    if (r->select == HPA_SELECT_DISABLED)
        return current;
    for (size_t i = 0; i < r->n; i++) {
        const struct hpa_policy *p = &r->policies[i];
        int64_t start = current - changed(ups, now, p->period_s) + changed(downs, now, p->period_s);
        int64_t proposed = p->type == HPA_PODS
                               ? start - p->value
                               : (int64_t)((double)start * (1 - (double)p->value / 100));

        best = r->select == HPA_SELECT_MIN ? (proposed > best ? proposed : best)
                                           : (proposed < best ? proposed : best);
    }
    return best;
}

int64_t hpa_limit_rate(int64_t now, int64_t current, int64_t desired, int64_t min, int64_t max,
                       const struct hpa_rules *up, const struct hpa_rules *down,
                       const struct hpa_history *ups, const struct hpa_history *downs,
                       const char **ret_reason)
{
    int64_t limit, allowed;

    *ret_reason = "DesiredWithinRange";
    if (desired > current) {
        limit = up_limit(now, current, up, ups, downs);
        limit = limit < current ? current : limit;
        allowed = limit < max ? limit : max;
        if (desired > allowed) {
            *ret_reason = limit < max ? "ScaleUpLimit" : "TooManyReplicas";
            return allowed;
        }
    } else if (desired < current) {
        limit = down_limit(now, current, down, ups, downs);
        limit = limit > current ? current : limit;
        allowed = limit > min ? limit : min;
        if (desired < allowed) {
            *ret_reason = limit > min ? "ScaleDownLimit" : "TooFewReplicas";
            return allowed;
        }
    }
    return desired;
}
