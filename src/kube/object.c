/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/object.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kube/kind.h"

/* Fills a block from its start; measures first with p == NULL. */
struct filler {
    char *p;
    size_t n;
};

static struct str put(struct filler *f, struct str s)
{
    char *at = f->p ? f->p + f->n : NULL;

    if (at && s.n)
        memcpy(at, s.p, s.n);
    f->n += s.n;
    return str_n(at, s.n);
}

static struct str text_at(const json_t *o, const char *key)
{
    struct str s = json_strv(json_object_get(o, key));

    return s.p ? s : STR("");
}

static int64_t time_at(const json_t *o, const char *key)
{
    int64_t ms = 0;

    time_parse(text_at(o, key), &ms);
    return ms;
}

static int by_key(const void *a, const void *b)
{
    return str_cmp(((const struct object_pair *)a)->key, ((const struct object_pair *)b)->key);
}

static void fill(struct filler *f, struct object *o, const json_t *meta, struct str json)
{
    const json_t *labels = json_object_get(meta, "labels"), *value;
    const json_t *owners = json_object_get(meta, "ownerReferences");
    const char *key;
    size_t i = 0;

    o->json = put(f, json);
    o->ns = put(f, text_at(meta, "namespace"));
    o->name = put(f, text_at(meta, "name"));
    o->uid = put(f, text_at(meta, "uid"));
    json_object_foreach ((json_t *)labels, key, value) {
        struct str k = put(f, str_of(key)), v = put(f, json_strv(value));

        if (o->labels)
            o->labels[i++] = (struct object_pair){k, v};
    }
    for (i = 0; i < json_array_size(owners); i++) {
        const json_t *r = json_array_get(owners, i);
        struct object_owner w = {
            put(f, text_at(r, "apiVersion")),  put(f, text_at(r, "kind")),
            put(f, text_at(r, "name")),        put(f, text_at(r, "uid")),
            json_bool(r, "controller", false), json_bool(r, "blockOwnerDeletion", false)};

        if (o->owners)
            o->owners[i] = w;
    }
}

int object_new(const struct kind *kind, const json_t *tree, struct object **ret, struct err *err)
{
    const json_t *meta = json_object_get(tree, "metadata");
    struct object measure = {0}, *o;
    struct filler f = {0};
    struct buf json = BUF_INIT;
    size_t head;

    if (!json_is_object(meta) || text_at(meta, "name").n == 0)
        return err_set(err, ERR_BAD_INPUT, "metadata.name is missing");
    json_write(&json, tree);
    if (json.overflow) {
        buf_done(&json);
        return err_set(err, ERR_LIMIT, "the object is too large");
    }
    fill(&f, &measure, meta, buf_str(&json));
    measure.n_labels = json_object_size(json_object_get(meta, "labels"));
    measure.n_owners = json_array_size(json_object_get(meta, "ownerReferences"));
    head =
        sizeof(*o) + measure.n_labels * sizeof(*o->labels) + measure.n_owners * sizeof(*o->owners);
    o = mem_zalloc(head + f.n);
    o->refs = 1;
    o->kind = kind;
    o->n_labels = measure.n_labels;
    o->n_owners = measure.n_owners;
    o->labels = (struct object_pair *)(o + 1);
    o->owners = (struct object_owner *)(void *)(o->labels + o->n_labels);
    f = (struct filler){.p = (char *)o + head};
    fill(&f, o, meta, buf_str(&json));
    buf_done(&json);
    qsort(o->labels, o->n_labels, sizeof(*o->labels), by_key);
    str_to_u64(text_at(meta, "resourceVersion"), &o->rv);
    o->generation = json_int(meta, "generation", 0);
    o->created_ms = time_at(meta, "creationTimestamp");
    o->deleting_ms = time_at(meta, "deletionTimestamp");
    o->has_finalizers = json_array_size(json_object_get(meta, "finalizers")) > 0;
    *ret = o;
    return 0;
}

int object_from_json(const struct kind *kind, struct str json, struct object **ret, struct err *err)
{
    json_t *tree;
    int r = json_parse(json, &tree, err);

    if (r < 0)
        return r;
    r = object_new(kind, tree, ret, err);
    json_decref(tree);
    return r;
}

/* An object's content never changes; the count of its holders does. */
struct object *object_ref(const struct object *o)
{
    struct object *m = (struct object *)(uintptr_t)o;

    if (m)
        m->refs++;
    return m;
}

struct object *object_unref(const struct object *o)
{
    struct object *m = (struct object *)(uintptr_t)o;

    if (m && --m->refs == 0)
        free(m);
    return NULL;
}

json_t *object_tree(const struct object *o)
{
    struct err err;
    json_t *tree = NULL;

    if (json_parse(o->json, &tree, &err) < 0)
        FB_ASSERT(!"a stored object is not JSON");
    return tree;
}

struct str object_label(const struct object *o, const char *key)
{
    for (size_t i = 0; i < o->n_labels; i++)
        if (str_is(o->labels[i].key, key))
            return o->labels[i].value;
    return STR_NONE;
}

const struct object_owner *object_controller(const struct object *o)
{
    for (size_t i = 0; i < o->n_owners; i++)
        if (o->owners[i].controller)
            return &o->owners[i];
    return NULL;
}

bool object_is_owned_by(const struct object *o, struct str uid)
{
    for (size_t i = 0; i < o->n_owners; i++)
        if (str_eq(o->owners[i].uid, uid))
            return true;
    return false;
}

const char *object_key(struct str ns, struct str name, char out[OBJECT_KEY_MAX])
{
    snprintf(out, OBJECT_KEY_MAX, ns.n ? "%.*s/%.*s" : "%.*s%.*s", STR_ARG(ns), STR_ARG(name));
    return out;
}

void object_view_done(struct object_view *v)
{
    object_unref(v->o);
    json_decref(v->tree);
    *v = (struct object_view){0};
}

const json_t *object_view_of(struct object_view *v, const struct object *o)
{
    if (v->o != o) {
        object_view_done(v);
        v->o = object_ref(o);
        v->tree = object_tree(o);
    }
    return v->tree;
}
