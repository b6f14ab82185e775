/* SPDX-License-Identifier: Apache-2.0
 *
 * The shim's view of its descendants, from /proc. */
#ifndef FB_NODE_SHIM_SHIM_PROC_H
#define FB_NODE_SHIM_SHIM_PROC_H

#include <stdbool.h>
#include <sys/types.h>

/* Start time in clock ticks since boot, 0 if there is no such process. */
unsigned long long shim_proc_start(pid_t pid);
/* SIGKILL to every descendant of this process (who forks meanwhile is hit by the next call). */
void shim_proc_kill_all(void);
/* Anonymous memory of all descendants together, in bytes. */
long long shim_proc_anon_bytes(void);

#endif
