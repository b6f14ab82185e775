/* SPDX-License-Identifier: Apache-2.0
 *
 * Cluster-local names: NAME.NAMESPACE.svc[.cluster.local], NAME.NAMESPACE and NAME resolve to a
 * ready endpoint of the Service, POD.NAME.NAMESPACE.svc to that pod of it (by its hostname, as pods
 * of a StatefulSet have one), inside flyball and without DNS. */
#ifndef FB_KUBE_NAMES_H
#define FB_KUBE_NAMES_H

#include "kube/cluster.h"
#include "net/http.h"

/* Splits a host into Service name and namespace; false if it does not look like one. def_ns may be
 * empty. */
bool names_split(struct str host, struct str def_ns, struct str *ret_name, struct str *ret_ns);
/* A ready address behind host:port; of a pod's name the port is the pod's own. ERR_NOT_FOUND: no
 * such Service or port; ERR_UNAVAILABLE: no ready endpoint (the message says which). */
int names_resolve(struct cluster *c, struct str host, uint16_t port, struct net_addr *ret,
                  struct err *err);
/* names_resolve as http_client's resolve hook; ctx is the cluster. */
bool names_hook(void *ctx, struct str host, uint16_t port, struct net_addr *ret);

#endif
