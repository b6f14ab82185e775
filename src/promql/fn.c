/* SPDX-License-Identifier: Apache-2.0 */
#include "promql/fn.h"

static const struct function *const families[] = {promql_fn_range, promql_fn_value,
                                                  promql_fn_labels, promql_fn_histogram};

const struct function *promql_function_named(struct str name)
{
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        for (const struct function *f = families[i]; f->name; f++)
            if (str_is(name, f->name))
                return f;
    return NULL;
}
