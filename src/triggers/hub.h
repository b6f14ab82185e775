/* SPDX-License-Identifier: Apache-2.0
 *
 * What all triggers of a control plane share: one watch on each kind that authentication comes from
 * (so that a changed Secret is used at once, without one watch a trigger), and the list of all
 * triggers, for metrics. */
#ifndef FB_TRIGGERS_HUB_H
#define FB_TRIGGERS_HUB_H

#include "base/buf.h"
#include "kube/cluster.h"

struct trigger_hub;

struct trigger_hub *trigger_hub_new(struct cluster *c);
void trigger_hub_free(struct trigger_hub *h); /* after the last trigger */
/* The series of keda.md 7.1 that are about asking: requests, their durations, empty answers; and
 * how many triggers there are. */
void trigger_hub_metrics(struct trigger_hub *h, struct buf *out);

#endif
