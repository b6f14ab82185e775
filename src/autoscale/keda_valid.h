/* SPDX-License-Identifier: Apache-2.0
 *
 * What KEDA's admission webhook refuses (keda.md 1.7), rule by rule. */
#ifndef FB_AUTOSCALE_KEDA_VALID_H
#define FB_AUTOSCALE_KEDA_VALID_H

#include "autoscale/keda.h"

struct keda_refusal {
    const char *reason; /* "incorrect-replicas", ...: NULL, nothing is refused */
    struct buf message;
};
void keda_refusal_done(struct keda_refusal *r);

/* An update of nothing that a rule looks at is never refused: a finalizer is taken away, a label
 * set, status written. was: NULL on create. */
bool keda_admit_is_needed(const json_t *so, const json_t *was);
/* The rules that look at the object alone; only: the reason of the one rule to apply, NULL: all.
 * dry: skips what the original skips on dry runs. False: refused. */
bool keda_admit(const json_t *so, bool is_dry, const char *only, struct keda_refusal *r);
/* ... beside another ScaledObject of the namespace, and beside an HPA there. */
bool keda_admit_other(const json_t *so, const json_t *other, struct keda_refusal *r);
bool keda_admit_hpa(const json_t *so, const json_t *hpa, struct keda_refusal *r);
/* ... over a Deployment's or StatefulSet's containers: cpu and memory need requests. ranges: items
 * of the namespace's LimitRanges (type, default), may be NULL. */
bool keda_admit_requests(const json_t *so, const json_t *containers, const json_t *ranges,
                         struct keda_refusal *r);
/* Settings that do nothing: appends one line each. */
void keda_warnings(const json_t *so, struct buf *out);

#endif
