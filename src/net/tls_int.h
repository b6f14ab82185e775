/* SPDX-License-Identifier: Apache-2.0
 *
 * One TLS session over memory: bytes in, bytes out, no sockets. */
#ifndef FB_NET_TLS_INT_H
#define FB_NET_TLS_INT_H

#include "base/buf.h"
#include "net/tls.h"

struct tls_session;

struct tls_session *tls_session_server(struct tls_server *t);
/* host: for SNI and verification. */
struct tls_session *tls_session_client(struct tls_client *t, const char *host);
/* Before the handshake. A server's lets the client choose HTTP/2; a client's offers nothing else.
 */
void tls_session_offer_h2(struct tls_session *s);
bool tls_session_alpn_is_h2(const struct tls_session *s);
void tls_session_free(struct tls_session *s);
/* Takes bytes of the peer; appends what it decrypts to plain and what must be sent to wire. Returns
 * 0, 1 when the peer closed cleanly, or an error. */
int tls_session_feed(struct tls_session *s, struct str bytes, struct buf *plain, struct buf *wire,
                     struct err *err);
/* Starts a client's handshake. */
int tls_session_start(struct tls_session *s, struct buf *wire, struct err *err);
bool tls_session_is_open(const struct tls_session *s); /* handshake done */
int tls_session_write(struct tls_session *s, struct str plain, struct buf *wire, struct err *err);
void tls_session_shutdown(struct tls_session *s, struct buf *wire);
/* Of a verified peer certificate, or NULL. */
const char *tls_session_cn(struct tls_session *s);
const char *tls_session_o(struct tls_session *s);

#endif
