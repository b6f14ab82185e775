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
struct scaledobject_controller *controllers_scaledobject(struct controllers *c);
/* Plain text: the last decision of every ScaledObject and HPA. */
void controllers_explain(struct controllers *c, struct buf *out);

#endif
