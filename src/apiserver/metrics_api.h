/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics.k8s.io, custom.metrics.k8s.io and external.metrics.k8s.io (kube-api.md 18), read-only: on
 * a real cluster three servers behind the aggregation layer, here answers from the built-in store
 * and from what scales. Resource usage is what the node samples (tsdb/usage.h), the others go by
 * series name (kube/adapter.h). */
#ifndef FB_APISERVER_METRICS_API_H
#define FB_APISERVER_METRICS_API_H

#include "base/err.h"
#include "tsdb/tsdb.h"

struct metrics_api {
    struct tsdb *db;
    /* An external metric as KEDA's adapter answers it: of the trigger named so of this
     * ScaledObject. ERR_NOT_FOUND, or the trigger's own error. May be NULL. */
    int (*external)(void *ctx, struct str ns, struct str scaledobject, struct str metric,
                    double *ret_value, int64_t *ret_at_ms, struct err *err);
    void *ctx;
};

#endif
