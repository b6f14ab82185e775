/* SPDX-License-Identifier: Apache-2.0
 *
 * flyball-shim: parent of one container's processes. It outlives flyball, so that a crash there
 * costs neither output nor exit codes. Static, and small: nothing but libc.
 *
 *   flyball-shim DIR UID GID CWD GRACE_S [MEM_BYTES]
 *   flyball-shim exec UID GID CWD PROGRAM ARG...   (a probe or hook: becomes the program)
 *
 * UID and GID -1 keep the caller's. CWD "" is "/". In DIR, written before: `argv` and `env`, the
 * program's, NUL-separated. The shim writes there:
 *
 *   state  "CHILD_PID SHIM_PID SHIM_STARTTIME STARTED_MS BOOT_ID\n" when the program runs
 *          (atomically). STARTTIME is field 22 of /proc/PID/stat; pids of another boot mean
 * nothing. log    lines "TIME stdout|stderr F|P TEXT\n" (P: the line goes on in the next one); a
 * full one becomes log.1 and replaces the one before. exit   "CODE SIGNAL FINISHED_MS FLAG TEXT\n"
 * at the end (atomically), once nothing of the container runs any more. FLAG: "-", "oom" (killed
 * for more than MEM_BYTES of anonymous memory) or "error" (not started; TEXT says why, CODE is
 * 128).
 *
 * Descriptor 3, if it is open: a pipe that is closed when `state` is there, or the start has
 * failed. Descriptor 4: only held, so that the name of that socket stays taken while a shim lives.
 *
 * Signals to the shim: SIGTERM ends the program: SIGTERM to its process group, SIGKILL to every
 * descendant when the grace is over. Queued with a value: that many milliseconds of grace; not
 * queued: seconds from the file DIR/grace, or else GRACE_S. A second one may only shorten. SIGUSR1
 * kills at once. When the program ends, everything it left behind is killed. */
#ifndef FB_NODE_SHIM_SHIM_H
#define FB_NODE_SHIM_SHIM_H

#define SHIM_FD_READY 3
#define SHIM_FD_HELD 4
/* A line longer than this is written in parts (as containerd does). */
#define SHIM_LINE_MAX 16384
#define SHIM_LOG_MAX (10 << 20)
/* Exit status of `exec` mode when the program cannot be started. */
#define SHIM_EXEC_FAILED 126

#endif
