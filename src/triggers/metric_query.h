/* SPDX-License-Identifier: Apache-2.0
 *
 * A metricQuery on the built-in store, and an operation over time: first the operation on each
 * series' samples of the last 120 s, then the query's function over the series (otel.md 4.3, 4.4).
 *
 * A query is read as the add-on writes it, with its matching rule; else as PromQL that yields a
 * vector or a scalar, where several series are summed; else it is refused. An operation over time
 * goes with the add-on's form and with a plain PromQL selector; other PromQL has its own.
 *
 * A series counts while its newest sample is younger than the window and no staleness marker. */
#ifndef FB_TRIGGERS_METRIC_QUERY_H
#define FB_TRIGGERS_METRIC_QUERY_H

#include "base/buf.h"
#include "tsdb/tsdb.h"

#define METRIC_QUERY_WINDOW_MS 120000

enum over_time { OVER_LAST, OVER_RATE, OVER_COUNT, OVER_AVG, OVER_MIN, OVER_MAX, OVER_TIMES };

/* "last_one", "rate", ...; empty is last_one. ERR_BAD_INPUT lists those that exist. */
int over_time_parse(struct str text, enum over_time *ret, struct err *err);
const char *over_time_name(enum over_time op);
/* All of them for one series; false: it does not count. */
bool metric_over_time(const struct series *s, int64_t now_ms, double ret[OVER_TIMES]);

struct metric_query;

/* ERR_BAD_INPUT says what is wrong with it either way. */
int metric_query_parse(struct str text, enum over_time op, struct metric_query **ret,
                       struct err *err);
void metric_query_free(struct metric_query *q);
struct str metric_query_text(const struct metric_query *q);
/* "sum", "avg", ...; "promql". */
const char *metric_query_function(const struct metric_query *q);
/* The metric's name as the query has it; empty for PromQL. */
struct str metric_query_name(const struct metric_query *q);

/* Its labels as "pod=a,namespace=x"; nothing for PromQL. */
void metric_query_labels(const struct metric_query *q, struct buf *out);

struct metric_reading {
    bool is_found;       /* some series counts (PromQL: the answer is not empty) */
    bool is_known;       /* there are samples of that name, though none may count */
    bool has_series;     /* or at least series: their samples were dropped */
    bool is_empty_meant; /* PromQL whose empty answer is an answer (a comparison) */
    double value;        /* 0 if not found; may be NaN or infinite */
    size_t n;            /* series that count */
    int64_t newest_ms;   /* newest sample of them all, */
    int64_t oldest_ms;   /* and the newest sample of the one that is farthest behind */
};

/* Cheap to repeat: which series it reads is found again only when some have come or gone. ERR_LIMIT
 * and the like: PromQL that cannot be evaluated. */
int metric_query_read(struct metric_query *q, struct tsdb *db, int64_t now_ms,
                      struct metric_reading *ret, struct err *err);

/* Tells fn of every changed sample that the query would read; fn is called as tsdb_watch says. */
struct metric_watch;
struct metric_watch *metric_query_watch(const struct metric_query *q, struct tsdb *db,
                                        void (*fn)(void *arg, int64_t t_ms), void *arg);
void metric_query_unwatch(struct metric_watch *w); /* NULL is fine */

#endif
