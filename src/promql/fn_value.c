/* SPDX-License-Identifier: Apache-2.0
 *
 * Functions that work value by value, scalars, and times. */
#include <math.h>
#include <time.h>

#include "promql/fn.h"

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

const struct function promql_fn_value[] = {
    {"abs", "v", PROMQL_VECTOR, f_abs, false},
    {"acos", "v", PROMQL_VECTOR, f_acos, false},
    {"acosh", "v", PROMQL_VECTOR, f_acosh, false},
    {"asin", "v", PROMQL_VECTOR, f_asin, false},
    {"asinh", "v", PROMQL_VECTOR, f_asinh, false},
    {"atan", "v", PROMQL_VECTOR, f_atan, false},
    {"atanh", "v", PROMQL_VECTOR, f_atanh, false},
    {"ceil", "v", PROMQL_VECTOR, f_ceil, false},
    {"clamp", "vss", PROMQL_VECTOR, f_clamp, false},
    {"clamp_max", "vs", PROMQL_VECTOR, f_clamp_max, false},
    {"clamp_min", "vs", PROMQL_VECTOR, f_clamp_min, false},
    {"cos", "v", PROMQL_VECTOR, f_cos, false},
    {"cosh", "v", PROMQL_VECTOR, f_cosh, false},
    {"day_of_month", "V", PROMQL_VECTOR, f_day_of_month, false},
    {"day_of_week", "V", PROMQL_VECTOR, f_day_of_week, false},
    {"day_of_year", "V", PROMQL_VECTOR, f_day_of_year, false},
    {"days_in_month", "V", PROMQL_VECTOR, f_days_in_month, false},
    {"deg", "v", PROMQL_VECTOR, f_deg, false},
    {"exp", "v", PROMQL_VECTOR, f_exp, false},
    {"floor", "v", PROMQL_VECTOR, f_floor, false},
    {"hour", "V", PROMQL_VECTOR, f_hour, false},
    {"ln", "v", PROMQL_VECTOR, f_ln, false},
    {"log10", "v", PROMQL_VECTOR, f_log10, false},
    {"log2", "v", PROMQL_VECTOR, f_log2, false},
    {"minute", "V", PROMQL_VECTOR, f_minute, false},
    {"month", "V", PROMQL_VECTOR, f_month, false},
    {"pi", "", PROMQL_SCALAR, f_pi, false},
    {"rad", "v", PROMQL_VECTOR, f_rad, false},
    {"round", "vS", PROMQL_VECTOR, f_round, false},
    {"scalar", "v", PROMQL_SCALAR, f_scalar, false},
    {"sgn", "v", PROMQL_VECTOR, f_sgn, false},
    {"sin", "v", PROMQL_VECTOR, f_sin, false},
    {"sinh", "v", PROMQL_VECTOR, f_sinh, false},
    {"sqrt", "v", PROMQL_VECTOR, f_sqrt, false},
    {"tan", "v", PROMQL_VECTOR, f_tan, false},
    {"tanh", "v", PROMQL_VECTOR, f_tanh, false},
    {"time", "", PROMQL_SCALAR, f_time, false},
    {"timestamp", "v", PROMQL_VECTOR, f_timestamp, false},
    {"vector", "s", PROMQL_VECTOR, f_vector, false},
    {"year", "V", PROMQL_VECTOR, f_year, false},
    {0},
};
