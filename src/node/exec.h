/* SPDX-License-Identifier: Apache-2.0
 *
 * A command inside a container's context (its user, environment, working directory), for exec
 * probes and lifecycle hooks. Its output goes nowhere. */
#ifndef FB_NODE_EXEC_H
#define FB_NODE_EXEC_H

#include "node/node_int.h"

struct node_exec;

/* done(arg, status) once, later: the exit code, -1 for a signal, -2 for the timeout (0: none). NULL
 * where it cannot be started; done is not called then. */
struct node_exec *node_exec_start(struct container *c, const json_t *command, int64_t timeout_ms,
                                  void (*done)(void *arg, int status), void *arg);
/* Kills it; done is not called. NULL is fine. */
void node_exec_cancel(struct node_exec *x);

#endif
