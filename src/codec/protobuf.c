/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/protobuf.h"

bool pb_varint(struct str *in, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64 && in->n; shift += 7) {
        uint8_t b = (uint8_t)in->p[0];

        *in = str_skip(*in, 1);
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            *ret = v;
            return true;
        }
    }
    return false;
}

static bool read_fixed(struct str *in, size_t n, uint64_t *ret)
{
    uint64_t v = 0;

    if (in->n < n)
        return false;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)(uint8_t)in->p[i] << (8 * i);
    *in = str_skip(*in, n);
    *ret = v;
    return true;
}

bool pb_next(struct str *in, struct pb_field *ret)
{
    uint64_t tag, n;

    if (!pb_varint(in, &tag))
        return false;
    *ret = (struct pb_field){.number = tag >> 3, .wire = tag & 7};
    switch (ret->wire) {
    case PB_VARINT:
        return pb_varint(in, &ret->value);
    case PB_64:
        return read_fixed(in, 8, &ret->value);
    case PB_32:
        return read_fixed(in, 4, &ret->value);
    case PB_BYTES:
        if (!pb_varint(in, &n) || n > in->n)
            return false;
        ret->bytes = str_n(in->p, (size_t)n);
        *in = str_skip(*in, (size_t)n);
        return true;
    default:
        return false;
    }
}
