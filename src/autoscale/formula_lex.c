/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "autoscale/formula_int.h"
#include "base/buf.h"
#include "base/mem.h"

struct lexer {
    struct arena *arena;
    struct str text;
    size_t at;
    struct token *items;
    size_t n, cap;
    struct err *err;
};

int formula_wrong(struct err *err, size_t at, const char *fmt, ...)
{
    struct buf b = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    err_set(err, ERR_INVALID, "formula, at character %zu: %s", at + 1, buf_cstr(&b));
    buf_done(&b);
    return ERR_INVALID;
}

static char peek(const struct lexer *x, size_t ahead)
{
    return x->at + ahead < x->text.n ? x->text.p[x->at + ahead] : '\0';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || c == '$';
}

static struct token *push(struct lexer *x, enum token_type type, size_t from)
{
    struct token *t;

    x->items = arena_grow(x->arena, x->items, &x->cap, x->n, sizeof(*x->items));
    t = &x->items[x->n++];
    *t = (struct token){.type = type, .text = str_n(x->text.p + from, x->at - from), .at = from};
    return t;
}

static int lex_hex(struct lexer *x, size_t from)
{
    uint64_t v = 0;
    size_t digits = 0;
    struct token *t;

    x->at += 2;
    for (;; x->at++, digits++) {
        char c = peek(x, 0), low = (char)(c | 0x20);
        unsigned d = is_digit(c) ? (unsigned)(c - '0') : (unsigned)(low - 'a' + 10);

        if (!is_digit(c) && !(low >= 'a' && low <= 'f'))
            break;
        if (v >> 59)
            return formula_wrong(x->err, from, "the number is too large");
        v = v * 16 + d;
    }
    if (digits == 0)
        return formula_wrong(x->err, from, "0x needs hexadecimal digits");
    t = push(x, TOKEN_NUMBER, from);
    t->is_int = true;
    t->i = (int64_t)v;
    t->f = (double)v;
    return 0;
}

static int lex_number(struct lexer *x)
{
    size_t from = x->at;
    bool is_int = true;
    char text[128];
    size_t n = 0;
    struct token *t;

    if (peek(x, 0) == '0' && (peek(x, 1) | 0x20) == 'x')
        return lex_hex(x, from);
    for (;; x->at++) {
        char c = peek(x, 0);
        bool is_exponent = (c == 'e' || c == 'E') && x->at > from;

        if (c == '.' && (peek(x, 1) == '.' || !is_int)) /* "1..3" is a range */
            break;
        if (!is_digit(c) && c != '_' && c != '.' && !is_exponent)
            break;
        is_int &= c != '.' && !is_exponent;
        if (n + 2 >= sizeof(text))
            return formula_wrong(x->err, from, "the number is too long");
        if (c != '_')
            text[n++] = c;
        if (is_exponent && (peek(x, 1) == '+' || peek(x, 1) == '-'))
            text[n++] = x->text.p[++x->at];
    }
    if (is_letter(peek(x, 0)))
        return formula_wrong(x->err, from, "a number cannot go on with '%c'", peek(x, 0));
    t = push(x, TOKEN_NUMBER, from);
    t->is_int = is_int;
    if (!str_to_double(str_n(text, n), &t->f) || (is_int && !str_to_i64(str_n(text, n), &t->i)))
        return formula_wrong(x->err, from, "'%.*s' is not a number", (int)n, text);
    return 0;
}

static int lex_text(struct lexer *x, char quote)
{
    static const char escapes[] = "n\nt\tr\r\\\\\"\"''";
    struct buf b = BUF_INIT;
    size_t from = x->at++;
    struct token *t;

    for (; peek(x, 0) != quote; x->at++) {
        char c = peek(x, 0);

        if (x->at >= x->text.n || c == '\n') {
            buf_done(&b);
            return formula_wrong(x->err, from, "the text has no end: a %c is missing", quote);
        }
        if (c == '\\') {
            const char *e = NULL;

            x->at++;
            for (size_t i = 0; i + 1 < sizeof(escapes) - 1 && !e; i += 2)
                if (escapes[i] == peek(x, 0))
                    e = &escapes[i + 1];
            if (!e) {
                buf_done(&b);
                return formula_wrong(x->err, x->at, "unknown escape in a text");
            }
            c = *e;
        }
        buf_add_char(&b, c);
    }
    x->at++;
    t = push(x, TOKEN_TEXT, from);
    t->text = arena_str(x->arena, buf_str(&b));
    buf_done(&b);
    return 0;
}

static void lex_name(struct lexer *x)
{
    static const char *const words[] = {"and", "or", "not", "in", "let", "if", "else"};
    size_t from = x->at;
    struct token *t;

    if (peek(x, 0) == '#')
        x->at++;
    while (is_letter(peek(x, 0)) || is_digit(peek(x, 0)))
        x->at++;
    t = push(x, TOKEN_NAME, from);
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_is(t->text, words[i]))
            t->type = TOKEN_SIGN;
}

static int lex_sign(struct lexer *x)
{
    static const char *const two[] = {"\?\?", "**", "==", "!=", "<=", ">=", "&&", "||", ".."};
    size_t from = x->at;

    for (size_t i = 0; i < ARRAY_LEN(two); i++)
        if (peek(x, 0) == two[i][0] && peek(x, 1) == two[i][1]) {
            x->at += 2;
            push(x, TOKEN_SIGN, from);
            return 0;
        }
    if (!peek(x, 0) || !strchr("+-*/%^<>!?:=;,|()[]{}.", peek(x, 0)))
        return formula_wrong(x->err, from, "unexpected character '%c'", peek(x, 0));
    x->at++;
    push(x, TOKEN_SIGN, from);
    return 0;
}

static int lex_one(struct lexer *x)
{
    char c = peek(x, 0);

    if (is_digit(c) || (c == '.' && is_digit(peek(x, 1))))
        return lex_number(x);
    if (c == '"' || c == '\'')
        return lex_text(x, c);
    if (is_letter(c) || c == '#') {
        lex_name(x);
        return 0;
    }
    return lex_sign(x);
}

int formula_lex(struct arena *a, struct str text, struct token **ret, struct err *err)
{
    struct lexer x = {.arena = a, .text = text, .err = err};

    if (text.n > FORMULA_TEXT_MAX)
        return err_set(err, ERR_INVALID, "formula: %zu characters, at most %d are taken", text.n,
                       FORMULA_TEXT_MAX);
    for (;;) {
        int r;

        while (peek(&x, 0) == ' ' || peek(&x, 0) == '\t' || peek(&x, 0) == '\n' ||
               peek(&x, 0) == '\r')
            x.at++;
        if (x.at >= text.n)
            break;
        if ((r = lex_one(&x)) < 0)
            return r;
    }
    push(&x, TOKEN_END, x.at);
    *ret = x.items;
    return 0;
}
