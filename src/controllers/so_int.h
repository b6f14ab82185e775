/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FB_CONTROLLERS_SO_INT_H
#define FB_CONTROLLERS_SO_INT_H

#include "base/table.h"
#include "controllers/child.h"
#include "controllers/hpa_run.h"
#include "controllers/scaledobject.h"

#define SO_COMPONENT "keda-operator"

/* What is known of one ScaledObject between rounds. */
struct scaler {
    struct scaledobject_controller *c;
    char *uid, *ns, *name, *target;
    int64_t generation; /* that the triggers are of */
    struct trigger **triggers;
    size_t n;
    struct object_view so;
    struct hpa_run run; /* of keda-hpa-NAME */
    int64_t status_written_ms;
    struct loop_timer tick; /* without rounds (external Prometheus): one look a second */
    char last_warning[300], unknown_why[240];
};

struct scaledobject_controller {
    struct scaledobject_deps d;
    struct reconciler *r, *hpa_r;
    struct table scalers; /* uid -> struct scaler */
};

struct cluster *so_cluster(const struct scaledobject_controller *c);
/* evaluate.c: one look, at a round's time. */
void scaler_evaluate(struct scaler *s, int64_t now_ms);
/* The decision's scale was written, or not: hpa_run's hook. */
void scaler_scaled(void *arg, const struct decision *d, const char *error);
void so_hpa_name(const json_t *so, char out[260]);

#endif
