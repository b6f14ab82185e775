/* SPDX-License-Identifier: Apache-2.0
 *
 * The model of a page: sections (one resource and scope each) hold families (metrics), these hold
 * points; entries lead from a line of the page to its part of a point. */
#ifndef FB_AGENT_PAGE_INT_H
#define FB_AGENT_PAGE_INT_H

#include "agent/page.h"
#include "base/table.h"

/* What TYPE, HELP and UNIT said of a family. */
struct meta {
    enum promtext_type type;
    bool has_type;
    char *help, *unit; /* NULL: none */
};

/* Of a histogram, or a quantile of a summary; in order of their bounds. */
struct bucket {
    struct bucket *next;
    double bound, value;
    uint64_t seen;
};

struct point {
    struct point *next; /* in its family */
    struct family *family;
    struct str key;   /* metric and labels; owned */
    struct str attrs; /* as written; owned */
    double value, sum, count;
    uint64_t touched; /* the newest scrape with a line of it */
    uint64_t seen;    /* the scrape with its newest sample; likewise of the parts */
    uint64_t value_seen, sum_seen, count_seen;
    int64_t start_ms; /* 0: unknown */
    int64_t own_ms;   /* a time of its own, valid with has_time */
    bool has_time;
    bool is_gone; /* at own_ms: to be told as stale */
    struct bucket *buckets;
};

struct family {
    struct family *next; /* in its section */
    struct section *section;
    char *name;
    enum otlpw_data data;
    enum promtext_type type;
    const struct meta *meta; /* NULL: none */
    struct point *points, **points_tail;
};

struct section {
    struct section *next;
    struct str key;
    struct buf resource, scope; /* contents of the two messages */
    struct family *families, **families_tail;
};

enum role { ROLE_NONE, ROLE_VALUE, ROLE_BUCKET, ROLE_SUM, ROLE_COUNT, ROLE_CREATED, ROLE_TARGET };

struct entry {
    enum role role;
    struct point *point;
    struct bucket *bucket; /* ROLE_BUCKET, quantiles too */
    uint64_t seen;
};

struct pending {
    struct entry *entry;
    double value;
    int64_t t_ms;
    bool has_time;
};

struct exemplar {
    struct point *point;
    size_t at, n; /* in exemplars */
};

enum own {
    OWN_UP,
    OWN_DURATION,
    OWN_SCRAPED,
    OWN_AFTER_RELABELING,
    OWN_ADDED,
    OWN_COUNT,
};

struct page {
    const struct agent_config *config;
    const struct agent_job *job;
    const struct agent_target *target;
    struct arena scratch; /* while a series is made */
    struct table metas;   /* name -> struct meta */
    struct table entries; /* line key -> struct entry */
    struct table points;  /* key -> struct point that is not gone */
    struct section *sections, **sections_tail;
    struct point *own[OWN_COUNT]; /* NULL: dropped by a filter */
    struct attrs target_info;
    struct arena target_info_arena;
    char *target_info_line;
    unsigned target_info_no;

    uint64_t scrape; /* number of the last one that answered */
    int64_t t_ms;
    uint64_t hash; /* of the page; 0: nothing to compare with */
    size_t size;
    bool has_times, has_news;

    /* while a page is read */
    enum promtext_format format;
    struct pending *pending;
    size_t n_pending, cap_pending, n_added;
    struct buf exemplar_bytes;
    struct exemplar *exemplars;
    size_t n_exemplars, cap_exemplars;
    int64_t now_ms;
    bool must_rebuild; /* what the series were made from is not true any more */
    bool is_over;      /* the sample limit */
};

/* page_series.c: makes the entry of a line, of role ROLE_NONE where it is of no use. */
void series_make(struct page *p, const struct promtext_sample *s, struct entry *ret);
void series_make_own(struct page *p);
/* Keeps the labels of a target_info line. */
void series_target_info(struct page *p, const struct promtext_sample *s);
void series_free_point(struct point *pt);
void series_free_section(struct section *s);
/* Frees the points that are gone: all, or only those that were never told. page_write.c */
void page_forget(struct page *p, bool all);
/* UCUM's code of a Prometheus unit ("seconds" -> "s"), or the unit itself; out must outlive it. */
struct str series_unit(struct str unit, char out[64]);
extern const struct meta series_own_meta[OWN_COUNT];

#endif
