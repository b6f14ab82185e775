/* SPDX-License-Identifier: Apache-2.0
 *
 * What the API server fills in (kube-api.md 7.4). Each works in place and is idempotent. */
#ifndef FB_KUBE_DEFAULTS_H
#define FB_KUBE_DEFAULTS_H

#include "codec/json.h"

void default_namespace(json_t *o);
void default_pod(json_t *o);
void default_service(json_t *o);
void default_secret(json_t *o);
void default_deployment(json_t *o);
void default_replicaset(json_t *o);
void default_statefulset(json_t *o);
void default_limitrange(json_t *o);
void default_hpa(json_t *o);
void default_inferenceservice(json_t *o);
/* HPA v2 <-> v1, in place. */
void hpa_to_v1(json_t *o);
void hpa_from_v1(json_t *o);

#endif
