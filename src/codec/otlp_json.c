/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/otlp_json.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "codec/base64.h"
#include "codec/otlp_schema.h"
#include "codec/protobuf.h"
#include "codec/protobuf_write.h"

struct reader {
    struct str in; /* what is left */
    const char *start;
    struct buf *out;
    struct buf text; /* the string read last, unescaped */
    unsigned depth;
    struct err *err;
};

static int fail(struct reader *r, const char *what)
{
    return err_set(r->err, ERR_BAD_INPUT, "JSON, byte %zu: %s", (size_t)(r->in.p - r->start), what);
}

static void skip_space(struct reader *r)
{
    while (r->in.n && (*r->in.p == ' ' || *r->in.p == '\t' || *r->in.p == '\n' || *r->in.p == '\r'))
        r->in = str_n(r->in.p + 1, r->in.n - 1);
}

/* The next byte that is no space; 0 at the end. */
static char peek(struct reader *r)
{
    skip_space(r);
    return r->in.n ? *r->in.p : '\0';
}

static bool take(struct reader *r, char c)
{
    if (peek(r) != c || !r->in.n)
        return false;
    r->in = str_n(r->in.p + 1, r->in.n - 1);
    return true;
}

static bool take_word(struct reader *r, struct str word)
{
    skip_space(r);
    if (!str_starts(r->in, word))
        return false;
    r->in = str_skip(r->in, word.n);
    return true;
}

static int enter(struct reader *r)
{
    return ++r->depth > OTLP_DEPTH_MAX * 2 ? fail(r, "nested too deep") : 0;
}

/* --- tokens --- */

static int hex4(struct reader *r, uint32_t *ret)
{
    uint32_t v = 0;

    if (r->in.n < 4)
        return fail(r, "a \\u escape is cut");
    for (int i = 0; i < 4; i++) {
        char c = r->in.p[i];
        uint32_t d = c >= '0' && c <= '9'                     ? (uint32_t)(c - '0')
                     : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (uint32_t)((c | 0x20) - 'a' + 10)
                                                              : 16;

        if (d == 16)
            return fail(r, "a \\u escape is not four hex digits");
        v = v << 4 | d;
    }
    r->in = str_skip(r->in, 4);
    *ret = v;
    return 0;
}

static void add_utf8(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_add_char(out, (char)c);
    } else if (c < 0x800) {
        buf_add_char(out, (char)(0xc0 | c >> 6));
        buf_add_char(out, (char)(0x80 | (c & 63)));
    } else if (c < 0x10000) {
        buf_add_char(out, (char)(0xe0 | c >> 12));
        buf_add_char(out, (char)(0x80 | (c >> 6 & 63)));
        buf_add_char(out, (char)(0x80 | (c & 63)));
    } else {
        buf_add_char(out, (char)(0xf0 | c >> 18));
        buf_add_char(out, (char)(0x80 | (c >> 12 & 63)));
        buf_add_char(out, (char)(0x80 | (c >> 6 & 63)));
        buf_add_char(out, (char)(0x80 | (c & 63)));
    }
}

static int escape(struct reader *r)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    uint32_t c, low;
    const char *at;
    int rc;

    if (r->in.n < 2)
        return fail(r, "a string is cut");
    at = r->in.p[1] ? strchr(from, r->in.p[1]) : NULL;
    if (at) {
        buf_add_char(&r->text, to[at - from]);
        r->in = str_skip(r->in, 2);
        return 0;
    }
    if (r->in.p[1] != 'u')
        return fail(r, "no such escape");
    r->in = str_skip(r->in, 2);
    if ((rc = hex4(r, &c)) < 0)
        return rc;
    if (c >= 0xd800 && c < 0xe000) { /* the half of a pair */
        if (c >= 0xdc00 || !str_starts(r->in, STR("\\u")))
            return fail(r, "half of a surrogate pair");
        r->in = str_skip(r->in, 2);
        if ((rc = hex4(r, &low)) < 0)
            return rc;
        if (low < 0xdc00 || low >= 0xe000)
            return fail(r, "half of a surrogate pair");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    add_utf8(&r->text, c);
    return 0;
}

/* A string into r->text; *ret is it, valid until the next one. */
static int string(struct reader *r, struct str *ret)
{
    int rc;

    if (!take(r, '"'))
        return fail(r, "expected a string");
    buf_clear(&r->text);
    for (;;) {
        size_t n = 0;

        while (n < r->in.n && r->in.p[n] != '"' && r->in.p[n] != '\\' &&
               (uint8_t)r->in.p[n] >= 0x20)
            n++;
        if (n && !str_is_utf8(str_n(r->in.p, n)))
            return fail(r, "a string is not UTF-8");
        buf_add(&r->text, r->in.p, n);
        r->in = str_skip(r->in, n);
        if (r->in.n == 0)
            return fail(r, "a string is cut");
        if (*r->in.p == '"')
            break;
        if (*r->in.p != '\\')
            return fail(r, "a control character in a string");
        if ((rc = escape(r)) < 0)
            return rc;
    }
    r->in = str_skip(r->in, 1);
    *ret = r->text.n ? buf_str(&r->text) : STR("");
    return 0;
}

static size_t digits(struct str s, size_t at)
{
    size_t n = 0;

    while (at + n < s.n && s.p[at + n] >= '0' && s.p[at + n] <= '9')
        n++;
    return n;
}

/* Length of the JSON number that s begins with, 0 if there is none. */
static size_t number_length(struct str s, bool *ret_is_integer)
{
    size_t i = s.n && s.p[0] == '-', n = digits(s, i);

    if (n == 0 || (n > 1 && s.p[i] == '0'))
        return 0;
    i += n;
    *ret_is_integer = true;
    if (i < s.n && s.p[i] == '.') {
        if ((n = digits(s, i + 1)) == 0)
            return 0;
        *ret_is_integer = false;
        i += n + 1;
    }
    if (i < s.n && (s.p[i] | 0x20) == 'e') {
        size_t sign = i + 1 < s.n && (s.p[i + 1] == '+' || s.p[i + 1] == '-');

        if ((n = digits(s, i + 1 + sign)) == 0)
            return 0;
        *ret_is_integer = false;
        i += n + 1 + sign;
    }
    return i;
}

/* A number, bare or as a string: its text, valid until the next string. */
static int number(struct reader *r, struct str *ret, bool *ret_is_integer, bool *ret_quoted)
{
    size_t n;
    int rc;

    *ret_is_integer = false;
    *ret_quoted = peek(r) == '"';
    if (*ret_quoted) {
        if ((rc = string(r, ret)) < 0)
            return rc;
        n = number_length(*ret, ret_is_integer);
        if (n != ret->n) /* for a double: NaN and the like */
            *ret_is_integer = false;
        return 0;
    }
    n = number_length(r->in, ret_is_integer);
    if (n == 0)
        return fail(r, "expected a number");
    *ret = str_n(r->in.p, n);
    r->in = str_skip(r->in, n);
    return 0;
}

static int integer(struct reader *r, bool is_signed, int64_t min, uint64_t max, uint64_t *ret)
{
    struct str s;
    bool is_integer, quoted;
    int64_t v = 0;
    int rc = number(r, &s, &is_integer, &quoted);

    if (rc < 0)
        return rc;
    if (!is_integer)
        return fail(r, "expected an integer");
    if (is_signed) {
        if (!str_to_i64(s, &v) || v < min || (v > 0 && (uint64_t)v > max))
            return fail(r, "an integer is out of its range");
        *ret = (uint64_t)v;
    } else if (!str_to_u64(s, ret) || *ret > max) {
        return fail(r, "an integer is out of its range");
    }
    return 0;
}

static int real(struct reader *r, double *ret)
{
    struct str s;
    bool is_integer, quoted;
    int rc = number(r, &s, &is_integer, &quoted);

    if (rc < 0)
        return rc;
    if (quoted && str_is(s, "NaN")) {
        *ret = NAN;
    } else if (quoted && (str_is(s, "Infinity") || str_is(s, "-Infinity"))) {
        *ret = s.p[0] == '-' ? -INFINITY : INFINITY;
    } else {
        if ((quoted && number_length(s, &is_integer) != s.n) || !str_to_double(s, ret))
            return fail(r, "expected a number");
        if (!isfinite(*ret))
            return fail(r, "a number is out of the range of a double");
    }
    return 0;
}

/* --- anything, passed over --- */

static int skip_value(struct reader *r);

static int skip_members(struct reader *r, char close)
{
    struct str s;
    int rc = enter(r);

    for (bool first = true; rc == 0 && !take(r, close); first = false) {
        if (!first && !take(r, ','))
            return fail(r, "expected a comma or the end of the value");
        if (close == '}' &&
            ((rc = string(r, &s)) < 0 || (!take(r, ':') && (rc = fail(r, "expected ':'")) < 0)))
            return rc;
        rc = skip_value(r);
    }
    r->depth--;
    return rc;
}

static int skip_value(struct reader *r)
{
    struct str s;
    bool is_integer, quoted;

    if (take(r, '{'))
        return skip_members(r, '}');
    if (take(r, '['))
        return skip_members(r, ']');
    if (peek(r) == '"')
        return string(r, &s);
    if (take_word(r, STR("true")) || take_word(r, STR("false")) || take_word(r, STR("null")))
        return 0;
    return number(r, &s, &is_integer, &quoted);
}

/* --- values --- */

/* Lengths are known late: room for four bytes, and the length in as many, padded. */
#define LENGTH_BYTES 4

static size_t begin_bytes(struct reader *r, unsigned number)
{
    buf_add_char(r->out, (char)(number << 3 | PB_BYTES)); /* field numbers are below 16 */
    buf_add(r->out, "\0\0\0\0", LENGTH_BYTES);
    return r->out->n;
}

static int end_bytes(struct reader *r, size_t from)
{
    size_t n = r->out->n - from;

    if (r->out->overflow || n >= (size_t)1 << (7 * LENGTH_BYTES))
        return err_set(r->err, ERR_LIMIT, "the message is too large");
    for (unsigned i = 0; i < LENGTH_BYTES; i++)
        r->out->p[from - LENGTH_BYTES + i] =
            (char)((n >> (7 * i) & 0x7f) | (i + 1 < LENGTH_BYTES ? 0x80 : 0));
    return 0;
}

static int hex_id(struct reader *r, unsigned number, unsigned bytes)
{
    char id[16];
    struct str s;
    int rc = string(r, &s);

    if (rc < 0)
        return rc;
    if (s.n == 0)
        return 0;
    if (s.n != (size_t)bytes * 2)
        return fail(r, "an id has another length than 16 (span) or 32 (trace) hex digits");
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i], l = (char)(c | 0x20);
        int d = c >= '0' && c <= '9' ? c - '0' : l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;

        if (d < 0)
            return fail(r, "an id is not hexadecimal");
        id[i / 2] = (char)(i % 2 ? id[i / 2] << 4 | d : d);
    }
    pb_put_bytes(r->out, number, str_n(id, bytes));
    return 0;
}

static int bytes(struct reader *r, unsigned number)
{
    struct buf plain = BUF_INIT_MAX(r->in.n + 1);
    struct str s;
    int rc = string(r, &s);

    if (rc == 0 && !base64_decode(&plain, s))
        rc = fail(r, "bytes are not base64");
    if (rc == 0)
        pb_put_bytes(r->out, number, buf_str(&plain));
    buf_done(&plain);
    return rc;
}

static int integer_of(struct reader *r, unsigned type, uint64_t *ret)
{
    switch (type) {
    case OTLP_ENUM:
        return integer(r, true, INT32_MIN, INT32_MAX, ret);
    case OTLP_UINT32:
        return integer(r, false, 0, UINT32_MAX, ret);
    case OTLP_SINT32:
    case OTLP_INT64:
    case OTLP_SFIXED64:
        return type == OTLP_SINT32 ? integer(r, true, INT32_MIN, INT32_MAX, ret)
                                   : integer(r, true, INT64_MIN, INT64_MAX, ret);
    default:
        return integer(r, false, 0, UINT64_MAX, ret);
    }
}

static int message(struct reader *r, const struct otlp_message *m);

static int value(struct reader *r, const struct otlp_field *f, unsigned number)
{
    struct str s;
    uint64_t v = 0;
    double d;
    size_t from;
    int rc;

    switch (f->type) {
    case OTLP_MESSAGE:
        from = begin_bytes(r, number);
        rc = message(r, f->message);
        return rc < 0 ? rc : end_bytes(r, from);
    case OTLP_STRING:
        if ((rc = string(r, &s)) == 0)
            pb_put_bytes(r->out, number, s);
        return rc;
    case OTLP_ID:
        return hex_id(r, number, f->id_bytes);
    case OTLP_BYTES:
        return bytes(r, number);
    case OTLP_DOUBLE:
        if ((rc = real(r, &d)) < 0)
            return rc;
        memcpy(&v, &d, sizeof(v));
        break;
    case OTLP_BOOL:
        v = take_word(r, STR("true"));
        if (!v && !take_word(r, STR("false")))
            return fail(r, "expected true or false");
        break;
    default:
        if ((rc = integer_of(r, f->type, &v)) < 0)
            return rc;
        break;
    }
    if (f->type == OTLP_DOUBLE || f->type == OTLP_FIXED64 || f->type == OTLP_SFIXED64) {
        pb_put_double(r->out, number, pb_double(v));
    } else {
        if (f->type == OTLP_SINT32)
            v = (uint32_t)(v << 1) ^ (uint32_t) - ((int64_t)v < 0);
        pb_put_varint(r->out, number, v);
    }
    return 0;
}

static int array(struct reader *r, const struct otlp_field *f, unsigned number)
{
    int rc;

    if (!take(r, '['))
        return fail(r, "expected an array");
    for (bool first = true; !take(r, ']'); first = false) {
        if (!first && !take(r, ','))
            return fail(r, "expected a comma or the end of the array");
        if ((rc = value(r, f, number)) < 0)
            return rc;
    }
    return 0;
}

static unsigned find(const struct otlp_message *m, struct str key)
{
    for (unsigned i = 1; i < OTLP_FIELDS_MAX; i++)
        if (m->fields[i].type != OTLP_NONE && str_is(key, m->fields[i].json))
            return i;
    return 0;
}

static int message(struct reader *r, const struct otlp_message *m)
{
    struct str key;
    unsigned number;
    int rc;

    if (!take(r, '{'))
        return fail(r, "expected an object");
    if ((rc = enter(r)) < 0)
        return rc;
    for (bool first = true; !take(r, '}'); first = false) {
        if (!first && !take(r, ','))
            return fail(r, "expected a comma or the end of the object");
        if ((rc = string(r, &key)) < 0)
            return rc;
        number = find(m, key);
        if (!take(r, ':'))
            return fail(r, "expected ':'");
        if (take_word(r, STR("null")))
            continue;
        rc = number == 0                  ? skip_value(r)
             : m->fields[number].repeated ? array(r, &m->fields[number], number)
                                          : value(r, &m->fields[number], number);
        if (rc < 0)
            return rc;
    }
    r->depth--;
    return 0;
}

int otlp_from_json(struct str text, struct buf *out, struct err *err)
{
    struct reader r = {
        .in = text, .start = text.p, .out = out, .text = BUF_INIT_MAX(text.n + 1), .err = err};
    int rc = message(&r, &otlp_request);

    skip_space(&r);
    if (rc == 0 && r.in.n)
        rc = fail(&r, "something stands behind the message");
    if (rc == 0 && out->overflow)
        rc = err_set(err, ERR_LIMIT, "the message is too large");
    buf_done(&r.text);
    return rc;
}
