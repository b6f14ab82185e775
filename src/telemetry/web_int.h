/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the web port. */
#ifndef FB_TELEMETRY_WEB_INT_H
#define FB_TELEMETRY_WEB_INT_H

#include "base/list.h"
#include "telemetry/web.h"

#define QUERY_MAX 65536

struct web {
    struct loop *loop;
    struct web_options o;
    struct http_server *http;
    struct list queries; /* range queries that are not answered yet */
};

/* One request with its parameters, from the query string or a form body. */
struct ask {
    struct web *w;
    struct http_x *x;
    struct str form;
};

void web_reply(struct http_x *x, int status, struct buf *b); /* JSON; empties b */
void web_fail(struct http_x *x, int status, const char *type, const char *message);
bool web_param(const struct ask *a, const char *key, char *out, size_t cap, size_t *ret_n);
/* A time parameter; false after an answer of 400. */
bool web_time_param(const struct ask *a, const char *key, int64_t def, bool required, int64_t *ret);

/* --- web_query.c: /api/v1/query and /api/v1/query_range --- */

void web_query(const struct ask *a);
void web_query_range(const struct ask *a);
void web_end_queries(struct web *w);

#endif
