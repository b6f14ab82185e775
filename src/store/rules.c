/* SPDX-License-Identifier: Apache-2.0
 *
 * What a request leads to (kube-api.md 7): decided synchronously against the accepted state, before
 * anything is queued. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kube/patch.h"
#include "kube/schema.h"
#include "kube/status.h"
#include "store/store_int.h"

struct deciding {
    struct store *s;
    const struct store_request *req;
    struct outcome *out;
    struct entry *entry;
    json_t *tree; /* the new object, own reference */
};

/* --- refusals --- */

/* Puts the text of a Status into the outcome as plain message. */
static void refused(struct deciding *d, int http, int err_code)
{
    json_t *status = NULL;

    d->out->http = http;
    d->out->err_code = err_code;
    if (json_parse(buf_str(&d->out->status), &status, NULL) == 0)
        snprintf(d->out->message, sizeof(d->out->message), "%s", json_text(status, "message", ""));
    json_decref(status);
}

static int not_found(struct deciding *d, struct str name)
{
    refused(d, status_not_found(&d->out->status, d->req->kind, name), ERR_NOT_FOUND);
    return -1;
}

static int conflict(struct deciding *d, struct str name, const char *why)
{
    refused(d, status_conflict(&d->out->status, d->req->kind, name, why), ERR_CONFLICT);
    return -1;
}

static int bad_request(struct deciding *d, const char *why)
{
    refused(d, status_error(&d->out->status, 400, "BadRequest", "%s", why), ERR_BAD_INPUT);
    return -1;
}

static int admitted(struct deciding *d, enum admit_op op, const json_t *was)
{
    struct denial denial = {.is_dry = d->req->dry_run};
    const char *name = json_text(d->tree, "metadata.name", "");
    int r = admit(&d->s->cluster, d->req->kind, op, d->tree, was, d->req->mode, &denial);

    buf_add_str(&d->out->warnings, buf_str(&denial.warnings));
    if (r < 0)
        refused(d, status_denial(&d->out->status, d->req->kind, str_of(name), &denial), r);
    denial_done(&denial);
    return r;
}

/* --- results --- */

static void set_rv(struct deciding *d)
{
    json_put(d->tree, "metadata.resourceVersion",
             json_fmt("%llu", (unsigned long long)++d->s->accepted_rv));
}

static int publish(struct deciding *d, int http)
{
    struct err err = ERR_INIT;
    uint64_t rv = d->s->accepted_rv;

    set_rv(d);
    if (object_new(d->req->kind, d->tree, &d->out->now, &err) < 0) {
        d->s->accepted_rv = rv;
        return bad_request(d, err.msg);
    }
    if (d->req->dry_run)
        d->s->accepted_rv = rv;
    d->out->http = http;
    d->out->is_change = true;
    return 0;
}

static void unchanged(struct deciding *d)
{
    d->out->http = 200;
    d->out->now = object_ref(d->entry->accepted);
}

static void stamp(json_t *tree, const char *path, int64_t wall_ms)
{
    char text[TIME_TEXT_MAX];

    json_put(tree, path, json_string(time_rfc3339(wall_ms, text)));
}

static int64_t now_ms(const struct deciding *d)
{
    return loop_wall_ms(d->s->o.loop);
}

/* --- create --- */

static int check_shape(struct deciding *d)
{
    const struct kind *k = d->req->kind;
    json_t *meta;
    char version[96];
    const char *ns;

    if (!json_is_object(d->tree))
        return bad_request(d, "the body must be a JSON object");
    meta = json_object_get(d->tree, "metadata");
    if (!json_is_object(meta)) {
        meta = json_object();
        json_object_set_new(d->tree, "metadata", meta);
    }
    kind_api_version(k, version);
    if (!json_object_get(d->tree, "apiVersion"))
        json_object_set_new(d->tree, "apiVersion", json_string(version));
    if (!json_object_get(d->tree, "kind"))
        json_object_set_new(d->tree, "kind", json_string(k->kind));
    if (strcmp(json_text(d->tree, "kind", ""), k->kind) != 0 ||
        strcmp(json_text(d->tree, "apiVersion", ""), version) != 0) {
        AUTO_FREE char *why = mem_printf("%s in version \"%s\" cannot be handled as a %s of %s",
                                         json_text(d->tree, "kind", "?"),
                                         json_text(d->tree, "apiVersion", "?"), k->kind, version);

        return bad_request(d, why);
    }
    ns = json_text(meta, "namespace", "");
    if (!k->namespaced) {
        json_object_del(meta, "namespace");
    } else if (*ns && d->req->ns.n && !str_is(d->req->ns, ns)) {
        return bad_request(
            d, "the namespace of the provided object does not match the namespace sent on the "
               "request");
    } else if (!*ns) {
        json_object_set_new(meta, "namespace", json_str_new(d->req->ns));
    }
    return 0;
}

static int check_namespace(struct deciding *d)
{
    const char *ns = json_text(d->tree, "metadata.namespace", "");
    struct entry *e;

    if (!d->req->kind->namespaced)
        return 0;
    e = index_find(d->s, KIND_NAMESPACE, STR_NONE, str_of(ns), false);
    if (!e || !e->accepted) {
        refused(d, status_not_found(&d->out->status, kind_of(KIND_NAMESPACE), str_of(ns)),
                ERR_NOT_FOUND);
        return -1;
    }
    if (e->accepted->deleting_ms && d->req->kind->id != KIND_EVENT) {
        refused(d,
                status_error(&d->out->status, 403, "Forbidden",
                             "%s \"%s\" is forbidden: unable to create new content in namespace %s "
                             "because it is "
                             "being terminated",
                             d->req->kind->plural, json_text(d->tree, "metadata.name", ""), ns),
                ERR_FORBIDDEN);
        return -1;
    }
    return 0;
}

static void generate_name(struct deciding *d)
{
    json_t *meta = json_object_get(d->tree, "metadata");
    const char *prefix = json_text(meta, "generateName", "");
    char suffix[6];

    if (*json_text(meta, "name", "") || !*prefix)
        return;
    rng_name(&d->s->rng, suffix, 5);
    json_object_set_new(meta, "name", json_fmt("%.58s%s", prefix, suffix));
}

static int create(struct deciding *d)
{
    const struct kind *k = d->req->kind;
    json_t *meta;
    const char *name;
    char uid[37];

    if (check_shape(d) < 0)
        return -1;
    meta = json_object_get(d->tree, "metadata");
    if (*json_text(meta, "resourceVersion", ""))
        return bad_request(d, "resourceVersion should not be set on objects to be created");
    generate_name(d);
    name = json_text(meta, "name", "");
    if (d->req->name.n && !str_is(d->req->name, name) && *name)
        return bad_request(d, "the name of the object does not match the name on the URL");
    if (!*name)
        return bad_request(d, "metadata.name or metadata.generateName is required");
    if (check_namespace(d) < 0)
        return -1;
    d->entry =
        index_find(d->s, k->id, str_of(json_text(meta, "namespace", "")), str_of(name), true);
    if (d->entry->accepted) {
        if (d->entry->accepted->deleting_ms)
            refused(d,
                    status_error(&d->out->status, 409, "AlreadyExists",
                                 "object is being deleted: %s \"%s\" already exists", k->plural,
                                 name),
                    ERR_EXISTS);
        else
            refused(d, status_already_exists(&d->out->status, k, str_of(name)), ERR_EXISTS);
        return -1;
    }
    if (k->has_status && k->id != KIND_NODE)
        json_object_del(d->tree, "status");
    json_object_del(meta, "managedFields");
    json_object_del(meta, "deletionTimestamp");
    json_object_del(meta, "deletionGracePeriodSeconds");
    rng_uuid(&d->s->rng, uid);
    json_object_set_new(meta, "uid", json_string(uid));
    stamp(d->tree, "metadata.creationTimestamp", now_ms(d));
    if (k->has_generation)
        json_object_set_new(meta, "generation", json_integer(1));
    if (k->id == KIND_POD)
        json_put(d->tree, "status", json_pack("{s:s}", "phase", "Pending"));
    if (admitted(d, ADMIT_CREATE, NULL) < 0)
        return -1;
    return publish(d, 201);
}

/* --- update --- */

static void keep_from(json_t *tree, const json_t *was, const char *path)
{
    json_t *v = json_at(was, path);
    struct str parent = str_of(path);
    ptrdiff_t dot = str_chr(parent, '.');
    json_t *holder = dot < 0 ? tree : json_get(tree, (struct str){parent.p, (size_t)dot});
    const char *key = dot < 0 ? path : path + dot + 1;

    if (v)
        json_object_set(holder, key, v);
    else
        json_object_del(holder, key);
}

/* Whether anything but metadata and status differs. */
static bool spec_differs(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *v;

    json_object_foreach ((json_t *)a, key, v) {
        if (strcmp(key, "metadata") && strcmp(key, "status") &&
            !json_equal(v, json_object_get(b, key)))
            return true;
    }
    json_object_foreach ((json_t *)b, key, v) {
        if (strcmp(key, "metadata") && strcmp(key, "status") && !json_object_get(a, key))
            return true;
    }
    return false;
}

static int remove_now(struct deciding *d)
{
    json_decref(d->tree);
    d->tree = object_tree(d->entry->accepted);
    if (publish(d, 200) < 0)
        return -1;
    d->out->removed = true;
    return 0;
}

/* A version in the wanted object is a precondition. */
static int check_version(struct deciding *d)
{
    const char *rv = json_text(d->tree, "metadata.resourceVersion", "");
    const struct object *cur = d->entry->accepted;
    uint64_t n;

    if (*rv && (!str_to_u64(str_of(rv), &n) || n != cur->rv))
        return conflict(d, cur->name, NULL);
    return 0;
}

/* d->tree is the wanted object; was the accepted one. Finishes an update of the main resource. */
static int finish_update(struct deciding *d, const json_t *was)
{
    static const char *const kept[] = {"metadata.uid",
                                       "metadata.creationTimestamp",
                                       "metadata.deletionTimestamp",
                                       "metadata.deletionGracePeriodSeconds",
                                       "metadata.generation",
                                       "metadata.resourceVersion",
                                       "metadata.generateName"};
    const struct object *cur = d->entry->accepted;
    const struct kind *k = d->req->kind;
    const char *uid = json_text(d->tree, "metadata.uid", "");

    if (*uid && !str_is(cur->uid, uid))
        return conflict(d, cur->name,
                        "Precondition failed: UID in precondition and UID in object meta differ");
    if (check_version(d) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        keep_from(d->tree, was, kept[i]);
    json_object_del(json_object_get(d->tree, "metadata"), "managedFields");
    if (k->has_status)
        keep_from(d->tree, was, "status");
    if (admitted(d, ADMIT_UPDATE, was) < 0)
        return -1;
    if (json_equal(d->tree, was)) {
        unchanged(d);
        return 0;
    }
    if (k->has_generation && spec_differs(d->tree, was))
        json_put(d->tree, "metadata.generation", json_integer(cur->generation + 1));
    if (cur->deleting_ms && json_array_size(json_at(d->tree, "metadata.finalizers")) == 0 &&
        cur->has_finalizers &&
        (k->id != KIND_POD || json_int(d->tree, "metadata.deletionGracePeriodSeconds", 0) == 0)) {
        if (publish(d, 200) < 0)
            return -1;
        d->out->removed = true;
        return 0;
    }
    return publish(d, 200);
}

/* Types alone, as decoding has them. A status that is stored and does not have them would make
 * every later write of the object invalid, one to its scale too. */
static int check_status(struct deciding *d)
{
    json_t *status = json_object_get(d->tree, "status");
    struct denial denial = {.http = 422, .reason = "Invalid"};
    struct field_errors all = {0};
    AUTO_JSON json_t *o = NULL;
    int r = 0;

    if (d->req->is_ours || !status)
        return 0;
    o = json_pack("{s:O}", "status", status);
    schema_validate(d->req->kind, o, &all);
    for (size_t i = 0; i < all.n; i++) /* the rest of the object is not there */
        if (str_starts(str_of(all.items[i].field), STR("status")))
            field_error(&denial.fields, all.items[i].reason, all.items[i].field, "%s",
                        all.items[i].message);
    if (denial.fields.n) {
        r = -1;
        refused(d, status_denial(&d->out->status, d->req->kind, str_of(d->entry->name), &denial),
                ERR_INVALID);
    }
    field_errors_done(&all);
    denial_done(&denial);
    return r;
}

static int finish_status(struct deciding *d, const json_t *was)
{
    json_t *next;

    if (check_version(d) < 0 || check_status(d) < 0)
        return -1;
    next = json_deep_copy(was);
    keep_from(next, d->tree, "status");
    json_decref(d->tree);
    d->tree = next;
    if (json_equal(next, was)) {
        unchanged(d);
        return 0;
    }
    return publish(d, 200);
}

/* d->tree is a Scale object: its replicas go to the object's own field. */
static int finish_scale(struct deciding *d, const json_t *was)
{
    json_t *next = json_deep_copy(was);
    int64_t n = json_int(d->tree, "spec.replicas", 0);
    const char *rv = json_text(d->tree, "metadata.resourceVersion", "");

    if (n < 0 || n > INT32_MAX) {
        json_decref(next);
        return bad_request(d, "spec.replicas must be a number from 0 on");
    }
    if (*rv)
        json_put(next, "metadata.resourceVersion", json_string(rv));
    json_put(next, d->req->kind->scale_spec, json_integer(n));
    json_decref(d->tree);
    d->tree = next;
    return finish_update(d, was);
}

static json_t *scale_of(const struct kind *k, const json_t *o)
{
    return json_pack("{s:{s:s},s:{s:I}}", "metadata", "name", json_text(o, "metadata.name", ""),
                     "spec", "replicas", (json_int_t)json_int(o, k->scale_spec, 0));
}

/* The stored object in the version that a patch was written for. */
static json_t *in_version(const struct kind *k, const struct kind_alias *a, const json_t *o)
{
    json_t *copy = json_deep_copy(o);

    json_object_set_new(copy, "apiVersion",
                        json_fmt("%s/%s", a->group ? a->group : k->group, a->version));
    if (a->from_stored)
        a->from_stored(copy);
    return copy;
}

/* And back; o is patched and may share members with others. */
static json_t *out_of_version(const struct kind *k, const struct kind_alias *a, json_t *o)
{
    json_t *copy = json_deep_copy(o);
    char version[96];

    json_decref(o);
    if (a->to_stored)
        a->to_stored(copy);
    json_object_set_new(copy, "apiVersion", json_string(kind_api_version(k, version)));
    return copy;
}

static int apply_patch(struct deciding *d, const json_t *base, json_t **ret)
{
    struct err err = ERR_INIT;
    int r = 0;

    switch (d->req->patch) {
    case STORE_PATCH_MERGE:
        if (!json_is_object(d->req->tree))
            return bad_request(d, "the patch must be a JSON object");
        *ret = json_merge_patch(base, d->req->tree);
        break;
    case STORE_PATCH_STRATEGIC:
        r = patch_strategic(base, d->req->tree, ret, &err);
        break;
    case STORE_PATCH_JSON:
        r = patch_json(base, d->req->tree, ret, &err);
        break;
    }
    if (r < 0) {
        refused(d,
                status_error(&d->out->status, err_http_status(r),
                             r == ERR_INVALID ? "Invalid" : "BadRequest", "%s", err.msg),
                r);
        return -1;
    }
    return 0;
}

static int check_name(struct deciding *d)
{
    const char *name = json_text(d->tree, "metadata.name", "");

    if (*name && strcmp(name, d->entry->name) != 0)
        return bad_request(d, "the name of the object does not match the name on the URL");
    if (!*name)
        json_put(d->tree, "metadata.name", json_string(d->entry->name));
    return 0;
}

/* A whole new status, which is most of what is written: no rule is about the rest of the object,
 * which stays as it is, undecoded. */
static int replace_status(struct deciding *d)
{
    const json_t *meta = json_object_get(d->req->tree, "metadata");
    struct buf bytes = BUF_INIT;
    struct err err = ERR_INIT;
    int r = -1;

    d->tree = json_copy((json_t *)(uintptr_t)d->req->tree); /* the checks fill in what is missing */
    if (json_is_object(meta))
        json_object_set_new(d->tree, "metadata", json_copy((json_t *)(uintptr_t)meta));
    if (check_shape(d) < 0 || check_name(d) < 0 || check_version(d) < 0 || check_status(d) < 0)
        return -1;
    json_write(&bytes, json_object_get(d->tree, "status"));
    if (object_has_status(d->entry->accepted, buf_str(&bytes),
                          json_object_get(d->tree, "status"))) {
        unchanged(d);
        r = 0;
    } else if (object_with_status(d->entry->accepted, buf_str(&bytes), d->s->accepted_rv + 1,
                                  &d->out->now, &err) < 0) {
        bad_request(d, err.msg);
    } else {
        d->s->accepted_rv += !d->req->dry_run;
        d->out->http = 200;
        d->out->is_change = true;
        r = 0;
    }
    buf_done(&bytes);
    return r;
}

static int modify(struct deciding *d)
{
    const struct store_request *req = d->req;
    bool scale = req->subresource && strcmp(req->subresource, "scale") == 0;
    AUTO_JSON json_t *was = NULL, *base = NULL;
    json_t *patched = NULL;

    d->entry = index_find(d->s, req->kind->id, req->ns, req->name, false);
    if (!d->entry || !d->entry->accepted) {
        d->entry = NULL;
        if (!req->create_if_missing)
            return not_found(d, req->name);
        d->tree = json_deep_copy(req->tree);
        return create(d);
    }
    if (req->verb == CLUSTER_UPDATE && !scale && req->subresource &&
        json_object_get(req->tree, "status"))
        return replace_status(d);
    was = object_tree(d->entry->accepted);
    if (req->verb == CLUSTER_MERGE_PATCH) {
        base = scale        ? scale_of(req->kind, was)
               : req->alias ? in_version(req->kind, req->alias, was)
                            : json_incref(was);
        if (apply_patch(d, base, &patched) < 0)
            return -1;
        d->tree = !scale && req->alias ? out_of_version(req->kind, req->alias, patched) : patched;
        /* a version in the patch is a precondition; the one merged in from the object is not */
        if (!scale && !json_at(req->tree, "metadata.resourceVersion") &&
            req->patch != STORE_PATCH_JSON) {
            json_t *meta = json_copy(json_object_get(d->tree, "metadata")),
                   *top = json_copy(d->tree);

            json_object_del(meta, "resourceVersion");
            json_object_set_new(top, "metadata", meta);
            json_decref(d->tree);
            d->tree = top;
        }
    } else {
        d->tree = json_deep_copy(req->tree);
    }
    if (scale)
        return finish_scale(d, was);
    /* patched trees share members with was: the rules below change theirs */
    patched = json_deep_copy(d->tree);
    json_decref(d->tree);
    d->tree = patched;
    if (check_shape(d) < 0 || check_name(d) < 0)
        return -1;
    return req->subresource ? finish_status(d, was) : finish_update(d, was);
}

/* --- delete --- */

static void add_finalizer(json_t *tree, const char *name)
{
    json_t *list = json_at(tree, "metadata.finalizers"), *v;
    size_t i;

    if (!json_is_array(list)) {
        list = json_array();
        json_put(tree, "metadata.finalizers", list);
    }
    json_array_foreach (list, i, v) {
        if (str_is(json_strv(v), name))
            return;
    }
    json_array_append_new(list, json_string(name));
}

static int mark_deleted(struct deciding *d, int64_t grace_s)
{
    const struct object *cur = d->entry->accepted;

    if (!cur->deleting_ms && cur->generation)
        json_put(d->tree, "metadata.generation", json_integer(cur->generation + 1));
    stamp(d->tree, "metadata.deletionTimestamp", now_ms(d) + grace_s * 1000);
    json_put(d->tree, "metadata.deletionGracePeriodSeconds", json_integer(grace_s));
    return publish(d, 200);
}

static int delete_pod(struct deciding *d)
{
    const char *phase = json_text(d->tree, "status.phase", "");
    int64_t grace = d->req->grace_s >= 0
                        ? d->req->grace_s
                        : json_int(d->tree, "spec.terminationGracePeriodSeconds", 30);
    int64_t have = json_int(d->tree, "metadata.deletionGracePeriodSeconds", -1);
    bool gone = !*json_text(d->tree, "spec.nodeName", "") || strcmp(phase, "Succeeded") == 0 ||
                strcmp(phase, "Failed") == 0;

    if (grace == 0 || gone) {
        if (d->entry->accepted->has_finalizers)
            return mark_deleted(d, 0);
        return remove_now(d);
    }
    if (have >= 0 && grace >= have) { /* a second delete may only shorten */
        unchanged(d);
        return 0;
    }
    return mark_deleted(d, grace);
}

static int delete_namespace(struct deciding *d)
{
    if (d->entry->accepted->deleting_ms && d->req->grace_s == 0)
        return remove_now(d); /* its controller, when the contents are gone */
    if (d->entry->accepted->deleting_ms) {
        unchanged(d);
        return 0;
    }
    json_put(d->tree, "status.phase", json_string("Terminating"));
    return mark_deleted(d, 0);
}

static int remove_object(struct deciding *d)
{
    const struct store_request *req = d->req;
    const char *how = req->propagation ? req->propagation : "Background";
    const struct object *cur;
    uint64_t rv;

    d->entry = index_find(d->s, req->kind->id, req->ns, req->name, false);
    if (!d->entry || !d->entry->accepted) {
        d->entry = NULL;
        return not_found(d, req->name);
    }
    cur = d->entry->accepted;
    if (req->uid.n && !str_eq(cur->uid, req->uid))
        return conflict(d, cur->name,
                        "Precondition failed: UID in precondition and UID in object meta differ");
    if (req->rv.n && (!str_to_u64(req->rv, &rv) || rv != cur->rv))
        return conflict(d, cur->name, "Precondition failed: resourceVersion does not match");
    d->tree = object_tree(cur);
    if (req->kind->id == KIND_POD)
        return delete_pod(d);
    if (req->kind->id == KIND_NAMESPACE)
        return delete_namespace(d);
    if (strcmp(how, "Foreground") == 0)
        add_finalizer(d->tree, "foregroundDeletion");
    else if (strcmp(how, "Orphan") == 0)
        add_finalizer(d->tree, "orphan");
    if (json_array_size(json_at(d->tree, "metadata.finalizers")) == 0)
        return remove_now(d);
    if (cur->deleting_ms) {
        unchanged(d);
        return 0;
    }
    return mark_deleted(d, 0);
}

void store_decide(struct store *s, const struct store_request *req, struct entry **ret_entry,
                  struct outcome *out)
{
    struct deciding d = {.s = s, .req = req, .out = out};

    switch (req->verb) {
    case CLUSTER_CREATE:
        d.tree = json_deep_copy(req->tree);
        create(&d);
        break;
    case CLUSTER_UPDATE:
    case CLUSTER_MERGE_PATCH:
        modify(&d);
        break;
    case CLUSTER_DELETE:
        remove_object(&d);
        break;
    }
    json_decref(d.tree);
    *ret_entry = d.entry;
}
