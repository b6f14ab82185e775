/* SPDX-License-Identifier: Apache-2.0
 *
 * Routing tables: hosts to Services to ready pods, built on the control thread out of Ingress,
 * Service and Endpoints objects, then never changed. */
#ifndef FB_GATEWAY_ROUTES_H
#define FB_GATEWAY_ROUTES_H

#include "base/table.h"
#include "kube/cluster.h"
#include "net/http.h"

struct endpoint {
    char *uid, *ns, *pod; /* uid may be empty: an address without a pod */
    struct net_addr addr;
};

struct backend {
    char *ns, *service;
    struct endpoint *items;
    size_t n, cap;
};

struct routes {
    struct table hosts; /* lower-case host -> struct backend (shared) */
    struct backend **backends;
    size_t n, cap;
};

struct routes *routes_build(struct cluster *c);
void routes_free(struct routes *r);
/* By Host header: case and port do not count. Names of the cluster (NAME.NAMESPACE.svc...) are
 * hosts too. */
const struct backend *routes_find(const struct routes *r, struct str host);

#endif
