/* SPDX-License-Identifier: Apache-2.0
 *
 * A channel's connection: found by name, made with TCP, TLS and the server's first settings, and
 * made again. One function, look_after, decides what a channel needs now; everything that happens
 * only posts it. */
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "base/mem.h"
#include "net/grpc_client_int.h"

#define BACKOFF_FACTOR 1.6
#define BACKOFF_JITTER 0.2
#define CONNECT_MS_DEFAULT 20000
#define BACKOFF_MIN_MS_DEFAULT 1000
#define BACKOFF_MAX_MS_DEFAULT 120000
#define KEEPALIVE_WAIT_MS_DEFAULT 20000

static int64_t or_default(int64_t v, int64_t d)
{
    return v ? v : d;
}

static int64_t connect_ms(const struct grpc_channel *ch)
{
    return or_default(ch->client->o.connect_ms, CONNECT_MS_DEFAULT);
}

/* --- the end of a connection --- */

static void free_link(void *arg)
{
    struct grpc_link *link = arg;

    h2_free(link->h2);
    free(link);
}

static void drop_link(struct grpc_link *link)
{
    if (link->is_gone)
        return;
    link->is_gone = true;
    loop_timer_stop(&link->timer);
    list_del(&link->at);
    if (link->ch->link == link)
        link->ch->link = NULL;
    if (link->conn && link->is_ready) { /* what was written, a GOAWAY at least, may go out */
        h2_goaway(link->h2, H2_NO_ERROR);
        if (!h2_is_inside(link->h2))
            h2_flush(link->h2);
        conn_finish(link->conn);
    } else {
        conn_close(link->conn);
    }
    link->conn = NULL;
    loop_post(link->ch->client->loop, free_link, link);
}

static void fail_calls(struct list *calls, int code, const char *what, bool all)
{
    /* a callback may end other calls of the list: start over after each */
    for (bool again = true; again;) {
        again = false;
        list_each (it, calls) {
            struct grpc_call *call = container_of(it, struct grpc_call, at);

            if (!all && call->o.wait_for_ready)
                continue;
            call_fail(call, code, "%s", what);
            again = true;
            break;
        }
    }
}

/* --- making one --- */

static void attempt_failed(struct grpc_channel *ch, const struct err *err);

static void link_lost(struct grpc_link *link, const struct err *err)
{
    struct grpc_channel *ch = link->ch;
    struct err why = ERR_INIT;
    bool was_ready = link->is_ready, is_current = ch->link == link;

    if (link->is_gone)
        return;
    err_set(&why, ERR_UNAVAILABLE, "%s", err->msg);
    conn_close(link->conn);
    link->conn = NULL;
    drop_link(link);
    if (!was_ready) {
        attempt_failed(ch, &why);
        return;
    }
    if (is_current)
        ch->state = GRPC_CHANNEL_IDLE;
    channel_post(ch);
    err_wrap(&why, "the connection was lost");
    fail_calls(&link->calls, GRPC_UNAVAILABLE, why.msg, true);
}

__attribute__((format(printf, 2, 3))) static void link_fail(struct grpc_link *link, const char *fmt,
                                                            ...)
{
    struct err err = {.code = ERR_UNAVAILABLE};
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err.msg, sizeof(err.msg), fmt, ap);
    va_end(ap);
    link_lost(link, &err);
}

static void flush(struct grpc_link *link)
{
    if (link->is_gone || !link->conn)
        return;
    h2_flush(link->h2);
    if (!link->is_gone && h2_is_done(link->h2))
        link_fail(link, link->is_ready ? "closed by HTTP/2" : "the server does not speak HTTP/2");
}

static void turn(void *arg)
{
    struct grpc_link *link = arg;

    link->is_turn_posted = false;
    flush(link);
}

void link_post(struct grpc_link *link)
{
    if (link->is_turn_posted || link->is_gone)
        return;
    link->is_turn_posted = true;
    loop_post(link->ch->client->loop, turn, link);
}

void link_check(struct grpc_link *link)
{
    if (link->is_draining || !list_is_empty(&link->ch->waiting) || link->ch->refs == 0)
        channel_post(link->ch);
}

bool link_on_bytes(void *arg, struct str bytes)
{
    struct grpc_link *link = arg;

    return !link->conn || conn_write(link->conn, bytes);
}

void link_want_send(void *arg)
{
    link_post(arg);
}

static void watch_idle(struct grpc_link *link)
{
    if (link->is_ready && link->ch->client->o.keepalive_ms)
        loop_timer_start(&link->timer, link->ch->client->o.keepalive_ms);
}

/* The server's settings: from now on it is known to speak HTTP/2. */
void link_on_settings(void *arg)
{
    struct grpc_link *link = arg;
    struct grpc_channel *ch = link->ch;

    if (!link->is_ready && !link->is_gone) {
        link->is_ready = true;
        loop_timer_stop(&link->timer);
        watch_idle(link);
        ch->state = GRPC_CHANNEL_READY;
        ch->backoff_ms = 0;
        ch->last = ERR_INIT;
    }
    channel_post(ch);
}

void link_on_goaway(void *arg, uint32_t code, struct str why)
{
    struct grpc_link *link = arg;
    struct grpc_channel *ch = link->ch;

    if (link->is_gone || link->is_draining)
        return;
    link->is_draining = true;
    if (ch->link == link) {
        ch->link = NULL;
        ch->state = GRPC_CHANNEL_IDLE;
    }
    if (code != H2_NO_ERROR)
        err_set(&ch->last, ERR_UNAVAILABLE, "the server closed the connection (%u): %.*s", code,
                STR_ARG(why));
    channel_post(ch);
}

static void on_connect(void *arg)
{
    struct grpc_link *link = arg;

    if (link->ch->tls && !conn_alpn_is_h2(link->conn)) {
        link_fail(link, "the server does not offer HTTP/2 by ALPN");
        return;
    }
    link_post(link);
}

static void on_data(void *arg, struct str bytes)
{
    struct grpc_link *link = arg;
    struct err err = ERR_INIT;
    int r = h2_feed(link->h2, bytes, &err);

    if (link->is_gone)
        return;
    watch_idle(link);
    if (r < 0)
        link_lost(link, &err);
    else
        flush(link);
}

static void on_drain(void *arg)
{
    flush(arg);
}

static void on_conn_close(void *arg, const struct err *err)
{
    struct grpc_link *link = arg;

    link->conn = NULL;
    if (err)
        link_lost(link, err);
    else
        link_fail(link, link->is_ready ? "closed by the server"
                                       : "closed by the server before HTTP/2 began");
}

static const struct conn_events conn_events = {
    .on_connect = on_connect, .on_data = on_data, .on_drain = on_drain, .on_close = on_conn_close};

/* Not ready in time; or silent, and asked whether it is there. */
static void on_link_timeout(void *arg)
{
    struct grpc_link *link = arg;
    const struct grpc_client_options *o = &link->ch->client->o;

    if (!link->is_ready) {
        link_fail(link, "no HTTP/2 connection within %lld ms", (long long)connect_ms(link->ch));
    } else if (h2_is_ping_open(link->h2)) {
        link_fail(link, "the server does not answer pings");
    } else if (h2_streams(link->h2)) {
        h2_ping(link->h2);
        loop_timer_start(&link->timer, or_default(o->keepalive_wait_ms, KEEPALIVE_WAIT_MS_DEFAULT));
    }
}

static void connect_next(struct grpc_channel *ch)
{
    const struct net_addr *addr = &ch->addresses[ch->next_address++];
    struct grpc_link *link = mem_zalloc(sizeof(*link));
    struct loop *l = ch->client->loop;

    link->ch = ch;
    list_init(&link->calls);
    list_add_tail(&ch->links, &link->at);
    loop_timer_init(&link->timer, l, on_link_timeout, link);
    loop_timer_start(&link->timer, connect_ms(ch));
    link->h2 = h2_new(false, loop_clock(l), &grpc_link_events, link);
    link->conn = conn_connect(l, addr, ch->tls, ch->host, &conn_events, link);
    conn_offer_h2(link->conn);
    ch->link = link;
    link_post(link); /* the preface waits in the connection until that is open */
}

static void attempt_failed(struct grpc_channel *ch, const struct err *err)
{
    const struct grpc_client_options *o = &ch->client->o;
    int64_t max = or_default(o->backoff_max_ms, BACKOFF_MAX_MS_DEFAULT), wait;

    ch->last = *err;
    if (ch->next_address < ch->n_addresses) {
        connect_next(ch);
        return;
    }
    ch->backoff_ms = ch->backoff_ms ? (int64_t)((double)ch->backoff_ms * BACKOFF_FACTOR)
                                    : or_default(o->backoff_min_ms, BACKOFF_MIN_MS_DEFAULT);
    if (ch->backoff_ms > max)
        ch->backoff_ms = max;
    wait = (int64_t)((double)ch->backoff_ms *
                     (1 + BACKOFF_JITTER * (2 * rng_double(&ch->client->rng) - 1)));
    ch->state = GRPC_CHANNEL_BACKOFF;
    loop_timer_start(&ch->timer, wait);
    channel_post(ch);
}

/* --- names --- */

struct lookup {
    uv_getaddrinfo_t req;
    struct grpc_channel *ch; /* NULL: nobody waits for it any more */
};

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
    struct lookup *lookup = (struct lookup *)req;
    struct grpc_channel *ch = lookup->ch;
    struct err err = ERR_INIT;

    free(lookup);
    if (ch) {
        ch->lookup = NULL;
        loop_timer_stop(&ch->timer);
        ch->n_addresses = 0;
        for (struct addrinfo *a = res; a && ch->n_addresses < ADDRESSES_MAX; a = a->ai_next) {
            struct net_addr *to = &ch->addresses[ch->n_addresses++];

            memcpy(&to->ss, a->ai_addr, a->ai_addrlen);
            to->len = a->ai_addrlen;
        }
        if (ch->n_addresses) {
            connect_next(ch);
        } else {
            err_set(&err, ERR_UNAVAILABLE, "the name '%s' cannot be resolved: %s", ch->host,
                    status < 0 ? uv_strerror(status) : "no address");
            attempt_failed(ch, &err);
        }
    }
    if (res)
        uv_freeaddrinfo(res);
}

static void forget_lookup(struct grpc_channel *ch)
{
    if (!ch->lookup)
        return;
    ch->lookup->ch = NULL;
    uv_cancel((uv_req_t *)&ch->lookup->req);
    ch->lookup = NULL;
}

static void resolve(struct grpc_channel *ch)
{
    struct err err = ERR_INIT;
    char port[8];
    int r;

    snprintf(port, sizeof(port), "%u", ch->port);
    ch->lookup = mem_zalloc(sizeof(*ch->lookup));
    ch->lookup->ch = ch;
    r = uv_getaddrinfo(loop_uv(ch->client->loop), &ch->lookup->req, on_resolved, ch->host, port,
                       &(struct addrinfo){.ai_socktype = SOCK_STREAM});
    if (r == 0) {
        loop_timer_start(&ch->timer, connect_ms(ch));
        return;
    }
    free(ch->lookup);
    ch->lookup = NULL;
    err_set(&err, ERR_UNAVAILABLE, "the name '%s' cannot be resolved: %s", ch->host,
            uv_strerror(r));
    attempt_failed(ch, &err);
}

static void connect_channel(struct grpc_channel *ch)
{
    const struct grpc_client_options *o = &ch->client->o;

    ch->state = GRPC_CHANNEL_CONNECTING;
    ch->next_address = ch->n_addresses = 0;
    if ((o->resolve && o->resolve(o->resolve_ctx, str_of(ch->host), ch->port, &ch->addresses[0])) ||
        net_addr_set(&ch->addresses[0], ch->host, ch->port) == 0) {
        ch->n_addresses = 1;
        connect_next(ch);
    } else {
        resolve(ch);
    }
}

/* --- what a channel needs --- */

static void free_channel(void *arg)
{
    struct grpc_channel *ch = arg;

    tls_client_free(ch->tls);
    free(ch->key);
    free(ch->host);
    free(ch->authority);
    free(ch);
}

void channel_drop(struct grpc_channel *ch)
{
    if (ch->is_gone)
        return;
    ch->is_gone = true;
    list_del(&ch->at);
    loop_timer_stop(&ch->timer);
    forget_lookup(ch);
    while (!list_is_empty(&ch->links))
        drop_link(container_of(ch->links.next, struct grpc_link, at));
    loop_post(ch->client->loop, free_channel, ch); /* behind what its links have posted */
}

static bool has_calls(const struct grpc_channel *ch)
{
    if (!list_is_empty(&ch->waiting) || !list_is_empty(&ch->finishing))
        return true;
    list_each (it, &ch->links)
        if (!list_is_empty(&container_of(it, struct grpc_link, at)->calls))
            return true;
    return false;
}

static void send_waiting(struct grpc_channel *ch)
{
    if (ch->link && !h2_can_request(ch->link->h2)) { /* its stream numbers are used up */
        ch->link->is_draining = true;
        ch->link = NULL;
        ch->state = GRPC_CHANNEL_IDLE;
        channel_post(ch);
    }
    while (ch->link && ch->link->is_ready && !list_is_empty(&ch->waiting) &&
           h2_streams(ch->link->h2) < h2_peer_streams_max(ch->link->h2))
        call_send(container_of(ch->waiting.next, struct grpc_call, at), ch->link);
    if (ch->link && !loop_timer_is_running(&ch->link->timer))
        watch_idle(ch->link);
}

static void look_after(void *arg)
{
    struct grpc_channel *ch = arg;

    ch->is_turn_posted = false;
    if (ch->is_gone)
        return;
    list_each (it, &ch->links) {
        struct grpc_link *link = container_of(it, struct grpc_link, at);

        if (link->is_draining && list_is_empty(&link->calls))
            drop_link(link);
    }
    if (ch->refs == 0 && !has_calls(ch)) {
        channel_drop(ch);
        return;
    }
    if (ch->state == GRPC_CHANNEL_IDLE && !list_is_empty(&ch->waiting))
        connect_channel(ch);
    if (ch->state == GRPC_CHANNEL_READY)
        send_waiting(ch);
    else if (ch->state == GRPC_CHANNEL_BACKOFF)
        fail_calls(&ch->waiting, GRPC_UNAVAILABLE, ch->last.msg, false);
}

void channel_post(struct grpc_channel *ch)
{
    if (ch->is_turn_posted || ch->is_gone)
        return;
    ch->is_turn_posted = true;
    loop_post(ch->client->loop, look_after, ch);
}

static void on_channel_timer(void *arg)
{
    struct grpc_channel *ch = arg;
    struct err err = ERR_INIT;

    if (ch->lookup) {
        forget_lookup(ch);
        err_set(&err, ERR_UNAVAILABLE, "the name '%s' was not resolved within %lld ms", ch->host,
                (long long)connect_ms(ch));
        attempt_failed(ch, &err);
        return;
    }
    ch->state = GRPC_CHANNEL_IDLE;
    channel_post(ch);
}

/* --- the contract --- */

static bool split_target(const char *target, char **ret_host, uint16_t *ret_port)
{
    AUTO_FREE char *text = NULL;
    struct str t = str_of(target);
    struct http_url u;

    if (str_starts(t, STR("dns:///")))
        t = str_skip(t, 7);
    else if (str_starts(t, STR("dns:")))
        t = str_skip(t, 4);
    if (!str_starts(t, STR("http://")) && !str_starts(t, STR("https://")))
        text = mem_printf("https://%.*s", STR_ARG(t)); /* the port without one: gRPC's 443 */
    if (!http_url_split(text ? str_of(text) : t, &u) || u.target.n > 1)
        return false;
    *ret_host = str_dup(u.host);
    *ret_port = u.port;
    return u.port != 0;
}

static void add_part(struct buf *b, struct str s)
{
    buf_printf(b, "%zu:", s.n);
    buf_add_str(b, s);
}

static char *key_of(const struct grpc_channel_options *o, const struct tls_client_options *tls,
                    const char *authority)
{
    struct buf b = BUF_INIT;

    add_part(&b, str_of(o->target));
    add_part(&b, str_of(authority));
    if (tls) {
        add_part(&b, tls->ca_pem);
        add_part(&b, tls->cert_pem);
        add_part(&b, tls->key_pem);
        add_part(&b, str_of(tls->key_password));
        add_part(&b, str_of(tls->server_name));
        buf_printf(&b, "%d%d", tls->insecure, tls->adds_ca);
    }
    return buf_take(&b, NULL);
}

int grpc_channel_get(struct grpc_client *c, const struct grpc_channel_options *o,
                     struct grpc_channel **ret, struct err *err)
{
    AUTO_FREE char *host = NULL;
    AUTO_FREE char *plain = NULL;
    AUTO_FREE char *key = NULL;
    const struct tls_client_options system_roots = {.insecure = false};
    const struct tls_client_options *tls_options = o->tls;
    struct tls_client *tls = NULL;
    struct grpc_channel *ch;
    uint16_t port;
    int r;

    if (!o->target || !split_target(o->target, &host, &port))
        return err_set(err, ERR_BAD_INPUT, "'%s' is not a gRPC target: expected HOST:PORT",
                       o->target ? o->target : "");
    if (!tls_options && str_starts(str_of(o->target), STR("https://")))
        tls_options = &system_roots;
    plain = mem_printf(strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
    key = key_of(o, tls_options, o->authority ? o->authority : plain);
    list_each (it, &c->channels) {
        ch = container_of(it, struct grpc_channel, at);
        if (strcmp(ch->key, key) == 0) {
            ch->refs++;
            *ret = ch;
            return 0;
        }
    }
    if (tls_options && (r = tls_client_new(tls_options, &tls, err)) < 0)
        return r;
    ch = mem_zalloc(sizeof(*ch));
    *ch = (struct grpc_channel){.client = c, .port = port, .tls = tls, .refs = 1};
    ch->key = mem_strdup(key);
    ch->host = mem_strdup(host);
    ch->authority = mem_strdup(o->authority ? o->authority : plain);
    list_init(&ch->links);
    list_init(&ch->waiting);
    list_init(&ch->finishing);
    list_add_tail(&c->channels, &ch->at);
    loop_timer_init(&ch->timer, c->loop, on_channel_timer, ch);
    *ret = ch;
    return 0;
}

void grpc_channel_release(struct grpc_channel *ch)
{
    if (!ch)
        return;
    FB_ASSERT(ch->refs > 0);
    if (--ch->refs == 0)
        channel_post(ch);
}

bool grpc_channel_is_ready(const struct grpc_channel *ch, struct err *err)
{
    if (ch->state == GRPC_CHANNEL_READY)
        return true;
    if (ch->last.code && err)
        *err = ch->last;
    return false;
}
