/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/object.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kube/kind.h"

/* Fills a block from its start; measures first with p == NULL. Texts that stand in `fixed` as they
 * are, the bytes of the object that no other status moves, are pointed to and not copied. */
struct filler {
    char *p;
    size_t n;
    struct str fixed;
    char *fixed_at; /* where those bytes will be */
};

static struct str copy(struct filler *f, struct str s)
{
    char *at = f->p ? f->p + f->n : NULL;

    if (at && s.n)
        memcpy(at, s.p, s.n);
    f->n += s.n;
    return str_n(at, s.n);
}

static struct str put(struct filler *f, struct str s)
{
    ptrdiff_t at = str_find(f->fixed, s);

    if (at < 0)
        return copy(f, s);
    return str_n(f->fixed_at ? f->fixed_at + at : NULL, s.n);
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

/* Where in the bytes the parts are that change with every status. */
struct span {
    size_t from, n;
};
struct spans {
    struct span status, version;
};

static void write_key(struct buf *b, const char *key, bool is_first)
{
    if (!is_first)
        buf_add_char(b, ',');
    json_write_str(b, str_of(key));
    buf_add_char(b, ':');
}

/* The object, or its metadata; notes where the member stands that changes. */
static void write_members(struct buf *b, const json_t *o, bool is_metadata, struct spans *s)
{
    const char *changing = is_metadata ? "resourceVersion" : "status", *key;
    size_t from, i = 0;
    json_t *v;

    buf_add_char(b, '{');
    json_members (o, key, v) {
        write_key(b, key, i++ == 0);
        from = b->n;
        if (!is_metadata && strcmp(key, "metadata") == 0)
            write_members(b, v, true, s);
        else
            json_write(b, v);
        if (strcmp(key, changing) == 0)
            *(is_metadata ? &s->version : &s->status) = (struct span){from, b->n - from};
    }
    buf_add_char(b, '}');
}

static void fill(struct filler *f, struct object *o, const json_t *meta, struct str json)
{
    const json_t *labels = json_object_get(meta, "labels"), *value;
    const json_t *owners = json_object_get(meta, "ownerReferences");
    const char *key;
    size_t i = 0;

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
    o->json = copy(f, json); /* last: object_with_status makes a block with other bytes here */
}

static void mark(struct object *o, const struct spans *s)
{
    o->status = str_n(o->json.p + s->status.from, s->status.n);
    o->version = str_n(o->json.p + s->version.from, s->version.n);
}

/* What stands before the first of both. */
static struct str fixed_part(struct str json, const struct spans *s)
{
    size_t n = s->version.n ? s->version.from : json.n;

    if (s->status.n && s->status.from < n)
        n = s->status.from;
    return str_n(json.p, n);
}

static size_t head_size(const struct object *o)
{
    return sizeof(*o) + o->n_labels * sizeof(*o->labels) + o->n_owners * sizeof(*o->owners);
}

int object_new(const struct kind *kind, const json_t *tree, struct object **ret, struct err *err)
{
    const json_t *meta = json_object_get(tree, "metadata");
    struct object measure = {0}, *o;
    struct filler f = {0};
    struct buf json = BUF_INIT;
    struct spans spans = {0};
    size_t head;

    if (!json_is_object(meta) || text_at(meta, "name").n == 0)
        return err_set(err, ERR_BAD_INPUT, "metadata.name is missing");
    write_members(&json, tree, false, &spans);
    if (json.overflow) {
        buf_done(&json);
        return err_set(err, ERR_LIMIT, "the object is too large");
    }
    f.fixed = fixed_part(buf_str(&json), &spans);
    fill(&f, &measure, meta, buf_str(&json));
    measure.n_labels = json_object_size(json_object_get(meta, "labels"));
    measure.n_owners = json_array_size(json_object_get(meta, "ownerReferences"));
    head = head_size(&measure);
    o = mem_zalloc(head + f.n);
    o->refs = 1;
    o->kind = kind;
    o->n_labels = measure.n_labels;
    o->n_owners = measure.n_owners;
    o->labels = (struct object_pair *)(o + 1);
    o->owners = (struct object_owner *)(void *)(o->labels + o->n_labels);
    f = (struct filler){
        .p = (char *)o + head, .fixed = f.fixed, .fixed_at = (char *)o + head + f.n - json.n};
    fill(&f, o, meta, buf_str(&json));
    buf_done(&json);
    mark(o, &spans);
    qsort(o->labels, o->n_labels, sizeof(*o->labels), by_key);
    str_to_u64(text_at(meta, "resourceVersion"), &o->rv);
    o->generation = json_int(meta, "generation", 0);
    o->created_ms = time_at(meta, "creationTimestamp");
    o->deleting_ms = time_at(meta, "deletionTimestamp");
    o->has_finalizers = json_array_size(json_object_get(meta, "finalizers")) > 0;
    *ret = o;
    return 0;
}

/* --- another status --- */

struct edit {
    struct str was, now; /* was: a part of the object's bytes */
};

/* The bytes of o with the edits, which are in the order of the bytes. */
static void splice(struct buf *b, const struct object *o, const struct edit *edits, size_t n,
                   struct spans *s)
{
    const char *at = o->json.p;

    for (size_t i = 0; i < n; i++) {
        struct span *where = edits[i].was.p == o->version.p ? &s->version : &s->status;

        buf_add(b, at, (size_t)(edits[i].was.p - at));
        *where = (struct span){b->n, edits[i].now.n};
        buf_add_str(b, edits[i].now);
        at = edits[i].was.p + edits[i].was.n;
    }
    buf_add(b, at, (size_t)(o->json.p + o->json.n - at));
}

/* An object without a status gets it at its end. */
static void append_status(struct buf *b, struct str status, struct spans *s)
{
    b->n--; /* the last brace */
    write_key(b, "status", false);
    s->status = (struct span){b->n, status.n};
    buf_add_str(b, status);
    buf_add_char(b, '}');
}

static void move(struct str *s, const char *from, char *to)
{
    if (s->p)
        s->p = to + (s->p - from);
}

/* The header with its texts, for other bytes behind it; what stands before the first edit stays
 * where it is. */
static struct object *copy_header(const struct object *o, struct str json)
{
    size_t n = (size_t)(o->json.p - (const char *)o);
    struct object *c = mem_alloc(n + json.n);
    const char *from = (const char *)o;
    char *to = (char *)c;

    memcpy(to, from, n);
    memcpy(to + n, json.p, json.n);
    c->json = str_n(to + n, json.n);
    c->refs = 1;
    c->labels = (struct object_pair *)(c + 1);
    c->owners = (struct object_owner *)(void *)(c->labels + c->n_labels);
    move(&c->ns, from, to);
    move(&c->name, from, to);
    move(&c->uid, from, to);
    for (size_t i = 0; i < c->n_labels; i++) {
        move(&c->labels[i].key, from, to);
        move(&c->labels[i].value, from, to);
    }
    for (size_t i = 0; i < c->n_owners; i++) {
        move(&c->owners[i].api_version, from, to);
        move(&c->owners[i].kind, from, to);
        move(&c->owners[i].name, from, to);
        move(&c->owners[i].uid, from, to);
    }
    return c;
}

int object_with_status(const struct object *o, struct str status, uint64_t rv, struct object **ret,
                       struct err *err)
{
    char text[32];
    struct buf json = BUF_INIT;
    struct spans spans = {0};
    struct edit edits[2] = {
        {o->version,
         str_n(text, (size_t)snprintf(text, sizeof(text), "\"%llu\"", (unsigned long long)rv))},
        {o->status, status}};

    FB_ASSERT(o->version.n);
    if (o->status.n && o->status.p < o->version.p) {
        edits[1] = edits[0];
        edits[0] = (struct edit){o->status, status};
    }
    splice(&json, o, edits, o->status.n ? 2 : 1, &spans);
    if (!o->status.n)
        append_status(&json, status, &spans);
    if (json.overflow) {
        buf_done(&json);
        return err_set(err, ERR_LIMIT, "the object is too large");
    }
    *ret = copy_header(o, buf_str(&json));
    (*ret)->rv = rv;
    mark(*ret, &spans);
    buf_done(&json);
    return 0;
}

/* What stands before, between and behind status and resourceVersion. */
static void rest_of(const struct object *o, struct str ret[3])
{
    const char *end = o->json.p + o->json.n;
    struct str a = o->version, b = o->status;

    if (b.p < a.p) {
        a = o->status;
        b = o->version;
    }
    ret[0] = str_n(o->json.p, (size_t)(a.p - o->json.p));
    ret[1] = str_n(a.p + a.n, (size_t)(b.p - a.p) - a.n);
    ret[2] = str_n(b.p + b.n, (size_t)(end - b.p) - b.n);
}

bool object_is_same_but_status(const struct object *a, const struct object *b)
{
    struct str x[3], y[3];

    if (a == b)
        return true;
    if (!a->status.n != !b->status.n || !a->version.n != !b->version.n)
        return false;
    rest_of(a, x);
    rest_of(b, y);
    return str_eq(x[0], y[0]) && str_eq(x[1], y[1]) && str_eq(x[2], y[2]);
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
    return json_reread(o->json);
}

json_t *object_status(const struct object *o)
{
    return o->status.n ? json_reread(o->status) : NULL;
}

static bool has_same_bytes(struct str a, struct str b)
{
    int counts[256] = {0};

    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        counts[(unsigned char)a.p[i]]++;
        counts[(unsigned char)b.p[i]]--;
    }
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        if (counts[i])
            return false;
    return true;
}

/* Equal but for the order of members has the same bytes in another order. */
bool object_has_status(const struct object *o, struct str bytes, const json_t *status)
{
    json_t *was;
    bool is_same;

    if (str_eq(o->status, bytes))
        return bytes.n > 0;
    if (!has_same_bytes(o->status, bytes))
        return false;
    was = object_status(o);
    is_same = json_equal(was, status);
    json_decref(was);
    return is_same;
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
