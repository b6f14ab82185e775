/* SPDX-License-Identifier: Apache-2.0
 *
 * The data directory as the commands see it, and `run.json` in it: who runs and where it listens.
 * The file is written when everything listens and removed at a clean end; a stale one is recognised
 * by its process being gone: the start time tells it from another one of that number. */
#ifndef FB_CMD_RUNDIR_H
#define FB_CMD_RUNDIR_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct run_info {
    pid_t pid;
    char api[80], gateway[80], web[80], otlp[80], scaler[80]; /* "127.0.0.1:6443" */
};

/* The directory to use: option, else $FLYBALL_DATA_DIR, else $XDG_DATA_HOME/flyball, else
 * ~/.local/share/flyball. For free(). */
char *rundir_path(const char *option);
/* Creates it (0700, with parents) or checks that it is a directory of ours. */
int rundir_make(const char *dir, struct err *err);
int rundir_write(const char *dir, const struct run_info *info, struct err *err);
void rundir_remove(const char *dir);
/* ERR_NOT_FOUND: nothing runs there (the message says how to start). */
int rundir_read(const char *dir, struct run_info *ret, struct err *err);

#endif
