/* SPDX-License-Identifier: Apache-2.0
 *
 * Expressions: aggregates, calls and operators by precedence, with the checks of their types. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "promql/fn.h"
#include "promql/parse_int.h"

#define DEPTH_MAX 100
#define TEXT_MAX (16 << 20)
/* A selector by name alone, as most queries of triggers are. */
#define FIRST_BYTES ((sizeof(struct expr) + 15) / 16 * 16 + (sizeof(struct matcher) + 15) / 16 * 16)

static int parse_expr(struct parser *p, int min_prec, struct expr **ret);

static int parse_labels(struct parser *p, struct str **list, uint32_t *n)
{
    int r = lex_expect(p, "(", "grouping opts");

    while (r == 0 && !lex_is(p, ")")) {
        if (p->tok != T_IDENT && p->tok != T_STRING)
            return lex_unexpected(p, "grouping opts, expected label");
        *list = parse_room(p, *list, *n, sizeof(**list));
        (*list)[(*n)++] = p->tok == T_STRING ? p->string : p->word;
        r = lex_next(p);
        if (r == 0 && !lex_is(p, ")"))
            r = lex_is(p, ",") ? lex_next(p)
                               : lex_unexpected(p, "grouping opts, expected \",\" or \")\"");
    }
    return r < 0 ? r : lex_next(p);
}

static const char *const aggregates[] = {"sum",      "avg",          "min",   "max",  "count",
                                         "stddev",   "stdvar",       "group", "topk", "bottomk",
                                         "quantile", "count_values", "limitk"};

static bool takes_param(struct str name)
{
    return str_is(name, "topk") || str_is(name, "bottomk") || str_is(name, "quantile") ||
           str_is(name, "count_values") || str_is(name, "limitk");
}

static int parse_grouping(struct parser *p, struct expr *e)
{
    if (!lex_is_word(p, "by") && !lex_is_word(p, "without"))
        return 0;
    e->has_grouping = true;
    e->without = lex_is_word(p, "without");
    int r = lex_next(p);

    return r < 0 ? r : parse_labels(p, &e->labels, &e->n_labels);
}

static int need_type(struct parser *p, const struct expr *e, enum promql_type want,
                     const char *where)
{
    static const char *const names[] = {"scalar", "string", "instant vector", "range vector"};

    if (e->value_type == want)
        return 0;
    return lex_fail(p, e->pos, "expected type %s in %s, got %s", names[want], where,
                    names[e->value_type]);
}

static int parse_aggregate(struct parser *p, const char *name, struct expr **ret)
{
    struct expr *e = parse_new(p, N_AGGREGATE, PROMQL_VECTOR), *arg;
    int r = lex_next(p);

    e->text = str_of(name);
    if (r < 0 || (r = parse_grouping(p, e)) < 0 || (r = lex_expect(p, "(", "aggregation")) < 0)
        return r;
    while (r == 0 && !lex_is(p, ")")) {
        if ((r = parse_expr(p, 0, &arg)) < 0)
            return r;
        parse_add_arg(p, e, arg);
        if (!lex_is(p, ")"))
            r = lex_is(p, ",") ? lex_next(p) : lex_unexpected(p, "aggregation");
    }
    if (r < 0 || (r = lex_next(p)) < 0)
        return r;
    if (!e->has_grouping && (r = parse_grouping(p, e)) < 0)
        return r;
    if (e->n_args != (takes_param(e->text) ? 2u : 1u))
        return lex_fail(
            p, e->pos,
            "wrong number of arguments for aggregate expression provided, expected %d, got %u",
            takes_param(e->text) ? 2 : 1, e->n_args);
    if (takes_param(e->text) &&
        (r = need_type(p, e->args[0],
                       str_is(e->text, "count_values") ? PROMQL_STRING : PROMQL_SCALAR,
                       "aggregation parameter")) < 0)
        return r;
    r = need_type(p, e->args[e->n_args - 1], PROMQL_VECTOR, "aggregation expression");
    *ret = e;
    return r;
}

static int check_call(struct parser *p, const struct expr *e)
{
    const char *sig = e->fn->args;
    AUTO_FREE char *where = mem_printf("call to function \"%s\"", e->fn->name);
    size_t required = 0, total = 0;
    bool repeats = false;

    for (const char *c = sig; *c; c++) {
        repeats |= *c == '*';
        total += *c != '*';
        required += *c != '*' && islower((unsigned char)*c);
    }
    if (e->n_args < required || (!repeats && e->n_args > total))
        return lex_fail(p, e->pos, "expected %s%zu argument(s) in %s, got %u",
                        required == total      ? ""
                        : e->n_args < required ? "at least "
                                               : "at most ",
                        e->n_args < required ? required : total, where, e->n_args);
    for (size_t i = 0; i < e->n_args; i++) {
        char c = (char)tolower((unsigned char)sig[i < total ? i : total - 1]);
        int r = need_type(p, e->args[i],
                          c == 's'   ? PROMQL_SCALAR
                          : c == 't' ? PROMQL_STRING
                          : c == 'm' ? PROMQL_MATRIX
                                     : PROMQL_VECTOR,
                          where);

        if (r < 0)
            return r;
    }
    return 0;
}

static int parse_call(struct parser *p, struct str name, size_t pos, struct expr **ret)
{
    struct expr *e = parse_new(p, N_CALL, PROMQL_VECTOR), *arg;
    const struct function *f = promql_function_named(name);
    int r = lex_next(p); /* "(" */

    e->pos = (uint32_t)pos;
    if (!f)
        return lex_fail(p, pos, "unknown function with name \"%.*s\"", STR_ARG(name));
    e->fn = f;
    e->value_type = f->returns;
    while (r == 0 && !lex_is(p, ")")) {
        if ((r = parse_expr(p, 0, &arg)) < 0)
            return r;
        parse_add_arg(p, e, arg);
        if (!lex_is(p, ")"))
            r = lex_is(p, ",") ? lex_next(p) : lex_unexpected(p, "function call");
    }
    if (r < 0 || (r = lex_next(p)) < 0 || (r = check_call(p, e)) < 0)
        return r;
    *ret = e;
    return 0;
}

static int parse_ident(struct parser *p, struct expr **ret)
{
    struct str name = p->word;
    size_t pos = p->tok_pos, save_at = p->at;
    enum token save = p->tok;
    int r;

    if (str_eq_nocase(name, STR("inf")) || str_eq_nocase(name, STR("nan"))) {
        struct expr *e = parse_new(p, N_NUMBER, PROMQL_SCALAR);

        e->number = (name.p[0] | 0x20) == 'i' ? INFINITY : NAN;
        *ret = e;
        return lex_next(p);
    }
    if ((r = lex_next(p)) < 0)
        return r;
    for (size_t i = 0; i < ARRAY_LEN(aggregates); i++)
        if (str_eq_nocase(name, str_of(aggregates[i])) &&
            (lex_is(p, "(") || lex_is_word(p, "by") || lex_is_word(p, "without"))) {
            p->at = save_at; /* back to the name */
            p->tok = save;
            p->word = name;
            p->tok_pos = pos;
            return parse_aggregate(p, aggregates[i], ret);
        }
    if (lex_is(p, "("))
        return parse_call(p, name, pos, ret);
    p->at = save_at;
    p->tok = save;
    p->word = name;
    p->tok_pos = pos;
    return parse_selector(p, ret);
}

static int parse_primary(struct parser *p, struct expr **ret)
{
    struct expr *e = NULL;
    int r;

    switch (p->tok) {
    case T_NUMBER:
    case T_DURATION:
        e = parse_new(p, N_NUMBER, PROMQL_SCALAR);
        e->number = p->number;
        r = lex_next(p);
        break;
    case T_STRING:
        e = parse_new(p, N_STRING, PROMQL_STRING);
        e->text = p->string;
        r = lex_next(p);
        break;
    case T_IDENT:
        r = parse_ident(p, &e);
        break;
    default:
        if (lex_is(p, "(")) {
            struct expr *inner;

            e = parse_new(p, N_PAREN, PROMQL_SCALAR);
            if ((r = lex_next(p)) < 0 || (r = parse_expr(p, 0, &inner)) < 0)
                return r;
            parse_add_arg(p, e, inner);
            e->value_type = inner->value_type;
            r = lex_is(p, ")")    ? lex_next(p)
                : p->tok == T_EOF ? lex_fail(p, p->tok_pos, "unclosed left parenthesis")
                                  : lex_unexpected(p, "parentheses");
        } else if (lex_is(p, "{")) {
            r = parse_selector(p, &e);
        } else {
            return lex_unexpected(p, "");
        }
    }
    if (r < 0 || (r = parse_postfix(p, &e)) < 0)
        return r;
    *ret = e;
    return 0;
}

static const struct {
    const char *text;
    enum op op;
    int prec;
    bool right;
} binary_ops[] = {
    {"or", OP_OR, 1, false},  {"and", OP_AND, 2, false}, {"unless", OP_UNLESS, 2, false},
    {"==", OP_EQL, 3, false}, {"!=", OP_NEQ, 3, false},  {"<=", OP_LTE, 3, false},
    {"<", OP_LSS, 3, false},  {">=", OP_GTE, 3, false},  {">", OP_GTR, 3, false},
    {"+", OP_ADD, 4, false},  {"-", OP_SUB, 4, false},   {"*", OP_MUL, 5, false},
    {"/", OP_DIV, 5, false},  {"%", OP_MOD, 5, false},   {"atan2", OP_ATAN2, 5, false},
    {"^", OP_POW, 6, true},
};

static int parse_unary(struct parser *p, struct expr **ret)
{
    struct expr *e, *inner;
    int r;

    if (!lex_is(p, "-") && !lex_is(p, "+"))
        return parse_primary(p, ret);
    bool neg = lex_is(p, "-");

    e = parse_new(p, N_UNARY, PROMQL_SCALAR);
    if ((r = lex_next(p)) < 0 || (r = parse_expr(p, 6, &inner)) < 0)
        return r;
    if (inner->value_type != PROMQL_SCALAR && inner->value_type != PROMQL_VECTOR)
        return lex_fail(
            p, e->pos,
            "unary expression only allowed on expressions of type scalar or instant vector");
    e->op = neg ? OP_SUB : OP_ADD;
    e->value_type = inner->value_type;
    parse_add_arg(p, e, inner);
    *ret = e;
    return 0;
}

static int parse_matching(struct parser *p, struct expr *e)
{
    int r = 0;

    if (lex_is_word(p, "bool")) {
        e->bool_modifier = true;
        if ((r = lex_next(p)) < 0)
            return r;
        if (e->op < OP_EQL || e->op > OP_GTR)
            return lex_fail(p, p->tok_pos,
                            "bool modifier can only be used on comparison operators");
    }
    if (lex_is_word(p, "on") || lex_is_word(p, "ignoring")) {
        e->has_matching = true;
        e->on = lex_is_word(p, "on");
        if ((r = lex_next(p)) < 0 || (r = parse_labels(p, &e->labels, &e->n_labels)) < 0)
            return r;
        if (lex_is_word(p, "group_left") || lex_is_word(p, "group_right")) {
            e->group_left = lex_is_word(p, "group_left");
            e->group_right = !e->group_left;
            if (e->op <= OP_UNLESS)
                return lex_fail(p, p->tok_pos, "no grouping allowed for \"%s\" operation",
                                binary_ops[e->op].text);
            if ((r = lex_next(p)) < 0)
                return r;
            if (lex_is(p, "("))
                r = parse_labels(p, &e->include, &e->n_include);
        }
    }
    return r;
}

static int check_binary(struct parser *p, struct expr *e)
{
    const struct expr *l = e->args[0], *r = e->args[1];
    bool ls = l->value_type == PROMQL_SCALAR, rs = r->value_type == PROMQL_SCALAR;

    if ((!ls && l->value_type != PROMQL_VECTOR) || (!rs && r->value_type != PROMQL_VECTOR))
        return lex_fail(
            p, l->value_type == PROMQL_SCALAR || l->value_type == PROMQL_VECTOR ? r->pos : l->pos,
            "binary expression must contain only scalar and instant vector types");
    if (e->op >= OP_EQL && e->op <= OP_GTR && ls && rs && !e->bool_modifier)
        return lex_fail(p, e->pos, "comparisons between scalars must use BOOL modifier");
    if (e->op <= OP_UNLESS && (ls || rs))
        return lex_fail(p, e->pos, "set operator \"%s\" not allowed in binary scalar expression",
                        binary_ops[e->op].text);
    if (e->has_matching && (ls || rs))
        return lex_fail(p, e->pos, "vector matching only allowed between instant vectors");
    e->value_type = ls && rs ? PROMQL_SCALAR : PROMQL_VECTOR;
    return 0;
}

static int parse_expr(struct parser *p, int min_prec, struct expr **ret)
{
    struct expr *left = NULL;
    int r;

    if (++p->depth > DEPTH_MAX)
        return lex_fail(p, p->tok_pos, "nested deeper than %d levels", DEPTH_MAX);
    if ((r = parse_unary(p, &left)) < 0)
        return r;
    for (;;) {
        size_t i = 0;
        struct expr *e, *right;

        for (; i < ARRAY_LEN(binary_ops); i++)
            if (p->tok == T_OP ? str_is(p->word, binary_ops[i].text)
                               : lex_is_word(p, binary_ops[i].text))
                break;
        if (i == ARRAY_LEN(binary_ops) || binary_ops[i].prec < min_prec)
            break;
        e = parse_new(p, N_BINARY, PROMQL_VECTOR);
        e->pos = left->pos;
        e->op = binary_ops[i].op;
        if ((r = lex_next(p)) < 0 || (r = parse_matching(p, e)) < 0 ||
            (r = parse_expr(p, binary_ops[i].prec + !binary_ops[i].right, &right)) < 0)
            return r;
        parse_add_arg(p, e, left);
        parse_add_arg(p, e, right);
        if ((r = check_binary(p, e)) < 0)
            return r;
        left = e;
    }
    p->depth--;
    *ret = left;
    return 0;
}

int promql_parse(struct str text, struct promql **ret, struct err *err)
{
    struct err own = ERR_INIT;
    struct parser p = {.err = &own};
    struct promql *q;
    int r;

    if (text.n > TEXT_MAX)
        return err_set(err, ERR_LIMIT, "a query of more than %d MiB", TEXT_MAX >> 20);
    p.q = q = mem_zalloc(sizeof(*q) + text.n + 1);
    p.text = str_n(q->text, text.n);
    q->arena.first = FIRST_BYTES;
    if (text.n)
        memcpy(q->text, text.p, text.n);
    r = lex_next(&p);
    if (r == 0 && p.tok == T_EOF)
        r = lex_fail(&p, 0, "no expression found in input");
    if (r == 0)
        r = parse_expr(&p, 0, &q->root);
    if (r == 0 && p.tok != T_EOF)
        r = lex_unexpected(&p, "");
    if (r < 0) {
        promql_free(q);
        return err_set(err, r, "%s", own.msg);
    }
    *ret = q;
    return 0;
}
