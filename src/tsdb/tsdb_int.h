/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the store. Built for many series with few samples: a series knows its labels as numbers
 * of interned name=value pairs, and is known by a number itself. chunk.c has the samples, index.c
 * the labels, names and the search, tsdb.c puts them together. */
#ifndef FB_TSDB_TSDB_INT_H
#define FB_TSDB_TSDB_INT_H

#include "base/list.h"
#include "base/table.h"
#include "tsdb/tsdb.h"

#define MALLOC_OVERHEAD 8 /* what the heap adds to each block, for the count of bytes */

struct chunk {
    int64_t first_t, last_t;
    uint16_t n, used, cap; /* samples; bytes in use and there are */
    uint8_t bytes[];
};

struct series {
    struct tsdb *db;
    uint32_t id; /* in db->all */
    uint32_t refs;
    uint32_t hash; /* of pairs */
    uint16_t n_labels;
    bool is_watched, is_dead;    /* dead: in the sweep that frees it */
    uint8_t last_size;           /* bytes of the newest sample */
    struct listeners *listeners; /* NULL: nobody has been asked yet */
    struct chunk *head;          /* the one that is written to; NULL: no samples */
    struct chunk **older;
    uint32_t n_older, cap_older;
    /* the newest sample, and the distance to the one before */
    int64_t t, delta;
    uint64_t bits;
    uint32_t pairs[]; /* by name */
};

struct postings {
    uint32_t *items; /* series, in the order they came */
    uint32_t n, cap;
};

/* Label names. All series are listed by __name__; by another name from when it is first needed. */
struct name {
    struct str text;
    uint32_t refs; /* pairs */
    bool is_indexed;
};

/* watch.c: who wants to hear of a series. */
struct listeners {
    size_t n;
    struct tsdb_watch *items[];
};

/* One name that somebody watches. */
struct watched {
    struct tsdb *db;
    struct list watches;
    struct str name;
};

struct tsdb_watch {
    struct list link;
    struct watched *of;
    bool (*wants)(void *arg, const struct series *s); /* NULL: all */
    tsdb_watch_fn *fn;
    void *arg;
};

struct pair {
    struct label label; /* name borrowed from `name`, value behind this struct */
    struct name *name;
    uint32_t id, refs; /* series */
    uint32_t hash;
    bool is_dirty;           /* a series of it is dead */
    struct postings series;  /* if the name is indexed */
    struct watched *watched; /* of a metric name */
};

struct tsdb {
    struct tsdb_options o;
    struct table names; /* text -> struct name */
    struct name *metric_name;

    struct pair **pairs; /* by id; NULL: free */
    uint32_t n_pairs, cap_pairs;
    uint32_t *pair_slots; /* id + 1; open addressing */
    size_t n_pair_slots;
    uint32_t *free_pairs;
    uint32_t n_free_pairs, cap_free_pairs;

    struct series **all; /* by id; NULL: free */
    uint32_t n_all, cap_all;
    uint32_t *slots; /* id + 1, by labels */
    size_t n_slots;
    uint32_t *free_ids;
    uint32_t n_free_ids, cap_free_ids;
    size_t count;
    uint64_t shape; /* series made and buried so far */

    struct table watched; /* metric name -> struct watched */
    size_t bytes;
    uint64_t samples;
    int64_t wall_ms, mono_ms; /* as told last */
};

/* --- chunk.c --- */

void chunk_drop_first(struct series *s);
void chunk_drop_all(struct series *s);
/* Chunks whose newest sample is older go. */
void chunk_drop_before(struct series *s, int64_t t);
static inline size_t chunk_count(const struct series *s)
{
    return s->n_older + (s->head != NULL);
}

/* --- index.c --- */

void tsdb_index_open(struct tsdb *db);
void tsdb_index_close(struct tsdb *db);
/* NULL: no series has it. */
struct pair *tsdb_index_find(const struct tsdb *db, struct str name, struct str value);
struct pair *tsdb_index_make(struct tsdb *db, struct str name, struct str value);
/* A series came; one that is dead goes (tsdb_index_clean takes it out of the lists). */
void tsdb_index_add(struct series *s);
void tsdb_index_remove(struct series *s);
void tsdb_index_clean(struct tsdb *db);
static inline struct pair *pair_of(const struct series *s, size_t i)
{
    return s->db->pairs[s->pairs[i]];
}
struct pair *tsdb_index_metric(const struct series *s); /* its __name__ */

/* Room for one more, growing by a quarter: these arrays are large. */
void tsdb_room(void **items, uint32_t *cap, uint32_t n, size_t size, size_t *bytes);

/* watch.c: of a series whose is_watched is set. */
void tsdb_watch_tell(struct series *s, int64_t t, double v);

#endif
