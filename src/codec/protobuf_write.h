/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes protobuf's wire format into a buffer, field by field, in the order of the calls. What
 * proto3 leaves out (zero, empty text) is left out by the ..._if calls and written by the others. A
 * message inside a message is written into a buffer of its own first, or between pb_begin and
 * pb_end. */
#ifndef FB_CODEC_PROTOBUF_WRITE_H
#define FB_CODEC_PROTOBUF_WRITE_H

#include <string.h>

#include "base/buf.h"

void pb_put_varint(struct buf *out, unsigned number, uint64_t v); /* also int64, bool, enum */
void pb_put_double(struct buf *out, unsigned number, double v);
void pb_put_bytes(struct buf *out, unsigned number, struct str s); /* also text and messages */

void pb_put_fixed64(struct buf *out, unsigned number, uint64_t v);
void pb_put_raw64(struct buf *out, uint64_t v); /* inside of a packed field */
/* A message or packed field whose length is known at its end; nests. */
size_t pb_begin(struct buf *out, unsigned number);
void pb_end(struct buf *out, size_t at);

static inline uint64_t pb_double_bits(double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof(bits));
    return bits;
}

static inline void pb_put_varint_if(struct buf *out, unsigned number, uint64_t v)
{
    if (v)
        pb_put_varint(out, number, v);
}

static inline void pb_put_double_if(struct buf *out, unsigned number, double v)
{
    if (v != 0)
        pb_put_double(out, number, v);
}

static inline void pb_put_bytes_if(struct buf *out, unsigned number, struct str s)
{
    if (s.n)
        pb_put_bytes(out, number, s);
}

#endif
