/* SPDX-License-Identifier: Apache-2.0
 *
 * Functions of a range of each series: rates, and what is gathered over time. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "promql/fn.h"

/* One value per series of a range; false: none. */
typedef bool over_fn(const struct value *window, const struct range_series *s, double param,
                     double *ret);

static int over(struct eval *e, const struct value *m, double param, over_fn *fn, bool keep_name,
                struct value *ret)
{
    for (size_t i = 0; i < m->n; i++) {
        double v;

        if (fn(m, &m->mat[i], param, &v))
            value_add(e, ret,
                      keep_name ? m->mat[i].labels : labels_without_name(e, m->mat[i].labels), v);
    }
    return 0;
}

/* --- rates --- */

static bool extrapolated(const struct value *w, const struct range_series *s, bool counter,
                         bool rate, double *ret)
{
    double result, start, end, interval, average, threshold, factor;
    size_t n = s->n;

    if (n < 2)
        return false;
    result = s->p[n - 1].v - s->p[0].v;
    for (size_t i = 1; counter && i < n; i++)
        if (s->p[i].v < s->p[i - 1].v)
            result += s->p[i - 1].v;
    start = (double)(s->p[0].t_ms - (w->window_end - w->range_ms)) / 1000;
    end = (double)(w->window_end - s->p[n - 1].t_ms) / 1000;
    interval = (double)(s->p[n - 1].t_ms - s->p[0].t_ms) / 1000;
    average = interval / (double)(n - 1);
    threshold = average * 1.1;
    if (start >= threshold)
        start = average / 2;
    if (counter) {
        double zero = start;

        if (result > 0 && s->p[0].v >= 0)
            zero = interval * (s->p[0].v / result);
        if (zero < start)
            start = zero;
    }
    if (end >= threshold)
        end = average / 2;
    factor = (interval + start + end) / interval;
    if (rate)
        factor /= (double)w->range_ms / 1000;
    *ret = result * factor;
    return true;
}

static bool o_rate(const struct value *w, const struct range_series *s, double p, double *ret)
{
    return extrapolated(w, s, true, true, ret);
}
static bool o_increase(const struct value *w, const struct range_series *s, double p, double *ret)
{
    return extrapolated(w, s, true, false, ret);
}
static bool o_delta(const struct value *w, const struct range_series *s, double p, double *ret)
{
    return extrapolated(w, s, false, false, ret);
}

static bool instant(const struct range_series *s, bool rate, double *ret)
{
    const struct promql_point *a, *b;

    if (s->n < 2)
        return false;
    a = &s->p[s->n - 2];
    b = &s->p[s->n - 1];
    *ret = rate && b->v < a->v ? b->v : b->v - a->v;
    if (rate)
        *ret /= (double)(b->t_ms - a->t_ms) / 1000;
    return true;
}

static bool o_irate(const struct value *w, const struct range_series *s, double p, double *ret)
{
    return instant(s, true, ret);
}
static bool o_idelta(const struct value *w, const struct range_series *s, double p, double *ret)
{
    return instant(s, false, ret);
}

/* Least squares over seconds from `origin`. */
static void regression(const struct range_series *s, int64_t origin, double *slope,
                       double *intercept)
{
    double n = 0, sx = 0, cx = 0, sy = 0, cy = 0, sxy = 0, cxy = 0, sx2 = 0, cx2 = 0, cov, var;
    bool constant = true;

    for (size_t i = 0; i < s->n; i++) {
        double t = (double)(s->p[i].t_ms - origin) / 1000, v = s->p[i].v;

        constant &= i == 0 || v == s->p[0].v;
        n++;
        sx = kahan(t, sx, &cx);
        sy = kahan(v, sy, &cy);
        sxy = kahan(t * v, sxy, &cxy);
        sx2 = kahan(t * t, sx2, &cx2);
    }
    if (constant) {
        *slope = isinf(s->p[0].v) ? NAN : 0;
        *intercept = isinf(s->p[0].v) ? NAN : s->p[0].v;
        return;
    }
    sx += cx;
    sy += cy;
    sxy += cxy;
    sx2 += cx2;
    cov = sxy - sx * sy / n;
    var = sx2 - sx * sx / n;
    *slope = cov / var;
    *intercept = sy / n - *slope * sx / n;
}

static bool o_deriv(const struct value *w, const struct range_series *s, double p, double *ret)
{
    double intercept;

    if (s->n < 2)
        return false;
    regression(s, s->p[0].t_ms, ret, &intercept);
    return true;
}

static bool o_resets(const struct value *w, const struct range_series *s, double p, double *ret)
{
    *ret = 0;
    for (size_t i = 1; i < s->n; i++)
        *ret += s->p[i].v < s->p[i - 1].v;
    return true;
}

static bool o_changes(const struct value *w, const struct range_series *s, double p, double *ret)
{
    *ret = 0;
    for (size_t i = 1; i < s->n; i++)
        *ret += s->p[i].v != s->p[i - 1].v && !(isnan(s->p[i].v) && isnan(s->p[i - 1].v));
    return true;
}

/* --- over time --- */

static bool o_avg(const struct value *w, const struct range_series *s, double p, double *ret)
{
    double sum = 0, c = 0, mean = 0;

    for (size_t i = 0; i < s->n; i++)
        sum = kahan(s->p[i].v, sum, &c);
    if (isfinite(sum + c)) {
        *ret = (sum + c) / (double)s->n;
        return true;
    }
    c = 0;
    for (size_t i = 0; i < s->n; i++) {
        double v = s->p[i].v, n = (double)(i + 1);

        if (isinf(mean) && (isinf(v) ? (mean > 0) == (v > 0) : !isnan(v)))
            continue;
        mean = kahan(v / n - (mean + c) / n, mean, &c);
    }
    *ret = isinf(mean) ? mean : mean + c;
    return true;
}

static bool o_sum(const struct value *w, const struct range_series *s, double p, double *ret)
{
    double sum = 0, c = 0;

    for (size_t i = 0; i < s->n; i++)
        sum = kahan(s->p[i].v, sum, &c);
    *ret = isinf(sum) ? sum : sum + c;
    return true;
}

static bool o_min(const struct value *w, const struct range_series *s, double p, double *ret)
{
    *ret = s->p[0].v;
    for (size_t i = 1; i < s->n; i++)
        if (s->p[i].v < *ret || isnan(*ret))
            *ret = s->p[i].v;
    return true;
}

static bool o_max(const struct value *w, const struct range_series *s, double p, double *ret)
{
    *ret = s->p[0].v;
    for (size_t i = 1; i < s->n; i++)
        if (s->p[i].v > *ret || isnan(*ret))
            *ret = s->p[i].v;
    return true;
}

static bool o_count(const struct value *w, const struct range_series *s, double p, double *ret)
{
    *ret = (double)s->n;
    return true;
}

static bool o_last(const struct value *w, const struct range_series *s, double p, double *ret)
{
    *ret = s->p[s->n - 1].v;
    return true;
}

static bool o_first(const struct value *w, const struct range_series *s, double p, double *ret)
{
    *ret = s->p[0].v;
    return true;
}

static bool o_present(const struct value *w, const struct range_series *s, double p, double *ret)
{
    *ret = 1;
    return true;
}

static bool o_stdvar(const struct value *w, const struct range_series *s, double p, double *ret)
{
    double mean = 0, cm = 0, m2 = 0, c2 = 0;

    for (size_t i = 0; i < s->n; i++) {
        double delta = s->p[i].v - (mean + cm);

        mean = kahan(delta / (double)(i + 1), mean, &cm);
        m2 = kahan(delta * (s->p[i].v - (mean + cm)), m2, &c2);
    }
    *ret = (m2 + c2) / (double)s->n;
    return true;
}

static bool o_stddev(const struct value *w, const struct range_series *s, double p, double *ret)
{
    o_stdvar(w, s, p, ret);
    *ret = sqrt(*ret);
    return true;
}

static bool o_quantile(const struct value *w, const struct range_series *s, double p, double *ret)
{
    double *v = mem_array(s->n, sizeof(*v));

    for (size_t i = 0; i < s->n; i++)
        v[i] = s->p[i].v;
    *ret = quantile_of(p, v, s->n);
    free(v);
    return true;
}

#define OVER(name, fn, keep)                        \
    FN(name)                                        \
    {                                               \
        return over(e, &args[0], 0, fn, keep, ret); \
    }
OVER(f_rate, o_rate, false)
OVER(f_increase, o_increase, false)
OVER(f_delta, o_delta, false)
OVER(f_irate, o_irate, false)
OVER(f_idelta, o_idelta, false)
OVER(f_deriv, o_deriv, false)
OVER(f_resets, o_resets, false)
OVER(f_changes, o_changes, false)
OVER(f_avg_ot, o_avg, false)
OVER(f_sum_ot, o_sum, false)
OVER(f_min_ot, o_min, false)
OVER(f_max_ot, o_max, false)
OVER(f_count_ot, o_count, false)
OVER(f_last_ot, o_last, true)
OVER(f_first_ot, o_first, true)
OVER(f_present_ot, o_present, false)
OVER(f_stddev_ot, o_stddev, false)
OVER(f_stdvar_ot, o_stdvar, false)

FN(f_quantile_ot)
{
    eval_warn_quantile(e, x->args[0], args[0].scalar);
    return over(e, &args[1], args[0].scalar, o_quantile, false, ret);
}

FN(f_predict_linear)
{
    for (size_t i = 0; i < args[0].n; i++) {
        const struct range_series *s = &args[0].mat[i];
        double slope, intercept;

        if (s->n < 2)
            continue;
        regression(s, e->t, &slope, &intercept);
        value_add(e, ret, labels_without_name(e, s->labels), slope * args[1].scalar + intercept);
    }
    return 0;
}

const struct function promql_fn_range[] = {
    {"avg_over_time", "m", PROMQL_VECTOR, f_avg_ot, false},
    {"changes", "m", PROMQL_VECTOR, f_changes, false},
    {"count_over_time", "m", PROMQL_VECTOR, f_count_ot, false},
    {"delta", "m", PROMQL_VECTOR, f_delta, false},
    {"deriv", "m", PROMQL_VECTOR, f_deriv, false},
    {"first_over_time", "m", PROMQL_VECTOR, f_first_ot, true},
    {"idelta", "m", PROMQL_VECTOR, f_idelta, false},
    {"increase", "m", PROMQL_VECTOR, f_increase, false},
    {"irate", "m", PROMQL_VECTOR, f_irate, false},
    {"last_over_time", "m", PROMQL_VECTOR, f_last_ot, true},
    {"max_over_time", "m", PROMQL_VECTOR, f_max_ot, false},
    {"min_over_time", "m", PROMQL_VECTOR, f_min_ot, false},
    {"predict_linear", "ms", PROMQL_VECTOR, f_predict_linear, false},
    {"present_over_time", "m", PROMQL_VECTOR, f_present_ot, false},
    {"quantile_over_time", "sm", PROMQL_VECTOR, f_quantile_ot, false},
    {"rate", "m", PROMQL_VECTOR, f_rate, false},
    {"resets", "m", PROMQL_VECTOR, f_resets, false},
    {"stddev_over_time", "m", PROMQL_VECTOR, f_stddev_ot, false},
    {"stdvar_over_time", "m", PROMQL_VECTOR, f_stdvar_ot, false},
    {"sum_over_time", "m", PROMQL_VECTOR, f_sum_ot, false},
    {0},
};
