/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/gateway.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "gateway/routes.h"
#include "gateway/services.h"
#include "net/http_client.h"
#include "net/http_server.h"

#define REBUILD_MS 2

/* One pod as the gateway knows it: lives while it has requests or is routed to. */
struct upstream {
    char *uid, *ns, *pod;
    atomic_llong in_flight, total, failed;
    void (*drained)(void *arg);
    void *drained_arg;
    bool is_draining;
};

struct gateway {
    struct gateway_options o;
    /* control thread */
    struct loop_timer rebuild;
    bool is_rebuild_due;
    /* gateway thread */
    pthread_t thread;
    struct loop *loop;
    struct http_server *server;
    struct http_client *client;
    struct service_proxy *services;
    struct routes *routes;
    unsigned turn; /* breaks ties in rotation */
    /* both: the table changes only under the mutex */
    pthread_mutex_t mutex;
    struct table upstreams; /* uid -> struct upstream */
    atomic_llong unrouted, unready;
    bool has_thread;
};

/* One request on its way. */
struct proxy {
    struct gateway *g;
    struct http_x *x;
    struct http_call *call;
    struct upstream *up;
    struct http_header *headers; /* to the pod */
    size_t n_headers;
    struct buf address;
    const struct backend *backend; /* valid only while choosing */
    bool has_answer, has_body, client_gone, is_done, sent_body;
    int tries;
};

static struct upstream *upstream_of(struct gateway *g, const struct endpoint *e)
{
    char addr[64];
    struct str key = *e->uid ? str_of(e->uid) : str_of(net_addr_text(&e->addr, addr));
    struct upstream *u = table_get(&g->upstreams, key);

    if (u)
        return u;
    u = mem_zalloc(sizeof(*u));
    u->uid = str_dup(key);
    u->ns = mem_strdup(e->ns);
    u->pod = mem_strdup(e->pod);
    pthread_mutex_lock(&g->mutex);
    table_set(&g->upstreams, key, u);
    pthread_mutex_unlock(&g->mutex);
    return u;
}

static void tell_drained(struct gateway *g, struct upstream *u)
{
    if (!u->drained || atomic_load(&u->in_flight) > 0)
        return;
    loop_post_threadsafe(g->o.cluster->loop, u->drained, u->drained_arg);
    u->drained = NULL;
}

/* --- one request --- */

static void reply_error(struct http_x *x, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void reply_error(struct http_x *x, int status, const char *fmt, ...)
{
    struct http_header retry = {STR("retry-after"), STR("1")};
    struct http_headers extra = {&retry, status == 503};
    struct buf text = BUF_INIT, out = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    buf_printf(&out, "{\"error\":{\"code\":%d,\"message\":", status);
    json_write_str(&out, buf_str(&text));
    buf_add_cstr(&out, "}}\n");
    http_x_reply(x, status, "application/json", &extra, buf_str(&out));
    buf_done(&text);
    buf_done(&out);
}

static void leave_upstream(struct proxy *p)
{
    if (!p->up)
        return;
    atomic_fetch_sub(&p->up->in_flight, 1);
    tell_drained(p->g, p->up);
    p->up = NULL;
}

static void free_proxy(void *arg)
{
    struct proxy *p = arg;

    free(p->headers);
    buf_done(&p->address);
    free(p);
}

static void on_client_close(void *arg, struct http_x *x)
{
    struct proxy *p = arg;

    (void)x;
    p->client_gone = true;
    if (p->call) { /* the client left: the pod hears of it at once */
        http_call_cancel(p->call);
        p->call = NULL;
    }
    leave_upstream(p);
    loop_post(p->g->loop, free_proxy, p);
}

static bool is_hop_by_hop(struct str name)
{
    static const char *const names[] = {"connection",
                                        "keep-alive",
                                        "proxy-connection",
                                        "te",
                                        "trailer",
                                        "transfer-encoding",
                                        "upgrade",
                                        "proxy-authenticate",
                                        "proxy-authorization"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq_nocase(name, str_of(names[i])))
            return true;
    return false;
}

static void on_answer_head(void *arg, const struct http_response *r)
{
    struct proxy *p = arg;
    struct http_header *items = mem_array(r->headers.n, sizeof(*items));
    struct http_headers out = {items, 0};

    p->has_answer = true;
    for (size_t i = 0; i < r->headers.n; i++)
        if (!is_hop_by_hop(r->headers.items[i].name))
            items[out.n++] = r->headers.items[i];
    if (p->up)
        atomic_fetch_add(&p->up->total, 1);
    http_x_start(p->x, r->status, NULL, &out);
    free(items);
}

static void on_client_drain(void *arg, struct http_x *x)
{
    struct proxy *p = arg;

    (void)x;
    if (p->call)
        http_call_pause(p->call, false);
}

static void on_answer_data(void *arg, struct str part)
{
    struct proxy *p = arg;

    if (!http_x_write(p->x, part) && p->call)
        http_call_pause(p->call, true);
}

static bool choose_and_send(struct proxy *p);

static void on_answer_done(void *arg, const struct err *err)
{
    struct proxy *p = arg;

    p->call = NULL;
    if (err && p->up)
        atomic_fetch_add(&p->up->failed, 1);
    if (!err) {
        leave_upstream(p);
        http_x_end(p->x, NULL);
    } else if (p->has_answer) {
        leave_upstream(p);
        http_x_abort(p->x); /* the client must see that it is not whole */
    } else if (err->code == ERR_UNAVAILABLE && !p->sent_body && p->tries < 3) {
        leave_upstream(p); /* refused before a byte was taken: another pod */
        choose_and_send(p);
    } else {
        leave_upstream(p);
        reply_error(p->x, err->code == ERR_TIMEOUT ? 504 : 502, "the pod did not answer: %s",
                    err->msg);
    }
}

static void on_request_part(void *arg, struct http_x *x, struct str part, bool end)
{
    struct proxy *p = arg;

    if (!p->call)
        return;
    if (part.n) {
        p->sent_body = true;
        if (!http_call_write(p->call, part))
            http_x_pause(x);
    }
    if (end)
        http_call_end(p->call);
}

static void on_call_drain(void *arg)
{
    struct proxy *p = arg;

    http_x_resume(p->x);
}

/* Fewest in flight first; equal ones in turn. */
static const struct endpoint *choose(struct gateway *g, const struct backend *b)
{
    const struct endpoint *best = NULL;
    long long least = 0;

    for (size_t i = 0; i < b->n; i++) {
        const struct endpoint *e = &b->items[(i + g->turn) % b->n];
        struct upstream *u = upstream_of(g, e);
        long long n = atomic_load(&u->in_flight);

        if (u->is_draining)
            continue;
        if (!best || n < least) {
            best = e;
            least = n;
        }
    }
    g->turn++;
    return best;
}

static void add_header(struct proxy *p, struct str name, struct str value)
{
    p->headers[p->n_headers++] = (struct http_header){name, value};
}

static void copy_headers(struct proxy *p)
{
    const struct http_request *req = http_x_request(p->x);
    char ip[64];

    p->headers = mem_array(req->headers.n + 4, sizeof(*p->headers));
    for (size_t i = 0; i < req->headers.n; i++)
        if (!is_hop_by_hop(req->headers.items[i].name) &&
            !str_eq_nocase(req->headers.items[i].name, STR("expect")))
            add_header(p, req->headers.items[i].name, req->headers.items[i].value);
    buf_add_cstr(&p->address, net_addr_ip(&req->peer, ip));
    if (http_header_get(&req->headers, "x-forwarded-for").p == NULL)
        add_header(p, STR("x-forwarded-for"), buf_str(&p->address));
    if (http_header_get(&req->headers, "x-forwarded-host").p == NULL)
        add_header(p, STR("x-forwarded-host"), req->host);
    if (http_header_get(&req->headers, "x-forwarded-proto").p == NULL)
        add_header(p, STR("x-forwarded-proto"), STR("http"));
}

static bool choose_and_send(struct proxy *p)
{
    const struct http_request *req = http_x_request(p->x);
    const struct backend *b = routes_find(p->g->routes, req->host);
    const struct endpoint *e = b ? choose(p->g, b) : NULL;
    AUTO_FREE char *method = str_dup(req->method);
    struct http_headers headers = {p->headers, p->n_headers};

    if (!e) {
        atomic_fetch_add(&p->g->unready, 1);
        reply_error(p->x, 503, "Service '%s/%s' has no ready pod: kubectl get pods -n %s shows why",
                    b ? b->ns : "?", b ? b->service : "?", b ? b->ns : "?");
        return false;
    }
    p->tries++;
    p->up = upstream_of(p->g, e);
    atomic_fetch_add(&p->up->in_flight, 1);
    p->call =
        http_client_send(p->g->client, &(struct http_call_options){.method = method,
                                                                   .addr = &e->addr,
                                                                   .target = req->target,
                                                                   .headers = &headers,
                                                                   .body_follows = p->has_body,
                                                                   .arg = p,
                                                                   .on_head = on_answer_head,
                                                                   .on_data = on_answer_data,
                                                                   .on_done = on_answer_done,
                                                                   .on_drain = on_call_drain});
    if (p->has_body)
        http_x_read(p->x, on_request_part, p);
    return true;
}

static void list_hosts(const struct routes *r, struct buf *out)
{
    struct str host;
    size_t i = 0, n = 0;

    while (table_next(&r->hosts, &i, &host, NULL)) {
        if (str_ends(host, STR(".svc")) || str_ends(host, STR(".svc.cluster.local")) ||
            str_chr(host, '.') < 0)
            continue;
        if (n++ < 10)
            buf_printf(out, "%s%.*s", n > 1 ? ", " : "", STR_ARG(host));
    }
    if (n == 0)
        buf_add_cstr(out, "none");
}

static void on_request(void *ctx, struct http_x *x)
{
    struct gateway *g = ctx;
    const struct http_request *req = http_x_request(x);
    struct proxy *p;
    struct buf hosts = BUF_INIT;

    if (str_is(req->method, "CONNECT")) {
        reply_error(x, 405, "this is no forward proxy");
        return;
    }
    if (!g->routes || !routes_find(g->routes, req->host)) {
        atomic_fetch_add(&g->unrouted, 1);
        if (g->routes)
            list_hosts(g->routes, &hosts);
        reply_error(x, 404, "no route for host '%.*s'; known hosts: %s",
                    (int)(req->host.n < 200 ? req->host.n : 200), req->host.p ? req->host.p : "",
                    buf_cstr(&hosts));
        buf_done(&hosts);
        return;
    }
    p = mem_zalloc(sizeof(*p));
    p->g = g;
    p->x = x;
    p->has_body = req->has_body;
    copy_headers(p);
    http_x_on_close(x, on_client_close, p);
    http_x_on_drain(x, on_client_drain, p);
    choose_and_send(p);
}

/* --- routing tables from the control thread --- */

struct handover {
    struct gateway *g;
    struct routes *routes;
    struct service_table *services;
    char *uid;
    void (*done)(void *arg);
    void *arg;
};

static bool is_routed(const struct routes *r, const char *uid)
{
    for (size_t i = 0; i < r->n; i++)
        for (size_t k = 0; k < r->backends[i]->n; k++)
            if (strcmp(r->backends[i]->items[k].uid, uid) == 0)
                return true;
    return false;
}

/* Pods that are gone and idle are forgotten. */
static void sweep_upstreams(struct gateway *g)
{
    struct upstream *gone[64];
    size_t i = 0, n = 0;
    void *v;

    while (n < ARRAY_LEN(gone) && table_next(&g->upstreams, &i, NULL, &v)) {
        struct upstream *u = v;

        if (!u->drained && atomic_load(&u->in_flight) == 0 && !is_routed(g->routes, u->uid) &&
            strchr(u->uid, '-'))
            gone[n++] = u;
    }
    pthread_mutex_lock(&g->mutex);
    for (i = 0; i < n; i++) {
        table_del(&g->upstreams, str_of(gone[i]->uid));
        free(gone[i]->uid);
        free(gone[i]->ns);
        free(gone[i]->pod);
        free(gone[i]);
    }
    pthread_mutex_unlock(&g->mutex);
}

static void take_routes(void *arg)
{
    struct handover *h = arg;

    routes_free(h->g->routes);
    h->g->routes = h->routes;
    service_proxy_take(h->g->services, h->services);
    sweep_upstreams(h->g);
    free(h);
}

static void rebuild(void *arg)
{
    struct gateway *g = arg;
    struct handover *h = mem_zalloc(sizeof(*h));

    g->is_rebuild_due = false;
    h->g = g;
    h->routes = routes_build(g->o.cluster);
    h->services = service_table_build(g->o.cluster);
    loop_post_threadsafe(g->loop, take_routes, h);
}

static void on_change(void *arg, enum cluster_event event, const struct object *was,
                      const struct object *now)
{
    struct gateway *g = arg;

    (void)event;
    (void)was;
    (void)now;
    if (g->is_rebuild_due)
        return;
    g->is_rebuild_due = true;
    loop_timer_start(&g->rebuild, REBUILD_MS);
}

static void start_drain(void *arg)
{
    struct handover *h = arg;
    struct upstream *u = table_get(&h->g->upstreams, str_of(h->uid));

    if (u) {
        u->is_draining = true;
        u->drained = h->done;
        u->drained_arg = h->arg;
        tell_drained(h->g, u);
    } else {
        loop_post_threadsafe(h->g->o.cluster->loop, h->done, h->arg);
    }
    free(h->uid);
    free(h);
}

void gateway_drain(void *gateway, struct str uid, void (*done)(void *arg), void *arg)
{
    struct gateway *g = gateway;
    struct handover *h = mem_zalloc(sizeof(*h));

    *h = (struct handover){.g = g, .uid = str_dup(uid), .done = done, .arg = arg};
    loop_post_threadsafe(g->loop, start_drain, h);
}

/* --- numbers --- */

int64_t gateway_in_flight_of(void *gateway, struct str uid)
{
    struct gateway *g = gateway;
    struct upstream *u;
    int64_t n;

    pthread_mutex_lock(&g->mutex);
    u = table_get(&g->upstreams, uid);
    n = u ? atomic_load(&u->in_flight) : 0;
    pthread_mutex_unlock(&g->mutex);
    return n;
}

int64_t gateway_in_flight(struct gateway *g)
{
    int64_t n = 0;
    size_t i = 0;
    void *v;

    pthread_mutex_lock(&g->mutex);
    while (table_next(&g->upstreams, &i, NULL, &v))
        n += atomic_load(&((struct upstream *)v)->in_flight);
    pthread_mutex_unlock(&g->mutex);
    return n;
}

void gateway_metrics(struct gateway *g, struct buf *out)
{
    static const struct {
        const char *name, *type, *help;
        size_t at;
    } rows[] = {
        {"flyball_gateway_in_flight", "gauge", "Requests in flight to a pod.",
         offsetof(struct upstream, in_flight)},
        {"flyball_gateway_requests_total", "counter", "Requests answered by a pod.",
         offsetof(struct upstream, total)},
        {"flyball_gateway_errors_total", "counter", "Requests that a pod did not answer whole.",
         offsetof(struct upstream, failed)},
    };
    size_t i;
    void *v;

    pthread_mutex_lock(&g->mutex);
    for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", rows[k].name, rows[k].help, rows[k].name,
                   rows[k].type);
        i = 0;
        while (table_next(&g->upstreams, &i, NULL, &v)) {
            struct upstream *u = v;

            buf_printf(out, "%s{namespace=\"%s\",pod=\"%s\"} %lld\n", rows[k].name, u->ns, u->pod,
                       (long long)atomic_load((atomic_llong *)(void *)((char *)u + rows[k].at)));
        }
    }
    pthread_mutex_unlock(&g->mutex);
    buf_printf(
        out,
        "# HELP flyball_gateway_unrouted_total Requests for a host that no Ingress names.\n"
        "# TYPE flyball_gateway_unrouted_total counter\nflyball_gateway_unrouted_total %lld\n"
        "# HELP flyball_gateway_unready_total Requests for a Service without a ready pod.\n"
        "# TYPE flyball_gateway_unready_total counter\nflyball_gateway_unready_total %lld\n",
        (long long)atomic_load(&g->unrouted), (long long)atomic_load(&g->unready));
}

/* --- life --- */

static void *run(void *arg)
{
    struct gateway *g = arg;

    loop_run(g->loop);
    return NULL;
}

int gateway_new(const struct gateway_options *o, struct gateway **ret, struct err *err)
{
    static const enum kind_id kinds[] = {KIND_INGRESS, KIND_SERVICE, KIND_ENDPOINTS};
    struct gateway *g = mem_zalloc(sizeof(*g));
    struct http_server_options so = {
        .addr = o->listen, .on_request = on_request, .ctx = g, .server_name = "gateway"};
    int r;

    g->o = *o;
    pthread_mutex_init(&g->mutex, NULL);
    loop_timer_init(&g->rebuild, o->cluster->loop, rebuild, g);
    g->loop = loop_new();
    g->client = http_client_new(g->loop);
    g->services = service_proxy_new(g->loop);
    r = http_server_new(g->loop, &so, &g->server, err);
    if (r < 0) {
        gateway_free(g);
        return r;
    }
    if (pthread_create(&g->thread, NULL, run, g) != 0) {
        gateway_free(g);
        return err_set(err, ERR_INTERNAL, "cannot start the gateway's thread");
    }
    g->has_thread = true;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        cluster_watch(o->cluster, kinds[i], on_change, g);
    *ret = g;
    return 0;
}

struct net_addr gateway_addr(const struct gateway *g)
{
    return http_server_addr(g->server);
}

static void stop(void *arg)
{
    struct gateway *g = arg;

    http_server_free(g->server);
    g->server = NULL;
    http_client_free(g->client);
    g->client = NULL;
    service_proxy_free(g->services);
    g->services = NULL;
    loop_stop(g->loop);
}

void gateway_free(struct gateway *g)
{
    static const enum kind_id kinds[] = {KIND_INGRESS, KIND_SERVICE, KIND_ENDPOINTS};
    size_t i = 0;
    void *v;

    if (!g)
        return;
    loop_timer_stop(&g->rebuild);
    if (g->has_thread) {
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
            cluster_unwatch(g->o.cluster, kinds[k], on_change, g);
        loop_post_threadsafe(g->loop, stop, g);
        pthread_join(g->thread, NULL);
    } else {
        http_server_free(g->server);
        http_client_free(g->client);
        service_proxy_free(g->services);
    }
    loop_free(g->loop);
    routes_free(g->routes);
    while (table_next(&g->upstreams, &i, NULL, &v)) {
        struct upstream *u = v;

        if (u->drained) /* nothing is in flight any more */
            u->drained(u->drained_arg);
        free(u->uid);
        free(u->ns);
        free(u->pod);
        free(u);
    }
    table_done(&g->upstreams);
    pthread_mutex_destroy(&g->mutex);
    free(g);
}
