/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 on a connection: one exchange at a time; bytes of pipelined requests wait until the
 * answer before them has been handed to the socket. Handlers are never called from inside the
 * parser's feeding of a later message, and the end of an exchange is posted, so that a handler may
 * answer from anywhere. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "net/h1.h"
#include "net/server_int.h"

struct side1 {
    struct hconn *hc;
    struct h1_parser parser;
    struct buf waiting; /* bytes behind the exchange in progress */
    struct http_x *x;   /* NULL between exchanges */
    bool is_resume_posted, is_finish_posted;
};

static struct side1 *side_of(struct http_x *x)
{
    return x->hc->side;
}

static void end_x(struct side1 *s)
{
    struct http_x *x = s->x;

    s->x = NULL;
    if (x)
        x_close(x);
}

/* --- reading --- */

static const struct x_ops ops;

static void on_head(void *arg, const struct h1_head *head)
{
    struct side1 *s = arg;
    struct http_x *x;

    loop_timer_stop(&s->hc->timer);
    x = x_new(s->hc, &ops, head->method, head->target, STR_NONE, &head->headers);
    x->req.has_body = head->has_body;
    x->keep_alive = head->keep_alive;
    x->is_h10 = head->is_http10;
    x->wants_100 = head->expect_100;
    s->x = x;
    s->hc->s->o.on_request(s->hc->s->o.ctx, x);
}

static void on_body(void *arg, struct str part)
{
    struct side1 *s = arg;

    if (s->x)
        x_body(s->x, part);
}

static void post_finish(struct side1 *s);

static void on_end(void *arg)
{
    struct side1 *s = arg;

    if (!s->x)
        return;
    x_request_end(s->x);
    if (s->x->is_ended)
        post_finish(s);
}

static const struct h1_events parser_events = {on_head, on_body, on_end};

static void refuse(struct side1 *s, int status, const char *why)
{
    AUTO_FREE char *text =
        mem_printf("HTTP/1.1 %d %s\r\ncontent-type: text/plain\r\nconnection: close\r\n"
                   "content-length: %zu\r\n\r\n%s\n",
                   status, http_reason(status), strlen(why) + 1, why);

    if (!s->x || !s->x->is_started)
        conn_write(s->hc->c, str_of(text));
    hconn_finish(s->hc);
}

static void feed(void *side, struct str bytes)
{
    struct side1 *s = side;
    struct err err = ERR_INIT;
    int status = 400, r;
    size_t used;

    if (s->x && s->x->request_ended) { /* pipelined: wait */
        buf_add_str(&s->waiting, bytes);
        if (s->waiting.n > CONN_HIGH_WATER)
            conn_pause(s->hc->c, true);
        return;
    }
    if (!s->x && !loop_timer_is_running(&s->hc->timer))
        loop_timer_start(&s->hc->timer, HEADER_TIMEOUT_MS);
    r = h1_feed(&s->parser, bytes, &used, &status, &err);
    if (s->hc->is_gone)
        return;
    if (r < 0)
        refuse(s, status, err.msg);
    else if (r == 1 && used < bytes.n)
        buf_add_str(&s->waiting, str_skip(bytes, used));
}

static void on_timeout(void *side)
{
    struct side1 *s = side;

    if (s->x)
        return;
    if (s->waiting.n || s->parser.block.n)
        conn_write(
            s->hc->c,
            STR("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"));
    hconn_finish(s->hc);
}

static void on_drain(void *side)
{
    struct side1 *s = side;

    if (s->x)
        x_drain(s->x);
}

/* --- the end of an exchange --- */

static void finish_x(void *arg)
{
    struct hconn *hc = arg;
    struct side1 *s = hc->side;
    struct http_x *x = s->x;
    struct buf waiting;

    s->is_finish_posted = false;
    if (hc->is_gone || !x || !x->is_ended)
        return;
    if (!x->keep_alive || !x->request_ended) {
        hconn_finish(hc);
        return;
    }
    end_x(s);
    if (hc->is_gone)
        return;
    h1_next(&s->parser);
    loop_timer_start(&hc->timer, s->hc->s->o.idle_ms);
    waiting = s->waiting;
    s->waiting = BUF_INIT;
    conn_pause(hc->c, false);
    if (waiting.n)
        feed(s, buf_str(&waiting));
    buf_done(&waiting);
}

static void post_finish(struct side1 *s)
{
    if (s->is_finish_posted)
        return;
    s->is_finish_posted = true;
    loop_post(s->hc->s->loop, finish_x, s->hc);
}

/* --- what exchanges ask for --- */

static void say_continue(struct http_x *x)
{
    if (x->wants_100 && x->req.has_body && !x->is_started)
        conn_write(x->hc->c, STR("HTTP/1.1 100 Continue\r\n\r\n"));
    x->wants_100 = false;
}

static void start(struct http_x *x, int status, const char *type, const struct http_headers *extra,
                  ptrdiff_t length, bool is_end)
{
    struct buf b = BUF_INIT;
    bool has_length = false, no_body = status == 204 || status == 304;

    (void)is_end;
    buf_printf(&b, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
    if (type)
        buf_printf(&b, "content-type: %s\r\n", type);
    for (size_t i = 0; extra && i < extra->n; i++) {
        buf_add_str(&b, extra->items[i].name);
        buf_add_cstr(&b, ": ");
        buf_add_str(&b, extra->items[i].value);
        buf_add_cstr(&b, "\r\n");
        has_length |= str_eq_nocase(extra->items[i].name, STR("content-length"));
    }
    if (!x->request_ended && x->req.has_body)
        x->keep_alive =
            false; /* answered before the body was read: what follows is not a request */
    if (length >= 0 && !has_length && !no_body) {
        buf_printf(&b, "content-length: %td\r\n", length);
    } else if (length < 0 && !has_length && !no_body) {
        if (x->is_h10) {
            x->keep_alive = false;
        } else {
            x->is_chunked = true;
            buf_add_cstr(&b, "transfer-encoding: chunked\r\n");
        }
    }
    if (!x->keep_alive)
        buf_add_cstr(&b, "connection: close\r\n");
    else if (x->is_h10)
        buf_add_cstr(&b, "connection: keep-alive\r\n");
    buf_add_cstr(&b, "\r\n");
    conn_write(x->hc->c, buf_str(&b));
    buf_done(&b);
}

static bool write_part(struct http_x *x, struct str bytes)
{
    char head[24];
    bool room;

    if (!x->is_chunked)
        return conn_write(x->hc->c, bytes);
    snprintf(head, sizeof(head), "%zx\r\n", bytes.n);
    conn_write(x->hc->c, str_of(head));
    room = conn_write(x->hc->c, bytes);
    conn_write(x->hc->c, STR("\r\n"));
    return room;
}

static void end(struct http_x *x, const struct http_headers *trailers)
{
    if (x->is_chunked && !x->is_head) {
        struct buf b = BUF_INIT;

        buf_add_cstr(&b, "0\r\n");
        for (size_t i = 0; trailers && i < trailers->n; i++)
            buf_printf(&b, "%.*s: %.*s\r\n", STR_ARG(trailers->items[i].name),
                       STR_ARG(trailers->items[i].value));
        buf_add_cstr(&b, "\r\n");
        conn_write(x->hc->c, buf_str(&b));
        buf_done(&b);
    }
    post_finish(side_of(x));
}

static void abort_later(void *arg)
{
    hconn_shut(arg);
}

static void abort_x(struct http_x *x)
{
    loop_post(x->hc->s->loop, abort_later, x->hc);
}

static void resume(void *arg)
{
    struct hconn *hc = arg;
    struct side1 *s = hc->side;

    s->is_resume_posted = false;
    if (!hc->is_gone && s->x)
        x_resume(s->x);
}

static void resume_later(struct http_x *x)
{
    struct side1 *s = side_of(x);

    if (s->is_resume_posted)
        return;
    s->is_resume_posted = true;
    loop_post(x->hc->s->loop, resume, x->hc);
}

static void hold(struct http_x *x, bool held)
{
    conn_pause(x->hc->c, held);
}

static void used(struct http_x *x, size_t n)
{
    (void)x; /* the socket's buffer is the window */
    (void)n;
}

static const struct x_ops ops = {start,        write_part,   end,  abort_x,
                                 say_continue, resume_later, hold, used};

/* --- the side --- */

void *side_h1_new(struct hconn *hc)
{
    struct side1 *s = mem_zalloc(sizeof(*s));

    s->hc = hc;
    h1_init(&s->parser, false, &parser_events, s);
    return s;
}

static bool stop(void *side)
{
    (void)side; /* nothing to say: the connection just ends */
    return false;
}

static void gone(void *side)
{
    end_x(side);
}

static void free_side(void *side)
{
    struct side1 *s = side;

    h1_done(&s->parser);
    buf_done(&s->waiting);
    free(s);
}

const struct side_ops side_h1 = {feed, on_drain, on_timeout, stop, gone, free_side};
