/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/otlp_write.h"

#include <math.h>

void otlp_put_attribute(struct buf *out, unsigned field, struct str key,
                        const struct otlpw_value *v)
{
    size_t pair = pb_begin(out, field), value;
    int64_t i = 0;
    double d = 0;

    pb_put_bytes(out, 1, key);
    value = pb_begin(out, 2);
    switch (v->kind) {
    case OTLPW_TEXT:
        pb_put_bytes(out, 1, v->text);
        break;
    case OTLPW_BOOL:
        pb_put_varint(out, 2, str_is(v->text, "true"));
        break;
    case OTLPW_INT:
        str_to_i64(v->text, &i);
        pb_put_varint(out, 3, (uint64_t)i);
        break;
    case OTLPW_DOUBLE:
        str_to_double(v->text, &d);
        pb_put_double(out, 4, d);
        break;
    }
    pb_end(out, value);
    pb_end(out, pair);
}

size_t otlp_begin_data(struct buf *out, enum otlpw_data kind)
{
    static const unsigned fields[] = {5, 7, 7, 9, 11};

    return pb_begin(out, fields[kind]);
}

void otlp_end_data(struct buf *out, enum otlpw_data kind, size_t at)
{
    if (kind != OTLPW_GAUGE && kind != OTLPW_SUMMARY)
        pb_put_varint(out, 2, 2); /* AGGREGATION_TEMPORALITY_CUMULATIVE */
    if (kind == OTLPW_COUNTER)
        pb_put_varint(out, 3, 1); /* is_monotonic */
    pb_end(out, at);
}

/* The flags' field number differs, the times do not. */
static void put_times(struct buf *out, const struct otlpw_point *p)
{
    if (p->start_ns)
        pb_put_fixed64(out, 2, p->start_ns);
    pb_put_fixed64(out, 3, p->time_ns);
}

void otlp_put_number(struct buf *out, const struct otlpw_point *p, double value)
{
    size_t at = pb_begin(out, OTLPW_DATA_POINTS);

    put_times(out, p);
    if (!p->no_value)
        pb_put_double(out, 4, value);
    buf_add_str(out, p->exemplars);
    buf_add_str(out, p->attributes);
    if (p->no_value)
        pb_put_varint(out, 8, 1);
    pb_end(out, at);
}

void otlp_put_histogram(struct buf *out, const struct otlpw_point *p, uint64_t count,
                        const double *sum, const double *bounds, const uint64_t *counts,
                        size_t n_bounds)
{
    size_t at = pb_begin(out, OTLPW_DATA_POINTS), list;

    put_times(out, p);
    if (!p->no_value) {
        pb_put_fixed64(out, 4, count);
        if (sum)
            pb_put_double(out, 5, *sum);
    }
    list = pb_begin(out, 6);
    for (size_t i = 0; i <= n_bounds; i++)
        pb_put_raw64(out, p->no_value ? 0 : counts[i]);
    pb_end(out, list);
    if (n_bounds) {
        list = pb_begin(out, 7);
        for (size_t i = 0; i < n_bounds; i++)
            pb_put_raw64(out, pb_double_bits(bounds[i]));
        pb_end(out, list);
    }
    buf_add_str(out, p->exemplars);
    buf_add_str(out, p->attributes);
    if (p->no_value)
        pb_put_varint(out, 10, 1);
    pb_end(out, at);
}

void otlp_put_summary(struct buf *out, const struct otlpw_point *p, uint64_t count, double sum,
                      const struct otlpw_quantile *q, size_t n)
{
    size_t at = pb_begin(out, OTLPW_DATA_POINTS);

    put_times(out, p);
    if (!p->no_value) {
        pb_put_fixed64(out, 4, count);
        pb_put_double(out, 5, sum);
    }
    for (size_t i = 0; i < n; i++) {
        size_t one = pb_begin(out, 6);

        pb_put_double(out, 1, q[i].quantile);
        if (!p->no_value)
            pb_put_double(out, 2, q[i].value);
        pb_end(out, one);
    }
    buf_add_str(out, p->attributes);
    if (p->no_value)
        pb_put_varint(out, 8, 1);
    pb_end(out, at);
}

void otlp_put_exemplar(struct buf *out, unsigned field, uint64_t time_ns, double value,
                       struct str trace_id, struct str span_id, const struct str (*attributes)[2],
                       size_t n_attributes)
{
    size_t at = pb_begin(out, field);

    pb_put_fixed64(out, 2, time_ns);
    pb_put_double(out, 3, value);
    pb_put_bytes_if(out, 4, span_id);
    pb_put_bytes_if(out, 5, trace_id);
    for (size_t i = 0; i < n_attributes; i++) {
        struct otlpw_value text = otlpw_text(attributes[i][1]);

        otlp_put_attribute(out, 7, attributes[i][0], &text);
    }
    pb_end(out, at);
}
