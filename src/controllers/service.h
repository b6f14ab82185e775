/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FB_CONTROLLERS_SERVICE_H
#define FB_CONTROLLERS_SERVICE_H

#include "kube/cluster.h"

struct service_controller;
struct service_controller *service_controller_new(struct cluster *cluster);
void service_controller_free(struct service_controller *c);

#endif
