/* SPDX-License-Identifier: Apache-2.0
 *
 * Functions of classic histograms. */
#include <math.h>
#include <stdlib.h>

#include "promql/fn.h"

struct bucket {
    double upper, count;
};

struct histogram {
    struct labels labels;
    struct bucket *b;
    size_t n, cap;
};

static int by_upper(const void *a, const void *b)
{
    double x = ((const struct bucket *)a)->upper, y = ((const struct bucket *)b)->upper;

    return x < y ? -1 : x > y;
}

/* x: the argument, for positions. The metric's name counts: two histograms that differ in nothing
 * else would be one after it is dropped, which is an error. */
static struct histogram *group_buckets(struct eval *e, const struct expr *x, const struct value *v,
                                       size_t *ret_n)
{
    struct histogram *all = NULL;
    size_t n = 0, cap = 0;

    for (size_t i = 0; i < v->n; i++) {
        struct str le = labels_get(v->vec[i].labels, STR("le"));
        struct labels l;
        double upper;
        size_t k = 0;

        if (!le.p || !str_to_double(le, &upper)) {
            eval_warn(e, x,
                      "PromQL warning: bucket label \"le\" is missing or has a malformed value of "
                      "\"%.*s\" for metric name \"%.*s\"",
                      STR_ARG(le), STR_ARG(labels_get(v->vec[i].labels, STR("__name__"))));
            continue;
        }
        l = labels_with(e, v->vec[i].labels, STR("le"), STR(""));
        while (k < n && !labels_equal(all[k].labels, l))
            k++;
        if (k == n) {
            all = arena_grow(e->a, all, &cap, n, sizeof(*all));
            all[n++] = (struct histogram){.labels = l};
        }
        all[k].b = arena_grow(e->a, all[k].b, &all[k].cap, all[k].n, sizeof(*all[k].b));
        all[k].b[all[k].n++] = (struct bucket){upper, v->vec[i].v};
    }
    *ret_n = n;
    return all;
}

/* Sorted, equal edges merged, counts made to grow. False: not a histogram (no +Inf, fewer than two
 * buckets). */
static bool tidy(struct eval *e, const struct expr *x, struct histogram *h)
{
    size_t m = 0;
    double max = 0;
    bool forced = false;

    if (h->n > 1)
        qsort(h->b, h->n, sizeof(*h->b), by_upper);
    if (h->n == 0 || !isinf(h->b[h->n - 1].upper) || h->b[h->n - 1].upper < 0)
        return false;
    for (size_t i = 0; i < h->n; i++) {
        if (m > 0 && h->b[m - 1].upper == h->b[i].upper)
            h->b[m - 1].count += h->b[i].count;
        else
            h->b[m++] = h->b[i];
    }
    h->n = m;
    for (size_t i = 0; i < m; i++) {
        if (i == 0 || h->b[i].count > max) {
            max = h->b[i].count;
        } else if (h->b[i].count < max) {
            forced |= fabs(h->b[i].count - max) > 1e-12 * (fabs(max) + fabs(h->b[i].count));
            h->b[i].count = max;
        }
    }
    if (forced)
        eval_warn(e, x,
                  "PromQL info: input to histogram_quantile needed to be fixed for monotonicity "
                  "(see https://prometheus.io/docs/prometheus/latest/querying/functions/"
                  "#histogram_quantile) for metric name \"%.*s\"",
                  STR_ARG(labels_get(h->labels, STR("__name__"))));
    return m >= 2;
}

static double bucket_quantile(struct eval *e, const struct expr *x, double q, struct histogram *h)
{
    double rank, start = 0, end, count;
    size_t b = 0;

    if (isnan(q))
        return NAN;
    if (q < 0)
        return -INFINITY;
    if (q > 1)
        return INFINITY;
    if (!tidy(e, x, h) || h->b[h->n - 1].count == 0)
        return NAN;
    rank = q * h->b[h->n - 1].count;
    while (b < h->n - 1 && h->b[b].count < rank)
        b++;
    if (b == h->n - 1)
        return h->b[h->n - 2].upper;
    if (b == 0 && h->b[0].upper <= 0)
        return h->b[0].upper;
    end = h->b[b].upper;
    count = h->b[b].count;
    if (b > 0) {
        start = h->b[b - 1].upper;
        count -= h->b[b - 1].count;
        rank -= h->b[b - 1].count;
    }
    return start + (end - start) * (rank / count);
}

FN(f_histogram_quantile)
{
    size_t n;
    struct histogram *all = group_buckets(e, x->args[1], &args[1], &n);

    eval_warn_quantile(e, x->args[0], args[0].scalar);
    for (size_t i = 0; i < n; i++)
        value_add(e, ret, labels_without_name(e, all[i].labels),
                  bucket_quantile(e, x->args[1], args[0].scalar, &all[i]));
    return 0;
}

/* Observations at or below `at`, linear inside a bucket; a bucket without a finite width (the first
 * below a negative edge, the last) counts whole at its upper edge and not at all inside. */
static double cumulative(const struct histogram *h, double at)
{
    double below = 0, from = h->b[0].upper > 0 ? 0 : -INFINITY;

    for (size_t i = 0; i < h->n; i++) {
        if (at >= h->b[i].upper) {
            below = h->b[i].count;
            from = h->b[i].upper;
            continue;
        }
        if (at <= from || isinf(h->b[i].upper))
            return below;
        if (isinf(from))
            return h->b[i].count; /* no lower edge: all of it may lie below */
        return below + (h->b[i].count - below) * (at - from) / (h->b[i].upper - from);
    }
    return below;
}

FN(f_histogram_fraction)
{
    double lower = args[0].scalar, upper = args[1].scalar;
    size_t n;
    struct histogram *all = group_buckets(e, x->args[2], &args[2], &n);

    for (size_t i = 0; i < n; i++) {
        struct histogram *h = &all[i];
        double y = NAN, total;

        tidy(e, x->args[2], h);
        total = h->n && isinf(h->b[h->n - 1].upper) ? h->b[h->n - 1].count : 0;
        if (total != 0 && !isnan(lower) && !isnan(upper))
            y = lower >= upper
                    ? 0
                    : (cumulative(h, upper) - (lower == -INFINITY ? 0 : cumulative(h, lower))) /
                          total;
        value_add(e, ret, labels_without_name(e, h->labels), y);
    }
    return 0;
}

const struct function promql_fn_histogram[] = {
    {"histogram_fraction", "ssv", PROMQL_VECTOR, f_histogram_fraction, false},
    {"histogram_quantile", "sv", PROMQL_VECTOR, f_histogram_quantile, false},
    {0},
};
