/* SPDX-License-Identifier: Apache-2.0
 *
 * The answer of a Prometheus: the first byte chooses status, ignoreNullValues and target type. */
#include <math.h>
#include <stdint.h>

#include "triggers/prometheus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum metric_state state = METRIC_UNKNOWN;
    struct err err = ERR_INIT;
    double value = NAN;
    int r;

    if (size == 0)
        return 0;
    r = prometheus_read_answer(data[0] & 4 ? 503 : 200, str_n(data + 1, size - 1), data[0] & 1,
                               data[0] & 2, &state, &value, &err);
    if (r < 0 ? err.msg[0] == '\0' : !isfinite(value) || state == METRIC_UNKNOWN)
        __builtin_trap();
    return 0;
}
