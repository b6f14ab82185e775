/* SPDX-License-Identifier: Apache-2.0
 *
 * Becoming the program: directory, user, search path, execve. */
#ifndef FB_NODE_SHIM_SHIM_START_H
#define FB_NODE_SHIM_SHIM_START_H

/* In the child. Looks argv[0] up in the PATH of env. Returns only on failure, with text in why. */
void shim_exec(long uid, long gid, const char *cwd, char **argv, char **env, char *why,
               unsigned why_cap);

#endif
