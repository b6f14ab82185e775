/* SPDX-License-Identifier: Apache-2.0
 *
 * The OTLP receiver: data points from bytes into the store, by way of a cache from a point's raw
 * resource, metric and attributes to its series, so that a known series costs one look-up.
 *
 * Names stay as they are sent (colons and dots too). A histogram becomes NAME_bucket{le}, _sum and
 * _count; an exponential one is folded onto classic buckets with bounds 2^(k/4) or coarser; a
 * summary becomes NAME{quantile}, _sum and _count. Delta is added up. The no-recorded-value flag is
 * a staleness marker. Exemplars and scopes are passed over.
 *
 * Labels: job and instance from service.*, then what a scrape of the same pod would give (see
 * target_labels.h) if the resource names a pod that the cluster knows, else namespace, pod,
 * deployment and node from k8s.*; then the point's attributes, as exported_NAME where the target
 * has that name with another value. What else the resource says stands in the gauge target_info.
 *
 * A pod that ends takes its series with it: they get staleness markers at once, and what still
 * arrives from it is refused. One thread. */
#ifndef FB_TELEMETRY_OTLP_H
#define FB_TELEMETRY_OTLP_H

#include "base/buf.h"
#include "base/err.h"
#include "kube/cluster.h"
#include "tsdb/tsdb.h"

struct otlp;

struct otlp_options {
    struct loop *loop;
    struct tsdb *db;
    struct cluster *cluster; /* may be NULL: no pod is known */
};

struct otlp *otlp_new(const struct otlp_options *o);
void otlp_free(struct otlp *o); /* before db and cluster; NULL is fine */

struct otlp_outcome {
    size_t accepted, rejected; /* points */
    char message[600];         /* why, for people; empty if all is well */
};

/* One ExportMetricsServiceRequest in protobuf. 0: decoded, and stored but for what *ret says.
 * ERR_BAD_INPUT: it is malformed; ERR_LIMIT: the store has no room for anything now, try later.
 * Then nothing of it was stored. */
int otlp_receive(struct otlp *o, struct str request, struct otlp_outcome *ret, struct err *err);

/* Exposition text of the receiver's own series. */
void otlp_metrics(const struct otlp *o, struct buf *out);

#endif
