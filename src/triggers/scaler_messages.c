/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/scaler_messages.h"

#include <math.h>

#include "codec/protobuf.h"
#include "codec/protobuf_write.h"

static int malformed(const char *message, struct err *err)
{
    return err_set(err, ERR_BAD_INPUT, "the %s cannot be decoded", message);
}

/* Fields of a message one by one; 0 at its end. */
static int next(struct str *message, struct pb_field *f, const char *name, struct err *err)
{
    if (message->n == 0)
        return 0;
    return pb_next(message, f) && f->number != 0 ? 1 : malformed(name, err);
}

/* A text is UTF-8 in proto3. */
static int take_text(const struct pb_field *f, struct str *ret, const char *name, struct err *err)
{
    if (f->wire != PB_BYTES || !str_is_utf8(f->bytes))
        return malformed(name, err);
    *ret = f->bytes;
    return 0;
}

static int take_pair(struct str entry, json_t *map, const char *name, struct err *err)
{
    struct str key = STR(""), value = STR("");
    struct buf k = BUF_INIT;
    struct pb_field f;
    int r;

    while ((r = next(&entry, &f, name, err)) > 0)
        if ((f.number == 1 && take_text(&f, &key, name, err) < 0) ||
            (f.number == 2 && take_text(&f, &value, name, err) < 0))
            return ERR_BAD_INPUT;
    if (r < 0)
        return r;
    if ((key.n && memchr(key.p, '\0', key.n)) || json_object_size(map) >= SCALER_LIST_MAX)
        return malformed(name, err);
    buf_add_str(&k, key);
    json_object_set_new(map, buf_cstr(&k), json_str_new(value));
    buf_done(&k);
    return 0;
}

static int take_ref_field(const struct pb_field *f, struct scaler_ref *ret, const char *name,
                          struct err *err)
{
    switch (f->number) {
    case 1:
        return take_text(f, &ret->name, name, err);
    case 2:
        return take_text(f, &ret->ns, name, err);
    case 3:
        return f->wire == PB_BYTES ? take_pair(f->bytes, ret->metadata, name, err)
                                   : malformed(name, err);
    default:
        return 0;
    }
}

int scaler_ref_decode(struct str message, struct scaler_ref *ret, struct err *err)
{
    struct scaler_ref ref = {STR(""), STR(""), json_object()};
    struct pb_field f;
    int r;

    while ((r = next(&message, &f, "ScaledObjectRef", err)) > 0 &&
           (r = take_ref_field(&f, &ref, "ScaledObjectRef", err)) == 0)
        ;
    if (r < 0) {
        scaler_ref_done(&ref);
        *ret = ref;
        return r;
    }
    *ret = ref;
    return 0;
}

void scaler_ref_done(struct scaler_ref *r)
{
    json_decref(r->metadata);
    *r = (struct scaler_ref){0};
}

void scaler_ref_encode(struct buf *out, const struct scaler_ref *r)
{
    const json_t *v;
    const char *key;

    pb_put_bytes_if(out, 1, r->name);
    pb_put_bytes_if(out, 2, r->ns);
    json_members (r->metadata, key, v) {
        struct buf entry = BUF_INIT;

        pb_put_bytes_if(&entry, 1, str_of(key));
        pb_put_bytes_if(&entry, 2, json_strv(v));
        pb_put_bytes(out, 3, buf_str(&entry));
        buf_done(&entry);
    }
}

int scaler_request_decode(struct str message, struct scaler_ref *ret_ref, struct str *ret_metric,
                          struct err *err)
{
    struct str ref = STR(""), metric = STR("");
    struct pb_field f;
    int r;

    *ret_ref = (struct scaler_ref){0};
    while ((r = next(&message, &f, "GetMetricsRequest", err)) > 0) {
        if (f.number == 1 && f.wire != PB_BYTES)
            return malformed("GetMetricsRequest", err);
        if (f.number == 1)
            ref = f.bytes;
        if (f.number == 2 && take_text(&f, &metric, "GetMetricsRequest", err) < 0)
            return ERR_BAD_INPUT;
    }
    *ret_metric = metric;
    return r < 0 ? r : scaler_ref_decode(ref, ret_ref, err);
}

void scaler_request_encode(struct buf *out, const struct scaler_ref *ref, struct str metric)
{
    struct buf inner = BUF_INIT;

    scaler_ref_encode(&inner, ref);
    pb_put_bytes(out, 1, buf_str(&inner));
    pb_put_bytes_if(out, 2, metric);
    buf_done(&inner);
}

/* --- numbers --- */

double scaler_number_value(const struct scaler_number *n)
{
    return n->real > 0 ? n->real : (double)n->whole;
}

struct scaler_number scaler_number_of(struct str name, double v)
{
    double up = ceil(v);

    return (struct scaler_number){name,
                                  up >= 0x1p63    ? INT64_MAX
                                  : up <= -0x1p63 ? INT64_MIN
                                                  : (int64_t)up,
                                  v};
}

static int take_number(struct str message, struct scaler_number *ret, struct err *err)
{
    struct pb_field f;
    int r;

    *ret = (struct scaler_number){.name = STR("")};
    while ((r = next(&message, &f, "answer", err)) > 0) {
        if (f.number == 1 && take_text(&f, &ret->name, "answer", err) < 0)
            return ERR_BAD_INPUT;
        if ((f.number == 2 && f.wire != PB_VARINT) || (f.number == 3 && f.wire != PB_64))
            return malformed("answer", err);
        if (f.number == 2)
            ret->whole = (int64_t)f.value;
        if (f.number == 3)
            ret->real = pb_double(f.value);
    }
    return r;
}

int scaler_numbers_decode(struct str message, struct arena *arena, struct scaler_number **ret,
                          size_t *ret_n, struct err *err)
{
    struct scaler_number *list = NULL;
    size_t n = 0, cap = 0;
    struct pb_field f;
    int r;

    while ((r = next(&message, &f, "answer", err)) > 0) {
        if (f.number != 1)
            continue;
        if (f.wire != PB_BYTES || n >= SCALER_LIST_MAX)
            return malformed("answer", err);
        list = arena_grow(arena, list, &cap, n, sizeof(*list));
        if (take_number(f.bytes, &list[n++], err) < 0)
            return ERR_BAD_INPUT;
    }
    *ret = list;
    *ret_n = n;
    return r;
}

void scaler_numbers_encode(struct buf *out, const struct scaler_number *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct buf inner = BUF_INIT;

        pb_put_bytes_if(&inner, 1, list[i].name);
        pb_put_varint_if(&inner, 2, (uint64_t)list[i].whole);
        pb_put_double_if(&inner, 3, list[i].real);
        pb_put_bytes(out, 1, buf_str(&inner));
        buf_done(&inner);
    }
}

/* --- activity --- */

int scaler_active_decode(struct str message, bool *ret, struct err *err)
{
    struct pb_field f;
    bool is_active = false;
    int r;

    while ((r = next(&message, &f, "answer", err)) > 0) {
        if (f.number == 1 && f.wire != PB_VARINT)
            return malformed("answer", err);
        if (f.number == 1)
            is_active = f.value != 0;
    }
    *ret = is_active;
    return r;
}

void scaler_active_encode(struct buf *out, bool is_active)
{
    pb_put_varint_if(out, 1, is_active);
}
