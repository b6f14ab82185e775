/* SPDX-License-Identifier: Apache-2.0
 *
 * The collector sidecar (otel.md 5.2, 5.3): which OpenTelemetryCollector a pod asks for, by
 * annotation of its own or of its namespace, and the container it gets at CREATE. Running pods are
 * never touched. */
#ifndef FB_KUBE_INJECT_H
#define FB_KUBE_INJECT_H

#include "kube/cluster.h"

/* The resource the pod asks for, borrowed; or NULL, with the reason in why (empty: it asks for
 * none). */
const struct object *inject_wanted(struct cluster *c, const json_t *pod, struct buf *why);
/* Adds the container, its volumes and the label; removes the container where the annotation says
 * "false". Idempotent. */
void inject_collector(struct cluster *c, json_t *pod);
/* "OTEL_RESOURCE_ATTRIBUTES" of a pod: sorted, owners looked up. For free(). */
char *inject_resource_attributes(struct cluster *c, const json_t *pod);

#endif
