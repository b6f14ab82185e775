/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"

int str_cmp(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int r = n ? memcmp(a.p, b.p, n) : 0;

    if (r != 0)
        return r;
    return a.n < b.n ? -1 : a.n > b.n;
}

bool str_eq_nocase(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n &&
           (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

ptrdiff_t str_chr(struct str s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

    return at ? at - s.p : -1;
}

ptrdiff_t str_find(struct str s, struct str needle)
{
    const char *at;

    if (needle.n == 0)
        return 0;
    at = s.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
    return at ? at - s.p : -1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
    while (s.n && is_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

struct str str_skip(struct str s, size_t n)
{
    if (n > s.n)
        n = s.n;
    return (struct str){s.p ? s.p + n : NULL, s.n - n};
}

bool str_split(struct str *s, char sep, struct str *ret_part)
{
    ptrdiff_t at;

    if (!s->p)
        return false;
    at = str_chr(*s, sep);
    if (at < 0) {
        *ret_part = *s;
        *s = STR_NONE;
    } else {
        *ret_part = (struct str){s->p, (size_t)at};
        *s = str_skip(*s, (size_t)at + 1);
    }
    return true;
}

bool str_to_u64(struct str s, uint64_t *ret)
{
    uint64_t v = 0;

    if (s.n == 0 || s.n > 20)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (unsigned)(s.p[i] - '0'), &v))
            return false;
    }
    *ret = v;
    return true;
}

bool str_to_i64(struct str s, int64_t *ret)
{
    bool neg = s.n && s.p[0] == '-';
    uint64_t v;

    if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
        s = str_skip(s, 1);
    if (!str_to_u64(s, &v) || v > (uint64_t)INT64_MAX + (neg ? 1 : 0))
        return false;
    *ret = neg ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool str_to_double(struct str s, double *ret)
{
    char tmp[128];
    char *end;
    double v;

    if (s.n == 0 || s.n >= sizeof(tmp) || is_blank(s.p[0]))
        return false;
    memcpy(tmp, s.p, s.n);
    tmp[s.n] = '\0';
    errno = 0;
    v = strtod(tmp, &end);
    if (end != tmp + s.n)
        return false;
    *ret = v;
    return true;
}

char *str_dup(struct str s)
{
    char *c = mem_alloc(s.n + 1);

    if (s.n)
        memcpy(c, s.p, s.n);
    c[s.n] = '\0';
    return c;
}

uint64_t str_hash(struct str s)
{
    return XXH3_64bits(s.n ? s.p : "", s.n);
}

size_t str_utf8_len(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t len = s.n == 0      ? 0
                 : p[0] < 0x80 ? 1
                 : p[0] < 0xc2 ? 0
                 : p[0] < 0xe0 ? 2
                 : p[0] < 0xf0 ? 3
                 : p[0] < 0xf5 ? 4
                               : 0;

    if (len > s.n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((len == 3 && ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0))) ||
        (len == 4 && ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90))))
        return 0;
    return len;
}

bool str_is_utf8(struct str s)
{
    while (s.n) {
        size_t len = str_utf8_len(s);

        if (len == 0)
            return false;
        s = str_skip(s, len);
    }
    return true;
}
