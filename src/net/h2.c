/* SPDX-License-Identifier: Apache-2.0
 *
 * nghttp2 must not be re-entered from its callbacks by anything that sends or receives, and frees a
 * stream inside them. So on_close and on_drain are collected, and told behind the outermost call.
 */
#include "net/h2.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/mem.h"

#define BLOCK_MAX ((size_t)64 << 10)
#define FIELDS_MAX 100
#define CONNECTION_WINDOW ((int32_t)8 << 20)
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

static void want_send(struct h2 *h)
{
    h->is_flush_wanted = true;
    if (h->depth == 0)
        h->ev->want_send(h->arg);
}

static void close_stream(struct h2_stream *s, uint32_t code)
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

static struct h2_stream *new_stream(struct h2 *h, int32_t id)
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

static struct h2_stream *stream_of(struct h2 *h, int32_t id)
{
    struct h2_stream *s = id > 0 ? nghttp2_session_get_stream_user_data(h->ng, id) : NULL;

    return s && !s->is_closed ? s : NULL;
}

/* --- frames of the peer --- */

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
        nghttp2_session_set_stream_user_data(ng, f->hd.stream_id, new_stream(h, f->hd.stream_id));
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
    struct h2_stream *s = stream_of(h, f->hd.stream_id);

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
    struct h2_stream *s = stream_of(h, id);

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
        close_stream(s, code);
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
    s = stream_of(h, f->hd.stream_id);
    if (!s || s->remote_ended)
        return 0;
    s->is_unread = true;
    if (h->ev->on_unread)
        h->ev->on_unread(h->arg);
    return 0;
}

/* --- our frames --- */

static void submit_trailers(struct h2_stream *s)
{
    nghttp2_nv *nv = mem_array(s->n_trailers, sizeof(*nv));
    const char *p = s->trailers.p;

    for (size_t i = 0; i < s->n_trailers; i++) {
        nv[i].name = (uint8_t *)(uintptr_t)p;
        nv[i].namelen = strlen(p);
        p += nv[i].namelen + 1;
        nv[i].value = (uint8_t *)(uintptr_t)p;
        nv[i].valuelen = strlen(p);
        p += nv[i].valuelen + 1;
    }
    nghttp2_submit_trailer(s->h->ng, s->id, nv, s->n_trailers);
    free(nv);
}

static ssize_t read_out(nghttp2_session *ng, int32_t id, uint8_t *to, size_t cap, uint32_t *flags,
                        nghttp2_data_source *source, void *arg)
{
    struct h2_stream *s = source->ptr;
    size_t n = s->out.n - s->out_at;

    (void)ng;
    (void)id;
    (void)arg;
    if (n > cap)
        n = cap;
    if (n)
        memcpy(to, s->out.p + s->out_at, n);
    s->out_at += n;
    if (s->out_at == s->out.n) {
        buf_clear(&s->out);
        s->out_at = 0;
    }
    if (s->is_full && s->out.n - s->out_at <= H2_STREAM_HIGH_WATER / 2) {
        s->is_full = false;
        list_del(&s->drain);
        list_add_tail(&s->h->drained, &s->drain);
    }
    if (s->out.n == 0 && s->is_ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->n_trailers) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            submit_trailers(s);
        }
    } else if (n == 0) {
        s->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    return (ssize_t)n;
}

static void resume(struct h2_stream *s)
{
    if (s->is_deferred) {
        s->is_deferred = false;
        nghttp2_session_resume_data(s->h->ng, s->id);
    }
    want_send(s->h);
}

/* Names in lower case as the protocol wants it; what only HTTP/1.1 connections know is left out. */
static bool is_of_h1(struct str name)
{
    static const char *const names[] = {"connection", "keep-alive", "proxy-connection",
                                        "transfer-encoding", "upgrade"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq_nocase(name, str_of(names[i])))
            return true;
    return false;
}

static void add_lower(struct buf *b, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        buf_add_char(b, s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] | 0x20) : s.p[i]);
}

static nghttp2_nv *make_nv(const struct http_headers *h, const char *status, struct buf *names,
                           size_t *ret_n)
{
    nghttp2_nv *nv = mem_array((h ? h->n : 0) + 1, sizeof(*nv));
    size_t total = 1, n = 0;

    for (size_t i = 0; h && i < h->n; i++)
        total += h->items[i].name.n;
    buf_room(names, total);
    if (status)
        nv[n++] = (nghttp2_nv){(uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t)status, 7,
                               strlen(status), NGHTTP2_NV_FLAG_NO_COPY_NAME};
    for (size_t i = 0; h && i < h->n; i++) {
        const struct http_header *f = &h->items[i];
        size_t at = names->n;

        if (is_of_h1(f->name))
            continue;
        add_lower(names, f->name);
        nv[n++] = (nghttp2_nv){(uint8_t *)names->p + at, (uint8_t *)(uintptr_t)f->value.p,
                               f->name.n, f->value.n, NGHTTP2_NV_FLAG_NONE};
    }
    *ret_n = n;
    return nv;
}

struct h2_stream *h2_request(struct h2 *h, const struct http_headers *headers, bool is_end)
{
    struct h2_stream *s = new_stream(h, 0);
    nghttp2_data_provider body = {.source.ptr = s, .read_callback = read_out};
    struct buf names = BUF_INIT;
    size_t n;
    nghttp2_nv *nv = make_nv(headers, NULL, &names, &n);

    s->id = nghttp2_submit_request(h->ng, NULL, nv, n, is_end ? NULL : &body, s);
    free(nv);
    buf_done(&names);
    s->is_answered = true;
    s->is_ended = is_end;
    if (s->id < 0)
        close_stream(s, H2_REFUSED_STREAM); /* no more ids on this connection */
    want_send(h);
    return s;
}

void h2_respond(struct h2_stream *s, int status, const struct http_headers *headers, bool is_end)
{
    nghttp2_data_provider body = {.source.ptr = s, .read_callback = read_out};
    struct buf names = BUF_INIT;
    char text[16];
    nghttp2_nv *nv;
    size_t n;

    if (s->is_closed || s->is_answered)
        return;
    snprintf(text, sizeof(text), "%d", status);
    nv = make_nv(headers, text, &names, &n);
    s->is_answered = true;
    s->is_ended = is_end;
    nghttp2_submit_response(s->h->ng, s->id, nv, n, is_end ? NULL : &body);
    free(nv);
    buf_done(&names);
    want_send(s->h);
}

void h2_consume(struct h2_stream *s, size_t n)
{
    if (s->is_closed || n == 0)
        return;
    nghttp2_session_consume_stream(s->h->ng, s->id, n);
    want_send(s->h);
}

bool h2_write(struct h2_stream *s, struct str bytes)
{
    if (s->is_closed || s->is_ended || bytes.n == 0)
        return true;
    if (s->out_at > s->out.n / 2) {
        buf_consume(&s->out, s->out_at);
        s->out_at = 0;
    }
    buf_add_str(&s->out, bytes);
    if (s->out.overflow) {
        h2_reset(s, H2_ENHANCE_YOUR_CALM);
        return false;
    }
    resume(s);
    if (s->out.n - s->out_at > H2_STREAM_HIGH_WATER)
        s->is_full = true;
    return !s->is_full;
}

void h2_end(struct h2_stream *s, const struct http_headers *trailers)
{
    if (s->is_closed || s->is_ended)
        return;
    for (size_t i = 0; trailers && i < trailers->n; i++) {
        add_lower(&s->trailers, trailers->items[i].name);
        buf_add_char(&s->trailers, '\0');
        buf_add_str(&s->trailers, trailers->items[i].value);
        buf_add_char(&s->trailers, '\0');
        s->n_trailers++;
    }
    FB_ASSERT(!s->trailers.overflow);
    s->is_ended = true;
    resume(s);
}

void h2_reset(struct h2_stream *s, uint32_t code)
{
    if (s->is_closed)
        return;
    s->is_ended = true;
    nghttp2_submit_rst_stream(s->h->ng, NGHTTP2_FLAG_NONE, s->id, code);
    want_send(s->h);
}

void h2_stream_set_data(struct h2_stream *s, void *data)
{
    s->data = data;
}

void *h2_stream_data(const struct h2_stream *s)
{
    return s->data;
}

/* --- the connection --- */

static nghttp2_session_callbacks *callbacks(void)
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
    nghttp2_session_callbacks *c = callbacks();
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
        close_stream(container_of(it, struct h2_stream, link), H2_CANCEL);
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
    want_send(h);
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
    want_send(h);
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
