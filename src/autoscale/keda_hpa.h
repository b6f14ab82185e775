/* SPDX-License-Identifier: Apache-2.0
 *
 * The HPA that a ScaledObject stands for (keda.md 2.3). */
#ifndef FB_AUTOSCALE_KEDA_HPA_H
#define FB_AUTOSCALE_KEDA_HPA_H

#include "autoscale/keda.h"

#define KEDA_HPA_NAME_MAX 260
/* The name an HPA of this ScaledObject has; so: the object with metadata and spec. Returns out. */
const char *keda_hpa_name(const json_t *so, char out[KEDA_HPA_NAME_MAX]);

struct keda_hpa {
    json_t *object;         /* without namespace and owner, which only a cluster knows */
    json_t *external_names; /* for status, in trigger order */
    json_t *resource_names; /* those of whole pods */
    bool is_composite;
};
void keda_hpa_done(struct keda_hpa *h);
/* metrics: of all triggers, in their order; borrowed. kind, api_version: of the target.
 * ERR_INVALID: no metric at all, or one name twice. */
int keda_hpa_make(const json_t *so, const json_t *metrics, const char *api_version,
                  const char *kind, struct keda_hpa *ret, struct err *err);

#endif
