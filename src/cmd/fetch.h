/* SPDX-License-Identifier: Apache-2.0
 *
 * One GET, for commands that ask a running flyball. */
#ifndef FB_CMD_FETCH_H
#define FB_CMD_FETCH_H

#include "base/buf.h"
#include "base/err.h"
#include "net/http.h"

/* server: "http://host:port", or NULL: $FLYBALL_URL, else the one that runs on data_dir. */
int fetch(const char *server, const char *data_dir, const char *path, int *ret_status,
          struct buf *body, struct err *err);

#endif
