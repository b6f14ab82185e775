/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of HTTP/2 share: h2.c has the connection, h2_recv.c takes the peer's frames,
 * h2_send.c makes ours.
 *
 * nghttp2 must not be re-entered from its callbacks by anything that sends or receives, and frees a
 * stream inside them. So on_close and on_drain are collected, and told behind the outermost call.
 */
#ifndef FB_NET_H2_INT_H
#define FB_NET_H2_INT_H

#include <nghttp2/nghttp2.h>

#include "base/list.h"
#include "net/h2.h"

#define BLOCK_MAX ((size_t)64 << 10)
#define FIELDS_MAX 100
/* Frames that cost us work and move nothing. */
#define IDLE_FRAMES_BURST 1000
#define IDLE_FRAMES_PER_S 200

struct h2_stream {
    struct h2 *h;
    struct list link;  /* h->streams, or h->closed */
    struct list drain; /* h->drained while on_drain is due */
    int32_t id;
    void *data;
    struct buf out; /* bytes for the peer from out_at on */
    size_t out_at;
    struct buf trailers; /* names and values, each followed by a NUL */
    size_t n_trailers;
    uint32_t close_code;
    bool is_ended;    /* h2_end was called */
    bool is_deferred; /* nghttp2 waits for h2_write */
    bool is_full, has_head, remote_ended, is_closed, is_answered, is_unread;
};

struct offsets {
    size_t name_n, value, value_n;
};

struct h2 {
    nghttp2_session *ng;
    const struct h2_events *ev;
    void *arg;
    const struct clock *clock;
    struct list streams, closed, drained;
    size_t n_streams;
    /* the header block being read: there is never more than one */
    struct buf block;
    struct offsets at[FIELDS_MAX];
    size_t n_fields;
    bool is_too_large;
    int64_t frames_at_ns; /* bucket of frames without use */
    double frames_left;
    int pings_open;
    int depth; /* inside feed or flush */
    bool is_server, is_broken, is_flush_wanted;
};

/* --- h2.c --- */

void h2_want_send(struct h2 *h);
struct h2_stream *h2_stream_new(struct h2 *h, int32_t id);
struct h2_stream *h2_stream_of(struct h2 *h, int32_t id); /* NULL: there is none, or no more */
/* It has ended: on_close is due. */
void h2_stream_close(struct h2_stream *s, uint32_t code);

/* --- h2_recv.c --- */

nghttp2_session_callbacks *h2_recv_callbacks(void); /* new */

#endif
