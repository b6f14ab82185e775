/* SPDX-License-Identifier: Apache-2.0
 *
 * Functions of labels, of absence and of order. */
#include <math.h>
#include <stdlib.h>

#include "promql/fn.h"

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

const struct function promql_fn_labels[] = {
    {"absent", "v", PROMQL_VECTOR, f_absent, false},
    {"absent_over_time", "m", PROMQL_VECTOR, f_absent, false},
    {"label_join", "vttT*", PROMQL_VECTOR, f_label_join, true},
    {"label_replace", "vtttt", PROMQL_VECTOR, f_label_replace, true},
    {"sort", "v", PROMQL_VECTOR, f_sort, true},
    {"sort_desc", "v", PROMQL_VECTOR, f_sort_desc, true},
    {0},
};
