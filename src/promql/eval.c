/* SPDX-License-Identifier: Apache-2.0 */
#include "promql/fn.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/table.h"

#define LOOKBACK_MS 300000
#define MAX_SAMPLES 50000000
#define MAX_SUBSTEPS 1000000 /* of all subqueries of one query: they run on the control thread */

void eval_warn(struct eval *e, const struct expr *at, const char *fmt, ...)
{
    struct buf b = BUF_INIT;
    int line, col;
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    promql_position(e->text, at->pos, &line, &col);
    buf_printf(&b, " (%d:%d)\n", line, col);
    if (str_find(buf_str(e->warnings), buf_str(&b)) < 0)
        buf_add_str(e->warnings, buf_str(&b));
    buf_done(&b);
}

void eval_warn_quantile(struct eval *e, const struct expr *at, double q)
{
    struct buf b = BUF_INIT;

    if (q >= 0 && q <= 1)
        return;
    promql_write_float(&b, q);
    eval_warn(e, at, "PromQL warning: quantile value should be between 0 and 1, got %s",
              buf_cstr(&b));
    buf_done(&b);
}

/* --- labels --- */

struct str labels_get(struct labels l, struct str name)
{
    for (size_t i = 0; i < l.n; i++)
        if (str_eq(l.items[i].name, name))
            return l.items[i].value;
    return STR_NONE;
}

struct labels labels_with(struct eval *e, struct labels l, struct str name, struct str value)
{
    struct label *items = arena_alloc(e->a, (l.n + 1) * sizeof(*items));
    bool placed = value.n == 0;
    size_t n = 0;

    for (size_t i = 0; i < l.n; i++) {
        int c = str_cmp(l.items[i].name, name);

        if (c >= 0 && !placed) {
            items[n++] = (struct label){name, value};
            placed = true;
        }
        if (c != 0)
            items[n++] = l.items[i];
    }
    if (!placed)
        items[n++] = (struct label){name, value};
    return (struct labels){n, items};
}

bool labels_is_name(struct str name)
{
    return str_is(name, "__name__") || str_is(name, "__type__") || str_is(name, "__unit__");
}

struct labels labels_without_name(struct eval *e, struct labels l)
{
    struct label *items;
    size_t n = 0, named = 0;

    for (size_t i = 0; i < l.n; i++)
        named += labels_is_name(l.items[i].name);
    if (named == 0)
        return l;
    items = arena_alloc(e->a, (l.n + 1) * sizeof(*items));
    for (size_t i = 0; i < l.n; i++)
        if (!labels_is_name(l.items[i].name))
            items[n++] = l.items[i];
    return (struct labels){n, items};
}

bool labels_equal(struct labels a, struct labels b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (!str_eq(a.items[i].name, b.items[i].name) ||
            !str_eq(a.items[i].value, b.items[i].value))
            return false;
    return true;
}

void value_add(struct eval *e, struct value *v, struct labels l, double x)
{
    v->vec = arena_grow(e->a, v->vec, &v->cap, v->n, sizeof(*v->vec));
    v->vec[v->n++] = (struct sample){l, e->t, x};
}

/* --- selectors --- */

struct selecting {
    struct eval *e;
    struct value *v;
    int64_t t, range;
};

static int64_t moment(const struct eval *e, const struct expr *x)
{
    int64_t t = !x->has_at          ? e->t
                : x->at_what == 's' ? e->start
                : x->at_what == 'e' ? e->end
                                    : x->at_ms;

    return t - x->offset_ms;
}

static void select_series(struct eval *e, const struct matcher *m, size_t n,
                          void (*fn)(void *arg, struct series *s), void *arg)
{
    size_t more = e->o ? e->o->n_matchers : 0;
    struct matcher *all;

    if (more == 0) {
        tsdb_select(e->db, m, n, fn, arg);
        return;
    }
    all = arena_alloc(e->a, (n + more) * sizeof(*all));
    memcpy(all, m, n * sizeof(*all));
    memcpy(all + n, e->o->matchers, more * sizeof(*all));
    tsdb_select(e->db, all, n + more, fn, arg);
}

static void pick_instant(void *arg, struct series *s)
{
    struct selecting *p = arg;
    int64_t t;
    double v;

    if (!series_at(s, p->t, p->e->lookback, &t, &v) || tsdb_is_stale(v))
        return;
    value_add(p->e, p->v, series_labels(s, p->e->a), v);
    p->v->vec[p->v->n - 1].t = t;
    p->e->samples++;
}

static void pick_range(void *arg, struct series *s)
{
    struct selecting *p = arg;
    struct range_series r = {.labels = series_labels(s, p->e->a)};
    struct series_iter it;
    int64_t t;
    double v;

    series_seek(&it, s, p->t - p->range + 1);
    while (series_next(&it, &t, &v) && t <= p->t) {
        if (tsdb_is_stale(v))
            continue;
        r.p = arena_grow(p->e->a, r.p, &r.cap, r.n, sizeof(*r.p));
        r.p[r.n++] = (struct promql_point){t, v};
        p->e->samples++;
    }
    if (r.n == 0)
        return;
    p->v->mat = arena_grow(p->e->a, p->v->mat, &p->v->cap, p->v->n, sizeof(*p->v->mat));
    p->v->mat[p->v->n++] = r;
}

static int check_samples(struct eval *e)
{
    if (e->samples > e->max_samples || e->a->overflow)
        return err_set(
            e->err, ERR_LIMIT,
            "query processing would load too many samples into memory in query execution");
    return 0;
}

static int eval_subquery(struct eval *e, const struct expr *x, struct value *ret)
{
    int64_t step = x->step_ms ? x->step_ms : e->default_step, end = moment(e, x),
            from = end - x->range_ms;
    int64_t first = from - from % step, save = e->t;
    int r = 0;

    if (from < 0 && from % step)
        first -= step;
    for (int64_t t = first; r == 0 && t <= end; t += step) {
        struct value v = {0};

        if (t <= from)
            continue;
        if (e->substeps++ == MAX_SUBSTEPS) {
            r = err_set(e->err, ERR_LIMIT,
                        "the query's subqueries take more than %d steps: use a shorter range or a "
                        "longer step",
                        MAX_SUBSTEPS);
            break;
        }
        e->t = t;
        r = eval_expr(e, x->args[0], &v);
        if (v.type == PROMQL_SCALAR) {
            double s = v.scalar;

            v = (struct value){.type = PROMQL_VECTOR};
            value_add(e, &v, (struct labels){0, NULL}, s);
        }
        for (size_t i = 0; r == 0 && i < v.n; i++) {
            size_t k = i; /* series mostly keep their place from step to step */

            if (k >= ret->n || !labels_equal(ret->mat[k].labels, v.vec[i].labels))
                for (k = 0; k < ret->n && !labels_equal(ret->mat[k].labels, v.vec[i].labels);)
                    k++;
            if (k == ret->n) {
                ret->mat = arena_grow(e->a, ret->mat, &ret->cap, ret->n, sizeof(*ret->mat));
                ret->mat[ret->n++] = (struct range_series){.labels = v.vec[i].labels};
            }
            struct range_series *s = &ret->mat[k];

            s->p = arena_grow(e->a, s->p, &s->cap, s->n, sizeof(*s->p));
            s->p[s->n++] = (struct promql_point){t, v.vec[i].v};
            e->samples++;
        }
        if (r == 0)
            r = check_samples(e);
    }
    e->t = save;
    ret->type = PROMQL_MATRIX;
    ret->range_ms = x->range_ms;
    ret->window_end = end;
    return r;
}

static int eval_matrix(struct eval *e, const struct expr *x, struct value *ret)
{
    const struct expr *s = x->args[0];
    struct selecting p = {e, ret, moment(e, s), x->range_ms};

    ret->type = PROMQL_MATRIX;
    ret->range_ms = x->range_ms;
    ret->window_end = p.t;
    select_series(e, s->matchers, s->n_matchers, pick_range, &p);
    return check_samples(e);
}

/* --- dispatch --- */

static int duplicate_error(struct eval *e)
{
    return err_set(e->err, ERR_INVALID, "vector cannot contain metrics with the same labelset");
}

struct seen {
    uint64_t hash;
    size_t i;
};

uint64_t labels_hash(struct labels l)
{
    uint64_t h = 7;

    for (size_t i = 0; i < l.n; i++)
        h = (h ^ str_hash(l.items[i].name)) * 0x9e3779b97f4a7c15u + str_hash(l.items[i].value);
    return h;
}

static int by_hash(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;

    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* Dropping the metric name may make two series one: an error, as in Prometheus. */
static int check_duplicates(struct eval *e, const struct value *v)
{
    struct seen *s;
    int r = 0;

    if (v->type != PROMQL_VECTOR || v->n < 2)
        return 0;
    s = mem_array(v->n, sizeof(*s));
    for (size_t i = 0; i < v->n; i++)
        s[i] = (struct seen){labels_hash(v->vec[i].labels), i};
    qsort(s, v->n, sizeof(*s), by_hash);
    for (size_t i = 1; i < v->n && r == 0; i++)
        if (s[i].hash == s[i - 1].hash &&
            labels_equal(v->vec[s[i].i].labels, v->vec[s[i - 1].i].labels))
            r = duplicate_error(e);
    free(s);
    return r;
}

static int eval_call(struct eval *e, const struct expr *x, struct value *ret)
{
    struct value *args = arena_alloc(e->a, (x->n_args + 1) * sizeof(*args));
    int r = 0;

    for (size_t i = 0; i < x->n_args && r == 0; i++)
        r = eval_expr(e, x->args[i], &args[i]);
    if (r == 0) {
        ret->type = x->fn->returns;
        r = x->fn->call(e, x, args, ret);
    }
    return r == 0 ? check_duplicates(e, ret) : r;
}

static int eval_unary(struct eval *e, const struct expr *x, struct value *ret)
{
    int r = eval_expr(e, x->args[0], ret);

    if (r < 0 || x->op != OP_SUB)
        return r;
    ret->scalar = -ret->scalar;
    for (size_t i = 0; i < ret->n; i++) {
        ret->vec[i].v = -ret->vec[i].v;
        ret->vec[i].labels = labels_without_name(e, ret->vec[i].labels);
    }
    return check_duplicates(e, ret);
}

int eval_expr(struct eval *e, const struct expr *x, struct value *ret)
{
    struct selecting p = {e, ret, 0, 0};
    int r;

    *ret = (struct value){.type = x->value_type, .source = x};
    switch (x->type) {
    case N_NUMBER:
        ret->scalar = x->number;
        return 0;
    case N_STRING:
        ret->string = x->text;
        return 0;
    case N_SELECTOR:
        p.t = moment(e, x);
        select_series(e, x->matchers, x->n_matchers, pick_instant, &p);
        return check_samples(e);
    case N_MATRIX:
        return eval_matrix(e, x, ret);
    case N_SUBQUERY:
        return eval_subquery(e, x, ret);
    case N_CALL:
        return eval_call(e, x, ret);
    case N_AGGREGATE:
        return eval_aggregate(e, x, ret);
    case N_BINARY:
        r = eval_binary(e, x, ret);
        return r == 0 ? check_duplicates(e, ret) : r;
    case N_UNARY:
        return eval_unary(e, x, ret);
    case N_PAREN:
        return eval_expr(e, x->args[0], ret);
    }
    return err_set(e->err, ERR_INTERNAL, "unknown expression");
}

/* --- results --- */

struct eval eval_begin(struct tsdb *db, const struct promql *q, const struct promql_options *o,
                       struct promql_result *ret, struct err *err)
{
    *ret = (struct promql_result){0};
    return (struct eval){.db = db,
                         .text = str_of(q->text),
                         .a = &ret->arena,
                         .o = o,
                         .lookback = o && o->lookback_ms ? o->lookback_ms : LOOKBACK_MS,
                         .default_step = 60000,
                         .max_samples = o && o->max_samples ? o->max_samples : MAX_SAMPLES,
                         .err = err,
                         .warnings = &ret->warnings};
}

int promql_instant(struct tsdb *db, const struct promql *q, int64_t t,
                   const struct promql_options *o, struct promql_result *ret, struct err *err)
{
    struct eval e = eval_begin(db, q, o, ret, err);
    struct value v;
    int r;

    e.t = e.start = e.end = t;
    r = eval_expr(&e, q->root, &v);
    if (r < 0) {
        promql_result_done(ret);
        return r;
    }
    ret->type = v.type;
    ret->t_ms = t;
    ret->scalar = v.scalar;
    ret->string = v.string;
    ret->n = v.n;
    if (v.type == PROMQL_VECTOR) {
        ret->vector = arena_alloc(e.a, (v.n + 1) * sizeof(*ret->vector));
        for (size_t i = 0; i < v.n; i++)
            ret->vector[i] = (struct promql_sample){v.vec[i].labels, v.vec[i].v};
    } else if (v.type == PROMQL_MATRIX) {
        ret->matrix = arena_alloc(e.a, (v.n + 1) * sizeof(*ret->matrix));
        for (size_t i = 0; i < v.n; i++)
            ret->matrix[i] =
                (struct promql_series){v.mat[i].labels, v.mat[i].p, v.mat[i].n, v.mat[i].n};
    }
    return 0;
}

void promql_result_done(struct promql_result *r)
{
    arena_done(&r->arena);
    buf_done(&r->warnings);
    r->n = 0;
}
