/* SPDX-License-Identifier: Apache-2.0
 *
 * One HTTP/2 connection as bytes in, bytes and events out (nghttp2 does framing, HPACK and the
 * rules of the RFC); both roles. No sockets: the owner feeds what it reads, and calls h2_flush when
 * want_send asked for it, when its socket has room again, and after each feed.
 *
 * Events come only from h2_feed, h2_flush and h2_free. In them everything may be done but h2_feed,
 * h2_flush and h2_free. A stream lives until its on_close, which always comes; after the stream has
 * ended on the wire what is written to it is dropped.
 *
 * Bounds. Incoming: header block 64 KiB and 100 fields (is_too_large tells), windows of 1 MiB a
 * stream that open only by h2_consume, MAX_CONCURRENT_STREAMS 1000, resets, pings, settings and
 * other known frames without use at most 1,000 at once and 200 a second (GOAWAY ENHANCE_YOUR_CALM).
 * Outgoing: h2_write says false when a stream holds more than 64 KiB; beyond 64 MiB it is reset. */
#ifndef FB_NET_H2_H
#define FB_NET_H2_H

#include "base/buf.h"
#include "base/clock.h"
#include "net/http.h"

#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define H2_PREFACE_N 24
#define H2_STREAMS_MAX 1000
#define H2_WINDOW ((int32_t)1 << 20)
#define H2_STREAM_HIGH_WATER ((size_t)64 << 10)
#define H2_STREAM_HARD_LIMIT ((size_t)64 << 20)

/* RFC 9113, 7 */
enum h2_error {
    H2_NO_ERROR = 0,
    H2_PROTOCOL_ERROR = 1,
    H2_INTERNAL_ERROR = 2,
    H2_REFUSED_STREAM = 7,
    H2_CANCEL = 8,
    H2_ENHANCE_YOUR_CALM = 11,
    H2_INADEQUATE_SECURITY = 12,
};

struct h2;
struct h2_stream;

/* A header block; borrowed, valid during the event. */
struct h2_head {
    struct str method, scheme, authority, path; /* of a request */
    int status;                                 /* of an answer, final: 1xx are passed over */
    struct http_headers headers;                /* without pseudo headers, names in lower case */
    bool is_end;                                /* nothing follows */
    bool is_too_large;                          /* over a bound: the lists are not whole */
};

struct h2_events {
    void (*on_head)(void *arg, struct h2_stream *s, const struct h2_head *head);
    void (*on_data)(void *arg, struct h2_stream *s, struct str part); /* h2_consume it */
    void (*on_trailers)(void *arg, struct h2_stream *s, const struct h2_head *head); /* or NULL */
    void (*on_end)(void *arg, struct h2_stream *s); /* the peer has said everything */
    void (*on_drain)(void *arg, struct h2_stream *s);
    /* code: NO_ERROR where both sides had ended; otherwise why it was reset. */
    void (*on_close)(void *arg, struct h2_stream *s, uint32_t code);
    void (*on_settings)(void *arg); /* the peer's; may be NULL */
    /* Server: an answer is whole before its request is. Call h2_reset_unread after a moment: a
     * reset that comes with the answer makes some clients forget the answer. May be NULL. */
    void (*on_unread)(void *arg);
    void (*on_goaway)(void *arg, uint32_t code, struct str why); /* may be NULL */
    bool (*on_bytes)(void *arg, struct str bytes); /* to the peer; false: no more for now */
    void (*want_send)(void *arg); /* flush soon; never from inside feed and flush */
};

struct h2 *h2_new(bool is_server, const struct clock *clock, const struct h2_events *ev, void *arg);
void h2_free(struct h2 *h); /* on_close of all streams left, with H2_CANCEL; NULL is fine */
/* ERR_BAD_INPUT: not HTTP/2 or beyond repair; flush once more (GOAWAY) and close. */
int h2_feed(struct h2 *h, struct str bytes, struct err *err);
void h2_flush(struct h2 *h);
bool h2_is_inside(const struct h2 *h); /* an event is being told */
bool h2_is_done(const struct h2 *h);   /* both sides are through: close the connection */
size_t h2_streams(const struct h2 *h);
/* Sends GOAWAY; streams that are open go on, new ones are refused. */
void h2_goaway(struct h2 *h, uint32_t code);
void h2_reset_unread(struct h2 *h); /* NO_ERROR: stop sending */
void h2_ping(struct h2 *h);
bool h2_is_ping_open(const struct h2 *h);         /* a ping has not been answered */
bool h2_can_request(const struct h2 *h);          /* not after GOAWAY, or without numbers left */
uint32_t h2_peer_streams_max(const struct h2 *h); /* MAX_CONCURRENT_STREAMS of the peer */

void h2_stream_set_data(struct h2_stream *s, void *data);
void *h2_stream_data(const struct h2_stream *s);
/* A client's request; the header list begins with the pseudo headers. */
struct h2_stream *h2_request(struct h2 *h, const struct http_headers *headers, bool is_end);
/* A server's answer. */
void h2_respond(struct h2_stream *s, int status, const struct http_headers *headers, bool is_end);
/* What came by on_data is used up: n bytes more may come. */
void h2_consume(struct h2_stream *s, size_t n);
bool h2_write(struct h2_stream *s, struct str bytes);
void h2_end(struct h2_stream *s, const struct http_headers *trailers); /* trailers may be NULL */
void h2_reset(struct h2_stream *s, uint32_t code);

#endif
