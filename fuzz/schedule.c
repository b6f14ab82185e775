/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "triggers/schedule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct zone *zone;
    struct schedule s;
    int64_t next;

    if (!zone && zone_load(STR("Europe/Berlin"), &zone, NULL) < 0)
        return 0;
    if (schedule_parse(str_n(data, size), &s, NULL) < 0)
        return 0;
    next = schedule_next(&s, zone, 1700000000);
    if (next <= 1700000000)
        __builtin_trap();
    return 0;
}
