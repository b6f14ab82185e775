/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/remote_write.h"

#include <snappy-c.h>
#include <stdlib.h>

#include "base/mem.h"
#include "codec/protobuf.h"

#define LABELS_MAX 256

enum { REQUEST_TIMESERIES = 1 };
enum { SERIES_LABEL = 1, SERIES_SAMPLE = 2 };
enum { LABEL_NAME = 1, LABEL_VALUE = 2 };
enum { SAMPLE_VALUE = 1, SAMPLE_TIME = 2 };

static int broken(struct err *err)
{
    return err_set(err, ERR_BAD_INPUT, "the body is no remote write 1.0 message (protobuf)");
}

static bool read_label(struct str m, struct label *ret)
{
    struct pb_field f;

    *ret = (struct label){STR(""), STR("")};
    while (m.n) {
        if (!pb_next(&m, &f))
            return false;
        if (f.wire == PB_BYTES && f.number == LABEL_NAME)
            ret->name = f.bytes;
        else if (f.wire == PB_BYTES && f.number == LABEL_VALUE)
            ret->value = f.bytes;
    }
    return true;
}

static bool read_sample(struct str m, int64_t *ret_t, double *ret_v)
{
    struct pb_field f;

    *ret_t = 0;
    *ret_v = 0;
    while (m.n) {
        if (!pb_next(&m, &f))
            return false;
        if (f.wire == PB_64 && f.number == SAMPLE_VALUE)
            *ret_v = pb_double(f.value);
        else if (f.wire == PB_VARINT && f.number == SAMPLE_TIME)
            *ret_t = (int64_t)f.value;
    }
    return true;
}

static int read_labels(struct str m, struct label *labels, size_t *ret_n, struct err *err)
{
    bool has_name = false;
    struct pb_field f;
    struct label l;
    size_t n = 0;

    while (m.n) {
        if (!pb_next(&m, &f))
            return broken(err);
        if (f.number != SERIES_LABEL || f.wire != PB_BYTES)
            continue;
        if (!read_label(f.bytes, &l))
            return broken(err);
        if (l.name.n == 0)
            return err_set(err, ERR_BAD_INPUT, "a label has no name");
        has_name |= str_is(l.name, "__name__") && l.value.n;
        if (l.value.n == 0)
            continue; /* the same as absent */
        for (size_t i = 0; i < n; i++)
            if (str_eq(labels[i].name, l.name))
                return err_set(err, ERR_BAD_INPUT, "label '%.*s' is given twice", STR_ARG(l.name));
        if (n == LABELS_MAX)
            return err_set(err, ERR_BAD_INPUT, "a series has more than %d labels", LABELS_MAX);
        labels[n++] = l;
    }
    *ret_n = n;
    return n && has_name ? 0 : err_set(err, ERR_BAD_INPUT, "a series has no label __name__");
}

static int store_series(struct tsdb *db, struct str m, struct remote_write_stats *st,
                        struct err *err)
{
    struct label labels[LABELS_MAX];
    struct series *s;
    struct pb_field f;
    size_t n = 0;
    int64_t t;
    double v;
    int r = read_labels(m, labels, &n, err);

    if (r < 0)
        return r;
    s = tsdb_series(db, labels, n);
    st->series++;
    while (m.n && pb_next(&m, &f)) {
        if (f.number != SERIES_SAMPLE || f.wire != PB_BYTES)
            continue;
        if (!read_sample(f.bytes, &t, &v)) {
            r = broken(err);
            break;
        }
        switch (tsdb_append(db, s, t, v)) {
        case TSDB_APPENDED:
            st->samples++;
            break;
        case TSDB_DUPLICATE:
            st->duplicates++;
            break;
        case TSDB_OUT_OF_ORDER:
            st->out_of_order++;
            break;
        }
    }
    tsdb_release(s);
    return r;
}

int remote_write_message(struct tsdb *db, struct str m, struct remote_write_stats *ret,
                         struct err *err)
{
    struct pb_field f;
    int r;

    *ret = (struct remote_write_stats){0};
    while (m.n) {
        if (!pb_next(&m, &f))
            return broken(err);
        if (f.number == REQUEST_TIMESERIES && f.wire == PB_BYTES &&
            (r = store_series(db, f.bytes, ret, err)) < 0)
            return r;
    }
    return 0;
}

int remote_write(struct tsdb *db, struct str body, struct remote_write_stats *ret, struct err *err)
{
    size_t n = 0;
    char *plain;
    int r;

    *ret = (struct remote_write_stats){0};
    if (snappy_uncompressed_length(body.n ? body.p : "", body.n, &n) != SNAPPY_OK)
        return err_set(err, ERR_BAD_INPUT, "the body is not compressed with snappy (block format)");
    if (n > REMOTE_WRITE_MAX)
        return err_set(err, ERR_LIMIT, "the body is %zu bytes uncompressed, at most %zu are taken",
                       n, REMOTE_WRITE_MAX);
    plain = mem_alloc(n + 1);
    if (snappy_uncompress(body.p, body.n, plain, &n) != SNAPPY_OK)
        r = err_set(err, ERR_BAD_INPUT, "the body is cut or damaged (snappy)");
    else
        r = remote_write_message(db, str_n(plain, n), ret, err);
    free(plain);
    return r;
}
