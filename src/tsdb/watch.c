/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is told of which series. Of a name that few watch everybody is asked each time; else what
 * they answered is kept by series, in an open-addressed table whose entries hold as long as no
 * series and no watch has come or gone (their stamp says so), and are made anew in place. */
#include <stdlib.h>

#include "base/mem.h"
#include "tsdb/tsdb_int.h"

#define FEW 4
#define SLOTS_FIRST 64

struct interest {
    const struct series *s; /* NULL: free */
    uint64_t shape, version;
    struct tsdb_watch **items;
    size_t n, cap;
};

/* --- the table --- */

static struct interest *slot_of(struct interest *slots, size_t n_slots, const struct series *s)
{
    size_t at = (size_t)(((uintptr_t)s >> 4) * 0x9e3779b97f4a7c15u >> 20);

    while (slots[at & (n_slots - 1)].s && slots[at & (n_slots - 1)].s != s)
        at++;
    return &slots[at & (n_slots - 1)];
}

static bool holds(const struct watched *wd, const struct interest *in)
{
    return in->shape == wd->db->shape && in->version == wd->version;
}

/* What no longer holds is left behind. */
static void grow(struct watched *wd)
{
    struct interest *old = wd->slots;
    size_t n_old = wd->n_slots, alive = 0;

    for (size_t i = 0; i < n_old; i++)
        alive += old[i].s && holds(wd, &old[i]);
    for (wd->n_slots = SLOTS_FIRST; wd->n_slots < alive * 4;)
        wd->n_slots *= 2;
    wd->slots = mem_array(wd->n_slots, sizeof(*wd->slots));
    wd->n_used = alive;
    for (size_t i = 0; i < n_old; i++) {
        if (old[i].s && holds(wd, &old[i]))
            *slot_of(wd->slots, wd->n_slots, old[i].s) = old[i];
        else
            free(old[i].items);
    }
    free(old);
}

static void forget_all(struct watched *wd)
{
    for (size_t i = 0; i < wd->n_slots; i++)
        free(wd->slots[i].items);
    free(wd->slots);
    wd->slots = NULL;
    wd->n_slots = wd->n_used = 0;
}

static bool wants(const struct tsdb_watch *w, const struct series *s)
{
    return !w->wants || w->wants(w->arg, s);
}

static struct interest *interest_of(struct watched *wd, const struct series *s)
{
    struct interest *in;

    if (wd->n_used * 4 >= wd->n_slots * 3)
        grow(wd);
    in = slot_of(wd->slots, wd->n_slots, s);
    if (in->s && holds(wd, in))
        return in;
    wd->n_used += !in->s;
    in->s = s;
    in->shape = wd->db->shape;
    in->version = wd->version;
    in->n = 0;
    list_each (it, &wd->watches) {
        struct tsdb_watch *w = container_of(it, struct tsdb_watch, link);

        if (!wants(w, s))
            continue;
        mem_grow(&in->items, &in->cap, in->n);
        in->items[in->n++] = w;
    }
    return in;
}

/* --- telling --- */

static bool are_few(const struct watched *wd)
{
    const struct list *it = wd->watches.next;

    for (int i = 0; i < FEW; i++) {
        if (it == &wd->watches)
            return true;
        it = it->next;
    }
    return it == &wd->watches;
}

void tsdb_watch_tell(struct series *s, int64_t t, double v)
{
    struct watched *wd = tsdb_index_metric(s)->watched;
    const struct interest *in;

    if (are_few(wd)) {
        list_each (it, &wd->watches) {
            struct tsdb_watch *w = container_of(it, struct tsdb_watch, link);

            if (wants(w, s))
                w->fn(w->arg, s, t, v);
        }
        return;
    }
    in = interest_of(wd, s);
    for (size_t i = 0; i < in->n; i++)
        in->items[i]->fn(in->items[i]->arg, s, t, v);
}

/* --- watches --- */

static void set_watched(struct tsdb *db, struct str name, struct watched *wd)
{
    struct pair *p = tsdb_index_find(db, db->metric_name->text, name);

    if (!p)
        return;
    p->watched = wd;
    for (uint32_t i = 0; i < p->series.n; i++)
        db->all[p->series.items[i]]->is_watched = wd != NULL;
}

struct tsdb_watch *tsdb_watch_some(struct tsdb *db, struct str name,
                                   bool (*wants_it)(void *arg, const struct series *s),
                                   tsdb_watch_fn *fn, void *arg)
{
    struct watched *wd = table_get(&db->watched, name);
    struct tsdb_watch *w = mem_zalloc(sizeof(*w));

    if (!wd) {
        wd = mem_zalloc(sizeof(*wd));
        *wd = (struct watched){.db = db, .name = {str_dup(name), name.n}};
        list_init(&wd->watches);
        table_set(&db->watched, name, wd);
        set_watched(db, name, wd);
    }
    *w = (struct tsdb_watch){.of = wd, .wants = wants_it, .fn = fn, .arg = arg};
    list_add_tail(&wd->watches, &w->link);
    wd->version++;
    return w;
}

struct tsdb_watch *tsdb_watch(struct tsdb *db, struct str name, tsdb_watch_fn *fn, void *arg)
{
    return tsdb_watch_some(db, name, NULL, fn, arg);
}

void tsdb_unwatch(struct tsdb_watch *w)
{
    struct watched *wd = w ? w->of : NULL;

    if (!w)
        return;
    list_del(&w->link);
    free(w);
    wd->version++;
    if (!list_is_empty(&wd->watches))
        return;
    set_watched(wd->db, wd->name, NULL);
    table_del(&wd->db->watched, wd->name);
    forget_all(wd);
    free((char *)(uintptr_t)wd->name.p);
    free(wd);
}
