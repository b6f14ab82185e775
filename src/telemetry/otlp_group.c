/* SPDX-License-Identifier: Apache-2.0
 *
 * Points that are several series: histograms and summaries; and points in delta, whose sums are
 * kept here. A group has its series in order: buckets or quantiles, then _sum, then _count; a
 * number has itself alone. When bounds change, the group is built anew around the same sums. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "telemetry/otlp_int.h"

struct otlp_group {
    uint64_t shape;    /* of bounds or quantiles; 0: not built yet */
    uint64_t start_ns; /* cumulative: as sent last */
    uint64_t last_ns;  /* delta: where the next point should start */
    double sum;        /* of deltas */
    uint64_t count;
    uint64_t *buckets;     /* of deltas, explicit bounds; as many as bounds + 1 */
    struct otlp_fold fold; /* exponential */
    size_t n;
    struct series **series;
};

/* A point as samples: n marks (le or quantile) with values, and sum and count if it has them. */
struct shape {
    const char *mark; /* label name; NULL: a number */
    size_t n;
    double *bounds, *values; /* the last bound of a histogram is +Inf */
    uint64_t key;
};

static void drop_series(struct otlp_group *g)
{
    for (size_t i = 0; i < g->n; i++)
        tsdb_release(g->series[i]);
    free(g->series);
    g->series = NULL;
    g->n = 0;
    g->shape = 0;
}

void otlp_group_free(struct otlp_group *g)
{
    if (!g)
        return;
    drop_series(g);
    otlp_fold_done(&g->fold);
    free(g->buckets);
    free(g);
}

int64_t otlp_group_newest(const struct otlp_group *g)
{
    return g->n ? series_newest(g->series[g->n - 1]) : INT64_MIN;
}

void otlp_group_end(struct tsdb *db, struct otlp_group *g, int64_t now_ms)
{
    for (size_t i = 0; i < g->n; i++)
        otlp_end_series(db, g->series[i], now_ms);
}

/* --- shapes --- */

static void shape_done(struct shape *s)
{
    free(s->bounds);
    free(s->values);
}

static void shape_room(struct shape *s, const char *mark, size_t n)
{
    *s = (struct shape){.mark = mark, .n = n};
    s->bounds = mem_array(n, sizeof(double));
    s->values = mem_array(n, sizeof(double));
}

/* Adds a point's buckets to what a delta series has so far; other bounds begin anew. */
static void add_deltas(struct otlp_group *g, const struct otlp_point *p, size_t n, bool same)
{
    if (!same || !g->buckets) {
        free(g->buckets);
        g->buckets = mem_array(n, sizeof(*g->buckets));
        g->count = 0;
        g->sum = 0;
    }
    for (size_t i = 0; i < p->n_counts; i++)
        g->buckets[i] += p->counts[i];
    g->count += p->count;
    g->sum += p->sum;
}

static void histogram_shape(struct otlp_group *g, const struct otlp_point *p, bool is_delta,
                            struct shape *s)
{
    size_t n = p->n_counts ? p->n_counts : 1;
    const uint64_t *counts = p->counts;
    uint64_t sum = 0;

    shape_room(s, "le", n);
    if (p->n_bounds)
        memcpy(s->bounds, p->bounds, p->n_bounds * sizeof(double));
    s->bounds[n - 1] = INFINITY;
    s->key = str_hash(str_n(s->bounds, n * sizeof(double))) | 1;
    if (is_delta) {
        add_deltas(g, p, n, s->key == g->shape);
        counts = g->buckets;
    } else {
        g->count = p->count;
        g->sum = p->sum;
    }
    for (size_t i = 0; i + 1 < n; i++) {
        sum += counts[i];
        s->values[i] = (double)sum;
    }
    s->values[n - 1] = (double)g->count;
}

static void exponential_shape(struct otlp_group *g, const struct otlp_point *p, bool is_delta,
                              struct shape *s)
{
    uint64_t *counts;
    size_t n;

    otlp_fold_add(&g->fold, p, is_delta);
    n = otlp_fold_size(&g->fold);
    shape_room(s, "le", n + 1);
    counts = mem_array(n, sizeof(*counts));
    n = otlp_fold_write(&g->fold, s->bounds, counts);
    for (size_t i = 0; i < n; i++)
        s->values[i] = (double)counts[i];
    free(counts);
    s->bounds[n] = INFINITY;
    s->values[n] = (double)g->fold.count;
    s->n = n + 1;
    s->key = otlp_fold_shape(&g->fold) | 1;
    g->count = g->fold.count;
    g->sum = is_delta ? g->sum + p->sum : p->sum;
}

static void summary_shape(struct otlp_group *g, const struct otlp_point *p, struct shape *s)
{
    shape_room(s, "quantile", p->n_bounds);
    if (p->n_bounds) {
        memcpy(s->bounds, p->bounds, p->n_bounds * sizeof(double));
        memcpy(s->values, p->values, p->n_bounds * sizeof(double));
    }
    s->key = str_hash(str_n(s->bounds, p->n_bounds * sizeof(double))) | 1;
    g->count = p->count;
    g->sum = p->sum;
}

/* --- series --- */

static struct series *nth_series(struct otlp *o, const struct otlp_resource *r,
                                 const struct otlp_point *p, const struct shape *s, size_t i,
                                 const char **why)
{
    static const struct label none;
    char text[OTLP_BOUND_MAX];

    if (!s->mark)
        return otlp_series(o, r, p, "", none, why);
    if (i >= s->n)
        return otlp_series(o, r, p, i == s->n ? "_sum" : "_count", none, why);
    return otlp_series(o, r, p, *s->mark == 'l' ? "_bucket" : "",
                       (struct label){str_of(s->mark), str_of(otlp_bound_text(s->bounds[i], text))},
                       why);
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (struct series *const *)a,
              y = (uintptr_t) * (struct series *const *)b;

    return x < y ? -1 : x > y;
}

/* Those of g's series that are not among all end here. */
static void end_missing(struct tsdb *db, struct otlp_group *g, struct series **all, size_t n,
                        int64_t t)
{
    struct series **sorted = mem_array(n, sizeof(struct series *));

    memcpy(sorted, all, n * sizeof(struct series *));
    qsort(sorted, n, sizeof(struct series *), by_address);
    for (size_t i = 0; i < g->n; i++)
        if (!bsearch(&g->series[i], sorted, n, sizeof(struct series *), by_address))
            otlp_end_series(db, g->series[i], t);
    free(sorted);
}

static const char *build(struct otlp *o, struct otlp_group *g, const struct otlp_resource *r,
                         const struct otlp_point *p, const struct shape *s)
{
    size_t n = s->mark ? s->n + 2 : 1, made = 0;
    struct series **all = mem_array(n, sizeof(struct series *));
    const char *why = NULL;

    while (made < n && (all[made] = nth_series(o, r, p, s, made, &why)))
        made++;
    if (made < n) {
        while (made > 0)
            tsdb_release(all[--made]);
        free(all);
        return why;
    }
    end_missing(o->o.db, g, all, n, (int64_t)(p->time_ns / 1000000));
    drop_series(g);
    g->series = all;
    g->n = n;
    g->shape = s->key;
    return NULL;
}

static void store(struct otlp *o, struct otlp_group *g, const struct otlp_point *p,
                  const struct shape *s)
{
    int64_t t = (int64_t)(p->time_ns / 1000000), start = (int64_t)(p->start_ns / 1000000);
    bool began = p->kind != OTLP_SUMMARY && p->temporality == OTLP_CUMULATIVE && g->start_ns &&
                 p->start_ns > g->start_ns;

    if (!s->mark) { /* a number in delta */
        tsdb_put(o->o.db, g->series[0], t, g->sum);
        return;
    }
    for (size_t i = 0; i < g->n; i++) {
        double v = i < s->n ? s->values[i] : i == s->n ? g->sum : (double)g->count;

        if (i + 8 < g->n)
            __builtin_prefetch(g->series[i + 8]);
        if (i + 4 < g->n)
            series_prefetch(g->series[i + 4]);
        if (i == s->n && !p->has_sum)
            continue;
        if (began && (i != s->n || g->sum >= 0))
            otlp_mark_reset(o->o.db, g->series[i], start, t, v);
        tsdb_put(o->o.db, g->series[i], t, v);
    }
    g->start_ns = p->start_ns;
}

static const char *late(struct otlp_group *g, const struct otlp_point *p)
{
    if (g->last_ns == 0)
        return NULL; /* the first one */
    if (p->time_ns <= g->last_ns)
        return "a delta point is older than the one before";
    if (p->start_ns && p->start_ns < g->last_ns)
        return "a delta point overlaps the one before";
    return NULL;
}

const char *otlp_group_add(struct otlp *o, struct otlp_group **group, const struct otlp_resource *r,
                           const struct otlp_point *p)
{
    bool is_delta = p->kind != OTLP_SUMMARY && p->temporality == OTLP_DELTA;
    struct otlp_group *g = *group;
    struct shape s = {.key = 1};
    const char *why = NULL;

    if (g && is_delta && (why = late(g, p)))
        return why;
    if (!g)
        g = *group = mem_zalloc(sizeof(*g));
    if (p->is_absent) {
        otlp_group_end(o->o.db, g, (int64_t)(p->time_ns / 1000000));
        return NULL;
    }
    if (otlp_group_newest(g) > (int64_t)(p->time_ns / 1000000))
        return "a point is older than the newest of its series";
    if (p->kind == OTLP_HISTOGRAM)
        histogram_shape(g, p, is_delta, &s);
    else if (p->kind == OTLP_EXPONENTIAL)
        exponential_shape(g, p, is_delta, &s);
    else if (p->kind == OTLP_SUMMARY)
        summary_shape(g, p, &s);
    else
        g->sum += p->value;
    if (s.key != g->shape)
        why = build(o, g, r, p, &s);
    if (!why) {
        store(o, g, p, &s);
        g->last_ns = is_delta ? p->time_ns : 0;
    }
    shape_done(&s);
    return why;
}
