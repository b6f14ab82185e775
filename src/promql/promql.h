/* SPDX-License-Identifier: Apache-2.0
 *
 * PromQL over the tsdb: parsed once, evaluated as often as one likes. Float samples. Ranges and
 * look-back are open on the left, as in current Prometheus. */
#ifndef FB_PROMQL_PROMQL_H
#define FB_PROMQL_PROMQL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "tsdb/tsdb.h"

struct promql;

/* ERR_BAD_INPUT: "1:5: parse error: ..." */
int promql_parse(struct str text, struct promql **ret, struct err *err);
void promql_free(struct promql *q);

enum promql_type { PROMQL_SCALAR, PROMQL_STRING, PROMQL_VECTOR, PROMQL_MATRIX };

struct promql_sample {
    struct labels labels;
    double v;
};

struct promql_point {
    int64_t t_ms;
    double v;
};

struct promql_series {
    struct labels labels;
    struct promql_point *points;
    size_t n, cap;
};

struct promql_result {
    struct arena arena; /* holds everything below */
    enum promql_type type;
    int64_t t_ms;
    double scalar;
    struct str string;
    struct promql_sample *vector;
    struct promql_series *matrix;
    size_t n;
    struct buf warnings; /* one a line */
};

struct promql_options {
    int64_t lookback_ms; /* 0: 5 min */
    size_t max_samples;  /* 0: 50 million */
    /* Narrow every selector, as if they stood in it. */
    const struct matcher *matchers;
    size_t n_matchers;
};

int promql_instant(struct tsdb *db, const struct promql *q, int64_t t_ms,
                   const struct promql_options *o, struct promql_result *ret, struct err *err);
/* Always a matrix. At most 11,000 steps. */
int promql_range(struct tsdb *db, const struct promql *q, int64_t start_ms, int64_t end_ms,
                 int64_t step_ms, const struct promql_options *o, struct promql_result *ret,
                 struct err *err);
/* The same step by step, for who must not hold up a loop: between two steps the store may change.
 * Memory is that of the result and of one step. db, q and what o points to are borrowed until the
 * job is freed. */
struct promql_job;
int promql_job_new(struct tsdb *db, const struct promql *q, int64_t start_ms, int64_t end_ms,
                   int64_t step_ms, const struct promql_options *o, struct promql_job **ret,
                   struct err *err);
/* 1: there is another step; 0: that was the last one; negative: it has failed. */
int promql_job_step(struct promql_job *j, struct err *err);
/* After the last step; moves it into *ret. */
void promql_job_result(struct promql_job *j, struct promql_result *ret);
void promql_job_free(struct promql_job *j); /* NULL is fine */
void promql_result_done(struct promql_result *r);
enum promql_type promql_type_of(const struct promql *q);

/* For triggers. */
const char *promql_text(const struct promql *q);      /* as it was given */
bool promql_is_bare_selector(const struct promql *q); /* nothing but metric{...} [offset] */
/* A comparison or set operator anywhere: an empty answer is then an answer. */
bool promql_may_be_empty(const struct promql *q);
/* Series that the expression's selectors match now, each once. */
void promql_each_series(struct tsdb *db, const struct promql *q,
                        void (*fn)(void *arg, struct series *s), void *arg);

/* The matchers of every selector of the expression, borrowed from it. */
void promql_each_selector(const struct promql *q,
                          void (*fn)(void *arg, const struct matcher *m, size_t n), void *arg);

/* The one metric that a selector's series are of; STR_NONE: none is named. */
struct str promql_metric_of(const struct matcher *m, size_t n);

/* {"resultType":...,"result":...} as the HTTP API writes it. */
void promql_write_json(struct buf *out, const struct promql_result *r);
/* Go's formatting of a float: 1e-07, +Inf, NaN. */
void promql_write_float(struct buf *out, double v);
/* "5m", "1h30m", "90": milliseconds. */
bool promql_parse_duration(struct str s, int64_t *ret_ms);
/* Matchers of a selector text for /series and friends; each via fn's matchers. */
int promql_parse_selector(struct str text, struct promql **ret, const struct matcher **ret_m,
                          size_t *ret_n, struct err *err);

#endif
