/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "autoscale/hpa_memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read and written again is read the same, and stays within its bound. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hpa_memory m = {0}, again = {0};
    struct buf a = BUF_INIT, b = BUF_INIT;

    if (hpa_memory_read(str_n(data, size), 5000000, 1764019000000, &m, NULL) == 0) {
        hpa_memory_write(&m, 5000000, 1764019000000, &a);
        if (hpa_memory_read(buf_str(&a), 5000000, 1764019000000, &again, NULL) < 0)
            __builtin_trap();
        hpa_memory_write(&again, 5000000, 1764019000000, &b);
        if (!str_eq(buf_str(&a), buf_str(&b)))
            __builtin_trap();
    }
    hpa_memory_done(&m);
    hpa_memory_done(&again);
    buf_done(&a);
    buf_done(&b);
    return 0;
}
