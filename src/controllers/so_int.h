/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FB_CONTROLLERS_SO_INT_H
#define FB_CONTROLLERS_SO_INT_H

#include "autoscale/hpa.h"
#include "autoscale/hpa_metric.h"
#include "base/table.h"
#include "controllers/child.h"
#include "controllers/scaledobject.h"

#define SO_COMPONENT "keda-operator"
#define HPA_COMPONENT "horizontal-pod-autoscaler"

/* What is known of one ScaledObject between rounds. */
struct scaler {
    struct scaledobject_controller *c;
    char *uid, *ns, *name, *target;
    int64_t generation; /* that the triggers are of */
    struct trigger **triggers;
    size_t n;
    struct hpa_history recommendations, ups, downs;
    struct decision last;
    bool has_last, is_active, has_seen_active;
    int64_t status_written_ms, hpa_written_ms;
    bool write_open;        /* a scale write is unanswered, or its result not yet in the cache */
    struct loop_timer tick; /* without rounds (external Prometheus): one look a second */
    char last_warning[300], last_text[900];
    char unknown_why[240];
};

struct scaledobject_controller {
    struct scaledobject_deps d;
    struct reconciler *r, *hpa_r;
    struct table scalers; /* uid -> struct scaler */
};

struct cluster *so_cluster(const struct scaledobject_controller *c);
/* evaluate.c: one look, at a round's time. */
void scaler_evaluate(struct scaler *s, int64_t now_ms);
void so_hpa_name(const json_t *so, char out[260]);

#endif
