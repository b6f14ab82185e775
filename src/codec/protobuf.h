/* SPDX-License-Identifier: Apache-2.0
 *
 * Protobuf's wire format, read field by field and without a schema. Groups (deprecated) are
 * refused. */
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

/* The next field of a message, which shrinks by it; false if it is cut, malformed or of a wire type
 * that is not in use. Loop while the message has bytes. */
bool pb_next(struct str *message, struct pb_field *ret);
/* A varint by itself (packed fields). */
bool pb_varint(struct str *in, uint64_t *ret);

static inline double pb_double(uint64_t bits)
{
    double v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

#endif
