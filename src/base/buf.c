/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void buf_done(struct buf *b)
{
    size_t max = b->max;

    free(b->p);
    *b = (struct buf){.max = max};
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->overflow = false;
    if (b->p)
        b->p[0] = '\0';
}

char *buf_room(struct buf *b, size_t n)
{
    size_t max = b->max ? b->max : BUF_MAX_DEFAULT;

    if (b->overflow || n > max || b->n > max - n) {
        b->overflow = true;
        return NULL;
    }
    if (b->n + n + 1 > b->cap) {
        size_t want = b->cap ? b->cap * 2 : 128;

        if (want < b->n + n + 1)
            want = b->n + n + 1;
        b->p = mem_realloc(b->p, want);
        b->cap = want;
    }
    return b->p + b->n;
}

void buf_added(struct buf *b, size_t n)
{
    b->n += n;
    b->p[b->n] = '\0';
}

void buf_add(struct buf *b, const void *p, size_t n)
{
    char *at = buf_room(b, n);

    if (!at)
        return;
    if (n)
        memcpy(at, p, n);
    buf_added(b, n);
}

void buf_add_str(struct buf *b, struct str s)
{
    buf_add(b, s.p, s.n);
}

void buf_add_cstr(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_add_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_add_i64(struct buf *b, int64_t v)
{
    char tmp[24];
    size_t i = sizeof(tmp);
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

    do {
        tmp[--i] = (char)('0' + u % 10);
        u /= 10;
    } while (u);
    if (v < 0)
        tmp[--i] = '-';
    buf_add(b, tmp + i, sizeof(tmp) - i);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    char small[256];
    int n;

    va_copy(again, ap);
    n = vsnprintf(small, sizeof(small), fmt, ap);
    if (n >= 0 && (size_t)n < sizeof(small)) {
        buf_add(b, small, (size_t)n);
    } else if (n >= 0) {
        char *at = buf_room(b, (size_t)n);

        if (at) {
            vsnprintf(at, (size_t)n + 1, fmt, again);
            buf_added(b, (size_t)n);
        }
    }
    va_end(again);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void buf_consume(struct buf *b, size_t n)
{
    FB_ASSERT(n <= b->n);
    if (n == 0)
        return;
    memmove(b->p, b->p + n, b->n - n + 1);
    b->n -= n;
}

char *buf_take(struct buf *b, size_t *ret_n)
{
    char *p = b->p ? b->p : mem_strdup("");

    if (ret_n)
        *ret_n = b->n;
    *b = (struct buf){.max = b->max};
    return p;
}
