/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FB_CONTROLLERS_HPA_STATUS_H
#define FB_CONTROLLERS_HPA_STATUS_H

#include "autoscale/decision.h"
#include "kube/object.h"

/* What of an HPA's status says whether a decision changes it. */
struct hpa_told {
    int64_t current, desired;                 /* -1: not there */
    char conditions[DECISION_CONDITIONS_MAX]; /* 'T', 'F', 'U'; 0: not there */
};
/* status: may be NULL. */
void hpa_told_read(const json_t *status, struct hpa_told *ret);
bool hpa_told_was_scaled_to_zero(const struct hpa_told *t);
/* After the decision a condition holds that did not, or a count is another; else at most reasons,
 * numbers and times moved. */
bool hpa_status_matters(const struct hpa_told *t, const struct decision *d);
/* The status of the HPA after the decision. was: the one before it, which it is made from; may be
 * NULL. named: the generation of the HPA that its metrics were named by, as far as we have said
 * them ourselves; else 0. */
json_t *hpa_status_of(const struct object *hpa, json_t *was, int64_t named,
                      const struct decision *d);

#endif
