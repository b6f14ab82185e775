/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdint.h>

#include "triggers/graphite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum metric_state state = METRIC_UNKNOWN;
    struct err err = ERR_INIT;
    double value = NAN;

    if (graphite_read_answer(str_n(data, size), &state, &value, &err) < 0
            ? err.msg[0] == '\0'
            : !isfinite(value) || state == METRIC_UNKNOWN)
        __builtin_trap();
    return 0;
}
