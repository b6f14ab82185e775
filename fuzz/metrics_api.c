/* SPDX-License-Identifier: Apache-2.0
 *
 * A page of a metrics API: the first byte chooses the format, the first line is the valueLocation.
 */
#include <math.h>
#include <stdint.h>

#include "triggers/metrics_api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str body, location;
    struct err err = ERR_INIT;
    double value = NAN;

    if (size == 0)
        return 0;
    body = str_n(data + 1, size - 1);
    if (!str_split(&body, '\n', &location))
        return 0;
    if (metrics_api_read((enum metrics_api_format)(data[0] & 3), body, location, &value, &err) < 0
            ? err.msg[0] == '\0'
            : !isfinite(value))
        __builtin_trap();
    return 0;
}
