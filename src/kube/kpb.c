/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/kpb.h"

#include <stdio.h>

#include "base/clock.h"
#include "codec/base64.h"
#include "codec/protobuf.h"
#include "kube/schema.h"

/* Field `number` of a small message with at most one of each; false if absent or broken. */
static bool find_item(struct str message, uint64_t number, struct pb_field *ret)
{
    bool found = false;
    struct pb_field it;

    while (message.n) {
        if (!pb_next(&message, &it))
            return false;
        if (it.number == number) {
            *ret = it;
            found = true;
        }
    }
    return found;
}

static struct str find_bytes(struct str message, uint64_t number)
{
    struct pb_field it;

    return find_item(message, number, &it) && it.wire == PB_BYTES ? it.bytes : STR("");
}

static int64_t find_int(struct str message, uint64_t number)
{
    struct pb_field it;

    return find_item(message, number, &it) && it.wire == PB_VARINT ? (int64_t)it.value : 0;
}

/* --- values --- */

static json_t *base64(struct str s)
{
    struct buf b = BUF_INIT;
    json_t *text;

    base64_encode(&b, s);
    text = json_str_new(buf_str(&b));
    buf_done(&b);
    return text;
}

/* Seconds beyond year 9999 or before 1 have no RFC 3339 form. */
static json_t *time_value(struct str message, bool micro)
{
    int64_t s = find_int(message, 1), ns = find_int(message, 2);
    char text[TIME_TEXT_MAX];

    if (message.n == 0)
        return json_null();
    if (s < -62135596800 || s > 253402300799 || ns < 0 || ns > 999999999)
        return NULL;
    return json_string(micro ? time_rfc3339_micro(s * 1000000 + ns / 1000, text)
                             : time_rfc3339(s * 1000, text));
}

static json_t *raw_value(struct str message)
{
    struct str text = find_bytes(message, 1);
    json_t *v = NULL;

    if (text.n == 0)
        return json_null();
    return json_parse(text, &v, NULL) == 0 ? v : NULL;
}

static json_t *strings_value(struct str message)
{
    json_t *list = json_array();
    struct pb_field it;

    while (message.n) {
        if (!pb_next(&message, &it)) {
            json_decref(list);
            return NULL;
        }
        if (it.number == 1)
            json_array_append_new(list, json_str_new(it.bytes));
    }
    return list;
}

static json_t *message_value(const struct schema_type *t, struct str in, unsigned depth);

/* A value on the wire as JSON; NULL if it cannot be. */
static json_t *value_of(const struct schema_field *f, const struct pb_field *it, unsigned depth)
{
    double real;

    switch (f->kind) {
    case SCHEMA_BOOL:
        return json_boolean(it->value != 0);
    case SCHEMA_INT32:
        return json_integer((int32_t)it->value);
    case SCHEMA_INT64:
        return json_integer((json_int_t)it->value);
    case SCHEMA_DOUBLE:
        memcpy(&real, &it->value, sizeof(real));
        return json_real(real);
    default:
        break;
    }
    if (it->wire != PB_BYTES)
        return NULL;
    switch (f->kind) {
    case SCHEMA_STRING:
        return json_str_new(it->bytes);
    case SCHEMA_BYTES:
        return base64(it->bytes);
    case SCHEMA_QUANTITY:
        return json_str_new(find_bytes(it->bytes, 1));
    case SCHEMA_INT_OR_STRING:
        return find_int(it->bytes, 1) ? json_str_new(find_bytes(it->bytes, 3))
                                      : json_integer((int32_t)find_int(it->bytes, 2));
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        return time_value(it->bytes, f->kind == SCHEMA_MICRO_TIME);
    case SCHEMA_RAW:
        return raw_value(it->bytes);
    case SCHEMA_STRINGS:
        return strings_value(it->bytes);
    case SCHEMA_MESSAGE:
        return message_value(&schema_types[f->message], it->bytes, depth + 1);
    default:
        return NULL;
    }
}

static bool is_zero(const json_t *v)
{
    return json_is_null(v) || json_is_false(v) ||
           (json_is_integer(v) && json_integer_value(v) == 0) ||
           (json_is_real(v) && json_real_value(v) == 0) ||
           (json_is_string(v) && json_string_length(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0);
}

/* An entry of a map: {1: key, 2: value}; a missing value is the empty one. */
static bool add_entry(json_t *o, const struct schema_field *f, struct str entry, unsigned depth)
{
    struct str key = find_bytes(entry, 1);
    struct pb_field it = {.wire = PB_BYTES, .bytes = STR("")};
    json_t *map = json_object_get(o, f->name), *text = json_str_new(key), *v;

    find_item(entry, 2, &it);
    v = value_of(f, &it, depth);
    if (!map) {
        map = json_object();
        json_object_set_new(o, f->name, map);
    }
    if (v)
        json_object_set_new(map, json_string_value(text), v);
    json_decref(text);
    return v != NULL;
}

static const struct schema_field *by_number(const struct schema_type *t, uint64_t number)
{
    for (size_t i = 0; i < t->n; i++)
        if (schema_fields[t->first + i].number == number)
            return &schema_fields[t->first + i];
    return NULL;
}

static bool read_message(const struct schema_type *t, struct str in, json_t *o, unsigned depth);

static bool add_field(json_t *o, const struct schema_field *f, const struct pb_field *it,
                      unsigned depth)
{
    json_t *v, *list;

    if (f->card == SCHEMA_MAP)
        return it->wire == PB_BYTES && add_entry(o, f, it->bytes, depth);
    if (!*f->name)
        return it->wire == PB_BYTES &&
               read_message(&schema_types[f->message], it->bytes, o, depth + 1);
    v = value_of(f, it, depth);
    if (!v)
        return false;
    if (f->card == SCHEMA_LIST) {
        list = json_object_get(o, f->name);
        if (!list) {
            list = json_array();
            json_object_set_new(o, f->name, list);
        }
        json_array_append_new(list, v);
    } else if (f->presence == '-' && is_zero(v)) {
        json_decref(v); /* Go writes zero values of plain fields too; JSON leaves them out */
    } else {
        json_object_set_new(o, f->name, v);
    }
    return true;
}

static bool read_message(const struct schema_type *t, struct str in, json_t *o, unsigned depth)
{
    struct pb_field it;

    if (depth > KPB_DEPTH_MAX)
        return false;
    while (in.n) {
        const struct schema_field *f;

        if (!pb_next(&in, &it))
            return false;
        f = by_number(t, it.number);
        if (f && !add_field(o, f, &it, depth))
            return false;
    }
    return true;
}

static json_t *message_value(const struct schema_type *t, struct str in, unsigned depth)
{
    json_t *o = json_object();

    if (read_message(t, in, o, depth))
        return o;
    json_decref(o);
    return NULL;
}

/* --- the envelope --- */

/* "apps/v1", "Deployment" -> its table; options of a request are in meta.v1 whatever they say. */
static const struct schema_type *type_named(struct str api_version, struct str kind)
{
    char name[256];
    ptrdiff_t slash = str_chr(api_version, '/');
    struct str group = slash < 0 ? STR("core") : str_n(api_version.p, (size_t)slash);
    struct str version = slash < 0 ? api_version : str_skip(api_version, (size_t)slash + 1);
    ptrdiff_t dot = str_chr(group, '.');

    if (str_ends(kind, STR("Options"))) {
        group = STR("meta");
        version = STR("v1");
    } else if (dot >= 0) {
        group.n = (size_t)dot;
    }
    snprintf(name, sizeof(name), "%.*s.%.*s.%.*s", STR_ARG(group), STR_ARG(version), STR_ARG(kind));
    return schema_type(name);
}

int kpb_decode(struct str body, json_t **ret, struct err *err)
{
    struct str meta, api_version, kind;
    const struct schema_type *t;
    json_t *o;

    *ret = NULL;
    if (body.n < 4 || memcmp(body.p, "k8s\0", 4) != 0)
        return err_set(err, ERR_BAD_INPUT,
                       "the body does not begin with Kubernetes' protobuf envelope");
    body = str_skip(body, 4);
    meta = find_bytes(body, 1);
    api_version = find_bytes(meta, 1);
    kind = find_bytes(meta, 2);
    if (kind.n == 0)
        return err_set(err, ERR_BAD_INPUT, "the protobuf envelope is cut or names no kind");
    t = type_named(api_version, kind);
    if (!t)
        return err_set(err, ERR_UNSUPPORTED, "%.*s %.*s is not read as protobuf here: send JSON",
                       STR_ARG(api_version), STR_ARG(kind));
    o = message_value(t, find_bytes(body, 2), 0);
    if (!o)
        return err_set(err, ERR_BAD_INPUT, "the protobuf %.*s is cut or broken", STR_ARG(kind));
    json_object_set_new(o, "apiVersion", json_str_new(api_version));
    json_object_set_new(o, "kind", json_str_new(kind));
    *ret = o;
    return 0;
}
