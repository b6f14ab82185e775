/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "telemetry/otlp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Twice, so that known points are met too. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct loop *loop;
    struct tsdb *db = tsdb_new(&(struct tsdb_options){.retention_ms = -1, .max_series = 500});
    struct otlp_outcome out;
    struct otlp *o;
    struct err err;

    if (!loop)
        loop = loop_new();
    o = otlp_new(&(struct otlp_options){.loop = loop, .db = db});
    for (int i = 0; i < 2; i++)
        otlp_receive(o, str_n(data, size), &out, &err);
    otlp_free(o);
    tsdb_sweep(db, 0);
    tsdb_free(db);
    return 0;
}
