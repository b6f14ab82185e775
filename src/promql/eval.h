/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the evaluator: one instant at a time, everything in one arena. */
#ifndef FB_PROMQL_EVAL_H
#define FB_PROMQL_EVAL_H

#include "promql/ast.h"

struct eval {
    struct tsdb *db;
    struct str text; /* of the query, for positions */
    struct arena *a;
    const struct promql_options *o;
    int64_t t;          /* of this instant */
    int64_t start, end; /* of the whole query */
    int64_t lookback, default_step;
    size_t samples, max_samples;
    size_t substeps; /* evaluations inside subqueries so far */
    struct err *err;
    struct buf *warnings;
};

struct sample {
    struct labels labels;
    int64_t t; /* of the underlying sample, for timestamp() */
    double v;
};

struct range_series {
    struct labels labels;
    struct promql_point *p;
    size_t n, cap;
};

struct value {
    enum promql_type type;
    double scalar;
    struct str string;
    struct sample *vec;
    struct range_series *mat;
    size_t n, cap;
    /* of a matrix: its window */
    int64_t range_ms, window_end;
    const struct expr *source;
};

/* Empties *ret and evaluates into it. */
struct eval eval_begin(struct tsdb *db, const struct promql *q, const struct promql_options *o,
                       struct promql_result *ret, struct err *err);
int eval_expr(struct eval *e, const struct expr *x, struct value *ret);
void value_add(struct eval *e, struct value *v, struct labels l, double x);
/* __name__, and what goes with it: __type__, __unit__. */
bool labels_is_name(struct str name);
struct labels labels_without_name(struct eval *e, struct labels l);
struct str labels_get(struct labels l, struct str name);
/* A copy with name set to value (empty: removed). */
struct labels labels_with(struct eval *e, struct labels l, struct str name, struct str value);
bool labels_equal(struct labels a, struct labels b);
uint64_t labels_hash(struct labels l);
/* An annotation about the part of the query at `at`: the same text counts once. */
__attribute__((format(printf, 3, 4))) void eval_warn(struct eval *e, const struct expr *at,
                                                     const char *fmt, ...);
/* "got NaN": as Go prints %g. */
void eval_warn_quantile(struct eval *e, const struct expr *at, double q);
int eval_aggregate(struct eval *e, const struct expr *x, struct value *ret);
int eval_binary(struct eval *e, const struct expr *x, struct value *ret);
/* Kahan-Neumaier summation, as Prometheus sums. */
static inline double kahan(double inc, double sum, double *c)
{
    double t = sum + inc;

    if (__builtin_isinf(t))
        *c = 0;
    else if (__builtin_fabs(sum) >= __builtin_fabs(inc))
        *c += (sum - t) + inc;
    else
        *c += (inc - t) + sum;
    return t;
}
double quantile_of(double q, double *v, size_t n); /* sorts v */

#endif
