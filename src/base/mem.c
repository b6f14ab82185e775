/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void *must(void *p, size_t n)
{
    if (!p) {
        fprintf(stderr, "flyball: out of memory (%zu bytes)\n", n);
        abort();
    }
    return p;
}

void *mem_alloc(size_t n)
{
    return must(malloc(n ? n : 1), n);
}

void *mem_zalloc(size_t n)
{
    return must(calloc(1, n ? n : 1), n);
}

void *mem_realloc(void *p, size_t n)
{
    return must(realloc(p, n ? n : 1), n);
}

void *mem_array(size_t count, size_t size)
{
    return must(calloc(count ? count : 1, size ? size : 1), count);
}

void *mem_rearray(void *p, size_t count, size_t size)
{
    size_t n;

    if (__builtin_mul_overflow(count, size, &n))
        must(NULL, SIZE_MAX);
    return mem_realloc(p, n);
}

char *mem_strdup(const char *s)
{
    size_t n = strlen(s) + 1;

    return memcpy(mem_alloc(n), s, n);
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap;
    char *s;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&s, fmt, ap);
    va_end(ap);
    return must(n < 0 ? NULL : s, 0);
}

void mem_grow_(void **items, size_t *cap, size_t count, size_t size)
{
    if (count < *cap)
        return;
    size_t want = *cap ? *cap * 2 : 8;

    if (want <= count)
        want = count + 1;
    *items = mem_rearray(*items, want, size);
    *cap = want;
}

void fb_assert_failed_(const char *expr, const char *file, int line)
{
    fprintf(stderr, "flyball: assertion failed: %s (%s:%d). This is a bug; please report it.\n",
            expr, file, line);
    abort();
}
