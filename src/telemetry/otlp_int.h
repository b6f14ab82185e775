/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the receiver. otlp.c takes requests apart and counts; otlp_resource.c knows who sends;
 * otlp_series.c finds and makes series; otlp_group.c keeps points that are several series, or that
 * must be added up; otlp_buckets.c folds exponential histograms. */
#ifndef FB_TELEMETRY_OTLP_INT_H
#define FB_TELEMETRY_OTLP_INT_H

#include "base/table.h"
#include "codec/otlp.h"
#include "telemetry/otlp.h"
#include "telemetry/target_labels.h"

#define OTLP_LABELS_MAX 128
#define OTLP_LABEL_BYTES_MAX 65536 /* of one series */
#define OTLP_REASONS_MAX 32

/* Who sends: one distinct resource, by its bytes. */
struct otlp_resource {
    uint32_t id; /* never used twice */
    struct str raw;
    struct target_labels labels;
    char *ns, *pod, *uid; /* of the pod it names; NULL: none */
    const char *refused;  /* why nothing is taken from it any more; NULL: it is */
    struct series *info;  /* target_info; NULL: nothing to say, or no sample yet */
    bool has_info;
    int64_t used_ms;
};

/* Samples of one point that is more than one number as it stands. */
struct otlp_group;

/* A known point. Tagged: a series, or a group with bit 0 set. */
struct otlp_entry {
    uint64_t hash;
    uint32_t check; /* more bits of the hash */
    uint32_t resource;
    uintptr_t target; /* 0: to be swept away */
    int64_t start_ms; /* of a sum, as sent last; 0: unknown */
};

struct otlp_reason {
    const char *text; /* static */
    uint64_t n;
};

struct otlp {
    struct otlp_options o;
    uint64_t seed;
    struct loop_timer sweep;
    struct table resources; /* raw bytes -> struct otlp_resource */
    struct table gone;      /* "namespace/pod" -> struct gone_pod */
    uint32_t last_id;

    struct otlp_entry *entries;
    size_t n_entries, cap_entries;
    uint32_t *slots; /* index + 1 of an entry; 0: free; open addressing */
    size_t n_slots;  /* power of two, or 0 */
    size_t next;     /* senders keep their order: the entry behind the one found last */

    struct otlp_reason reasons[OTLP_REASONS_MAX];
    int64_t made_room_ms; /* when a full store was swept last */
    uint64_t requests, malformed, full, accepted, rejected, bytes;
    struct buf text; /* scratch */
};

/* --- otlp_resource.c --- */

/* The resource of these attributes, made if new; NULL with *why: it cannot be taken. */
struct otlp_resource *otlp_resource_of(struct otlp *o, struct otlp_attributes a, const char **why);
/* A sample of target_info, if the resource has anything to say there. */
void otlp_resource_seen(struct otlp *o, struct otlp_resource *r, int64_t t_ms);
void otlp_resources_open(struct otlp *o);
void otlp_resources_sweep(struct otlp *o, int64_t now_ms);
void otlp_resources_close(struct otlp *o);

/* --- otlp_series.c --- */

/* The series NAME+suffix of a point, with one label more where extra has a name. One reference
 * more; NULL with *why: the store is full, or the labels are too many. */
struct series *otlp_series(struct otlp *o, const struct otlp_resource *r,
                           const struct otlp_point *p, const char *suffix, struct label extra,
                           const char **why);
struct otlp_entry *otlp_find(struct otlp *o, uint64_t hash, uint32_t check);
/* A new entry; valid until the next one. NULL: too many. */
struct otlp_entry *otlp_enter(struct otlp *o, uint64_t hash, uint32_t check);
/* Ends the series of all entries of a resource with staleness markers, and forgets the entries. */
void otlp_end_entries(struct otlp *o, uint32_t resource, int64_t now_ms);
/* Forgets entries without samples since then. */
void otlp_sweep_entries(struct otlp *o, int64_t before_ms);
void otlp_free_entries(struct otlp *o);
/* A staleness marker at t_ms, or right behind the newest sample; none where one is already. */
void otlp_end_series(struct tsdb *db, struct series *s, int64_t t_ms);
/* A counter that began anew without falling: a zero in between tells PromQL of it. */
void otlp_mark_reset(struct tsdb *db, struct series *s, int64_t start_ms, int64_t t_ms, double v);

/* --- otlp_group.c --- */

/* Stores a point; *g is NULL at first. NULL, or why not. */
const char *otlp_group_add(struct otlp *o, struct otlp_group **g, const struct otlp_resource *r,
                           const struct otlp_point *p);
void otlp_group_end(struct tsdb *db, struct otlp_group *g, int64_t now_ms);
int64_t otlp_group_newest(const struct otlp_group *g);
void otlp_group_free(struct otlp_group *g);

/* --- otlp_buckets.c --- */

/* A classic histogram: bucket i counts what is at or below bounds[i], the last bound is +Inf. */
struct otlp_side {
    int32_t first; /* index of counts[0] */
    size_t n, cap;
    uint64_t *counts;
};

struct otlp_fold {
    int32_t scale;
    bool is_open; /* a point was added */
    struct otlp_side positive, negative;
    uint64_t zero, count;
    double threshold;
};

/* Adds a point's counts (is_delta), or takes them for what was there. Bounds once used stay. */
void otlp_fold_add(struct otlp_fold *f, const struct otlp_point *p, bool is_delta);
/* The bounds and cumulative counts, without +Inf; arrays of otlp_fold_size elements. */
size_t otlp_fold_size(const struct otlp_fold *f);
size_t otlp_fold_write(const struct otlp_fold *f, double *ret_bounds, uint64_t *ret_counts);
/* Equal numbers, equal bounds. */
uint64_t otlp_fold_shape(const struct otlp_fold *f);
void otlp_fold_done(struct otlp_fold *f);

#endif
