/* SPDX-License-Identifier: Apache-2.0
 *
 * A port: accepts connections and finds out which protocol each one speaks. Over TLS ALPN has said
 * so; in the clear the client's first bytes do: HTTP/2 begins with a preface that is no HTTP/1.1
 * request. */
#include "net/http_server.h"

#include <stdlib.h>

#include "base/mem.h"
#include "net/h2.h"
#include "net/server_int.h"

static void free_hconn(void *arg)
{
    struct hconn *hc = arg;

    if (hc->ops)
        hc->ops->free(hc->side);
    buf_done(&hc->first);
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
    if (hc->ops)
        hc->ops->gone(hc->side);
    loop_post(hc->s->loop, free_hconn, hc);
}

void hconn_shut(struct hconn *hc)
{
    if (hc->is_gone)
        return;
    conn_close(hc->c);
    drop(hc);
}

void hconn_finish(struct hconn *hc)
{
    if (hc->is_gone)
        return;
    conn_finish(hc->c);
    drop(hc);
}

static void on_timeout(void *arg)
{
    struct hconn *hc = arg;

    if (hc->ops)
        hc->ops->timeout(hc->side);
    else
        hconn_shut(hc);
}

/* --- which protocol --- */

static void speak(struct hconn *hc, bool is_h2)
{
    hc->ops = is_h2 ? &side_h2 : &side_h1;
    hc->side = is_h2 ? side_h2_new(hc) : side_h1_new(hc);
}

/* False: the bytes so far may become either. */
static bool find_protocol(struct hconn *hc, struct str bytes)
{
    struct str preface = STR(H2_PREFACE);
    struct str seen = buf_str(&hc->first);
    bool is_preface;

    if (conn_is_tls(hc->c)) {
        speak(hc, conn_alpn_is_h2(hc->c));
        return true;
    }
    if (seen.n == 0)
        seen = bytes;
    if (seen.n > preface.n)
        seen.n = preface.n;
    is_preface = memcmp(seen.p, preface.p, seen.n) == 0 && !hc->s->o.h1_only;
    if (is_preface && seen.n < preface.n)
        return false;
    speak(hc, is_preface);
    return true;
}

static void on_data(void *arg, struct str bytes)
{
    struct hconn *hc = arg;

    if (!hc->ops) {
        if (hc->first.n)
            buf_add_str(&hc->first, bytes);
        if (!find_protocol(hc, bytes)) {
            if (hc->first.n == 0)
                buf_add_str(&hc->first, bytes);
            return;
        }
        if (hc->first.n)
            bytes = buf_str(&hc->first);
    }
    hc->ops->feed(hc->side, bytes);
}

static void on_drain(void *arg)
{
    struct hconn *hc = arg;

    if (hc->ops)
        hc->ops->drain(hc->side);
}

static void on_conn_close(void *arg, const struct err *err)
{
    (void)err;
    drop(arg);
}

static const struct conn_events conn_events = {NULL, on_data, on_drain, on_conn_close, NULL};

static void on_accept(void *arg, struct conn *c)
{
    struct http_server *s = arg;
    struct hconn *hc = mem_zalloc(sizeof(*hc));

    hc->s = s;
    hc->c = c;
    list_add_tail(&s->conns, &hc->link);
    s->n_conns++;
    loop_timer_init(&hc->timer, s->loop, on_timeout, hc);
    loop_timer_start(&hc->timer, HEADER_TIMEOUT_MS);
    if (!s->o.h1_only)
        conn_offer_h2(c);
    conn_start(c, &conn_events, hc);
}

/* --- server --- */

int http_server_new(struct loop *l, const struct http_server_options *o, struct http_server **ret,
                    struct err *err)
{
    struct http_server *s = mem_zalloc(sizeof(*s));
    int r;

    s->loop = l;
    s->o = *o;
    if (!s->o.idle_ms)
        s->o.idle_ms = IDLE_MS_DEFAULT;
    if (!s->o.max_held)
        s->o.max_held = HELD_MAX_DEFAULT;
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
    conn_listener_free(s->listener);
    while (!list_is_empty(&s->conns)) {
        struct hconn *hc = container_of(s->conns.next, struct hconn, link);

        if (hc->ops && hc->ops->stop(hc->side))
            hconn_finish(hc);
        else
            hconn_shut(hc);
    }
    loop_post(s->loop, free_server, s); /* behind its connections' frees */
}
