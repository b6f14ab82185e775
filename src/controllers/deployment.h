/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FB_CONTROLLERS_DEPLOYMENT_H
#define FB_CONTROLLERS_DEPLOYMENT_H

#include "kube/cluster.h"

struct deployment_controller;
struct deployment_controller *deployment_controller_new(struct cluster *cluster);
void deployment_controller_free(struct deployment_controller *c);

#endif
