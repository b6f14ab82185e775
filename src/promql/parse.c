/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "promql/ast.h"

enum token { T_EOF, T_IDENT, T_NUMBER, T_STRING, T_DURATION, T_OP, T_PUNCT };

struct parser {
    struct promql *q;
    struct str text;
    size_t at; /* behind the token */
    enum token tok;
    size_t tok_pos;
    struct str word; /* its bytes */
    double number;
    int64_t duration_ms;
    struct str string; /* unescaped */
    struct err *err;
    int depth;
    bool in_braces;
    bool in_range; /* between [ and ] */
};

#define DEPTH_MAX 100
#define TEXT_MAX (16 << 20)
/* A selector by name alone, as most queries of triggers are. */
#define FIRST_BYTES ((sizeof(struct expr) + 15) / 16 * 16 + (sizeof(struct matcher) + 15) / 16 * 16)

/* --- errors with positions --- */

void promql_position(struct str text, size_t pos, int *ret_line, int *ret_col)
{
    *ret_line = *ret_col = 1;
    for (size_t i = 0; i < pos && i < text.n; i++) {
        if (text.p[i] == '\n') {
            ++*ret_line;
            *ret_col = 1;
        } else {
            ++*ret_col;
        }
    }
}

__attribute__((format(printf, 3, 4))) static int fail(struct parser *p, size_t pos, const char *fmt,
                                                      ...)
{
    char text[400];
    int line, col;
    va_list ap;

    promql_position(p->text, pos, &line, &col);
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return err_set(p->err, ERR_BAD_INPUT, "%d:%d: parse error: %s", line, col, text);
}

static int unexpected(struct parser *p, const char *where)
{
    if (p->tok == T_EOF)
        return fail(p, p->tok_pos, "unexpected end of input%s%s", *where ? " in " : "", where);
    return fail(p, p->tok_pos, "unexpected %s \"%.*s\"%s%s",
                p->tok == T_IDENT    ? "identifier"
                : p->tok == T_NUMBER ? "number"
                : p->tok == T_STRING ? "string"
                                     : "character",
                STR_ARG(p->word), *where ? " in " : "", where);
}

/* --- tokens --- */

static bool is_ident(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == ':';
}

bool promql_parse_duration(struct str s, int64_t *ret)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1},       {"s", 1000},      {"m", 60000},      {"h", 3600000},
                 {"d", 86400000}, {"w", 604800000}, {"y", 31536000000}};
    int64_t total = 0, last = INT64_MAX;
    size_t i = 0;
    double number;

    if (s.n == 0)
        return false;
    if (isdigit((unsigned char)s.p[s.n - 1]) || s.p[s.n - 1] == '.') {
        if (!str_to_double(s, &number) || !(fabs(number) < 9e12))
            return false;
        *ret = (int64_t)(number * 1000);
        return true;
    }
    while (i < s.n) {
        int64_t n = 0;
        size_t from = i, u = 0;

        for (; i < s.n && isdigit((unsigned char)s.p[i]); i++)
            if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, s.p[i] - '0', &n))
                return false;
        if (i == from)
            return false;
        for (; u < ARRAY_LEN(units); u++)
            if (str_starts(str_skip(s, i), str_of(units[u].unit)) &&
                !(u == 2 && str_starts(str_skip(s, i), STR("ms"))))
                break;
        if (u == ARRAY_LEN(units) || units[u].ms >= last ||
            __builtin_mul_overflow(n, units[u].ms, &n) || __builtin_add_overflow(total, n, &total))
            return false;
        last = units[u].ms;
        i += strlen(units[u].unit);
    }
    *ret = total;
    return true;
}

static int read_string(struct parser *p, char quote)
{
    struct buf b = BUF_INIT;
    size_t i = p->at + 1;

    for (; i < p->text.n && p->text.p[i] != quote; i++) {
        char c = p->text.p[i];

        if (c == '\n' && quote != '`')
            break;
        if (c == '\\' && quote != '`' && i + 1 < p->text.n) {
            static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
            const char *e = strchr(from, p->text.p[++i]);
            char hex[3] = "";

            if (e && *e) {
                c = to[e - from];
            } else if (p->text.p[i] == 'x' && i + 2 < p->text.n) {
                memcpy(hex, p->text.p + i + 1, 2);
                c = (char)strtol(hex, NULL, 16);
                i += 2;
            } else {
                buf_done(&b);
                return fail(p, p->at, "unknown escape sequence '\\%c'", p->text.p[i]);
            }
        }
        buf_add_char(&b, c);
    }
    if (i >= p->text.n || p->text.p[i] != quote) {
        buf_done(&b);
        return fail(p, p->at, "unterminated quoted string");
    }
    p->string = str_n(p->text.p + p->at + 1, i - p->at - 1);
    if (!str_eq(p->string, buf_str(&b)))
        p->string = arena_str(&p->q->arena, buf_str(&b));
    buf_done(&b);
    p->at = i + 1;
    p->tok = T_STRING;
    return 0;
}

static int read_number(struct parser *p)
{
    const char *s = p->text.p + p->at;
    size_t n = 0, left = p->text.n - p->at;
    bool hex = left > 2 && s[0] == '0' && (s[1] | 0x20) == 'x';

    if (hex) {
        for (n = 2; n < left && isxdigit((unsigned char)s[n]); n++)
            ;
    } else {
        for (; n < left && (isdigit((unsigned char)s[n]) || s[n] == '.'); n++)
            ;
        if (n < left && (s[n] | 0x20) == 'e' && n + 1 < left &&
            (isdigit((unsigned char)s[n + 1]) ||
             ((s[n + 1] == '+' || s[n + 1] == '-') && n + 2 < left &&
              isdigit((unsigned char)s[n + 2])))) {
            for (n += 2; n < left && isdigit((unsigned char)s[n]); n++)
                ;
        } else if (n < left && isalpha((unsigned char)s[n])) { /* a duration */
            for (; n < left && isalnum((unsigned char)s[n]); n++)
                ;
            p->word = str_n(s, n);
            if (!promql_parse_duration(p->word, &p->duration_ms))
                return fail(p, p->at, "bad number or duration syntax: \"%.*s\"", STR_ARG(p->word));
            p->number = (double)p->duration_ms / 1000;
            p->tok = T_DURATION;
            p->at += n;
            return 0;
        }
    }
    p->word = str_n(s, n);
    if (hex)
        p->number = (double)strtoull(s, NULL, 16);
    else if (!str_to_double(p->word, &p->number))
        return fail(p, p->at, "bad number or duration syntax: \"%.*s\"", STR_ARG(p->word));
    p->duration_ms = fabs(p->number) < 9e12 ? (int64_t)llround(p->number * 1000) : 0;
    p->tok = T_NUMBER;
    p->at += n;
    return 0;
}

static int next(struct parser *p)
{
    static const char *const ops[] = {"==", "!=", "<=", ">=", "=~", "!~", "<", ">",
                                      "+",  "-",  "*",  "/",  "%",  "^",  "="};
    const char *s;

    for (;;) { /* blanks and comments */
        while (p->at < p->text.n && isspace((unsigned char)p->text.p[p->at]))
            p->at++;
        if (p->at >= p->text.n || p->text.p[p->at] != '#')
            break;
        while (p->at < p->text.n && p->text.p[p->at] != '\n')
            p->at++;
    }
    p->tok_pos = p->at;
    if (p->at >= p->text.n) {
        p->tok = T_EOF;
        p->word = STR("");
        return 0;
    }
    s = p->text.p + p->at;
    if (*s == '"' || *s == '\'' || *s == '`') {
        int r = read_string(p, *s);

        p->word = str_n(s, (size_t)(p->text.p + p->at - s));
        return r;
    }
    if (isdigit((unsigned char)*s) ||
        (*s == '.' && p->at + 1 < p->text.n && isdigit((unsigned char)s[1])))
        return read_number(p);
    if (isalpha((unsigned char)*s) || *s == '_' ||
        (*s == ':' && !p->in_braces && !p->in_range && p->at + 1 < p->text.n && is_ident(s[1]))) {
        size_t n = 1;

        while (p->at + n < p->text.n && is_ident(s[n]))
            n++;
        p->word = str_n(s, n);
        p->tok = T_IDENT;
        p->at += n;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        size_t n = strlen(ops[i]);

        if (p->text.n - p->at >= n && memcmp(s, ops[i], n) == 0) {
            p->word = str_n(s, n);
            p->tok = T_OP;
            p->at += n;
            return 0;
        }
    }
    if (!strchr("(){}[],@:", *s))
        return fail(p, p->at, "unexpected character: '%c'", *s);
    p->word = str_n(s, 1);
    p->tok = T_PUNCT;
    p->at++;
    return 0;
}

static bool is(const struct parser *p, const char *w)
{
    return (p->tok == T_PUNCT || p->tok == T_OP) && str_is(p->word, w);
}

static bool is_word(const struct parser *p, const char *w)
{
    return p->tok == T_IDENT && str_eq_nocase(p->word, str_of(w));
}

static int expect(struct parser *p, const char *w, const char *where)
{
    return is(p, w) ? next(p) : unexpected(p, where);
}

/* --- building --- */

static struct expr *new_expr(struct parser *p, enum node_type type, enum promql_type value)
{
    struct expr *e = arena_alloc(&p->q->arena, sizeof(*e));

    e->type = type;
    e->value_type = value;
    e->pos = (uint32_t)p->tok_pos;
    return e;
}

/* Room for one more. It doubles, so there is some unless n is a power of two. */
static void *room(struct parser *p, void *items, size_t n, size_t size)
{
    void *more;

    if (n & (n - 1))
        return items;
    more = arena_alloc(&p->q->arena, (n ? n * 2 : 1) * size);
    if (n)
        memcpy(more, items, n * size);
    return more;
}

static void add_arg(struct parser *p, struct expr *e, struct expr *arg)
{
    e->args = room(p, e->args, e->n_args, sizeof(struct expr *));
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
            return fail(p, pos, "error parsing regexp: %s", why);
        mem_grow(&p->q->patterns, &p->q->cap_patterns, p->q->n_patterns);
        p->q->patterns[p->q->n_patterns++] = re;
        m.regex = regex_hook;
        m.ctx = re;
    }
    e->matchers = room(p, e->matchers, e->n_matchers, sizeof(*e->matchers));
    e->matchers[e->n_matchers++] = m;
    return 0;
}

static int parse_matchers(struct parser *p, struct expr *e)
{
    static const char *const ops[] = {"=", "!=", "=~", "!~"};
    int r;

    p->in_braces = true;
    r = next(p);
    while (r == 0 && !is(p, "}")) {
        struct str name;
        size_t pos = p->tok_pos;
        int op = -1;

        if (p->tok != T_IDENT && p->tok != T_STRING)
            return unexpected(p, "label matching, expected identifier or \"}\"");
        name = p->tok == T_STRING ? p->string : p->word;
        bool quoted = p->tok == T_STRING;

        if ((r = next(p)) < 0)
            return r;
        if (quoted && (is(p, ",") || is(p, "}"))) {
            r = add_matcher(p, e, MATCH_EQ, STR("__name__"), name, pos);
        } else {
            for (int i = 0; i < 4; i++)
                op = p->tok == T_OP && str_is(p->word, ops[i]) ? i : op;
            if (op < 0)
                return unexpected(p, "label matching, expected label matching operator");
            if ((r = next(p)) < 0)
                return r;
            if (p->tok != T_STRING)
                return unexpected(p, "label matching, expected string");
            r = add_matcher(p, e, (enum match_op)op, name, p->string, p->tok_pos);
            if (r == 0)
                r = next(p);
        }
        if (r == 0 && !is(p, "}"))
            r = is(p, ",") ? next(p) : unexpected(p, "label matching, expected \",\" or \"}\"");
    }
    p->in_braces = false;
    return r < 0 ? r : next(p);
}

static int check_selector(struct parser *p, struct expr *e)
{
    bool non_empty = false;

    for (size_t i = 0; i < e->n_matchers; i++)
        non_empty |= !matcher_matches(&e->matchers[i], STR_NONE);
    if (!non_empty)
        return fail(p, e->pos, "vector selector must contain at least one non-empty matcher");
    return 0;
}

static int parse_expr(struct parser *p, int min_prec, struct expr **ret);

static int parse_labels(struct parser *p, struct str **list, uint32_t *n)
{
    int r = expect(p, "(", "grouping opts");

    while (r == 0 && !is(p, ")")) {
        if (p->tok != T_IDENT && p->tok != T_STRING)
            return unexpected(p, "grouping opts, expected label");
        *list = room(p, *list, *n, sizeof(**list));
        (*list)[(*n)++] = p->tok == T_STRING ? p->string : p->word;
        r = next(p);
        if (r == 0 && !is(p, ")"))
            r = is(p, ",") ? next(p) : unexpected(p, "grouping opts, expected \",\" or \")\"");
    }
    return r < 0 ? r : next(p);
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
    if (!is_word(p, "by") && !is_word(p, "without"))
        return 0;
    e->has_grouping = true;
    e->without = is_word(p, "without");
    int r = next(p);

    return r < 0 ? r : parse_labels(p, &e->labels, &e->n_labels);
}

static int need_type(struct parser *p, const struct expr *e, enum promql_type want,
                     const char *where)
{
    static const char *const names[] = {"scalar", "string", "instant vector", "range vector"};

    if (e->value_type == want)
        return 0;
    return fail(p, e->pos, "expected type %s in %s, got %s", names[want], where,
                names[e->value_type]);
}

static int parse_aggregate(struct parser *p, const char *name, struct expr **ret)
{
    struct expr *e = new_expr(p, N_AGGREGATE, PROMQL_VECTOR), *arg;
    int r = next(p);

    e->text = str_of(name);
    if (r < 0 || (r = parse_grouping(p, e)) < 0 || (r = expect(p, "(", "aggregation")) < 0)
        return r;
    while (r == 0 && !is(p, ")")) {
        if ((r = parse_expr(p, 0, &arg)) < 0)
            return r;
        add_arg(p, e, arg);
        if (!is(p, ")"))
            r = is(p, ",") ? next(p) : unexpected(p, "aggregation");
    }
    if (r < 0 || (r = next(p)) < 0)
        return r;
    if (!e->has_grouping && (r = parse_grouping(p, e)) < 0)
        return r;
    if (e->n_args != (takes_param(e->text) ? 2u : 1u))
        return fail(
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
        return fail(p, e->pos, "expected %s%zu argument(s) in %s, got %u",
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
    struct expr *e = new_expr(p, N_CALL, PROMQL_VECTOR), *arg;
    const struct function *f = promql_functions;
    int r = next(p); /* "(" */

    e->pos = (uint32_t)pos;
    while (f->name && !str_is(name, f->name))
        f++;
    if (!f->name)
        return fail(p, pos, "unknown function with name \"%.*s\"", STR_ARG(name));
    e->fn = f;
    e->value_type = f->returns;
    while (r == 0 && !is(p, ")")) {
        if ((r = parse_expr(p, 0, &arg)) < 0)
            return r;
        add_arg(p, e, arg);
        if (!is(p, ")"))
            r = is(p, ",") ? next(p) : unexpected(p, "function call");
    }
    if (r < 0 || (r = next(p)) < 0 || (r = check_call(p, e)) < 0)
        return r;
    *ret = e;
    return 0;
}

static int parse_selector(struct parser *p, struct expr **ret)
{
    struct expr *e = new_expr(p, N_SELECTOR, PROMQL_VECTOR);
    int r = 0;

    if (p->tok == T_IDENT) {
        r = add_matcher(p, e, MATCH_EQ, STR("__name__"), p->word, p->tok_pos);
        if (r == 0)
            r = next(p);
    }
    if (r == 0 && is(p, "{"))
        r = parse_matchers(p, e);
    if (r == 0)
        r = check_selector(p, e);
    *ret = e;
    return r;
}

static int parse_ident(struct parser *p, struct expr **ret)
{
    struct str name = p->word;
    size_t pos = p->tok_pos, save_at = p->at;
    enum token save = p->tok;
    int r;

    if (str_eq_nocase(name, STR("inf")) || str_eq_nocase(name, STR("nan"))) {
        struct expr *e = new_expr(p, N_NUMBER, PROMQL_SCALAR);

        e->number = (name.p[0] | 0x20) == 'i' ? INFINITY : NAN;
        *ret = e;
        return next(p);
    }
    if ((r = next(p)) < 0)
        return r;
    for (size_t i = 0; i < ARRAY_LEN(aggregates); i++)
        if (str_eq_nocase(name, str_of(aggregates[i])) &&
            (is(p, "(") || is_word(p, "by") || is_word(p, "without"))) {
            p->at = save_at; /* back to the name */
            p->tok = save;
            p->word = name;
            p->tok_pos = pos;
            return parse_aggregate(p, aggregates[i], ret);
        }
    if (is(p, "("))
        return parse_call(p, name, pos, ret);
    p->at = save_at;
    p->tok = save;
    p->word = name;
    p->tok_pos = pos;
    return parse_selector(p, ret);
}

static int parse_duration(struct parser *p, int64_t *ret)
{
    bool neg = false;
    int r;

    if (is(p, "-") || is(p, "+")) {
        neg = is(p, "-");
        if ((r = next(p)) < 0)
            return r;
    }
    if (p->tok != T_DURATION && p->tok != T_NUMBER)
        return unexpected(p, "duration");
    *ret = neg ? -p->duration_ms : p->duration_ms;
    return next(p);
}

/* [5m] or [5m:1m] behind e. */
static int parse_range(struct parser *p, struct expr **e)
{
    struct expr *m = new_expr(p, N_MATRIX, PROMQL_MATRIX);
    int r = next(p);

    p->in_range = true; /* ':' is no letter here */
    m->pos = (*e)->pos;
    add_arg(p, m, *e);
    if (r < 0 || (r = parse_duration(p, &m->range_ms)) < 0)
        return r;
    if (m->range_ms <= 0)
        return fail(p, p->tok_pos, "duration must be greater than 0");
    if (is(p, ":")) {
        m->type = N_SUBQUERY;
        if ((r = next(p)) < 0)
            return r;
        if (!is(p, "]") && (r = parse_duration(p, &m->step_ms)) < 0)
            return r;
        if ((*e)->value_type != PROMQL_VECTOR)
            return fail(p, m->pos, "subquery is only allowed on instant vector");
    } else if ((*e)->type != N_SELECTOR) {
        return fail(p, m->pos, "ranges only allowed for vector selectors");
    } else if ((*e)->offset_ms || (*e)->has_at) {
        return fail(p, m->pos, "no offset modifiers allowed before range");
    }
    p->in_range = false;
    if ((r = expect(p, "]", "subscript")) < 0)
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
    int r = next(p);

    if (r < 0)
        return r;
    e->has_at = true;
    if (is_word(p, "start") || is_word(p, "end")) {
        e->at_what = is_word(p, "start") ? 's' : 'e';
        if ((r = next(p)) < 0 || (r = expect(p, "(", "@")) < 0)
            return r;
        return expect(p, ")", "@");
    }
    bool neg = is(p, "-");

    if ((neg || is(p, "+")) && (r = next(p)) < 0)
        return r;
    if ((p->tok != T_NUMBER && p->tok != T_DURATION) || !isfinite(p->number) || p->number > 9e15)
        return unexpected(p, "@, expected timestamp");
    e->at_ms = (int64_t)llround((neg ? -p->number : p->number) * 1000);
    return next(p);
}

static int parse_postfix(struct parser *p, struct expr **e)
{
    int r = 0;

    for (;;) {
        if (is(p, "[")) {
            if ((r = parse_range(p, e)) < 0)
                return r;
        } else if (is_word(p, "offset") || is(p, "@")) {
            struct expr *m = modified(*e);

            if (m->type != N_SELECTOR && m->type != N_SUBQUERY)
                return fail(p, p->tok_pos,
                            "%s modifier must be preceded by an instant vector selector or range "
                            "vector selector or a subquery",
                            is(p, "@") ? "@" : "offset");
            if (is(p, "@"))
                r = parse_at(p, m);
            else if ((r = next(p)) == 0)
                r = parse_duration(p, &m->offset_ms);
            if (r < 0)
                return r;
        } else {
            return 0;
        }
    }
}

static int parse_primary(struct parser *p, struct expr **ret)
{
    struct expr *e = NULL;
    int r;

    switch (p->tok) {
    case T_NUMBER:
    case T_DURATION:
        e = new_expr(p, N_NUMBER, PROMQL_SCALAR);
        e->number = p->number;
        r = next(p);
        break;
    case T_STRING:
        e = new_expr(p, N_STRING, PROMQL_STRING);
        e->text = p->string;
        r = next(p);
        break;
    case T_IDENT:
        r = parse_ident(p, &e);
        break;
    default:
        if (is(p, "(")) {
            struct expr *inner;

            e = new_expr(p, N_PAREN, PROMQL_SCALAR);
            if ((r = next(p)) < 0 || (r = parse_expr(p, 0, &inner)) < 0)
                return r;
            add_arg(p, e, inner);
            e->value_type = inner->value_type;
            r = is(p, ")")        ? next(p)
                : p->tok == T_EOF ? fail(p, p->tok_pos, "unclosed left parenthesis")
                                  : unexpected(p, "parentheses");
        } else if (is(p, "{")) {
            r = parse_selector(p, &e);
        } else {
            return unexpected(p, "");
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

    if (!is(p, "-") && !is(p, "+"))
        return parse_primary(p, ret);
    bool neg = is(p, "-");

    e = new_expr(p, N_UNARY, PROMQL_SCALAR);
    if ((r = next(p)) < 0 || (r = parse_expr(p, 6, &inner)) < 0)
        return r;
    if (inner->value_type != PROMQL_SCALAR && inner->value_type != PROMQL_VECTOR)
        return fail(
            p, e->pos,
            "unary expression only allowed on expressions of type scalar or instant vector");
    e->op = neg ? OP_SUB : OP_ADD;
    e->value_type = inner->value_type;
    add_arg(p, e, inner);
    *ret = e;
    return 0;
}

static int parse_matching(struct parser *p, struct expr *e)
{
    int r = 0;

    if (is_word(p, "bool")) {
        e->bool_modifier = true;
        if ((r = next(p)) < 0)
            return r;
        if (e->op < OP_EQL || e->op > OP_GTR)
            return fail(p, p->tok_pos, "bool modifier can only be used on comparison operators");
    }
    if (is_word(p, "on") || is_word(p, "ignoring")) {
        e->has_matching = true;
        e->on = is_word(p, "on");
        if ((r = next(p)) < 0 || (r = parse_labels(p, &e->labels, &e->n_labels)) < 0)
            return r;
        if (is_word(p, "group_left") || is_word(p, "group_right")) {
            e->group_left = is_word(p, "group_left");
            e->group_right = !e->group_left;
            if (e->op <= OP_UNLESS)
                return fail(p, p->tok_pos, "no grouping allowed for \"%s\" operation",
                            binary_ops[e->op].text);
            if ((r = next(p)) < 0)
                return r;
            if (is(p, "("))
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
        return fail(
            p, l->value_type == PROMQL_SCALAR || l->value_type == PROMQL_VECTOR ? r->pos : l->pos,
            "binary expression must contain only scalar and instant vector types");
    if (e->op >= OP_EQL && e->op <= OP_GTR && ls && rs && !e->bool_modifier)
        return fail(p, e->pos, "comparisons between scalars must use BOOL modifier");
    if (e->op <= OP_UNLESS && (ls || rs))
        return fail(p, e->pos, "set operator \"%s\" not allowed in binary scalar expression",
                    binary_ops[e->op].text);
    if (e->has_matching && (ls || rs))
        return fail(p, e->pos, "vector matching only allowed between instant vectors");
    e->value_type = ls && rs ? PROMQL_SCALAR : PROMQL_VECTOR;
    return 0;
}

static int parse_expr(struct parser *p, int min_prec, struct expr **ret)
{
    struct expr *left = NULL;
    int r;

    if (++p->depth > DEPTH_MAX)
        return fail(p, p->tok_pos, "nested deeper than %d levels", DEPTH_MAX);
    if ((r = parse_unary(p, &left)) < 0)
        return r;
    for (;;) {
        size_t i = 0;
        struct expr *e, *right;

        for (; i < ARRAY_LEN(binary_ops); i++)
            if (p->tok == T_OP ? str_is(p->word, binary_ops[i].text)
                               : is_word(p, binary_ops[i].text))
                break;
        if (i == ARRAY_LEN(binary_ops) || binary_ops[i].prec < min_prec)
            break;
        e = new_expr(p, N_BINARY, PROMQL_VECTOR);
        e->pos = left->pos;
        e->op = binary_ops[i].op;
        if ((r = next(p)) < 0 || (r = parse_matching(p, e)) < 0 ||
            (r = parse_expr(p, binary_ops[i].prec + !binary_ops[i].right, &right)) < 0)
            return r;
        add_arg(p, e, left);
        add_arg(p, e, right);
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
    r = next(&p);
    if (r == 0 && p.tok == T_EOF)
        r = fail(&p, 0, "no expression found in input");
    if (r == 0)
        r = parse_expr(&p, 0, &q->root);
    if (r == 0 && p.tok != T_EOF)
        r = unexpected(&p, "");
    if (r < 0) {
        promql_free(q);
        return err_set(err, r, "%s", own.msg);
    }
    *ret = q;
    return 0;
}

void promql_free(struct promql *q)
{
    if (!q)
        return;
    for (size_t i = 0; i < q->n_patterns; i++)
        re2_free(q->patterns[i]);
    free(q->patterns);
    arena_done(&q->arena);
    free(q);
}

static const struct expr *bare(const struct expr *e)
{
    while (e->type == N_PAREN)
        e = e->args[0];
    return e;
}

bool promql_is_bare_selector(const struct promql *q)
{
    return bare(q->root)->type == N_SELECTOR;
}

static bool any_comparison(const struct expr *e)
{
    if (e->type == N_BINARY && e->op <= OP_GTR && !e->bool_modifier)
        return true;
    for (size_t i = 0; i < e->n_args; i++)
        if (any_comparison(e->args[i]))
            return true;
    return false;
}

bool promql_may_be_empty(const struct promql *q)
{
    return any_comparison(q->root);
}

const char *promql_text(const struct promql *q)
{
    return q->text;
}

enum promql_type promql_type_of(const struct promql *q)
{
    return q->root->value_type;
}

static void each_selector(const struct expr *e,
                          void (*fn)(void *arg, const struct matcher *m, size_t n), void *arg)
{
    if (e->type == N_SELECTOR)
        fn(arg, e->matchers, e->n_matchers);
    for (size_t i = 0; i < e->n_args; i++)
        each_selector(e->args[i], fn, arg);
}

void promql_each_selector(const struct promql *q,
                          void (*fn)(void *arg, const struct matcher *m, size_t n), void *arg)
{
    each_selector(q->root, fn, arg);
}

struct str promql_metric_of(const struct matcher *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (m[i].op == MATCH_EQ && m[i].value.n && str_is(m[i].name, "__name__"))
            return m[i].value;
    return STR_NONE;
}

struct selecting {
    struct tsdb *db;
    void (*fn)(void *arg, struct series *s);
    void *arg;
};

static void select_series(void *arg, const struct matcher *m, size_t n)
{
    const struct selecting *x = arg;

    tsdb_select(x->db, m, n, x->fn, x->arg);
}

void promql_each_series(struct tsdb *db, const struct promql *q,
                        void (*fn)(void *arg, struct series *s), void *arg)
{
    each_selector(q->root, select_series, &(struct selecting){db, fn, arg});
}

int promql_parse_selector(struct str text, struct promql **ret, const struct matcher **ret_m,
                          size_t *ret_n, struct err *err)
{
    int r = promql_parse(text, ret, err);

    if (r < 0)
        return r;
    if (!promql_is_bare_selector(*ret)) {
        promql_free(*ret);
        return err_set(err, ERR_BAD_INPUT, "1:1: parse error: a series selector is expected");
    }
    *ret_m = bare((*ret)->root)->matchers;
    *ret_n = bare((*ret)->root)->n_matchers;
    return 0;
}
