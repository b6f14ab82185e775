/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls over pooled HTTP/1.1 connections. A call owns its connection from send until its end; then
 * the connection waits for the next call to the same address (http_pool.h). */
#include "net/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "base/mem.h"
#include "net/h1.h"
#include "net/http_pool.h"
#include "net/proxy.h"

#define BODY_MAX_DEFAULT ((size_t)16 << 20)

struct real_client {
    struct http_client head;
    struct loop *loop;
    struct list calls;
    struct http_pool pool;
    struct tls_client *system_tls;
};

struct http_call {
    struct http_call_head head;
    struct real_client *rc;
    struct list link;
    struct http_call_options o; /* callbacks and flags; pointers of the caller are not kept */
    char *host, *target, *method, *key;
    struct buf request;             /* head and whole body, kept for one repetition */
    struct buf lines, secret_lines; /* headers of the caller, for a redirect */
    struct net_addr addr;
    struct conn *conn;
    struct h1_parser parser;
    struct loop_timer timer;
    struct buf body;
    struct tls_client *tls;
    struct http_response response;
    struct http_header *kept;
    struct buf kept_block;
    const struct proxy *via; /* whom addr is of; NULL: of the server */
    uint16_t port;
    int redirects;
    bool is_tls, is_reused, has_bytes, has_head, keep_alive, is_done, in_feed, body_chunked;
    bool resolving, is_gone, is_connected;
};

static struct tls_client *system_tls(struct real_client *rc)
{
    if (!rc->system_tls)
        tls_client_new(&(struct tls_client_options){0}, &rc->system_tls, NULL);
    return rc->system_tls;
}

/* --- the end --- */

static void free_call(void *arg)
{
    struct http_call *c = arg;

    h1_done(&c->parser);
    buf_done(&c->request);
    buf_done(&c->lines);
    buf_done(&c->secret_lines);
    buf_done(&c->body);
    buf_done(&c->kept_block);
    free(c->kept);
    free(c->host);
    free(c->target);
    free(c->method);
    free(c->key);
    free(c);
}

static void retire(struct http_call *c)
{
    c->is_gone = true;
    loop_timer_stop(&c->timer);
    list_del(&c->link);
    conn_close(c->conn);
    c->conn = NULL;
    if (!c->resolving) /* else the resolver's callback frees */
        loop_post(c->rc->loop, free_call, c);
}

static void finish(struct http_call *c, const struct err *err)
{
    struct http_call_options o = c->o;
    struct http_response r = c->response;

    if (c->is_gone)
        return;
    retire(c);
    if (o.on_all)
        o.on_all(o.arg, &r, buf_str(&c->body), err);
    else if (o.on_done)
        o.on_done(o.arg, err);
}

__attribute__((format(printf, 3, 4))) static void fail(struct http_call *c, int code,
                                                       const char *fmt, ...)
{
    struct err err = {.code = code};
    va_list ap;
    int n = 0;

    if (c->via && !c->is_tls && !c->is_connected) /* of a tunnel the connection tells */
        n = snprintf(err.msg, sizeof(err.msg), "the proxy: ");
    va_start(ap, fmt);
    vsnprintf(err.msg + n, sizeof(err.msg) - (size_t)n, fmt, ap);
    va_end(ap);
    finish(c, &err);
}

/* --- the answer --- */

static void keep_head(struct http_call *c, const struct h1_head *head)
{
    size_t total = 0, at = 0;

    for (size_t i = 0; i < head->headers.n; i++)
        total += head->headers.items[i].name.n + head->headers.items[i].value.n;
    buf_clear(&c->kept_block);
    buf_room(&c->kept_block, total + 1);
    c->kept = mem_rearray(c->kept, head->headers.n ? head->headers.n : 1, sizeof(*c->kept));
    for (size_t i = 0; i < head->headers.n; i++) {
        const struct http_header *h = &head->headers.items[i];

        buf_add_str(&c->kept_block, h->name);
        buf_add_str(&c->kept_block, h->value);
        c->kept[i].name = str_n(c->kept_block.p + at, h->name.n);
        c->kept[i].value = str_n(c->kept_block.p + at + h->name.n, h->value.n);
        at += h->name.n + h->value.n;
    }
    c->response = (struct http_response){head->status, {c->kept, head->headers.n}};
}

static void on_head(void *arg, const struct h1_head *head)
{
    struct http_call *c = arg;

    if (head->status >= 100 && head->status < 200)
        return; /* 100 Continue and friends: the answer comes behind */
    c->has_head = true;
    c->keep_alive = head->keep_alive;
    keep_head(c, head);
    if (c->o.on_head && !c->is_gone)
        c->o.on_head(c->o.arg, &c->response);
}

static void on_body(void *arg, struct str part)
{
    struct http_call *c = arg;

    if (c->is_gone)
        return;
    if (c->o.on_data) {
        c->o.on_data(c->o.arg, part);
        return;
    }
    if (c->o.on_all)
        buf_add_str(&c->body, part);
}

static void on_end(void *arg)
{
    struct http_call *c = arg;

    c->is_done = c->has_head;
}

static const struct h1_events parser_events = {on_head, on_body, on_end};

static void start(struct http_call *c);

static void park(struct http_call *c)
{
    http_pool_put(&c->rc->pool, c->key, c->conn);
    c->conn = NULL;
}

static bool set_url(struct http_call *c, struct str text)
{
    struct http_url u;

    if (!http_url_split(text, &u))
        return false;
    free(c->host);
    free(c->target);
    c->is_tls = u.is_tls;
    c->host = str_dup(u.host);
    c->port = u.port;
    c->target = u.target.n && u.target.p[0] == '/' ? str_dup(u.target)
                                                   : mem_printf("/%.*s", STR_ARG(u.target));
    return true;
}

/* A whole URL. Secrets stay with the server that they were given for: the same host and port, or
 * the same host by TLS. */
static bool go_elsewhere(struct http_call *c, struct str url)
{
    AUTO_FREE char *was = mem_strdup(c->host);
    bool was_tls = c->is_tls;
    uint16_t port = c->port;

    if (!set_url(c, url))
        return false;
    if (strcmp(was, c->host) != 0 || (was_tls == c->is_tls ? port != c->port : was_tls))
        buf_clear(&c->secret_lines);
    c->addr.len = 0;
    c->via = NULL;
    if (c->is_tls && !c->tls)
        c->tls = system_tls(c->rc);
    return !c->is_tls || c->tls;
}

static bool follow_redirect(struct http_call *c)
{
    struct str to = http_header_get(&c->response.headers, "location");
    int s = c->response.status;

    if ((s != 301 && s != 302 && s != 303 && s != 307 && s != 308) || to.n == 0 ||
        c->o.max_redirects == 0)
        return false;
    if (c->redirects++ >= c->o.max_redirects) {
        fail(c, ERR_LIMIT, "stopped after %d redirects", c->o.max_redirects);
        return true;
    }
    if (to.p[0] == '/') {
        free(c->target);
        c->target = str_dup(to);
    } else if (!go_elsewhere(c, to)) {
        return false;
    }
    if (c->keep_alive)
        park(c);
    conn_close(c->conn);
    c->conn = NULL;
    buf_clear(&c->body);
    c->has_head = c->is_done = c->has_bytes = false;
    h1_done(&c->parser);
    h1_init(&c->parser, true, &parser_events, c);
    start(c);
    return true;
}

static void answer_done(struct http_call *c)
{
    if (follow_redirect(c))
        return;
    if (c->keep_alive && !c->o.fresh && !c->o.body_follows)
        park(c);
    finish(c, NULL);
}

static void on_data(void *arg, struct str bytes)
{
    struct http_call *c = arg;
    struct err err = ERR_INIT;

    c->has_bytes = true;
    while (bytes.n && !c->is_gone) {
        size_t used;
        int status, r;

        r = h1_feed(&c->parser, bytes, &used, &status, &err);
        if (c->is_gone)
            return;
        if (r < 0) {
            fail(c, ERR_BAD_INPUT, "the answer is not HTTP: %s", err.msg);
            return;
        }
        if (c->body.overflow) {
            fail(c, ERR_LIMIT, "the answer is over the limit of %zu bytes", c->body.max);
            return;
        }
        bytes = str_skip(bytes, used);
        if (c->is_done) {
            if (bytes.n)
                c->keep_alive = false;
            answer_done(c);
            return;
        }
        if (r == 1)
            h1_next(&c->parser); /* behind a 1xx */
    }
}

static void on_conn_close(void *arg, const struct err *err)
{
    struct http_call *c = arg;

    c->conn = NULL;
    if (c->has_head && h1_eof(&c->parser) == 1) {
        c->keep_alive = false;
        finish(c, NULL);
        return;
    }
    if (c->is_reused && !c->has_bytes && !c->o.body_follows) {
        c->is_reused = false;
        start(c); /* the pooled connection was dead: once more on a new one */
        return;
    }
    fail(c, err ? err->code : ERR_UNAVAILABLE, "%s",
         err            ? err->msg
         : c->has_bytes ? "the connection was closed before the answer was whole"
                        : "the connection was closed without an answer");
}

static void on_connect(void *arg)
{
    ((struct http_call *)arg)->is_connected = true;
}

static void on_drain(void *arg)
{
    struct http_call *c = arg;

    if (c->o.on_drain)
        c->o.on_drain(c->o.arg);
}

static const struct conn_events call_events = {on_connect, on_data, on_drain, on_conn_close};

/* --- the request --- */

static void add_authority(struct buf *b, const struct http_call *c, bool with_port)
{
    bool is_ip6 = strchr(c->host, ':') != NULL;

    buf_printf(b, is_ip6 ? "[%s]" : "%s", c->host);
    if (with_port)
        buf_printf(b, ":%u", c->port);
}

static void add_proxy_auth(struct buf *b, const struct proxy *via)
{
    if (via->auth)
        buf_printf(b, "proxy-authorization: %s\r\n", via->auth);
}

static struct conn *connect_through(struct http_call *c)
{
    struct buf b = BUF_INIT;
    struct conn *conn;

    for (int i = 0; i < 2; i++) {
        buf_add_cstr(&b, i ? " HTTP/1.1\r\nhost: " : "CONNECT ");
        add_authority(&b, c, true);
    }
    buf_add_cstr(&b, "\r\n");
    add_proxy_auth(&b, c->via);
    buf_add_cstr(&b, "\r\n");
    conn =
        conn_connect_through(c->rc->loop, &c->addr, buf_str(&b), c->tls, c->host, &call_events, c);
    buf_done(&b);
    return conn;
}

/* A proxy is told of the server in the request line. */
static void send_to_proxy(struct http_call *c)
{
    struct str rest = str_skip(buf_str(&c->request), strlen(c->method) + 1);
    size_t line = (size_t)str_find(rest, STR("\r\n")) + 2;
    struct buf b = BUF_INIT;

    buf_printf(&b, "%s http://", c->method);
    add_authority(&b, c, c->port != 80);
    buf_add(&b, rest.p, line);
    add_proxy_auth(&b, c->via);
    buf_add_str(&b, str_skip(rest, line));
    conn_write(c->conn, buf_str(&b));
    buf_done(&b);
}

static void connect_now(struct http_call *c)
{
    struct real_client *rc = c->rc;
    char addr[64], port[16] = "";

    free(c->key);
    if (c->via && c->is_tls) /* a tunnel leads to one server only */
        snprintf(port, sizeof(port), "|%u", c->port);
    c->key = mem_printf("%s|%llu|%s%s", net_addr_text(&c->addr, addr),
                        (unsigned long long)(c->is_tls ? tls_client_id(c->tls) : 0),
                        c->is_tls ? c->host : "", port);
    c->conn = c->o.fresh || c->is_reused ? NULL : http_pool_take(&rc->pool, c->key);
    c->is_reused = c->conn != NULL;
    if (c->conn)
        conn_retarget(c->conn, &call_events, c);
    else if (c->via && c->is_tls)
        c->conn = connect_through(c);
    else
        c->conn =
            conn_connect(rc->loop, &c->addr, c->is_tls ? c->tls : NULL, c->host, &call_events, c);
    if (c->via && !c->is_tls)
        send_to_proxy(c);
    else
        conn_write(c->conn, buf_str(&c->request));
}

struct lookup {
    uv_getaddrinfo_t req;
    struct http_call *call;
};

/* Whom to connect to. */
static const char *peer_of(const struct http_call *c)
{
    return c->via ? c->via->host : c->host;
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
    struct lookup *l = (struct lookup *)req;
    struct http_call *c = l->call;

    free(l);
    c->resolving = false;
    if (c->is_gone) {
        uv_freeaddrinfo(res);
        free_call(c);
        return;
    }
    if (status < 0 || !res) {
        fail(c, ERR_UNAVAILABLE, "the name '%s' cannot be resolved: %s", peer_of(c),
             uv_strerror(status));
    } else {
        memcpy(&c->addr.ss, res->ai_addr, res->ai_addrlen);
        c->addr.len = res->ai_addrlen;
        connect_now(c);
    }
    uv_freeaddrinfo(res);
}

static void start_later(void *arg)
{
    struct http_call *c = arg;
    struct lookup *l;
    struct http_client *hc = &c->rc->head;
    uint16_t peer_port;
    char port[8];
    int r;

    if (c->is_gone)
        return;
    if (c->addr.len == 0 && hc->resolve)
        hc->resolve(hc->resolve_ctx, str_of(c->host), c->port, &c->addr);
    if (c->addr.len == 0)
        c->via = proxies_for(c->o.proxies, c->is_tls, str_of(c->host), c->port);
    peer_port = c->via ? c->via->port : c->port;
    if (c->addr.len == 0)
        net_addr_set(&c->addr, peer_of(c), peer_port);
    if (c->addr.len != 0) {
        connect_now(c);
        return;
    }
    l = mem_zalloc(sizeof(*l));
    l->call = c;
    c->resolving = true;
    snprintf(port, sizeof(port), "%u", peer_port);
    r = uv_getaddrinfo(loop_uv(c->rc->loop), &l->req, on_resolved, peer_of(c), port,
                       &(struct addrinfo){.ai_socktype = SOCK_STREAM});
    if (r < 0) {
        c->resolving = false;
        free(l);
        fail(c, ERR_UNAVAILABLE, "the name '%s' cannot be resolved: %s", peer_of(c),
             uv_strerror(r));
    }
}

static void keep_line(struct http_call *c, const struct http_header *h, bool is_secret)
{
    is_secret |=
        str_eq_nocase(h->name, STR("authorization")) || str_eq_nocase(h->name, STR("cookie"));
    buf_printf(is_secret ? &c->secret_lines : &c->lines, "%.*s: %.*s\r\n", STR_ARG(h->name),
               STR_ARG(h->value));
}

static void write_request(struct http_call *c, const struct http_call_options *o)
{
    const struct http_headers *h = o->headers;
    struct buf *b = &c->request;
    bool has_length = false, has_host = false;

    buf_printf(b, "%s %s HTTP/1.1\r\n", c->method, c->target);
    for (size_t i = 0; h && i < h->n; i++) {
        has_length |= str_eq_nocase(h->items[i].name, STR("content-length"));
        has_host |= str_eq_nocase(h->items[i].name, STR("host"));
    }
    if (!has_host && o->host.n) {
        buf_printf(b, "host: %.*s\r\n", STR_ARG(o->host));
    } else if (!has_host) {
        buf_add_cstr(b, "host: ");
        add_authority(b, c, c->port != (c->is_tls ? 443 : 80));
        buf_add_cstr(b, "\r\n");
    }
    for (size_t i = 0; h && i < h->n; i++)
        keep_line(c, &h->items[i], false);
    for (size_t i = 0; o->secrets && i < o->secrets->n; i++)
        keep_line(c, &o->secrets->items[i], true);
    buf_add_str(b, buf_str(&c->lines));
    buf_add_str(b, buf_str(&c->secret_lines));
    if (o->body_follows && !has_length) {
        c->body_chunked = true;
        buf_add_cstr(b, "transfer-encoding: chunked\r\n");
    } else if (!o->body_follows && !has_length &&
               (o->body.n || strcmp(c->method, "POST") == 0 || strcmp(c->method, "PUT") == 0)) {
        buf_printf(b, "content-length: %zu\r\n", o->body.n);
    }
    if (o->fresh)
        buf_add_cstr(b, "connection: close\r\n");
    buf_add_cstr(b, "\r\n");
    buf_add_str(b, o->body);
}

static void start(struct http_call *c)
{
    if (c->redirects > 0) { /* the request line and Host have changed */
        struct http_call_options o = {.headers = NULL};

        buf_clear(&c->request);
        write_request(c, &o);
    }
    loop_post(c->rc->loop, start_later, c);
}

static void on_timeout(void *arg)
{
    struct http_call *c = arg;

    fail(c, ERR_TIMEOUT, "no whole answer within %lld ms", (long long)c->o.timeout_ms);
}

static void bad_url(void *arg)
{
    struct http_call *c = arg;

    fail(c, ERR_BAD_INPUT, "the URL is not http://HOST[:PORT]/PATH");
}

static struct http_call *real_send(struct http_client *hc, const struct http_call_options *o)
{
    struct real_client *rc = (struct real_client *)hc;
    struct http_call *c = mem_zalloc(sizeof(*c));
    bool ok = true;

    c->head.client = hc;
    c->rc = rc;
    c->o = *o;
    list_add_tail(&rc->calls, &c->link);
    h1_init(&c->parser, true, &parser_events, c);
    loop_timer_init(&c->timer, rc->loop, on_timeout, c);
    c->method = mem_strdup(o->method ? o->method : "GET");
    if (strcmp(c->method, "HEAD") == 0)
        h1_expect_no_body(&c->parser);
    c->body.max = o->max_body ? o->max_body : BODY_MAX_DEFAULT;
    if (o->url) {
        ok = set_url(c, str_of(o->url));
        if (o->addr)
            c->addr = *o->addr;
    } else {
        char ip[64];

        c->addr = *o->addr;
        c->host = mem_strdup(net_addr_ip(o->addr, ip));
        c->port = net_addr_port(o->addr);
        c->target = str_dup(o->target.n ? o->target : STR("/"));
        c->is_tls = o->tls != NULL;
    }
    c->tls = o->tls;
    if (ok && c->is_tls && !c->tls)
        ok = (c->tls = system_tls(rc)) != NULL;
    if (o->timeout_ms)
        loop_timer_start(&c->timer, o->timeout_ms);
    if (!ok) {
        loop_post(rc->loop, bad_url, c);
        return c;
    }
    write_request(c, o);
    start(c);
    return c;
}

static void real_cancel(struct http_call *c)
{
    if (!c->is_gone)
        retire(c);
}

static void real_pause(struct http_call *c, bool paused)
{
    if (c->conn)
        conn_pause(c->conn, paused);
}

static bool real_write(struct http_call *c, struct str part)
{
    struct buf b = BUF_INIT;
    bool room = true;

    if (part.n == 0)
        return true;
    if (c->body_chunked)
        buf_printf(&b, "%zx\r\n", part.n);
    buf_add_str(&b, part);
    if (c->body_chunked)
        buf_add_cstr(&b, "\r\n");
    if (c->conn)
        room = conn_write(c->conn, buf_str(&b));
    else
        buf_add_str(&c->request, buf_str(&b)); /* not connected yet: goes out with the head */
    buf_done(&b);
    return room;
}

static void real_end(struct http_call *c)
{
    if (!c->body_chunked)
        return;
    if (c->conn)
        conn_write(c->conn, STR("0\r\n\r\n"));
    else
        buf_add_cstr(&c->request, "0\r\n\r\n");
}

static void free_client(void *arg)
{
    struct real_client *rc = arg;

    tls_client_free(rc->system_tls);
    free(rc);
}

static void real_free(struct http_client *hc)
{
    struct real_client *rc = (struct real_client *)hc;

    while (!list_is_empty(&rc->calls))
        real_cancel(container_of(rc->calls.next, struct http_call, link));
    http_pool_done(&rc->pool);
    loop_post(rc->loop, free_client, rc);
}

static const struct http_client_ops real_ops = {real_send,  real_cancel, real_pause,
                                                real_write, real_end,    real_free};

struct http_client *http_client_new(struct loop *l)
{
    struct real_client *rc = mem_zalloc(sizeof(*rc));

    rc->head.ops = &real_ops;
    rc->loop = l;
    list_init(&rc->calls);
    http_pool_init(&rc->pool, l);
    return &rc->head;
}

static const struct http_client_ops *ops_of(struct http_call *call)
{
    return ((struct http_call_head *)call)->client->ops;
}

void http_client_free(struct http_client *c)
{
    if (c)
        c->ops->free(c);
}

struct http_call *http_client_send(struct http_client *c, const struct http_call_options *o)
{
    return c->ops->send(c, o);
}

void http_call_cancel(struct http_call *call)
{
    if (call)
        ops_of(call)->cancel(call);
}

void http_call_pause(struct http_call *call, bool paused)
{
    ops_of(call)->pause(call, paused);
}

bool http_call_write(struct http_call *call, struct str part)
{
    return ops_of(call)->write(call, part);
}

void http_call_end(struct http_call *call)
{
    ops_of(call)->end(call);
}
