/* SPDX-License-Identifier: Apache-2.0
 *
 * How often KEDA's admission webhook has looked at a ScaledObject, and what it refused: counters
 * for /metrics, by namespace, action and reason. At most VALIDATIONS_MAX series; what would be
 * one more is not counted. */
#ifndef FB_KUBE_VALIDATIONS_H
#define FB_KUBE_VALIDATIONS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define VALIDATIONS_MAX 4096

struct validations;

struct validations *validations_new(void);
void validations_free(struct validations *v); /* NULL is fine */
/* reason NULL: it was looked at. Else it was refused for that, as rules call it
 * (autoscale/keda_valid.h). v may be NULL: nothing is counted. */
void validations_count(struct validations *v, struct str ns, bool is_update, const char *reason);
/* The names that KEDA has now, and those it has kept for old dashboards. */
void validations_metrics(const struct validations *v, struct buf *out);

#endif
