/* SPDX-License-Identifier: Apache-2.0
 *
 * Validation rules per kind: (new, old or NULL) -> field errors. Webhook rules of InferenceService
 * and ScaledObject, which deny with a text of their own, are in admit() (validate.c). */
#ifndef FB_KUBE_RULES_H
#define FB_KUBE_RULES_H

#include "kube/validate.h"

void validate_pod(const json_t *o, const json_t *was, struct field_errors *e);
void validate_service(const json_t *o, const json_t *was, struct field_errors *e);
void validate_workload(const json_t *o, const json_t *was, struct field_errors *e);
void validate_statefulset(const json_t *o, const json_t *was, struct field_errors *e);
void validate_controllerrevision(const json_t *o, const json_t *was, struct field_errors *e);
void validate_limitrange(const json_t *o, const json_t *was, struct field_errors *e);
void validate_hpa(const json_t *o, const json_t *was, struct field_errors *e);
void validate_scaledobject(const json_t *o, const json_t *was, struct field_errors *e);
void validate_collector(const json_t *o, const json_t *was, struct field_errors *e);

/* What of it does something else here than it says; one line each. */
void statefulset_warnings(const json_t *o, struct buf *out);

/* The webhooks: fill d->message and return ERR_FORBIDDEN to deny; webhook_deny does both. */
__attribute__((format(printf, 2, 3))) int webhook_deny(struct denial *d, const char *fmt, ...);
int webhook_inferenceservice(const json_t *o, const json_t *was, struct denial *d);
int webhook_collector(const json_t *o, const json_t *was, struct denial *d);
int webhook_scaledobject(struct cluster *c, const json_t *o, const json_t *was, struct denial *d);
/* KServe's pod webhook (kserve.md 2.3), with the user's port kept. */
void mutate_pod(struct cluster *c, json_t *pod);

#endif
