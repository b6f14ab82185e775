/* SPDX-License-Identifier: Apache-2.0
 *
 * Service addresses that really listen: for each address and port of a Service one TCP listener
 * that hands connections to ready endpoints, the one with the fewest first. As with kube-proxy, a
 * Service without ready endpoints refuses connections, and open ones stay where they are when
 * endpoints change. A port that the kernel does not permit is logged once and left out. */
#ifndef FB_GATEWAY_SERVICES_H
#define FB_GATEWAY_SERVICES_H

#include "gateway/routes.h"
#include "net/loop.h"

struct service_port {
    struct net_addr addr;
    struct backend *backend; /* owned; has endpoints */
};

/* Built on the control thread, then never changed. */
struct service_table {
    struct service_port *items;
    size_t n, cap;
};

/* TCP ports of the Services whose address is in the cluster's service_block. */
struct service_table *service_table_build(struct cluster *c);
void service_table_free(struct service_table *t); /* NULL is fine */

struct service_proxy;

/* All from here on on the thread of the loop. */
struct service_proxy *service_proxy_new(struct loop *l);
/* Takes the table over: opens and closes listeners by it. */
void service_proxy_take(struct service_proxy *s, struct service_table *t);
size_t service_proxy_connections(const struct service_proxy *s);
void service_proxy_free(struct service_proxy *s); /* cuts connections; NULL is fine */

#endif
