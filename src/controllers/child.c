/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers/child.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"

json_t *owner_reference(const struct object *o)
{
    char version[96];

    return json_pack("{s:s,s:s,s:o,s:o,s:b,s:b}", "apiVersion", kind_api_version(o->kind, version),
                     "kind", o->kind->kind, "name", json_str_new(o->name), "uid",
                     json_str_new(o->uid), "controller", 1, "blockOwnerDeletion", 1);
}

/* Whether every member of want is in have with the same value: what the API server filled in does
 * not count as a difference. Lists must agree in length. */
static bool is_subset(const json_t *want, const json_t *have)
{
    const char *key;
    const json_t *v;
    size_t i;

    if (json_is_object(want)) {
        if (!json_is_object(have))
            return json_object_size(want) == 0 && !have;
        json_object_foreach ((json_t *)want, key, v) {
            if (!is_subset(v, json_object_get(have, key)))
                return false;
        }
        return true;
    }
    if (json_is_array(want)) {
        if (json_array_size(want) != json_array_size(have))
            return false;
        json_array_foreach ((json_t *)want, i, v) {
            if (!is_subset(v, json_array_get(have, i)))
                return false;
        }
        return true;
    }
    return have && json_equal(want, have);
}

/* Runs the kind's defaulting over a copy, so that quantities and the like compare. */
static json_t *with_defaults(const struct kind *k, const json_t *o)
{
    json_t *copy = json_deep_copy(o);

    if (k->defaults)
        k->defaults(copy);
    return copy;
}

static void remove_at(json_t *o, const char *path)
{
    const char *dot = strrchr(path, '.');
    AUTO_FREE char *parent = dot ? str_dup(str_n(path, (size_t)(dot - path))) : NULL;

    json_object_del(parent ? json_at(o, parent) : o, dot ? dot + 1 : path);
}

const struct object *ensure_child(struct pass *p, enum kind_id kind, json_t *want,
                                  const char *const *paths, bool *ret_foreign)
{
    struct str ns = str_of(json_text(want, "metadata.namespace", "")),
               name = str_of(json_text(want, "metadata.name", ""));
    const struct object *o = cluster_get(pass_cluster(p), kind, ns, name);
    const struct kind *k = kind_of(kind);
    AUTO_JSON json_t *have = NULL, *full = NULL;
    const struct object_owner *owner;
    bool differs = false;

    if (!o) {
        pass_write(p, &(struct cluster_write){
                          .verb = CLUSTER_CREATE, .kind = kind, .ns = ns, .tree = want});
        return NULL;
    }
    owner = object_controller(o);
    if (!owner ||
        !str_is(owner->uid, json_text(json_array_get(json_at(want, "metadata.ownerReferences"), 0),
                                      "uid", "?"))) {
        if (ret_foreign)
            *ret_foreign = true;
        return o;
    }
    if (o->deleting_ms)
        return o;
    have = object_tree(o);
    full = with_defaults(k, want);
    for (size_t i = 0; paths[i]; i++) {
        bool exact = paths[i][0] == '=';
        const char *path = paths[i] + exact;
        const json_t *w = json_at(full, path), *h = json_at(have, path);

        if (!w ? !h : exact && h ? json_equal(w, h) : is_subset(w, h))
            continue;
        differs = true;
        if (w)
            json_put(have, path, json_deep_copy(w));
        else
            remove_at(have, path);
    }
    if (differs)
        pass_write(p,
                   &(struct cluster_write){
                       .verb = CLUSTER_UPDATE, .kind = kind, .ns = ns, .name = name, .tree = have});
    return o;
}

void remove_child(struct pass *p, enum kind_id kind, struct str ns, struct str name, struct str uid)
{
    const struct object *o = cluster_get(pass_cluster(p), kind, ns, name);

    if (o && !o->deleting_ms && object_is_owned_by(o, uid))
        pass_write(p, &(struct cluster_write){.verb = CLUSTER_DELETE,
                                              .kind = kind,
                                              .ns = ns,
                                              .name = name,
                                              .uid = o->uid,
                                              .grace_s = -1});
}

const json_t *find_condition(const json_t *o, const char *type)
{
    const json_t *list = json_is_array(o) ? o : json_at(o, "status.conditions"), *c;
    size_t i;

    json_array_foreach ((json_t *)list, i, c) {
        if (strcmp(json_text(c, "type", ""), type) == 0)
            return c;
    }
    return NULL;
}

static bool put_text(json_t *c, const char *key, const char *v)
{
    const char *was = json_text(c, key, "");

    if (strcmp(was, v ? v : "") == 0)
        return false;
    if (v && *v)
        json_object_set_new(c, key, json_str_new(str_of(v)));
    else
        json_object_del(c, key);
    return true;
}

bool set_condition(json_t *conditions, const char *type, const char *status, const char *reason,
                   const char *message, int64_t now_ms, const char *time_key)
{
    json_t *c = (json_t *)find_condition(conditions, type);
    char text[TIME_TEXT_MAX];
    bool changed = false;

    if (!c) {
        c = json_pack("{s:s}", "type", type);
        json_array_append_new(conditions, c);
    }
    if (put_text(c, "status", status)) {
        changed = true;
        if (time_key)
            json_object_set_new(c, time_key, json_string(time_rfc3339(now_ms, text)));
    }
    changed |= put_text(c, "reason", reason);
    changed |= put_text(c, "message", message);
    return changed;
}

json_t *sound_status(json_t *status)
{
    if (!json_is_object(status)) {
        json_decref(status);
        status = json_object();
    }
    if (!json_is_array(json_object_get(status, "conditions")))
        json_object_set_new(status, "conditions", json_array());
    return status;
}

void write_status(struct pass *p, const struct object *o, const json_t *status)
{
    AUTO_JSON json_t *body = NULL;
    struct buf text = BUF_INIT;
    bool is_there;

    json_write(&text, status);
    is_there = object_has_status(o, buf_str(&text), status);
    buf_done(&text);
    if (is_there)
        return;
    body = cluster_status_body(o, status);
    pass_write(p, &(struct cluster_write){.verb = CLUSTER_UPDATE,
                                          .kind = o->kind->id,
                                          .ns = o->ns,
                                          .name = o->name,
                                          .subresource = "status",
                                          .tree = body});
}

void adopt_child(struct pass *p, const struct object *owner, const struct object *child)
{
    AUTO_JSON json_t *patch =
        json_pack("{s:{s:[o]}}", "metadata", "ownerReferences", owner_reference(owner));

    pass_write(p, &(struct cluster_write){.verb = CLUSTER_MERGE_PATCH,
                                          .kind = child->kind->id,
                                          .ns = child->ns,
                                          .name = child->name,
                                          .tree = patch});
}

void child_hash(const json_t *template, int64_t collisions, char out[16])
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    struct buf b = BUF_INIT;
    char digits[16];

    json_write(&b, template);
    if (collisions)
        buf_printf(&b, "#%lld", (long long)collisions);
    snprintf(digits, sizeof(digits), "%u", (unsigned)str_hash(buf_str(&b)));
    buf_done(&b);
    for (int i = 0; i < 16; i++)
        out[i] = digits[i] ? alphabet[(unsigned char)digits[i] % (sizeof(alphabet) - 1)] : '\0';
}
