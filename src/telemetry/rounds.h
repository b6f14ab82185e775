/* SPDX-License-Identifier: Apache-2.0
 *
 * Scrape rounds: all pods of one workload are scraped at the same instants (offset: hash of the
 * workload, never of the pod), and every sample of a round carries the round's time. A round is
 * over when every target has answered, or at half the interval. So a sum over pods never mixes two
 * instants.
 *
 * Targets are Running pods with the annotation prometheus.io/scrape: "true" (port, path, scheme
 * beside it). */
#ifndef FB_TELEMETRY_ROUNDS_H
#define FB_TELEMETRY_ROUNDS_H

#include "base/buf.h"
#include "kube/cluster.h"
#include "net/http_client.h"
#include "tsdb/tsdb.h"

struct rounds;

struct rounds_options {
    struct cluster *cluster;
    struct http_client *http;
    struct tsdb *db;
    int64_t interval_ms; /* 0: 250 */
};

struct rounds *rounds_new(const struct rounds_options *o);
void rounds_free(struct rounds *r);
/* fn after each round of the workload (by its name: a Deployment and a StatefulSet of one name
 * share their rounds); complete: no target that worked within the last 10 s is missing from it. */
typedef void rounds_fn(void *arg, int64_t round_ms, bool complete);
void rounds_subscribe(struct rounds *r, struct str ns, struct str workload, rounds_fn *fn,
                      void *arg);
/* One more round of that workload right away: for who wants to look twice before acting. */
void rounds_again(struct rounds *r, struct str ns, struct str workload);
void rounds_unsubscribe(struct rounds *r, rounds_fn *fn, void *arg);
int64_t rounds_interval_ms(const struct rounds *r);
/* JSON for /api/v1/targets (activeTargets) and for http_sd. */
void rounds_write_targets(const struct rounds *r, struct buf *out);
void rounds_write_sd(const struct rounds *r, struct buf *out);

#endif
