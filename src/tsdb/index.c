/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tsdb/tsdb_int.h"

#define FEW 512 /* so many series are looked through rather than indexed by one more name */

void tsdb_room(void **items, uint32_t *cap, uint32_t n, size_t size, size_t *bytes)
{
    uint32_t more = *cap / 4 + 2;

    if (n < *cap)
        return;
    *items = mem_rearray(*items, *cap + more, size);
    *cap += more;
    *bytes += more * size;
}

#define room(db, items, cap, n) \
    tsdb_room((void **)(items), (cap), (n), sizeof(**(items)), &(db)->bytes)

/* --- names and pairs --- */

static struct name *name_of(struct tsdb *db, struct str text)
{
    struct name *n = table_get(&db->names, text);

    if (!n) {
        n = mem_zalloc(sizeof(*n));
        n->text = (struct str){str_dup(text), text.n};
        table_set(&db->names, text, n);
    }
    return n;
}

static void free_name(struct tsdb *db, struct name *n)
{
    table_del(&db->names, n->text);
    free((char *)(uintptr_t)n->text.p);
    free(n);
}

static uint32_t pair_hash(const struct name *name, struct str value)
{
    uint64_t h = str_hash(value) ^ ((uintptr_t)name >> 4) * 0x9e3779b97f4a7c15ULL;

    return (uint32_t)(h ^ h >> 32);
}

static void place_pair(struct tsdb *db, const struct pair *p)
{
    size_t at = p->hash & (db->n_pair_slots - 1);

    while (db->pair_slots[at])
        at = (at + 1) & (db->n_pair_slots - 1);
    db->pair_slots[at] = p->id + 1;
}

static void rehash_pairs(struct tsdb *db, size_t n)
{
    free(db->pair_slots);
    db->pair_slots = mem_array(n, sizeof(*db->pair_slots));
    db->n_pair_slots = n;
    for (uint32_t i = 0; i < db->n_pairs; i++)
        if (db->pairs[i])
            place_pair(db, db->pairs[i]);
}

static struct pair *find_pair(const struct tsdb *db, const struct name *name, struct str value)
{
    uint32_t hash = pair_hash(name, value);

    if (!db->n_pair_slots)
        return NULL;
    for (size_t at = hash & (db->n_pair_slots - 1);; at = (at + 1) & (db->n_pair_slots - 1)) {
        struct pair *p;

        if (!db->pair_slots[at])
            return NULL;
        p = db->pairs[db->pair_slots[at] - 1];
        if (p->hash == hash && p->name == name && str_eq(p->label.value, value))
            return p;
    }
}

struct pair *tsdb_index_find(const struct tsdb *db, struct str name, struct str value)
{
    struct name *n = table_get(&db->names, name);

    return n ? find_pair(db, n, value) : NULL;
}

static size_t pair_bytes(const struct pair *p)
{
    return sizeof(*p) + p->label.value.n + MALLOC_OVERHEAD + sizeof(struct pair *);
}

struct pair *tsdb_index_make(struct tsdb *db, struct str name_text, struct str value)
{
    struct name *name = name_of(db, name_text);
    struct pair *p = find_pair(db, name, value);
    char *text;

    if (p)
        return p;
    p = mem_zalloc(sizeof(*p) + value.n);
    text = (char *)(p + 1);
    memcpy(text, value.p, value.n);
    p->label = (struct label){name->text, {text, value.n}};
    p->name = name;
    p->hash = pair_hash(name, value);
    name->refs++;
    if (db->n_free_pairs) {
        p->id = db->free_pairs[--db->n_free_pairs];
    } else {
        room(db, &db->pairs, &db->cap_pairs, db->n_pairs);
        p->id = db->n_pairs++;
    }
    db->pairs[p->id] = p;
    if (name == db->metric_name && db->watched.count)
        p->watched = table_get(&db->watched, value);
    if ((size_t)(db->n_pairs - db->n_free_pairs) * 4 > db->n_pair_slots * 3)
        rehash_pairs(db, db->n_pair_slots ? db->n_pair_slots * 2 : 64);
    else
        place_pair(db, p);
    db->bytes += pair_bytes(p);
    return p;
}

static void free_pair(struct tsdb *db, struct pair *p)
{
    db->bytes -= pair_bytes(p) + p->series.cap * sizeof(uint32_t);
    room(db, &db->free_pairs, &db->cap_free_pairs, db->n_free_pairs);
    db->free_pairs[db->n_free_pairs++] = p->id;
    db->pairs[p->id] = NULL;
    free(p->series.items);
    if (--p->name->refs == 0 && !p->name->is_indexed)
        free_name(db, p->name);
    free(p);
}

struct pair *tsdb_index_metric(const struct series *s)
{
    for (size_t i = 0; i < s->n_labels; i++)
        if (pair_of(s, i)->name == s->db->metric_name)
            return pair_of(s, i);
    return NULL;
}

/* --- postings --- */

static void list(struct tsdb *db, struct pair *p, uint32_t id)
{
    room(db, &p->series.items, &p->series.cap, p->series.n);
    p->series.items[p->series.n++] = id;
}

void tsdb_index_add(struct series *s)
{
    for (size_t i = 0; i < s->n_labels; i++) {
        struct pair *p = pair_of(s, i);

        p->refs++;
        if (p->name->is_indexed)
            list(s->db, p, s->id);
        s->is_watched |= p->watched != NULL;
    }
}

void tsdb_index_remove(struct series *s)
{
    for (size_t i = 0; i < s->n_labels; i++) {
        struct pair *p = pair_of(s, i);

        p->refs--;
        p->is_dirty = true;
    }
}

void tsdb_index_clean(struct tsdb *db)
{
    for (uint32_t i = 0; i < db->n_pairs; i++) {
        struct pair *p = db->pairs[i];
        uint32_t n = 0;

        if (!p || !p->is_dirty)
            continue;
        p->is_dirty = false;
        for (uint32_t k = 0; k < p->series.n; k++)
            if (!db->all[p->series.items[k]]->is_dead)
                p->series.items[n++] = p->series.items[k];
        p->series.n = n;
        if (p->refs == 0)
            free_pair(db, p);
    }
    if (db->n_pair_slots)
        rehash_pairs(db, db->n_pair_slots);
}

/* From now on series are listed by this name too. */
static void tsdb_index_name(struct tsdb *db, struct name *name)
{
    name->is_indexed = true;
    for (uint32_t i = 0; i < db->n_all; i++) {
        const struct series *s = db->all[i];

        for (size_t k = 0; s && k < s->n_labels; k++)
            if (pair_of(s, k)->name == name)
                list(db, pair_of(s, k), s->id);
    }
}

void tsdb_index_open(struct tsdb *db)
{
    db->metric_name = name_of(db, STR("__name__"));
    db->metric_name->is_indexed = true;
}

void tsdb_index_close(struct tsdb *db)
{
    size_t i = 0;
    void *v;

    for (uint32_t k = 0; k < db->n_pairs; k++)
        if (db->pairs[k]) {
            free(db->pairs[k]->series.items);
            free(db->pairs[k]);
        }
    while (table_next(&db->names, &i, NULL, &v)) {
        free((char *)(uintptr_t)((struct name *)v)->text.p);
        free(v);
    }
    table_done(&db->names);
    free(db->pairs);
    free(db->pair_slots);
    free(db->free_pairs);
}

/* --- selecting --- */

bool matcher_matches(const struct matcher *m, struct str v)
{
    struct str value = v.p ? v : STR("");

    switch (m->op) {
    case MATCH_EQ:
        return str_eq(value, m->value);
    case MATCH_NE:
        return !str_eq(value, m->value);
    case MATCH_RE:
        return m->regex(m->ctx, value);
    case MATCH_NRE:
        return !m->regex(m->ctx, value);
    }
    return false;
}

static struct str find_label(const struct series *s, struct str name)
{
    for (size_t i = 0; i < s->n_labels; i++)
        if (str_eq(pair_of(s, i)->label.name, name))
            return pair_of(s, i)->label.value;
    return STR_NONE;
}

bool series_matches(const struct series *s, const struct matcher *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!matcher_matches(&m[i], find_label(s, m[i].name)))
            return false;
    return true;
}

static bool has_pair(const struct series *s, uint32_t id)
{
    for (size_t i = 0; i < s->n_labels; i++)
        if (s->pairs[i] == id)
            return true;
    return false;
}

static bool is_exact(const struct matcher *m)
{
    return m->op == MATCH_EQ && m->value.n;
}

static bool matches(const struct series *s, const struct matcher *m,
                    const struct pair *const *exact, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (exact[i] ? !has_pair(s, exact[i]->id)
                     : !matcher_matches(&m[i], find_label(s, m[i].name)))
            return false;
    return true;
}

/* The pair that narrows the search most; its name is indexed then. NULL: none does. */
static struct pair *narrowest(struct tsdb *db, struct pair *const *exact, size_t n)
{
    struct pair *best = NULL, *rarest = NULL;

    for (size_t i = 0; i < n; i++) {
        if (!exact[i])
            continue;
        if (exact[i]->name->is_indexed && (!best || exact[i]->refs < best->refs))
            best = exact[i];
        if (!rarest || exact[i]->refs < rarest->refs)
            rarest = exact[i];
    }
    if (rarest && rarest != best && (best ? best->refs : db->count) > FEW + 4 * rarest->refs) {
        tsdb_index_name(db, rarest->name);
        best = rarest;
    }
    return best;
}

void tsdb_select(struct tsdb *db, const struct matcher *m, size_t n,
                 void (*fn)(void *arg, struct series *s), void *arg)
{
    struct pair **exact = mem_array(n, sizeof(struct pair *)), *by = NULL;
    bool none = false;

    for (size_t i = 0; i < n && !none; i++)
        if (is_exact(&m[i])) {
            exact[i] = tsdb_index_find(db, m[i].name, m[i].value);
            none = !exact[i];
        }
    if (!none)
        by = narrowest(db, exact, n);
    for (uint32_t i = 0; !none && i < (by ? by->series.n : db->n_all); i++) {
        struct series *s = db->all[by ? by->series.items[i] : i];

        if (s && matches(s, m, (const struct pair *const *)exact, n))
            fn(arg, s);
    }
    free(exact);
}
