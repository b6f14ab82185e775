/* SPDX-License-Identifier: Apache-2.0
 *
 * Recent samples in memory: series by label set, compressed chunks, an index from label pairs to
 * series. One thread. Timestamps are wall milliseconds; a sample older than the newest of its
 * series is refused, the same time with the same value is taken silently.
 *
 * Chunk: up to 120 samples. A sample is a byte (bit 7: same distance in time as the one before;
 * bits 4-6: leading zero bytes of the value's XOR with the one before; bits 0-3: bytes of it that
 * follow), then, without bit 7, the change of the distance (zigzag varint), then those bytes. An
 * unchanged value at a steady pace is one byte. */
#ifndef FB_TSDB_TSDB_H
#define FB_TSDB_TSDB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct tsdb;
struct series;

struct label {
    struct str name, value;
};

struct labels {
    size_t n;
    const struct label *items; /* sorted by name; no empty values; __name__ is one of them */
};

/* The staleness marker: a NaN of its own. */
#define TSDB_STALE_BITS 0x7ff0000000000002ULL
double tsdb_stale(void);
bool tsdb_is_stale(double v);

struct tsdb_options {
    int64_t retention_ms; /* 0: 15 min; negative: for ever */
    size_t max_bytes;     /* 0: 512 MiB; beyond, the oldest chunks go first */
    size_t max_series;    /* 0: 1,000,000; tsdb_series_try makes no more */
};

struct tsdb *tsdb_new(const struct tsdb_options *o);
void tsdb_free(struct tsdb *db);

/* The series of these labels (copied, sorted here), made if new; one reference more. */
struct series *tsdb_series(struct tsdb *db, const struct label *labels, size_t n);
/* The same, but NULL rather than a new series when the store is full. */
struct series *tsdb_series_try(struct tsdb *db, const struct label *labels, size_t n);
void tsdb_release(struct series *s); /* NULL is fine */
/* Sorted by name. The texts live as long as the series. */
size_t series_n_labels(const struct series *s);
const struct label *series_nth_label(const struct series *s, size_t i);
struct labels series_labels(const struct series *s, struct arena *a);
struct str series_label(const struct series *s, const char *name); /* STR_NONE: absent */
enum tsdb_append { TSDB_APPENDED, TSDB_DUPLICATE, TSDB_OUT_OF_ORDER };
enum tsdb_append tsdb_append(struct tsdb *db, struct series *s, int64_t t_ms, double v);
/* The same, but a sample of the newest one's time takes its place. */
enum tsdb_append tsdb_put(struct tsdb *db, struct series *s, int64_t t_ms, double v);
/* A hint that a sample will be appended soon; s itself should be in the cache by now. */
void series_prefetch(const struct series *s);
/* Time of the newest sample; INT64_MIN: none. */
int64_t series_newest(const struct series *s);

/* Tells fn of every sample of a series named `name` whose value is not, to the bit, that of the
 * series' sample before: first samples and stale markers too. fn is called from inside tsdb_append
 * and tsdb_put, after the sample is in, and may only take notes: no append, no tsdb_series, no
 * watch or unwatch. Series that nobody watches pay nothing. End with tsdb_unwatch, before
 * tsdb_free. */
struct tsdb_watch;
typedef void tsdb_watch_fn(void *arg, struct series *s, int64_t t_ms, double v);
struct tsdb_watch *tsdb_watch(struct tsdb *db, struct str name, tsdb_watch_fn *fn, void *arg);
void tsdb_unwatch(struct tsdb_watch *w); /* NULL is fine */
/* The same for those series that wants says true of, now and ever. It is asked once a series, so
 * thousands may watch parts of one name. */
struct tsdb_watch *tsdb_watch_some(struct tsdb *db, struct str name,
                                   bool (*wants)(void *arg, const struct series *s),
                                   tsdb_watch_fn *fn, void *arg);

enum match_op { MATCH_EQ, MATCH_NE, MATCH_RE, MATCH_NRE };
struct matcher {
    enum match_op op;
    struct str name, value;
    bool (*regex)(const void *ctx, struct str value); /* RE, NRE */
    const void *ctx;
};
/* Calls fn for every series that matches all; fn must not append or make series. The first search
 * by the value of a label name makes an index of that name, where it narrows the search much. */
void tsdb_select(struct tsdb *db, const struct matcher *m, size_t n,
                 void (*fn)(void *arg, struct series *s), void *arg);
/* Another number whenever a series has been made or has gone: while it is the same, the same
 * selection yields the same series. */
uint64_t tsdb_shape(const struct tsdb *db);
bool matcher_matches(const struct matcher *m, struct str value); /* absent label: empty value */
bool series_matches(const struct series *s, const struct matcher *m, size_t n); /* all of them */

/* Samples of one series in order of time. */
struct series_iter {
    const struct series *s;
    size_t chunk, at, left;
    int64_t t, delta;
    uint64_t bits;
    bool has;
};
/* Positions before the first sample at or after from_ms. */
void series_seek(struct series_iter *it, const struct series *s, int64_t from_ms);
bool series_next(struct series_iter *it, int64_t *ret_t, double *ret_v);
/* The newest sample at or before t_ms and after t_ms - back_ms; false if there is none. */
bool series_at(const struct series *s, int64_t t_ms, int64_t back_ms, int64_t *ret_t,
               double *ret_v);

/* Drops all samples and keeps the series. */
void tsdb_forget(struct tsdb *db);
/* What the clocks show. If the wall clock went back by more than 5 s since the last call, after
 * which every new sample would be older than the newest, all samples are dropped. Returns by how
 * many ms it did, or 0. */
int64_t tsdb_clock(struct tsdb *db, int64_t wall_ms, int64_t mono_ms);
/* Drops what is older than the retention, and series without samples and references. */
void tsdb_sweep(struct tsdb *db, int64_t now_ms);
size_t tsdb_bytes(const struct tsdb *db);
bool tsdb_is_full(const struct tsdb *db); /* more bytes than max_bytes; a sweep may help */
size_t tsdb_series_count(const struct tsdb *db);
size_t tsdb_max_series(const struct tsdb *db);
uint64_t tsdb_samples_total(const struct tsdb *db); /* appended since the start */

#endif
