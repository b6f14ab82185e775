/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/json_alloc.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"

#define STEP 16
#define CLASSES 16  /* up to STEP * CLASSES bytes; larger ones are malloc's */
#define CHUNK 32752 /* with its head and malloc's 32 KiB */

/* Before each block; the list uses the room of the node that is not there. */
struct block {
    uint64_t size_class; /* CLASSES: of malloc */
    struct block *next;  /* in a list of free ones */
};
#define HEAD offsetof(struct block, next)

struct chunk {
    struct chunk *before;
    char data[CHUNK];
};

static __thread struct block *free_blocks[CLASSES];
static __thread struct chunk *newest;
static __thread char *chunk_at, *chunk_end;

static void take_chunk(void)
{
    struct chunk *c = mem_alloc(sizeof(*c));

    c->before = newest;
    newest = c;
    chunk_at = c->data;
    chunk_end = c->data + CHUNK;
}

static struct block *cut(size_t size)
{
    struct block *b;

    if ((size_t)(chunk_end - chunk_at) < size) /* what is left is less than a block */
        take_chunk();
    b = (struct block *)(void *)chunk_at;
    chunk_at += size;
    return b;
}

void *json_alloc(size_t n)
{
    size_t c = n ? (n - 1) / STEP : 0;
    struct block *b;

    if (c >= CLASSES) {
        if (n > SIZE_MAX - HEAD || !(b = malloc(HEAD + n)))
            return NULL;
        b->size_class = CLASSES;
        return &b->next;
    }
    b = free_blocks[c];
    if (b)
        free_blocks[c] = b->next;
    else
        b = cut(HEAD + (c + 1) * STEP);
    b->size_class = c;
    return &b->next;
}

void json_free(void *p)
{
    struct block *b;

    if (!p)
        return;
    b = (struct block *)(void *)((char *)p - HEAD);
    if (b->size_class >= CLASSES) {
        free(b);
        return;
    }
    b->next = free_blocks[b->size_class];
    free_blocks[b->size_class] = b;
}
