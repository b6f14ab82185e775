/* SPDX-License-Identifier: Apache-2.0
 *
 * Protobuf's wire format, read field by field and without a schema. Groups (deprecated) are
 * refused. All inline: whole messages are walked with it, millions of fields a second. */
#ifndef FB_CODEC_PROTOBUF_H
#define FB_CODEC_PROTOBUF_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

enum pb_wire { PB_VARINT = 0, PB_64 = 1, PB_BYTES = 2, PB_32 = 5 };

struct pb_field {
    uint64_t number;
    unsigned wire;    /* enum pb_wire */
    uint64_t value;   /* PB_VARINT, PB_64, PB_32 */
    struct str bytes; /* PB_BYTES; borrowed from the message */
};

/* A varint by itself (packed fields). */
static inline bool pb_varint(struct str *in, uint64_t *ret)
{
    const uint8_t *p = (const uint8_t *)in->p;
    uint64_t v = 0;

    if (in->n && p[0] < 0x80) {
        *ret = p[0];
        *in = str_n(p + 1, in->n - 1);
        return true;
    }
    for (size_t i = 0; i < in->n && i < 10; i++) {
        v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if (p[i] < 0x80) {
            *in = str_n(p + i + 1, in->n - i - 1);
            *ret = v;
            return true;
        }
    }
    return false;
}

/* n bytes (4 or 8), little-endian. */
static inline bool pb_fixed(struct str *in, size_t n, uint64_t *ret)
{
    uint64_t v = 0;

    if (in->n < n)
        return false;
    memcpy(&v, in->p, n);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    *in = str_n(in->p + n, in->n - n);
    *ret = v;
    return true;
}

/* The next field of a message, which shrinks by it; false if it is cut, malformed or of a wire type
 * that is not in use. Loop while the message has bytes. */
__attribute__((always_inline)) static inline bool pb_next(struct str *message, struct pb_field *ret)
{
    uint64_t tag, n;

    if (!pb_varint(message, &tag))
        return false;
    *ret = (struct pb_field){.number = tag >> 3, .wire = tag & 7};
    switch (ret->wire) {
    case PB_VARINT:
        return pb_varint(message, &ret->value);
    case PB_64:
        return pb_fixed(message, 8, &ret->value);
    case PB_32:
        return pb_fixed(message, 4, &ret->value);
    case PB_BYTES:
        if (!pb_varint(message, &n) || n > message->n)
            return false;
        ret->bytes = str_n(message->p, (size_t)n);
        *message = str_n(message->p + n, message->n - (size_t)n);
        return true;
    default:
        return false;
    }
}

static inline double pb_double(uint64_t bits)
{
    double v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

static inline int64_t pb_zigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

#endif
