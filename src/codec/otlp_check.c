/* SPDX-License-Identifier: Apache-2.0
 *
 * The syntax check of a request, by the tables of otlp_schema.h. Recursion is bounded by
 * OTLP_DEPTH_MAX. */
#include "codec/otlp.h"
#include "codec/otlp_schema.h"
#include "codec/protobuf.h"

#define FIELD_NUMBER_MAX 536870911 /* 2^29 - 1, protobuf's own bound */

static const uint8_t wires[] = {
    [OTLP_STRING] = PB_BYTES,  [OTLP_BYTES] = PB_BYTES,  [OTLP_ID] = PB_BYTES,
    [OTLP_BOOL] = PB_VARINT,   [OTLP_ENUM] = PB_VARINT,  [OTLP_UINT32] = PB_VARINT,
    [OTLP_SINT32] = PB_VARINT, [OTLP_INT64] = PB_VARINT, [OTLP_UINT64] = PB_VARINT,
    [OTLP_FIXED64] = PB_64,    [OTLP_SFIXED64] = PB_64,  [OTLP_DOUBLE] = PB_64,
    [OTLP_MESSAGE] = PB_BYTES,
};

static bool is_text(struct str s)
{
    uint64_t high = 0;
    size_t i = 0;

    for (; i + 8 <= s.n; i += 8) {
        uint64_t w;

        memcpy(&w, s.p + i, 8);
        high |= w;
    }
    for (; i < s.n; i++)
        high |= (uint8_t)s.p[i];
    return (high & 0x8080808080808080ULL) == 0 || str_is_utf8(s);
}

static bool packed_is_whole(struct str in, unsigned wire)
{
    uint64_t v;

    if (wire == PB_64)
        return in.n % 8 == 0;
    while (in.n)
        if (!pb_varint(&in, &v))
            return false;
    return true;
}

static int check(struct str in, const struct otlp_message *m, unsigned depth, struct err *err)
{
    struct pb_field f;

    if (depth > OTLP_DEPTH_MAX)
        return err_set(err, ERR_BAD_INPUT, "messages are nested deeper than %d levels",
                       OTLP_DEPTH_MAX);
    while (in.n) {
        const struct otlp_field *d;
        int r = 0;

        if (!pb_next(&in, &f))
            return err_set(err, ERR_BAD_INPUT, "%s is cut or is not protobuf", m->name);
        if (f.number == 0 || f.number > FIELD_NUMBER_MAX)
            return err_set(err, ERR_BAD_INPUT, "%s has a field of number %llu", m->name,
                           (unsigned long long)f.number);
        if (f.number >= OTLP_FIELDS_MAX)
            continue; /* of a later version */
        d = &m->fields[f.number];
        if (d->type == OTLP_NONE)
            continue;
        if (f.wire != wires[d->type]) {
            if (d->repeated && f.wire == PB_BYTES && packed_is_whole(f.bytes, wires[d->type]))
                continue;
            return err_set(err, ERR_BAD_INPUT, "%s in %s has wire type %u", d->json, m->name,
                           f.wire);
        }
        if (d->type == OTLP_MESSAGE)
            r = check(f.bytes, d->message, depth + 1, err);
        else if (d->type == OTLP_STRING && !is_text(f.bytes))
            r = err_set(err, ERR_BAD_INPUT, "%s in %s is not UTF-8", d->json, m->name);
        if (r < 0)
            return r;
    }
    return 0;
}

int otlp_check(struct str request, struct err *err)
{
    return check(request, &otlp_request, 1, err);
}
