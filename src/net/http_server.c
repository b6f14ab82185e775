/* SPDX-License-Identifier: Apache-2.0
 *
 * One connection carries one exchange at a time: bytes of pipelined requests wait until the answer
 * before them has been handed to the socket. Handlers are called from the loop, never from inside
 * the parser's feeding of a later message, and the end of an exchange is posted, so that a handler
 * may answer from anywhere. */
#include "net/http_server.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/conn.h"
#include "net/h1.h"

#define HEADER_TIMEOUT_MS 30000
#define IDLE_TIMEOUT_MS 120000

struct http_server {
    struct loop *loop;
    struct http_server_options o;
    struct conn_listener *listener;
    struct list conns;
    size_t n_conns;
    bool is_freeing;
};

struct http_x {
    struct hconn *hc;
    struct http_request req;
    struct buf path; /* copy of what the request's slices point to */
    void *data;
    void (*on_close)(void *arg, struct http_x *x);
    void *on_close_arg;
    void (*on_part)(void *arg, struct http_x *x, struct str part, bool end);
    void (*on_all)(void *arg, struct http_x *x, struct str body);
    void *body_arg;
    size_t body_max;
    struct buf body; /* read_all: all of it; else parts that came before anybody asked */
    void (*on_drain)(void *arg, struct http_x *x);
    void *on_drain_arg;
    bool is_started, is_ended, is_chunked, is_head, keep_alive, request_ended, is_paused, is_h10;
    bool is_finish_posted, wants_100;
};

struct hconn {
    struct http_server *s;
    struct conn *c;
    struct list link;
    struct h1_parser parser;
    struct loop_timer timer;
    struct buf waiting; /* bytes behind the exchange in progress */
    struct http_x *x;   /* NULL between exchanges */
    bool in_feed, is_gone, is_resume_posted;
};

static void feed(struct hconn *hc, struct str bytes);

/* --- life --- */

static void free_x(struct http_x *x)
{
    buf_done(&x->path);
    buf_done(&x->body);
    free(x->req.headers.items);
    free(x);
}

/* Ends the exchange, if any: the handler hears of it exactly once. */
static void end_x(struct hconn *hc)
{
    struct http_x *x = hc->x;

    if (!x)
        return;
    hc->x = NULL;
    if (x->on_close)
        x->on_close(x->on_close_arg, x);
    free_x(x);
}

static void free_hconn(void *arg)
{
    struct hconn *hc = arg;

    h1_done(&hc->parser);
    buf_done(&hc->waiting);
    free(hc);
}

/* The connection is no more; everything posted before still finds its memory. */
static void drop(struct hconn *hc)
{
    if (hc->is_gone)
        return;
    hc->is_gone = true;
    loop_timer_stop(&hc->timer);
    list_del(&hc->link);
    hc->s->n_conns--;
    end_x(hc);
    loop_post(hc->s->loop, free_hconn, hc);
}

static void shut(struct hconn *hc)
{
    if (hc->is_gone)
        return;
    conn_close(hc->c);
    drop(hc);
}

/* Lets what was written go out, then closes. */
static void finish_and_close(struct hconn *hc)
{
    if (hc->is_gone)
        return;
    conn_finish(hc->c);
    drop(hc);
}

static void on_timeout(void *arg)
{
    struct hconn *hc = arg;

    if (hc->x)
        return;
    if (hc->waiting.n || hc->parser.block.n)
        conn_write(
            hc->c,
            STR("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"));
    finish_and_close(hc);
}

/* --- reading --- */

static struct str copy_into(struct buf *b, struct str s, size_t *at)
{
    *at = b->n;
    buf_add_str(b, s);
    return (struct str){NULL, s.n};
}

/* The parser's slices end with its message; a handler may answer much later. */
static void keep_request(struct http_x *x, const struct h1_head *head)
{
    struct http_header *items = mem_array(head->headers.n, sizeof(*items));
    size_t total = head->method.n + head->target.n, at;
    ptrdiff_t q;
    char *p;

    for (size_t i = 0; i < head->headers.n; i++)
        total += head->headers.items[i].name.n + head->headers.items[i].value.n;
    x->path.max = total + 1;
    buf_room(&x->path, total);
    copy_into(&x->path, head->method, &at);
    copy_into(&x->path, head->target, &at);
    p = x->path.p;
    x->req.method = str_n(p, head->method.n);
    x->req.target = str_n(p + head->method.n, head->target.n);
    for (size_t i = 0; i < head->headers.n; i++) {
        copy_into(&x->path, head->headers.items[i].name, &at);
        items[i].name = str_n(p + at, head->headers.items[i].name.n);
        copy_into(&x->path, head->headers.items[i].value, &at);
        items[i].value = str_n(p + at, head->headers.items[i].value.n);
    }
    FB_ASSERT(p == x->path.p); /* one allocation: the slices stay */
    x->req.headers = (struct http_headers){items, head->headers.n};
    x->req.path = x->req.target;
    if (str_starts(x->req.path,
                   STR("http://"))) { /* absolute form: the path behind the authority */
        struct str rest = str_skip(x->req.path, 7);
        ptrdiff_t slash = str_chr(rest, '/');

        x->req.path = slash < 0 ? STR("/") : str_skip(rest, (size_t)slash);
    }
    q = str_chr(x->req.path, '?');
    if (q >= 0) {
        x->req.query = str_skip(x->req.path, (size_t)q + 1);
        x->req.path.n = (size_t)q;
    }
    x->req.host = http_header_get(&x->req.headers, "host");
}

static void on_head(void *arg, const struct h1_head *head)
{
    struct hconn *hc = arg;
    struct http_x *x = mem_zalloc(sizeof(*x));

    loop_timer_stop(&hc->timer);
    x->hc = hc;
    hc->x = x;
    keep_request(x, head);
    x->req.peer = *conn_peer(hc->c);
    x->req.local = *conn_local(hc->c);
    x->req.is_tls = conn_is_tls(hc->c);
    x->req.tls_cn = conn_tls_cn(hc->c);
    x->req.tls_o = conn_tls_o(hc->c);
    x->req.has_body = head->has_body;
    x->keep_alive = head->keep_alive;
    x->is_h10 = head->is_http10;
    x->is_head = str_is(head->method, "HEAD");
    x->wants_100 = head->expect_100;
    hc->s->o.on_request(hc->s->o.ctx, x);
}

static void too_large(struct http_x *x)
{
    AUTO_FREE char *text = mem_printf("the body is over the limit of %zu bytes\n", x->body_max);

    x->on_all = NULL;
    x->keep_alive = false;
    http_x_reply(x, 413, "text/plain; charset=utf-8", NULL, str_of(text));
}

static void on_body(void *arg, struct str part)
{
    struct hconn *hc = arg;
    struct http_x *x = hc->x;

    if (!x || x->is_ended)
        return; /* answered already: the rest is read and dropped */
    if (x->on_part && !x->is_paused) {
        x->on_part(x->body_arg, x, part, false);
        return;
    }
    if (x->on_all && x->body.n + part.n > x->body_max) {
        too_large(x);
        return;
    }
    buf_add_str(&x->body, part);
    if (!x->on_all && x->body.n > CONN_HIGH_WATER)
        conn_pause(hc->c, true); /* nobody asked for it yet */
}

static void deliver_end(struct http_x *x)
{
    if (x->on_part && !x->is_paused) {
        void (*fn)(void *, struct http_x *, struct str, bool) = x->on_part;

        x->on_part = NULL;
        fn(x->body_arg, x, STR_NONE, true);
    } else if (x->on_all) {
        void (*fn)(void *, struct http_x *, struct str) = x->on_all;

        x->on_all = NULL;
        fn(x->body_arg, x, buf_str(&x->body));
    }
}

static void post_finish(struct http_x *x);

static void on_end(void *arg)
{
    struct hconn *hc = arg;
    struct http_x *x = hc->x;

    if (!x)
        return;
    x->request_ended = true;
    if (x->is_ended)
        post_finish(x);
    else
        deliver_end(x);
}

static const struct h1_events parser_events = {on_head, on_body, on_end};

static void refuse(struct hconn *hc, int status, const char *why)
{
    AUTO_FREE char *text =
        mem_printf("HTTP/1.1 %d Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n"
                   "content-length: %zu\r\n\r\n%s\n",
                   status, strlen(why) + 1, why);

    if (!hc->x || !hc->x->is_started)
        conn_write(hc->c, str_of(text));
    finish_and_close(hc);
}

static void feed(struct hconn *hc, struct str bytes)
{
    struct err err = ERR_INIT;
    int status = 400, r;
    size_t used;

    if (hc->x && hc->x->request_ended) { /* pipelined: wait */
        buf_add_str(&hc->waiting, bytes);
        if (hc->waiting.n > CONN_HIGH_WATER)
            conn_pause(hc->c, true);
        return;
    }
    if (!hc->x && !loop_timer_is_running(&hc->timer))
        loop_timer_start(&hc->timer, HEADER_TIMEOUT_MS);
    hc->in_feed = true;
    r = h1_feed(&hc->parser, bytes, &used, &status, &err);
    hc->in_feed = false;
    if (hc->is_gone)
        return;
    if (r < 0) {
        refuse(hc, status, err.msg);
        return;
    }
    if (r == 1 && used < bytes.n)
        buf_add_str(&hc->waiting, str_skip(bytes, used));
}

static void on_data(void *arg, struct str bytes)
{
    feed(arg, bytes);
}

static void on_drain(void *arg)
{
    struct hconn *hc = arg;

    if (hc->x && hc->x->on_drain)
        hc->x->on_drain(hc->x->on_drain_arg, hc->x);
}

static void on_conn_close(void *arg, const struct err *err)
{
    (void)err;
    drop(arg);
}

static const struct conn_events conn_events = {NULL, on_data, on_drain, on_conn_close};

static void on_accept(void *arg, struct conn *c)
{
    struct http_server *s = arg;
    struct hconn *hc = mem_zalloc(sizeof(*hc));

    hc->s = s;
    hc->c = c;
    list_add_tail(&s->conns, &hc->link);
    s->n_conns++;
    h1_init(&hc->parser, false, &parser_events, hc);
    loop_timer_init(&hc->timer, s->loop, on_timeout, hc);
    loop_timer_start(&hc->timer, HEADER_TIMEOUT_MS);
    conn_start(c, &conn_events, hc);
}

/* --- the end of an exchange --- */

static void finish_x(void *arg)
{
    struct hconn *hc = arg;
    struct http_x *x = hc->x;
    struct buf waiting;
    bool keep;

    if (hc->is_gone || !x || !x->is_ended)
        return;
    keep = x->keep_alive && x->request_ended && !hc->s->is_freeing;
    if (!keep) {
        finish_and_close(hc);
        return;
    }
    end_x(hc);
    if (hc->is_gone)
        return;
    h1_next(&hc->parser);
    loop_timer_start(&hc->timer, IDLE_TIMEOUT_MS);
    waiting = hc->waiting;
    hc->waiting = BUF_INIT;
    conn_pause(hc->c, false);
    if (waiting.n)
        feed(hc, buf_str(&waiting));
    buf_done(&waiting);
}

static void post_finish(struct http_x *x)
{
    if (x->is_finish_posted)
        return;
    x->is_finish_posted = true;
    loop_post(x->hc->s->loop, finish_x, x->hc);
}

/* --- server --- */

int http_server_new(struct loop *l, const struct http_server_options *o, struct http_server **ret,
                    struct err *err)
{
    struct http_server *s = mem_zalloc(sizeof(*s));
    int r;

    s->loop = l;
    s->o = *o;
    list_init(&s->conns);
    r = conn_listen(l, &o->addr, o->tls, on_accept, s, &s->listener, err);
    if (r < 0) {
        free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct net_addr http_server_addr(const struct http_server *s)
{
    return conn_listener_addr(s->listener);
}

size_t http_server_connections(const struct http_server *s)
{
    return s->n_conns;
}

static void free_server(void *arg)
{
    free(arg);
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    s->is_freeing = true;
    conn_listener_free(s->listener);
    while (!list_is_empty(&s->conns))
        shut(container_of(s->conns.next, struct hconn, link));
    loop_post(s->loop, free_server, s); /* behind its connections' frees */
}

/* --- exchange --- */

const struct http_request *http_x_request(const struct http_x *x)
{
    return &x->req;
}

struct loop *http_x_loop(const struct http_x *x)
{
    return x->hc->s->loop;
}

void http_x_set_data(struct http_x *x, void *data)
{
    x->data = data;
}

void *http_x_data(const struct http_x *x)
{
    return x->data;
}

void http_x_on_close(struct http_x *x, void (*fn)(void *arg, struct http_x *x), void *arg)
{
    x->on_close = fn;
    x->on_close_arg = arg;
}

static void say_continue(struct http_x *x)
{
    if (x->wants_100 && x->req.has_body && !x->is_started)
        conn_write(x->hc->c, STR("HTTP/1.1 100 Continue\r\n\r\n"));
    x->wants_100 = false;
}

/* Gives what waits, and the end if it has come, in a later turn. */
static void resume(void *arg)
{
    struct hconn *hc = arg;
    struct http_x *x = hc->x;

    hc->is_resume_posted = false;
    if (hc->is_gone || !x || x->is_paused || x->is_ended)
        return;
    if (x->on_part && x->body.n) {
        struct buf parts = x->body;

        x->body = BUF_INIT;
        x->on_part(x->body_arg, x, buf_str(&parts), false);
        buf_done(&parts);
        if (hc->is_gone || hc->x != x || x->is_paused)
            return;
    }
    conn_pause(hc->c, false);
    if (x->request_ended)
        deliver_end(x);
}

static void post_resume(struct http_x *x)
{
    if (x->hc->is_resume_posted)
        return;
    x->hc->is_resume_posted = true;
    loop_post(x->hc->s->loop, resume, x->hc);
}

void http_x_read_all(struct http_x *x, size_t max,
                     void (*fn)(void *arg, struct http_x *x, struct str body), void *arg)
{
    struct str length = http_header_get(&x->req.headers, "content-length");
    uint64_t n;

    x->on_all = fn;
    x->body_arg = arg;
    x->body_max = max;
    x->body.max = max;
    if ((length.p && str_to_u64(length, &n) && n > max) || x->body.n > max) {
        too_large(x);
        return;
    }
    say_continue(x);
    post_resume(x);
}

void http_x_read(struct http_x *x,
                 void (*fn)(void *arg, struct http_x *x, struct str part, bool end), void *arg)
{
    x->on_part = fn;
    x->body_arg = arg;
    say_continue(x);
    post_resume(x);
}

void http_x_pause(struct http_x *x)
{
    x->is_paused = true;
    conn_pause(x->hc->c, true);
}

void http_x_resume(struct http_x *x)
{
    x->is_paused = false;
    post_resume(x);
}

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Entity"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };

    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Status";
}

static void write_head(struct http_x *x, int status, const char *type,
                       const struct http_headers *extra, ptrdiff_t length)
{
    struct buf b = BUF_INIT;
    bool has_length = false, no_body = status == 204 || status == 304;

    buf_printf(&b, "HTTP/1.1 %d %s\r\n", status, reason_of(status));
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
    x->is_started = true;
    conn_write(x->hc->c, buf_str(&b));
    buf_done(&b);
}

void http_x_reply(struct http_x *x, int status, const char *type, const struct http_headers *extra,
                  struct str body)
{
    if (x->is_started || x->is_ended)
        return;
    write_head(x, status, type, extra, (ptrdiff_t)body.n);
    if (!x->is_head && body.n)
        conn_write(x->hc->c, body);
    x->is_ended = true;
    post_finish(x);
}

void http_x_start(struct http_x *x, int status, const char *type, const struct http_headers *extra)
{
    if (!x->is_started)
        write_head(x, status, type, extra, -1);
}

bool http_x_write(struct http_x *x, struct str bytes)
{
    char head[24];
    bool room;

    if (x->is_ended || x->is_head || bytes.n == 0)
        return true;
    if (!x->is_chunked)
        return conn_write(x->hc->c, bytes);
    snprintf(head, sizeof(head), "%zx\r\n", bytes.n);
    conn_write(x->hc->c, str_of(head));
    room = conn_write(x->hc->c, bytes);
    conn_write(x->hc->c, STR("\r\n"));
    return room;
}

void http_x_on_drain(struct http_x *x, void (*fn)(void *arg, struct http_x *x), void *arg)
{
    x->on_drain = fn;
    x->on_drain_arg = arg;
}

void http_x_end(struct http_x *x, const struct http_headers *trailers)
{
    if (x->is_ended)
        return;
    if (!x->is_started)
        write_head(x, 200, NULL, NULL, 0);
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
    x->is_ended = true;
    post_finish(x);
}

static void abort_later(void *arg)
{
    shut(arg);
}

void http_x_abort(struct http_x *x)
{
    if (x->is_ended && x->is_finish_posted)
        return;
    x->is_ended = true;
    x->is_finish_posted = true;
    loop_post(x->hc->s->loop, abort_later, x->hc);
}
