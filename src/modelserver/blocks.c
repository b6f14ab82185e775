/* SPDX-License-Identifier: Apache-2.0 */
#include "modelserver/blocks.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/table.h"

struct block {
    int refs;
    int prev, next; /* free list; 0 is the head (the block that is never handed out) */
    uint64_t key;   /* 0: none */
};

struct blocks {
    int n, n_free;
    struct table by_key; /* key bytes -> struct block */
    struct block items[];
};

static struct str key_str(const uint64_t *key)
{
    return str_n(key, sizeof(*key));
}

static void unlink_free(struct blocks *b, int i)
{
    struct block *x = &b->items[i];

    b->items[x->prev].next = x->next;
    b->items[x->next].prev = x->prev;
    b->n_free--;
}

static void link_young(struct blocks *b, int i)
{
    struct block *x = &b->items[i], *head = &b->items[0];

    x->next = 0;
    x->prev = head->prev;
    b->items[head->prev].next = i;
    head->prev = i;
    b->n_free++;
}

struct blocks *blocks_new(int num_blocks)
{
    struct blocks *b;

    FB_ASSERT(num_blocks >= 2);
    b = mem_zalloc(sizeof(*b) + sizeof(b->items[0]) * (size_t)num_blocks);
    b->n = num_blocks;
    for (int i = 1; i < num_blocks; i++)
        link_young(b, i);
    return b;
}

void blocks_free(struct blocks *b)
{
    if (!b)
        return;
    table_done(&b->by_key);
    free(b);
}

int blocks_available(const struct blocks *b)
{
    return b->n_free;
}

double blocks_usage(const struct blocks *b)
{
    return 1.0 - (double)b->n_free / (b->n - 1);
}

static void forget_key(struct blocks *b, struct block *x)
{
    if (x->key == 0)
        return;
    table_del(&b->by_key, key_str(&x->key));
    x->key = 0;
}

int blocks_take(struct blocks *b)
{
    int i = b->items[0].next;

    if (i == 0)
        return -1;
    unlink_free(b, i);
    forget_key(b, &b->items[i]);
    b->items[i].refs = 1;
    return i;
}

int blocks_take_cached(struct blocks *b, uint64_t key)
{
    struct block *x = table_get(&b->by_key, key_str(&key));
    int i;

    if (!x)
        return -1;
    i = (int)(x - b->items);
    if (x->refs++ == 0)
        unlink_free(b, i);
    return i;
}

bool blocks_is_cached(const struct blocks *b, uint64_t key)
{
    return table_get(&b->by_key, key_str(&key)) != NULL;
}

void blocks_set_key(struct blocks *b, int block, uint64_t key)
{
    struct block *x = &b->items[block];

    FB_ASSERT(x->refs > 0);
    if (x->key != 0 || blocks_is_cached(b, key))
        return;
    x->key = key;
    table_set(&b->by_key, key_str(&key), x);
}

void blocks_release(struct blocks *b, int block)
{
    struct block *x = &b->items[block];

    FB_ASSERT(block > 0 && block < b->n && x->refs > 0);
    if (--x->refs == 0)
        link_young(b, block);
}

uint64_t blocks_key(uint64_t parent, const int32_t *tokens, int n)
{
    uint64_t h =
        str_hash(str_n(tokens, sizeof(*tokens) * (size_t)n)) ^ (parent * 0x9e3779b97f4a7c15u);

    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    return h ? h : 1;
}
