/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections of a client between two calls: each waits for the next call to the same place, at
 * most 30 s and at most 64 of them. */
#ifndef FB_NET_HTTP_POOL_H
#define FB_NET_HTTP_POOL_H

#include "net/conn.h"

struct http_pool {
    struct loop *loop;
    struct list idle; /* newest last */
    size_t n;
};

void http_pool_init(struct http_pool *p, struct loop *l);
void http_pool_done(struct http_pool *p); /* closes all */
/* key: all that the connection was made for. */
void http_pool_put(struct http_pool *p, const char *key, struct conn *c);
/* NULL: there is none; else for conn_retarget. */
struct conn *http_pool_take(struct http_pool *p, const char *key);

#endif
