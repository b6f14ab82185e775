/* SPDX-License-Identifier: Apache-2.0 */
#include "base/table.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static uint64_t hash_of(struct str key)
{
    uint64_t h = str_hash(key);

    return h ? h : 1;
}

void table_done(struct table *t)
{
    for (size_t i = 0; i < t->cap; i++)
        free(t->slots[i].key);
    free(t->slots);
    *t = TABLE_INIT;
}

static struct table_slot *find(const struct table *t, struct str key, uint64_t hash)
{
    if (t->cap == 0)
        return NULL;
    for (size_t i = hash & (t->cap - 1);; i = (i + 1) & (t->cap - 1)) {
        struct table_slot *s = &t->slots[i];

        if (s->hash == 0)
            return NULL;
        if (s->hash == hash && str_eq(str_n(s->key, s->key_n), key))
            return s;
    }
}

void *table_get(const struct table *t, struct str key)
{
    struct table_slot *s = find(t, key, hash_of(key));

    return s ? s->value : NULL;
}

static void place(struct table *t, struct table_slot slot)
{
    size_t i = slot.hash & (t->cap - 1);

    while (t->slots[i].hash)
        i = (i + 1) & (t->cap - 1);
    t->slots[i] = slot;
}

static void grow(struct table *t)
{
    struct table was = *t;

    t->cap = was.cap ? was.cap * 2 : 16;
    t->slots = mem_array(t->cap, sizeof(*t->slots));
    for (size_t i = 0; i < was.cap; i++)
        if (was.slots[i].hash)
            place(t, was.slots[i]);
    free(was.slots);
}

void *table_set(struct table *t, struct str key, void *value)
{
    uint64_t hash = hash_of(key);
    struct table_slot *s = find(t, key, hash);

    FB_ASSERT(value != NULL);
    if (s) {
        void *was = s->value;

        s->value = value;
        return was;
    }
    if ((t->count + 1) * 4 > t->cap * 3)
        grow(t);
    place(t, (struct table_slot){hash, str_dup(key), key.n, value});
    t->count++;
    return NULL;
}

void *table_del(struct table *t, struct str key)
{
    struct table_slot *s = find(t, key, hash_of(key));
    size_t hole, i;
    void *was;

    if (!s)
        return NULL;
    was = s->value;
    free(s->key);
    hole = (size_t)(s - t->slots);
    for (i = (hole + 1) & (t->cap - 1); t->slots[i].hash; i = (i + 1) & (t->cap - 1)) {
        size_t home = t->slots[i].hash & (t->cap - 1);

        /* may slot i move back to the hole? only if its home is not after the hole */
        if (((i - home) & (t->cap - 1)) >= ((i - hole) & (t->cap - 1))) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    memset(&t->slots[hole], 0, sizeof(t->slots[hole]));
    t->count--;
    return was;
}

bool table_next(const struct table *t, size_t *i, struct str *ret_key, void **ret_value)
{
    for (; *i < t->cap; (*i)++) {
        const struct table_slot *s = &t->slots[*i];

        if (s->hash) {
            if (ret_key)
                *ret_key = str_n(s->key, s->key_n);
            if (ret_value)
                *ret_value = s->value;
            (*i)++;
            return true;
        }
    }
    return false;
}
