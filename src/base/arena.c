/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct arena_block {
    struct arena_block *next;
    size_t size;
    _Alignas(16) char data[];
};

void arena_done(struct arena *a)
{
    struct arena_block *b = a->blocks;

    while (b) {
        struct arena_block *next = b->next;

        free(b);
        b = next;
    }
    *a = (struct arena){.max = a->max, .first = a->first};
}

void arena_reset(struct arena *a)
{
    struct arena_block *b = a->blocks;

    if (!b)
        return;
    while (b->next) {
        struct arena_block *next = b->next;

        free(b);
        b = next;
    }
    a->blocks = b;
    a->at = b->data;
    a->end = b->data + b->size;
    a->total = b->size;
    a->overflow = false;
}

void *arena_alloc(struct arena *a, size_t n)
{
    size_t want = (n + 15) & ~(size_t)15;
    void *p;

    if (want < n)
        return NULL;
    if (!a->at || (size_t)(a->end - a->at) < want) {
        size_t size = a->blocks ? a->blocks->size * 2 : a->first ? a->first : 4096;
        struct arena_block *b;

        if (size > (1u << 20))
            size = 1u << 20;
        if (size < want)
            size = want;
        if (a->max && a->total + size > a->max) {
            a->overflow = true;
            return NULL;
        }
        b = mem_alloc(sizeof(*b) + size);
        b->next = a->blocks;
        b->size = size;
        a->blocks = b;
        a->at = b->data;
        a->end = b->data + size;
        a->total += size;
    }
    p = a->at;
    a->at += want;
    return memset(p, 0, n);
}

char *arena_strdup(struct arena *a, struct str s)
{
    char *c = arena_alloc(a, s.n + 1);

    if (c && s.n)
        memcpy(c, s.p, s.n);
    return c;
}

struct str arena_str(struct arena *a, struct str s)
{
    char *c = arena_strdup(a, s);

    return c ? str_n(c, s.n) : STR_NONE;
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    char *c;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    c = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (c)
        vsnprintf(c, (size_t)n + 1, fmt, again);
    va_end(again);
    return c ? str_n(c, (size_t)n) : STR_NONE;
}

void *arena_grow(struct arena *a, void *items, size_t *cap, size_t count, size_t size)
{
    size_t want;
    void *p;

    if (count < *cap)
        return items;
    want = *cap ? *cap * 2 : 8;
    if (want <= count)
        want = count + 1;
    p = arena_alloc(a, want * size);
    if (!p)
        return NULL;
    if (*cap)
        memcpy(p, items, *cap * size);
    *cap = want;
    return p;
}
