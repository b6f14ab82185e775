/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdint.h>

#include "autoscale/formula.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What compiles must evaluate to a finite number or nil, or fail with a text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str names[] = {{"a", 1}, {"b", 1}, {"trig_one", 8}};
    struct formula_variable v[] = {
        {names[0], 3, false}, {names[1], 0.5, false}, {names[2], 0, true}};
    struct formula *f = NULL;
    struct err err = ERR_INIT;
    double value = NAN;
    bool is_nil = false;

    if (formula_new(str_n((const char *)data, size), names, 3, &f, &err) < 0) {
        if (!err.msg[0])
            __builtin_trap();
        return 0;
    }
    if (formula_eval(f, v, 3, &is_nil, &value, &err) < 0 ? !err.msg[0]
                                                         : !is_nil && !isfinite(value))
        __builtin_trap();
    formula_free(f);
    return 0;
}
