/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 client (h2 for gRPC is a layer of its own): keep-alive pool per address, streaming both
 * ways, deadlines, cancellation. An interface: http_client_new gives the real one on a loop; the
 * simulation makes its own by filling struct http_client_ops.
 *
 * A call ends exactly once: on_done with either err == NULL (the answer was whole) or an error
 * (ERR_UNAVAILABLE refused/reset/DNS, ERR_TIMEOUT, ERR_LIMIT body over max, ERR_BAD_INPUT malformed
 * answer, ERR_CANCELED is never reported: cancel is silent). After on_done or http_call_cancel the
 * call is gone. A request on a reused connection that dies before any byte of the answer is
 * repeated once on a new one if its body was given whole. */
#ifndef FB_NET_HTTP_CLIENT_H
#define FB_NET_HTTP_CLIENT_H

#include "base/buf.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/tls.h"

struct http_client;
struct http_call;
struct proxies; /* proxy.h */

struct http_response {
    int status;
    struct http_headers headers; /* valid during the callback */
};

struct http_call_options {
    const char *method;          /* NULL: GET */
    const char *url;             /* "http://host:port/path?query"; or give addr and target: */
    const struct net_addr *addr; /* connect here, whatever the url says; may be NULL with url */
    struct str target;           /* path?query; used when url is NULL */
    struct str host;             /* Host header; default from url or addr */
    const struct http_headers *headers; /* may be NULL */
    /* As headers, but never sent where a redirect leads to another host, or from https to http.
     * Authorization and Cookie among headers are secrets too. May be NULL. */
    const struct http_headers *secrets;
    struct str body;            /* copied; sent with Content-Length */
    bool body_follows;          /* body comes by http_call_write / http_call_end (chunked, or with a
                                   Content-Length header given by the caller) */
    int64_t timeout_ms;         /* whole call; 0: none */
    int64_t connect_timeout_ms; /* 0: 5000 */
    size_t max_body;            /* for on_body_all; 0: 16 MiB */
    int max_redirects;          /* 0: redirects are answers like any other */
    struct tls_client *tls;     /* for https; NULL: system roots */
    /* Whom to go through, unless the server is one of the cluster (resolve) or addr is given. NULL:
     * nobody. Must outlive the call. */
    const struct proxies *proxies;
    bool fresh; /* do not reuse or keep a connection */

    /* Callbacks; arg is passed to all. Either on_all (whole body) or on_head/on_data. */
    void *arg;
    void (*on_all)(void *arg, const struct http_response *r, struct str body,
                   const struct err *err);
    void (*on_head)(void *arg, const struct http_response *r);
    void (*on_data)(void *arg, struct str part);
    void (*on_done)(void *arg, const struct err *err); /* with on_head/on_data only */
    void (*on_drain)(void *arg);                       /* after http_call_write returned false */
};

struct http_client_ops {
    struct http_call *(*send)(struct http_client *c, const struct http_call_options *o);
    void (*cancel)(struct http_call *call);
    void (*pause)(struct http_call *call, bool paused);
    bool (*write)(struct http_call *call, struct str part);
    void (*end)(struct http_call *call);
    void (*free)(struct http_client *c);
};

struct http_client {
    const struct http_client_ops *ops;
    /* Names inside the cluster: fills addr and returns true where host:port is one; asked before
     * DNS. May be NULL. */
    bool (*resolve)(void *ctx, struct str host, uint16_t port, struct net_addr *ret);
    void *resolve_ctx;
};
struct http_call_head { /* first member of every implementation's struct http_call */
    struct http_client *client;
};

struct http_client *http_client_new(struct loop *l);
void http_client_free(struct http_client *c); /* cancels what runs */
/* Never calls back before it returns; errors come by callback too. */
struct http_call *http_client_send(struct http_client *c, const struct http_call_options *o);
void http_call_cancel(struct http_call *call);
void http_call_pause(struct http_call *call, bool paused); /* stop or go on reading the answer */
bool http_call_write(struct http_call *call, struct str part); /* false: wait for on_drain */
void http_call_end(struct http_call *call);

#endif
