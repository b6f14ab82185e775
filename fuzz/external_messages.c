/* SPDX-License-Identifier: Apache-2.0
 *
 * externalscaler's messages: the first byte chooses which one. What is read as a reference is
 * written again and read back. */
#include <stdint.h>

#include "triggers/scaler_messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct scaler_ref *r)
{
    struct buf b = BUF_INIT;
    struct scaler_ref back;

    scaler_ref_encode(&b, r);
    if (scaler_ref_decode(buf_str(&b), &back, NULL) < 0 || !str_eq(back.name, r->name) ||
        !json_equal(back.metadata, r->metadata))
        __builtin_trap();
    scaler_ref_done(&back);
    buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = ARENA_INIT;
    struct scaler_number *list;
    struct scaler_ref ref;
    struct str bytes, metric;
    struct err err = ERR_INIT;
    size_t n;
    bool is_active;

    if (size == 0)
        return 0;
    bytes = str_n(data + 1, size - 1);
    switch (data[0] & 3) {
    case 0:
        if (scaler_ref_decode(bytes, &ref, &err) == 0)
            again(&ref);
        scaler_ref_done(&ref);
        break;
    case 1:
        scaler_request_decode(bytes, &ref, &metric, &err);
        scaler_ref_done(&ref);
        break;
    case 2:
        scaler_numbers_decode(bytes, &arena, &list, &n, &err);
        break;
    default:
        scaler_active_decode(bytes, &is_active, &err);
    }
    arena_done(&arena);
    return 0;
}
