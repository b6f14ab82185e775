/* SPDX-License-Identifier: Apache-2.0
 *
 * Services to Endpoints: the addresses of the pods that the selector finds. */
#include "controllers/service.h"

#include <stdlib.h>

#include "base/mem.h"
#include "controllers/child.h"

struct service_controller {
    struct cluster *cluster;
    struct reconciler *r;
};

struct addresses {
    json_t *ready, *not_ready;
    const json_t *service;
    json_t *ports; /* resolved at the first pod */
};

static int64_t target_port(const json_t *port, const json_t *pod)
{
    const json_t *target = json_object_get(port, "targetPort"), *c, *p;
    size_t i, k;

    if (json_is_integer(target))
        return json_integer_value(target);
    json_array_foreach (json_at(pod, "spec.containers"), i, c) {
        json_array_foreach (json_at(c, "ports"), k, p) {
            if (strcmp(json_text(p, "name", ""),
                       json_string_value(target) ? json_string_value(target) : "?") == 0)
                return json_int(p, "containerPort", 0);
        }
    }
    return json_int(port, "port", 0);
}

static void add_pod(void *arg, const struct object *o)
{
    struct addresses *a = arg;
    AUTO_JSON json_t *pod = object_tree(o);
    const char *ip = json_text(pod, "status.podIP", ""),
               *phase = json_text(pod, "status.phase", "");
    const json_t *p;
    json_t *address;
    bool is_ready;
    size_t i;

    if (!*ip || o->deleting_ms || strcmp(phase, "Failed") == 0 || strcmp(phase, "Succeeded") == 0)
        return;
    if (!a->ports) {
        a->ports = json_array();
        json_array_foreach (json_at(a->service, "spec.ports"), i, p) {
            json_t *e = json_pack("{s:I,s:s}", "port", (json_int_t)target_port(p, pod), "protocol",
                                  json_text(p, "protocol", "TCP"));

            if (json_text(p, "name", NULL))
                json_object_set_new(e, "name", json_string(json_text(p, "name", "")));
            json_array_append_new(a->ports, e);
        }
    }
    address =
        json_pack("{s:s,s:s,s:{s:s,s:o,s:o,s:o}}", "ip", ip, "nodeName",
                  json_text(pod, "spec.nodeName", ""), "targetRef", "kind", "Pod", "namespace",
                  json_str_new(o->ns), "name", json_str_new(o->name), "uid", json_str_new(o->uid));
    if (*json_text(pod, "spec.hostname", "") && str_is(str_of(json_text(pod, "spec.subdomain", "")),
                                                       json_text(a->service, "metadata.name", "")))
        json_object_set_new(address, "hostname", json_string(json_text(pod, "spec.hostname", "")));
    is_ready = strcmp(json_text(find_condition(pod, "Ready"), "status", ""), "True") == 0 ||
               json_bool(a->service, "spec.publishNotReadyAddresses", false);
    json_array_append_new(is_ready ? a->ready : a->not_ready, address);
}

static void write_endpoints(struct pass *p, const struct object *svc, json_t *subsets)
{
    const struct object *o = cluster_get(pass_cluster(p), KIND_ENDPOINTS, svc->ns, svc->name);
    AUTO_JSON json_t *have = o ? object_tree(o) : NULL;
    AUTO_JSON json_t *want =
        json_pack("{s:s,s:s,s:{s:o,s:o,s:[o]},s:O}", "apiVersion", "v1", "kind", "Endpoints",
                  "metadata", "name", json_str_new(svc->name), "namespace", json_str_new(svc->ns),
                  "ownerReferences", owner_reference(svc), "subsets", subsets);

    if (have && json_equal(json_object_get(have, "subsets"), subsets))
        return;
    pass_write(p, &(struct cluster_write){.verb = o ? CLUSTER_UPDATE : CLUSTER_CREATE,
                                          .kind = KIND_ENDPOINTS,
                                          .ns = svc->ns,
                                          .name = svc->name,
                                          .tree = want});
}

static void reconcile(void *ctx, struct pass *p)
{
    const struct object *o = cluster_get(pass_cluster(p), KIND_SERVICE, pass_ns(p), pass_name(p));
    struct addresses a = {0};
    struct selector *selector = NULL;
    json_t *subsets = json_array(), *subset;

    (void)ctx;
    if (o && !o->deleting_ms) {
        AUTO_JSON json_t *svc = object_tree(o);

        if (json_object_size(json_at(svc, "spec.selector")) >
            0) { /* else the Endpoints are somebody's own */
            a = (struct addresses){json_array(), json_array(), svc, NULL};
            selector_from_json(json_at(svc, "spec.selector"), true, &selector, NULL);
            cluster_each(pass_cluster(p), KIND_POD, o->ns, selector, add_pod, &a);
            if (a.ports) {
                subset = json_pack("{s:o}", "ports", a.ports);
                if (json_array_size(a.ready))
                    json_object_set(subset, "addresses", a.ready);
                if (json_array_size(a.not_ready))
                    json_object_set(subset, "notReadyAddresses", a.not_ready);
                json_array_append_new(subsets, subset);
            }
            write_endpoints(p, o, subsets);
        }
    }
    json_decref(subsets);
    json_decref(a.ready);
    json_decref(a.not_ready);
    selector_free(selector);
}

struct finding {
    struct reconciler *r;
    const struct object *pod;
};

static void wake_if_selects(void *arg, const struct object *svc)
{
    struct finding *f = arg;
    AUTO_JSON json_t *tree = object_tree(svc);
    struct selector *s = NULL;

    if (selector_from_json(json_at(tree, "spec.selector"), true, &s, NULL) == 0 &&
        selector_matches(s, f->pod))
        reconciler_wake(f->r, svc->ns, svc->name);
    selector_free(s);
}

static void on_pod(void *ctx, struct reconciler *r, const struct object *was,
                   const struct object *now)
{
    struct service_controller *c = ctx;
    struct finding f = {r, now};

    (void)was;
    cluster_each(c->cluster, KIND_SERVICE, now->ns, NULL, wake_if_selects, &f);
}

struct service_controller *service_controller_new(struct cluster *cluster)
{
    struct service_controller *c = mem_zalloc(sizeof(*c));

    c->cluster = cluster;
    c->r = reconciler_new(&(struct reconciler_options){
        .name = "service", .cluster = cluster, .reconcile = reconcile, .ctx = c});
    reconciler_watch(c->r, KIND_SERVICE);
    reconciler_watch_fn(c->r, KIND_POD, on_pod);
    return c;
}

void service_controller_free(struct service_controller *c)
{
    if (!c)
        return;
    reconciler_free(c->r);
    free(c);
}
