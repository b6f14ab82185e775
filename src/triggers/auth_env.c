/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "codec/base64.h"
#include "triggers/auth.h"

void auth_table_set(struct table *t, struct str name, struct str value)
{
    char *was = table_set(t, name, str_dup(value));

    if (was)
        explicit_bzero(was, strlen(was));
    free(was);
}

void auth_table_done(struct table *t)
{
    size_t i = 0;
    void *v;

    while (table_next(t, &i, NULL, &v)) {
        explicit_bzero(v, strlen(v));
        free(v);
    }
    table_done(t);
}

void auth_add_source(struct auth *a, enum kind_id kind, struct str ns, struct str name)
{
    if (auth_depends_on(a, kind, ns, name))
        return;
    mem_grow(&a->sources, &a->sources_cap, a->n_sources + 1);
    a->sources[a->n_sources++] = (struct auth_source){kind, str_dup(ns), str_dup(name)};
}

static void decode(struct buf *out, struct str text, bool is_secret)
{
    if (is_secret)
        base64_decode(out, text);
    else
        buf_add_str(out, text);
}

bool auth_object_value(struct cluster *c, struct auth *a, enum kind_id kind, struct str ns,
                       const char *name, const char *key, bool told, struct buf *out)
{
    const struct object *o = cluster_get(c, kind, ns, str_of(name));
    AUTO_JSON json_t *tree = o ? object_tree(o) : NULL;
    const json_t *v = json_object_get(json_object_get(tree, "data"), key);
    const char *what = kind == KIND_SECRET ? "secret" : "configmap";

    auth_add_source(a, kind, ns, str_of(name));
    if (v) {
        decode(out, json_strv(v), kind == KIND_SECRET);
        return true;
    }
    if (told && o)
        buf_printf(&a->missing, "%s%s '%.*s/%s' has no key '%s'", a->missing.n ? "; " : "", what,
                   STR_ARG(ns), name, key);
    else if (told)
        buf_printf(&a->missing, "%sthere is no %s '%.*s/%s'", a->missing.n ? "; " : "", what,
                   STR_ARG(ns), name);
    return false;
}

/* --- the container --- */

static const struct kind *target_kind(const json_t *ref)
{
    return kind_by_type(str_of(json_text(ref, "apiVersion", "apps/v1")),
                        str_of(json_text(ref, "kind", "Deployment")), NULL);
}

static const json_t *find_container(const json_t *target, const char *name)
{
    static const char *const lists[] = {"spec.template.spec.containers",
                                        "spec.template.spec.initContainers"};
    const json_t *c;
    size_t i;

    if (!*name)
        return json_array_get(json_at(target, lists[0]), 0);
    for (size_t k = 0; k < ARRAY_LEN(lists); k++)
        json_array_foreach (json_at(target, lists[k]), i, c)
            if (strcmp(json_text(c, "name", ""), name) == 0)
                return c;
    return NULL;
}

/* $(NAME) of what is known so far; $$ is a dollar; unknown names stay as they are. */
static void expand(const struct table *known, struct str s, struct buf *out)
{
    for (size_t i = 0; i < s.n; i++) {
        bool opens = s.p[i] == '$' && i + 1 < s.n && s.p[i + 1] == '(';
        ptrdiff_t end = opens ? str_chr(str_skip(s, i), ')') : -1;
        const char *value =
            end > 0 ? table_get(known, (struct str){s.p + i + 2, (size_t)end - 2}) : NULL;

        if (s.p[i] == '$' && i + 1 < s.n && s.p[i + 1] == '$') {
            buf_add_char(out, '$');
            i++;
        } else if (value) {
            buf_add_cstr(out, value);
            i += (size_t)end;
        } else {
            buf_add_char(out, s.p[i]);
        }
    }
}

struct env_run {
    const struct auth_env_options *o;
    struct auth *a;
    struct table *env;
};

static int absent(const json_t *ref, const char *what, struct err *err)
{
    return json_bool(ref, "optional", false)
               ? 0
               : err_set(err, ERR_NOT_FOUND,
                         "the target's environment cannot be made: there is no %s '%s'%s%s", what,
                         json_text(ref, "name", ""),
                         json_object_get(ref, "key") ? " with key " : "",
                         json_text(ref, "key", ""));
}

static int add_all(struct env_run *r, const json_t *from, struct err *err)
{
    bool is_secret = json_object_get(from, "secretRef") != NULL;
    enum kind_id kind = is_secret ? KIND_SECRET : KIND_CONFIGMAP;
    const json_t *ref = json_object_get(from, is_secret ? "secretRef" : "configMapRef");
    struct str name = str_of(json_text(ref, "name", ""));
    const struct object *o = cluster_get(r->o->cluster, kind, r->o->ns, name);
    AUTO_JSON json_t *tree = o ? object_tree(o) : NULL;
    const char *key;
    json_t *v;

    auth_add_source(r->a, kind, r->o->ns, name);
    if (!o)
        return absent(ref, is_secret ? "secret" : "configmap", err);
    json_object_foreach (json_object_get(tree, "data"), key, v) {
        AUTO_FREE char *full = mem_printf("%s%s", json_text(from, "prefix", ""), key);
        struct buf value = BUF_INIT;

        decode(&value, json_strv(v), is_secret);
        auth_table_set(r->env, str_of(full), buf_str(&value));
        buf_done(&value);
    }
    return 0;
}

static int add_one(struct env_run *r, const json_t *e, struct err *err)
{
    const json_t *from = json_object_get(e, "valueFrom"),
                 *secret = json_object_get(from, "secretKeyRef"),
                 *map = json_object_get(from, "configMapKeyRef"), *ref = secret ? secret : map;
    struct buf value = BUF_INIT;
    bool found = true;
    int code = 0;

    if (from && !ref)
        return 0; /* fields are of pods, and this is none */
    if (!from)
        expand(r->env, str_of(json_text(e, "value", "")), &value);
    else
        found =
            auth_object_value(r->o->cluster, r->a, secret ? KIND_SECRET : KIND_CONFIGMAP, r->o->ns,
                              json_text(ref, "name", ""), json_text(ref, "key", ""), false, &value);
    if (found)
        auth_table_set(r->env, str_of(json_text(e, "name", "")), buf_str(&value));
    else
        code = absent(ref, secret ? "secret" : "configmap", err);
    buf_done(&value);
    return code;
}

int auth_env(const struct auth_env_options *o, struct auth *a, struct table *ret, struct err *err)
{
    const struct kind *k = target_kind(o->scale_target);
    struct str name = str_of(json_text(o->scale_target, "name", ""));
    const struct object *target = k ? cluster_get(o->cluster, k->id, o->ns, name) : NULL;
    AUTO_JSON json_t *tree = target ? object_tree(target) : NULL;
    const json_t *c = find_container(tree, o->container), *e;
    struct env_run r = {o, a, ret};
    size_t i;
    int code = 0;

    if (k)
        auth_add_source(a, k->id, o->ns, name);
    if (!c)
        return target && *o->container
                   ? err_set(err, ERR_NOT_FOUND, "the target '%.*s' has no container '%s'",
                             STR_ARG(name), o->container)
                   : 0; /* that there is no target is told elsewhere; some have no containers */
    json_array_foreach (json_object_get(c, "envFrom"), i, e)
        if (code == 0)
            code = add_all(&r, e, err);
    json_array_foreach (json_object_get(c, "env"), i, e)
        if (code == 0)
            code = add_one(&r, e, err);
    return code;
}
