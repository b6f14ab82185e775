/* SPDX-License-Identifier: Apache-2.0 */
#include "tsdb/tsdb.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/table.h"

#define CHUNK_SAMPLES 120
#define CHUNK_BYTES_FIRST 64

struct chunk {
    int64_t first_t, last_t;
    uint16_t n, used, cap;
    uint8_t *bytes;
};

/* One metric name that somebody watches. */
struct watched {
    struct tsdb *db;
    struct list watches;
    struct str name;
};

struct tsdb_watch {
    struct list link;
    struct watched *of;
    tsdb_watch_fn *fn;
    void *arg;
};

struct series {
    struct labels labels;
    uint64_t hash;
    struct tsdb *db;
    int refs;
    struct watched *watched; /* NULL: nobody asked for this name */
    struct chunk *chunks;
    size_t n_chunks, cap_chunks;
    /* state of the open (last) chunk's writer */
    int64_t t, delta;
    uint64_t bits;
    struct label items[];
};

struct postings {
    struct series **items;
    size_t n, cap;
};

struct tsdb {
    struct tsdb_options o;
    struct table by_labels; /* canonical label text -> series */
    struct table index;     /* "name\0value" -> postings */
    struct postings all;
    struct table watched; /* metric name -> struct watched */
    size_t bytes;
    uint64_t samples;
};

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
        db->o.retention_ms = 15 * 60 * 1000;
    if (db->o.max_bytes == 0)
        db->o.max_bytes = (size_t)512 << 20;
    return db;
}

static void free_series(struct series *s)
{
    for (size_t i = 0; i < s->n_chunks; i++)
        free(s->chunks[i].bytes);
    free(s->chunks);
    free(s);
}

void tsdb_free(struct tsdb *db)
{
    size_t i = 0;
    void *v;

    if (!db)
        return;
    for (size_t k = 0; k < db->all.n; k++)
        free_series(db->all.items[k]);
    while (table_next(&db->index, &i, NULL, &v)) {
        free(((struct postings *)v)->items);
        free(v);
    }
    free(db->all.items);
    table_done(&db->index);
    table_done(&db->by_labels);
    FB_ASSERT(db->watched.count == 0);
    table_done(&db->watched);
    free(db);
}

/* --- series --- */

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct label *)a)->name, ((const struct label *)b)->name);
}

static size_t key_size(const struct label *l, size_t n)
{
    size_t size = 0;

    for (size_t i = 0; i < n; i++)
        size += l[i].name.n + l[i].value.n + 2;
    return size;
}

static struct str write_key(char *out, const struct label *l, size_t n)
{
    char *p = out;

    for (size_t i = 0; i < n; i++) {
        memcpy(p, l[i].name.p, l[i].name.n);
        p += l[i].name.n;
        *p++ = '\xff';
        memcpy(p, l[i].value.p, l[i].value.n);
        p += l[i].value.n;
        *p++ = '\xff';
    }
    return str_n(out, (size_t)(p - out));
}

static void add_posting(struct postings *p, struct series *s)
{
    mem_grow(&p->items, &p->cap, p->n);
    p->items[p->n++] = s;
}

static struct str pair_key(char *buf, size_t cap, struct str name, struct str value,
                           char **ret_heap)
{
    size_t n = name.n + 1 + value.n;
    char *p = n <= cap ? buf : (*ret_heap = mem_alloc(n));

    memcpy(p, name.p, name.n);
    p[name.n] = '\xff';
    if (value.n)
        memcpy(p + name.n + 1, value.p, value.n);
    return str_n(p, n);
}

static struct postings *postings_of(struct tsdb *db, struct str name, struct str value, bool make)
{
    char buf[256];
    AUTO_FREE char *heap = NULL;
    struct str key = pair_key(buf, sizeof(buf), name, value, &heap);
    struct postings *p = table_get(&db->index, key);

    if (!p && make) {
        p = mem_zalloc(sizeof(*p));
        table_set(&db->index, key, p);
    }
    return p;
}

struct series *tsdb_series(struct tsdb *db, const struct label *given, size_t n)
{
    struct label *sorted = mem_array(n, sizeof(*sorted));
    struct series *s;
    size_t m = 0, size;
    char *text, *key_text;
    struct str key;

    for (size_t i = 0; i < n; i++)
        if (given[i].value.n) /* an empty value is an absent label */
            sorted[m++] = given[i];
    if (m > 1)
        qsort(sorted, m, sizeof(*sorted), by_name);
    size = key_size(sorted, m);
    key_text = mem_alloc(size + 1);
    key = write_key(key_text, sorted, m);
    s = table_get(&db->by_labels, key);
    if (!s) {
        s = mem_zalloc(sizeof(*s) + m * sizeof(struct label) + size);
        s->db = db;
        s->hash = str_hash(key);
        text = (char *)(s->items + m);
        write_key(text, sorted, m);
        for (size_t i = 0; i < m; i++) {
            s->items[i].name = str_n(text, sorted[i].name.n);
            s->items[i].value = str_n(text + sorted[i].name.n + 1, sorted[i].value.n);
            text += sorted[i].name.n + sorted[i].value.n + 2;
            add_posting(postings_of(db, s->items[i].name, s->items[i].value, true), s);
        }
        s->labels = (struct labels){m, s->items};
        s->watched =
            db->watched.count ? table_get(&db->watched, series_label(s, "__name__")) : NULL;
        table_set(&db->by_labels, key, s);
        add_posting(&db->all, s);
        db->bytes += sizeof(*s) + m * (sizeof(struct label) + sizeof(void *)) + size * 2;
    }
    s->refs++;
    free(key_text);
    free(sorted);
    return s;
}

void tsdb_release(struct series *s)
{
    if (s)
        s->refs--;
}

const struct labels *series_labels(const struct series *s)
{
    return &s->labels;
}

struct str series_label(const struct series *s, const char *name)
{
    for (size_t i = 0; i < s->labels.n; i++)
        if (str_is(s->labels.items[i].name, name))
            return s->labels.items[i].value;
    return STR_NONE;
}

uint64_t series_hash(const struct series *s)
{
    return s->hash;
}

int64_t series_newest(const struct series *s)
{
    return s->n_chunks ? s->chunks[s->n_chunks - 1].last_t : INT64_MIN;
}

/* --- writing --- */

static void put(struct series *s, struct chunk *c, uint8_t b)
{
    if (c->used == c->cap) {
        uint16_t want = c->cap ? (uint16_t)(c->cap * 2) : CHUNK_BYTES_FIRST;

        c->bytes = mem_realloc(c->bytes, want);
        s->db->bytes += (size_t)want - c->cap;
        c->cap = want;
    }
    c->bytes[c->used++] = b;
}

static void put_varint(struct series *s, struct chunk *c, int64_t v)
{
    uint64_t z = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);

    for (; z >= 0x80; z >>= 7)
        put(s, c, (uint8_t)(z | 0x80));
    put(s, c, (uint8_t)z);
}

static void put_bits(struct series *s, struct chunk *c, uint64_t x)
{
    int lead, tail, n;

    if (x == 0) {
        put(s, c, 0);
        return;
    }
    lead = __builtin_clzll(x) / 8;
    tail = __builtin_ctzll(x) / 8;
    n = 8 - lead - tail;
    put(s, c, (uint8_t)(lead << 4 | n));
    for (int i = 0; i < n; i++)
        put(s, c, (uint8_t)(x >> ((7 - lead - i) * 8)));
}

static void drop_first_chunk(struct series *s)
{
    s->db->bytes -= s->chunks[0].cap + sizeof(struct chunk);
    free(s->chunks[0].bytes);
    memmove(s->chunks, s->chunks + 1, (s->n_chunks - 1) * sizeof(*s->chunks));
    s->n_chunks--;
}

static void drop_old(struct series *s, int64_t now_ms)
{
    while (s->n_chunks > 0 && s->db->o.retention_ms > 0 &&
           s->chunks[0].last_t < now_ms - s->db->o.retention_ms)
        drop_first_chunk(s);
}

static void tell(struct series *s, int64_t t, double v)
{
    list_each (it, &s->watched->watches) {
        struct tsdb_watch *w = container_of(it, struct tsdb_watch, link);

        w->fn(w->arg, s, t, v);
    }
}

enum tsdb_append tsdb_append(struct tsdb *db, struct series *s, int64_t t, double v)
{
    struct chunk *c = s->n_chunks ? &s->chunks[s->n_chunks - 1] : NULL;
    bool is_new = !c;
    uint64_t bits, before = s->bits;

    memcpy(&bits, &v, sizeof(bits));
    if (c && t <= c->last_t)
        return t == c->last_t && bits == s->bits ? TSDB_DUPLICATE : TSDB_OUT_OF_ORDER;
    if (!c || c->n == CHUNK_SAMPLES) {
        if (c && c->cap > c->used) { /* a full chunk is as large as it is */
            db->bytes -= (size_t)(c->cap - c->used);
            c->bytes = mem_realloc(c->bytes, c->used);
            c->cap = c->used;
        }
        drop_old(s, t);
        mem_grow(&s->chunks, &s->cap_chunks, s->n_chunks);
        c = &s->chunks[s->n_chunks++];
        *c = (struct chunk){.first_t = t};
        db->bytes += sizeof(*c);
        s->t = t;
        s->delta = 0;
        s->bits = 0;
    }
    put_varint(s, c, t - s->t - s->delta);
    s->delta = t - s->t;
    s->t = t;
    put_bits(s, c, bits ^ s->bits);
    s->bits = bits;
    c->last_t = t;
    c->n++;
    db->samples++;
    if (s->watched && (is_new || bits != before))
        tell(s, t, v);
    return TSDB_APPENDED;
}

/* --- watching --- */

static void set_watched(struct tsdb *db, struct str name, struct watched *wd)
{
    const struct postings *p = postings_of(db, STR("__name__"), name, false);

    for (size_t i = 0; p && i < p->n; i++)
        p->items[i]->watched = wd;
}

struct tsdb_watch *tsdb_watch(struct tsdb *db, struct str name, tsdb_watch_fn *fn, void *arg)
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
    *w = (struct tsdb_watch){.of = wd, .fn = fn, .arg = arg};
    list_add_tail(&wd->watches, &w->link);
    return w;
}

void tsdb_unwatch(struct tsdb_watch *w)
{
    struct watched *wd = w ? w->of : NULL;

    if (!w)
        return;
    list_del(&w->link);
    free(w);
    if (!list_is_empty(&wd->watches))
        return;
    set_watched(wd->db, wd->name, NULL);
    table_del(&wd->db->watched, wd->name);
    free((char *)(uintptr_t)wd->name.p);
    free(wd);
}

/* --- reading --- */

static bool open_chunk(struct series_iter *it)
{
    if (it->chunk >= it->s->n_chunks)
        return false;
    it->at = 0;
    it->left = it->s->chunks[it->chunk].n;
    it->t = it->s->chunks[it->chunk].first_t;
    it->delta = 0;
    it->bits = 0;
    return true;
}

static bool decode(struct series_iter *it)
{
    const uint8_t *p;
    uint64_t z = 0, x = 0;
    int shift = 0, lead, n;

    if (it->left == 0) {
        it->chunk++;
        if (!open_chunk(it))
            return false;
    }
    p = it->s->chunks[it->chunk].bytes + it->at;
    do {
        z |= (uint64_t)(*p & 0x7f) << shift;
        shift += 7;
    } while (*p++ & 0x80);
    it->delta += (int64_t)(z >> 1) ^ -(int64_t)(z & 1);
    it->t += it->delta;
    lead = *p >> 4;
    n = *p++ & 15;
    for (int i = 0; i < n; i++)
        x |= (uint64_t)*p++ << ((7 - lead - i) * 8);
    it->bits ^= x;
    it->at = (size_t)(p - it->s->chunks[it->chunk].bytes);
    it->left--;
    return true;
}

void series_seek(struct series_iter *it, const struct series *s, int64_t from)
{
    *it = (struct series_iter){.s = s};
    while (it->chunk < s->n_chunks && s->chunks[it->chunk].last_t < from)
        it->chunk++;
    if (!open_chunk(it))
        return;
    while (decode(it))
        if (it->t >= from) {
            it->has = true;
            return;
        }
}

bool series_next(struct series_iter *it, int64_t *ret_t, double *ret_v)
{
    if (!it->has)
        return false;
    *ret_t = it->t;
    memcpy(ret_v, &it->bits, sizeof(*ret_v));
    it->has = decode(it);
    return true;
}

bool series_at(const struct series *s, int64_t t, int64_t back, int64_t *ret_t, double *ret_v)
{
    struct series_iter it = {.s = s};
    bool found = false;

    if (s->n_chunks == 0 || s->chunks[0].first_t > t)
        return false;
    if (s->t <= t) { /* the newest: its state is at hand */
        if (s->t <= t - back)
            return false;
        *ret_t = s->t;
        memcpy(ret_v, &s->bits, sizeof(*ret_v));
        return true;
    }
    it.chunk = s->n_chunks - 1;
    while (s->chunks[it.chunk].first_t > t)
        it.chunk--;
    open_chunk(&it);
    while (it.left > 0 && decode(&it) && it.t <= t) {
        if (it.t > t - back) {
            *ret_t = it.t;
            memcpy(ret_v, &it.bits, sizeof(*ret_v));
            found = true;
        }
    }
    return found;
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
    for (size_t i = 0; i < s->labels.n; i++)
        if (str_eq(s->labels.items[i].name, name))
            return s->labels.items[i].value;
    return STR_NONE;
}

void tsdb_select(struct tsdb *db, const struct matcher *m, size_t n,
                 void (*fn)(void *arg, struct series *s), void *arg)
{
    const struct postings *best = &db->all;

    for (size_t i = 0; i < n; i++) {
        const struct postings *p;

        if (m[i].op != MATCH_EQ || m[i].value.n == 0)
            continue;
        p = postings_of(db, m[i].name, m[i].value, false);
        if (!p)
            return;
        if (p->n < best->n)
            best = p;
    }
    for (size_t i = 0; i < best->n; i++) {
        struct series *s = best->items[i];
        bool ok = true;

        for (size_t k = 0; k < n && ok; k++)
            ok = matcher_matches(&m[k], find_label(s, m[k].name));
        if (ok)
            fn(arg, s);
    }
}

/* --- sweeping --- */

static void remove_posting(struct postings *p, const struct series *s)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->items[i] == s) {
            p->items[i] = p->items[--p->n];
            return;
        }
}

static void remove_series(struct tsdb *db, struct series *s)
{
    size_t size = key_size(s->items, s->labels.n);
    char *text = mem_alloc(size + 1);

    table_del(&db->by_labels, write_key(text, s->items, s->labels.n));
    free(text);
    for (size_t i = 0; i < s->labels.n; i++)
        remove_posting(postings_of(db, s->items[i].name, s->items[i].value, true), s);
    db->bytes -= sizeof(*s) + s->labels.n * (sizeof(struct label) + sizeof(void *)) + size * 2;
    free_series(s);
}

void tsdb_sweep(struct tsdb *db, int64_t now_ms)
{
    for (size_t i = 0; i < db->all.n;) {
        struct series *s = db->all.items[i];

        drop_old(s, now_ms);
        if (s->n_chunks == 0 && s->refs == 0) {
            db->all.items[i] = db->all.items[--db->all.n];
            remove_series(db, s);
        } else {
            i++;
        }
    }
    for (bool any = true;
         any && db->bytes > db->o.max_bytes;) { /* over the cap: everybody's oldest chunk */
        any = false;
        for (size_t i = 0; i < db->all.n; i++)
            if (db->all.items[i]->n_chunks > 1) {
                drop_first_chunk(db->all.items[i]);
                any = true;
            }
    }
}

void tsdb_forget(struct tsdb *db)
{
    for (size_t i = 0; i < db->all.n; i++)
        while (db->all.items[i]->n_chunks > 0)
            drop_first_chunk(db->all.items[i]);
}

size_t tsdb_bytes(const struct tsdb *db)
{
    return db->bytes;
}

size_t tsdb_series_count(const struct tsdb *db)
{
    return db->all.n;
}

uint64_t tsdb_samples_total(const struct tsdb *db)
{
    return db->samples;
}
