/* SPDX-License-Identifier: Apache-2.0 */
#include "store/history.h"

#include <stdlib.h>

#include "base/mem.h"

#define CAP_FIRST 64

static struct history_item *item(const struct history *h, size_t i)
{
    return &h->items[(h->at + i) % h->cap];
}

static void drop_oldest(struct history *h)
{
    struct history_item *oldest = item(h, 0);

    h->oldest_rv = oldest->e.rv;
    h->bytes -= oldest->e.now->json.n;
    object_unref(oldest->e.was);
    object_unref(oldest->e.now);
    h->at = (h->at + 1) % h->cap;
    h->n--;
}

static void grow(struct history *h)
{
    size_t cap = h->cap ? 2 * h->cap : CAP_FIRST;
    struct history_item *items;

    if (cap > HISTORY_MAX)
        cap = HISTORY_MAX;
    items = mem_array(cap, sizeof(*items));
    for (size_t i = 0; i < h->n; i++)
        items[i] = *item(h, i);
    free(h->items);
    h->items = items;
    h->cap = cap;
    h->at = 0;
}

void history_add(struct history *h, const struct store_event *e, int64_t now_ms)
{
    while (h->n == HISTORY_MAX || (h->n > 0 && h->bytes + e->now->json.n > HISTORY_BYTES))
        drop_oldest(h);
    if (h->n == h->cap)
        grow(h);
    h->bytes += e->now->json.n;
    *item(h, h->n++) = (struct history_item){*e, now_ms};
    object_ref(e->was);
    object_ref(e->now);
}

void history_age(struct history *h, int64_t now_ms)
{
    while (h->n > 0 && now_ms - item(h, 0)->at_ms > HISTORY_MS)
        drop_oldest(h);
    if (h->n == 0) {
        free(h->items);
        h->items = NULL;
        h->cap = h->at = 0;
    }
}

int history_replay(const struct history *h, enum kind_id kind, uint64_t rv, store_watch_fn *fn,
                   void *arg)
{
    if (rv < h->oldest_rv)
        return ERR_GONE;
    for (size_t i = 0; i < h->n; i++)
        if (item(h, i)->e.rv > rv && item(h, i)->e.kind == kind)
            fn(arg, &item(h, i)->e);
    return 0;
}

void history_done(struct history *h)
{
    while (h->n > 0)
        drop_oldest(h);
    free(h->items);
    *h = (struct history){0};
}
