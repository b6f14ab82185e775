/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers/statefulset_plan.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"

struct plan {
    const struct sts_spec *s;
    const struct sts_pod *pods; /* by ordinal */
    size_t n, lo, hi;           /* pods[lo..hi) are of the wanted range */
    struct sts_action *actions;
    size_t n_actions, cap;
};

int64_t sts_ordinal(const char *set, size_t set_n, const char *pod, size_t pod_n)
{
    struct str digits;
    int64_t v;

    if (pod_n < set_n + 2 || memcmp(set, pod, set_n) != 0 || pod[set_n] != '-')
        return -1;
    digits = (struct str){pod + set_n + 1, pod_n - set_n - 1};
    if (digits.p[0] < '0' || digits.p[0] > '9' || (digits.p[0] == '0' && digits.n > 1) ||
        !str_to_i64(digits, &v) || v > INT32_MAX)
        return -1; /* only the one spelling that we would give */
    return v;
}

static void act(struct plan *p, enum sts_verb verb, int64_t ordinal, size_t pod, bool is_updated)
{
    mem_grow(&p->actions, &p->cap, p->n_actions);
    p->actions[p->n_actions++] = (struct sts_action){verb, ordinal, pod, is_updated};
}

static bool is_available(const struct sts_pod *x)
{
    return x->is_available && !x->is_terminating;
}

/* Whether what comes after the wanted pods may be looked at. */
static bool fill(struct plan *p)
{
    const struct sts_spec *s = p->s;
    size_t at = p->lo;

    for (int64_t o = s->start; o < s->start + s->replicas; o++) {
        const struct sts_pod *x = at < p->hi && p->pods[at].ordinal == o ? &p->pods[at++] : NULL;

        if (!x) {
            act(p, STS_CREATE, o, 0, s->is_on_delete || o >= s->start + s->partition);
            if (!s->is_parallel || p->n_actions == STS_CREATES_MAX)
                return false;
        } else if (x->is_ended) {
            if (!x->is_terminating)
                act(p, STS_RECREATE, o, (size_t)(x - p->pods), false);
            if (!s->is_parallel)
                return false;
        } else if (!s->is_parallel && !is_available(x)) {
            return false;
        }
    }
    return true;
}

static const struct sts_pod *first_unavailable(const struct plan *p)
{
    for (size_t i = p->lo; i < p->hi; i++)
        if (!is_available(&p->pods[i]))
            return &p->pods[i];
    for (size_t i = 0; i < p->n; i++)
        if ((i < p->lo || i >= p->hi) && !is_available(&p->pods[i]))
            return &p->pods[i];
    return NULL;
}

/* From the highest ordinal on. Whether an update may go on. One that has ended gets no better by
 * waiting: the original waits for ever where a lower one is sick too. */
static bool cut(struct plan *p)
{
    const struct sts_pod *sick = first_unavailable(p);

    for (size_t i = p->n; i > 0; i--) {
        const struct sts_pod *x = &p->pods[i - 1];

        if (i - 1 >= p->lo && i - 1 < p->hi)
            continue;
        if (!p->s->is_parallel &&
            (x->is_terminating || (!x->is_available && !x->is_ended && x != sick)))
            return false;
        if (x->is_terminating)
            continue;
        act(p, STS_DELETE, x->ordinal, i - 1, false);
        if (!p->s->is_parallel)
            return false;
    }
    return true;
}

/* One after another, or as many at a time as may be away. Those that are away anyway, further down,
 * count where several may be; but one that nobody can use costs nothing to replace. */
static void update(struct plan *p)
{
    const struct sts_spec *s = p->s;
    int64_t budget = s->max_unavailable, away = s->replicas - (int64_t)(p->hi - p->lo);
    size_t at = p->hi;

    for (size_t i = p->lo; i < p->hi; i++)
        away += !is_available(&p->pods[i]);
    for (int64_t o = s->start + s->replicas; o > s->start + s->partition && budget > 0; o--) {
        const struct sts_pod *x =
            at > p->lo && p->pods[at - 1].ordinal == o - 1 ? &p->pods[--at] : NULL;

        if (x && !x->is_updated && !x->is_terminating && !x->is_ended) {
            if (is_available(x) && s->max_unavailable > 1 && away >= s->max_unavailable)
                continue;
            act(p, STS_DELETE, x->ordinal, at, false);
            away += is_available(x);
            budget--;
        } else if (!x || !is_available(x)) {
            budget--;
        }
    }
}

static int by_ordinal(const void *a, const void *b)
{
    const struct sts_pod *x = a, *y = b;

    return x->ordinal < y->ordinal ? -1 : x->ordinal > y->ordinal;
}

size_t sts_plan(const struct sts_spec *s, struct sts_pod *pods, size_t n, struct sts_action **ret)
{
    struct plan p = {.s = s, .pods = pods, .n = n};

    if (n > 1)
        qsort(pods, n, sizeof(*pods), by_ordinal);
    while (p.lo < n && pods[p.lo].ordinal < s->start)
        p.lo++;
    p.hi = p.lo;
    while (p.hi < n && pods[p.hi].ordinal < s->start + s->replicas)
        p.hi++;
    if (fill(&p) && cut(&p) && !s->is_on_delete)
        update(&p);
    *ret = p.actions;
    return p.n_actions;
}
