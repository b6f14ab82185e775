/* SPDX-License-Identifier: Apache-2.0
 *
 * Values for the metrics of an HPA that a user made, from the built-in store: what a metrics
 * adapter in front of Prometheus answers (hpa.md 4). NAME is the series' name. */
#ifndef FB_CONTROLLERS_HPA_VALUES_H
#define FB_CONTROLLERS_HPA_VALUES_H

#include "controllers/hpa_run.h"
#include "tsdb/tsdb.h"

/* Fills samples, values or error of every metric of the look. */
void hpa_values_read(struct hpa_look *l, struct tsdb *db);
/* The same for one metric. */
void hpa_value_read(struct hpa_look *l, struct hpa_input *in, struct tsdb *db);

#endif
