/* SPDX-License-Identifier: Apache-2.0
 *
 * ReplicaSets: as many pods as asked for; the least useful go first. */
#include "controllers/replicaset.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "controllers/child.h"
#include "controllers/victims.h"

struct replicaset_controller {
    struct reconciler *r;
};

struct pods {
    struct victim *items;
    size_t n, cap;
    struct str uid;
    const struct selector *selector;
    size_t terminating;
    struct pass *p;
    const struct object *rs;
};

static void add_pod(void *arg, const struct object *o)
{
    struct pods *l = arg;
    AUTO_JSON json_t *pod = NULL;
    const char *phase;

    if (!object_is_owned_by(o, l->uid)) {
        if (!object_controller(o) && !o->deleting_ms)
            adopt_child(l->p, l->rs, o);
        return;
    }
    if (o->deleting_ms) {
        l->terminating++;
        return;
    }
    pod = object_tree(o);
    phase = json_text(pod, "status.phase", "");
    if (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0)
        return;
    mem_grow(&l->items, &l->cap, l->n);
    victim_read(object_ref(o), pod, pass_now_ms(l->p), &l->items[l->n++]);
}

/* Who is told of a pod's creation, by name: it may be gone by then. */
struct creation {
    struct cluster *c;
    char *ns, *rs;
};

static void on_created(void *arg, const struct object *now, const struct err *err)
{
    struct creation *x = arg;
    const struct object *rs = cluster_get(x->c, KIND_REPLICASET, str_of(x->ns), str_of(x->rs));

    if (rs && err)
        event_emit(x->c, "replicaset-controller", rs, EVENT_WARNING, "FailedCreate",
                   "Error creating: %s", err->msg);
    else if (rs && now)
        event_emit(x->c, "replicaset-controller", rs, EVENT_NORMAL, "SuccessfulCreate",
                   "Created pod: %.*s", STR_ARG(now->name));
    free(x->ns);
    free(x->rs);
    free(x);
}

static void create_pod(struct pass *p, const struct object *o, const json_t *rs)
{
    json_t *meta = json_at(rs, "spec.template.metadata")
                       ? json_deep_copy(json_at(rs, "spec.template.metadata"))
                       : json_object();
    AUTO_JSON json_t *pod = NULL;
    struct creation *x = mem_alloc(sizeof(*x));

    *x = (struct creation){pass_cluster(p), str_dup(o->ns), str_dup(o->name)};
    json_object_del(meta, "name");
    json_object_del(meta, "creationTimestamp");
    json_object_set_new(meta, "namespace", json_str_new(o->ns));
    json_object_set_new(meta, "generateName", json_fmt("%.*s-", STR_ARG(o->name)));
    json_object_set_new(meta, "ownerReferences", json_pack("[o]", owner_reference(o)));
    pod = json_pack("{s:s,s:s,s:o,s:o}", "apiVersion", "v1", "kind", "Pod", "metadata", meta,
                    "spec", json_deep_copy(json_at(rs, "spec.template.spec")));
    pass_write_done(
        p,
        &(struct cluster_write){.verb = CLUSTER_CREATE, .kind = KIND_POD, .ns = o->ns, .tree = pod},
        on_created, x);
}

static void delete_pod(struct pass *p, const struct object *rs, const struct object *o)
{
    pass_write(p, &(struct cluster_write){.verb = CLUSTER_DELETE,
                                          .kind = KIND_POD,
                                          .ns = o->ns,
                                          .name = o->name,
                                          .uid = o->uid,
                                          .grace_s = -1});
    event_emit(pass_cluster(p), "replicaset-controller", rs, EVENT_NORMAL, "SuccessfulDelete",
               "Deleted pod: %.*s", STR_ARG(o->name));
}

static void put_count(json_t *o, const char *key, int64_t n)
{
    if (n)
        json_object_set_new(o, key, json_integer(n));
}

static void update_status(struct pass *p, const struct object *o, const json_t *rs,
                          const struct pods *l)
{
    int64_t min_ready = json_int(rs, "spec.minReadySeconds", 0) * 1000, ready = 0, available = 0,
            now = pass_now_ms(p);
    AUTO_JSON json_t *status = json_object();

    for (size_t i = 0; i < l->n; i++) {
        ready += l->items[i].is_ready;
        if (l->items[i].is_ready && l->items[i].ready_ms + min_ready <= now)
            available++;
        else if (l->items[i].is_ready)
            pass_requeue_after(p, l->items[i].ready_ms + min_ready - now + 10);
    }
    json_object_set_new(status, "replicas", json_integer((json_int_t)l->n));
    put_count(status, "fullyLabeledReplicas", (int64_t)l->n);
    put_count(status, "readyReplicas", ready);
    put_count(status, "availableReplicas", available);
    json_object_set_new(status, "observedGeneration", json_integer(o->generation));
    write_status(p, o, status);
}

static void reconcile(void *ctx, struct pass *p)
{
    const struct object *o =
        cluster_get(pass_cluster(p), KIND_REPLICASET, pass_ns(p), pass_name(p));
    AUTO_JSON json_t *rs = NULL;
    struct selector *selector = NULL;
    struct pods l = {.p = p, .rs = o};
    int64_t want;

    (void)ctx;
    if (!o || o->deleting_ms)
        return;
    rs = object_tree(o);
    if (selector_from_json(json_at(rs, "spec.selector"), false, &selector, NULL) < 0)
        return;
    l.uid = o->uid;
    cluster_each(pass_cluster(p), KIND_POD, o->ns, selector, add_pod, &l);
    selector_free(selector);
    want = json_int(rs, "spec.replicas", 1);
    for (int64_t i = (int64_t)l.n; i < want; i++)
        create_pod(p, o, rs);
    if ((int64_t)l.n > want) {
        qsort(l.items, l.n, sizeof(*l.items), victim_compare);
        for (size_t i = 0; i < l.n - (size_t)want; i++)
            delete_pod(p, o, l.items[i].o);
    }
    update_status(p, o, rs, &l);
    for (size_t i = 0; i < l.n; i++)
        object_unref(l.items[i].o);
    free(l.items);
}

struct replicaset_controller *replicaset_controller_new(struct cluster *cluster)
{
    struct replicaset_controller *c = mem_zalloc(sizeof(*c));

    c->r = reconciler_new(&(struct reconciler_options){
        .name = "replicaset", .cluster = cluster, .reconcile = reconcile, .ctx = c});
    reconciler_watch(c->r, KIND_REPLICASET);
    reconciler_watch_owned(c->r, KIND_POD, KIND_REPLICASET);
    return c;
}

void replicaset_controller_free(struct replicaset_controller *c)
{
    if (!c)
        return;
    reconciler_free(c->r);
    free(c);
}
