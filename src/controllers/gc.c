/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers/gc.h"

#include <stdlib.h>

#include "base/mem.h"

/* One sweep over everything a while after something went: the store is small, and a sweep is
 * level-triggered. */
#define SWEEP_MS 20
#define MANAGER "generic-garbage-collector"

struct gc {
    struct cluster *c;
    struct loop_timer timer;
    bool is_soon;
};

static void soon(struct gc *g)
{
    if (g->is_soon)
        return;
    g->is_soon = true;
    loop_timer_start(&g->timer, SWEEP_MS);
}

static bool owner_lives(struct gc *g, const struct object *o, const struct object_owner *w)
{
    const struct kind *k = kind_by_type(w->api_version, w->kind, NULL);
    const struct object *owner;

    if (!k)
        return true; /* a kind that is not ours to judge */
    owner = cluster_get(g->c, k->id, k->namespaced ? o->ns : STR_NONE, w->name);
    return owner && str_eq(owner->uid, w->uid);
}

static void delete_object(struct gc *g, const struct object *o, int64_t grace_s,
                          const char *propagation)
{
    cluster_write(g->c,
                  &(struct cluster_write){.verb = CLUSTER_DELETE,
                                          .kind = o->kind->id,
                                          .ns = o->ns,
                                          .name = o->name,
                                          .uid = o->uid,
                                          .grace_s = grace_s,
                                          .propagation = propagation,
                                          .manager = MANAGER},
                  NULL, NULL);
}

static void patch_metadata(struct gc *g, const struct object *o, const char *member, json_t *value)
{
    /* an empty list is no member, as Go's omitempty has it */
    AUTO_JSON json_t *patch = json_array_size(value)
                                  ? json_pack("{s:{s:O}}", "metadata", member, value)
                                  : json_pack("{s:{s:n}}", "metadata", member);

    json_decref(value);
    cluster_write(g->c,
                  &(struct cluster_write){.verb = CLUSTER_MERGE_PATCH,
                                          .kind = o->kind->id,
                                          .ns = o->ns,
                                          .name = o->name,
                                          .tree = patch,
                                          .manager = MANAGER},
                  NULL, NULL);
}

static void collect(void *arg, const struct object *o)
{
    struct gc *g = arg;

    if (o->n_owners == 0 || o->deleting_ms)
        return;
    for (size_t i = 0; i < o->n_owners; i++)
        if (owner_lives(g, o, &o->owners[i]))
            return;
    delete_object(g, o, -1, NULL);
}

/* --- foreground and orphan finalizers --- */

struct dependents {
    struct gc *g;
    const struct object *owner;
    bool orphan;
    int blocking;
};

static json_t *owners_without(const json_t *tree, struct str uid)
{
    json_t *out = json_array(), *r;
    size_t i;

    json_array_foreach (json_at(tree, "metadata.ownerReferences"), i, r) {
        if (!str_eq(json_strv(json_object_get(r, "uid")), uid))
            json_array_append(out, r);
    }
    return out;
}

static void treat_dependent(void *arg, const struct object *o)
{
    struct dependents *d = arg;

    if (!object_is_owned_by(o, d->owner->uid))
        return;
    if (d->orphan) {
        AUTO_JSON json_t *tree = object_tree(o);

        patch_metadata(d->g, o, "ownerReferences", owners_without(tree, d->owner->uid));
        d->blocking++;
        return;
    }
    for (size_t i = 0; i < o->n_owners; i++)
        d->blocking += str_eq(o->owners[i].uid, d->owner->uid) && o->owners[i].block_deletion;
    if (!o->deleting_ms)
        delete_object(d->g, o, -1, "Foreground");
}

static bool take_finalizer(json_t *tree, const char *name)
{
    json_t *list = json_at(tree, "metadata.finalizers"), *v;
    size_t i;

    json_array_foreach (list, i, v) {
        if (str_is(json_strv(v), name)) {
            json_array_remove(list, i);
            return true;
        }
    }
    return false;
}

static void finalize(void *arg, const struct object *o)
{
    struct gc *g = arg;
    AUTO_JSON json_t *tree = NULL;
    struct dependents d = {.g = g, .owner = o};

    if (!o->deleting_ms || !o->has_finalizers || o->kind->id == KIND_POD)
        return;
    tree = object_tree(o);
    d.orphan = take_finalizer(tree, "orphan");
    if (!d.orphan && !take_finalizer(tree, "foregroundDeletion"))
        return;
    for (int k = 0; k < KIND_COUNT; k++)
        if (k != KIND_EVENT)
            cluster_each(g->c, (enum kind_id)k, o->ns, NULL, treat_dependent, &d);
    if (d.blocking > 0) {
        if (d.orphan)
            soon(g); /* a dependent that is let go neither ends nor wakes us */
        return;
    }
    patch_metadata(g, o, "finalizers", json_incref(json_at(tree, "metadata.finalizers")));
}

/* --- namespaces --- */

static void empty_one(void *arg, const struct object *o)
{
    struct dependents *d = arg;

    d->blocking++;
    if (!o->deleting_ms)
        delete_object(d->g, o, -1, NULL);
}

static void end_namespace(void *arg, const struct object *ns)
{
    struct dependents d = {.g = arg};

    if (!ns->deleting_ms)
        return;
    for (int k = 0; k < KIND_COUNT; k++)
        if (kind_of((enum kind_id)k)->namespaced)
            cluster_each(d.g->c, (enum kind_id)k, ns->name, NULL, empty_one, &d);
    if (d.blocking == 0)
        delete_object(d.g, ns, 0, NULL);
}

static void sweep(void *arg)
{
    struct gc *g = arg;

    g->is_soon = false;
    for (int k = 0; k < KIND_COUNT; k++) {
        if (k == KIND_EVENT)
            continue;
        cluster_each(g->c, (enum kind_id)k, STR_NONE, NULL, collect, g);
        cluster_each(g->c, (enum kind_id)k, STR_NONE, NULL, finalize, g);
    }
    cluster_each(g->c, KIND_NAMESPACE, STR_NONE, NULL, end_namespace, g);
}

static void on_change(void *arg, enum cluster_event event, const struct object *was,
                      const struct object *now)
{
    (void)was;
    if (event == CLUSTER_DELETED || now->deleting_ms)
        soon(arg);
}

struct gc *gc_new(struct cluster *cluster)
{
    struct gc *g = mem_zalloc(sizeof(*g));

    g->c = cluster;
    loop_timer_init(&g->timer, cluster->loop, sweep, g);
    for (int k = 0; k < KIND_COUNT; k++)
        if (k != KIND_EVENT)
            cluster_watch(cluster, (enum kind_id)k, on_change, g);
    soon(g);
    return g;
}

void gc_free(struct gc *g)
{
    if (!g)
        return;
    loop_timer_stop(&g->timer);
    for (int k = 0; k < KIND_COUNT; k++)
        if (k != KIND_EVENT)
            cluster_unwatch(g->c, (enum kind_id)k, on_change, g);
    free(g);
}
