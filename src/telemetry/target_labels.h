/* SPDX-License-Identifier: Apache-2.0
 *
 * The labels that all series of one target share. A scraped pod and one that pushes get theirs
 * here, so that one query finds both. */
#ifndef FB_TELEMETRY_TARGET_LABELS_H
#define FB_TELEMETRY_TARGET_LABELS_H

#include "codec/json.h"
#include "kube/cluster.h"
#include "tsdb/tsdb.h"

#define TARGET_LABELS_MAX 48
#define WORKLOAD_NAME_MAX 260

struct target_labels {
    struct label *items; /* names and values owned */
    size_t n, cap;
};

void target_labels_done(struct target_labels *t);
/* The name is cleaned to [a-zA-Z0-9_]; one that is there already, an empty value, and what is
 * beyond the maximum are left out. */
void target_labels_add(struct target_labels *t, struct str name, struct str value);
struct str target_labels_get(const struct target_labels *t, struct str name); /* or STR_NONE */
/* namespace, pod, deployment (or statefulset), node, and the pod's own labels. tree: the pod's. */
void target_labels_add_pod(struct target_labels *t, struct cluster *c, const struct object *pod,
                           const json_t *tree);
/* The name of the Deployment above the pod, of the StatefulSet, of the ReplicaSet without one, or
 * the pod's own. */
void target_workload(struct cluster *c, const struct object *pod, char out[WORKLOAD_NAME_MAX]);

#endif
