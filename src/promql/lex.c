/* SPDX-License-Identifier: Apache-2.0
 *
 * Text to tokens, and errors with their place. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "promql/parse_int.h"

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

int lex_fail(struct parser *p, size_t pos, const char *fmt, ...)
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

int lex_unexpected(struct parser *p, const char *where)
{
    if (p->tok == T_EOF)
        return lex_fail(p, p->tok_pos, "unexpected end of input%s%s", *where ? " in " : "", where);
    return lex_fail(p, p->tok_pos, "unexpected %s \"%.*s\"%s%s",
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
                return lex_fail(p, p->at, "unknown escape sequence '\\%c'", p->text.p[i]);
            }
        }
        buf_add_char(&b, c);
    }
    if (i >= p->text.n || p->text.p[i] != quote) {
        buf_done(&b);
        return lex_fail(p, p->at, "unterminated quoted string");
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
                return lex_fail(p, p->at, "bad number or duration syntax: \"%.*s\"",
                                STR_ARG(p->word));
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
        return lex_fail(p, p->at, "bad number or duration syntax: \"%.*s\"", STR_ARG(p->word));
    p->duration_ms = fabs(p->number) < 9e12 ? (int64_t)llround(p->number * 1000) : 0;
    p->tok = T_NUMBER;
    p->at += n;
    return 0;
}

int lex_next(struct parser *p)
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
        return lex_fail(p, p->at, "unexpected character: '%c'", *s);
    p->word = str_n(s, 1);
    p->tok = T_PUNCT;
    p->at++;
    return 0;
}

bool lex_is(const struct parser *p, const char *w)
{
    return (p->tok == T_PUNCT || p->tok == T_OP) && str_is(p->word, w);
}

bool lex_is_word(const struct parser *p, const char *w)
{
    return p->tok == T_IDENT && str_eq_nocase(p->word, str_of(w));
}

int lex_expect(struct parser *p, const char *w, const char *where)
{
    return lex_is(p, w) ? lex_next(p) : lex_unexpected(p, where);
}
