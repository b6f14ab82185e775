/* SPDX-License-Identifier: Apache-2.0
 *
 * The Service istio-system/prometheus: our own Prometheus API under the name that the tutorial's
 * YAML asks, until the user points it elsewhere. */
#ifndef FB_TELEMETRY_WEB_SERVICE_H
#define FB_TELEMETRY_WEB_SERVICE_H

#include "kube/cluster.h"
#include "net/http.h"

/* Creates the Service where there is none; its Endpoints follow `web` only while they are ours. */
void web_publish_service(struct cluster *c, const struct net_addr *web);

#endif
