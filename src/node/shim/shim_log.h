/* SPDX-License-Identifier: Apache-2.0
 *
 * One log file fed by two pipes: lines get time and stream, the file a bound. */
#ifndef FB_NODE_SHIM_SHIM_LOG_H
#define FB_NODE_SHIM_SHIM_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "node/shim/shim.h"

struct shim_stream {
    const char *name; /* "stdout" */
    int fd;           /* read end; -1: at its end */
    size_t n;         /* bytes of an unfinished line */
    char line[SHIM_LINE_MAX];
};

/* Opens `log` in the current directory. */
void shim_log_open(void);
/* Reads once what is there and writes whole lines; at the end of the stream closes it. */
void shim_log_pump(struct shim_stream *s);
/* Writes an unfinished last line and closes the pipe. */
void shim_log_end(struct shim_stream *s);

#endif
