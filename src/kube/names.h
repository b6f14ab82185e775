/* SPDX-License-Identifier: Apache-2.0
 *
 * Cluster-local names: NAME.NAMESPACE.svc[.cluster.local], NAME.NAMESPACE and NAME resolve to a
 * ready endpoint of the Service, inside flyball and without DNS. */
#ifndef FB_KUBE_NAMES_H
#define FB_KUBE_NAMES_H

#include "kube/cluster.h"
#include "net/http.h"

/* Splits a host into Service name and namespace; false if it does not look like one. def_ns may be
 * empty. */
bool names_split(struct str host, struct str def_ns, struct str *ret_name, struct str *ret_ns);
/* A ready address behind host:port. ERR_NOT_FOUND: no such Service or port; ERR_UNAVAILABLE: no
 * ready endpoint (the message says which). */
int names_resolve(struct cluster *c, struct str host, uint16_t port, struct net_addr *ret,
                  struct err *err);
/* What a host's answer was made of: the versions of its Service and Endpoints (0: not there). */
struct names_seen {
    uint64_t service, endpoints;
};
struct names_seen names_now(struct cluster *c, struct str host);
/* names_resolve as http_client's resolve hook; ctx is the cluster. */
bool names_hook(void *ctx, struct str host, uint16_t port, struct net_addr *ret);

#endif
