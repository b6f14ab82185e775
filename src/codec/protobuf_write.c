/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/protobuf_write.h"

#include <string.h>

#include "codec/protobuf.h"

static void put(struct buf *out, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        buf_add_char(out, (char)(v | 0x80));
    buf_add_char(out, (char)v);
}

static void put_tag(struct buf *out, unsigned number, enum pb_wire wire)
{
    put(out, (uint64_t)number << 3 | wire);
}

void pb_put_varint(struct buf *out, unsigned number, uint64_t v)
{
    put_tag(out, number, PB_VARINT);
    put(out, v);
}

void pb_put_double(struct buf *out, unsigned number, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof(bits));
    put_tag(out, number, PB_64);
    for (int i = 0; i < 8; i++)
        buf_add_char(out, (char)(bits >> (8 * i)));
}

void pb_put_bytes(struct buf *out, unsigned number, struct str s)
{
    put_tag(out, number, PB_BYTES);
    put(out, s.n);
    buf_add_str(out, s);
}
