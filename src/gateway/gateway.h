/* SPDX-License-Identifier: Apache-2.0
 *
 * The ingress gateway: routes by Host to the ready pod with the fewest requests in flight, streams
 * both ways, drains. The addresses of Services listen in its thread too (services.h). It runs in a
 * thread with a loop of its own: the control thread hands it immutable routing tables and reads
 * atomic counters. */
#ifndef FB_GATEWAY_GATEWAY_H
#define FB_GATEWAY_GATEWAY_H

#include "base/buf.h"
#include "kube/cluster.h"
#include "net/http.h"

struct gateway;

struct gateway_options {
    struct cluster *cluster; /* watched on its own loop: the control thread */
    struct net_addr listen;
};

/* ERR_EXISTS: the address is taken. */
int gateway_new(const struct gateway_options *o, struct gateway **ret, struct err *err);
struct net_addr gateway_addr(const struct gateway *g);
/* From the control thread: no new requests to the pod; done(arg) on the control thread when none is
 * in flight to it (at once for a pod that is not known). */
void gateway_drain(void *gateway, struct str uid, void (*done)(void *arg), void *arg);
/* Exposition text of the gateway's own series. From the control thread. */
void gateway_metrics(struct gateway *g, struct buf *out);
/* Requests in flight to the pod; 0 for one that is not known. From the control thread. */
int64_t gateway_in_flight_of(void *gateway, struct str uid);
/* Requests in flight to all pods. Any thread. */
int64_t gateway_in_flight(struct gateway *g);
/* Ends its thread; requests in flight are cut, and who waits for a drain is told. */
void gateway_free(struct gateway *g);

#endif
