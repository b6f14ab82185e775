/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/protobuf_write.h"

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

void pb_put_raw64(struct buf *out, uint64_t v)
{
    char bytes[8];

    for (int i = 0; i < 8; i++)
        bytes[i] = (char)(v >> (8 * i));
    buf_add(out, bytes, sizeof(bytes));
}

void pb_put_fixed64(struct buf *out, unsigned number, uint64_t v)
{
    put_tag(out, number, PB_64);
    pb_put_raw64(out, v);
}

void pb_put_double(struct buf *out, unsigned number, double v)
{
    pb_put_fixed64(out, number, pb_double_bits(v));
}

void pb_put_bytes(struct buf *out, unsigned number, struct str s)
{
    put_tag(out, number, PB_BYTES);
    put(out, s.n);
    buf_add_str(out, s);
}

size_t pb_begin(struct buf *out, unsigned number)
{
    put_tag(out, number, PB_BYTES);
    buf_add_char(out, 0); /* the length, if it is below 128 */
    return out->n;
}

void pb_end(struct buf *out, size_t at)
{
    char length[10];
    size_t n = 0;
    uint64_t v;

    if (out->overflow)
        return;
    for (v = out->n - at; v >= 0x80; v >>= 7)
        length[n++] = (char)(v | 0x80);
    length[n++] = (char)v;
    if (n > 1) {
        if (!buf_room(out, n - 1))
            return;
        memmove(out->p + at + n - 1, out->p + at, out->n - at);
        buf_added(out, n - 1);
    }
    memcpy(out->p + at - 1, length, n);
}
