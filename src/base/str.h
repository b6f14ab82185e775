/* SPDX-License-Identifier: Apache-2.0
 *
 * Borrowed text and bytes: a pointer and a length, never NUL-terminated by promise. The bytes
 * belong to somebody else and live as long as that owner says. C strings exist only at libc's
 * borders. */
#ifndef FB_BASE_STR_H
#define FB_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p; /* may be NULL when n is 0 */
    size_t n;      /* bytes */
};

#define STR(lit) ((struct str){(lit), sizeof(lit) - 1})
#define STR_NONE ((struct str){NULL, 0})
/* for "%.*s" */
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct str str_of(const char *c)
{
    return (struct str){c, c ? strlen(c) : 0};
}

static inline struct str str_n(const void *p, size_t n)
{
    return (struct str){(const char *)p, n};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_is(struct str a, const char *c)
{
    return str_eq(a, str_of(c));
}

/* Bytewise order, shorter first when one is a prefix of the other. */
int str_cmp(struct str a, struct str b);
bool str_eq_nocase(struct str a, struct str b); /* ASCII only */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
/* Index of the first c, or -1. */
ptrdiff_t str_chr(struct str s, char c);
/* Index of the first occurrence of needle, or -1; an empty needle is found at 0. */
ptrdiff_t str_find(struct str s, struct str needle);
struct str str_trim(struct str s); /* ASCII blanks, tabs, CR, LF off both ends */
/* s without its first n bytes (n is cut to s.n). */
struct str str_skip(struct str s, size_t n);
/* Splits off the part of *s before the first sep and moves *s behind it; false when *s is used up
 * (p == NULL). "a,,b" gives "a", "", "b". */
bool str_split(struct str *s, char sep, struct str *ret_part);
/* Whole-text conversions: false on anything but one number inside the range. */
bool str_to_i64(struct str s, int64_t *ret);
bool str_to_u64(struct str s, uint64_t *ret);
/* strtod over the whole text, at most 127 bytes; takes nan, inf and hex as strtod does. */
bool str_to_double(struct str s, double *ret);
/* Length of the valid UTF-8 sequence s begins with, 0 if there is none. */
size_t str_utf8_len(struct str s);
bool str_is_utf8(struct str s);
/* A NUL-terminated heap copy, for free(). */
char *str_dup(struct str s);
uint64_t str_hash(struct str s); /* XXH3; equal within one process run and between runs */

#endif
