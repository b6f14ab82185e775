/* SPDX-License-Identifier: Apache-2.0 */
#include "autoscale/hpa.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autoscale/hpa_metric.h"
#include "base/mem.h"

#define NO_SLOT SIZE_MAX

/* --- history --- */

void hpa_history_done(struct hpa_history *h)
{
    free(h->items);
    *h = (struct hpa_history){0};
}

static size_t oldest(const struct hpa_history *h)
{
    size_t o = 0;

    for (size_t i = 1; i < h->n; i++)
        if (h->items[i].at_ms < h->items[o].at_ms)
            o = i;
    return o;
}

static void store(struct hpa_history *h, size_t slot, struct hpa_entry e)
{
    if (slot == NO_SLOT && h->n == HPA_HISTORY_MAX)
        slot = oldest(h);
    if (slot == NO_SLOT) {
        mem_grow(&h->items, &h->cap, h->n);
        slot = h->n++;
    }
    h->items[slot] = e;
    h->last = slot;
    h->changes++;
}

void hpa_history_add(struct hpa_history *h, struct hpa_entry e)
{
    store(h, NO_SLOT, e);
}

/* Drops what no window can tell apart any more; items are in order of time. */
static void forget_hidden(struct hpa_history *h)
{
    int64_t lowest = INT64_MAX, highest = INT64_MIN;
    size_t kept = h->n;

    for (size_t i = h->n; i-- > 0;) {
        int64_t v = h->items[i].replicas;

        if (v >= lowest && v <= highest)
            continue;
        lowest = v < lowest ? v : lowest;
        highest = v > highest ? v : highest;
        h->items[--kept] = h->items[i];
    }
    memmove(h->items, h->items + kept, (h->n - kept) * sizeof(*h->items));
    h->n -= kept;
    h->last = h->n - 1;
}

static void recommend(struct hpa_history *h, size_t slot, int64_t desired, int64_t now)
{
    if (h->coalesces && h->n > 0 && h->items[h->last].replicas == desired) {
        h->items[h->last].at_ms = now;
        return;
    }
    store(h, h->coalesces ? NO_SLOT : slot, (struct hpa_entry){.replicas = desired, .at_ms = now});
    if (h->coalesces)
        forget_hidden(h);
}

void hpa_history_changed(struct hpa_history *h, int64_t change, int64_t now, int64_t period_s)
{
    int64_t cutoff = now - period_s * 1000;
    size_t slot = NO_SLOT;

    if (period_s < 0)
        return;
    for (size_t i = 0; i < h->n; i++) {
        if (h->items[i].at_ms < cutoff)
            h->items[i].outdated = true;
        if (h->items[i].outdated)
            slot = i;
    }
    store(h, slot, (struct hpa_entry){.replicas = change, .at_ms = now});
}

int64_t hpa_history_sum(const struct hpa_history *h, int64_t now, int64_t period_s)
{
    int64_t cutoff = now - period_s * 1000, sum = 0;

    for (size_t i = 0; i < h->n; i++)
        if (h->items[i].at_ms > cutoff)
            sum += h->items[i].replicas;
    return sum;
}

/* --- stabilization --- */

int64_t hpa_stabilize(struct hpa_history *h, int64_t now, int64_t current, int64_t desired,
                      int64_t up_s, int64_t down_s, const char **ret_reason)
{
    int64_t lo = desired, hi = desired, up_cut = now - up_s * 1000, down_cut = now - down_s * 1000,
            r = current;
    size_t slot = NO_SLOT;

    for (size_t i = 0; i < h->n; i++) {
        const struct hpa_entry *e = &h->items[i];

        if (e->at_ms > up_cut && e->replicas < lo)
            lo = e->replicas;
        if (e->at_ms > down_cut && e->replicas > hi)
            hi = e->replicas;
        if (e->at_ms < up_cut && e->at_ms < down_cut)
            slot = i;
    }
    r = r < lo ? lo : r;
    r = r > hi ? hi : r;
    recommend(h, slot, desired, now);
    *ret_reason = r == desired         ? "ReadyForNewScale"
                  : desired >= current ? "ScaleUpStabilized"
                                       : "ScaleDownStabilized";
    return r;
}

int64_t hpa_stabilize_classic(struct hpa_history *h, int64_t now, int64_t desired,
                              int64_t window_ms, const char **ret_reason)
{
    int64_t r = desired;
    size_t slot = NO_SLOT;

    for (size_t i = 0; i < h->n; i++) {
        if (h->items[i].at_ms < now - window_ms)
            slot = i;
        else if (h->items[i].replicas > r)
            r = h->items[i].replicas;
    }
    recommend(h, slot, desired, now);
    *ret_reason = r != desired ? "ScaleDownStabilized" : "ReadyForNewScale";
    return r;
}

int64_t hpa_held_until(const struct hpa_history *h, int64_t now, int64_t size, bool is_down,
                       int64_t window_ms)
{
    int64_t until = 0;

    for (size_t i = 0; i < h->n; i++) {
        int64_t end = h->items[i].at_ms + window_ms;

        if ((is_down ? h->items[i].replicas >= size : h->items[i].replicas <= size) && end > now &&
            end > until)
            until = end;
    }
    return until;
}

/* --- rates --- */

static int64_t after_policy(const struct hpa_policy *p, int64_t start, enum hpa_direction way)
{
    double share = (double)p->value / 100.0;

    if (p->type == HPA_POLICY_PODS)
        return way == HPA_UP ? start + p->value : start - p->value;
    return way == HPA_UP ? hpa_ceil32((double)start * (1 + share))
                         : (int64_t)((double)start * (1 - share));
}

/* Where the policies of one direction let the size go, never to the other side of current. */
static int64_t policy_limit(int64_t now, int64_t current, const struct hpa_rules *r,
                            enum hpa_direction way, const struct hpa_history *ups,
                            const struct hpa_history *downs)
{
    bool want_highest = (way == HPA_UP) == (r->select != HPA_SELECT_MIN);
    int64_t best = want_highest ? INT64_MIN : INT64_MAX;

    if (r->select == HPA_SELECT_DISABLED)
        return current;
    for (size_t i = 0; i < r->n; i++) {
        const struct hpa_policy *p = &r->policies[i];
        int64_t start = current - hpa_history_sum(ups, now, p->period_s) +
                        hpa_history_sum(downs, now, p->period_s);
        int64_t to = after_policy(p, start, way);

        if (want_highest ? to > best : to < best)
            best = to;
    }
    if (way == HPA_UP)
        return best < current ? current : best;
    return best > current ? current : best;
}

int64_t hpa_limit_rate(int64_t now, int64_t current, int64_t desired, int64_t min, int64_t max,
                       const struct hpa_rules *up, const struct hpa_rules *down,
                       const struct hpa_history *ups, const struct hpa_history *downs,
                       const char **ret_reason)
{
    int64_t limit, allowed;

    *ret_reason = "DesiredWithinRange";
    if (desired > current) {
        limit = policy_limit(now, current, up, HPA_UP, ups, downs);
        allowed = limit < max ? limit : max;
        if (desired > allowed) {
            *ret_reason = limit < max ? "ScaleUpLimit" : "TooManyReplicas";
            return allowed;
        }
    } else if (desired < current) {
        limit = policy_limit(now, current, down, HPA_DOWN, ups, downs);
        allowed = limit > min ? limit : min;
        if (desired < allowed) {
            *ret_reason = limit > min ? "ScaleDownLimit" : "TooFewReplicas";
            return allowed;
        }
    }
    return desired;
}

int64_t hpa_limit_classic(int64_t start, int64_t current, int64_t desired, int64_t min, int64_t max,
                          const char **ret_reason)
{
    int64_t limit = start > 2 ? 2 * start : 4, hi;

    limit = limit < current ? current : limit; /* it is on adding, it takes nothing away */
    hi = max > limit ? limit : max;

    *ret_reason = "DesiredWithinRange";
    if (desired < min) {
        *ret_reason = "TooFewReplicas";
        return min;
    }
    if (desired > hi) {
        *ret_reason = max > limit ? "ScaleUpLimit" : "TooManyReplicas";
        return hi;
    }
    return desired;
}
