/* SPDX-License-Identifier: Apache-2.0
 *
 * The functions of formulas: a table. */
#include <math.h>
#include <stdlib.h>

#include "autoscale/formula_int.h"
#include "base/mem.h"

static int not_a_number(struct scope *s, const struct node *n, const struct value *v)
{
    if (v->type == FORMULA_NIL)
        return formula_wrong(s->err, n->at,
                             "%s: a trigger has no value (nil): give another with "
                             "'\?\?'",
                             n->fn->name);
    return formula_wrong(s->err, n->at, "%s needs numbers, and there is %s", n->fn->name,
                         formula_type_name(v->type));
}

static int as_list(struct scope *s, const struct node *n, const struct value *v)
{
    return v->type == FORMULA_ARRAY
               ? 0
               : formula_wrong(s->err, n->at, "%s needs a list, and there is %s", n->fn->name,
                               formula_type_name(v->type));
}

/* --- numbers, alone or in lists --- */

struct numbers {
    struct value *items;
    size_t n, cap;
};

static int gather(struct scope *s, const struct node *n, const struct value *v, size_t count,
                  struct numbers *out, int depth)
{
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++) {
        if (++s->steps > FORMULA_STEPS_MAX)
            return formula_wrong(s->err, n->at, "more than %d steps", FORMULA_STEPS_MAX);
        if (v[i].type == FORMULA_ARRAY && depth < FORMULA_DEPTH_MAX) {
            r = gather(s, n, v[i].list.items, v[i].list.n, out, depth + 1);
        } else if (v[i].type == FORMULA_INT || v[i].type == FORMULA_FLOAT) {
            out->items = arena_grow(s->arena, out->items, &out->cap, out->n, sizeof(*out->items));
            out->items[out->n++] = v[i];
        } else {
            r = not_a_number(s, n, &v[i]);
        }
    }
    return r;
}

static double number(const struct value *v)
{
    double x = 0;

    value_number(v, &x);
    return x;
}

static int extreme(struct scope *s, const struct node *n, struct value *args, struct value *ret,
                   bool is_max)
{
    struct numbers x = {0};
    int r = gather(s, n, args, n->n, &x, 0);

    if (r < 0)
        return r;
    if (x.n == 0)
        return formula_wrong(s->err, n->at, "%s of nothing", n->fn->name);
    *ret = x.items[0];
    for (size_t i = 1; i < x.n; i++)
        if (is_max ? number(&x.items[i]) > number(ret) : number(&x.items[i]) < number(ret))
            *ret = x.items[i];
    return 0;
}

static int fn_max(struct scope *s, const struct node *n, const struct local *l, struct value *args,
                  struct value *ret)
{
    (void)l;
    return extreme(s, n, args, ret, true);
}

static int fn_min(struct scope *s, const struct node *n, const struct local *l, struct value *args,
                  struct value *ret)
{
    (void)l;
    return extreme(s, n, args, ret, false);
}

static void add_up(const struct numbers *x, struct value *ret)
{
    int64_t whole = 0;
    double sum = 0;
    bool is_int = true;

    for (size_t i = 0; i < x->n; i++) {
        is_int &= x->items[i].type == FORMULA_INT;
        if (is_int)
            whole = (int64_t)((uint64_t)whole + (uint64_t)x->items[i].i);
        sum += number(&x->items[i]);
    }
    *ret = is_int ? (struct value){.type = FORMULA_INT, .i = whole}
                  : (struct value){.type = FORMULA_FLOAT, .f = sum};
}

static int fn_sum(struct scope *s, const struct node *n, const struct local *l, struct value *args,
                  struct value *ret)
{
    struct numbers x = {0};
    int r = as_list(s, n, &args[0]);

    if (r == 0 && n->n == 2) {
        for (size_t i = 0; i < args[0].list.n && r == 0; i++) {
            struct value v;

            r = formula_apply(s, n->args[1], l, args[0].list.items[i], i, &v);
            if (r == 0)
                r = gather(s, n, &v, 1, &x, 0);
        }
    } else if (r == 0) {
        r = gather(s, n, args, 1, &x, 0);
    }
    if (r == 0)
        add_up(&x, ret);
    return r;
}

static int fn_mean(struct scope *s, const struct node *n, const struct local *l, struct value *args,
                   struct value *ret)
{
    struct numbers x = {0};
    int r = gather(s, n, args, n->n, &x, 0);
    double sum = 0;

    (void)l;
    for (size_t i = 0; i < x.n; i++)
        sum += number(&x.items[i]);
    *ret = (struct value){.type = FORMULA_FLOAT, .f = x.n ? sum / (double)x.n : 0};
    return r;
}

static int by_number(const void *a, const void *b)
{
    double x = number(a), y = number(b);

    return (x > y) - (x < y);
}

static int fn_median(struct scope *s, const struct node *n, const struct local *l,
                     struct value *args, struct value *ret)
{
    struct numbers x = {0};
    int r = gather(s, n, args, n->n, &x, 0);
    size_t half = x.n / 2;

    (void)l;
    *ret = (struct value){.type = FORMULA_FLOAT};
    if (r < 0 || x.n == 0)
        return r;
    qsort(x.items, x.n, sizeof(*x.items), by_number);
    ret->f = x.n % 2 ? number(&x.items[half])
                     : (number(&x.items[half - 1]) + number(&x.items[half])) / 2;
    return 0;
}

/* --- one number --- */

static int rounded(struct scope *s, const struct node *n, const struct value *v, struct value *ret,
                   double (*round_it)(double))
{
    double x;

    if (!value_number(v, &x))
        return not_a_number(s, n, v);
    *ret = (struct value){.type = FORMULA_FLOAT, .f = round_it(x)};
    return 0;
}

#define ROUNDING(NAME, C)                                                         \
    static int NAME(struct scope *s, const struct node *n, const struct local *l, \
                    struct value *args, struct value *ret)                        \
    {                                                                             \
        (void)l;                                                                  \
        return rounded(s, n, &args[0], ret, C);                                   \
    }
ROUNDING(fn_ceil, ceil)
ROUNDING(fn_floor, floor)
ROUNDING(fn_round, round)

static int fn_abs(struct scope *s, const struct node *n, const struct local *l, struct value *args,
                  struct value *ret)
{
    (void)l;
    *ret = args[0];
    if (args[0].type == FORMULA_INT)
        ret->i = args[0].i < 0 ? (int64_t)(0 - (uint64_t)args[0].i) : args[0].i;
    else if (args[0].type == FORMULA_FLOAT)
        ret->f = fabs(args[0].f);
    else
        return not_a_number(s, n, &args[0]);
    return 0;
}

static int fn_float(struct scope *s, const struct node *n, const struct local *l,
                    struct value *args, struct value *ret)
{
    (void)l;
    *ret = (struct value){.type = FORMULA_FLOAT};
    if (value_number(&args[0], &ret->f) ||
        (args[0].type == FORMULA_TEXT && str_to_double(args[0].s, &ret->f)))
        return 0;
    return not_a_number(s, n, &args[0]);
}

static int fn_int(struct scope *s, const struct node *n, const struct local *l, struct value *args,
                  struct value *ret)
{
    double x;

    (void)l;
    *ret = (struct value){.type = FORMULA_INT};
    if (args[0].type == FORMULA_TEXT && str_to_i64(args[0].s, &ret->i))
        return 0;
    if (args[0].type == FORMULA_INT) {
        ret->i = args[0].i;
        return 0;
    }
    if (!value_number(&args[0], &x))
        return not_a_number(s, n, &args[0]);
    if (!(fabs(x) < 9.2e18))
        return formula_wrong(s->err, n->at, "int: %g is no integer of 64 bit", x);
    ret->i = (int64_t)x;
    return 0;
}

/* --- lists --- */

static int fn_len(struct scope *s, const struct node *n, const struct local *l, struct value *args,
                  struct value *ret)
{
    int r = args[0].type == FORMULA_TEXT ? 0 : as_list(s, n, &args[0]);

    (void)l;
    *ret = (struct value){.type = FORMULA_INT,
                          .i = (int64_t)(args[0].type == FORMULA_TEXT ? args[0].s.n
                                         : r == 0                     ? args[0].list.n
                                                                      : 0)};
    return r;
}

/* Which elements the predicate is true for; without a predicate the elements are bools. */
static int matching(struct scope *s, const struct node *n, const struct local *l,
                    const struct value *list, bool *hits, size_t *count)
{
    int r = as_list(s, n, list);

    *count = 0;
    for (size_t i = 0; r == 0 && i < list->list.n; i++) {
        struct value v = list->list.items[i];

        if (n->n == 2)
            r = formula_apply(s, n->args[1], l, v, i, &v);
        if (r == 0 && v.type != FORMULA_BOOL)
            r = formula_wrong(s->err, n->at, "the predicate of %s is %s, a bool is expected",
                              n->fn->name, formula_type_name(v.type));
        if (r == 0 && v.b)
            ++*count;
        if (hits)
            hits[i] = r == 0 && v.b;
    }
    return r;
}

enum how { HOW_COUNT, HOW_ALL, HOW_ANY, HOW_NONE, HOW_ONE };

static int counted(struct scope *s, const struct node *n, const struct local *l,
                   const struct value *args, enum how how, struct value *ret)
{
    size_t count;
    int r = matching(s, n, l, &args[0], NULL, &count);

    if (r < 0)
        return r;
    *ret = how == HOW_COUNT ? (struct value){.type = FORMULA_INT, .i = (int64_t)count}
                            : (struct value){.type = FORMULA_BOOL,
                                             .b = how == HOW_ALL   ? count == args[0].list.n
                                                  : how == HOW_ANY ? count > 0
                                                  : how == HOW_ONE ? count == 1
                                                                   : count == 0};
    return 0;
}

#define COUNTING(NAME, HOW)                                                       \
    static int NAME(struct scope *s, const struct node *n, const struct local *l, \
                    struct value *args, struct value *ret)                        \
    {                                                                             \
        return counted(s, n, l, args, HOW, ret);                                  \
    }
COUNTING(fn_count, HOW_COUNT)
COUNTING(fn_all, HOW_ALL)
COUNTING(fn_any, HOW_ANY)
COUNTING(fn_none, HOW_NONE)
COUNTING(fn_one, HOW_ONE)

static int fn_filter(struct scope *s, const struct node *n, const struct local *l,
                     struct value *args, struct value *ret)
{
    size_t total = args[0].type == FORMULA_ARRAY ? args[0].list.n : 0, count, k = 0;
    bool *hits = arena_alloc(s->arena, total + 1);
    struct value *items = arena_alloc(s->arena, (total + 1) * sizeof(*items));
    int r = matching(s, n, l, &args[0], hits, &count);

    for (size_t i = 0; r == 0 && i < total; i++)
        if (hits[i])
            items[k++] = args[0].list.items[i];
    *ret = (struct value){.type = FORMULA_ARRAY, .list = {items, k}};
    return r;
}

static int fn_map(struct scope *s, const struct node *n, const struct local *l, struct value *args,
                  struct value *ret)
{
    int r = as_list(s, n, &args[0]);
    size_t total = r == 0 ? args[0].list.n : 0;
    struct value *items = arena_alloc(s->arena, (total + 1) * sizeof(*items));

    for (size_t i = 0; r == 0 && i < total; i++)
        r = formula_apply(s, n->args[1], l, args[0].list.items[i], i, &items[i]);
    *ret = (struct value){.type = FORMULA_ARRAY, .list = {items, total}};
    return r;
}

static int fn_reduce(struct scope *s, const struct node *n, const struct local *l,
                     struct value *args, struct value *ret)
{
    int r = as_list(s, n, &args[0]);
    size_t i = 0;

    if (r < 0)
        return r;
    if (n->n == 3) {
        *ret = args[2];
    } else if (args[0].list.n == 0) {
        return formula_wrong(s->err, n->at, "reduce of an empty list needs a value to begin with");
    } else {
        *ret = args[0].list.items[i++];
    }
    for (; r == 0 && i < args[0].list.n; i++) {
        struct local acc = {STR("#acc"), *ret, l};

        r = formula_apply(s, n->args[1], &acc, args[0].list.items[i], i, ret);
    }
    return r;
}

static int fn_first(struct scope *s, const struct node *n, const struct local *l,
                    struct value *args, struct value *ret)
{
    int r = as_list(s, n, &args[0]);

    (void)l;
    *ret = (struct value){.type = FORMULA_NIL};
    if (r == 0 && args[0].list.n)
        *ret = args[0].list.items[0];
    return r;
}

static int fn_last(struct scope *s, const struct node *n, const struct local *l, struct value *args,
                   struct value *ret)
{
    int r = as_list(s, n, &args[0]);

    (void)l;
    *ret = (struct value){.type = FORMULA_NIL};
    if (r == 0 && args[0].list.n)
        *ret = args[0].list.items[args[0].list.n - 1];
    return r;
}

static const struct function functions[] = {
    {"max", 1, ARGS_ANY, 0, FORMULA_FLOAT, FORMULA_ANY, true, fn_max},
    {"min", 1, ARGS_ANY, 0, FORMULA_FLOAT, FORMULA_ANY, true, fn_min},
    {"mean", 1, ARGS_ANY, 0, FORMULA_FLOAT, FORMULA_FLOAT, true, fn_mean},
    {"median", 1, ARGS_ANY, 0, FORMULA_FLOAT, FORMULA_FLOAT, true, fn_median},
    {"sum", 1, 2, 2, FORMULA_ARRAY, FORMULA_ANY, true, fn_sum},
    {"abs", 1, 1, 0, FORMULA_FLOAT, FORMULA_ANY, false, fn_abs},
    {"ceil", 1, 1, 0, FORMULA_FLOAT, FORMULA_FLOAT, false, fn_ceil},
    {"floor", 1, 1, 0, FORMULA_FLOAT, FORMULA_FLOAT, false, fn_floor},
    {"round", 1, 1, 0, FORMULA_FLOAT, FORMULA_FLOAT, false, fn_round},
    {"float", 1, 1, 0, FORMULA_FLOAT, FORMULA_FLOAT, false, fn_float},
    {"int", 1, 1, 0, FORMULA_FLOAT, FORMULA_INT, false, fn_int},
    {"len", 1, 1, 0, FORMULA_ARRAY, FORMULA_INT, false, fn_len},
    {"count", 1, 2, 2, FORMULA_ARRAY, FORMULA_INT, false, fn_count},
    {"all", 2, 2, 2, FORMULA_ARRAY, FORMULA_BOOL, false, fn_all},
    {"any", 2, 2, 2, FORMULA_ARRAY, FORMULA_BOOL, false, fn_any},
    {"none", 2, 2, 2, FORMULA_ARRAY, FORMULA_BOOL, false, fn_none},
    {"one", 2, 2, 2, FORMULA_ARRAY, FORMULA_BOOL, false, fn_one},
    {"filter", 2, 2, 2, FORMULA_ARRAY, FORMULA_ARRAY, false, fn_filter},
    {"map", 2, 2, 2, FORMULA_ARRAY, FORMULA_ARRAY, false, fn_map},
    {"reduce", 2, 3, 2, FORMULA_ARRAY, FORMULA_ANY, false, fn_reduce},
    {"first", 1, 1, 0, FORMULA_ARRAY, FORMULA_ANY, false, fn_first},
    {"last", 1, 1, 0, FORMULA_ARRAY, FORMULA_ANY, false, fn_last},
};

const struct function *formula_function(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(functions); i++)
        if (str_is(name, functions[i].name))
            return &functions[i];
    return NULL;
}
