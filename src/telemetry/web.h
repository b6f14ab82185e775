/* SPDX-License-Identifier: Apache-2.0
 *
 * The web port: Prometheus' HTTP API over the built-in store, flyball's own /metrics, /sd/pods for
 * http_sd. The Host header is held against a list, so that no web page reaches it by DNS rebinding.
 */
#ifndef FB_TELEMETRY_WEB_H
#define FB_TELEMETRY_WEB_H

#include "net/http_server.h"
#include "telemetry/rounds.h"

struct web;

struct web_options {
    struct net_addr listen;
    struct tsdb *db;
    struct rounds *rounds; /* may be NULL */
    bool takes_remote_write;
    /* Exposition text of flyball's own series. */
    void (*own_metrics)(void *ctx, struct buf *out);
    /* Why there are that many replicas: text, or JSON for o=json. Returns the HTTP status. */
    int (*explain)(void *ctx, struct str query, struct buf *out);
    void *ctx;
    /* Asked before the paths of the web port itself; false: not mine. May be NULL. */
    bool (*take)(void *ctx, struct http_x *x);
    void *take_ctx;
};

int web_new(struct loop *l, const struct web_options *o, struct web **ret, struct err *err);
struct net_addr web_addr(const struct web *w);
void web_free(struct web *w);

#endif
