/* SPDX-License-Identifier: Apache-2.0
 *
 * Services under the names that other people's YAML asks for (istio-system/prometheus,
 * keda/keda-otel-scaler), with flyball's own ports behind them, until the user points them
 * elsewhere. */
#ifndef FB_TELEMETRY_OWN_SERVICE_H
#define FB_TELEMETRY_OWN_SERVICE_H

#include "kube/cluster.h"
#include "net/http.h"

#define OWN_SERVICE_PORTS_MAX 4

struct own_service {
    const char *ns, *name;
    struct own_port {
        const char *name;           /* NULL ends the list */
        uint16_t port;              /* of the Service */
        const struct net_addr *own; /* where flyball listens */
    } ports[OWN_SERVICE_PORTS_MAX];
};

/* Creates the Service where there is none; its Endpoints follow flyball's ports only while they are
 * ours. */
void own_service_publish(struct cluster *c, const struct own_service *s);

#endif
