/* SPDX-License-Identifier: Apache-2.0
 *
 * Pods of a flyball that is no more. */
#ifndef FB_NODE_LEFTOVERS_H
#define FB_NODE_LEFTOVERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Ends every container whose shim still lives under DATA_DIR/pods, with grace, and waits. Returns
 * how many. */
int node_end_leftovers(const char *data_dir);
/* Whether any lives. */
bool node_has_live_pods(const char *data_dir);

/* What a shim wrote into its directory. */
struct shim_state {
    pid_t child, shim;
    unsigned long long shim_start;
    int64_t started_ms;
    bool has_exit;
    int exit_code, exit_signal;
    int64_t finished_ms;
};
/* False while there is no `state`. */
bool shim_read(const char *dir, struct shim_state *ret);
/* The shim's process is there and is that one (start time), not a reused pid. */
/* Waits up to 200 ms for the state of a shim that has been started for this directory, if there is
 * one: flyball may have died between starting it and its first line. */
bool shim_read_started(const char *dir, struct shim_state *s);
bool shim_is_alive(const struct shim_state *s);

#endif
