/* SPDX-License-Identifier: Apache-2.0 */
#include "net/conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "base/mem.h"
#include "net/h1.h"
#include "net/loop_int.h"
#include "net/tls_int.h"

#define FINISH_MS 30000 /* without any byte going out */
#define LINGER_MS 2000

struct conn {
    uv_tcp_t tcp; /* memory goes only in its close callback */
    struct loop *loop;
    struct conn_events ev;
    void *arg;
    struct tls_session *tls;
    struct tunnel *tunnel; /* NULL: there is none, or it is open */
    struct buf out;        /* plain bytes of this turn */
    struct buf wire;       /* bytes for the socket */
    size_t in_flight;      /* handed to uv_write, not yet written */
    uv_connect_t connect;
    uv_shutdown_t half;
    struct loop_timer finish; /* bounds conn_finish */
    struct loop_orphan orphan;
    struct net_addr peer, local;
    bool is_open, is_closing, is_paused, is_reading, is_flush_posted, is_full, is_finishing,
        is_dead_posted, is_eof, is_shutting;
    struct err dead; /* code 0: clean end */
};

struct conn_listener {
    uv_tcp_t tcp;
    struct loop *loop;
    struct tls_server *tls;
    void (*on_accept)(void *arg, struct conn *c);
    void *arg;
};

/* What a proxy is asked for, until it has answered. */
struct tunnel {
    struct buf request;
    struct h1_parser answer;
    int status;
};

static void end_tunnel(struct conn *c)
{
    if (!c->tunnel)
        return;
    buf_done(&c->tunnel->request);
    h1_done(&c->tunnel->answer);
    free(c->tunnel);
    c->tunnel = NULL;
}

static void on_closed(uv_handle_t *h)
{
    struct conn *c = h->data;

    end_tunnel(c);
    tls_session_free(c->tls);
    buf_done(&c->out);
    buf_done(&c->wire);
    free(c);
}

/* Frees when no posted call can still come: those check is_closing and hold no memory of their own,
 * so the close itself is posted behind them. */
static void close_handle(void *arg)
{
    struct conn *c = arg;

    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

void conn_close(struct conn *c)
{
    if (!c || c->is_closing)
        return;
    c->is_closing = true;
    loop_timer_stop(&c->finish);
    list_del(&c->orphan.link);
    if (c->is_reading)
        uv_read_stop((uv_stream_t *)&c->tcp);
    loop_post(c->loop, close_handle, c);
}

static void report_dead(void *arg)
{
    struct conn *c = arg;
    struct err err = c->dead;
    struct conn_events ev = c->ev;
    void *owner = c->arg;

    if (c->is_closing)
        return;
    conn_close(c);
    if (ev.on_close)
        ev.on_close(owner, err.code ? &err : NULL);
}

/* The stream has ended, cleanly (code 0) or not: says so in a later turn. */
static void die(struct conn *c, int code, const char *what)
{
    if (c->is_closing || c->is_dead_posted)
        return;
    c->is_dead_posted = true;
    c->dead.code = code;
    if (code)
        err_set(&c->dead, code, "%s", what);
    loop_post(c->loop, report_dead, c);
}

struct write_req {
    uv_write_t req;
    struct conn *c;
    char *p;
    size_t n;
};

static void flush(void *arg);
static void update_reading(struct conn *c);

static void post_flush(struct conn *c)
{
    if (c->is_flush_posted || c->is_closing)
        return;
    c->is_flush_posted = true;
    loop_post(c->loop, flush, c);
}

static void on_half_closed(uv_shutdown_t *req, int status)
{
    (void)req; /* part of the connection, whose memory goes after this */
    (void)status;
}

/* Everything is out. What the peer still sends is read and dropped until it has seen our end: a
 * socket closed over unread bytes is reset, and the peer may lose what it was told last. */
static void linger(struct conn *c)
{
    if (c->is_eof) {
        conn_close(c);
    } else if (!c->half.handle) {
        uv_shutdown(&c->half, (uv_stream_t *)&c->tcp, on_half_closed);
        loop_timer_start(&c->finish, LINGER_MS);
    }
}

static void after_progress(struct conn *c)
{
    if (c->is_finishing) {
        if (conn_pending(c) == 0)
            linger(c);
        return;
    }
    if (c->is_shutting && !c->half.handle && conn_pending(c) == 0)
        uv_shutdown(&c->half, (uv_stream_t *)&c->tcp, on_half_closed);
    if (c->is_full && conn_pending(c) <= CONN_HIGH_WATER / 2) {
        c->is_full = false;
        if (c->ev.on_drain)
            c->ev.on_drain(c->arg);
    }
}

static void on_written(uv_write_t *req, int status)
{
    struct write_req *w = (struct write_req *)req;
    struct conn *c = w->c;

    c->in_flight -= w->n;
    free(w->p);
    free(w);
    if (c->is_closing)
        return;
    if (c->is_finishing)
        loop_timer_start(&c->finish, FINISH_MS);
    if (status < 0) {
        die(c, ERR_UNAVAILABLE, uv_strerror(status));
        return;
    }
    after_progress(c);
}

static void send_wire(struct conn *c)
{
    uv_buf_t b = uv_buf_init(c->wire.p, (unsigned)c->wire.n);
    struct write_req *w;
    int n = 0;

    if (c->wire.n == 0)
        return;
    if (c->in_flight == 0) {
        n = uv_try_write((uv_stream_t *)&c->tcp, &b, 1);
        if (n < 0 && n != UV_EAGAIN) {
            die(c, ERR_UNAVAILABLE, uv_strerror(n));
            buf_clear(&c->wire);
            return;
        }
        if (n < 0)
            n = 0;
        if ((size_t)n == c->wire.n) {
            buf_clear(&c->wire);
            return;
        }
        buf_consume(&c->wire, (size_t)n);
    }
    w = mem_zalloc(sizeof(*w));
    w->c = c;
    w->p = buf_take(&c->wire, &w->n);
    c->in_flight += w->n;
    b = uv_buf_init(w->p, (unsigned)w->n);
    n = uv_write(&w->req, (uv_stream_t *)&c->tcp, &b, 1, on_written);
    if (n < 0) {
        c->in_flight -= w->n;
        free(w->p);
        free(w);
        die(c, ERR_UNAVAILABLE, uv_strerror(n));
    }
}

static void flush(void *arg)
{
    struct conn *c = arg;
    struct err err = ERR_INIT;

    c->is_flush_posted = false;
    if (c->is_closing || !c->is_open || c->tunnel)
        return;
    if (c->tls) {
        if (tls_session_is_open(c->tls) && c->out.n) {
            if (tls_session_write(c->tls, buf_str(&c->out), &c->wire, &err) < 0)
                die(c, err.code, err.msg);
            buf_clear(&c->out);
        }
        if (c->is_finishing && c->out.n == 0)
            tls_session_shutdown(c->tls, &c->wire);
    } else if (c->wire.n == 0) {
        struct buf swap = c->wire;

        c->wire = c->out;
        c->out = swap;
    } else {
        buf_add_str(&c->wire, buf_str(&c->out));
        buf_clear(&c->out);
    }
    send_wire(c);
    after_progress(c);
}

size_t conn_pending(const struct conn *c)
{
    return c->out.n + c->wire.n + c->in_flight;
}

bool conn_write(struct conn *c, struct str bytes)
{
    if (c->is_closing || c->is_finishing)
        return true;
    buf_add_str(&c->out, bytes);
    post_flush(c);
    if (c->out.overflow || conn_pending(c) > CONN_HARD_LIMIT) {
        die(c, ERR_LIMIT, "the peer reads too slowly");
        return false;
    }
    if (conn_pending(c) > CONN_HIGH_WATER)
        c->is_full = true;
    return !c->is_full;
}

static void give_up(void *arg)
{
    conn_close(arg);
}

static void end_orphan(struct loop_orphan *o)
{
    conn_close(container_of(o, struct conn, orphan));
}

void conn_finish(struct conn *c)
{
    if (c->is_closing || c->is_finishing)
        return;
    c->is_finishing = true;
    list_add_tail(&c->loop->orphans, &c->orphan.link);
    c->ev = (struct conn_events){0}; /* the owner may go before the last byte does */
    c->arg = NULL;
    c->is_paused = false;
    update_reading(c);
    loop_timer_start(&c->finish, FINISH_MS);
    post_flush(c);
}

void conn_shutdown(struct conn *c)
{
    if (c->is_closing || c->is_shutting)
        return;
    c->is_shutting = true;
    post_flush(c);
}

/* One read buffer a thread: its bytes are consumed before the next read. */
static void on_alloc(uv_handle_t *h, size_t want, uv_buf_t *b)
{
    static _Thread_local char shared[65536];

    (void)h;
    (void)want;
    *b = uv_buf_init(shared, sizeof(shared));
}

static void feed_tls(struct conn *c, struct str bytes)
{
    struct buf plain = BUF_INIT;
    struct err err = ERR_INIT;
    bool was_open = tls_session_is_open(c->tls);
    int r = tls_session_feed(c->tls, bytes, &plain, &c->wire, &err);

    send_wire(c);
    if (!was_open && tls_session_is_open(c->tls)) {
        if (c->ev.on_connect)
            c->ev.on_connect(c->arg);
        post_flush(c);
    }
    if (plain.n && !c->is_closing && c->ev.on_data)
        c->ev.on_data(c->arg, buf_str(&plain));
    buf_done(&plain);
    if (r != 0)
        die(c, r < 0 ? err.code : 0, err.msg);
}

/* The stream carries bytes both ways. */
static void begin(struct conn *c)
{
    struct err err = ERR_INIT;

    if (c->tls) {
        if (tls_session_start(c->tls, &c->wire, &err) < 0)
            die(c, err.code, err.msg);
        send_wire(c);
        return;
    }
    if (c->ev.on_connect)
        c->ev.on_connect(c->arg);
    post_flush(c);
}

static void on_tunnel_head(void *arg, const struct h1_head *head)
{
    ((struct tunnel *)arg)->status = head->status;
}

static void on_tunnel_body(void *arg, struct str part)
{
    (void)arg;
    (void)part;
}

static void on_tunnel_end(void *arg)
{
    (void)arg;
}

static const struct h1_events tunnel_events = {on_tunnel_head, on_tunnel_body, on_tunnel_end};

static void feed_tunnel(struct conn *c, struct str bytes)
{
    struct tunnel *t = c->tunnel;
    struct err err = ERR_INIT;
    char text[120];
    int r = 1, bad;
    size_t used;

    while (r == 1 && bytes.n && t->status < 200) { /* a 1xx may come before */
        if (t->status) {
            h1_next(&t->answer);
            h1_expect_no_body(&t->answer);
            t->status = 0;
        }
        r = h1_feed(&t->answer, bytes, &used, &bad, &err);
        bytes = str_skip(bytes, used);
    }
    if (r < 0) {
        snprintf(text, sizeof(text), "the proxy: its answer is not HTTP: %.60s", err.msg);
        die(c, ERR_UNAVAILABLE, text);
    } else if (t->status >= 300) {
        snprintf(text, sizeof(text), "the proxy: it answered HTTP %d to CONNECT", t->status);
        die(c, ERR_UNAVAILABLE, text);
    } else if (t->status >= 200) {
        end_tunnel(c);
        if (bytes.n) /* nobody of this world speaks before the client does */
            die(c, ERR_UNAVAILABLE, "the peer spoke before it was asked");
        else
            begin(c);
    }
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct conn *c = s->data;

    if (c->is_closing || n == 0)
        return;
    if (n == UV_EOF && c->ev.on_eof && !c->tls) {
        c->is_eof = true;
        update_reading(c);
        c->ev.on_eof(c->arg);
        return;
    }
    if (n < 0)
        die(c, n == UV_EOF ? 0 : ERR_UNAVAILABLE, uv_strerror((int)n));
    else if (c->tunnel)
        feed_tunnel(c, str_n(b->base, (size_t)n));
    else if (c->tls)
        feed_tls(c, str_n(b->base, (size_t)n));
    else if (c->ev.on_data)
        c->ev.on_data(c->arg, str_n(b->base, (size_t)n));
}

static void update_reading(struct conn *c)
{
    bool want = c->is_open && !c->is_paused && !c->is_closing && !c->is_eof;

    if (want == c->is_reading)
        return;
    c->is_reading = want;
    if (want)
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    else
        uv_read_stop((uv_stream_t *)&c->tcp);
}

void conn_pause(struct conn *c, bool paused)
{
    c->is_paused = paused;
    update_reading(c);
}

static struct conn *conn_new(struct loop *l)
{
    struct conn *c = mem_zalloc(sizeof(*c));

    c->loop = l;
    c->out.max = c->wire.max = CONN_HARD_LIMIT * 2;
    uv_tcp_init(loop_uv(l), &c->tcp);
    c->tcp.data = c;
    loop_timer_init(&c->finish, l, give_up, c);
    list_init(&c->orphan.link);
    c->orphan.end = end_orphan;
    return c;
}

static void opened(struct conn *c)
{
    int n = sizeof(c->peer.ss);

    c->is_open = true;
    uv_tcp_nodelay(&c->tcp, 1);
    if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&c->peer.ss, &n) == 0)
        c->peer.len = (socklen_t)n;
    n = sizeof(c->local.ss);
    if (uv_tcp_getsockname(&c->tcp, (struct sockaddr *)&c->local.ss, &n) == 0)
        c->local.len = (socklen_t)n;
    update_reading(c);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct conn *c = req->data;
    char text[160], addr[64];

    if (c->is_closing)
        return;
    if (status < 0) {
        snprintf(text, sizeof(text), "%sconnect to %s: %s", c->tunnel ? "the proxy: " : "",
                 net_addr_text(&c->peer, addr), uv_strerror(status));
        die(c, ERR_UNAVAILABLE, text);
        return;
    }
    opened(c);
    if (c->tunnel) {
        buf_add_str(&c->wire, buf_str(&c->tunnel->request));
        send_wire(c);
    } else {
        begin(c);
    }
}

struct conn *conn_connect(struct loop *l, const struct net_addr *addr, struct tls_client *tls,
                          const char *host, const struct conn_events *ev, void *arg)
{
    struct conn *c = conn_new(l);
    int r;

    c->ev = *ev;
    c->arg = arg;
    c->peer = *addr;
    c->tls = tls ? tls_session_client(tls, host) : NULL;
    c->connect.data = c;
    r = uv_tcp_connect(&c->connect, &c->tcp, (const struct sockaddr *)&addr->ss, on_connected);
    if (r < 0)
        die(c, ERR_UNAVAILABLE, uv_strerror(r));
    return c;
}

struct conn *conn_connect_through(struct loop *l, const struct net_addr *addr, struct str request,
                                  struct tls_client *tls, const char *host,
                                  const struct conn_events *ev, void *arg)
{
    struct conn *c = conn_connect(l, addr, tls, host, ev, arg);

    c->tunnel = mem_zalloc(sizeof(*c->tunnel));
    buf_add_str(&c->tunnel->request, request);
    h1_init(&c->tunnel->answer, true, &tunnel_events, c->tunnel);
    h1_expect_no_body(&c->tunnel->answer);
    return c;
}

void conn_retarget(struct conn *c, const struct conn_events *ev, void *arg)
{
    c->ev = *ev;
    c->arg = arg;
    c->is_paused = false;
    update_reading(c);
}

void conn_start(struct conn *c, const struct conn_events *ev, void *arg)
{
    c->ev = *ev;
    c->arg = arg;
    opened(c);
}

static void on_connection(uv_stream_t *s, int status)
{
    struct conn_listener *ls = s->data;
    struct conn *c;

    if (status < 0)
        return;
    c = conn_new(ls->loop);
    if (uv_accept(s, (uv_stream_t *)&c->tcp) < 0) {
        conn_close(c);
        return;
    }
    c->tls = ls->tls ? tls_session_server(ls->tls) : NULL;
    ls->on_accept(ls->arg, c);
}

static void on_listener_closed(uv_handle_t *h)
{
    free(h->data);
}

void conn_listener_free(struct conn_listener *s)
{
    if (s)
        uv_close((uv_handle_t *)&s->tcp, on_listener_closed);
}

int conn_listen(struct loop *l, const struct net_addr *addr, struct tls_server *tls,
                void (*on_accept)(void *arg, struct conn *c), void *arg, struct conn_listener **ret,
                struct err *err)
{
    struct conn_listener *s = mem_zalloc(sizeof(*s));
    char text[64];
    int r;

    *s = (struct conn_listener){.loop = l, .tls = tls, .on_accept = on_accept, .arg = arg};
    uv_tcp_init(loop_uv(l), &s->tcp);
    s->tcp.data = s;
    r = uv_tcp_bind(&s->tcp, (const struct sockaddr *)&addr->ss, 0);
    if (r == 0)
        r = uv_listen((uv_stream_t *)&s->tcp, 1024, on_connection);
    if (r < 0) {
        conn_listener_free(s);
        return err_set(err, r == UV_EADDRINUSE ? ERR_EXISTS : ERR_IO, "cannot listen on %s: %s",
                       net_addr_text(addr, text), uv_strerror(r));
    }
    *ret = s;
    return 0;
}

struct net_addr conn_listener_addr(const struct conn_listener *s)
{
    struct net_addr a = {0};
    int n = sizeof(a.ss);

    if (uv_tcp_getsockname(&s->tcp, (struct sockaddr *)&a.ss, &n) == 0)
        a.len = (socklen_t)n;
    return a;
}

const struct net_addr *conn_peer(const struct conn *c)
{
    return &c->peer;
}

const struct net_addr *conn_local(const struct conn *c)
{
    return &c->local;
}

bool conn_is_tls(const struct conn *c)
{
    return c->tls != NULL;
}

void conn_offer_h2(struct conn *c)
{
    if (c->tls)
        tls_session_offer_h2(c->tls);
}

bool conn_alpn_is_h2(const struct conn *c)
{
    return c->tls && tls_session_alpn_is_h2(c->tls);
}

const char *conn_tls_cn(const struct conn *c)
{
    return c->tls ? tls_session_cn(c->tls) : NULL;
}

const char *conn_tls_o(const struct conn *c)
{
    return c->tls ? tls_session_o(c->tls) : NULL;
}
