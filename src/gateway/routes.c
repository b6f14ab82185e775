/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/routes.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

struct building {
    struct routes *r;
    struct cluster *c;
};

struct backend *backend_new(struct str ns, struct str service)
{
    struct backend *b = mem_zalloc(sizeof(*b));

    b->ns = str_dup(ns);
    b->service = str_dup(service);
    return b;
}

void backend_free(struct backend *b)
{
    for (size_t k = 0; k < b->n; k++) {
        free(b->items[k].uid);
        free(b->items[k].ns);
        free(b->items[k].pod);
    }
    free(b->items);
    free(b->ns);
    free(b->service);
    free(b);
}

void backend_add_endpoints(struct backend *b, const json_t *eps, int64_t port,
                           const char *port_name)
{
    const json_t *subset, *a, *p;
    size_t i, k, m;

    json_array_foreach (json_at(eps, "subsets"), i, subset) {
        int64_t target = 0;

        json_array_foreach (json_at(subset, "ports"), m, p) {
            if (json_array_size(json_at(subset, "ports")) == 1 ||
                strcmp(json_text(p, "name", ""), port_name) == 0)
                target = json_int(p, "port", 0);
        }
        json_array_foreach (json_at(subset, "addresses"), k, a) {
            struct endpoint e = {0};

            if (net_addr_set(&e.addr, json_text(a, "ip", ""), (uint16_t)(target ? target : port)) <
                0)
                continue;
            e.uid = mem_strdup(json_text(a, "targetRef.uid", ""));
            e.ns = mem_strdup(b->ns);
            e.pod = mem_strdup(json_text(a, "targetRef.name", ""));
            mem_grow(&b->items, &b->cap, b->n);
            b->items[b->n++] = e;
        }
    }
}

static struct backend *backend_of(struct building *x, struct str ns, const char *service,
                                  int64_t port)
{
    struct routes *r = x->r;
    const struct object *svc = cluster_get(x->c, KIND_SERVICE, ns, str_of(service));
    const struct object *eps = cluster_get(x->c, KIND_ENDPOINTS, ns, str_of(service));
    AUTO_JSON json_t *stree = svc ? object_tree(svc) : NULL, *etree = eps ? object_tree(eps) : NULL;
    const char *port_name = "";
    const json_t *p;
    struct backend *b;
    size_t i;

    for (i = 0; i < r->n; i++)
        if (str_is(ns, r->backends[i]->ns) && strcmp(r->backends[i]->service, service) == 0)
            return r->backends[i];
    json_array_foreach (json_at(stree, "spec.ports"), i, p) {
        if (json_int(p, "port", 0) == port || port == 0) {
            port_name = json_text(p, "name", "");
            break;
        }
    }
    b = backend_new(ns, str_of(service));
    backend_add_endpoints(b, etree, port, port_name);
    mem_grow(&r->backends, &r->cap, r->n);
    r->backends[r->n++] = b;
    return b;
}

static void lower(char *s)
{
    for (; *s; s++)
        *s = (char)tolower((unsigned char)*s);
}

static void add_host(struct routes *r, const char *host, struct backend *b)
{
    AUTO_FREE char *h = mem_strdup(host);

    lower(h);
    if (*h && !table_get(&r->hosts, str_of(h)))
        table_set(&r->hosts, str_of(h), b);
}

static void add_ingress(void *arg, const struct object *o)
{
    struct building *x = arg;
    AUTO_JSON json_t *tree = object_tree(o);
    const json_t *rule;
    size_t i;

    json_array_foreach (json_at(tree, "spec.rules"), i, rule) {
        const json_t *path = json_array_get(json_at(rule, "http.paths"), 0);
        const char *service = json_text(path, "backend.service.name", NULL);

        if (service)
            add_host(
                x->r, json_text(rule, "host", ""),
                backend_of(x, o->ns, service, json_int(path, "backend.service.port.number", 80)));
    }
}

static void add_service(void *arg, const struct object *o)
{
    struct building *x = arg;
    AUTO_FREE char *name = str_dup(o->name);
    struct backend *b = backend_of(x, o->ns, name, 0);
    char host[700];

    for (int i = 0; i < 3; i++) {
        if (i == 0)
            snprintf(host, sizeof(host), "%.*s.%.*s", STR_ARG(o->name), STR_ARG(o->ns));
        else if (i == 1)
            snprintf(host, sizeof(host), "%.*s.%.*s.svc", STR_ARG(o->name), STR_ARG(o->ns));
        else
            snprintf(host, sizeof(host), "%.*s.%.*s.svc.cluster.local", STR_ARG(o->name),
                     STR_ARG(o->ns));
        add_host(x->r, host, b);
    }
}

struct routes *routes_build(struct cluster *c)
{
    struct building x = {mem_zalloc(sizeof(struct routes)), c};

    cluster_each(c, KIND_INGRESS, STR_NONE, NULL, add_ingress, &x);
    cluster_each(c, KIND_SERVICE, STR_NONE, NULL, add_service, &x);
    return x.r;
}

void routes_free(struct routes *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n; i++)
        backend_free(r->backends[i]);
    free(r->backends);
    table_done(&r->hosts);
    free(r);
}

const struct backend *routes_find(const struct routes *r, struct str host)
{
    char text[260];

    for (size_t i = host.n; i > 0 && host.p[i - 1] != ']'; i--)
        if (host.p[i - 1] == ':') {
            host.n = i - 1;
            break;
        }
    if (host.n == 0 || host.n >= sizeof(text))
        return NULL;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    lower(text);
    return table_get(&r->hosts, str_n(text, host.n));
}
