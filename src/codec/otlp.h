/* SPDX-License-Identifier: Apache-2.0
 *
 * OTLP metrics, read: one ExportMetricsServiceRequest in protobuf is checked whole, then walked
 * once, one call a data point; no tree is built. What a point borrows is valid during its call.
 *
 * Resource, name, unit and temporality are given to the points whether they stand before or after
 * them on the wire. Of a oneof the last member counts. */
#ifndef FB_CODEC_OTLP_H
#define FB_CODEC_OTLP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Syntax: 0, or ERR_BAD_INPUT if any part of it is cut, of a wrong wire type, no UTF-8, or nested
 * deeper than OTLP_DEPTH_MAX. */
int otlp_check(struct str request, struct err *err);

enum otlp_kind {
    OTLP_GAUGE = 5, /* numbers of the oneof in Metric */
    OTLP_SUM = 7,
    OTLP_HISTOGRAM = 9,
    OTLP_EXPONENTIAL = 10,
    OTLP_SUMMARY = 11,
};
/* Buckets, bounds or quantiles of a point; one with more is at fault and carries no arrays. */
#define OTLP_BUCKETS_MAX 10000

enum otlp_temporality { OTLP_UNSPECIFIED, OTLP_DELTA, OTLP_CUMULATIVE };

/* Attributes: the raw bytes of a message in which field `number` is KeyValue. Equal bytes, equal
 * attributes. */
struct otlp_attributes {
    struct str bytes;
    unsigned number;
};

/* Buckets of an exponential histogram: counts[i] is that of index offset + i. */
struct otlp_buckets {
    int32_t offset;
    const uint64_t *counts;
    size_t n;
};

struct otlp_point {
    unsigned resource_no, metric_no; /* which one of the request: 1, 2, ... */
    struct otlp_attributes resource;
    struct str name;
    enum otlp_kind kind;
    int temporality; /* enum otlp_temporality, as sent */
    bool is_monotonic;

    struct otlp_attributes attributes;
    uint64_t start_ns, time_ns;
    bool is_absent; /* flag bit 0: no recorded value, the series ends here */
    bool has_value, has_sum;
    double value; /* of a number */
    bool is_int;
    int64_t as_int; /* the exact one, if is_int */
    uint64_t count;
    double sum;
    /* histogram: n_counts is n_bounds + 1, or both 0; summary: values at quantiles */
    const uint64_t *counts;
    const double *bounds; /* quantiles of a summary */
    const double *values; /* of a summary, n_bounds of them */
    size_t n_counts, n_bounds;
    int32_t scale;
    uint64_t zero_count;
    double zero_threshold;
    struct otlp_buckets positive, negative;
};

/* request: one that otlp_check accepted. fn: once a point, in the order of the wire. */
typedef void otlp_point_fn(void *arg, const struct otlp_point *p);
void otlp_walk(struct str request, otlp_point_fn *fn, void *arg);

/* What is wrong with a point by the rules of the data model, or NULL. */
const char *otlp_fault(const struct otlp_point *p);

/* The next attribute; its value as text goes into *text (cleared first): strings as they are,
 * numbers shortest, bytes base64, arrays and lists as JSON; an empty value gives no text. False at
 * the end. */
bool otlp_attribute(struct otlp_attributes *a, struct str *ret_key, struct buf *text);

/* A number as labels `le` and `quantile` carry it: "0.5", "1.0", "1e+06", "+Inf". */
#define OTLP_BOUND_MAX 48
const char *otlp_bound_text(double v, char out[OTLP_BOUND_MAX]);

/* Fields of the answer: ExportMetricsServiceResponse, and google.rpc.Status, in either encoding. */
void otlp_write_response(struct buf *out, bool json, size_t rejected, struct str message);
/* retry_s > 0: with a google.rpc.RetryInfo. */
void otlp_write_status(struct buf *out, bool json, int grpc_code, struct str message, int retry_s);

#endif
