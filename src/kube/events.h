/* SPDX-License-Identifier: Apache-2.0
 *
 * Events about objects, correlated as client-go's recorders do it (correlator.h): an equal event
 * raises the count of the one that is there, and of a group of similar ones (same component,
 * object, type and reason) the tenth message and what follows share one Event, which shows the
 * newest: "(combined from similar events): ...". Counting goes on after a restart. client-go's
 * limit of 25 events an object, then one each 5 minutes, is left out: it would hide decisions.
 *
 * Written to the object's namespace (`default` for cluster-scoped objects), outside the tracking of
 * any reconciler's key: an event never holds a pass, and one that cannot be written costs nothing
 * but itself. The memory is the cluster's (struct cluster, events). */
#ifndef FB_KUBE_EVENTS_H
#define FB_KUBE_EVENTS_H

#include "kube/cluster.h"

enum event_type { EVENT_NORMAL, EVENT_WARNING };
__attribute__((format(printf, 6, 7))) void event_emit(struct cluster *c, const char *component,
                                                      const struct object *about,
                                                      enum event_type type, const char *reason,
                                                      const char *fmt, ...);

#endif
