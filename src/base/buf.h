/* SPDX-License-Identifier: Apache-2.0
 *
 * A growing byte buffer with a maximum from birth. Writers never fail one by one: the first write
 * that would pass the maximum sets `overflow` and that and every later write is dropped, so a
 * caller checks once, at the end. The bytes are always followed by a NUL that is not counted, so
 * buf_cstr is free. */
#ifndef FB_BASE_BUF_H
#define FB_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct buf {
    char *p;       /* owned; NULL while nothing was written */
    size_t n;      /* bytes in use */
    size_t cap;    /* bytes allocated, one more than can be used */
    size_t max;    /* 0: BUF_MAX_DEFAULT */
    bool overflow; /* a write was dropped */
};

#define BUF_MAX_DEFAULT ((size_t)64 << 20)
#define BUF_INIT ((struct buf){0})
#define BUF_INIT_MAX(m) ((struct buf){.max = (m)})

void buf_done(struct buf *b);  /* frees; b is empty and usable again */
void buf_clear(struct buf *b); /* keeps the memory */
/* Room for n more bytes at the returned place, or NULL (overflow set); follow with buf_added. */
char *buf_room(struct buf *b, size_t n);
void buf_added(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_str(struct buf *b, struct str s);
void buf_add_cstr(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_add_i64(struct buf *b, int64_t v);
__attribute__((format(printf, 2, 3))) void buf_printf(struct buf *b, const char *fmt, ...);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap);
/* Drops the first n bytes. */
void buf_consume(struct buf *b, size_t n);
static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->p, b->n};
}
static inline const char *buf_cstr(const struct buf *b)
{
    return b->p ? b->p : "";
}
/* Hands the bytes (NUL-terminated, never NULL) to the caller, for free(); b becomes empty. */
char *buf_take(struct buf *b, size_t *ret_n);

#endif
