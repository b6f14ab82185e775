/* SPDX-License-Identifier: Apache-2.0 */
#include "net/grpc.h"

#include <stdio.h>

#include "base/mem.h"
#include "codec/base64.h"
#include "codec/protobuf.h"

/* What may lie behind an unfinished message: a flow-control window of a paused stream. */
#define BEHIND_MAX ((size_t)4 << 20)

const char *grpc_code_name(int code)
{
    static const char *const names[] = {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    };

    return code >= 0 && code < (int)ARRAY_LEN(names) ? names[code] : "UNKNOWN";
}

/* --- messages --- */

void grpc_reader_init(struct grpc_reader *r, size_t max_message)
{
    *r = (struct grpc_reader){.max_message = max_message};
    r->in.max = max_message + GRPC_PREFIX + BEHIND_MAX;
    r->plain.max = max_message ? max_message : 1;
}

void grpc_reader_done(struct grpc_reader *r)
{
    buf_done(&r->in);
    buf_done(&r->plain);
}

void grpc_reader_feed(struct grpc_reader *r, struct str bytes)
{
    if (r->at) {
        buf_consume(&r->in, r->at);
        r->at = 0;
    }
    buf_add_str(&r->in, bytes);
}

static int unpack(struct grpc_reader *r, struct str packed, struct str *ret, struct err *err)
{
    int code;

    if (r->encoding == COMPRESSION_NONE)
        return err_set(err, ERR_BAD_INPUT,
                       "a message is compressed, but no grpc-encoding was named");
    buf_clear(&r->plain);
    code = decompress_body(r->encoding, packed, &r->plain, err);
    if (code < 0) {
        err_wrap(err, "message of %zu bytes", packed.n);
        return code;
    }
    *ret = buf_str(&r->plain);
    return 1;
}

int grpc_reader_next(struct grpc_reader *r, struct str *ret, struct err *err)
{
    const unsigned char *p;
    size_t have = r->in.n - r->at, n;
    struct str message;

    if (have < GRPC_PREFIX)
        return r->in.overflow ? err_set(err, ERR_LIMIT, "too many bytes at once") : 0;
    p = (const unsigned char *)r->in.p + r->at;
    n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
    if (p[0] > 1)
        return err_set(err, ERR_BAD_INPUT, "the flag before a message is %u: expected 0 or 1",
                       p[0]);
    if (n > r->max_message)
        return err_set(err, ERR_LIMIT, "a message of %zu bytes is over the limit of %zu", n,
                       r->max_message);
    if (have - GRPC_PREFIX < n)
        return r->in.overflow ? err_set(err, ERR_LIMIT, "too many bytes at once") : 0;
    message = str_n(p + GRPC_PREFIX, n);
    r->at += GRPC_PREFIX + n;
    if (p[0])
        return unpack(r, message, ret, err);
    *ret = message;
    return 1;
}

bool grpc_reader_is_inside(const struct grpc_reader *r)
{
    return r->in.n > r->at;
}

size_t grpc_reader_size(const struct grpc_reader *r)
{
    return r->in.cap + r->plain.cap;
}

void grpc_prefix(char out[GRPC_PREFIX], bool is_compressed, size_t n)
{
    out[0] = is_compressed ? 1 : 0;
    for (int i = 0; i < 4; i++)
        out[1 + i] = (char)(n >> (24 - 8 * i));
}

/* --- header values --- */

void grpc_message_encode(struct buf *out, struct str message)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < message.n; i++) {
        unsigned char c = (unsigned char)message.p[i];

        if (c >= 0x20 && c <= 0x7e && c != '%') {
            buf_add_char(out, (char)c);
        } else {
            char esc[3] = {'%', digits[c >> 4], digits[c & 15]};

            buf_add(out, esc, sizeof(esc));
        }
    }
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void grpc_message_decode(struct str value, char *out, size_t cap)
{
    size_t n = 0, whole = 0;

    for (size_t i = 0; i < value.n && n + 1 < cap; i++) {
        if (value.p[i] == '%' && i + 2 < value.n && hex(value.p[i + 1]) >= 0 &&
            hex(value.p[i + 2]) >= 0) {
            out[n++] = (char)(hex(value.p[i + 1]) << 4 | hex(value.p[i + 2]));
            i += 2;
        } else {
            out[n++] = value.p[i];
        }
    }
    /* a cut inside a character, or bytes that are none, are left out */
    while (whole < n) {
        size_t len = str_utf8_len(str_n(out + whole, n - whole));

        if (len == 0) {
            memmove(out + whole, out + whole + 1, n - whole - 1);
            n--;
        } else {
            whole += len;
        }
    }
    out[n] = '\0';
}

static struct str member(struct str message, unsigned number)
{
    struct str found = STR_NONE;
    struct pb_field f;

    while (message.n && pb_next(&message, &f))
        if (f.number == number && f.wire == PB_BYTES)
            found = f.bytes;
    return found;
}

/* Duration {1: seconds, 2: nanos} */
static int64_t duration_ms(struct str d)
{
    int64_t ms = 0;
    struct pb_field f;

    while (d.n && pb_next(&d, &f)) {
        if (f.wire == PB_VARINT && f.number == 1 && f.value < 1000000000)
            ms += (int64_t)f.value * 1000;
        else if (f.wire == PB_VARINT && f.number == 2 && f.value < 1000000000)
            ms += (int64_t)f.value / 1000000;
    }
    return ms > 0 ? ms : 1;
}

int64_t grpc_retry_ms(struct str details_bin)
{
    struct buf status = BUF_INIT_MAX(65536);
    struct str rest;
    struct pb_field f;
    int64_t ms = 0;

    if (details_bin.n && base64_decode(&status, details_bin)) {
        rest = buf_str(&status); /* google.rpc.Status {3: repeated Any {1: type, 2: value}} */
        while (rest.n && pb_next(&rest, &f))
            if (f.number == 3 && f.wire == PB_BYTES &&
                str_ends(member(f.bytes, 1), STR("/google.rpc.RetryInfo")))
                ms = duration_ms(member(member(f.bytes, 2), 1));
    }
    buf_done(&status);
    return ms;
}

static const struct {
    char unit;
    int64_t ns;
} timeout_units[] = {{'n', 1},
                     {'u', 1000},
                     {'m', 1000000},
                     {'S', 1000000000},
                     {'M', 60 * 1000000000ll},
                     {'H', 3600 * 1000000000ll}};

bool grpc_timeout_parse(struct str value, int64_t *ret_ns)
{
    uint64_t n;

    if (value.n < 2 || value.n > 9 || !str_to_u64((struct str){value.p, value.n - 1}, &n))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(timeout_units); i++) {
        if (timeout_units[i].unit != value.p[value.n - 1])
            continue;
        if (__builtin_mul_overflow((int64_t)n, timeout_units[i].ns, ret_ns))
            *ret_ns = INT64_MAX / 4; /* centuries: never */
        else if (*ret_ns > INT64_MAX / 4)
            *ret_ns = INT64_MAX / 4;
        return true;
    }
    return false;
}

void grpc_timeout_text(int64_t ns, char out[16])
{
    size_t i = 0;

    if (ns < 1)
        ns = 1;
    while (i + 1 < ARRAY_LEN(timeout_units) && ns / timeout_units[i].ns > 99999999)
        i++;
    snprintf(out, 16, "%lld%c", (long long)(ns / timeout_units[i].ns), timeout_units[i].unit);
}

int grpc_code_of_http(int status)
{
    switch (status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}
