/* SPDX-License-Identifier: Apache-2.0
 *
 * All controllers of one control plane, started together in the order they need. */
#ifndef FB_CONTROLLERS_CONTROLLERS_H
#define FB_CONTROLLERS_CONTROLLERS_H

#include "controllers/scaledobject.h"

struct controllers;

/* Creates the shipped configuration and runtimes where they are missing. deps: borrowed. */
struct controllers *controllers_new(const struct scaledobject_deps *deps);
void controllers_free(struct controllers *c);
/* Of all HPAs: decisions, metrics of triggers. */
struct hpa_book *controllers_book(struct controllers *c);
/* keda_*, horizontal_pod_autoscaler_* and flyball_* series of what scales. */
void controllers_metrics(struct controllers *c, struct buf *out);

#endif
