/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "net/h2_int.h"

/* False: the peer has sent more frames without use than anybody needs to; the connection ends. */
static bool count_idle_frame(struct h2 *h)
{
    int64_t now = clock_mono_ns(h->clock);

    h->frames_left += (double)(now - h->frames_at_ns) * (IDLE_FRAMES_PER_S / 1e9);
    h->frames_at_ns = now;
    if (h->frames_left > IDLE_FRAMES_BURST)
        h->frames_left = IDLE_FRAMES_BURST;
    h->frames_left -= 1;
    if (h->frames_left >= 0)
        return true;
    nghttp2_session_terminate_session(h->ng, NGHTTP2_ENHANCE_YOUR_CALM);
    return false;
}

static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *arg)
{
    struct h2 *h = arg;

    (void)ng;
    switch (hd->type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_CONTINUATION:
    case NGHTTP2_GOAWAY:
    case NGHTTP2_WINDOW_UPDATE:
        return 0;
    case NGHTTP2_DATA:
        if (hd->length > 0 || (hd->flags & NGHTTP2_FLAG_END_STREAM))
            return 0;
        break;
    case NGHTTP2_RST_STREAM:
        if (!h->is_server)
            return 0;
        break;
    default:
        break;
    }
    count_idle_frame(h);
    return 0;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
    struct h2 *h = arg;

    buf_clear(&h->block);
    h->n_fields = 0;
    h->is_too_large = false;
    if (f->headers.cat == NGHTTP2_HCAT_REQUEST && h->is_server)
        nghttp2_session_set_stream_user_data(ng, f->hd.stream_id,
                                             h2_stream_new(h, f->hd.stream_id));
    return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
    struct h2 *h = arg;

    (void)ng;
    (void)f;
    (void)flags;
    if (h->is_too_large || h->n_fields == FIELDS_MAX ||
        h->block.n + name_n + value_n > h->block.max) {
        h->is_too_large = true;
        return 0;
    }
    h->at[h->n_fields++] = (struct offsets){name_n, h->block.n + name_n, value_n};
    buf_add(&h->block, name, name_n);
    buf_add(&h->block, value, value_n);
    return 0;
}

static void set_pseudo(struct h2_head *head, struct str name, struct str value)
{
    uint64_t n;

    if (str_is(name, ":method"))
        head->method = value;
    else if (str_is(name, ":scheme"))
        head->scheme = value;
    else if (str_is(name, ":authority"))
        head->authority = value;
    else if (str_is(name, ":path"))
        head->path = value;
    else if (str_is(name, ":status") && str_to_u64(value, &n))
        head->status = (int)n;
}

/* Slices are made only now: the block moved while it grew. */
static void read_block(struct h2 *h, struct h2_head *head, struct http_header items[FIELDS_MAX])
{
    head->headers = (struct http_headers){items, 0};
    head->is_too_large = h->is_too_large;
    for (size_t i = 0; i < h->n_fields; i++) {
        const struct offsets *o = &h->at[i];
        struct str name = str_n(h->block.p + o->value - o->name_n, o->name_n);
        struct str value = str_n(h->block.p + o->value, o->value_n);

        if (name.n && name.p[0] == ':')
            set_pseudo(head, name, value);
        else
            items[head->headers.n++] = (struct http_header){name, value};
    }
}

static void headers_received(struct h2 *h, struct h2_stream *s, const nghttp2_frame *f)
{
    struct http_header items[FIELDS_MAX];
    struct h2_head head = {.is_end = (f->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0};

    read_block(h, &head, items);
    if (s->has_head) {
        if (h->ev->on_trailers)
            h->ev->on_trailers(h->arg, s, &head);
        return;
    }
    if (!h->is_server && head.status >= 100 && head.status < 200)
        return;
    s->has_head = true;
    s->remote_ended = head.is_end;
    h->ev->on_head(h->arg, s, &head);
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
    struct h2 *h = arg;
    struct h2_stream *s = h2_stream_of(h, f->hd.stream_id);

    (void)ng;
    switch (f->hd.type) {
    case NGHTTP2_SETTINGS:
        if (!(f->hd.flags & NGHTTP2_FLAG_ACK) && h->ev->on_settings)
            h->ev->on_settings(h->arg);
        return 0;
    case NGHTTP2_PING:
        if ((f->hd.flags & NGHTTP2_FLAG_ACK) && h->pings_open > 0)
            h->pings_open--;
        return 0;
    case NGHTTP2_GOAWAY:
        if (h->ev->on_goaway)
            h->ev->on_goaway(h->arg, f->goaway.error_code,
                             str_n(f->goaway.opaque_data, f->goaway.opaque_data_len));
        return 0;
    case NGHTTP2_HEADERS:
        if (s)
            headers_received(h, s, f);
        break;
    case NGHTTP2_DATA:
        break;
    default:
        return 0;
    }
    if ((f->hd.flags & NGHTTP2_FLAG_END_STREAM) && s && !s->is_closed) {
        s->remote_ended = true;
        h->ev->on_end(h->arg, s);
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                         void *arg)
{
    struct h2 *h = arg;
    struct h2_stream *s = h2_stream_of(h, id);

    (void)flags;
    /* one stream that is not read must not hold up the others: only its own window closes */
    nghttp2_session_consume_connection(ng, n);
    if (s)
        h->ev->on_data(h->arg, s, str_n(p, n));
    else
        nghttp2_session_consume_stream(ng, id, n);
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
    struct h2_stream *s = nghttp2_session_get_stream_user_data(ng, id);

    (void)arg;
    if (s)
        h2_stream_close(s, code);
    return 0;
}

/* An answer that is whole before its request is: the owner goes on reading for a moment. */
static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
    struct h2 *h = arg;
    struct h2_stream *s;

    (void)ng;
    if (!h->is_server || !(f->hd.flags & NGHTTP2_FLAG_END_STREAM) ||
        (f->hd.type != NGHTTP2_DATA && f->hd.type != NGHTTP2_HEADERS))
        return 0;
    s = h2_stream_of(h, f->hd.stream_id);
    if (!s || s->remote_ended)
        return 0;
    s->is_unread = true;
    if (h->ev->on_unread)
        h->ev->on_unread(h->arg);
    return 0;
}

nghttp2_session_callbacks *h2_recv_callbacks(void)
{
    nghttp2_session_callbacks *c;

    FB_ASSERT(nghttp2_session_callbacks_new(&c) == 0);
    nghttp2_session_callbacks_set_on_begin_frame_callback(c, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
    return c;
}
