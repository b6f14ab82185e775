/* SPDX-License-Identifier: Apache-2.0
 *
 * ScaledObjects (keda.md): the HPA keda-hpa-NAME, conditions, events; and the evaluation that KEDA,
 * its metrics adapter and the HPA controller do between them, once per scrape round. */
#ifndef FB_CONTROLLERS_SCALEDOBJECT_H
#define FB_CONTROLLERS_SCALEDOBJECT_H

#include "controllers/hpa_book.h"
#include "telemetry/rounds.h"
#include "triggers/trigger.h"

struct scaledobject_controller;

struct scaledobject_deps {
    const struct trigger_world *world; /* borrowed */
    struct rounds *rounds;
    struct hpa_book *book; /* of all HPAs at work; controllers_new makes it */
    /* 0: evaluation follows rounds and answers. Else the original's timing: the HPA each of these,
     * KEDA's loop each pollingInterval (30 s by default). */
    int64_t sync_period_ms;
    /* Requests in flight to the pod with this uid, as the gateway counts them; may be NULL. */
    int64_t (*in_flight)(void *ctx, struct str uid);
    void *in_flight_ctx;
    bool is_new_keda; /* condition Paused begins as False, as from 2.18 on; else as Unknown */
};

struct scaledobject_controller *scaledobject_controller_new(const struct scaledobject_deps *d);
void scaledobject_controller_free(struct scaledobject_controller *c);
/* What its check has failed for may be there now. */
void scaledobject_controller_wake(struct scaledobject_controller *c, struct str ns,
                                  struct str name);
/* keda_* series. */
void scaledobject_metrics(struct scaledobject_controller *c, struct buf *out);

#endif
