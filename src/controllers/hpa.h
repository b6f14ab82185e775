/* SPDX-License-Identifier: Apache-2.0
 *
 * HorizontalPodAutoscalers that users (and class-hpa InferenceServices) make, autoscaling/v2
 * (hpa.md). Those of a ScaledObject are its controller's. Decides after every scrape round of the
 * target, and once a second where there are none. */
#ifndef FB_CONTROLLERS_HPA_H
#define FB_CONTROLLERS_HPA_H

#include "controllers/hpa_book.h"
#include "kube/cluster.h"
#include "telemetry/rounds.h"
#include "tsdb/tsdb.h"

struct hpa_controller;

struct hpa_controller_deps {
    struct cluster *cluster;
    struct rounds *rounds;
    struct tsdb *db;
    struct hpa_book *book;
    int64_t sync_period_ms; /* 0: see above; else one decision each of these */
};

struct hpa_controller *hpa_controller_new(const struct hpa_controller_deps *d);
void hpa_controller_free(struct hpa_controller *c);

#endif
