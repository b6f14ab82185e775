/* SPDX-License-Identifier: Apache-2.0
 *
 * Building the tree; selectors, and the ranges and times that follow an expression. */
#include <math.h>

#include "base/mem.h"
#include "promql/parse_int.h"

/* --- building --- */

struct expr *parse_new(struct parser *p, enum node_type type, enum promql_type value)
{
    struct expr *e = arena_alloc(&p->q->arena, sizeof(*e));

    e->type = type;
    e->value_type = value;
    e->pos = (uint32_t)p->tok_pos;
    return e;
}

/* It doubles, so there is some unless n is a power of two. */
void *parse_room(struct parser *p, void *items, size_t n, size_t size)
{
    void *more;

    if (n & (n - 1))
        return items;
    more = arena_alloc(&p->q->arena, (n ? n * 2 : 1) * size);
    if (n)
        memcpy(more, items, n * size);
    return more;
}

void parse_add_arg(struct parser *p, struct expr *e, struct expr *arg)
{
    e->args = parse_room(p, e->args, e->n_args, sizeof(struct expr *));
    e->args[e->n_args++] = arg;
}

static bool regex_hook(const void *ctx, struct str value)
{
    return re2_matches(ctx, value.n ? value.p : "", value.n);
}

static int add_matcher(struct parser *p, struct expr *e, enum match_op op, struct str name,
                       struct str value, size_t pos)
{
    struct matcher m = {.op = op, .name = name, .value = value};
    char why[200];

    if (op == MATCH_RE || op == MATCH_NRE) {
        struct re2_pattern *re = re2_compile(value.n ? value.p : "", value.n, why, sizeof(why));

        if (!re)
            return lex_fail(p, pos, "error parsing regexp: %s", why);
        mem_grow(&p->q->patterns, &p->q->cap_patterns, p->q->n_patterns);
        p->q->patterns[p->q->n_patterns++] = re;
        m.regex = regex_hook;
        m.ctx = re;
    }
    e->matchers = parse_room(p, e->matchers, e->n_matchers, sizeof(*e->matchers));
    e->matchers[e->n_matchers++] = m;
    return 0;
}

static int parse_matchers(struct parser *p, struct expr *e)
{
    static const char *const ops[] = {"=", "!=", "=~", "!~"};
    int r;

    p->in_braces = true;
    r = lex_next(p);
    while (r == 0 && !lex_is(p, "}")) {
        struct str name;
        size_t pos = p->tok_pos;
        int op = -1;

        if (p->tok != T_IDENT && p->tok != T_STRING)
            return lex_unexpected(p, "label matching, expected identifier or \"}\"");
        name = p->tok == T_STRING ? p->string : p->word;
        bool quoted = p->tok == T_STRING;

        if ((r = lex_next(p)) < 0)
            return r;
        if (quoted && (lex_is(p, ",") || lex_is(p, "}"))) {
            r = add_matcher(p, e, MATCH_EQ, STR("__name__"), name, pos);
        } else {
            for (int i = 0; i < 4; i++)
                op = p->tok == T_OP && str_is(p->word, ops[i]) ? i : op;
            if (op < 0)
                return lex_unexpected(p, "label matching, expected label matching operator");
            if ((r = lex_next(p)) < 0)
                return r;
            if (p->tok != T_STRING)
                return lex_unexpected(p, "label matching, expected string");
            r = add_matcher(p, e, (enum match_op)op, name, p->string, p->tok_pos);
            if (r == 0)
                r = lex_next(p);
        }
        if (r == 0 && !lex_is(p, "}"))
            r = lex_is(p, ",") ? lex_next(p)
                               : lex_unexpected(p, "label matching, expected \",\" or \"}\"");
    }
    p->in_braces = false;
    return r < 0 ? r : lex_next(p);
}

static int check_selector(struct parser *p, struct expr *e)
{
    bool non_empty = false;

    for (size_t i = 0; i < e->n_matchers; i++)
        non_empty |= !matcher_matches(&e->matchers[i], STR_NONE);
    if (!non_empty)
        return lex_fail(p, e->pos, "vector selector must contain at least one non-empty matcher");
    return 0;
}

int parse_selector(struct parser *p, struct expr **ret)
{
    struct expr *e = parse_new(p, N_SELECTOR, PROMQL_VECTOR);
    int r = 0;

    if (p->tok == T_IDENT) {
        r = add_matcher(p, e, MATCH_EQ, STR("__name__"), p->word, p->tok_pos);
        if (r == 0)
            r = lex_next(p);
    }
    if (r == 0 && lex_is(p, "{"))
        r = parse_matchers(p, e);
    if (r == 0)
        r = check_selector(p, e);
    *ret = e;
    return r;
}

static int parse_duration(struct parser *p, int64_t *ret)
{
    bool neg = false;
    int r;

    if (lex_is(p, "-") || lex_is(p, "+")) {
        neg = lex_is(p, "-");
        if ((r = lex_next(p)) < 0)
            return r;
    }
    if (p->tok != T_DURATION && p->tok != T_NUMBER)
        return lex_unexpected(p, "duration");
    *ret = neg ? -p->duration_ms : p->duration_ms;
    return lex_next(p);
}

/* [5m] or [5m:1m] behind e. */
static int parse_range(struct parser *p, struct expr **e)
{
    struct expr *m = parse_new(p, N_MATRIX, PROMQL_MATRIX);
    int r = lex_next(p);

    p->in_range = true; /* ':' is no letter here */
    m->pos = (*e)->pos;
    parse_add_arg(p, m, *e);
    if (r < 0 || (r = parse_duration(p, &m->range_ms)) < 0)
        return r;
    if (m->range_ms <= 0)
        return lex_fail(p, p->tok_pos, "duration must be greater than 0");
    if (lex_is(p, ":")) {
        m->type = N_SUBQUERY;
        if ((r = lex_next(p)) < 0)
            return r;
        if (!lex_is(p, "]") && (r = parse_duration(p, &m->step_ms)) < 0)
            return r;
        if ((*e)->value_type != PROMQL_VECTOR)
            return lex_fail(p, m->pos, "subquery is only allowed on instant vector");
    } else if ((*e)->type != N_SELECTOR) {
        return lex_fail(p, m->pos, "ranges only allowed for vector selectors");
    } else if ((*e)->offset_ms || (*e)->has_at) {
        return lex_fail(p, m->pos, "no offset modifiers allowed before range");
    }
    p->in_range = false;
    if ((r = lex_expect(p, "]", "subscript")) < 0)
        return r;
    *e = m;
    return 0;
}

static struct expr *modified(struct expr *e)
{
    return e->type == N_MATRIX ? e->args[0] : e;
}

static int parse_at(struct parser *p, struct expr *e)
{
    int r = lex_next(p);

    if (r < 0)
        return r;
    e->has_at = true;
    if (lex_is_word(p, "start") || lex_is_word(p, "end")) {
        e->at_what = lex_is_word(p, "start") ? 's' : 'e';
        if ((r = lex_next(p)) < 0 || (r = lex_expect(p, "(", "@")) < 0)
            return r;
        return lex_expect(p, ")", "@");
    }
    bool neg = lex_is(p, "-");

    if ((neg || lex_is(p, "+")) && (r = lex_next(p)) < 0)
        return r;
    if ((p->tok != T_NUMBER && p->tok != T_DURATION) || !isfinite(p->number) || p->number > 9e15)
        return lex_unexpected(p, "@, expected timestamp");
    e->at_ms = (int64_t)llround((neg ? -p->number : p->number) * 1000);
    return lex_next(p);
}

int parse_postfix(struct parser *p, struct expr **e)
{
    int r = 0;

    for (;;) {
        if (lex_is(p, "[")) {
            if ((r = parse_range(p, e)) < 0)
                return r;
        } else if (lex_is_word(p, "offset") || lex_is(p, "@")) {
            struct expr *m = modified(*e);

            if (m->type != N_SELECTOR && m->type != N_SUBQUERY)
                return lex_fail(
                    p, p->tok_pos,
                    "%s modifier must be preceded by an instant vector selector or range "
                    "vector selector or a subquery",
                    lex_is(p, "@") ? "@" : "offset");
            if (lex_is(p, "@"))
                r = parse_at(p, m);
            else if ((r = lex_next(p)) == 0)
                r = parse_duration(p, &m->offset_ms);
            if (r < 0)
                return r;
        } else {
            return 0;
        }
    }
}
