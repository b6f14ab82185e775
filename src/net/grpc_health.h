/* SPDX-License-Identifier: Apache-2.0
 *
 * grpc.health.v1.Health: Check, and Watch, which tells at once and on every change. The name "" is
 * the whole server. A name never set: NOT_FOUND on Check, SERVICE_UNKNOWN on Watch. */
#ifndef FB_NET_GRPC_HEALTH_H
#define FB_NET_GRPC_HEALTH_H

#include "net/grpc_server.h"

enum grpc_serving {
    GRPC_SERVING_UNKNOWN = 0,
    GRPC_SERVING = 1,
    GRPC_NOT_SERVING = 2,
    GRPC_SERVICE_UNKNOWN = 3,
};

struct grpc_health;

/* Adds itself to the server; "" and every service added before it are SERVING. */
struct grpc_health *grpc_health_new(struct grpc_server *s);
void grpc_health_free(struct grpc_health *h); /* with the grpc_server; NULL is fine */
void grpc_health_set(struct grpc_health *h, const char *service, enum grpc_serving status);

#endif
