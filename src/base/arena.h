/* SPDX-License-Identifier: Apache-2.0
 *
 * One-way memory for one request, query or pass: everything is freed at once. Blocks double up to
 * 1 MiB; a maximum may be set (0: none), beyond which arena_alloc returns NULL and sets `overflow`.
 */
#ifndef FB_BASE_ARENA_H
#define FB_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct arena_block;
struct arena {
    struct arena_block *blocks; /* newest first */
    char *at, *end;             /* free room of the newest block */
    size_t total;               /* bytes taken from the heap */
    size_t max;                 /* 0: no maximum */
    size_t first;               /* size of the first block; 0: 4096. For what is kept */
    bool overflow;
};

#define ARENA_INIT ((struct arena){0})

void arena_done(struct arena *a);
/* Frees all but the first block and starts over. */
void arena_reset(struct arena *a);
void *arena_alloc(struct arena *a, size_t n); /* zeroed, 16-byte aligned */
char *arena_strdup(struct arena *a, struct str s);
struct str arena_str(struct arena *a, struct str s); /* a copy */
__attribute__((format(printf, 2, 3))) struct str arena_printf(struct arena *a, const char *fmt,
                                                              ...);
/* Grows an arena array (old memory stays until the arena ends). */
void *arena_grow(struct arena *a, void *items, size_t *cap, size_t count, size_t size);

#endif
