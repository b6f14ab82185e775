/* SPDX-License-Identifier: Apache-2.0
 *
 * Which pods go first when there are to be fewer. Before an HPA lowers a count the pods are marked
 * with their running requests (controller.kubernetes.io/pod-deletion-cost), which is what
 * ReplicaSet controllers, ours and the original's, go by. */
#ifndef FB_CONTROLLERS_VICTIMS_H
#define FB_CONTROLLERS_VICTIMS_H

#include "kube/cluster.h"
#include "tsdb/tsdb.h"

#define DELETION_COST "controller.kubernetes.io/pod-deletion-cost"

/* --- the order, as the ReplicaSet controller has it --- */

struct victim {
    const struct object *o;
    bool is_assigned, is_ready;
    int phase; /* 0 Pending, 1 Unknown, 2 Running */
    int64_t cost, ready_ms, restarts;
    int64_t now_ms; /* ages count by their logarithm: hours apart matter, seconds do not */
};
void victim_read(const struct object *o, const json_t *pod, int64_t now_ms, struct victim *ret);
/* For qsort: the first to go first. */
int victim_compare(const void *a, const void *b);

/* --- running requests --- */

/* Where running requests are known from. A pod's number is the highest of both. */
struct work_source {
    struct tsdb *db; /* model servers' own gauges */
    /* Requests in flight to the pod with this uid; may be NULL. */
    int64_t (*in_flight)(void *ctx, struct str uid);
    void *ctx;
};
int64_t work_of(const struct work_source *w, const struct object *pod, int64_t now_ms);

/* Marks the pods of the selector with their running requests, then calls done, in a later turn.
 * Pods whose cost is somebody else's (a user's annotation) are left alone. */
void victims_mark(struct cluster *c, const struct work_source *w, struct str ns,
                  const struct selector *sel, void (*done)(void *arg), void *arg);

#endif
