/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FB_TRIGGERS_PROMETHEUS_H
#define FB_TRIGGERS_PROMETHEUS_H

#include "autoscale/decision.h"
#include "base/err.h"
#include "base/str.h"

#define PROMETHEUS_ANSWER_MAX ((size_t)4 << 20)

/* The answer of /api/v1/query as KEDA reads it, with the deviations of docs/differences.md. 0:
 * *ret_state is METRIC_VALUE or METRIC_EMPTY; negative: why, and what to do. */
int prometheus_read_answer(int http_status, struct str body, bool ignore_null, bool is_average,
                           enum metric_state *ret_state, double *ret_value, struct err *err);

#endif
