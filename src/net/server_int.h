/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the HTTP server: connections know how many they are and which protocol they speak
 * (struct hconn, http_server.c); each protocol is a `side` of a connection (server_h1.c,
 * server_h2.c) that makes exchanges; what exchanges have in common is exchange.c. */
#ifndef FB_NET_SERVER_INT_H
#define FB_NET_SERVER_INT_H

#include "net/conn.h"
#include "net/http_server.h"

#define HEADER_TIMEOUT_MS 30000
#define IDLE_MS_DEFAULT 120000
#define HELD_MAX_DEFAULT ((size_t)256 << 20)

struct http_server {
    struct loop *loop;
    struct http_server_options o;
    struct conn_listener *listener;
    struct list conns;
    size_t n_conns;
    size_t held; /* bytes of bodies in memory, of all exchanges */
};

struct hconn;

/* One protocol on one connection. Nothing is called after gone but free, in a later turn. */
struct side_ops {
    void (*feed)(void *side, struct str bytes);
    void (*drain)(void *side);
    void (*timeout)(void *side); /* the connection's timer */
    bool (*stop)(void *side);    /* the server ends; true: the client was told, let that go out */
    void (*gone)(void *side);    /* ends its exchanges */
    void (*free)(void *side);
};

struct hconn {
    struct http_server *s;
    struct conn *c;
    struct list link;
    struct loop_timer timer;    /* the side's to use */
    const struct side_ops *ops; /* NULL until the first bytes told the protocol */
    void *side;
    struct buf first; /* those bytes, while they may be either */
    bool is_gone;
};

void *side_h1_new(struct hconn *hc);
void *side_h2_new(struct hconn *hc);
extern const struct side_ops side_h1, side_h2;

/* Both end the exchanges, and the connection's memory in a later turn. */
void hconn_shut(struct hconn *hc);   /* at once */
void hconn_finish(struct hconn *hc); /* what was written goes out first */

/* What an exchange asks its protocol to do. */
struct x_ops {
    /* length: of the body; -1: not known. is_end: nothing follows. */
    void (*start)(struct http_x *x, int status, const char *type, const struct http_headers *extra,
                  ptrdiff_t length, bool is_end);
    bool (*write)(struct http_x *x, struct str bytes);
    void (*end)(struct http_x *x, const struct http_headers *trailers); /* once */
    void (*abort)(struct http_x *x);
    void (*say_continue)(struct http_x *x);
    void (*resume_later)(struct http_x *x);    /* x_resume in a later turn, if x still lives */
    void (*hold)(struct http_x *x, bool held); /* stop, go on reading */
    void (*used)(struct http_x *x, size_t n);  /* n bytes of the body have left our memory */
};

struct http_x {
    const struct x_ops *ops;
    struct hconn *hc;
    void *link;         /* h2: its stream */
    struct list resume; /* h2: among those to resume */
    struct http_request req;
    struct buf kept; /* what the request's slices point to */
    void *data;
    void (*on_close)(void *arg, struct http_x *x);
    void *on_close_arg;
    void (*on_part)(void *arg, struct http_x *x, struct str part, bool end);
    void (*on_all)(void *arg, struct http_x *x, struct str body);
    void *body_arg;
    size_t body_max;
    struct buf body;     /* read_all: all of it; else parts that came before anybody asked */
    size_t unused;       /* bytes in body whose place in the client's window is still taken */
    size_t held;         /* of this exchange, in server->held */
    size_t held_by_user; /* http_x_hold */
    void (*on_drain)(void *arg, struct http_x *x);
    void *on_drain_arg;
    bool is_started, is_ended, is_head, request_ended, is_paused, wants_100;
    /* HTTP/1.1 */
    bool is_chunked, keep_alive, is_h10;
};

/* The header lists are copied: a handler may answer much later. host: of :authority, or empty. */
struct http_x *x_new(struct hconn *hc, const struct x_ops *ops, struct str method,
                     struct str target, struct str host, const struct http_headers *headers);
void x_close(struct http_x *x); /* on_close, and the end of its memory */
void x_body(struct http_x *x, struct str part);
void x_request_end(struct http_x *x); /* the request is whole */
void x_resume(struct http_x *x);
void x_drain(struct http_x *x);
const char *http_reason(int status);

#endif
