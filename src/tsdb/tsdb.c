/* SPDX-License-Identifier: Apache-2.0 */
#include "tsdb/tsdb.h"

#include <stdlib.h>

#include "base/mem.h"
#include "tsdb/tsdb_int.h"

#define RETENTION_MS (15 * 60 * 1000)
#define BYTES_MAX ((size_t)512 << 20)
#define SERIES_MAX 1000000
#define CLOCK_SLACK_MS 5000 /* corrections up to here are waited out */

double tsdb_stale(void)
{
    uint64_t b = TSDB_STALE_BITS;
    double v;

    memcpy(&v, &b, sizeof(v));
    return v;
}

bool tsdb_is_stale(double v)
{
    uint64_t b;

    memcpy(&b, &v, sizeof(b));
    return b == TSDB_STALE_BITS;
}

struct tsdb *tsdb_new(const struct tsdb_options *o)
{
    struct tsdb *db = mem_zalloc(sizeof(*db));

    db->o = *o;
    if (db->o.retention_ms == 0)
        db->o.retention_ms = RETENTION_MS;
    if (db->o.max_bytes == 0)
        db->o.max_bytes = BYTES_MAX;
    if (db->o.max_series == 0)
        db->o.max_series = SERIES_MAX;
    tsdb_index_open(db);
    return db;
}

static size_t series_bytes(const struct series *s)
{
    return sizeof(*s) + s->n_labels * sizeof(*s->pairs) + MALLOC_OVERHEAD;
}

static void free_series(struct series *s)
{
    chunk_drop_all(s);
    s->db->bytes -= series_bytes(s);
    free(s->listeners);
    free(s);
}

void tsdb_free(struct tsdb *db)
{
    if (!db)
        return;
    FB_ASSERT(db->watched.count == 0);
    for (uint32_t i = 0; i < db->n_all; i++)
        if (db->all[i])
            free_series(db->all[i]);
    tsdb_index_close(db);
    table_done(&db->watched);
    free(db->all);
    free(db->slots);
    free(db->free_ids);
    free(db);
}

/* --- series by labels --- */

static void place(struct tsdb *db, const struct series *s)
{
    size_t at = s->hash & (db->n_slots - 1);

    while (db->slots[at])
        at = (at + 1) & (db->n_slots - 1);
    db->slots[at] = s->id + 1;
}

static void rehash(struct tsdb *db, size_t n)
{
    free(db->slots);
    db->bytes += (n - db->n_slots) * sizeof(*db->slots);
    db->slots = mem_array(n, sizeof(*db->slots));
    db->n_slots = n;
    for (uint32_t i = 0; i < db->n_all; i++)
        if (db->all[i])
            place(db, db->all[i]);
}

static uint32_t hash_of(const uint32_t *pairs, size_t n)
{
    uint64_t h = str_hash(str_n(pairs, n * sizeof(*pairs)));

    return (uint32_t)(h ^ h >> 32);
}

static struct series *find(const struct tsdb *db, const uint32_t *pairs, size_t n, uint32_t hash)
{
    if (!db->n_slots)
        return NULL;
    for (size_t at = hash & (db->n_slots - 1);; at = (at + 1) & (db->n_slots - 1)) {
        struct series *s;

        if (!db->slots[at])
            return NULL;
        s = db->all[db->slots[at] - 1];
        if (s->hash == hash && s->n_labels == n && memcmp(s->pairs, pairs, n * sizeof(*pairs)) == 0)
            return s;
    }
}

static struct series *create(struct tsdb *db, const uint32_t *pairs, size_t n, uint32_t hash)
{
    struct series *s = mem_zalloc(sizeof(*s) + n * sizeof(*pairs));

    s->db = db;
    s->hash = hash;
    s->n_labels = (uint16_t)n;
    memcpy(s->pairs, pairs, n * sizeof(*pairs));
    if (db->n_free_ids) {
        s->id = db->free_ids[--db->n_free_ids];
    } else {
        tsdb_room((void **)&db->all, &db->cap_all, db->n_all, sizeof(*db->all), &db->bytes);
        s->id = db->n_all++;
    }
    db->all[s->id] = s;
    db->count++;
    db->shape++;
    db->bytes += series_bytes(s);
    tsdb_index_add(s);
    if (db->count * 4 > db->n_slots * 3)
        rehash(db, db->n_slots ? db->n_slots * 2 : 64);
    else
        place(db, s);
    return s;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct label *)a)->name, ((const struct label *)b)->name);
}

/* The pairs of labels that are sorted; false if one is not known and none is to be made. */
static bool pairs_of(struct tsdb *db, const struct label *l, size_t n, bool make, uint32_t *ret)
{
    for (size_t i = 0; i < n; i++) {
        struct pair *p = make ? tsdb_index_make(db, l[i].name, l[i].value)
                              : tsdb_index_find(db, l[i].name, l[i].value);

        if (!p)
            return false;
        ret[i] = p->id;
    }
    return true;
}

static struct series *series_of(struct tsdb *db, const struct label *given, size_t n, bool may_fail)
{
    struct label *sorted = mem_array(n, sizeof(*sorted));
    uint32_t *pairs = mem_array(n, sizeof(*pairs));
    struct series *s = NULL;
    size_t m = 0;

    for (size_t i = 0; i < n; i++)
        if (given[i].value.n) /* an empty value is an absent label */
            sorted[m++] = given[i];
    if (m > 1)
        qsort(sorted, m, sizeof(*sorted), by_name);
    if (pairs_of(db, sorted, m, false, pairs))
        s = find(db, pairs, m, hash_of(pairs, m));
    if (!s && m <= UINT16_MAX &&
        !(may_fail && (db->count >= db->o.max_series || tsdb_is_full(db)))) {
        pairs_of(db, sorted, m, true, pairs);
        s = create(db, pairs, m, hash_of(pairs, m));
    }
    if (s)
        s->refs++;
    free(pairs);
    free(sorted);
    return s;
}

struct series *tsdb_series(struct tsdb *db, const struct label *labels, size_t n)
{
    return series_of(db, labels, n, false);
}

struct series *tsdb_series_try(struct tsdb *db, const struct label *labels, size_t n)
{
    return series_of(db, labels, n, true);
}

void tsdb_release(struct series *s)
{
    if (s)
        s->refs--;
}

size_t series_n_labels(const struct series *s)
{
    return s->n_labels;
}

const struct label *series_nth_label(const struct series *s, size_t i)
{
    return &pair_of(s, i)->label;
}

struct labels series_labels(const struct series *s, struct arena *a)
{
    struct label *items = arena_alloc(a, s->n_labels * sizeof(*items));

    for (size_t i = 0; i < s->n_labels && items; i++)
        items[i] = pair_of(s, i)->label;
    return (struct labels){items ? s->n_labels : 0, items};
}

struct str series_label(const struct series *s, const char *name)
{
    for (size_t i = 0; i < s->n_labels; i++)
        if (str_is(pair_of(s, i)->label.name, name))
            return pair_of(s, i)->label.value;
    return STR_NONE;
}

/* --- sweeping --- */

/* Frees the dead and closes the gaps they leave in the tables. */
static void bury(struct tsdb *db)
{
    tsdb_index_clean(db);
    for (uint32_t i = 0; i < db->n_all; i++) {
        struct series *s = db->all[i];

        if (!s || !s->is_dead)
            continue;
        tsdb_room((void **)&db->free_ids, &db->cap_free_ids, db->n_free_ids, sizeof(*db->free_ids),
                  &db->bytes);
        db->free_ids[db->n_free_ids++] = i;
        db->all[i] = NULL;
        db->count--;
        db->shape++;
        free_series(s);
    }
    rehash(db, db->n_slots);
}

void tsdb_sweep(struct tsdb *db, int64_t now_ms)
{
    bool any_dead = false;

    for (uint32_t i = 0; i < db->n_all; i++) {
        struct series *s = db->all[i];

        if (!s)
            continue;
        if (db->o.retention_ms > 0)
            chunk_drop_before(s, now_ms - db->o.retention_ms);
        if (!s->head && s->refs == 0) {
            s->is_dead = any_dead = true;
            tsdb_index_remove(s);
        }
    }
    if (any_dead)
        bury(db);
    for (bool any = true; any && tsdb_is_full(db);) { /* everybody's oldest chunk */
        any = false;
        for (uint32_t i = 0; i < db->n_all; i++)
            if (db->all[i] && db->all[i]->n_older) {
                chunk_drop_first(db->all[i]);
                any = true;
            }
    }
}

void tsdb_forget(struct tsdb *db)
{
    for (uint32_t i = 0; i < db->n_all; i++)
        if (db->all[i])
            chunk_drop_all(db->all[i]);
}

uint64_t tsdb_shape(const struct tsdb *db)
{
    return db->shape;
}

int64_t tsdb_clock(struct tsdb *db, int64_t wall, int64_t mono)
{
    int64_t back = db->mono_ms ? mono - db->mono_ms - (wall - db->wall_ms) : 0;

    db->wall_ms = wall;
    db->mono_ms = mono;
    if (back <= CLOCK_SLACK_MS)
        return 0;
    tsdb_forget(db);
    return back;
}

size_t tsdb_bytes(const struct tsdb *db)
{
    return db->bytes;
}

bool tsdb_is_full(const struct tsdb *db)
{
    return db->bytes > db->o.max_bytes;
}

size_t tsdb_series_count(const struct tsdb *db)
{
    return db->count;
}

size_t tsdb_max_series(const struct tsdb *db)
{
    return db->o.max_series;
}

uint64_t tsdb_samples_total(const struct tsdb *db)
{
    return db->samples;
}
