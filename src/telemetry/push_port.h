/* SPDX-License-Identifier: Apache-2.0
 *
 * A port that others push to: 4317 and 4318. Requests go to the services in the order given, each
 * may decline; what nobody takes is answered with 404. */
#ifndef FB_TELEMETRY_PUSH_PORT_H
#define FB_TELEMETRY_PUSH_PORT_H

#include "net/http_server.h"

struct push_port;

struct push_service {
    /* false: not mine, and nothing was done with it. */
    bool (*take)(void *ctx, struct http_x *x);
    void *ctx;
};

#define PUSH_SERVICES_MAX 4

struct push_port_options {
    struct net_addr listen;
    struct tls_server *tls; /* borrowed, NULL: clear text */
    bool wants_client_cert; /* whoever has none of the client CA is refused */
    const char *name;       /* for log lines */
    struct push_service services[PUSH_SERVICES_MAX]; /* ends with take == NULL */
};

int push_port_new(struct loop *l, const struct push_port_options *o, struct push_port **ret,
                  struct err *err); /* ERR_EXISTS: address taken */
struct net_addr push_port_addr(const struct push_port *p);
void push_port_free(struct push_port *p); /* NULL is fine */

#endif
