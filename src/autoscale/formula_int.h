/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside of formulas: tokens -> tree -> types -> value. */
#ifndef FB_AUTOSCALE_FORMULA_INT_H
#define FB_AUTOSCALE_FORMULA_INT_H

#include "autoscale/formula.h"
#include "base/arena.h"

/* --- tokens --- */

enum token_type { TOKEN_END, TOKEN_NUMBER, TOKEN_TEXT, TOKEN_NAME, TOKEN_SIGN };
/* Word operators (and, or, not, in, let, if, else) are TOKEN_SIGN too. */
struct token {
    enum token_type type;
    struct str text; /* as written; of TOKEN_TEXT the content, unescaped */
    size_t at;       /* byte offset */
    bool is_int;
    int64_t i;
    double f;
};
/* All tokens, the last a TOKEN_END; from the arena. */
int formula_lex(struct arena *a, struct str text, struct token **ret, struct err *err);

/* --- tree --- */

enum formula_type { /* of values; ANY only when types are checked */
                    FORMULA_NIL,
                    FORMULA_BOOL,
                    FORMULA_INT,
                    FORMULA_FLOAT,
                    FORMULA_TEXT,
                    FORMULA_ARRAY,
                    FORMULA_ANY
};

enum node_kind {
    NODE_LITERAL,
    NODE_NAME, /* a trigger */
    NODE_LOCAL,
    NODE_UNARY,
    NODE_BINARY,
    NODE_CHOICE, /* args: condition, then, else; or (a ?: b) value, else */
    NODE_LET,    /* args: value, body; name */
    NODE_LIST,
    NODE_INDEX, /* args: list, index */
    NODE_CALL,
};

enum node_op {
    OP_NONE,
    OP_OR,
    OP_AND,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_GT,
    OP_LE,
    OP_GE,
    OP_IN,
    OP_RANGE,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_MOD,
    OP_POW,
    OP_COALESCE,
    OP_NOT,
    OP_NEG,
    OP_POS,
};

struct value {
    enum formula_type type;
    union {
        bool b;
        int64_t i;
        double f;
        struct str s;
        struct {
            const struct value *items;
            size_t n;
        } list;
    };
};

struct function;

struct node {
    enum node_kind kind;
    enum node_op op;
    size_t at;              /* in the text */
    unsigned height;        /* of the tree below, bounded */
    enum formula_type type; /* once types are checked */
    bool is_checked;
    struct str name;           /* NAME, LOCAL ("#", "#acc", "#index", of a let), LET */
    struct value literal;      /* LITERAL */
    const struct function *fn; /* CALL */
    struct node **args;
    size_t n;
};

struct formula {
    struct arena arena;
    struct str text;
    const struct str *names;
    size_t n_names;
    struct node *root;
    bool has_coalesce, must_be_float;
};

int formula_parse(struct formula *f, struct err *err);
int formula_type_check(const struct formula *f, struct err *err);

/* "at character 5: ..." */
__attribute__((format(printf, 3, 4))) int formula_wrong(struct err *err, size_t at, const char *fmt,
                                                        ...);
const char *formula_type_name(enum formula_type t);

/* --- evaluation --- */

struct local {
    struct str name;
    struct value v;
    const struct local *outer;
};
struct scope {
    const struct formula *f;
    const struct formula_variable *vars;
    size_t n_vars;
    struct arena *arena;
    size_t steps;
    struct err *err;
};
int formula_value(struct scope *s, const struct node *n, const struct local *l, struct value *ret);
bool value_number(const struct value *v, double *ret);
/* For filter, count, ...: the predicate over one element. */
int formula_apply(struct scope *s, const struct node *predicate, const struct local *l,
                  struct value item, size_t index, struct value *ret);

/* --- functions --- */

#define ARGS_ANY 255
struct function {
    const char *name;
    unsigned char min, max;  /* arguments; ARGS_ANY: no upper bound */
    unsigned char predicate; /* 1-based place of the predicate, 0: none */
    enum formula_type takes; /* FLOAT: numbers; ARRAY: a list first; ANY: its own look */
    enum formula_type gives; /* ANY: unknown before it is evaluated */
    bool takes_lists;        /* numbers may also come in lists */
    int (*eval)(struct scope *s, const struct node *n, const struct local *l, struct value *args,
                struct value *ret); /* args: evaluated, but for the predicate */
};
const struct function *formula_function(struct str name);

#endif
