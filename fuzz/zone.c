/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "triggers/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct zone *z = NULL;

    if (zone_parse(str_n(data, size), &z, NULL) < 0)
        return 0;
    for (int64_t t = -4000000000; t < 8000000000; t += 99999999)
        if (zone_offset(z, t) < -700000 || zone_offset(z, t) > 700000)
            __builtin_trap();
    zone_free(z);
    return 0;
}
