/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "telemetry/otlp_int.h"

/* --- labels --- */

/* The labels of one series while they are put together; texts lie in buf, by offset until whole. */
struct making {
    struct label items[OTLP_LABELS_MAX];
    size_t n;
    struct arena texts;
};

static struct str label_of(const struct making *m, struct str name)
{
    for (size_t i = 0; i < m->n; i++)
        if (str_eq(m->items[i].name, name))
            return m->items[i].value;
    return STR_NONE;
}

static const char *add_label(struct making *m, struct str name, struct str value)
{
    if (name.n == 0 || value.n == 0)
        return NULL; /* the same as absent */
    if (m->n == OTLP_LABELS_MAX)
        return "a point has more than 128 labels";
    m->items[m->n++] = (struct label){name, value};
    return NULL;
}

/* An attribute of the point. Twice the same key: the first counts. */
static const char *add_attribute(struct making *m, const struct otlp_resource *r, size_t own,
                                 struct str key, struct str value)
{
    struct str name = arena_str(&m->texts, key), text = arena_str(&m->texts, value),
               of_target = target_labels_get(&r->labels, name);

    if (str_eq(name, STR("__name__")))
        return NULL;
    if (of_target.p && str_eq(of_target, text))
        return NULL;
    if (of_target.p)
        name = arena_printf(&m->texts, "exported_%.*s", STR_ARG(name));
    for (size_t i = own; i < m->n; i++)
        if (str_eq(m->items[i].name, name))
            return NULL;
    if (label_of(m, name).p) /* le or quantile, which a bucket has of its own */
        name = arena_printf(&m->texts, "exported_%.*s", STR_ARG(name));
    return add_label(m, name, text);
}

static const char *collect(struct otlp *o, const struct otlp_resource *r,
                           const struct otlp_point *p, const char *suffix, struct label extra,
                           struct making *m)
{
    struct otlp_attributes a = p->attributes;
    const char *why = NULL;
    struct str key;
    size_t own;

    m->items[m->n++] = (struct label){STR("__name__"),
                                      arena_printf(&m->texts, "%.*s%s", STR_ARG(p->name), suffix)};
    for (size_t i = 0; i < r->labels.n; i++)
        m->items[m->n++] = r->labels.items[i];
    if (extra.name.n)
        m->items[m->n++] = extra;
    own = m->n;
    while (!why && otlp_attribute(&a, &key, &o->text)) {
        why = add_attribute(m, r, own, key, buf_str(&o->text));
        if (m->texts.total > OTLP_LABEL_BYTES_MAX * 4 || p->name.n > OTLP_LABEL_BYTES_MAX)
            why = "the labels of a point are larger than 64 KiB";
    }
    return why;
}

struct series *otlp_series(struct otlp *o, const struct otlp_resource *r,
                           const struct otlp_point *p, const char *suffix, struct label extra,
                           const char **why)
{
    struct making m = {.n = 0};
    struct series *s = NULL;

    if (p->name.n + p->attributes.bytes.n > OTLP_LABEL_BYTES_MAX)
        *why = "the labels of a point are larger than 64 KiB";
    else
        *why = collect(o, r, p, suffix, extra, &m);
    if (!*why) {
        s = tsdb_series_try(o->o.db, m.items, m.n);
        if (!s)
            *why = "the store is full and takes no new series";
    }
    arena_done(&m.texts);
    return s;
}

/* --- samples --- */

void otlp_end_series(struct tsdb *db, struct series *s, int64_t t)
{
    int64_t newest = series_newest(s), at;
    double v;

    if (newest == INT64_MIN || (series_at(s, newest, 1, &at, &v) && tsdb_is_stale(v)))
        return;
    tsdb_append(db, s, t > newest ? t : newest + 1, tsdb_stale());
}

void otlp_mark_reset(struct tsdb *db, struct series *s, int64_t start, int64_t t, double v)
{
    int64_t newest = series_newest(s), at;
    double before;

    if (newest == INT64_MIN || !series_at(s, newest, 1, &at, &before) || tsdb_is_stale(before) ||
        v < before)
        return; /* a value that falls is seen anyway */
    at = start > newest ? start : newest + 1;
    if (at < t)
        tsdb_append(db, s, at, 0);
}

/* --- entries --- */

static bool is_group(const struct otlp_entry *e)
{
    return e->target & 1;
}

static struct otlp_group *group_of(const struct otlp_entry *e)
{
    return (struct otlp_group *)(e->target & ~(uintptr_t)1);
}

struct otlp_entry *otlp_find(struct otlp *o, uint64_t hash, uint32_t check)
{
    if (o->next < o->n_entries && o->entries[o->next].hash == hash &&
        o->entries[o->next].check == check) {
        if (o->next + 4 < o->n_entries) /* its series is probably asked for soon */
            __builtin_prefetch((void *)(o->entries[o->next + 4].target & ~(uintptr_t)1));
        return &o->entries[o->next++];
    }
    if (!o->n_slots)
        return NULL;
    for (size_t at = hash & (o->n_slots - 1);; at = (at + 1) & (o->n_slots - 1)) {
        struct otlp_entry *e;

        if (!o->slots[at])
            return NULL;
        e = &o->entries[o->slots[at] - 1];
        if (e->hash == hash && e->check == check) {
            o->next = o->slots[at];
            return e;
        }
    }
}

static void place(struct otlp *o, size_t index)
{
    size_t at = o->entries[index].hash & (o->n_slots - 1);

    while (o->slots[at])
        at = (at + 1) & (o->n_slots - 1);
    o->slots[at] = (uint32_t)index + 1;
}

static void reindex(struct otlp *o, size_t slots)
{
    free(o->slots);
    o->slots = slots ? mem_array(slots, sizeof(*o->slots)) : NULL;
    o->n_slots = slots;
    for (size_t i = 0; i < o->n_entries; i++)
        place(o, i);
}

struct otlp_entry *otlp_enter(struct otlp *o, uint64_t hash, uint32_t check)
{
    if (o->n_entries >= tsdb_max_series(o->o.db) * 2)
        return NULL;
    if (o->n_entries == o->cap_entries) { /* by a quarter: these are many */
        o->cap_entries += o->cap_entries / 4 + 64;
        o->entries = mem_rearray(o->entries, o->cap_entries, sizeof(*o->entries));
    }
    if ((o->n_entries + 1) * 4 > o->n_slots * 3)
        reindex(o, o->n_slots ? o->n_slots * 2 : 64);
    o->entries[o->n_entries] = (struct otlp_entry){.hash = hash, .check = check};
    place(o, o->n_entries);
    return &o->entries[o->n_entries++];
}

static void release(struct otlp_entry *e)
{
    if (is_group(e))
        otlp_group_free(group_of(e));
    else
        tsdb_release((struct series *)e->target);
    e->target = 0;
}

/* Closes the gaps that released entries left. */
static void compact(struct otlp *o)
{
    size_t n = 0, slots = o->n_slots;

    for (size_t i = 0; i < o->n_entries; i++)
        if (o->entries[i].target)
            o->entries[n++] = o->entries[i];
    if (n == o->n_entries)
        return;
    o->n_entries = n;
    while (slots > 64 && n * 4 < slots)
        slots /= 2;
    reindex(o, slots);
}

void otlp_end_entries(struct otlp *o, uint32_t resource, int64_t now)
{
    for (size_t i = 0; i < o->n_entries; i++) {
        struct otlp_entry *e = &o->entries[i];

        if (e->resource != resource || !e->target)
            continue;
        if (is_group(e))
            otlp_group_end(o->o.db, group_of(e), now);
        else
            otlp_end_series(o->o.db, (struct series *)e->target, now);
        release(e);
    }
    compact(o);
}

void otlp_sweep_entries(struct otlp *o, int64_t before)
{
    for (size_t i = 0; i < o->n_entries; i++) {
        struct otlp_entry *e = &o->entries[i];

        if (e->target && (is_group(e) ? otlp_group_newest(group_of(e))
                                      : series_newest((struct series *)e->target)) < before)
            release(e);
    }
    compact(o);
}

void otlp_free_entries(struct otlp *o)
{
    for (size_t i = 0; i < o->n_entries; i++)
        if (o->entries[i].target)
            release(&o->entries[i]);
    free(o->entries);
    free(o->slots);
}
