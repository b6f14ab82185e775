/* SPDX-License-Identifier: Apache-2.0
 *
 * Types before evaluation: what cannot work whatever the values are is refused when a ScaledObject
 * is written, not when its Prometheus fails at night. */
#include "autoscale/formula_int.h"
#include "base/mem.h"

struct typed { /* a name whose type is known */
    struct str name;
    enum formula_type type;
    const struct typed *outer;
};

struct checker {
    const struct formula *f;
    struct err *err;
};

static int check(struct checker *c, struct node *n, const struct typed *l, enum formula_type *ret);

const char *formula_type_name(enum formula_type t)
{
    static const char *const names[] = {
        [FORMULA_NIL] = "nil",     [FORMULA_BOOL] = "bool",   [FORMULA_INT] = "int",
        [FORMULA_FLOAT] = "float", [FORMULA_TEXT] = "string", [FORMULA_ARRAY] = "list",
        [FORMULA_ANY] = "anything"};

    return names[t];
}

static bool is_number(enum formula_type t)
{
    return t == FORMULA_INT || t == FORMULA_FLOAT || t == FORMULA_ANY;
}

static bool may_be(enum formula_type t, enum formula_type wanted)
{
    return t == wanted || t == FORMULA_ANY;
}

/* What a value is that comes from one of two places. */
static enum formula_type either(enum formula_type a, enum formula_type b)
{
    if (a == b || b == FORMULA_NIL)
        return a;
    return a == FORMULA_NIL ? b : FORMULA_ANY;
}

static int mismatch(struct checker *c, const struct node *n, const char *op, enum formula_type a,
                    enum formula_type b)
{
    return formula_wrong(c->err, n->at, "%s cannot be used with %s and %s", op,
                         formula_type_name(a), formula_type_name(b));
}

static const char *op_text(enum node_op op)
{
    static const char *const texts[] = {
        [OP_OR] = "'or'",    [OP_AND] = "'and'",       [OP_EQ] = "'=='",
        [OP_NE] = "'!='",    [OP_LT] = "'<'",          [OP_GT] = "'>'",
        [OP_LE] = "'<='",    [OP_GE] = "'>='",         [OP_IN] = "'in'",
        [OP_RANGE] = "'..'", [OP_ADD] = "'+'",         [OP_SUB] = "'-'",
        [OP_MUL] = "'*'",    [OP_DIV] = "'/'",         [OP_MOD] = "'%' (integers only)",
        [OP_POW] = "'^'",    [OP_COALESCE] = "'\?\?'", [OP_NOT] = "'not'",
        [OP_NEG] = "'-'",    [OP_POS] = "'+'"};

    return texts[op];
}

static int check_binary(struct checker *c, struct node *n, const struct typed *l,
                        enum formula_type *ret)
{
    enum formula_type a, b;
    bool ok = true, numbers, texts;
    int r;

    if ((r = check(c, n->args[0], l, &a)) < 0 || (r = check(c, n->args[1], l, &b)) < 0)
        return r;
    numbers = is_number(a) && is_number(b);
    texts = may_be(a, FORMULA_TEXT) && may_be(b, FORMULA_TEXT);
    *ret = FORMULA_BOOL;
    switch (n->op) {
    case OP_OR:
    case OP_AND:
        ok = may_be(a, FORMULA_BOOL) && may_be(b, FORMULA_BOOL);
        break;
    case OP_EQ:
    case OP_NE:
        ok = numbers || a == b || a == FORMULA_ANY || b == FORMULA_ANY || a == FORMULA_NIL ||
             b == FORMULA_NIL;
        break;
    case OP_LT:
    case OP_GT:
    case OP_LE:
    case OP_GE:
        ok = numbers || texts;
        break;
    case OP_IN:
        ok = may_be(b, FORMULA_ARRAY);
        break;
    case OP_RANGE:
        ok = may_be(a, FORMULA_INT) && may_be(b, FORMULA_INT);
        *ret = FORMULA_ARRAY;
        break;
    case OP_MOD:
        ok = may_be(a, FORMULA_INT) && may_be(b, FORMULA_INT);
        *ret = FORMULA_INT;
        break;
    case OP_DIV:
    case OP_POW:
        ok = numbers;
        *ret = FORMULA_FLOAT;
        break;
    case OP_COALESCE:
        *ret = either(a, b);
        break;
    default: /* + - * */
        ok = numbers || (n->op == OP_ADD && texts);
        *ret = a == FORMULA_ANY || b == FORMULA_ANY ? FORMULA_ANY : a == b ? a : FORMULA_FLOAT;
    }
    return ok ? 0 : mismatch(c, n, op_text(n->op), a, b);
}

static int check_unary(struct checker *c, struct node *n, const struct typed *l,
                       enum formula_type *ret)
{
    enum formula_type a;
    int r = check(c, n->args[0], l, &a);

    if (r < 0)
        return r;
    *ret = n->op == OP_NOT ? FORMULA_BOOL : a;
    if (n->op == OP_NOT ? may_be(a, FORMULA_BOOL) : is_number(a))
        return 0;
    return formula_wrong(c->err, n->at, "%s cannot be used with %s", op_text(n->op),
                         formula_type_name(a));
}

static int check_choice(struct checker *c, struct node *n, const struct typed *l,
                        enum formula_type *ret)
{
    enum formula_type t[3];
    int r;

    for (size_t i = 0; i < n->n; i++)
        if ((r = check(c, n->args[i], l, &t[i])) < 0)
            return r;
    if (!may_be(t[0], FORMULA_BOOL))
        return formula_wrong(c->err, n->at, "the condition before '?' is %s, a bool is expected",
                             formula_type_name(t[0]));
    *ret = either(t[n->n - 2], t[n->n - 1]);
    return 0;
}

static int check_predicate(struct checker *c, struct node *n, const struct typed *l)
{
    struct typed item = {STR("#"), FORMULA_ANY, l}, index = {STR("#index"), FORMULA_INT, &item},
                 acc = {STR("#acc"), FORMULA_ANY, &index};
    bool is_free = strcmp(n->fn->name, "map") == 0 || strcmp(n->fn->name, "sum") == 0 ||
                   strcmp(n->fn->name, "reduce") == 0;
    enum formula_type t;
    int r = check(c, n->args[n->fn->predicate - 1], &acc, &t);

    if (r < 0)
        return r;
    if (is_free || may_be(t, FORMULA_BOOL))
        return 0;
    return formula_wrong(c->err, n->at, "the predicate of %s is %s, a bool is expected",
                         n->fn->name, formula_type_name(t));
}

static int check_call(struct checker *c, struct node *n, const struct typed *l,
                      enum formula_type *ret)
{
    const struct function *fn = n->fn;
    int r;

    *ret = fn->gives;
    for (size_t i = 0; i < n->n; i++) {
        enum formula_type t;
        bool ok = true;

        if (i + 1 == fn->predicate) {
            if ((r = check_predicate(c, n, l)) < 0)
                return r;
            continue;
        }
        if ((r = check(c, n->args[i], l, &t)) < 0)
            return r;
        if (fn->takes == FORMULA_FLOAT)
            ok = is_number(t) || (fn->takes_lists && t == FORMULA_ARRAY) ||
                 (t == FORMULA_TEXT && !fn->takes_lists && fn->gives != FORMULA_ANY &&
                  (strcmp(fn->name, "float") == 0 || strcmp(fn->name, "int") == 0));
        else if (fn->takes == FORMULA_ARRAY && i == 0)
            ok = may_be(t, FORMULA_ARRAY) || (t == FORMULA_TEXT && strcmp(fn->name, "len") == 0);
        if (!ok)
            return formula_wrong(c->err, n->args[i]->at, "%s cannot take %s", fn->name,
                                 formula_type_name(t));
        /* abs(int) is an int; max(a, b) is what its arguments are */
        if (i == 0 && fn->gives == FORMULA_ANY && fn->takes == FORMULA_FLOAT &&
            (t == FORMULA_INT || t == FORMULA_FLOAT))
            *ret = t;
        else if (i > 0 && *ret != t && fn->takes == FORMULA_FLOAT && fn->gives == FORMULA_ANY)
            *ret = FORMULA_ANY;
    }
    return 0;
}

static int check_kind(struct checker *c, struct node *n, const struct typed *l,
                      enum formula_type *ret)
{
    enum formula_type t;
    int r = 0;

    switch (n->kind) {
    case NODE_LITERAL:
        *ret = n->literal.type;
        return 0;
    case NODE_NAME:
        *ret = FORMULA_FLOAT;
        return 0;
    case NODE_LOCAL:
        for (; l; l = l->outer)
            if (str_eq(l->name, n->name)) {
                *ret = l->type;
                return 0;
            }
        return formula_wrong(c->err, n->at, "'%.*s' is not known here", STR_ARG(n->name));
    case NODE_UNARY:
        return check_unary(c, n, l, ret);
    case NODE_BINARY:
        return check_binary(c, n, l, ret);
    case NODE_CHOICE:
        return check_choice(c, n, l, ret);
    case NODE_LET:
        if ((r = check(c, n->args[0], l, &t)) < 0)
            return r;
        return check(c, n->args[1], &(struct typed){n->name, t, l}, ret);
    case NODE_LIST:
        for (size_t i = 0; i < n->n && r == 0; i++)
            r = check(c, n->args[i], l, &t);
        *ret = FORMULA_ARRAY;
        return r;
    case NODE_INDEX:
        if ((r = check(c, n->args[0], l, &t)) < 0)
            return r;
        if (!may_be(t, FORMULA_ARRAY))
            return formula_wrong(c->err, n->at, "[ ] needs a list, and there is %s",
                                 formula_type_name(t));
        if ((r = check(c, n->args[1], l, &t)) < 0)
            return r;
        *ret = FORMULA_ANY;
        return may_be(t, FORMULA_INT) ? 0 : formula_wrong(c->err, n->at, "an index is an integer");
    case NODE_CALL:
        return check_call(c, n, l, ret);
    }
    FB_ASSERT(false);
    return ERR_INTERNAL;
}

static int check(struct checker *c, struct node *n, const struct typed *l, enum formula_type *ret)
{
    int r;

    if (!n->is_checked) { /* chained comparisons share a part */
        if ((r = check_kind(c, n, l, &n->type)) < 0)
            return r;
        n->is_checked = true;
    }
    *ret = n->type;
    return 0;
}

int formula_type_check(const struct formula *f, struct err *err)
{
    struct checker c = {f, err};
    enum formula_type t;
    int r = check(&c, f->root, NULL, &t);

    if (r < 0)
        return r;
    /* KEDA puts a cast to float around all but what begins with one or may be nil */
    if (f->must_be_float)
        return 0;
    if (is_number(t) || t == FORMULA_TEXT || (t == FORMULA_NIL && f->has_coalesce))
        return 0;
    return formula_wrong(err, f->root->at, "the result is %s, a number is expected",
                         formula_type_name(t));
}
