/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/services.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/conn.h"

#define LINKS_MAX 10000
#define TRIES_MAX 3

/* --- the table, on the control thread --- */

struct building {
    struct service_table *t;
    struct cluster *c;
};

static bool is_ours(const struct cluster *c, const char *ip)
{
    struct in_addr in;

    return inet_pton(AF_INET, ip, &in) == 1 && (ntohl(in.s_addr) & ~0xfffu) == c->service_block;
}

static void add_service(void *arg, const struct object *o)
{
    struct building *x = arg;
    AUTO_JSON json_t *tree = object_tree(o), *eps_tree = NULL;
    const struct object *eps = cluster_get(x->c, KIND_ENDPOINTS, o->ns, o->name);
    const char *ip = json_text(tree, "spec.clusterIP", "");
    const json_t *p;
    size_t i;

    if (!eps || !is_ours(x->c, ip))
        return;
    eps_tree = object_tree(eps);
    json_array_foreach (json_at(tree, "spec.ports"), i, p) {
        int64_t port = json_int(p, "port", 0);
        struct service_port sp;

        if (strcmp(json_text(p, "protocol", "TCP"), "TCP") != 0 || port < 1 || port > 65535 ||
            net_addr_set(&sp.addr, ip, (uint16_t)port) < 0)
            continue;
        sp.backend = backend_new(o->ns, o->name);
        backend_add_endpoints(sp.backend, eps_tree, port, json_text(p, "name", ""));
        if (sp.backend->n == 0) {
            backend_free(sp.backend);
            continue;
        }
        mem_grow(&x->t->items, &x->t->cap, x->t->n);
        x->t->items[x->t->n++] = sp;
    }
}

struct service_table *service_table_build(struct cluster *c)
{
    struct building x = {mem_zalloc(sizeof(struct service_table)), c};

    if (c->service_block)
        cluster_each(c, KIND_SERVICE, STR_NONE, NULL, add_service, &x);
    return x.t;
}

void service_table_free(struct service_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++)
        backend_free(t->items[i].backend);
    free(t->items);
    free(t);
}

/* --- listeners and connections, on the gateway's thread --- */

struct listener {
    struct service_proxy *s;
    char key[64];                    /* "ip:port" */
    struct conn_listener *socket;    /* NULL: the kernel did not permit it */
    const struct service_port *port; /* in the present table; NULL: to be closed */
};

struct service_proxy {
    struct loop *loop;
    struct service_table *table;
    struct table listeners; /* key -> struct listener */
    struct table load;      /* "ip:port" of an endpoint -> size_t *, connections */
    struct list links;
    size_t n_links;
    unsigned turn;
};

/* One client's connection and the one to the endpoint. */
struct link {
    struct service_proxy *s;
    struct list at;
    struct conn *client, *pod;
    char key[64], target[64];
    bool is_connected, client_eof, pod_eof;
    int tries;
};

static size_t *load_of(struct service_proxy *s, const char *target)
{
    size_t *n = table_get(&s->load, str_of(target));

    if (!n) {
        n = mem_zalloc(sizeof(*n));
        table_set(&s->load, str_of(target), n);
    }
    return n;
}

static void leave_target(struct link *k)
{
    size_t *n = *k->target ? table_get(&k->s->load, str_of(k->target)) : NULL;

    if (n && --*n == 0) {
        table_del(&k->s->load, str_of(k->target));
        free(n);
    }
    k->target[0] = '\0';
}

static void link_free(struct link *k)
{
    leave_target(k);
    conn_close(k->client);
    conn_close(k->pod);
    list_del(&k->at);
    k->s->n_links--;
    free(k);
}

/* Lets a connection go out by itself. */
static void let_finish(struct conn **c)
{
    conn_finish(*c);
    *c = NULL;
}

static void half_closed(struct link *k, struct conn *other)
{
    if (k->client_eof && k->pod_eof) {
        let_finish(&k->client);
        let_finish(&k->pod);
        link_free(k);
        return;
    }
    conn_shutdown(other);
}

static void on_client_data(void *arg, struct str bytes)
{
    struct link *k = arg;

    if (!conn_write(k->pod, bytes))
        conn_pause(k->client, true);
}

static void on_client_drain(void *arg)
{
    struct link *k = arg;

    if (k->pod)
        conn_pause(k->pod, false);
}

static void on_client_eof(void *arg)
{
    struct link *k = arg;

    k->client_eof = true;
    half_closed(k, k->pod);
}

static void on_client_close(void *arg, const struct err *err)
{
    struct link *k = arg;

    (void)err;
    k->client = NULL;
    link_free(k);
}

static void on_pod_connect(void *arg)
{
    struct link *k = arg;

    k->is_connected = true;
    conn_pause(k->client, false);
}

static void on_pod_data(void *arg, struct str bytes)
{
    struct link *k = arg;

    if (!conn_write(k->client, bytes))
        conn_pause(k->pod, true);
}

static void on_pod_drain(void *arg)
{
    struct link *k = arg;

    conn_pause(k->client, false);
}

static void on_pod_eof(void *arg)
{
    struct link *k = arg;

    k->pod_eof = true;
    half_closed(k, k->client);
}

static void connect_pod(struct link *k);

static void on_pod_close(void *arg, const struct err *err)
{
    struct link *k = arg;

    (void)err;
    k->pod = NULL;
    leave_target(k);
    if (!k->is_connected && k->tries < TRIES_MAX)
        connect_pod(k); /* refused before a byte was taken: another one */
    else
        link_free(k);
}

/* Fewest connections first; equal ones in turn. */
static const struct endpoint *choose(struct service_proxy *s, const struct backend *b)
{
    const struct endpoint *best = NULL;
    size_t least = 0;

    for (size_t i = 0; i < b->n; i++) {
        const struct endpoint *e = &b->items[(i + s->turn) % b->n];
        char text[64];
        const size_t *load = table_get(&s->load, str_of(net_addr_text(&e->addr, text)));
        size_t n = load ? *load : 0;

        if (!best || n < least) {
            best = e;
            least = n;
        }
    }
    s->turn++;
    return best;
}

static void connect_pod(struct link *k)
{
    static const struct conn_events events = {on_pod_connect, on_pod_data, on_pod_drain,
                                              on_pod_close, on_pod_eof};
    const struct listener *l = table_get(&k->s->listeners, str_of(k->key));
    const struct endpoint *e = l && l->port ? choose(k->s, l->port->backend) : NULL;

    if (!e) {
        link_free(k);
        return;
    }
    k->tries++;
    net_addr_text(&e->addr, k->target);
    ++*load_of(k->s, k->target);
    k->pod = conn_connect(k->s->loop, &e->addr, NULL, NULL, &events, k);
}

static void on_accept(void *arg, struct conn *c)
{
    static const struct conn_events events = {NULL, on_client_data, on_client_drain,
                                              on_client_close, on_client_eof};
    struct listener *l = arg;
    struct link *k;

    if (l->s->n_links >= LINKS_MAX) {
        conn_close(c);
        return;
    }
    k = mem_zalloc(sizeof(*k));
    k->s = l->s;
    k->client = c;
    memcpy(k->key, l->key, sizeof(k->key));
    list_add_tail(&l->s->links, &k->at);
    l->s->n_links++;
    conn_start(c, &events, k);
    conn_pause(c, true); /* until somebody is there to read it */
    connect_pod(k);
}

static void open_listener(struct service_proxy *s, struct listener *l)
{
    const struct backend *b = l->port->backend;
    struct err err = ERR_INIT;

    if (conn_listen(s->loop, &l->port->addr, NULL, on_accept, l, &l->socket, &err) < 0)
        log_warn("gateway", "Service %s/%s does not listen on its address: %s", b->ns, b->service,
                 err.msg);
}

static void close_unwanted(struct service_proxy *s)
{
    struct str key;
    size_t i = 0;
    void *v;

    while (table_next(&s->listeners, &i, &key, &v)) {
        struct listener *l = v;

        if (l->port)
            continue;
        conn_listener_free(l->socket);
        table_del(&s->listeners, str_of(l->key));
        free(l);
        i = 0; /* the table has changed: from the start */
    }
}

void service_proxy_take(struct service_proxy *s, struct service_table *t)
{
    size_t i = 0;
    void *v;

    while (table_next(&s->listeners, &i, NULL, &v))
        ((struct listener *)v)->port = NULL;
    for (i = 0; i < t->n; i++) {
        char key[64];
        struct listener *l =
            table_get(&s->listeners, str_of(net_addr_text(&t->items[i].addr, key)));

        if (l) {
            l->port = &t->items[i];
            continue;
        }
        l = mem_zalloc(sizeof(*l));
        l->s = s;
        l->port = &t->items[i];
        memcpy(l->key, key, sizeof(key));
        table_set(&s->listeners, str_of(l->key), l);
        open_listener(s, l);
    }
    close_unwanted(s);
    service_table_free(s->table);
    s->table = t;
}

struct service_proxy *service_proxy_new(struct loop *l)
{
    struct service_proxy *s = mem_zalloc(sizeof(*s));

    s->loop = l;
    list_init(&s->links);
    return s;
}

size_t service_proxy_connections(const struct service_proxy *s)
{
    return s->n_links;
}

void service_proxy_free(struct service_proxy *s)
{
    size_t i = 0;
    void *v;

    if (!s)
        return;
    while (!list_is_empty(&s->links))
        link_free(container_of(s->links.next, struct link, at));
    while (table_next(&s->listeners, &i, NULL, &v))
        ((struct listener *)v)->port = NULL;
    close_unwanted(s);
    table_done(&s->listeners);
    table_done(&s->load);
    service_table_free(s->table);
    free(s);
}
