/* SPDX-License-Identifier: Apache-2.0
 *
 * Which process a pid means: a number is given again to others, a number with its start time is
 * not. */
#ifndef FB_BASE_PROC_H
#define FB_BASE_PROC_H

#include <stdint.h>
#include <sys/types.h>

/* When it started, in clock ticks since boot; 0: there is no such process, or it is a zombie. */
uint64_t proc_start(pid_t pid);

#endif
