/* SPDX-License-Identifier: Apache-2.0
 *
 * TriggerAuthentications and ClusterTriggerAuthentications (keda.md 6): finalizer, events, and
 * status.scaledobjects, the names of who uses one. What they resolve to is read by the triggers
 * (triggers/auth.h); here ScaledObjects whose check has failed are looked at again as soon as one
 * of these, or a Secret, ConfigMap or ServiceAccount, changes. */
#ifndef FB_CONTROLLERS_TRIGGERAUTH_H
#define FB_CONTROLLERS_TRIGGERAUTH_H

#include "controllers/scaledobject.h"

struct triggerauth_controller;

struct triggerauth_controller *triggerauth_controller_new(struct cluster *c,
                                                          struct scaledobject_controller *so);
void triggerauth_controller_free(struct triggerauth_controller *c);

#endif
