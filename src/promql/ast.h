/* SPDX-License-Identifier: Apache-2.0
 *
 * The syntax tree, shared by parser and evaluator. */
#ifndef FB_PROMQL_AST_H
#define FB_PROMQL_AST_H

#include "promql/promql.h"
#include "promql/re2_shim.h"

enum node_type {
    N_NUMBER,
    N_STRING,
    N_SELECTOR,
    N_MATRIX,
    N_SUBQUERY,
    N_CALL,
    N_AGGREGATE,
    N_BINARY,
    N_UNARY,
    N_PAREN
};

enum op {
    OP_OR,
    OP_AND,
    OP_UNLESS,
    OP_EQL,
    OP_NEQ,
    OP_LTE,
    OP_LSS,
    OP_GTE,
    OP_GTR,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_MOD,
    OP_POW,
    OP_ATAN2
};

struct function;

struct expr {
    enum node_type type;
    enum promql_type value_type;
    size_t pos, end; /* bytes in the text */
    double number;
    struct str text;          /* string; name of aggregate */
    struct matcher *matchers; /* selector */
    size_t n_matchers, cap_matchers;
    int64_t range_ms, step_ms, offset_ms;
    bool has_at;
    char at_what; /* 0: number, 's' start(), 'e' end() */
    int64_t at_ms;
    const struct function *fn;
    struct expr **args; /* of calls, aggregates (param first if any), binary (2), unary, paren,
                           matrix/subquery (1) */
    size_t n_args, cap_args;
    enum op op;
    bool bool_modifier, has_matching, on, group_left, group_right, without, has_grouping;
    struct str *labels; /* on/ignoring, by/without */
    size_t n_labels, cap_labels;
    struct str *include; /* group_left(...) */
    size_t n_include, cap_include;
};

struct promql {
    struct arena arena;
    char *text;
    struct expr *root;
    struct re2_pattern **patterns;
    size_t n_patterns, cap_patterns;
};

/* Line and column, from 1, of a byte of the query. */
void promql_position(struct str text, size_t pos, int *ret_line, int *ret_col);

/* Types of arguments: 's' scalar, 'v' vector, 'm' range, 't' string; upper case: optional; a final
 * '*' repeats. */
struct eval;
struct value;
struct function {
    const char *name;
    const char *args;
    enum promql_type returns;
    int (*call)(struct eval *e, const struct expr *x, struct value *args, struct value *ret);
    bool keeps_name;
};

extern const struct function promql_functions[];

#endif
