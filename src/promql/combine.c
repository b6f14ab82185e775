/* SPDX-License-Identifier: Apache-2.0
 *
 * Aggregation and binary operators. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/table.h"
#include "promql/eval.h"

/* --- grouping --- */

static bool in_list(const struct str *list, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(list[i], name))
            return true;
    return false;
}

/* Labels that remain: those listed (keep), or those not listed and not the name. */
static struct labels project(struct eval *e, struct labels l, const struct str *list, size_t n,
                             bool keep)
{
    struct label *items = arena_alloc(e->a, (l.n + 1) * sizeof(*items));
    size_t m = 0;

    for (size_t i = 0; i < l.n; i++) {
        bool listed = in_list(list, n, l.items[i].name);

        if (keep ? listed : !listed && !str_is(l.items[i].name, "__name__"))
            items[m++] = l.items[i];
    }
    return (struct labels){m, items};
}

static struct str key_of(struct eval *e, struct labels l)
{
    size_t n = 0;
    char *p, *text;

    for (size_t i = 0; i < l.n; i++)
        n += l.items[i].name.n + l.items[i].value.n + 2;
    text = p = arena_alloc(e->a, n + 1);
    for (size_t i = 0; i < l.n; i++) {
        memcpy(p, l.items[i].name.p, l.items[i].name.n);
        p += l.items[i].name.n;
        *p++ = '\xff';
        memcpy(p, l.items[i].value.p, l.items[i].value.n);
        p += l.items[i].value.n;
        *p++ = '\xff';
    }
    return str_n(text, n);
}

struct group {
    struct labels labels;
    struct sample *items;
    size_t n, cap;
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    if (isnan(x) || isnan(y))
        return isnan(x) ? (isnan(y) ? 0 : -1) : 1;
    return x < y ? -1 : x > y;
}

double quantile_of(double q, double *v, size_t n)
{
    double rank, lower, upper, w;

    if (n == 0 || isnan(q))
        return NAN;
    if (q < 0)
        return -INFINITY;
    if (q > 1)
        return INFINITY;
    if (n > 1)
        qsort(v, n, sizeof(*v), by_value);
    rank = q * ((double)n - 1);
    lower = fmax(0, floor(rank));
    upper = fmin((double)n - 1, lower + 1);
    w = rank - floor(rank);
    return v[(size_t)lower] * (1 - w) + v[(size_t)upper] * w;
}

static double variance(const struct group *g)
{
    double mean = 0, cm = 0, m2 = 0, c2 = 0;

    for (size_t i = 0; i < g->n; i++) {
        double delta = g->items[i].v - (mean + cm);

        mean = kahan(delta / (double)(i + 1), mean, &cm);
        m2 = kahan(delta * (g->items[i].v - (mean + cm)), m2, &c2);
    }
    return (m2 + c2) / (double)g->n;
}

static double mean_of(const struct group *g)
{
    double sum = 0, c = 0;

    for (size_t i = 0; i < g->n; i++)
        sum = kahan(g->items[i].v, sum, &c);
    if (isfinite(sum + c) || g->n == 0)
        return (sum + c) / (double)g->n;
    sum = c = 0; /* the sum overflowed: the mean need not */
    for (size_t i = 0; i < g->n; i++) {
        double count = (double)(i + 1), v = g->items[i].v;

        if (isinf(sum) && (isinf(v) ? (sum > 0) == (v > 0) : !isnan(v)))
            continue;
        sum = kahan(v / count - (sum + c) / count, sum, &c);
    }
    return isinf(sum) ? sum : sum + c;
}

static double reduce(struct str op, const struct group *g, double param)
{
    double x = g->items[0].v, sum = 0, c = 0, *values;

    if (str_is(op, "sum")) {
        for (size_t i = 0; i < g->n; i++)
            sum = kahan(g->items[i].v, sum, &c);
        return isinf(sum) ? sum : sum + c;
    }
    if (str_is(op, "avg"))
        return mean_of(g);
    if (str_is(op, "count"))
        return (double)g->n;
    if (str_is(op, "group"))
        return 1;
    if (str_is(op, "min") || str_is(op, "max")) {
        for (size_t i = 1; i < g->n; i++)
            if (isnan(x) || (str_is(op, "min") ? g->items[i].v < x : g->items[i].v > x))
                x = g->items[i].v;
        return x;
    }
    if (str_is(op, "stdvar"))
        return variance(g);
    if (str_is(op, "stddev"))
        return sqrt(variance(g));
    values = mem_array(g->n, sizeof(*values));
    for (size_t i = 0; i < g->n; i++)
        values[i] = g->items[i].v;
    x = quantile_of(param, values, g->n);
    free(values);
    return x;
}

/* NaN is the least for topk, the greatest for bottomk: it is taken last. */
static int top_first(const void *a, const void *b)
{
    double x = ((const struct sample *)a)->v, y = ((const struct sample *)b)->v;

    if (isnan(x) || isnan(y))
        return isnan(x) ? !isnan(y) : -1;
    return x > y ? -1 : x < y;
}

static int bottom_first(const void *a, const void *b)
{
    double x = ((const struct sample *)a)->v, y = ((const struct sample *)b)->v;

    if (isnan(x) || isnan(y))
        return isnan(x) ? !isnan(y) : -1;
    return x < y ? -1 : x > y;
}

static void pick_k(struct eval *e, struct str op, struct group *g, double k, struct value *ret)
{
    if (!str_is(op, "limitk") && g->n > 1)
        qsort(g->items, g->n, sizeof(*g->items), str_is(op, "topk") ? top_first : bottom_first);
    for (size_t i = 0; i < g->n && (double)(i + 1) <= k; i++)
        value_add(e, ret, g->items[i].labels, g->items[i].v);
}

static void count_values(struct eval *e, struct group *g, struct str label, struct value *ret)
{
    size_t first = ret->n;

    for (size_t i = 0; i < g->n; i++) {
        struct buf b = BUF_INIT;
        struct labels l;
        size_t k = first;

        promql_write_float(&b, g->items[i].v);
        l = labels_with(e, g->labels, label, arena_str(e->a, buf_str(&b)));
        buf_done(&b);
        while (k < ret->n && !labels_equal(ret->vec[k].labels, l))
            k++;
        if (k < ret->n)
            ret->vec[k].v++;
        else
            value_add(e, ret, l, 1);
    }
}

int eval_aggregate(struct eval *e, const struct expr *x, struct value *ret)
{
    struct value param = {0}, v;
    struct table index = TABLE_INIT;
    struct group *groups = NULL;
    size_t n = 0, cap = 0;
    int r = 0;

    if (x->n_args == 2)
        r = eval_expr(e, x->args[0], &param);
    if (r == 0)
        r = eval_expr(e, x->args[x->n_args - 1], &v);
    if (r < 0)
        return r;
    if (str_is(x->text, "quantile"))
        eval_warn_quantile(e, x->args[0], param.scalar);
    if ((str_is(x->text, "topk") || str_is(x->text, "bottomk") || str_is(x->text, "limitk")) &&
        isnan(param.scalar))
        return err_set(e->err, ERR_INVALID, "Parameter value is NaN");
    for (size_t i = 0; i < v.n; i++) {
        struct labels l = project(e, v.vec[i].labels, x->labels, x->n_labels, !x->without);
        struct str key = key_of(e, l);
        size_t k = (size_t)(uintptr_t)table_get(&index, key);
        struct group *g;

        if (k == 0) {
            groups = arena_grow(e->a, groups, &cap, n, sizeof(*groups));
            groups[n++] = (struct group){.labels = l};
            k = n;
            table_set(&index, key, (void *)(uintptr_t)k);
        }
        g = &groups[k - 1];
        g->items = arena_grow(e->a, g->items, &g->cap, g->n, sizeof(*g->items));
        g->items[g->n++] = v.vec[i];
    }
    table_done(&index);
    for (size_t i = 0; i < n; i++) {
        if (str_is(x->text, "topk") || str_is(x->text, "bottomk") || str_is(x->text, "limitk"))
            pick_k(e, x->text, &groups[i], param.scalar, ret);
        else if (str_is(x->text, "count_values"))
            count_values(e, &groups[i], param.string, ret);
        else
            value_add(e, ret, groups[i].labels, reduce(x->text, &groups[i], param.scalar));
    }
    return 0;
}

/* --- binary operators --- */

static double arithmetic(enum op op, double a, double b)
{
    switch (op) {
    case OP_ADD:
        return a + b;
    case OP_SUB:
        return a - b;
    case OP_MUL:
        return a * b;
    case OP_DIV:
        return a / b;
    case OP_MOD:
        return fmod(a, b);
    case OP_POW:
        return pow(a, b);
    case OP_ATAN2:
        return atan2(a, b);
    case OP_EQL:
        return a == b;
    case OP_NEQ:
        return a != b;
    case OP_LTE:
        return a <= b;
    case OP_LSS:
        return a < b;
    case OP_GTE:
        return a >= b;
    case OP_GTR:
        return a > b;
    default:
        return NAN;
    }
}

static bool is_comparison(enum op op)
{
    return op >= OP_EQL && op <= OP_GTR;
}

static int vector_scalar(struct eval *e, const struct expr *x, const struct value *l,
                         const struct value *r, struct value *ret)
{
    bool left_scalar = l->type == PROMQL_SCALAR;
    const struct value *v = left_scalar ? r : l;

    for (size_t i = 0; i < v->n; i++) {
        double a = left_scalar ? l->scalar : v->vec[i].v, b = left_scalar ? v->vec[i].v : r->scalar;
        double y = arithmetic(x->op, a, b);

        if (is_comparison(x->op) && !x->bool_modifier) {
            if (y != 0)
                value_add(e, ret, v->vec[i].labels, v->vec[i].v);
        } else {
            value_add(e, ret, labels_without_name(e, v->vec[i].labels), y);
        }
    }
    return 0;
}

static struct str match_key(struct eval *e, const struct expr *x, struct labels l)
{
    return key_of(e, project(e, l, x->labels, x->n_labels, x->has_matching && x->on));
}

static int set_operator(struct eval *e, const struct expr *x, const struct value *l,
                        const struct value *r, struct value *ret)
{
    struct table index = TABLE_INIT;
    const struct value *indexed = x->op == OP_OR ? l : r;

    for (size_t i = 0; i < indexed->n; i++)
        table_set(&index, match_key(e, x, indexed->vec[i].labels), e);
    for (size_t i = 0; i < l->n; i++) {
        bool found = x->op != OP_OR && table_get(&index, match_key(e, x, l->vec[i].labels));

        if (x->op == OP_OR || (x->op == OP_AND) == found)
            value_add(e, ret, l->vec[i].labels, l->vec[i].v);
    }
    for (size_t i = 0; x->op == OP_OR && i < r->n; i++)
        if (!table_get(&index, match_key(e, x, r->vec[i].labels)))
            value_add(e, ret, r->vec[i].labels, r->vec[i].v);
    table_done(&index);
    return 0;
}

static void write_labels(struct buf *b, struct labels l)
{
    buf_add_char(b, '{');
    for (size_t i = 0; i < l.n; i++)
        buf_printf(b, "%s%.*s=\"%.*s\"", i ? ", " : "", STR_ARG(l.items[i].name),
                   STR_ARG(l.items[i].value));
    buf_add_char(b, '}');
}

static int by_labels(struct labels a, struct labels b)
{
    for (size_t i = 0; i < a.n && i < b.n; i++) {
        int c = str_cmp(a.items[i].name, b.items[i].name);

        if (c == 0)
            c = str_cmp(a.items[i].value, b.items[i].value);
        if (c)
            return c;
    }
    return a.n < b.n ? -1 : a.n > b.n;
}

/* Names the two series, in a stable order. */
static int many_error(struct eval *e, const struct expr *x, const char *side,
                      const struct sample *one, const struct sample *other)
{
    struct labels group = project(e, one->labels, x->labels, x->n_labels, x->on);
    bool swap = by_labels(one->labels, other->labels) > 0;
    struct buf b = BUF_INIT;
    int r;

    write_labels(&b, group);
    buf_printf(&b, " on the %s hand-side of the operation: [", side);
    write_labels(&b, swap ? other->labels : one->labels);
    buf_add_cstr(&b, ", ");
    write_labels(&b, swap ? one->labels : other->labels);
    r = err_set(e->err, ERR_INVALID,
                "found duplicate series for the match group %s];many-to-many matching not "
                "allowed: matching labels must be unique on one side",
                buf_cstr(&b));
    buf_done(&b);
    return r;
}

/* The labels of a result of `many` matched with `one`. */
static struct labels result_labels(struct eval *e, const struct expr *x, struct labels many,
                                   struct labels one)
{
    bool grouped = x->group_left || x->group_right;
    struct labels l = many;

    if (!is_comparison(x->op) || x->bool_modifier)
        l = labels_without_name(e, l);
    if (!grouped) {
        if (x->has_matching && x->on)
            l = project(e, l, x->labels, x->n_labels, true);
        else
            for (size_t i = 0; i < x->n_labels; i++)
                l = labels_with(e, l, x->labels[i], STR(""));
    }
    for (size_t i = 0; i < x->n_include; i++) {
        struct str v = labels_get(one, x->include[i]);

        l = labels_with(e, l, x->include[i], v.p ? v : STR(""));
    }
    return l;
}

static int vector_vector(struct eval *e, const struct expr *x, const struct value *l,
                         const struct value *r, struct value *ret)
{
    const struct value *one = x->group_right ? l : r, *many = x->group_right ? r : l;
    struct table index = TABLE_INIT, used = TABLE_INIT;
    int rc = 0;

    for (size_t i = 0; i < one->n && rc == 0; i++) {
        const struct sample *other =
            table_set(&index, match_key(e, x, one->vec[i].labels), &one->vec[i]);

        if (other)
            rc = many_error(e, x, x->group_right ? "left" : "right", &one->vec[i], other);
    }
    for (size_t i = 0; i < many->n && rc == 0; i++) {
        const struct sample *m = &many->vec[i];
        struct str key = match_key(e, x, m->labels);
        const struct sample *o = table_get(&index, key);
        double a, b, y;
        struct labels labels;

        if (!o)
            continue;
        a = x->group_right ? o->v : m->v;
        b = x->group_right ? m->v : o->v;
        y = arithmetic(x->op, a, b);
        labels = result_labels(e, x, m->labels, o->labels);
        if (!x->group_left && !x->group_right && table_set(&used, key, e)) {
            rc = err_set(e->err, ERR_INVALID,
                         "multiple matches for labels: many-to-one matching must be explicit "
                         "(group_left/group_right)");
            break;
        }
        if (is_comparison(x->op) && !x->bool_modifier) {
            if (y == 0)
                continue;
            y = a;
        }
        value_add(e, ret, labels, y);
    }
    table_done(&index);
    table_done(&used);
    return rc;
}

int eval_binary(struct eval *e, const struct expr *x, struct value *ret)
{
    struct value l, r;
    int rc = eval_expr(e, x->args[0], &l);

    if (rc == 0)
        rc = eval_expr(e, x->args[1], &r);
    if (rc < 0)
        return rc;
    ret->type = x->value_type;
    if (l.type == PROMQL_SCALAR && r.type == PROMQL_SCALAR) {
        ret->scalar = arithmetic(x->op, l.scalar, r.scalar);
        return 0;
    }
    if (l.type == PROMQL_SCALAR || r.type == PROMQL_SCALAR)
        return vector_scalar(e, x, &l, &r, ret);
    if (x->op <= OP_UNLESS)
        return set_operator(e, x, &l, &r, ret);
    return vector_vector(e, x, &l, &r, ret);
}
