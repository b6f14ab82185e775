/* SPDX-License-Identifier: Apache-2.0
 *
 * Garbage collection by owner references, foreground and orphan deletion, and the end of namespaces
 * (kube-api.md 7.3). */
#ifndef FB_CONTROLLERS_GC_H
#define FB_CONTROLLERS_GC_H

#include "kube/cluster.h"

struct gc;
struct gc *gc_new(struct cluster *cluster);
void gc_free(struct gc *g);

#endif
