/* SPDX-License-Identifier: Apache-2.0
 *
 * One reconciler for both kinds: a key without a namespace is of the cluster's kind. */
#include "controllers/triggerauth.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/table.h"
#include "controllers/child.h"

#define COMPONENT "keda-operator"
#define FINALIZER "finalizer.keda.sh"

struct triggerauth_controller {
    struct cluster *cluster;
    struct scaledobject_controller *so;
    struct reconciler *r;
    struct table told; /* uid -> the generation that an event has told of, as text */
    struct loop_timer soon;
};

/* --- who uses one --- */

static bool refers_to(const json_t *ref, bool is_cluster, struct str name)
{
    bool to_cluster = strcmp(json_text(ref, "kind", ""), "ClusterTriggerAuthentication") == 0;

    return to_cluster == is_cluster && str_is(name, json_text(ref, "name", ""));
}

struct users {
    bool is_cluster;
    struct str name;
    struct buf *out;
};

static void add_user(void *arg, const struct object *o)
{
    struct users *u = arg;
    AUTO_JSON json_t *so = NULL;
    const json_t *t;
    size_t i;

    /* most refer to none: a look at the bytes spares the tree */
    if (o->deleting_ms || str_find(o->json, STR("\"authenticationRef\"")) < 0)
        return;
    so = object_tree(o);
    json_array_foreach (json_at(so, "spec.triggers"), i, t) {
        if (refers_to(json_object_get(t, "authenticationRef"), u->is_cluster, u->name)) {
            buf_printf(u->out, "%s%.*s", u->out->n ? "," : "", STR_ARG(o->name));
            return;
        }
    }
}

static void wake_used(struct triggerauth_controller *c, const struct object *o)
{
    AUTO_JSON json_t *so = NULL;
    const json_t *t;
    size_t i;

    if (!o || str_find(o->json, STR("\"authenticationRef\"")) < 0)
        return;
    so = object_tree(o);
    json_array_foreach (json_at(so, "spec.triggers"), i, t) {
        const json_t *ref = json_object_get(t, "authenticationRef");
        const char *name = json_text(ref, "name", "");

        if (*name)
            reconciler_wake(c->r, refers_to(ref, true, str_of(name)) ? STR("") : o->ns,
                            str_of(name));
    }
}

static void on_scaledobject(void *ctx, struct reconciler *r, const struct object *was,
                            const struct object *now)
{
    struct triggerauth_controller *c = ctx;

    (void)r;
    if (was && now && was != now && was->generation == now->generation &&
        was->deleting_ms == now->deleting_ms &&
        cluster_get(c->cluster, KIND_SCALEDOBJECT, now->ns, now->name))
        return; /* only its status */
    wake_used(c, was);
    wake_used(c, now);
}

/* --- ScaledObjects that wait for something --- */

static void wake_failed(void *arg, const struct object *o)
{
    struct triggerauth_controller *c = arg;

    if (str_find(o->json, STR("\"ScaledObjectCheckFailed\"")) >= 0)
        scaledobject_controller_wake(c->so, o->ns, o->name);
}

static void look_at_failed(void *arg)
{
    struct triggerauth_controller *c = arg;

    cluster_each(c->cluster, KIND_SCALEDOBJECT, STR_NONE, NULL, wake_failed, c);
}

static void on_source(void *ctx, struct reconciler *r, const struct object *was,
                      const struct object *now)
{
    struct triggerauth_controller *c = ctx;

    (void)r;
    (void)was;
    (void)now;
    loop_timer_start(&c->soon, 0);
}

/* --- reconciling --- */

static bool has_finalizer(const json_t *o)
{
    const json_t *v;
    size_t i;

    json_array_foreach (json_at(o, "metadata.finalizers"), i, v)
        if (str_is(json_strv(v), FINALIZER))
            return true;
    return false;
}

static void write_finalizer(struct pass *p, const struct object *o, const json_t *tree, bool add)
{
    json_t *list = json_array(), *v;
    AUTO_JSON json_t *patch = json_pack("{s:{s:o}}", "metadata", "finalizers", list);
    size_t i;

    json_array_foreach (json_at(tree, "metadata.finalizers"), i, v)
        if (!str_is(json_strv(v), FINALIZER))
            json_array_append(list, v);
    if (add)
        json_array_append_new(list, json_string(FINALIZER));
    pass_write(p, &(struct cluster_write){.verb = CLUSTER_MERGE_PATCH,
                                          .kind = o->kind->id,
                                          .ns = o->ns,
                                          .name = o->name,
                                          .tree = patch});
}

static void tell(struct triggerauth_controller *c, const struct object *o, const char *what)
{
    AUTO_FREE char *reason = mem_printf("%s%s", o->kind->kind, what);

    event_emit(c->cluster, COMPONENT, o, EVENT_NORMAL, reason, "%s \"%.*s\" %s", o->kind->kind,
               STR_ARG(o->name),
               *what == 'A'   ? "is configured"
               : *what == 'U' ? "has changed: the triggers that use it are made anew"
                              : "is gone: the triggers that use it have no parameters");
}

static void tell_of_generation(struct triggerauth_controller *c, const struct object *o)
{
    char *now = mem_printf("%lld", (long long)o->generation);
    char *was = table_set(&c->told, o->uid, now);

    if (!was || strcmp(was, now) != 0)
        tell(c, o, o->generation <= 1 ? "Added" : "Updated");
    free(was);
}

static void write_users(struct pass *p, const struct object *o, const json_t *tree)
{
    struct buf names = BUF_INIT;
    struct users u = {o->ns.n == 0, o->name, &names};
    AUTO_JSON json_t *status =
        json_at(tree, "status") ? json_deep_copy(json_at(tree, "status")) : json_object();

    cluster_each(pass_cluster(p), KIND_SCALEDOBJECT, o->ns, NULL, add_user, &u);
    if (names.n)
        json_object_set_new(status, "scaledobjects", json_string(buf_cstr(&names)));
    else
        json_object_del(status, "scaledobjects");
    buf_done(&names);
    write_status(p, o, status);
}

static void reconcile(void *ctx, struct pass *p)
{
    struct triggerauth_controller *c = ctx;
    const struct object *o =
        cluster_get(pass_cluster(p),
                    pass_ns(p).n ? KIND_TRIGGERAUTHENTICATION : KIND_CLUSTERTRIGGERAUTHENTICATION,
                    pass_ns(p), pass_name(p));
    AUTO_JSON json_t *tree = NULL;

    if (!o)
        return;
    tree = object_tree(o);
    if (o->deleting_ms) {
        free(table_del(&c->told, o->uid));
        if (!has_finalizer(tree))
            return;
        tell(c, o, "Deleted");
        write_finalizer(p, o, tree, false);
    } else if (!has_finalizer(tree)) {
        write_finalizer(p, o, tree, true);
    } else {
        tell_of_generation(c, o);
        write_users(p, o, tree);
    }
}

struct triggerauth_controller *triggerauth_controller_new(struct cluster *cluster,
                                                          struct scaledobject_controller *so)
{
    static const enum kind_id kinds[] = {KIND_TRIGGERAUTHENTICATION,
                                         KIND_CLUSTERTRIGGERAUTHENTICATION},
                              sources[] = {KIND_TRIGGERAUTHENTICATION,
                                           KIND_CLUSTERTRIGGERAUTHENTICATION, KIND_SECRET,
                                           KIND_CONFIGMAP, KIND_SERVICEACCOUNT};
    struct triggerauth_controller *c = mem_zalloc(sizeof(*c));

    c->cluster = cluster;
    c->so = so;
    loop_timer_init(&c->soon, cluster->loop, look_at_failed, c);
    c->r = reconciler_new(&(struct reconciler_options){
        .name = "triggerauthentication", .cluster = cluster, .reconcile = reconcile, .ctx = c});
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        reconciler_watch(c->r, kinds[i]);
    for (size_t i = 0; i < ARRAY_LEN(sources); i++)
        reconciler_watch_fn(c->r, sources[i], on_source);
    reconciler_watch_fn(c->r, KIND_SCALEDOBJECT, on_scaledobject);
    return c;
}

void triggerauth_controller_free(struct triggerauth_controller *c)
{
    size_t i = 0;
    void *v;

    if (!c)
        return;
    reconciler_free(c->r);
    loop_timer_stop(&c->soon);
    while (table_next(&c->told, &i, NULL, &v))
        free(v);
    table_done(&c->told);
    free(c);
}
