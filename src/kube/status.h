/* SPDX-License-Identifier: Apache-2.0
 *
 * metav1.Status bodies: clients branch on reason and details, so every refusal is made here. */
#ifndef FB_KUBE_STATUS_H
#define FB_KUBE_STATUS_H

#include "kube/kind.h"
#include "kube/validate.h"

/* Each appends one Status JSON to out and returns its HTTP code. k may be NULL. */
int status_not_found(struct buf *out, const struct kind *k, struct str name);
int status_no_such_path(struct buf *out);
int status_already_exists(struct buf *out, const struct kind *k, struct str name);
int status_conflict(struct buf *out, const struct kind *k, struct str name, const char *why);
int status_invalid(struct buf *out, const struct kind *k, struct str name,
                   const struct field_errors *errors);
int status_denial(struct buf *out, const struct kind *k, struct str name, const struct denial *d);
int status_success(struct buf *out, const struct kind *k, struct str name, struct str uid);
/* Any other: code, reason and free text. */
__attribute__((format(printf, 4, 5))) int status_error(struct buf *out, int code,
                                                       const char *reason, const char *fmt, ...);

#endif
