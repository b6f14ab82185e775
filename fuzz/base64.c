/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "codec/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What can be read is the same again when it is written and read once more. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf bytes = BUF_INIT, text = BUF_INIT, again = BUF_INIT;

    if (base64_decode(&bytes, str_n(data, size))) {
        base64url_encode(&text, buf_str(&bytes));
        if (!base64_decode(&again, buf_str(&text)) || !str_eq(buf_str(&again), buf_str(&bytes)))
            __builtin_trap();
    } else if (bytes.n) {
        __builtin_trap();
    }
    buf_done(&bytes);
    buf_done(&text);
    buf_done(&again);
    return 0;
}
