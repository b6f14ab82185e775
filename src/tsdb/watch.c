/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is told of which series. Every watch of a name is asked once whether it wants a series, at
 * the series' first sample, and the list of those that do stays with the series; a watch that comes
 * or goes later enters or leaves the lists of its name's series. So a sample costs what its own
 * listeners cost, however many watch other series of that name, and a new series costs one question
 * a watch. */
#include <stdlib.h>

#include "base/mem.h"
#include "tsdb/tsdb_int.h"

/* --- the listeners of a series --- */

static bool wants(const struct tsdb_watch *w, const struct series *s)
{
    return !w->wants || w->wants(w->arg, s);
}

static size_t listeners_bytes(size_t n)
{
    return sizeof(struct listeners) + n * sizeof(struct tsdb_watch *);
}

/* The room doubles: there is some unless n is a power of two. */
static void add(struct series *s, struct tsdb_watch *w)
{
    struct listeners *l = s->listeners;

    if ((l->n & (l->n - 1)) == 0)
        s->listeners = l = mem_realloc(l, listeners_bytes(l->n ? l->n * 2 : 1));
    l->items[l->n++] = w;
}

static void ask_all(struct series *s, const struct watched *wd)
{
    s->listeners = mem_zalloc(listeners_bytes(0));
    list_each (it, &wd->watches) {
        struct tsdb_watch *w = container_of(it, struct tsdb_watch, link);

        if (wants(w, s))
            add(s, w);
    }
}

static void take_out(struct listeners *l, const struct tsdb_watch *w)
{
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++)
        if (l->items[i] != w)
            l->items[n++] = l->items[i];
    l->n = n;
}

void tsdb_watch_tell(struct series *s, int64_t t, double v)
{
    const struct listeners *l;

    if (!s->listeners)
        ask_all(s, tsdb_index_metric(s)->watched);
    l = s->listeners;
    for (size_t i = 0; i < l->n; i++)
        l->items[i]->fn(l->items[i]->arg, s, t, v);
}

/* --- watches --- */

/* The series of a name, as their numbers; {0}: there are none. */
static struct postings series_of(const struct tsdb *db, struct str name)
{
    const struct pair *p = tsdb_index_find(db, db->metric_name->text, name);

    return p ? p->series : (struct postings){0};
}

static void set_watched(struct tsdb *db, struct str name, struct watched *wd)
{
    struct pair *p = tsdb_index_find(db, db->metric_name->text, name);

    if (!p)
        return;
    p->watched = wd;
    for (uint32_t i = 0; i < p->series.n; i++) {
        struct series *s = db->all[p->series.items[i]];

        s->is_watched = wd != NULL;
        free(s->listeners);
        s->listeners = NULL;
    }
}

static struct watched *watched_of(struct tsdb *db, struct str name)
{
    struct watched *wd = table_get(&db->watched, name);

    if (wd)
        return wd;
    wd = mem_zalloc(sizeof(*wd));
    *wd = (struct watched){.db = db, .name = {str_dup(name), name.n}};
    list_init(&wd->watches);
    table_set(&db->watched, name, wd);
    set_watched(db, name, wd);
    return wd;
}

struct tsdb_watch *tsdb_watch_some(struct tsdb *db, struct str name,
                                   bool (*wants_it)(void *arg, const struct series *s),
                                   tsdb_watch_fn *fn, void *arg)
{
    struct watched *wd = watched_of(db, name);
    struct tsdb_watch *w = mem_zalloc(sizeof(*w));
    struct postings all = series_of(db, name);

    *w = (struct tsdb_watch){.of = wd, .wants = wants_it, .fn = fn, .arg = arg};
    list_add_tail(&wd->watches, &w->link);
    for (uint32_t i = 0; i < all.n; i++) {
        struct series *s = db->all[all.items[i]];

        if (s->listeners && wants(w, s))
            add(s, w);
    }
    return w;
}

struct tsdb_watch *tsdb_watch(struct tsdb *db, struct str name, tsdb_watch_fn *fn, void *arg)
{
    return tsdb_watch_some(db, name, NULL, fn, arg);
}

void tsdb_unwatch(struct tsdb_watch *w)
{
    struct watched *wd = w ? w->of : NULL;
    struct postings all;

    if (!w)
        return;
    all = series_of(wd->db, wd->name);
    for (uint32_t i = 0; i < all.n; i++) {
        struct series *s = wd->db->all[all.items[i]];

        if (s->listeners)
            take_out(s->listeners, w);
    }
    list_del(&w->link);
    free(w);
    if (!list_is_empty(&wd->watches))
        return;
    set_watched(wd->db, wd->name, NULL);
    table_del(&wd->db->watched, wd->name);
    free((char *)(uintptr_t)wd->name.p);
    free(wd);
}
