/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/patch.h"

#include <stdlib.h>

#include "base/mem.h"

/* Lists that merge by key. A field name means the same wherever it stands in the built-in kinds,
 * but for "ports": by containerPort in containers, by port in Services. */
static const struct {
    const char *field;
    const char *keys[2];
} merge_keys[] = {
    {"containers", {"name"}},
    {"initContainers", {"name"}},
    {"ephemeralContainers", {"name"}},
    {"volumes", {"name"}},
    {"env", {"name"}},
    {"imagePullSecrets", {"name"}},
    {"secrets", {"name"}},
    {"ports", {"containerPort", "port"}},
    {"volumeMounts", {"mountPath"}},
    {"volumeDevices", {"devicePath"}},
    {"conditions", {"type"}},
    {"ownerReferences", {"uid"}},
    {"hostAliases", {"ip"}},
    {"topologySpreadConstraints", {"topologyKey"}},
    {"addresses", {"type"}},
    {"podIPs", {"ip"}},
    {"resourceClaims", {"name"}},
};

/* Lists of scalars that are sets. */
static bool is_set(const char *field)
{
    return strcmp(field, "finalizers") == 0;
}

static const char *merge_key(const char *field, const json_t *element)
{
    for (size_t i = 0; i < ARRAY_LEN(merge_keys); i++) {
        if (strcmp(merge_keys[i].field, field) != 0)
            continue;
        for (int k = 0; k < 2; k++)
            if (merge_keys[i].keys[k] && json_object_get(element, merge_keys[i].keys[k]))
                return merge_keys[i].keys[k];
        return json_is_object(element) ? "" : NULL;
    }
    return NULL;
}

static int merge_map(const json_t *target, const json_t *patch, int depth, json_t **ret,
                     struct err *err);

static size_t find_by(const json_t *list, const char *key, const json_t *value)
{
    size_t i;
    json_t *e;

    json_array_foreach ((json_t *)list, i, e) {
        if (json_equal(json_object_get(e, key), value))
            return i;
    }
    return SIZE_MAX;
}

/* "$setElementOrder/x": elements named there come in that order; others keep their place behind the
 * element they followed. */
static json_t *in_order(json_t *list, const char *key, const json_t *order)
{
    json_t *out, *e;
    size_t i;

    if (json_array_size(order) == 0)
        return list;
    out = json_array();
    json_array_foreach ((json_t *)order, i, e) {
        size_t at = key ? find_by(list, key, json_object_get(e, key)) : SIZE_MAX;

        if (!key)
            for (size_t k = 0; k < json_array_size(list) && at == SIZE_MAX; k++)
                at = json_equal(json_array_get(list, k), e) ? k : at;
        if (at == SIZE_MAX)
            continue;
        json_array_append(out, json_array_get(list, at));
        json_array_remove(list, at);
    }
    json_array_extend(out, list);
    json_decref(list);
    return out;
}

static int merge_list(const char *field, const json_t *target, const json_t *patch,
                      const json_t *order, int depth, json_t **ret, struct err *err)
{
    json_t *out = json_is_array(target) ? json_copy((json_t *)target) : json_array(), *e;
    const char *key = NULL;
    size_t i;

    /* a replace anywhere in the list drops what was there, not what the patch brings */
    json_array_foreach ((json_t *)patch, i, e)
        if (strcmp(json_text(e, "$patch", ""), "replace") == 0)
            json_array_clear(out);
    json_array_foreach ((json_t *)patch, i, e) {
        const char *directive = json_text(e, "$patch", ""), *own = merge_key(field, e);
        json_t *merged = NULL;
        size_t at;

        if (strcmp(directive, "replace") == 0)
            continue;
        if (!own || !*own) {
            json_decref(out);
            return err_set(err, ERR_BAD_INPUT, "map in '%s' does not contain its merge key", field);
        }
        key = own;
        at = find_by(out, key, json_object_get(e, key));
        if (strcmp(directive, "delete") == 0) {
            if (at != SIZE_MAX)
                json_array_remove(out, at);
            continue;
        }
        if (merge_map(at == SIZE_MAX ? NULL : json_array_get(out, at), e, depth + 1, &merged, err) <
            0) {
            json_decref(out);
            return err->code;
        }
        if (at == SIZE_MAX)
            json_array_append_new(out, merged);
        else
            json_array_set_new(out, at, merged);
    }
    if (!key && json_array_size(order)) {
        const char *k = merge_key(field, json_array_get(order, 0));

        key = k && *k ? k : NULL;
    }
    *ret = in_order(out, key, order);
    return 0;
}

static json_t *merge_set(const json_t *target, const json_t *patch)
{
    json_t *out = json_is_array(target) ? json_copy((json_t *)target) : json_array(), *e, *x;
    size_t i, k;

    json_array_foreach ((json_t *)patch, i, e) {
        bool has = false;

        json_array_foreach (out, k, x)
            has |= json_equal(x, e);
        if (!has)
            json_array_append(out, e);
    }
    return out;
}

static void delete_from_set(json_t *out, const char *field, const json_t *values)
{
    json_t *list = json_copy(json_object_get(out, field)), *v;
    size_t i;

    json_array_foreach ((json_t *)values, i, v) {
        for (size_t k = json_array_size(list); k > 0; k--)
            if (json_equal(json_array_get(list, k - 1), v))
                json_array_remove(list, k - 1);
    }
    if (list)
        json_object_set_new(out, field, list);
}

static int merge_member(json_t *out, const char *key, const json_t *target, const json_t *patch,
                        int depth, struct err *err)
{
    json_t *v = json_object_get(patch, key), *was = json_object_get(target, key), *merged = NULL;
    AUTO_FREE char *order_key = mem_printf("$setElementOrder/%s", key);
    int r = 0;

    if (json_is_null(v)) {
        json_object_del(out, key);
        return 0;
    }
    if (json_is_object(v)) {
        r = merge_map(was, v, depth + 1, &merged, err);
    } else if (json_is_array(v) && is_set(key)) {
        merged = merge_set(was, v);
    } else if (json_is_array(v) && json_array_size(v) && merge_key(key, json_array_get(v, 0))) {
        r = merge_list(key, was, v, json_object_get(patch, order_key), depth, &merged, err);
    } else {
        merged = json_deep_copy(v);
    }
    if (r == 0)
        json_object_set_new(out, key, merged);
    return r;
}

static void retain_keys(json_t *out, const json_t *keys)
{
    const char *key;
    json_t *v, *k;
    void *tmp;
    size_t i;

    json_object_foreach_safe(out, tmp, key, v)
    {
        bool keep = false;

        json_array_foreach ((json_t *)keys, i, k)
            keep |= str_is(json_strv(k), key);
        if (!keep)
            json_object_del(out, key);
    }
}

static int merge_map(const json_t *target, const json_t *patch, int depth, json_t **ret,
                     struct err *err)
{
    const char *directive = json_text(patch, "$patch", ""), *key;
    json_t *out, *v;

    if (depth > JSON_DEPTH_MAX)
        return err_set(err, ERR_BAD_INPUT, "the patch is nested too deeply");
    out = json_is_object(target) && !*directive ? json_copy((json_t *)target) : json_object();
    if (strcmp(directive, "delete") == 0) {
        *ret = out;
        return 0;
    }
    json_object_foreach ((json_t *)patch, key, v) {
        if (strncmp(key, "$deleteFromPrimitiveList/", 25) == 0) {
            delete_from_set(out, key + 25, v);
        } else if (strncmp(key, "$setElementOrder/", 17) == 0) {
            const char *field = key + 17;
            const char *k = merge_key(field, json_array_get(v, 0));
            json_t *list = json_object_get(out, field);

            if (list && !json_object_get(patch, field)) /* only the order changes */
                json_object_set_new(out, field, in_order(json_copy(list), k && *k ? k : NULL, v));
        } else if (key[0] != '$') {
            int r = merge_member(out, key, target, patch, depth, err);

            if (r < 0) {
                json_decref(out);
                return r;
            }
        }
    }
    if (json_object_get(patch, "$retainKeys"))
        retain_keys(out, json_object_get(patch, "$retainKeys"));
    *ret = out;
    return 0;
}

int patch_strategic(const json_t *target, const json_t *patch, json_t **ret, struct err *err)
{
    struct err own = ERR_INIT;
    int r;

    if (!json_is_object(patch))
        return err_set(err, ERR_BAD_INPUT, "the patch must be a JSON object");
    r = merge_map(target, patch, 0, ret, &own);
    if (r < 0)
        return err_set(err, own.code, "%s", own.msg);
    return 0;
}

/* --- RFC 6902 --- */

#define OPS_MAX 10000

/* Splits the last token off a pointer; unescapes ~0 ~1. Returns the parent (borrowed) or NULL. */
static json_t *parent_of(json_t *doc, const char *pointer, char **ret_token)
{
    struct str rest = str_of(pointer), part;

    *ret_token = NULL;
    if (pointer[0] != '/')
        return NULL;
    rest = str_skip(rest, 1);
    while (str_split(&rest, '/', &part)) {
        char *t = str_dup(part), *to = t;
        uint64_t i;

        for (const char *p = t; *p; p++) {
            if (p[0] == '~' && (p[1] == '0' || p[1] == '1'))
                *to++ = *++p == '0' ? '~' : '/';
            else
                *to++ = *p;
        }
        *to = '\0';
        if (!rest.p) {
            *ret_token = t;
            return doc;
        }
        doc = json_is_array(doc) ? (str_to_u64(str_of(t), &i) ? json_array_get(doc, i) : NULL)
                                 : json_object_get(doc, t);
        free(t);
        if (!doc)
            return NULL;
    }
    return NULL;
}

static json_t *get_at(json_t *doc, const char *pointer)
{
    char *token;
    json_t *p, *v = NULL;
    uint64_t i;

    if (!*pointer)
        return doc;
    p = parent_of(doc, pointer, &token);
    if (p)
        v = json_is_array(p) ? (str_to_u64(str_of(token), &i) ? json_array_get(p, i) : NULL)
                             : json_object_get(p, token);
    free(token);
    return v;
}

/* replace: the place must exist. Steals v. */
static bool put_at(json_t *doc, const char *pointer, json_t *v, bool replace)
{
    char *token;
    json_t *p = parent_of(doc, pointer, &token);
    uint64_t i;
    bool ok = false;

    if (json_is_array(p)) {
        if (strcmp(token, "-") == 0 && !replace)
            ok = json_array_append(p, v) == 0;
        else if (str_to_u64(str_of(token), &i))
            ok = (replace ? json_array_set(p, i, v) : json_array_insert(p, i, v)) == 0;
    } else if (json_is_object(p) && (!replace || json_object_get(p, token))) {
        ok = json_object_set(p, token, v) == 0;
    }
    json_decref(v);
    free(token);
    return ok;
}

static bool remove_at(json_t *doc, const char *pointer)
{
    char *token;
    json_t *p = parent_of(doc, pointer, &token);
    uint64_t i;
    bool ok = json_is_array(p) ? str_to_u64(str_of(token), &i) && json_array_remove(p, i) == 0
                               : json_is_object(p) && json_object_del(p, token) == 0;

    free(token);
    return ok;
}

static bool apply_op(json_t *doc, const json_t *op)
{
    const char *name = json_text(op, "op", ""), *path = json_text(op, "path", NULL);
    const char *from = json_text(op, "from", NULL);
    json_t *value = json_object_get(op, "value"), *source = from ? get_at(doc, from) : NULL;

    if (!path)
        return false;
    if (strcmp(name, "test") == 0)
        return value && get_at(doc, path) && json_equal(get_at(doc, path), value);
    if (strcmp(name, "remove") == 0)
        return remove_at(doc, path);
    if (strcmp(name, "add") == 0 || strcmp(name, "replace") == 0)
        return value && put_at(doc, path, json_deep_copy(value), name[0] == 'r');
    if (strcmp(name, "copy") == 0)
        return source && put_at(doc, path, json_deep_copy(source), false);
    if (strcmp(name, "move") == 0) {
        json_t *copy = json_deep_copy(source);

        if (source && remove_at(doc, from))
            return put_at(doc, path, copy, false);
        json_decref(copy);
    }
    return false;
}

int patch_json(const json_t *target, const json_t *ops, json_t **ret, struct err *err)
{
    json_t *doc, *op;
    size_t i;

    if (!json_is_array(ops))
        return err_set(err, ERR_BAD_INPUT, "a JSON patch must be an array of operations");
    if (json_array_size(ops) > OPS_MAX)
        return err_set(err, ERR_LIMIT, "a JSON patch may have %d operations", OPS_MAX);
    doc = json_deep_copy(target);
    json_array_foreach ((json_t *)ops, i, op) {
        if (!apply_op(doc, op)) {
            json_decref(doc);
            return err_set(err, ERR_INVALID, "operation %zu (%s %s) cannot be applied", i,
                           json_text(op, "op", "?"), json_text(op, "path", "?"));
        }
    }
    *ret = doc;
    return 0;
}
