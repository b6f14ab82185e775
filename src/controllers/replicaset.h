/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FB_CONTROLLERS_REPLICASET_H
#define FB_CONTROLLERS_REPLICASET_H

#include "kube/cluster.h"

struct replicaset_controller;
struct replicaset_controller *replicaset_controller_new(struct cluster *cluster);
void replicaset_controller_free(struct replicaset_controller *c);

#endif
