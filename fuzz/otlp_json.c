/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/mem.h"
#include "codec/otlp.h"
#include "codec/otlp_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *arg, const struct otlp_point *p)
{
    (void)arg;
    (void)otlp_fault(p);
}

/* What the reader of JSON lets through, the check of protobuf lets through, but for the depth. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf out = BUF_INIT_MAX(1 << 20);
    struct err err = ERR_INIT;

    if (otlp_from_json(str_n(data, size), &out, &err) == 0) {
        if (otlp_check(buf_str(&out), &err) == 0)
            otlp_walk(buf_str(&out), ignore, NULL);
        else
            FB_ASSERT(strstr(err.msg, "nested"));
    }
    buf_done(&out);
    return 0;
}
