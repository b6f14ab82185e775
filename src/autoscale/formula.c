/* SPDX-License-Identifier: Apache-2.0
 *
 * Evaluation: operators, names, choices. Functions are in formula_call.c. */
#include "autoscale/formula.h"

#include <math.h>
#include <stdlib.h>

#include "autoscale/formula_int.h"
#include "base/mem.h"

#define RANGE_MAX 10000

/* --- numbers --- */

bool value_number(const struct value *v, double *ret)
{
    if (v->type == FORMULA_INT)
        *ret = (double)v->i;
    else if (v->type == FORMULA_FLOAT)
        *ret = v->f;
    return v->type == FORMULA_INT || v->type == FORMULA_FLOAT;
}

static int no_numbers(struct scope *s, const struct node *n, const struct value *a,
                      const struct value *b)
{
    if (a->type == FORMULA_NIL || b->type == FORMULA_NIL)
        return formula_wrong(s->err, n->at,
                             "a trigger has no value (nil): give another with '\?\?', as in "
                             "(a \?\? b)");
    return formula_wrong(s->err, n->at, "the operator cannot be used with %s and %s",
                         formula_type_name(a->type), formula_type_name(b->type));
}

/* Integers wrap, as in the original. */
static int64_t wrapped(enum node_op op, int64_t a, int64_t b)
{
    uint64_t x = (uint64_t)a, y = (uint64_t)b;

    return (int64_t)(op == OP_ADD ? x + y : op == OP_SUB ? x - y : x * y);
}

static int modulo(struct scope *s, const struct node *n, const struct value *a,
                  const struct value *b, struct value *ret)
{
    if (a->type != FORMULA_INT || b->type != FORMULA_INT)
        return no_numbers(s, n, a, b);
    if (b->i == 0)
        return formula_wrong(s->err, n->at, "division by zero");
    *ret = (struct value){.type = FORMULA_INT, .i = b->i == -1 ? 0 : a->i % b->i};
    return 0;
}

static int arithmetic(struct scope *s, const struct node *n, const struct value *a,
                      const struct value *b, struct value *ret)
{
    double x, y;

    if (n->op == OP_MOD)
        return modulo(s, n, a, b, ret);
    if (n->op == OP_ADD && a->type == FORMULA_TEXT && b->type == FORMULA_TEXT) {
        struct str both = arena_printf(s->arena, "%.*s%.*s", STR_ARG(a->s), STR_ARG(b->s));

        *ret = (struct value){.type = FORMULA_TEXT, .s = both};
        return both.n > FORMULA_TEXT_MAX ? formula_wrong(s->err, n->at, "the text is too long") : 0;
    }
    if (!value_number(a, &x) || !value_number(b, &y))
        return no_numbers(s, n, a, b);
    if (a->type == FORMULA_INT && b->type == FORMULA_INT && n->op != OP_DIV && n->op != OP_POW)
        *ret = (struct value){.type = FORMULA_INT, .i = wrapped(n->op, a->i, b->i)};
    else
        *ret = (struct value){.type = FORMULA_FLOAT,
                              .f = n->op == OP_ADD   ? x + y
                                   : n->op == OP_SUB ? x - y
                                   : n->op == OP_MUL ? x * y
                                   : n->op == OP_DIV ? x / y
                                                     : pow(x, y)};
    return 0;
}

/* --- comparisons --- */

/* Lists may share their parts many times over: steps bound this too. */
static bool is_equal(struct scope *s, const struct value *a, const struct value *b)
{
    double x, y;

    if (++s->steps > FORMULA_STEPS_MAX)
        return false;
    if (value_number(a, &x) && value_number(b, &y))
        return a->type == FORMULA_INT && b->type == FORMULA_INT ? a->i == b->i : x == y;
    if (a->type != b->type)
        return false;
    if (a->type == FORMULA_BOOL)
        return a->b == b->b;
    if (a->type == FORMULA_TEXT)
        return str_eq(a->s, b->s);
    if (a->type == FORMULA_ARRAY) {
        if (a->list.n != b->list.n)
            return false;
        for (size_t i = 0; i < a->list.n; i++)
            if (!is_equal(s, &a->list.items[i], &b->list.items[i]))
                return false;
    }
    return true;
}

static int compare(struct scope *s, const struct node *n, const struct value *a,
                   const struct value *b, struct value *ret)
{
    double x = 0, y = 0;
    bool less, more;

    *ret = (struct value){.type = FORMULA_BOOL};
    if (n->op == OP_EQ || n->op == OP_NE) {
        ret->b = is_equal(s, a, b) == (n->op == OP_EQ);
        return 0;
    }
    if (a->type == FORMULA_TEXT && b->type == FORMULA_TEXT) {
        less = str_cmp(a->s, b->s) < 0;
        more = str_cmp(a->s, b->s) > 0;
    } else if (value_number(a, &x) && value_number(b, &y)) {
        less = x < y;
        more = x > y;
        if (a->type == FORMULA_INT && b->type == FORMULA_INT) {
            less = a->i < b->i;
            more = a->i > b->i;
        }
        if (isnan(x) || isnan(y))
            return 0;
    } else {
        return no_numbers(s, n, a, b);
    }
    ret->b = n->op == OP_LT ? less : n->op == OP_GT ? more : n->op == OP_LE ? !more : !less;
    return 0;
}

static int is_in(struct scope *s, const struct node *n, const struct value *a,
                 const struct value *b, struct value *ret)
{
    if (b->type != FORMULA_ARRAY)
        return no_numbers(s, n, a, b);
    *ret = (struct value){.type = FORMULA_BOOL};
    for (size_t i = 0; i < b->list.n && !ret->b; i++)
        ret->b = is_equal(s, a, &b->list.items[i]);
    return 0;
}

static int range(struct scope *s, const struct node *n, const struct value *a,
                 const struct value *b, struct value *ret)
{
    struct value *items;
    size_t count = 0;

    if (a->type != FORMULA_INT || b->type != FORMULA_INT)
        return no_numbers(s, n, a, b);
    if (b->i >= a->i) {
        if ((uint64_t)b->i - (uint64_t)a->i >= RANGE_MAX)
            return formula_wrong(s->err, n->at, "the range has more than %d elements", RANGE_MAX);
        count = (size_t)(b->i - a->i) + 1;
    }
    s->steps += count;
    items = arena_alloc(s->arena, (count + 1) * sizeof(*items));
    for (size_t i = 0; i < count; i++)
        items[i] = (struct value){.type = FORMULA_INT, .i = a->i + (int64_t)i};
    *ret = (struct value){.type = FORMULA_ARRAY, .list = {items, count}};
    return 0;
}

/* --- nodes --- */

static int eval_bool(struct scope *s, const struct node *n, const struct local *l, bool *ret)
{
    struct value v;
    int r = formula_value(s, n, l, &v);

    if (r < 0)
        return r;
    if (v.type != FORMULA_BOOL)
        return formula_wrong(s->err, n->at, "a bool is expected, and there is %s",
                             formula_type_name(v.type));
    *ret = v.b;
    return 0;
}

static int eval_logic(struct scope *s, const struct node *n, const struct local *l,
                      struct value *ret)
{
    bool a, b = false;
    int r = eval_bool(s, n->args[0], l, &a);

    if (r == 0 && a != (n->op == OP_OR)) /* otherwise the other side does not matter */
        r = eval_bool(s, n->args[1], l, &b);
    *ret = (struct value){.type = FORMULA_BOOL, .b = r == 0 && (n->op == OP_OR ? a || b : a && b)};
    return r;
}

static int eval_binary(struct scope *s, const struct node *n, const struct local *l,
                       struct value *ret)
{
    struct value a, b;
    int r;

    if (n->op == OP_AND || n->op == OP_OR)
        return eval_logic(s, n, l, ret);
    if ((r = formula_value(s, n->args[0], l, &a)) < 0)
        return r;
    if (n->op == OP_COALESCE && a.type != FORMULA_NIL) {
        *ret = a;
        return 0;
    }
    if ((r = formula_value(s, n->args[1], l, &b)) < 0)
        return r;
    if (n->op == OP_COALESCE) {
        *ret = b;
        return 0;
    }
    if (n->op == OP_IN)
        return is_in(s, n, &a, &b, ret);
    if (n->op == OP_RANGE)
        return range(s, n, &a, &b, ret);
    return n->op >= OP_EQ && n->op <= OP_GE ? compare(s, n, &a, &b, ret)
                                            : arithmetic(s, n, &a, &b, ret);
}

static int eval_unary(struct scope *s, const struct node *n, const struct local *l,
                      struct value *ret)
{
    struct value v;
    bool b = false;
    int r;

    if (n->op == OP_NOT) {
        r = eval_bool(s, n->args[0], l, &b);
        *ret = (struct value){.type = FORMULA_BOOL, .b = !b};
        return r;
    }
    if ((r = formula_value(s, n->args[0], l, &v)) < 0)
        return r;
    if (v.type != FORMULA_INT && v.type != FORMULA_FLOAT)
        return no_numbers(s, n, &v, &v);
    *ret = v;
    if (n->op == OP_NEG && v.type == FORMULA_INT)
        ret->i = wrapped(OP_SUB, 0, v.i);
    else if (n->op == OP_NEG)
        ret->f = -v.f;
    return 0;
}

static void eval_name(const struct scope *s, const struct node *n, struct value *ret)
{
    *ret = (struct value){.type = FORMULA_NIL};
    for (size_t i = 0; i < s->n_vars; i++)
        if (str_eq(s->vars[i].name, n->name))
            *ret = s->vars[i].is_nil ? (struct value){.type = FORMULA_NIL}
                                     : (struct value){.type = FORMULA_FLOAT, .f = s->vars[i].value};
}

static int eval_list(struct scope *s, const struct node *n, const struct local *l,
                     struct value *ret)
{
    struct value *items = arena_alloc(s->arena, (n->n + 1) * sizeof(*items));
    int r = 0;

    for (size_t i = 0; i < n->n && r == 0; i++)
        r = formula_value(s, n->args[i], l, &items[i]);
    *ret = (struct value){.type = FORMULA_ARRAY, .list = {items, n->n}};
    return r;
}

static int eval_index(struct scope *s, const struct node *n, const struct local *l,
                      struct value *ret)
{
    struct value list, at;
    int r;

    if ((r = formula_value(s, n->args[0], l, &list)) < 0 ||
        (r = formula_value(s, n->args[1], l, &at)) < 0)
        return r;
    if (list.type != FORMULA_ARRAY || at.type != FORMULA_INT)
        return formula_wrong(s->err, n->at, "[ ] needs a list and an integer");
    if (at.i < 0)
        at.i += (int64_t)list.list.n;
    if (at.i < 0 || (uint64_t)at.i >= list.list.n)
        return formula_wrong(s->err, n->at, "the list has %zu elements, there is no element %lld",
                             list.list.n, (long long)at.i);
    *ret = list.list.items[at.i];
    return 0;
}

static int eval_call(struct scope *s, const struct node *n, const struct local *l,
                     struct value *ret)
{
    struct value *args = arena_alloc(s->arena, (n->n + 1) * sizeof(*args));
    int r = 0;

    for (size_t i = 0; i < n->n && r == 0; i++)
        if (i + 1 != n->fn->predicate)
            r = formula_value(s, n->args[i], l, &args[i]);
    return r < 0 ? r : n->fn->eval(s, n, l, args, ret);
}

static int eval_choice(struct scope *s, const struct node *n, const struct local *l,
                       struct value *ret)
{
    bool b;
    int r = eval_bool(s, n->args[0], l, &b);

    return r < 0 ? r : formula_value(s, n->args[b ? n->n - 2 : n->n - 1], l, ret);
}

int formula_value(struct scope *s, const struct node *n, const struct local *l, struct value *ret)
{
    struct value v;
    int r;

    if (++s->steps > FORMULA_STEPS_MAX)
        return formula_wrong(s->err, n->at, "more than %d steps", FORMULA_STEPS_MAX);
    switch (n->kind) {
    case NODE_LITERAL:
        *ret = n->literal;
        return 0;
    case NODE_NAME:
        eval_name(s, n, ret);
        return 0;
    case NODE_LOCAL:
        for (; l; l = l->outer)
            if (str_eq(l->name, n->name)) {
                *ret = l->v;
                return 0;
            }
        return formula_wrong(s->err, n->at, "'%.*s' is not known here", STR_ARG(n->name));
    case NODE_UNARY:
        return eval_unary(s, n, l, ret);
    case NODE_BINARY:
        return eval_binary(s, n, l, ret);
    case NODE_CHOICE:
        return eval_choice(s, n, l, ret);
    case NODE_LET:
        if ((r = formula_value(s, n->args[0], l, &v)) < 0)
            return r;
        return formula_value(s, n->args[1], &(struct local){n->name, v, l}, ret);
    case NODE_LIST:
        return eval_list(s, n, l, ret);
    case NODE_INDEX:
        return eval_index(s, n, l, ret);
    case NODE_CALL:
        return eval_call(s, n, l, ret);
    }
    FB_ASSERT(false);
    return ERR_INTERNAL;
}

int formula_apply(struct scope *s, const struct node *predicate, const struct local *l,
                  struct value item, size_t index, struct value *ret)
{
    struct local a = {STR("#"), item, l},
                 b = {STR("#index"), {.type = FORMULA_INT, .i = (int64_t)index}, &a};

    return formula_value(s, predicate, &b, ret);
}

/* --- whole formulas --- */

int formula_new(struct str text, const struct str *names, size_t n, struct formula **ret,
                struct err *err)
{
    struct formula *f = mem_zalloc(sizeof(*f));
    struct str *copies;
    int r;

    f->text = arena_str(&f->arena, str_trim(text));
    f->names = copies = arena_alloc(&f->arena, (n + 1) * sizeof(*copies));
    for (; f->n_names < n; f->n_names++)
        copies[f->n_names] = arena_str(&f->arena, names[f->n_names]);
    r = formula_parse(f, err);
    /* the original looks at the text alone */
    f->has_coalesce = str_find(f->text, STR("\?\?")) >= 0;
    f->must_be_float = !f->has_coalesce && str_starts(f->text, STR("float("));
    if (r == 0)
        r = formula_type_check(f, err);
    if (r < 0)
        formula_free(f);
    else
        *ret = f;
    return r;
}

void formula_free(struct formula *f)
{
    if (!f)
        return;
    arena_done(&f->arena);
    free(f);
}

static int as_result(const struct formula *f, const struct value *v, bool *ret_nil, double *ret,
                     struct err *err)
{
    *ret_nil = f->has_coalesce && v->type == FORMULA_NIL;
    *ret = 0;
    if (*ret_nil)
        return 0;
    if (f->must_be_float && v->type != FORMULA_FLOAT)
        return err_set(err, ERR_INVALID,
                       "formula: the result is %s, a float is expected: put float( ) around all of "
                       "it",
                       formula_type_name(v->type));
    if (!value_number(v, ret) && !(v->type == FORMULA_TEXT && str_to_double(v->s, ret)))
        return err_set(err, ERR_INVALID, "formula: the result is %s, a number is expected",
                       formula_type_name(v->type));
    if (!isfinite(*ret))
        return err_set(err, ERR_INVALID, "formula: the result is not finite (a division by zero?)");
    return 0;
}

int formula_eval(const struct formula *f, const struct formula_variable *v, size_t n, bool *ret_nil,
                 double *ret, struct err *err)
{
    struct arena a = ARENA_INIT;
    struct err wrong = ERR_INIT;
    struct scope s = {.f = f, .vars = v, .n_vars = n, .arena = &a, .err = err ? err : &wrong};
    struct value result;
    int r = formula_value(&s, f->root, NULL, &result);

    if (r == 0)
        r = as_result(f, &result, ret_nil, ret, err);
    arena_done(&a);
    return r;
}

int formula_check(struct str text, const struct str *names, size_t n, struct err *err)
{
    struct formula_variable *v = mem_array(n + 1, sizeof(*v));
    struct formula *f = NULL;
    struct arena a = ARENA_INIT;
    struct err wrong = ERR_INIT;
    struct scope s = {.vars = v, .n_vars = n, .arena = &a, .err = err ? err : &wrong};
    struct value result;
    int r = formula_new(text, names, n, &f, err);

    for (size_t i = 0; i < n; i++)
        v[i] = (struct formula_variable){.name = names[i], .value = -1};
    if (r == 0) {
        s.f = f;
        r = formula_value(&s, f->root, NULL, &result);
    }
    arena_done(&a);
    formula_free(f);
    free(v);
    return r;
}
