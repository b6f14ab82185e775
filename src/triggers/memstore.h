/* SPDX-License-Identifier: Apache-2.0
 *
 * The otel-add-on's REST interface to its store (otel.md 4.7), over the built-in store:
 *
 *   GET  /memstore/names    names of metrics
 *   GET  /memstore/data     name -> series: labels, samples of the last 120 s, operations over time
 *   POST /memstore/query    {"query": ..., "operationOverTime": ...}
 *   POST /memstore/reset    drops all samples, scraped ones too; needs the token
 *   GET  /info              version, ports, settings */
#ifndef FB_TRIGGERS_MEMSTORE_H
#define FB_TRIGGERS_MEMSTORE_H

#include "net/http_server.h"
#include "tsdb/tsdb.h"

struct memstore {
    struct loop *loop;
    struct tsdb *db;   /* borrowed for life, as the token */
    const char *token; /* "Authorization: Bearer TOKEN" of who may reset; NULL: nobody */
    uint16_t otlp_port, scaler_port, web_port;
};

/* ctx: the struct memstore. False: not one of these paths, and nothing was done with it. */
bool memstore_take(void *ctx, struct http_x *x);

#endif
