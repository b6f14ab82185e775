/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FB_CONTROLLERS_HPA_STATUS_H
#define FB_CONTROLLERS_HPA_STATUS_H

#include "autoscale/decision.h"
#include "codec/json.h"

/* After the decision a condition holds that did not, or a count is another; else at most reasons,
 * numbers and times moved. was: the status before it, may be NULL. */
bool hpa_status_matters(const json_t *was, const struct decision *d);
/* The status of the HPA (a tree) after the decision, new. */
json_t *hpa_status_of(const json_t *hpa, const json_t *was, const struct decision *d);

#endif
