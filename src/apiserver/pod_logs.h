/* SPDX-License-Identifier: Apache-2.0
 *
 * Where container logs come from: the node room fills this in. */
#ifndef FB_APISERVER_POD_LOGS_H
#define FB_APISERVER_POD_LOGS_H

#include "base/err.h"
#include "base/str.h"

struct pod_log_options {
    struct str uid, container;
    bool follow, previous, timestamps;
    int64_t tail_lines;  /* -1: all */
    int64_t limit_bytes; /* -1: all */
    int64_t since_ms;    /* wall; 0: from the start */
};

struct pod_log_stream;

struct pod_log_source {
    void *ctx;
    /* Starts a stream: on_bytes any number of times, then on_end once (from later turns).
     * ERR_NOT_FOUND: there is no log (yet). */
    int (*open)(void *ctx, const struct pod_log_options *o,
                void (*on_bytes)(void *arg, struct str bytes), void (*on_end)(void *arg), void *arg,
                struct pod_log_stream **ret, struct err *err);
    void (*close)(struct pod_log_stream *s); /* no more callbacks; also needed after on_end */
};

#endif
