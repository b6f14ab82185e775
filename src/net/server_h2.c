/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/2 on a connection: an exchange is a stream. What exchanges ask for is gathered in the
 * session and goes out in one turn, which is posted once however much asks for it.
 *
 * The connection's timer looks after the client: silent for a minute with open exchanges, it is
 * asked whether it is there (PING), and without an answer in 20 s it is not. So a client that
 * vanished, or does not read what is written to it, does not stay. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "net/h2.h"
#include "net/server_int.h"

#define PING_AFTER_MS_DEFAULT 60000
#define UNREAD_MS 1000
#define PING_WAIT_MS_DEFAULT 20000

struct side2 {
    struct hconn *hc;
    struct h2 *h2;
    struct list resumes;      /* exchanges to resume in the next turn */
    struct loop_timer unread; /* answered before their requests were whole */
    bool is_turn_posted;
};

static struct side2 *side_of(struct http_x *x)
{
    return x->hc->side;
}

/* --- sending --- */

static void flush(struct side2 *s)
{
    if (s->hc->is_gone)
        return;
    h2_flush(s->h2);
    if (!s->hc->is_gone && h2_is_done(s->h2))
        hconn_finish(s->hc);
}

static void turn(void *arg)
{
    struct hconn *hc = arg;
    struct side2 *s = hc->side;

    s->is_turn_posted = false;
    if (hc->is_gone)
        return;
    while (!list_is_empty(&s->resumes)) {
        struct http_x *x = container_of(s->resumes.next, struct http_x, resume);

        list_del(&x->resume);
        x_resume(x);
    }
    flush(s);
}

static void post_turn(struct side2 *s)
{
    if (s->is_turn_posted || s->hc->is_gone)
        return;
    s->is_turn_posted = true;
    loop_post(s->hc->s->loop, turn, s->hc);
}

static void want_send(void *arg)
{
    post_turn(arg);
}

static bool on_bytes(void *arg, struct str bytes)
{
    struct side2 *s = arg;

    return conn_write(s->hc->c, bytes);
}

/* --- events of streams --- */

static const struct x_ops ops;

static bool is_target(struct str path)
{
    return path.n > 0 && (path.p[0] == '/' || str_is(path, "*"));
}

static void watch_idle(struct side2 *s)
{
    const struct http_server_options *o = &s->hc->s->o;

    if (s->hc->is_gone)
        return;
    if (h2_streams(s->h2) == 0)
        loop_timer_start(&s->hc->timer, o->idle_ms);
    else
        loop_timer_start(&s->hc->timer,
                         o->ping_after_ms ? o->ping_after_ms : PING_AFTER_MS_DEFAULT);
}

static void on_head(void *arg, struct h2_stream *st, const struct h2_head *head)
{
    struct side2 *s = arg;
    struct http_x *x;

    if (head->is_too_large || !is_target(head->path)) {
        h2_respond(st, head->is_too_large ? 431 : 400, NULL, true);
        return;
    }
    x = x_new(s->hc, &ops, head->method, head->path, head->authority, &head->headers);
    x->req.is_h2 = true;
    x->req.has_body = !head->is_end;
    x->request_ended = head->is_end;
    x->wants_100 = str_eq_nocase(http_header_get(&head->headers, "expect"), STR("100-continue"));
    x->link = st;
    h2_stream_set_data(st, x);
    s->hc->s->o.on_request(s->hc->s->o.ctx, x);
}

static void on_data(void *arg, struct h2_stream *st, struct str part)
{
    struct http_x *x = h2_stream_data(st);

    (void)arg;
    if (x)
        x_body(x, part);
    else
        h2_consume(st, part.n);
}

static void on_end(void *arg, struct h2_stream *st)
{
    struct http_x *x = h2_stream_data(st);

    (void)arg;
    if (x)
        x_request_end(x);
}

static void on_stream_drain(void *arg, struct h2_stream *st)
{
    struct http_x *x = h2_stream_data(st);

    (void)arg;
    if (x)
        x_drain(x);
}

static void on_stream_close(void *arg, struct h2_stream *st, uint32_t code)
{
    struct http_x *x = h2_stream_data(st);

    (void)code;
    h2_stream_set_data(st, NULL);
    if (x)
        x_close(x);
    watch_idle(arg);
}

static void on_unread(void *arg)
{
    struct side2 *s = arg;

    if (!loop_timer_is_running(&s->unread))
        loop_timer_start(&s->unread, UNREAD_MS);
}

static void reset_unread(void *arg)
{
    h2_reset_unread(((struct side2 *)arg)->h2);
}

static const struct h2_events events = {
    .on_head = on_head,
    .on_data = on_data,
    .on_end = on_end,
    .on_drain = on_stream_drain,
    .on_close = on_stream_close,
    .on_unread = on_unread,
    .on_bytes = on_bytes,
    .want_send = want_send,
};

/* --- what exchanges ask for --- */

static void start(struct http_x *x, int status, const char *type, const struct http_headers *extra,
                  ptrdiff_t length, bool is_end)
{
    struct http_header *items = mem_array((extra ? extra->n : 0) + 2, sizeof(*items));
    struct http_headers all = {items, 0};
    char text[24];
    bool has_length = false;

    if (type)
        items[all.n++] = (struct http_header){STR("content-type"), str_of(type)};
    for (size_t i = 0; extra && i < extra->n; i++) {
        has_length |= str_eq_nocase(extra->items[i].name, STR("content-length"));
        items[all.n++] = extra->items[i];
    }
    if (length > 0 && !has_length && status != 204 && status != 304) {
        snprintf(text, sizeof(text), "%td", length);
        items[all.n++] = (struct http_header){STR("content-length"), str_of(text)};
    }
    h2_respond(x->link, status, &all, is_end);
    free(items);
}

static bool write_part(struct http_x *x, struct str bytes)
{
    return h2_write(x->link, bytes);
}

static void end(struct http_x *x, const struct http_headers *trailers)
{
    h2_end(x->link, trailers);
}

static void abort_x(struct http_x *x)
{
    h2_reset(x->link, H2_INTERNAL_ERROR);
}

static void say_continue(struct http_x *x)
{
    x->wants_100 = false; /* the window says it: a client need not wait */
}

static void resume_later(struct http_x *x)
{
    struct side2 *s = side_of(x);

    list_del(&x->resume);
    list_add_tail(&s->resumes, &x->resume);
    post_turn(s);
}

static void hold(struct http_x *x, bool held)
{
    (void)x; /* the window closes by itself when nothing is used */
    (void)held;
}

static void used(struct http_x *x, size_t n)
{
    h2_consume(x->link, n);
}

static const struct x_ops ops = {start,        write_part,   end,  abort_x,
                                 say_continue, resume_later, hold, used};

/* --- the side --- */

static void feed(void *side, struct str bytes)
{
    struct side2 *s = side;
    struct err err = ERR_INIT;
    int r = h2_feed(s->h2, bytes, &err);

    if (s->hc->is_gone)
        return;
    watch_idle(s);
    h2_flush(s->h2);
    if (!s->hc->is_gone && (r < 0 || h2_is_done(s->h2)))
        hconn_finish(s->hc);
}

static void on_drain(void *side)
{
    flush(side);
}

static void on_timeout(void *side)
{
    struct side2 *s = side;

    if (h2_is_ping_open(s->h2)) {
        hconn_shut(s->hc);
    } else if (h2_streams(s->h2) == 0) {
        h2_goaway(s->h2, H2_NO_ERROR);
        h2_flush(s->h2);
        hconn_finish(s->hc);
    } else {
        int64_t wait_ms = s->hc->s->o.ping_wait_ms;

        h2_ping(s->h2);
        loop_timer_start(&s->hc->timer, wait_ms ? wait_ms : PING_WAIT_MS_DEFAULT);
    }
}

static bool stop(void *side)
{
    struct side2 *s = side;

    if (h2_is_inside(s->h2))
        return false;
    h2_goaway(s->h2, H2_NO_ERROR);
    h2_flush(s->h2);
    return true;
}

/* Closes the exchanges; later, if one of them brought it about. */
static void gone(void *side)
{
    struct side2 *s = side;

    loop_timer_stop(&s->unread);
    if (h2_is_inside(s->h2))
        return;
    h2_free(s->h2);
    s->h2 = NULL;
}

static void free_side(void *side)
{
    struct side2 *s = side;

    h2_free(s->h2);
    loop_timer_stop(&s->unread);
    free(s);
}

void *side_h2_new(struct hconn *hc)
{
    struct side2 *s = mem_zalloc(sizeof(*s));

    s->hc = hc;
    list_init(&s->resumes);
    loop_timer_init(&s->unread, hc->s->loop, reset_unread, s);
    s->h2 = h2_new(true, loop_clock(hc->s->loop), &events, s);
    return s;
}

const struct side_ops side_h2 = {feed, on_drain, on_timeout, stop, gone, free_side};
