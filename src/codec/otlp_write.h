/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes the messages of OTLP metrics (opentelemetry.proto.metrics.v1) into a buffer. The three
 * outer levels are opened and closed with pb_begin and pb_end by the caller; attributes come as
 * bytes that were written once (otlp_put_attribute), because they never change. */
#ifndef FB_CODEC_OTLP_WRITE_H
#define FB_CODEC_OTLP_WRITE_H

#include <stdint.h>

#include "base/buf.h"
#include "codec/protobuf_write.h"

/* Field numbers that callers need. */
enum {
    OTLPW_REQUEST_RESOURCE_METRICS = 1,
    OTLPW_RESOURCE_METRICS_RESOURCE = 1,
    OTLPW_RESOURCE_METRICS_SCOPE_METRICS = 2,
    OTLPW_RESOURCE_ATTRIBUTES = 1,
    OTLPW_SCOPE_METRICS_SCOPE = 1,
    OTLPW_SCOPE_METRICS_METRICS = 2,
    OTLPW_SCOPE_NAME = 1,
    OTLPW_SCOPE_VERSION = 2,
    OTLPW_SCOPE_ATTRIBUTES = 3,
    OTLPW_METRIC_NAME = 1,
    OTLPW_METRIC_DESCRIPTION = 2,
    OTLPW_METRIC_UNIT = 3,
    OTLPW_METRIC_METADATA = 12,
    OTLPW_DATA_POINTS = 1, /* in each kind of data */
    OTLPW_NUMBER_ATTRIBUTES = 7,
    OTLPW_HISTOGRAM_ATTRIBUTES = 9,
    OTLPW_SUMMARY_ATTRIBUTES = 7,
    OTLPW_NUMBER_EXEMPLARS = 5,
    OTLPW_HISTOGRAM_EXEMPLARS = 8,
};

enum otlpw_value_kind { OTLPW_TEXT, OTLPW_BOOL, OTLPW_INT, OTLPW_DOUBLE };

struct otlpw_value {
    enum otlpw_value_kind kind;
    struct str text; /* "true", "12", "0.5" of the others */
};

static inline struct otlpw_value otlpw_text(struct str s)
{
    return (struct otlpw_value){OTLPW_TEXT, s};
}

/* A KeyValue. */
void otlp_put_attribute(struct buf *out, unsigned field, struct str key,
                        const struct otlpw_value *value);

/* What a metric holds: opens Gauge, Sum or the others inside a Metric; close with otlp_end_data. */
enum otlpw_data { OTLPW_GAUGE, OTLPW_SUM, OTLPW_COUNTER, OTLPW_HISTOGRAM, OTLPW_SUMMARY };
size_t otlp_begin_data(struct buf *out, enum otlpw_data kind);
void otlp_end_data(struct buf *out, enum otlpw_data kind, size_t at); /* cumulative */

struct otlpw_point {
    struct str attributes; /* as written with the kind's field number */
    struct str exemplars;  /* likewise */
    uint64_t start_ns;     /* 0: unknown */
    uint64_t time_ns;
    bool no_value; /* the flag: stale */
};

void otlp_put_number(struct buf *out, const struct otlpw_point *p, double value);
/* counts: one more than bounds; NULL sum: unset. */
void otlp_put_histogram(struct buf *out, const struct otlpw_point *p, uint64_t count,
                        const double *sum, const double *bounds, const uint64_t *counts,
                        size_t n_bounds);

struct otlpw_quantile {
    double quantile, value;
};
void otlp_put_summary(struct buf *out, const struct otlpw_point *p, uint64_t count, double sum,
                      const struct otlpw_quantile *q, size_t n);

/* An Exemplar. trace_id and span_id: 16 and 8 bytes, or empty; attributes: pairs of key, text. */
void otlp_put_exemplar(struct buf *out, unsigned field, uint64_t time_ns, double value,
                       struct str trace_id, struct str span_id, const struct str (*attributes)[2],
                       size_t n_attributes);

#endif
