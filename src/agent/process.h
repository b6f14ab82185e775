/* SPDX-License-Identifier: Apache-2.0
 *
 * The processors of a pipeline as one pure function. A series goes through once, when it is first
 * seen: its attributes and the answer do not depend on values. */
#ifndef FB_AGENT_PROCESS_H
#define FB_AGENT_PROCESS_H

#include "agent/config.h"

/* Changes the attributes of the resource and of the point. False: a filter drops the metric. Lists
 * grow in the arena. */
bool process_run(const struct agent_config *c, struct arena *a, struct str metric,
                 struct attrs *resource, struct attrs *point);

#endif
