/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FB_TRIGGERS_GRAPHITE_H
#define FB_TRIGGERS_GRAPHITE_H

#include "autoscale/decision.h"
#include "base/err.h"
#include "base/str.h"

/* The answer of Graphite's /render?format=json: the newest point that has a value, of one series.
 * No series, or one without points, is empty. */
int graphite_read_answer(struct str body, enum metric_state *ret_state, double *ret_value,
                         struct err *err);

#endif
