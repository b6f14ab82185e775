/* SPDX-License-Identifier: Apache-2.0
 *
 * Field errors, as the 422 Status lists them, and admission: the one way every write takes, whether
 * it came through the API or from a controller of ours. */
#ifndef FB_KUBE_VALIDATE_H
#define FB_KUBE_VALIDATE_H

#include "kube/cluster.h"

struct field_error {
    const char *reason; /* "FieldValueInvalid", ... */
    char *field;        /* "spec.minReplicas" */
    char *message;      /* "Invalid value: -1: must be ..." */
};

struct field_errors {
    struct field_error *items;
    size_t n, cap;
};

void field_errors_done(struct field_errors *e);
__attribute__((format(printf, 4, 5))) void field_error(struct field_errors *e, const char *reason,
                                                       const char *field, const char *fmt, ...);

/* How a write is turned down. */
struct denial {
    bool is_dry;        /* in: a dry run, on which the originals skip some rules */
    int http;           /* 400, 403, 409, 422 */
    const char *reason; /* "Invalid", "BadRequest", "Forbidden" */
    struct buf message; /* whole text, without the "X is invalid" frame if fields are given */
    struct field_errors fields;
    struct buf warnings; /* one per line; for an admitted write too */
};
void denial_done(struct denial *d);

enum admit_op { ADMIT_CREATE, ADMIT_UPDATE, ADMIT_DELETE };
enum field_validation { FIELDS_IGNORE, FIELDS_WARN, FIELDS_STRICT };

/* Defaults, mutating steps (InferenceService and pod webhooks), schema and validation, in that
 * order; obj is changed in place. c is for look-ups (configuration, other ScaledObjects); may be
 * NULL in tests. 0, or a negative error with d filled. */
int admit(struct cluster *c, const struct kind *k, enum admit_op op, json_t *obj, const json_t *was,
          enum field_validation mode, struct denial *d);

#endif
