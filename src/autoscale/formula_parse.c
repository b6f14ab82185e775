/* SPDX-License-Identifier: Apache-2.0
 *
 * Precedence climbing over the operator table of the expr language. */
#include <stdio.h>

#include "autoscale/formula_int.h"
#include "base/mem.h"

#define HEIGHT_MAX 500

static const struct {
    const char *text;
    enum node_op op;
    int precedence;
    bool is_right;
} binaries[] = {
    {"or", OP_OR, 10, false},  {"||", OP_OR, 10, false},          {"and", OP_AND, 15, false},
    {"&&", OP_AND, 15, false}, {"==", OP_EQ, 20, false},          {"!=", OP_NE, 20, false},
    {"<", OP_LT, 20, false},   {">", OP_GT, 20, false},           {"<=", OP_LE, 20, false},
    {">=", OP_GE, 20, false},  {"in", OP_IN, 20, false},          {"..", OP_RANGE, 25, false},
    {"+", OP_ADD, 30, false},  {"-", OP_SUB, 30, false},          {"*", OP_MUL, 60, false},
    {"/", OP_DIV, 60, false},  {"%", OP_MOD, 60, false},          {"**", OP_POW, 100, true},
    {"^", OP_POW, 100, true},  {"\?\?", OP_COALESCE, 500, false},
};
static const struct {
    const char *text;
    enum node_op op;
    int precedence;
} unaries[] = {{"not", OP_NOT, 50}, {"!", OP_NOT, 50}, {"-", OP_NEG, 90}, {"+", OP_POS, 90}};

struct bound { /* a name of a let */
    struct str name;
    const struct bound *outer;
};

struct parser {
    struct formula *f;
    const struct token *t;
    int depth;      /* of nesting */
    int predicates; /* open ones: # means something */
    const struct bound *bound;
    struct err *err;
};

static struct node *expression(struct parser *p, int precedence);

static bool is_sign(const struct parser *p, const char *text)
{
    return p->t->type == TOKEN_SIGN && str_is(p->t->text, text);
}

static bool take(struct parser *p, const char *text)
{
    if (!is_sign(p, text))
        return false;
    p->t++;
    return true;
}

static struct node *wrong(struct parser *p, const char *what)
{
    if (p->t->type == TOKEN_END)
        formula_wrong(p->err, p->t->at, "%s, and the formula ends there", what);
    else
        formula_wrong(p->err, p->t->at, "%s, and there is '%.*s'", what, STR_ARG(p->t->text));
    return NULL;
}

static bool expect(struct parser *p, const char *text)
{
    char what[40];

    if (take(p, text))
        return true;
    snprintf(what, sizeof(what), "'%s' is expected", text);
    wrong(p, what);
    return false;
}

static struct node *node_new(struct parser *p, enum node_kind kind, size_t at, size_t n)
{
    struct node *x = arena_alloc(&p->f->arena, sizeof(*x));

    x->kind = kind;
    x->at = at;
    x->n = n;
    x->args = arena_alloc(&p->f->arena, (n + 1) * sizeof(*x->args));
    return x;
}

/* Chains of operators nest too, to the left: whoever walks the tree must not run out of stack. */
static struct node *grown(struct parser *p, struct node *x)
{
    for (size_t i = 0; i < x->n; i++)
        if (x->args[i]->height >= x->height)
            x->height = x->args[i]->height + 1;
    if (x->height <= HEIGHT_MAX)
        return x;
    formula_wrong(p->err, x->at, "more than %d operators in a chain", HEIGHT_MAX);
    return NULL;
}

static struct node *node_of(struct parser *p, enum node_kind kind, enum node_op op, size_t at,
                            struct node *a, struct node *b)
{
    struct node *x = node_new(p, kind, at, b ? 2 : 1);

    x->op = op;
    x->args[0] = a;
    x->args[1] = b;
    return a ? grown(p, x) : NULL;
}

/* --- lists and calls --- */

struct list {
    struct node **items;
    size_t n, cap;
};

static void list_push(struct parser *p, struct list *l, struct node *x)
{
    l->items = arena_grow(&p->f->arena, l->items, &l->cap, l->n, sizeof(*l->items));
    l->items[l->n++] = x;
}

/* "{# > 1}", or the same without braces. */
static struct node *predicate(struct parser *p)
{
    bool has_braces = take(p, "{");
    struct node *x;

    p->predicates++;
    x = expression(p, 0);
    p->predicates--;
    return x && (!has_braces || expect(p, "}")) ? x : NULL;
}

/* Behind "NAME("; first: what a pipe put in front. */
static struct node *call(struct parser *p, const struct token *name, struct node *first)
{
    const struct function *fn = formula_function(name->text);
    struct list l = {0};
    struct node *x;

    if (!fn) {
        formula_wrong(p->err, name->at, "unknown function '%.*s'", STR_ARG(name->text));
        return NULL;
    }
    if (first)
        list_push(p, &l, first);
    while (!take(p, ")")) {
        if (l.n > (first ? 1 : 0) && !expect(p, ","))
            return NULL;
        if (is_sign(p, ")"))
            continue; /* a comma at the end */
        x = fn->predicate && l.n + 1 == fn->predicate ? predicate(p) : expression(p, 0);
        if (!x)
            return NULL;
        list_push(p, &l, x);
    }
    if (l.n < fn->min || (fn->max != ARGS_ANY && l.n > fn->max)) {
        formula_wrong(p->err, name->at, "%s cannot take %zu argument%s", fn->name, l.n,
                      l.n == 1 ? "" : "s");
        return NULL;
    }
    x = node_new(p, NODE_CALL, name->at, 0);
    x->fn = fn;
    x->args = l.items;
    x->n = l.n;
    return grown(p, x);
}

static struct node *array(struct parser *p)
{
    size_t at = p->t[-1].at;
    struct list l = {0};
    struct node *x;

    while (!take(p, "]")) {
        if (l.n && !expect(p, ","))
            return NULL;
        if (is_sign(p, "]"))
            continue;
        if (!(x = expression(p, 0)))
            return NULL;
        list_push(p, &l, x);
    }
    x = node_new(p, NODE_LIST, at, 0);
    x->args = l.items;
    x->n = l.n;
    return grown(p, x);
}

/* --- primaries --- */

static bool is_bound(const struct parser *p, struct str name)
{
    for (const struct bound *b = p->bound; b; b = b->outer)
        if (str_eq(b->name, name))
            return true;
    return false;
}

static struct node *literal(struct parser *p, const struct token *t, struct value v)
{
    struct node *x = node_new(p, NODE_LITERAL, t->at, 0);

    x->literal = v;
    return x;
}

static struct node *name_or_call(struct parser *p)
{
    const struct token *t = p->t++;
    struct node *x;

    if (str_is(t->text, "true") || str_is(t->text, "false"))
        return literal(p, t, (struct value){.type = FORMULA_BOOL, .b = str_is(t->text, "true")});
    if (str_is(t->text, "nil"))
        return literal(p, t, (struct value){.type = FORMULA_NIL});
    if (take(p, "("))
        return call(p, t, NULL);
    x = node_new(p, NODE_NAME, t->at, 0);
    x->name = t->text;
    if (t->text.p[0] == '#' || is_bound(p, t->text)) {
        x->kind = NODE_LOCAL;
        if (t->text.p[0] != '#' || p->predicates)
            return x;
        formula_wrong(p->err, t->at,
                      "'#' means something only in a predicate, as in "
                      "count([a, b], {# > 1})");
        return NULL;
    }
    for (size_t i = 0; i < p->f->n_names; i++)
        if (str_eq(p->f->names[i], t->text))
            return x;
    formula_wrong(p->err, t->at,
                  "unknown name '%.*s': no trigger has it (name the trigger in "
                  "spec.triggers[].name)",
                  STR_ARG(t->text));
    return NULL;
}

static struct node *atom(struct parser *p)
{
    const struct token *t = p->t;
    struct node *x;

    switch (t->type) {
    case TOKEN_NUMBER:
        p->t++;
        return literal(p, t,
                       t->is_int ? (struct value){.type = FORMULA_INT, .i = t->i}
                                 : (struct value){.type = FORMULA_FLOAT, .f = t->f});
    case TOKEN_TEXT:
        p->t++;
        return literal(p, t, (struct value){.type = FORMULA_TEXT, .s = t->text});
    case TOKEN_NAME:
        return name_or_call(p);
    case TOKEN_SIGN:
        if (take(p, "(")) {
            x = expression(p, 0);
            return x && expect(p, ")") ? x : NULL;
        }
        if (take(p, "["))
            return array(p);
        break;
    case TOKEN_END:
        break;
    }
    return wrong(p, "a value is expected");
}

static struct node *primary(struct parser *p)
{
    const struct token *t = p->t;
    struct node *x = NULL, *index;
    bool is_unary = false;

    for (size_t i = 0; i < ARRAY_LEN(unaries) && !is_unary; i++)
        if (take(p, unaries[i].text)) {
            is_unary = true;
            x = node_of(p, NODE_UNARY, unaries[i].op, t->at, expression(p, unaries[i].precedence),
                        NULL);
        }
    if (!is_unary)
        x = atom(p);
    while (x && is_sign(p, "[")) {
        t = p->t++;
        index = expression(p, 0);
        x = index && expect(p, "]") ? node_of(p, NODE_INDEX, OP_NONE, t->at, x, index) : NULL;
    }
    return x;
}

/* --- operators --- */

static bool is_comparison(enum node_op op)
{
    return op == OP_LT || op == OP_GT || op == OP_LE || op == OP_GE;
}

static int binary_at(const struct parser *p, const struct token *t)
{
    (void)p;
    for (size_t i = 0; t->type == TOKEN_SIGN && i < ARRAY_LEN(binaries); i++)
        if (str_is(t->text, binaries[i].text))
            return (int)i;
    return -1;
}

/* "1 < a < 5" is "1 < a && a < 5". */
static struct node *comparison(struct parser *p, struct node *left, int k)
{
    struct node *root = NULL;

    for (;;) {
        size_t at = p->t[-1].at;
        struct node *right = expression(p, 21), *one;

        if (!right)
            return NULL;
        one = node_of(p, NODE_BINARY, binaries[k].op, at, left, right);
        root = root && one ? node_of(p, NODE_BINARY, OP_AND, at, root, one) : one;
        if (!root)
            return NULL;
        left = right;
        k = binary_at(p, p->t);
        if (k < 0 || !is_comparison(binaries[k].op))
            return root;
        p->t++;
    }
}

static struct node *pipe_into(struct parser *p, struct node *left)
{
    const struct token *name = p->t;

    if (name->type != TOKEN_NAME)
        return wrong(p, "behind '|' the name of a function is expected");
    p->t++;
    return expect(p, "(") ? call(p, name, left) : NULL;
}

static struct node *operators(struct parser *p, struct node *left, int precedence)
{
    bool after_coalesce = false;

    while (left) {
        bool is_negated =
            is_sign(p, "not") && p->t[1].type == TOKEN_SIGN && str_is(p->t[1].text, "in");
        const struct token *t = p->t + is_negated;
        int k = binary_at(p, t);

        if (precedence == 0 && take(p, "|")) {
            left = pipe_into(p, left);
            continue;
        }
        if (k < 0 || binaries[k].precedence < precedence)
            break;
        p->t = t + 1;
        if (after_coalesce && binaries[k].op != OP_COALESCE) {
            formula_wrong(
                p->err, t->at,
                "'\?\?' and '%s' cannot be mixed without parentheses: write (a \?\? b) %s c",
                binaries[k].text, binaries[k].text);
            return NULL;
        }
        if (is_comparison(binaries[k].op)) {
            left = comparison(p, left, k);
        } else {
            struct node *right =
                expression(p, binaries[k].precedence + (binaries[k].is_right ? 0 : 1));

            left = right ? node_of(p, NODE_BINARY, binaries[k].op, t->at, left, right) : NULL;
            if (is_negated && left)
                left = node_of(p, NODE_UNARY, OP_NOT, t->at, left, NULL);
        }
        p->f->has_coalesce |= binaries[k].op == OP_COALESCE;
        after_coalesce = binaries[k].op == OP_COALESCE;
    }
    return left;
}

/* --- what binds loosest --- */

static struct node *choice(struct parser *p, size_t at, struct node *a, struct node *b,
                           struct node *c)
{
    struct node *x;

    if (!a || !b || !c)
        return NULL;
    x = node_new(p, NODE_CHOICE, at, 3);
    x->args[0] = a;
    x->args[1] = b;
    x->args[2] = c;
    return grown(p, x);
}

static struct node *block(struct parser *p)
{
    struct node *x = expect(p, "{") ? expression(p, 0) : NULL;

    return x && expect(p, "}") ? x : NULL;
}

static struct node *if_else(struct parser *p)
{
    size_t at = p->t[-1].at;
    struct node *a = expression(p, 0), *b = a ? block(p) : NULL, *c = NULL;

    if (b && expect(p, "else"))
        c = is_sign(p, "if") ? expression(p, 0) : block(p);
    return choice(p, at, a, b, c);
}

static struct node *let(struct parser *p)
{
    size_t at = p->t[-1].at;
    const struct token *name = p->t;
    struct bound b = {.name = name->text, .outer = p->bound};
    struct node *value, *body, *x;

    if (name->type != TOKEN_NAME || name->text.p[0] == '#')
        return wrong(p, "behind 'let' a name is expected");
    p->t++;
    if (!expect(p, "=") || !(value = expression(p, 0)) || !expect(p, ";"))
        return NULL;
    p->bound = &b;
    body = expression(p, 0);
    p->bound = b.outer;
    x = body ? node_of(p, NODE_LET, OP_NONE, at, value, body) : NULL;
    if (x)
        x->name = name->text;
    return x;
}

static struct node *loosest(struct parser *p)
{
    struct node *x;

    if (take(p, "let"))
        return let(p);
    if (take(p, "if"))
        return if_else(p);
    x = operators(p, primary(p), 0);
    while (x && is_sign(p, "?")) {
        size_t at = p->t++->at;
        struct node *then;

        if (take(p, ":")) { /* a ?: b */
            then = expression(p, 0);
            x = then ? node_of(p, NODE_CHOICE, OP_NONE, at, x, then) : NULL;
        } else {
            then = expression(p, 0);
            x = then && expect(p, ":") ? choice(p, at, x, then, expression(p, 0)) : NULL;
        }
    }
    return x;
}

static struct node *expression(struct parser *p, int precedence)
{
    struct node *x;

    if (p->depth >= FORMULA_DEPTH_MAX) {
        formula_wrong(p->err, p->t->at, "nested deeper than %d", FORMULA_DEPTH_MAX);
        return NULL;
    }
    p->depth++;
    x = precedence == 0 ? loosest(p) : operators(p, primary(p), precedence);
    p->depth--;
    return x;
}

int formula_parse(struct formula *f, struct err *err)
{
    struct token *tokens;
    struct parser p = {.f = f, .err = err};
    int r = formula_lex(&f->arena, f->text, &tokens, err);

    if (r < 0)
        return r;
    p.t = tokens;
    f->root = expression(&p, 0);
    if (!f->root)
        return ERR_INVALID;
    if (p.t->type != TOKEN_END) {
        wrong(&p, "an operator or the end is expected");
        return ERR_INVALID;
    }
    return 0;
}
