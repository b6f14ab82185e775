/* SPDX-License-Identifier: Apache-2.0
 *
 * Attributes and bounds as text, and the answers. */
#include <math.h>

#include "codec/base64.h"
#include "codec/json.h"
#include "codec/otlp.h"
#include "codec/promtext_int.h"
#include "codec/protobuf.h"
#include "codec/protobuf_write.h"

/* Field numbers of AnyValue. */
enum { V_STRING = 1, V_BOOL, V_INT, V_DOUBLE, V_ARRAY, V_LIST, V_BYTES };

static void add_real(struct buf *out, double v, bool nested)
{
    if (isfinite(v))
        json_write_double(out, v);
    else if (nested) /* JSON has no such numbers; protobuf's JSON writes them as text */
        buf_add_cstr(out, isnan(v) ? "\"NaN\"" : v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    else
        buf_add_cstr(out, isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
}

/* The member of an AnyValue that counts: the last. */
static struct pb_field member_of(struct str value)
{
    struct pb_field f, last = {0};

    while (value.n && pb_next(&value, &f))
        if (f.number >= V_STRING && f.number <= V_BYTES)
            last = f;
    return last;
}

static void read_pair(struct str pair, struct str *ret_key, struct str *ret_value)
{
    struct pb_field f;

    *ret_key = *ret_value = STR("");
    while (pair.n && pb_next(&pair, &f)) {
        if (f.number == 1)
            *ret_key = f.bytes;
        else if (f.number == 2)
            *ret_value = f.bytes;
    }
}

static void add_value(struct buf *out, struct str value, bool nested);

static void add_all(struct buf *out, struct str in, bool is_list)
{
    struct pb_field f;
    size_t n = 0;

    buf_add_char(out, is_list ? '{' : '[');
    while (in.n && pb_next(&in, &f)) {
        struct str key, value = f.bytes;

        if (f.number != 1)
            continue;
        if (n++)
            buf_add_char(out, ',');
        if (is_list) {
            read_pair(f.bytes, &key, &value);
            json_write_str(out, key);
            buf_add_char(out, ':');
        }
        add_value(out, value, true);
    }
    buf_add_char(out, is_list ? '}' : ']');
}

/* Recursion is bounded: otlp_check has counted the levels. */
static void add_value(struct buf *out, struct str value, bool nested)
{
    struct pb_field f = member_of(value);

    switch (f.number) {
    case V_STRING:
        if (nested)
            json_write_str(out, f.bytes);
        else
            buf_add_str(out, f.bytes);
        break;
    case V_BOOL:
        buf_add_cstr(out, f.value ? "true" : "false");
        break;
    case V_INT:
        buf_add_i64(out, (int64_t)f.value);
        break;
    case V_DOUBLE:
        add_real(out, pb_double(f.value), nested);
        break;
    case V_ARRAY:
    case V_LIST:
        add_all(out, f.bytes, f.number == V_LIST);
        break;
    case V_BYTES:
        if (nested)
            buf_add_char(out, '"');
        base64_encode(out, f.bytes);
        if (nested)
            buf_add_char(out, '"');
        break;
    default:
        if (nested)
            buf_add_cstr(out, "null");
        break;
    }
}

bool otlp_attribute(struct otlp_attributes *a, struct str *ret_key, struct buf *text)
{
    struct pb_field f;
    struct str value;

    buf_clear(text);
    while (a->bytes.n && pb_next(&a->bytes, &f))
        if (f.number == a->number) {
            read_pair(f.bytes, ret_key, &value);
            add_value(text, value, false);
            return true;
        }
    return false;
}

const char *otlp_bound_text(double v, char out[OTLP_BOUND_MAX])
{
    _Static_assert(PROMTEXT_CANONICAL_MAX < OTLP_BOUND_MAX, "room for the end");
    out[promtext_canonical(v, out)] = '\0';
    return out;
}

/* --- answers --- */

/* ExportMetricsServiceResponse: {1: partial_success {1: rejected, 2: message}}. */
void otlp_write_response(struct buf *out, bool json, size_t rejected, struct str message)
{
    struct buf partial = BUF_INIT;

    if (json) {
        buf_add_char(out, '{');
        if (rejected || message.n) {
            buf_printf(out, "\"partialSuccess\":{\"rejectedDataPoints\":\"%zu\",\"errorMessage\":",
                       rejected);
            json_write_str(out, message);
            buf_add_char(out, '}');
        }
        buf_add_char(out, '}');
    } else if (rejected || message.n) {
        pb_put_varint_if(&partial, 1, rejected);
        pb_put_bytes_if(&partial, 2, message);
        pb_put_bytes(out, 1, buf_str(&partial));
    }
    buf_done(&partial);
}

#define RETRY_INFO "type.googleapis.com/google.rpc.RetryInfo"

/* google.rpc.Status: {1: code, 2: message, 3: details Any {1: type, 2: value}}; the value is a
 * RetryInfo {1: delay Duration {1: seconds}}. */
void otlp_write_status(struct buf *out, bool json, int code, struct str message, int retry_s)
{
    struct buf duration = BUF_INIT, info = BUF_INIT, any = BUF_INIT;

    if (json) {
        buf_printf(out, "{\"code\":%d,\"message\":", code);
        json_write_str(out, message);
        if (retry_s > 0)
            buf_printf(out, ",\"details\":[{\"@type\":\"" RETRY_INFO "\",\"retryDelay\":\"%ds\"}]",
                       retry_s);
        buf_add_char(out, '}');
        return;
    }
    pb_put_varint(out, 1, (uint64_t)code);
    pb_put_bytes(out, 2, message);
    if (retry_s > 0) {
        pb_put_varint(&duration, 1, (uint64_t)retry_s);
        pb_put_bytes(&info, 1, buf_str(&duration));
        pb_put_bytes(&any, 1, STR(RETRY_INFO));
        pb_put_bytes(&any, 2, buf_str(&info));
        pb_put_bytes(out, 3, buf_str(&any));
    }
    buf_done(&duration);
    buf_done(&info);
    buf_done(&any);
}
