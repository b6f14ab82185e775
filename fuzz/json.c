/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read and written must read as the same tree. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *a = NULL, *b = NULL;
    struct buf text = BUF_INIT;

    if (json_parse(str_n(data, size), &a, NULL) == 0) {
        json_write(&text, a);
        if (json_parse(buf_str(&text), &b, NULL) < 0 || !json_equal(a, b))
            __builtin_trap();
    }
    buf_done(&text);
    json_decref(a);
    json_decref(b);
    return 0;
}
