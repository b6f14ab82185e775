/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the parser: one token ahead (lex.c), recursive descent over expressions (parse.c) and
 * selectors (parse_selector.c). What returns int gives 0, or an error that is in p->err with its
 * place. */
#ifndef FB_PROMQL_PARSE_INT_H
#define FB_PROMQL_PARSE_INT_H

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

/* --- lex.c --- */

int lex_next(struct parser *p);
/* The token is that operator, bracket or sign. */
bool lex_is(const struct parser *p, const char *w);
bool lex_is_word(const struct parser *p, const char *w); /* in any case */
int lex_expect(struct parser *p, const char *w, const char *where);
__attribute__((format(printf, 3, 4))) int lex_fail(struct parser *p, size_t pos, const char *fmt,
                                                   ...);
int lex_unexpected(struct parser *p, const char *where); /* the token, in `where` */

/* --- parse_selector.c --- */

struct expr *parse_new(struct parser *p, enum node_type type, enum promql_type value);
void parse_add_arg(struct parser *p, struct expr *e, struct expr *arg);
/* Room for one more in a list of n. */
void *parse_room(struct parser *p, void *items, size_t n, size_t size);
int parse_selector(struct parser *p, struct expr **ret);
/* What may follow an expression: [5m], [5m:1m], offset, @. */
int parse_postfix(struct parser *p, struct expr **e);

#endif
