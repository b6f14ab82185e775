/* SPDX-License-Identifier: Apache-2.0
 *
 * Pods as local processes: binds pods to this one node, starts their containers under shims, probes
 * them, writes their status, restarts and ends them, adopts those that an earlier flyball has left
 * running. Knows objects only through kube/cluster.h. */
#ifndef FB_NODE_NODE_H
#define FB_NODE_NODE_H

#include "apiserver/pod_logs.h"
#include "kube/cluster.h"
#include "net/http_client.h"
#include "node/addresses.h"
#include "tsdb/tsdb.h"

struct node;

struct node_options {
    struct loop *loop;
    struct cluster *cluster;
    struct http_client *http;
    const char *data_dir;
    struct addresses *addresses; /* borrowed */
    const char *pod_user;        /* NULL: nobody, when root */
    char *const *image_map;      /* NULL-terminated; may be NULL */
    /* Called when a pod is to end: done(arg) when no request is in flight to it. May be NULL. */
    void (*drain)(void *ctx, struct str uid, void (*done)(void *arg), void *arg);
    void *drain_ctx;
    struct tsdb *db; /* takes what containers use (tsdb/usage.h); NULL: nothing is sampled */
    int64_t backoff_unit_ms; /* of CrashLoopBackOff; 0: 10,000 */
};

int node_new(const struct node_options *o, struct node **ret, struct err *err);
/* Ends all pods; their objects stay. done is called when all have ended. */
void node_stop_all(struct node *n, void (*done)(void *arg), void *arg);
/* Leaves processes alone: their shims go on. */
void node_free(struct node *n);
const struct pod_log_source *node_log_source(struct node *n);

#endif
