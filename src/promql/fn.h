/* SPDX-License-Identifier: Apache-2.0
 *
 * The functions of the language, a table for each family, ends with {0}; arithmetic in the order of
 * Prometheus, so that results are equal to the bit. */
#ifndef FB_PROMQL_FN_H
#define FB_PROMQL_FN_H

#include "promql/eval.h"

/* Types of arguments: 's' scalar, 'v' vector, 'm' range, 't' string; upper case: optional; a final
 * '*' repeats. */
struct function {
    const char *name;
    const char *args;
    enum promql_type returns;
    int (*call)(struct eval *e, const struct expr *x, struct value *args, struct value *ret);
    bool keeps_name;
};

extern const struct function promql_fn_range[], promql_fn_value[], promql_fn_labels[],
    promql_fn_histogram[];

/* NULL: there is none. */
const struct function *promql_function_named(struct str name);

#define FN(name) \
    static int name(struct eval *e, const struct expr *x, struct value *args, struct value *ret)

#endif
