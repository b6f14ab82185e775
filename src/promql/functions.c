/* SPDX-License-Identifier: Apache-2.0
 *
 * Functions as a table; arithmetic in the order of Prometheus, so that results are equal to the
 * bit. */
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "promql/eval.h"

#define FN(name) \
    static int name(struct eval *e, const struct expr *x, struct value *args, struct value *ret)

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

/* --- value by value --- */

typedef double map_fn(double v);

static int map(struct eval *e, const struct value *v, map_fn *fn, struct value *ret)
{
    for (size_t i = 0; i < v->n; i++)
        value_add(e, ret, labels_without_name(e, v->vec[i].labels), fn(v->vec[i].v));
    return 0;
}

static double m_sgn(double v)
{
    return isnan(v) ? v : v > 0 ? 1 : v < 0 ? -1 : v;
}
static double m_deg(double v)
{
    return v * 180 / M_PI;
}
static double m_rad(double v)
{
    return v * M_PI / 180;
}

#define MAP(name, fn)                     \
    FN(name)                              \
    {                                     \
        return map(e, &args[0], fn, ret); \
    }
MAP(f_abs, fabs)
MAP(f_ceil, ceil)
MAP(f_floor, floor)
MAP(f_exp, exp)
MAP(f_ln, log)
MAP(f_log2, log2)
MAP(f_log10, log10)
MAP(f_sqrt, sqrt)
MAP(f_sgn, m_sgn)
MAP(f_sin, sin)
MAP(f_cos, cos)
MAP(f_tan, tan)
MAP(f_asin, asin)
MAP(f_acos, acos)
MAP(f_atan, atan)
MAP(f_sinh, sinh)
MAP(f_cosh, cosh)
MAP(f_tanh, tanh)
MAP(f_asinh, asinh)
MAP(f_acosh, acosh)
MAP(f_atanh, atanh)
MAP(f_deg, m_deg)
MAP(f_rad, m_rad)

FN(f_pi)
{
    ret->scalar = M_PI;
    return 0;
}

FN(f_round)
{
    double inverse = 1 / (x->n_args > 1 ? args[1].scalar : 1);

    for (size_t i = 0; i < args[0].n; i++)
        value_add(e, ret, labels_without_name(e, args[0].vec[i].labels),
                  floor(args[0].vec[i].v * inverse + 0.5) / inverse);
    return 0;
}

static int clamp(struct eval *e, const struct value *v, double min, double max, struct value *ret)
{
    for (size_t i = 0; max >= min && i < v->n; i++) {
        double y = v->vec[i].v;

        if (isnan(min) || isnan(max))
            y = NAN;
        else if (!isnan(y))
            y = fmax(min, fmin(max, y));
        value_add(e, ret, labels_without_name(e, v->vec[i].labels), y);
    }
    if (isnan(min) || isnan(max))
        for (size_t i = 0; !(max >= min) && i < v->n; i++)
            value_add(e, ret, labels_without_name(e, v->vec[i].labels), NAN);
    return 0;
}

FN(f_clamp)
{
    return clamp(e, &args[0], args[1].scalar, args[2].scalar, ret);
}
FN(f_clamp_min)
{
    return clamp(e, &args[0], args[1].scalar, INFINITY, ret);
}
FN(f_clamp_max)
{
    return clamp(e, &args[0], -INFINITY, args[1].scalar, ret);
}

/* --- scalars, times --- */

FN(f_time)
{
    ret->scalar = (double)e->t / 1000;
    return 0;
}

FN(f_vector)
{
    value_add(e, ret, (struct labels){0, NULL}, args[0].scalar);
    return 0;
}

FN(f_scalar)
{
    ret->scalar = args[0].n == 1 ? args[0].vec[0].v : NAN;
    return 0;
}

FN(f_timestamp)
{
    const struct expr *a = x->args[0];

    while (a->type == N_PAREN)
        a = a->args[0];
    for (size_t i = 0; i < args[0].n; i++)
        value_add(e, ret, labels_without_name(e, args[0].vec[i].labels),
                  (double)(a->type == N_SELECTOR ? args[0].vec[i].t : e->t) / 1000);
    return 0;
}

typedef double date_fn(const struct tm *tm);

static int dates(struct eval *e, const struct expr *x, const struct value *args, date_fn *fn,
                 struct value *ret)
{
    struct value now = {0};
    const struct value *v = &args[0];

    if (x->n_args == 0) {
        value_add(e, &now, (struct labels){0, NULL}, (double)e->t / 1000);
        v = &now;
    }
    for (size_t i = 0; i < v->n; i++) {
        double s = floor(v->vec[i].v);
        time_t t = isfinite(s) && fabs(s) < 1e15 ? (time_t)s : 0;
        struct tm tm;

        gmtime_r(&t, &tm);
        value_add(e, ret, labels_without_name(e, v->vec[i].labels), isfinite(s) ? fn(&tm) : NAN);
    }
    return 0;
}

static double d_minute(const struct tm *t)
{
    return t->tm_min;
}
static double d_hour(const struct tm *t)
{
    return t->tm_hour;
}
static double d_month(const struct tm *t)
{
    return t->tm_mon + 1;
}
static double d_year(const struct tm *t)
{
    return t->tm_year + 1900;
}
static double d_dom(const struct tm *t)
{
    return t->tm_mday;
}
static double d_dow(const struct tm *t)
{
    return t->tm_wday;
}
static double d_doy(const struct tm *t)
{
    return t->tm_yday + 1;
}
static double d_dim(const struct tm *t)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int y = t->tm_year + 1900;

    return days[t->tm_mon] + (t->tm_mon == 1 && (y % 4 == 0 && (y % 100 != 0 || y % 400 == 0)));
}

#define DATE(name, fn)                     \
    FN(name)                               \
    {                                      \
        return dates(e, x, args, fn, ret); \
    }
DATE(f_minute, d_minute)
DATE(f_hour, d_hour)
DATE(f_month, d_month)
DATE(f_year, d_year)
DATE(f_day_of_month, d_dom)
DATE(f_day_of_week, d_dow)
DATE(f_day_of_year, d_doy)
DATE(f_days_in_month, d_dim)

/* --- presence and order --- */

/* Labels that equality matchers of the argument pin, each named once. */
static struct labels absent_labels(struct eval *e, const struct expr *a)
{
    struct labels l = {0, NULL};

    while (a->type == N_PAREN || a->type == N_MATRIX)
        a = a->args[0];
    for (size_t i = 0; a->type == N_SELECTOR && i < a->n_matchers; i++) {
        const struct matcher *m = &a->matchers[i];
        size_t times = 0;

        for (size_t k = 0; k < a->n_matchers; k++)
            times += str_eq(a->matchers[k].name, m->name);
        if (m->op == MATCH_EQ && times == 1 && !str_is(m->name, "__name__"))
            l = labels_with(e, l, m->name, m->value);
    }
    return l;
}

FN(f_absent)
{
    if (args[0].n == 0)
        value_add(e, ret, absent_labels(e, x->args[0]), 1);
    return 0;
}

static int ascending(const void *a, const void *b)
{
    double x = ((const struct sample *)a)->v, y = ((const struct sample *)b)->v;

    if (isnan(x) || isnan(y))
        return isnan(x) ? !isnan(y) : -1;
    return x < y ? -1 : x > y;
}

static int descending(const void *a, const void *b)
{
    double x = ((const struct sample *)a)->v, y = ((const struct sample *)b)->v;

    if (isnan(x) || isnan(y))
        return isnan(x) ? !isnan(y) : -1;
    return x > y ? -1 : x < y;
}

static void warn_sort(struct eval *e, const struct expr *x)
{
    if (e->end > e->start)
        eval_warn(e, x,
                  "PromQL warning: sort is ineffective for range queries since results are always "
                  "ordered by labels");
}

FN(f_sort)
{
    warn_sort(e, x);
    *ret = args[0];
    if (ret->n > 1)
        qsort(ret->vec, ret->n, sizeof(*ret->vec), ascending);
    return 0;
}

FN(f_sort_desc)
{
    warn_sort(e, x);
    *ret = args[0];
    if (ret->n > 1)
        qsort(ret->vec, ret->n, sizeof(*ret->vec), descending);
    return 0;
}

/* --- labels --- */

static bool is_label_name(struct str s)
{
    return s.n > 0 && str_is_utf8(s) && str_chr(s, '\0') < 0;
}

/* $1, ${name}, $$ of a template. */
static void expand_template(const struct re2_pattern *re, struct str t, const char **begin,
                            const size_t *len, int groups, struct buf *out)
{
    for (size_t i = 0; i < t.n; i++) {
        size_t from, n;
        int g = -1;
        bool brace;
        int64_t number;

        if (t.p[i] != '$' || i + 1 >= t.n) {
            buf_add_char(out, t.p[i]);
            continue;
        }
        if (t.p[i + 1] == '$') {
            buf_add_char(out, '$');
            i++;
            continue;
        }
        brace = t.p[i + 1] == '{';
        from = i + 1 + brace;
        for (n = 0; from + n < t.n &&
                    (t.p[from + n] == '_' || (t.p[from + n] >= '0' && t.p[from + n] <= '9') ||
                     ((t.p[from + n] | 0x20) >= 'a' && (t.p[from + n] | 0x20) <= 'z'));
             n++)
            ;
        if (n == 0 || (brace && (from + n >= t.n || t.p[from + n] != '}'))) {
            buf_add_char(out, '$');
            continue;
        }
        if (str_to_i64((struct str){t.p + from, n}, &number))
            g = number < groups ? (int)number : -1;
        else
            g = re2_group_number(re, t.p + from, n);
        if (g >= 0 && begin[g])
            buf_add(out, begin[g], len[g]);
        i = from + n - 1 + brace;
    }
}

FN(f_label_replace)
{
    struct str dst = args[1].string, template = args[2].string, src = args[3].string,
               pattern = args[4].string;
    const char *begin[32];
    size_t len[32];
    char why[200];
    struct re2_pattern *re = re2_compile(pattern.n ? pattern.p : "", pattern.n, why, sizeof(why));
    int groups;

    if (!re)
        return err_set(e->err, ERR_BAD_INPUT, "invalid regular expression in label_replace(): %.*s",
                       STR_ARG(pattern));
    if (!is_label_name(dst)) {
        re2_free(re);
        return err_set(e->err, ERR_BAD_INPUT,
                       "invalid destination label name in label_replace(): %.*s", STR_ARG(dst));
    }
    groups = re2_groups(re) + 1;
    groups = groups > 32 ? 32 : groups;
    for (size_t i = 0; i < args[0].n; i++) {
        struct labels l = args[0].vec[i].labels;
        struct str v = labels_get(l, src);
        struct buf out = BUF_INIT;

        if (re2_captures(re, v.n ? v.p : "", v.n, begin, len, groups)) {
            expand_template(re, template, begin, len, groups, &out);
            l = labels_with(e, l, dst, arena_str(e->a, buf_str(&out)));
        }
        buf_done(&out);
        value_add(e, ret, l, args[0].vec[i].v);
    }
    re2_free(re);
    return 0;
}

FN(f_label_join)
{
    if (!is_label_name(args[1].string))
        return err_set(e->err, ERR_BAD_INPUT,
                       "invalid destination label name in label_join(): %.*s",
                       STR_ARG(args[1].string));
    for (size_t i = 0; i < args[0].n; i++) {
        struct buf out = BUF_INIT;

        for (size_t k = 3; k < x->n_args; k++) {
            if (k > 3)
                buf_add_str(&out, args[2].string);
            buf_add_str(&out, labels_get(args[0].vec[i].labels, args[k].string));
        }
        value_add(
            e, ret,
            labels_with(e, args[0].vec[i].labels, args[1].string, arena_str(e->a, buf_str(&out))),
            args[0].vec[i].v);
        buf_done(&out);
    }
    return 0;
}

/* --- classic histograms --- */

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

const struct function promql_functions[] = {
    {"abs", "v", PROMQL_VECTOR, f_abs, false},
    {"absent", "v", PROMQL_VECTOR, f_absent, false},
    {"absent_over_time", "m", PROMQL_VECTOR, f_absent, false},
    {"acos", "v", PROMQL_VECTOR, f_acos, false},
    {"acosh", "v", PROMQL_VECTOR, f_acosh, false},
    {"asin", "v", PROMQL_VECTOR, f_asin, false},
    {"asinh", "v", PROMQL_VECTOR, f_asinh, false},
    {"atan", "v", PROMQL_VECTOR, f_atan, false},
    {"atanh", "v", PROMQL_VECTOR, f_atanh, false},
    {"avg_over_time", "m", PROMQL_VECTOR, f_avg_ot, false},
    {"ceil", "v", PROMQL_VECTOR, f_ceil, false},
    {"changes", "m", PROMQL_VECTOR, f_changes, false},
    {"clamp", "vss", PROMQL_VECTOR, f_clamp, false},
    {"clamp_max", "vs", PROMQL_VECTOR, f_clamp_max, false},
    {"clamp_min", "vs", PROMQL_VECTOR, f_clamp_min, false},
    {"cos", "v", PROMQL_VECTOR, f_cos, false},
    {"cosh", "v", PROMQL_VECTOR, f_cosh, false},
    {"count_over_time", "m", PROMQL_VECTOR, f_count_ot, false},
    {"day_of_month", "V", PROMQL_VECTOR, f_day_of_month, false},
    {"day_of_week", "V", PROMQL_VECTOR, f_day_of_week, false},
    {"day_of_year", "V", PROMQL_VECTOR, f_day_of_year, false},
    {"days_in_month", "V", PROMQL_VECTOR, f_days_in_month, false},
    {"deg", "v", PROMQL_VECTOR, f_deg, false},
    {"delta", "m", PROMQL_VECTOR, f_delta, false},
    {"deriv", "m", PROMQL_VECTOR, f_deriv, false},
    {"exp", "v", PROMQL_VECTOR, f_exp, false},
    {"first_over_time", "m", PROMQL_VECTOR, f_first_ot, true},
    {"floor", "v", PROMQL_VECTOR, f_floor, false},
    {"histogram_fraction", "ssv", PROMQL_VECTOR, f_histogram_fraction, false},
    {"histogram_quantile", "sv", PROMQL_VECTOR, f_histogram_quantile, false},
    {"hour", "V", PROMQL_VECTOR, f_hour, false},
    {"idelta", "m", PROMQL_VECTOR, f_idelta, false},
    {"increase", "m", PROMQL_VECTOR, f_increase, false},
    {"irate", "m", PROMQL_VECTOR, f_irate, false},
    {"label_join", "vttT*", PROMQL_VECTOR, f_label_join, true},
    {"label_replace", "vtttt", PROMQL_VECTOR, f_label_replace, true},
    {"last_over_time", "m", PROMQL_VECTOR, f_last_ot, true},
    {"ln", "v", PROMQL_VECTOR, f_ln, false},
    {"log10", "v", PROMQL_VECTOR, f_log10, false},
    {"log2", "v", PROMQL_VECTOR, f_log2, false},
    {"max_over_time", "m", PROMQL_VECTOR, f_max_ot, false},
    {"min_over_time", "m", PROMQL_VECTOR, f_min_ot, false},
    {"minute", "V", PROMQL_VECTOR, f_minute, false},
    {"month", "V", PROMQL_VECTOR, f_month, false},
    {"pi", "", PROMQL_SCALAR, f_pi, false},
    {"predict_linear", "ms", PROMQL_VECTOR, f_predict_linear, false},
    {"present_over_time", "m", PROMQL_VECTOR, f_present_ot, false},
    {"quantile_over_time", "sm", PROMQL_VECTOR, f_quantile_ot, false},
    {"rad", "v", PROMQL_VECTOR, f_rad, false},
    {"rate", "m", PROMQL_VECTOR, f_rate, false},
    {"resets", "m", PROMQL_VECTOR, f_resets, false},
    {"round", "vS", PROMQL_VECTOR, f_round, false},
    {"scalar", "v", PROMQL_SCALAR, f_scalar, false},
    {"sgn", "v", PROMQL_VECTOR, f_sgn, false},
    {"sin", "v", PROMQL_VECTOR, f_sin, false},
    {"sinh", "v", PROMQL_VECTOR, f_sinh, false},
    {"sort", "v", PROMQL_VECTOR, f_sort, true},
    {"sort_desc", "v", PROMQL_VECTOR, f_sort_desc, true},
    {"sqrt", "v", PROMQL_VECTOR, f_sqrt, false},
    {"stddev_over_time", "m", PROMQL_VECTOR, f_stddev_ot, false},
    {"stdvar_over_time", "m", PROMQL_VECTOR, f_stdvar_ot, false},
    {"sum_over_time", "m", PROMQL_VECTOR, f_sum_ot, false},
    {"tan", "v", PROMQL_VECTOR, f_tan, false},
    {"tanh", "v", PROMQL_VECTOR, f_tanh, false},
    {"time", "", PROMQL_SCALAR, f_time, false},
    {"timestamp", "v", PROMQL_VECTOR, f_timestamp, false},
    {"vector", "s", PROMQL_VECTOR, f_vector, false},
    {"year", "V", PROMQL_VECTOR, f_year, false},
    {0},
};
