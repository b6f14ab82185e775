/* SPDX-License-Identifier: Apache-2.0
 *
 * The InferenceService webhook's parts; each denies with the first failure it finds. */
#ifndef FB_KUBE_WEBHOOK_ISVC_INT_H
#define FB_KUBE_WEBHOOK_ISVC_INT_H

#include "kube/rules.h"

#define ISVC_HOOK \
    "admission webhook \"inferenceservice.kserve-webhook-server.validator\" denied the request: "

/* webhook_isvc_metrics.c: the autoscaling rules of a component for the classes keda and hpa. */
int isvc_check_keda(const json_t *component, struct denial *d);
int isvc_check_hpa(const json_t *component, struct denial *d);

/* webhook_isvc_model.c: where models come from, and workers of models that span nodes. */
int isvc_check_worker(const char *name, const char *cls, const json_t *o, struct denial *d);
int isvc_check_storage_uris(const char *name, const json_t *predictor, struct denial *d);
int isvc_check_storage(const json_t *predictor, struct denial *d);

/* webhook_isvc_warn.c: what is allowed and yet will not do what its writer expects. */
void isvc_warn(const json_t *o, const char *cls, struct denial *d);

#endif
