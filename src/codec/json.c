/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/json.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "codec/json_alloc.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif

/* Not under the sanitizer, which has to see every node come and go. */
#if !defined(__SANITIZE_ADDRESS__) && !__has_feature(address_sanitizer)
__attribute__((constructor)) static void use_own_memory(void)
{
    json_set_alloc_funcs(json_alloc, json_free);
}
#endif

/* jansson counts nesting itself (2,048 levels); ours is stricter, so that nothing recursive that
 * walks a tree later can run out of stack. Brackets inside strings do not count. */
static int check_depth(struct str text, struct err *err)
{
    int depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];

        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_DEPTH_MAX)
                return err_set(err, ERR_BAD_INPUT, "JSON is nested deeper than %d levels",
                               JSON_DEPTH_MAX);
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return 0;
}

int json_parse(struct str text, json_t **ret, struct err *err)
{
    json_error_t je;
    json_t *v;
    int r = check_depth(text, err);

    if (r < 0)
        return r;
    v = json_loadb(text.n ? text.p : "", text.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &je);
    if (!v) {
        /* the one legal text jansson refuses: an integer beyond 64 bit */
        v = json_loadb(text.n ? text.p : "", text.n,
                       JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &je);
        if (!v)
            return err_set(err, ERR_BAD_INPUT, "line %d, column %d: %s", je.line, je.column,
                           je.text);
    }
    *ret = v;
    return 0;
}

json_t *json_reread(struct str text)
{
    struct err err = ERR_INIT;
    json_t *v = NULL;

    if (json_parse(text, &v, &err) < 0)
        FB_ASSERT(!"what we wrote is not JSON");
    return v;
}

/* The strict reader walks the text a second time only to find keys given twice: the tree cannot
 * show them any more. */
struct dup_scan {
    struct str t;
    size_t at;
    struct buf *dups;
    struct buf path;
};

static void skip_blank(struct dup_scan *s)
{
    while (s->at < s->t.n && strchr(" \t\r\n", s->t.p[s->at]))
        s->at++;
}

static struct str scan_string(struct dup_scan *s)
{
    size_t from = ++s->at;

    while (s->at < s->t.n && s->t.p[s->at] != '"')
        s->at += s->t.p[s->at] == '\\' ? 2 : 1;
    return (struct str){s->t.p + from, s->at++ - from};
}

static void scan_value(struct dup_scan *s);

static void scan_object(struct dup_scan *s)
{
    json_t *seen = json_object();
    size_t base = s->path.n;

    s->at++;
    for (;;) {
        struct str key;

        skip_blank(s);
        if (s->at >= s->t.n || s->t.p[s->at] != '"')
            break;
        key = scan_string(s);
        if (base)
            buf_add_char(&s->path, '.');
        buf_add_str(&s->path, key);
        if (json_object_getn(seen, key.p, key.n)) {
            buf_add_str(s->dups, buf_str(&s->path));
            buf_add_char(s->dups, '\n');
        }
        json_object_setn_new_nocheck(seen, key.p, key.n, json_true());
        skip_blank(s);
        s->at++; /* ':' */
        scan_value(s);
        s->path.n = base;
        skip_blank(s);
        if (s->at >= s->t.n || s->t.p[s->at] != ',')
            break;
        s->at++;
    }
    s->at++;
    json_decref(seen);
}

static void scan_array(struct dup_scan *s)
{
    size_t base = s->path.n;
    int i = 0;

    s->at++;
    for (;;) {
        skip_blank(s);
        if (s->at >= s->t.n || s->t.p[s->at] == ']')
            break;
        buf_printf(&s->path, "[%d]", i++);
        scan_value(s);
        s->path.n = base;
        skip_blank(s);
        if (s->at < s->t.n && s->t.p[s->at] == ',')
            s->at++;
    }
    s->at++;
}

static void scan_value(struct dup_scan *s)
{
    skip_blank(s);
    if (s->at >= s->t.n)
        return;
    if (s->t.p[s->at] == '{')
        scan_object(s);
    else if (s->t.p[s->at] == '[')
        scan_array(s);
    else if (s->t.p[s->at] == '"')
        scan_string(s);
    else
        while (s->at < s->t.n && !strchr(",]} \t\r\n", s->t.p[s->at]))
            s->at++;
}

int json_parse_strict(struct str text, json_t **ret, struct buf *dups, struct err *err)
{
    int r = json_parse(text, ret, err);

    if (r == 0 && dups) {
        struct dup_scan s = {.t = text, .dups = dups};

        scan_value(&s);
        buf_done(&s.path);
    }
    return r;
}

void json_write_double(struct buf *out, double v)
{
    char t[40];
    double a = fabs(v);

    if (!isfinite(v)) {
        buf_add_cstr(out, "null");
        return;
    }
    if (a < 1e15 && v == (double)(int64_t)v) {
        if (v == 0 && signbit(v))
            buf_add_char(out, '-');
        buf_add_i64(out, (int64_t)v);
        return;
    }
    for (int prec = a < 1e-290 ? 1 : 15; prec <= 17; prec++) {
        snprintf(t, sizeof(t), "%.*e", prec - 1, v);
        if (strtod(t, NULL) == v)
            break;
    }
    /* t is d.ddde[+-]xx: lay the digits out as Go does (exponent form below 1e-6 and from 1e21 on,
     * without a padded exponent) */
    char digits[32];
    size_t nd = 0;
    char *e = strchr(t, 'e');
    int exp10 = atoi(e + 1);

    for (char *p = t; p < e; p++)
        if (*p >= '0' && *p <= '9')
            digits[nd++] = *p;
    while (nd > 1 && digits[nd - 1] == '0')
        nd--;
    if (v < 0)
        buf_add_char(out, '-');
    if (a < 1e-6 || a >= 1e21) {
        buf_add_char(out, digits[0]);
        if (nd > 1) {
            buf_add_char(out, '.');
            buf_add(out, digits + 1, nd - 1);
        }
        buf_printf(out, "e%c%d", exp10 < 0 ? '-' : '+', abs(exp10));
    } else if (exp10 < 0) {
        buf_add_cstr(out, "0.");
        for (int i = -1; i > exp10; i--)
            buf_add_char(out, '0');
        buf_add(out, digits, nd);
    } else {
        for (int i = 0; i <= exp10; i++)
            buf_add_char(out, (size_t)i < nd ? digits[i] : '0');
        if (nd > (size_t)exp10 + 1) {
            buf_add_char(out, '.');
            buf_add(out, digits + exp10 + 1, nd - (size_t)exp10 - 1);
        }
    }
}

void json_write_str(struct buf *out, struct str s)
{
    size_t from = 0;

    buf_add_char(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        const char *esc = NULL;

        if (c >= 0x80) {
            size_t len = str_utf8_len(str_skip(s, i));

            if (len) {
                i += len - 1;
                continue;
            }
        } else if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        buf_add(out, s.p + from, i - from);
        from = i + 1;
        if (c >= 0x80) {
            buf_add_cstr(out, "\xef\xbf\xbd");
            continue;
        }
        switch (c) {
        case '"':
            esc = "\\\"";
            break;
        case '\\':
            esc = "\\\\";
            break;
        case '\n':
            esc = "\\n";
            break;
        case '\r':
            esc = "\\r";
            break;
        case '\t':
            esc = "\\t";
            break;
        default:
            buf_printf(out, "\\u%04x", c);
            continue;
        }
        buf_add_cstr(out, esc);
    }
    buf_add(out, s.n ? s.p + from : "", s.n - from);
    buf_add_char(out, '"');
}

void json_write(struct buf *out, const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT: {
        const char *key;
        json_t *member;
        bool first = true;

        buf_add_char(out, '{');
        json_object_foreach ((json_t *)v, key, member) {
            if (!first)
                buf_add_char(out, ',');
            first = false;
            json_write_str(out, str_of(key));
            buf_add_char(out, ':');
            json_write(out, member);
        }
        buf_add_char(out, '}');
        break;
    }
    case JSON_ARRAY:
        buf_add_char(out, '[');
        for (size_t i = 0; i < json_array_size(v); i++) {
            if (i)
                buf_add_char(out, ',');
            json_write(out, json_array_get(v, i));
        }
        buf_add_char(out, ']');
        break;
    case JSON_STRING:
        json_write_str(out, json_strv(v));
        break;
    case JSON_INTEGER:
        buf_add_i64(out, json_integer_value(v));
        break;
    case JSON_REAL:
        json_write_double(out, json_real_value(v));
        break;
    case JSON_TRUE:
        buf_add_cstr(out, "true");
        break;
    case JSON_FALSE:
        buf_add_cstr(out, "false");
        break;
    case JSON_NULL:
        buf_add_cstr(out, "null");
        break;
    }
}

json_t *json_at(const json_t *o, const char *path)
{
    struct str rest = str_of(path), part;

    while (o && str_split(&rest, '.', &part))
        o = json_object_getn(o, part.p, part.n);
    return (json_t *)o;
}

json_t *json_get(const json_t *o, struct str key)
{
    return json_object_getn(o, key.n ? key.p : "", key.n);
}

const char *json_text(const json_t *o, const char *path, const char *def)
{
    const char *s = json_string_value(json_at(o, path));

    return s ? s : def;
}

struct str json_strv(const json_t *v)
{
    return json_is_string(v) ? str_n(json_string_value(v), json_string_length(v)) : STR_NONE;
}

int64_t json_int(const json_t *o, const char *path, int64_t def)
{
    const json_t *v = json_at(o, path);

    if (json_is_integer(v))
        return json_integer_value(v);
    if (json_is_real(v) && json_real_value(v) == (double)(int64_t)json_real_value(v))
        return (int64_t)json_real_value(v);
    return def;
}

bool json_bool(const json_t *o, const char *path, bool def)
{
    const json_t *v = json_at(o, path);

    return json_is_boolean(v) ? json_is_true(v) : def;
}

void json_put(json_t *o, const char *path, json_t *v)
{
    struct str rest = str_of(path), part;

    while (str_split(&rest, '.', &part)) {
        json_t *next;

        if (!rest.p) {
            json_object_setn_new_nocheck(o, part.p, part.n, v);
            return;
        }
        next = json_object_getn(o, part.p, part.n);
        if (!json_is_object(next)) {
            next = json_object();
            json_object_setn_new_nocheck(o, part.p, part.n, next);
        }
        o = next;
    }
}

json_t *json_fmt(const char *fmt, ...)
{
    struct buf b = BUF_INIT;
    va_list ap;
    json_t *v;

    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    v = json_str_new(buf_str(&b));
    buf_done(&b);
    return v;
}

json_t *json_str_new(struct str s)
{
    json_t *v = json_stringn(s.n ? s.p : "", s.n);
    struct buf fixed = BUF_INIT;

    if (v)
        return v;
    for (size_t i = 0; i < s.n;) {
        size_t len = str_utf8_len(str_skip(s, i));

        if (len)
            buf_add(&fixed, s.p + i, len);
        else
            buf_add_cstr(&fixed, "\xef\xbf\xbd");
        i += len ? len : 1;
    }
    v = json_stringn(buf_cstr(&fixed), fixed.n);
    buf_done(&fixed);
    return v;
}

json_t *json_merge_patch(const json_t *target, const json_t *patch)
{
    const char *key;
    json_t *member, *out;

    if (!json_is_object(patch))
        return json_deep_copy(patch);
    out = json_is_object(target) ? json_copy((json_t *)target) : json_object();
    json_object_foreach ((json_t *)patch, key, member) {
        if (json_is_null(member))
            json_object_del(out, key);
        else
            json_object_set_new(out, key, json_merge_patch(json_object_get(target, key), member));
    }
    return out;
}

json_t *json_merge_diff(const json_t *a, const json_t *b)
{
    json_t *out = json_object(), *member;
    const char *key;

    json_object_foreach ((json_t *)a, key, member) {
        if (!json_object_get(b, key))
            json_object_set_new(out, key, json_null());
    }
    json_object_foreach ((json_t *)b, key, member) {
        json_t *was = json_object_get(a, key);

        if (was && json_equal(was, member))
            continue;
        if (json_is_object(was) && json_is_object(member))
            json_object_set_new(out, key, json_merge_diff(was, member));
        else
            json_object_set_new(out, key, json_deep_copy(member));
    }
    return out;
}
