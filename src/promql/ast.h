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

/* Many are kept, one or more a trigger: what excludes each other shares its place. */
struct expr {
    enum node_type type;
    enum promql_type value_type;
    uint32_t pos; /* byte in the text */
    uint32_t n_args;
    struct expr **args; /* of calls, aggregates (param first if any), binary (2), unary, paren,
                           matrix/subquery (1) */
    union {
        struct { /* selector, matrix, subquery */
            struct matcher *matchers;
            size_t n_matchers;
            int64_t range_ms, step_ms, offset_ms, at_ms;
            bool has_at;
            char at_what; /* 0: number, 's' start(), 'e' end() */
        };
        struct {                 /* all others */
            struct str text;     /* string; name of aggregate */
            struct str *labels;  /* on/ignoring, by/without */
            struct str *include; /* group_left(...) */
            uint32_t n_labels, n_include;
            enum op op;
            bool bool_modifier, has_matching, on, group_left, group_right, without, has_grouping;
            union {
                double number;
                const struct function *fn;
            };
        };
    };
};

struct promql {
    struct arena arena;
    struct expr *root;
    struct re2_pattern **patterns;
    size_t n_patterns, cap_patterns;
    char text[]; /* of it are the tree's own texts slices, unless an escape was in the way */
};

/* Line and column, from 1, of a byte of the query. */
void promql_position(struct str text, size_t pos, int *ret_line, int *ret_col);

#endif
