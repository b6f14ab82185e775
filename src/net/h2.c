/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/mem.h"
#include "net/h2_int.h"

#define CONNECTION_WINDOW ((int32_t)8 << 20)

/* --- what is due behind a call into nghttp2 --- */

static void free_stream(struct h2_stream *s)
{
    buf_done(&s->out);
    buf_done(&s->trailers);
    free(s);
}

static void settle(struct h2 *h)
{
    while (!list_is_empty(&h->drained)) {
        struct h2_stream *s = container_of(h->drained.next, struct h2_stream, drain);

        list_del(&s->drain);
        if (!s->is_closed)
            h->ev->on_drain(h->arg, s);
    }
    while (!list_is_empty(&h->closed)) {
        struct h2_stream *s = container_of(h->closed.next, struct h2_stream, link);

        list_del(&s->link);
        list_del(&s->drain);
        h->ev->on_close(h->arg, s, s->close_code);
        free_stream(s);
    }
}

void h2_want_send(struct h2 *h)
{
    h->is_flush_wanted = true;
    if (h->depth == 0)
        h->ev->want_send(h->arg);
}

void h2_stream_close(struct h2_stream *s, uint32_t code)
{
    if (s->is_closed)
        return;
    s->is_closed = true;
    s->close_code = code;
    buf_done(&s->out);
    list_del(&s->link);
    list_add_tail(&s->h->closed, &s->link);
    s->h->n_streams--;
}

struct h2_stream *h2_stream_new(struct h2 *h, int32_t id)
{
    struct h2_stream *s = mem_zalloc(sizeof(*s));

    s->h = h;
    s->id = id;
    s->out.max = H2_STREAM_HARD_LIMIT;
    s->trailers.max = BLOCK_MAX;
    list_init(&s->drain);
    list_add_tail(&h->streams, &s->link);
    h->n_streams++;
    return s;
}

struct h2_stream *h2_stream_of(struct h2 *h, int32_t id)
{
    struct h2_stream *s = id > 0 ? nghttp2_session_get_stream_user_data(h->ng, id) : NULL;

    return s && !s->is_closed ? s : NULL;
}

/* --- the connection --- */

static nghttp2_option *options(void)
{
    nghttp2_option *o;

    FB_ASSERT(nghttp2_option_new(&o) == 0);
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_max_send_header_block_length(o, 4 * BLOCK_MAX);
    nghttp2_option_set_stream_reset_rate_limit(o, IDLE_FRAMES_BURST, IDLE_FRAMES_PER_S);
    return o;
}

struct h2 *h2_new(bool is_server, const struct clock *clock, const struct h2_events *ev, void *arg)
{
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, BLOCK_MAX},
        {is_server ? NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS : NGHTTP2_SETTINGS_ENABLE_PUSH,
         is_server ? H2_STREAMS_MAX : 0},
    };
    struct h2 *h = mem_zalloc(sizeof(*h));
    nghttp2_session_callbacks *c = h2_recv_callbacks();
    nghttp2_option *o = options();

    *h = (struct h2){.ev = ev,
                     .arg = arg,
                     .clock = clock,
                     .is_server = is_server,
                     .frames_at_ns = clock_mono_ns(clock),
                     .frames_left = IDLE_FRAMES_BURST};
    list_init(&h->streams);
    list_init(&h->closed);
    list_init(&h->drained);
    h->block.max = BLOCK_MAX;
    FB_ASSERT((is_server ? nghttp2_session_server_new2(&h->ng, c, h, o)
                         : nghttp2_session_client_new2(&h->ng, c, h, o)) == 0);
    nghttp2_session_callbacks_del(c);
    nghttp2_option_del(o);
    nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
    nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
    return h;
}

void h2_free(struct h2 *h)
{
    if (!h)
        return;
    FB_ASSERT(h->depth == 0);
    h->depth = 1; /* no more want_send */
    list_each (it, &h->streams)
        h2_stream_close(container_of(it, struct h2_stream, link), H2_CANCEL);
    settle(h);
    nghttp2_session_del(h->ng);
    buf_done(&h->block);
    free(h);
}

int h2_feed(struct h2 *h, struct str bytes, struct err *err)
{
    ssize_t n;

    if (h->is_broken)
        return err_set(err, ERR_BAD_INPUT, "the connection is broken");
    FB_ASSERT(h->depth == 0);
    h->depth++;
    n = nghttp2_session_mem_recv(h->ng, (const uint8_t *)bytes.p, bytes.n);
    settle(h);
    h->depth--;
    if (n >= 0)
        return 0;
    h->is_broken = true;
    return err_set(err, ERR_BAD_INPUT, "HTTP/2: %s", nghttp2_strerror((int)n));
}

void h2_flush(struct h2 *h)
{
    bool has_room = true;

    FB_ASSERT(h->depth == 0);
    h->depth++;
    do {
        const uint8_t *p;
        ssize_t n = 0;

        h->is_flush_wanted = false;
        while (has_room && (n = nghttp2_session_mem_send(h->ng, &p)) > 0)
            has_room = h->ev->on_bytes(h->arg, str_n(p, (size_t)n));
        if (n < 0) {
            h->is_broken = true;
            has_room = false;
        }
        settle(h);
    } while (has_room && h->is_flush_wanted);
    h->depth--;
}

bool h2_is_inside(const struct h2 *h)
{
    return h->depth > 0;
}

bool h2_is_done(const struct h2 *h)
{
    return h->is_broken ||
           (!nghttp2_session_want_read(h->ng) && !nghttp2_session_want_write(h->ng));
}

size_t h2_streams(const struct h2 *h)
{
    return h->n_streams;
}

void h2_goaway(struct h2 *h, uint32_t code)
{
    nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->ng),
                          code, NULL, 0);
    h2_want_send(h);
}

void h2_reset_unread(struct h2 *h)
{
    list_each (it, &h->streams) {
        struct h2_stream *s = container_of(it, struct h2_stream, link);

        if (s->is_unread)
            h2_reset(s, H2_NO_ERROR);
    }
}

void h2_ping(struct h2 *h)
{
    if (nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, NULL) == 0)
        h->pings_open++;
    h2_want_send(h);
}

bool h2_is_ping_open(const struct h2 *h)
{
    return h->pings_open > 0;
}

bool h2_can_request(const struct h2 *h)
{
    return nghttp2_session_check_request_allowed(h->ng) != 0;
}

uint32_t h2_peer_streams_max(const struct h2 *h)
{
    return nghttp2_session_get_remote_settings(h->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}
