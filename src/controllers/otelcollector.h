/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenTelemetryCollector, mode sidecar (otel.md 5.1): its ServiceAccount and ConfigMap, its
 * version, and whether its sidecars run. A configuration that no collector can start with, and a
 * sidecar that fails, show as condition Ready False and an event that say where; a pod that asked
 * for a sidecar and got none has an event that says why. */
#ifndef FB_CONTROLLERS_OTELCOLLECTOR_H
#define FB_CONTROLLERS_OTELCOLLECTOR_H

#include "kube/cluster.h"

struct otelcollector_controller;
struct otelcollector_controller *otelcollector_controller_new(struct cluster *c);
void otelcollector_controller_free(struct otelcollector_controller *c);

#endif
