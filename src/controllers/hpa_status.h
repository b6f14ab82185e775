/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FB_CONTROLLERS_HPA_STATUS_H
#define FB_CONTROLLERS_HPA_STATUS_H

#include "autoscale/decision.h"
#include "codec/json.h"

/* The status of the HPA (a tree) after the decision, new; was: before it, may be NULL.
 * *ret_matters: a condition or a count is another; else only numbers and times moved. */
json_t *hpa_status_of(const json_t *hpa, const json_t *was, const struct decision *d,
                      bool *ret_matters);

#endif
