/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/correlator.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/table.h"

struct lru {
    struct table by_id;
    struct list items; /* the longest unused first */
    int64_t keep_ms;
    size_t item_size; /* of what begins with struct remembered */
};

struct group {
    struct remembered as;
    size_t n;
    uint64_t messages[CORRELATOR_MESSAGES]; /* hashes */
};

struct correlator {
    struct lru groups, events;
};

/* --- what is remembered --- */

static struct str key_of(const uint64_t *id)
{
    return str_n(id, sizeof(*id));
}

static void forget(struct lru *l, struct remembered *r)
{
    list_del(&r->lru);
    table_del(&l->by_id, key_of(&r->id));
    free(r);
}

/* Until there are at most `most`, and nothing too old. */
static void trim(struct lru *l, size_t most, int64_t now_ms)
{
    list_each (it, &l->items) {
        struct remembered *r = container_of(it, struct remembered, lru);

        if (now_ms - r->used_ms <= l->keep_ms && l->by_id.count <= most)
            break;
        if (!r->is_pinned)
            forget(l, r);
    }
}

static void *touch(struct lru *l, uint64_t id, int64_t now_ms)
{
    struct remembered *r;

    trim(l, CORRELATOR_MAX, now_ms);
    r = table_get(&l->by_id, key_of(&id));
    if (!r) {
        trim(l, CORRELATOR_MAX - 1, now_ms);
        r = mem_zalloc(l->item_size);
        r->id = id;
        list_init(&r->lru);
        table_set(&l->by_id, key_of(&id), r);
    }
    list_del(&r->lru);
    list_add_tail(&l->items, &r->lru);
    r->used_ms = now_ms;
    return r;
}

static void init(struct lru *l, int64_t keep_ms, size_t item_size)
{
    *l = (struct lru){.keep_ms = keep_ms, .item_size = item_size};
    list_init(&l->items);
}

static void done(struct lru *l)
{
    list_each (it, &l->items)
        forget(l, container_of(it, struct remembered, lru));
    table_done(&l->by_id);
}

/* --- correlation --- */

/* False: the message is one too many. */
static bool is_one_of(struct group *g, uint64_t message)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->messages[i] == message)
            return true;
    if (g->n == CORRELATOR_MESSAGES)
        return false;
    g->messages[g->n++] = message;
    return true;
}

struct observed *correlator_observe(struct correlator *c, struct str group, struct str message,
                                    int64_t now_ms)
{
    uint64_t ids[2] = {str_hash(group), str_hash(message)};
    bool is_combined = !is_one_of(touch(&c->groups, ids[0], now_ms), ids[1]);
    struct observed *o;

    if (is_combined)
        ids[1] = 0;
    o = touch(&c->events, str_hash(str_n(ids, sizeof(ids))), now_ms);
    o->is_combined = is_combined;
    return o;
}

size_t correlator_size(const struct correlator *c)
{
    return c->groups.by_id.count + c->events.by_id.count;
}

/* --- life --- */

struct correlator *correlator_new(void)
{
    struct correlator *c = mem_zalloc(sizeof(*c));

    init(&c->groups, CORRELATOR_WINDOW_MS, sizeof(struct group));
    init(&c->events, CORRELATOR_KEEP_MS, sizeof(struct observed));
    return c;
}

void correlator_free(struct correlator *c)
{
    if (!c)
        return;
    done(&c->groups);
    done(&c->events);
    free(c);
}
