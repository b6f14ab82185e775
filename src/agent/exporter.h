/* SPDX-License-Identifier: Apache-2.0
 *
 * One exporter: a bounded queue of requests, sent one after another, so that the newest value
 * always comes last. What waits goes out together: serialized requests that are put behind one
 * another are one request, so after an outage the receiver learns the past and the present in one
 * step and nobody acts on the past.
 *
 * Retries as the collector does them (retry_on_failure), no sooner than the receiver asks. While
 * the receiver cannot be reached and the configuration does not set initial_interval, they come
 * sooner: 100 ms to 5 s. A full queue drops its oldest requests. What the receiver refuses for
 * good, and what it takes only in part, is logged, not sent again.
 *
 * The way to the receiver is injected. */
#ifndef FB_AGENT_EXPORTER_H
#define FB_AGENT_EXPORTER_H

#include "agent/config.h"
#include "net/grpc.h"
#include "net/loop.h"

struct exporter;

struct exporter_transport {
    void *ctx;
    /* Ends in exporter_sent, never from inside. The message is borrowed during the call. */
    void (*send)(void *ctx, struct exporter *e, struct str message);
    void (*cancel)(void *ctx);  /* the call that runs, silently */
    bool (*is_lost)(void *ctx); /* the connection of the last success has ended; may be NULL */
    void (*free)(void *ctx);
};

/* Takes the transport. config is borrowed. */
struct exporter *exporter_new(struct loop *l, const struct agent_exporter *config,
                              const struct exporter_transport *transport);
void exporter_free(struct exporter *e); /* drops what waits */
/* An ExportMetricsServiceRequest; copied. */
void exporter_push(struct exporter *e, struct str request);
/* fn, when nothing waits any more or the time is over: retries no more. Once. */
void exporter_drain(struct exporter *e, int64_t timeout_ms, void (*fn)(void *arg), void *arg);

/* By the transport: how the call ended, and the answer's bytes. */
void exporter_sent(struct exporter *e, const struct grpc_status *status, struct str answer);

/* The receiver has gone away since it took the last request, and nothing waits: it may have begun
 * anew and know nothing, so it should get all again instead of waiting for the next change. */
bool exporter_is_lost(const struct exporter *e);
size_t exporter_waiting(const struct exporter *e); /* requests, the one under way too */
uint64_t exporter_dropped(const struct exporter *e);
const struct agent_exporter *exporter_config(const struct exporter *e);

/* Transports: gRPC, and the log. */
int exporter_grpc(struct loop *l, const struct agent_exporter *config,
                  struct exporter_transport *ret, struct err *err);
void exporter_debug(struct loop *l, struct exporter_transport *ret);

#endif
