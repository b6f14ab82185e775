/* SPDX-License-Identifier: Apache-2.0
 *
 * One byte stream: TCP, or TLS over TCP, on libuv. The only place that owns sockets. Above it
 * protocol code sees bytes and events.
 *
 * Callbacks come from the loop, never from inside a call. After on_close, or after conn_close by
 * the owner, there are no more callbacks and the connection is gone. */
#ifndef FB_NET_CONN_H
#define FB_NET_CONN_H

#include "net/http.h"
#include "net/loop.h"
#include "net/tls.h"

#define CONN_HIGH_WATER ((size_t)256 << 10)
#define CONN_HARD_LIMIT ((size_t)64 << 20)

struct conn;

struct conn_events {
    void (*on_connect)(void *arg); /* outgoing, TLS included; may be NULL */
    void (*on_data)(void *arg, struct str bytes);
    void (*on_drain)(void *arg);                        /* room again after a false; may be NULL */
    void (*on_close)(void *arg, const struct err *err); /* NULL: the peer ended it cleanly */
    /* Clear text only; may be NULL: the peer will send no more, but still reads. Then its end is no
     * on_close, and the owner closes. */
    void (*on_eof)(void *arg);
};

struct conn_listener;

/* on_accept gets a new connection for which it calls conn_start at once. */
int conn_listen(struct loop *l, const struct net_addr *addr, struct tls_server *tls,
                void (*on_accept)(void *arg, struct conn *c), void *arg, struct conn_listener **ret,
                struct err *err);
struct net_addr conn_listener_addr(const struct conn_listener *s);
void conn_listener_free(struct conn_listener *s);
/* Before conn_start: the client may choose HTTP/2 by ALPN. Connections of ours: offer only that. */
void conn_offer_h2(struct conn *c);
void conn_start(struct conn *c, const struct conn_events *ev, void *arg);

/* tls NULL: clear text; host for SNI and verification. */
struct conn *conn_connect(struct loop *l, const struct net_addr *addr, struct tls_client *tls,
                          const char *host, const struct conn_events *ev, void *arg);
/* The same, but the peer at addr is a proxy: it is sent `request` ("CONNECT ..."), and what comes
 * behind its good answer is the connection. */
struct conn *conn_connect_through(struct loop *l, const struct net_addr *addr, struct str request,
                                  struct tls_client *tls, const char *host,
                                  const struct conn_events *ev, void *arg);
/* Hands an open connection to another owner (keep-alive pools). */
void conn_retarget(struct conn *c, const struct conn_events *ev, void *arg);
/* false: more than the high-water mark waits. Bytes are copied and go out at the end of the turn.
 * Beyond the hard limit the connection is broken. */
bool conn_write(struct conn *c, struct str bytes);
size_t conn_pending(const struct conn *c);
void conn_pause(struct conn *c, bool paused);
void conn_shutdown(struct conn *c); /* sends no more after what is written; goes on reading */
void conn_close(struct conn *c);    /* at once; NULL is fine */
/* Closes when everything written has gone out, or nothing has for 30 s. Nobody is told of anything
 * any more, what still comes in is dropped. */
void conn_finish(struct conn *c);
const struct net_addr *conn_peer(const struct conn *c);
const struct net_addr *conn_local(const struct conn *c);
bool conn_is_tls(const struct conn *c);
bool conn_alpn_is_h2(const struct conn *c); /* chosen by ALPN */
/* Of a verified client certificate, or NULL. */
const char *conn_tls_cn(const struct conn *c);
const char *conn_tls_o(const struct conn *c);

#endif
