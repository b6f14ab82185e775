/* SPDX-License-Identifier: Apache-2.0
 *
 * metricQuery: the first byte chooses the operation over time, the rest is the query. What is taken
 * is read on a small store. */
#include <stdint.h>

#include "triggers/metric_query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct label labels[] = {{STR("__name__"), STR("m")}, {STR("a"), STR("b")}};
    static struct tsdb *db;
    struct metric_query *q;
    struct metric_reading r;
    struct err err = ERR_INIT;

    if (!db) {
        struct series *s;

        db = tsdb_new(&(struct tsdb_options){0});
        s = tsdb_series(db, labels, 2);
        for (int i = 0; i < 10; i++)
            tsdb_append(db, s, i * 1000, i);
        tsdb_release(s);
    }
    if (size == 0)
        return 0;
    if (metric_query_parse(str_n(data + 1, size - 1), data[0] % (OVER_MAX + 1), &q, &err) < 0) {
        if (!err.msg[0])
            __builtin_trap();
        return 0;
    }
    metric_query_unwatch(metric_query_watch(q, db, NULL, NULL));
    if (metric_query_read(q, db, 10000, &r, &err) < 0 && !err.msg[0])
        __builtin_trap();
    metric_query_free(q);
    return 0;
}
