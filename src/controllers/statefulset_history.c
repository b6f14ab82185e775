/* SPDX-License-Identifier: Apache-2.0
 *
 * The templates that a StatefulSet has had, as ControllerRevisions in the form that kubectl's
 * rollout history and undo read: data is a strategic merge patch of the set. */
#include <stdlib.h>

#include "base/mem.h"
#include "controllers/child.h"
#include "controllers/statefulset.h"

#define HASH_LABEL "controller.kubernetes.io/hash"

struct walk {
    struct sts_history *h;
    struct pass *p;
    const struct object *owner;
    bool adopts;
};

static void add_revision(void *arg, const struct object *o)
{
    struct walk *w = arg;
    struct sts_history *h = w->h;
    json_t *tree;

    if (o->deleting_ms)
        return;
    if (!object_is_owned_by(o, w->owner->uid)) {
        if (!object_controller(o)) {
            adopt_child(w->p, w->owner, o);
            w->adopts = true;
        }
        return;
    }
    tree = object_tree(o);
    mem_grow(&h->items, &h->cap, h->n);
    h->items[h->n++] = (struct sts_revision){object_ref(o), tree, json_int(tree, "revision", 0)};
}

static int by_number(const void *a, const void *b)
{
    const struct sts_revision *x = a, *y = b;

    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return str_cmp(x->o->name, y->o->name);
}

static json_t *data_of(const json_t *set)
{
    json_t *template = json_deep_copy(json_at(set, "spec.template"));

    json_object_set_new(template, "$patch", json_string("replace"));
    return json_pack("{s:{s:o}}", "spec", "template", template);
}

static json_t *new_revision(const struct object *o, const json_t *set, const json_t *data,
                            const char *name, const char *hash, int64_t number)
{
    json_t *labels = json_deep_copy(json_at(set, "spec.template.metadata.labels")),
           *annotations = json_at(set, "metadata.annotations")
                              ? json_deep_copy(json_at(set, "metadata.annotations"))
                              : json_object();

    json_object_del(annotations, "kubectl.kubernetes.io/last-applied-configuration");
    json_object_set_new(labels, HASH_LABEL, json_string(hash));
    return json_pack("{s:s,s:s,s:{s:s,s:o,s:o,s:o,s:[o]},s:O,s:I}", "apiVersion", "apps/v1", "kind",
                     "ControllerRevision", "metadata", "name", name, "namespace",
                     json_str_new(o->ns), "labels", labels, "annotations", annotations,
                     "ownerReferences", owner_reference(o), "data", (json_t *)(uintptr_t)data,
                     "revision", (json_int_t)number);
}

static void create_revision(struct sts_history *h, struct pass *p, const struct object *o,
                            const json_t *set, const json_t *data, int64_t number)
{
    AUTO_JSON json_t *revision = NULL;
    int64_t collisions = 0;
    char hash[16];

    do { /* a taken name of another template: count on */
        child_hash(data, collisions, hash);
        free(h->update);
        h->update = mem_printf("%.*s-%s", STR_ARG(o->name), hash);
    } while (cluster_get(pass_cluster(p), KIND_CONTROLLERREVISION, o->ns, str_of(h->update)) &&
             collisions++ < 100);
    revision = new_revision(o, set, data, h->update, hash, number);
    pass_write(p, &(struct cluster_write){.verb = CLUSTER_CREATE,
                                          .kind = KIND_CONTROLLERREVISION,
                                          .ns = o->ns,
                                          .tree = revision});
}

/* An earlier template again is that revision, as the newest. */
static void make_newest(struct pass *p, const struct sts_revision *r, int64_t number)
{
    AUTO_JSON json_t *patch = json_pack("{s:I}", "revision", (json_int_t)number);

    pass_write(p, &(struct cluster_write){.verb = CLUSTER_MERGE_PATCH,
                                          .kind = KIND_CONTROLLERREVISION,
                                          .ns = r->o->ns,
                                          .name = r->o->name,
                                          .tree = patch});
}

void sts_history_read(struct sts_history *h, struct pass *p, const struct object *o,
                      const json_t *set, const struct selector *sel)
{
    struct walk w = {h, p, o, false};
    AUTO_JSON json_t *data = data_of(set);
    const char *current = json_text(set, "status.currentRevision", "");
    const struct sts_revision *same = NULL;
    int64_t newest;

    *h = (struct sts_history){.current_template = json_at(set, "spec.template")};
    cluster_each(pass_cluster(p), KIND_CONTROLLERREVISION, o->ns, sel, add_revision, &w);
    h->is_ready = !w.adopts;
    if (w.adopts)
        return;
    if (h->n > 1)
        qsort(h->items, h->n, sizeof(*h->items), by_number);
    newest = h->n ? h->items[h->n - 1].number : 0;
    for (size_t i = 0; i < h->n; i++)
        if (json_equal(json_object_get(h->items[i].tree, "data"), data))
            same = &h->items[i];
    if (same)
        h->update = str_dup(same->o->name);
    else
        create_revision(h, p, o, set, data, newest + 1);
    if (same && same->number != newest)
        make_newest(p, same, newest + 1);
    for (size_t i = 0; i < h->n; i++) {
        const json_t *template = json_at(h->items[i].tree, "data.spec.template");

        /* anybody may write a revision: one that is no template is none */
        if (!str_is(h->items[i].o->name, current) || !json_is_object(json_at(template, "spec")))
            continue;
        h->current = mem_strdup(current);
        h->current_template = template;
    }
    if (!h->current)
        h->current = mem_strdup(h->update);
}

static bool is_used(const struct sts_history *h, const char *const *used, struct str name)
{
    if (str_is(name, h->current) || str_is(name, h->update))
        return true;
    for (; *used; used++)
        if (str_is(name, *used))
            return true;
    return false;
}

void sts_history_prune(const struct sts_history *h, struct pass *p, const json_t *set,
                       const char *const *used)
{
    int64_t keep = json_int(set, "spec.revisionHistoryLimit", 10), kept = 0;

    for (size_t i = h->n; i > 0; i--) {
        const struct object *o = h->items[i - 1].o;

        if (!is_used(h, used, o->name) && kept++ >= keep)
            pass_write(p, &(struct cluster_write){.verb = CLUSTER_DELETE,
                                                  .kind = KIND_CONTROLLERREVISION,
                                                  .ns = o->ns,
                                                  .name = o->name,
                                                  .uid = o->uid,
                                                  .grace_s = -1});
    }
}

void sts_history_done(struct sts_history *h)
{
    for (size_t i = 0; i < h->n; i++) {
        object_unref(h->items[i].o);
        json_decref(h->items[i].tree);
    }
    free(h->items);
    free(h->current);
    free(h->update);
    *h = (struct sts_history){0};
}
