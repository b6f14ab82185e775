/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 and HTTP/2 (ALPN over TLS, prior knowledge in the clear) on one port. A handler sees an
 * exchange: one request and its answer, whatever the protocol.
 *
 * Life of an exchange: on_request when the header block is whole -> the handler either asks for the
 * whole body (http_x_read_all) or streams it (http_x_read) -> it answers whole (http_x_reply) or in
 * parts (http_x_start, http_x_write..., http_x_end) -> on_close exactly once, when the answer was
 * handed to the socket completely or the client left; after on_close the exchange is gone. A
 * handler may answer at any later time, from the loop's thread.
 *
 * Bounds: header block 64 KiB and 100 fields (431), bodies as asked (413), idle keep-alive 120 s,
 * header of a request must be whole within 30 s (408), a client of HTTP/2 must answer pings. A slow
 * reader: http_x_write returns false when more than 256 KiB (of a stream of HTTP/2: 64 KiB) wait;
 * wait for on_drain, or give up. */
#ifndef FB_NET_HTTP_SERVER_H
#define FB_NET_HTTP_SERVER_H

#include "base/buf.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/tls.h"

struct http_server;
struct http_x; /* exchange */

struct http_request {
    struct str method;
    struct str target; /* as sent: path?query */
    struct str path;   /* without query, still percent-encoded */
    struct str query;  /* without '?'; may be empty */
    struct str host;   /* Host or :authority, as sent */
    struct http_headers headers;
    struct net_addr peer;
    struct net_addr local;
    bool is_h2;
    bool is_tls;
    const char *tls_cn; /* CN of a verified client certificate, or NULL */
    const char *tls_o;  /* its first O, or NULL */
    bool has_body;      /* a body follows (Content-Length > 0, chunked, or h2 without END_STREAM) */
};

struct http_server_options {
    struct net_addr addr;
    struct tls_server *tls; /* borrowed, NULL: clear text */
    /* Called when a request's header block is whole. Must not destroy the server. */
    void (*on_request)(void *ctx, struct http_x *x);
    void *ctx;
    int fd; /* > 0: an already bound, not yet listening socket to use instead of addr */
    const char *server_name; /* for log lines */
    bool h1_only;            /* no HTTP/2, neither by ALPN nor by prior knowledge */
    int64_t idle_ms;         /* a connection without exchanges stays so long; 0: 120 s */
    int64_t ping_after_ms;   /* HTTP/2 with open exchanges: silent so long, it is asked; 0: 60 s */
    int64_t ping_wait_ms;    /* and without an answer closed; 0: 20 s */
    size_t max_held; /* bytes of unfinished bodies of all exchanges; 0: 256 MiB. Beyond: 503 */
};

int http_server_new(struct loop *l, const struct http_server_options *o, struct http_server **ret,
                    struct err *err);                          /* ERR_EXISTS: address taken */
struct net_addr http_server_addr(const struct http_server *s); /* with the real port */
/* Stops accepting, closes idle connections, calls on_close of what is left; NULL is fine. */
void http_server_free(struct http_server *s);
size_t http_server_connections(const struct http_server *s);

/* Valid until on_close. */
const struct http_request *http_x_request(const struct http_x *x);
struct loop *http_x_loop(const struct http_x *x);
/* One pointer of the handler's. */
void http_x_set_data(struct http_x *x, void *data);
void *http_x_data(const struct http_x *x);
void http_x_on_close(struct http_x *x, void (*fn)(void *arg, struct http_x *x), void *arg);
/* The whole body, at most max bytes (else 413 is answered for you and fn is not called; nor is it
 * when the client leaves). body is valid during fn. */
void http_x_read_all(struct http_x *x, size_t max,
                     void (*fn)(void *arg, struct http_x *x, struct str body), void *arg);
/* Parts as they come; end=true with an empty part is the last call. */
void http_x_read(struct http_x *x,
                 void (*fn)(void *arg, struct http_x *x, struct str part, bool end), void *arg);
/* Says how many bytes a streaming handler keeps of the body, which counts as read_all's do. False:
 * too many in all exchanges together; give up with 503. */
bool http_x_hold(struct http_x *x, size_t bytes);
void http_x_pause(struct http_x *x); /* no more parts: back-pressure towards the client */
void http_x_resume(struct http_x *x);

/* Whole answer. type may be NULL with an empty body. extra may be NULL. HEAD sends no body. */
void http_x_reply(struct http_x *x, int status, const char *type, const struct http_headers *extra,
                  struct str body);
/* Answer in parts: chunked on HTTP/1.1 unless extra carries a Content-Length. The header block goes
 * out at once. */
void http_x_start(struct http_x *x, int status, const char *type, const struct http_headers *extra);
/* false: more than the high-water mark waits; stop writing until on_drain. The bytes are taken
 * either way, up to a hard bound (64 MiB) where the exchange is aborted. Coalesced until the end of
 * the turn. */
bool http_x_write(struct http_x *x, struct str bytes);
void http_x_on_drain(struct http_x *x, void (*fn)(void *arg, struct http_x *x), void *arg);
/* trailers may be NULL (HTTP/2, gRPC). */
void http_x_end(struct http_x *x, const struct http_headers *trailers);
/* Breaks the connection or resets the stream: the client sees that the answer is not whole. */
void http_x_abort(struct http_x *x);

#endif
