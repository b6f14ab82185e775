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

/* ns and service are copied. */
struct backend *backend_new(struct str ns, struct str service);
/* The ready addresses of an Endpoints tree (may be NULL) for a Service's port: by the port's name,
 * or the only one. port is what stands where the Endpoints name none. */
void backend_add_endpoints(struct backend *b, const json_t *eps, int64_t port,
                           const char *port_name);
void backend_free(struct backend *b);

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
