/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "net/h2_int.h"

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
    h2_want_send(s->h);
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
    struct h2_stream *s = h2_stream_new(h, 0);
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
        h2_stream_close(s, H2_REFUSED_STREAM); /* no more ids on this connection */
    h2_want_send(h);
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
    h2_want_send(s->h);
}

void h2_consume(struct h2_stream *s, size_t n)
{
    if (s->is_closed || n == 0)
        return;
    nghttp2_session_consume_stream(s->h->ng, s->id, n);
    h2_want_send(s->h);
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
    h2_want_send(s->h);
}

void h2_stream_set_data(struct h2_stream *s, void *data)
{
    s->data = data;
}

void *h2_stream_data(const struct h2_stream *s)
{
    return s->data;
}
