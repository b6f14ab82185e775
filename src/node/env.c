/* SPDX-License-Identifier: Apache-2.0
 *
 * Environment and command line of a container: fields, ConfigMaps, Secrets, $(VAR). */
#include <ctype.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/mem.h"
#include "node/images.h"
#include "node/node_int.h"

struct vars {
    struct buf *out;     /* NAME=VALUE\0... */
    struct table values; /* NAME -> value (own) */
};

static void set_var(struct vars *v, const char *name, struct str value)
{
    free(table_set(&v->values, str_of(name), str_dup(value)));
}

static void vars_done(struct vars *v)
{
    size_t i = 0;
    void *p;

    while (table_next(&v->values, &i, NULL, &p))
        free(p);
    table_done(&v->values);
}

/* $(NAME) of what is known so far; $$ is a dollar; unknown names stay as they are. */
static void expand(const struct vars *v, struct str s, struct buf *out)
{
    for (size_t i = 0; i < s.n; i++) {
        ptrdiff_t end;
        const char *value;

        if (s.p[i] == '$' && i + 1 < s.n && s.p[i + 1] == '$') {
            buf_add_char(out, '$');
            i++;
            continue;
        }
        if (s.p[i] != '$' || i + 1 >= s.n || s.p[i + 1] != '(' ||
            (end = str_chr(str_skip(s, i), ')')) < 0) {
            buf_add_char(out, s.p[i]);
            continue;
        }
        value = table_get(&v->values, (struct str){s.p + i + 2, (size_t)end - 2});
        if (value)
            buf_add_cstr(out, value);
        else
            buf_add(out, s.p + i, (size_t)end + 1);
        i += (size_t)end;
    }
}

static void field_value(const struct npod *p, const char *path, struct buf *out)
{
    struct str rest = str_of(path);

    if (strcmp(path, "status.podIP") == 0 || strcmp(path, "status.podIPs") == 0) {
        buf_add_cstr(out, p->ip);
    } else if (strcmp(path, "status.hostIP") == 0) {
        buf_add_cstr(out, "127.0.0.1");
    } else if (strcmp(path, "spec.nodeName") == 0) {
        buf_add_cstr(out, p->node->hostname);
    } else if (str_starts(rest, STR("metadata.labels['")) ||
               str_starts(rest, STR("metadata.annotations['"))) {
        bool labels = str_starts(rest, STR("metadata.labels"));
        struct str key = str_skip(rest, labels ? 17 : 22);

        if (key.n >= 2)
            key.n -= 2;
        buf_add_str(
            out, json_strv(json_get(
                     json_at(p->tree, labels ? "metadata.labels" : "metadata.annotations"), key)));
    } else {
        buf_add_cstr(out, json_text(p->tree, path, ""));
    }
}

/* A key of a ConfigMap or (base64) Secret. */
static int ref_value(const struct npod *p, const json_t *ref, bool secret, const char *name_key,
                     struct buf *out, struct err *err)
{
    const char *name = json_text(ref, name_key, ""), *key = json_text(ref, "key", "");
    const struct object *o = cluster_get(p->node->o.cluster, secret ? KIND_SECRET : KIND_CONFIGMAP,
                                         str_of(p->ns), str_of(name));
    AUTO_JSON json_t *tree = o ? object_tree(o) : NULL;
    const json_t *v = json_object_get(json_at(tree, "data"), key);
    struct str s = json_strv(v);

    if (!v)
        return json_bool(ref, "optional", false)
                   ? 0
                   : err_set(err, ERR_NOT_FOUND, "%s \"%s\" %s%s%s",
                             secret ? "secret" : "configmap", name,
                             o ? "has no key \"" : "not found", o ? key : "", o ? "\"" : "");
    if (secret) {
        unsigned char *raw = mem_alloc(s.n + 4);
        int n = EVP_DecodeBlock(raw, (const unsigned char *)s.p, (int)s.n);

        for (size_t i = s.n; i > 0 && s.p[i - 1] == '=' && n > 0; i--)
            n--;
        if (n > 0)
            buf_add(out, raw, (size_t)n);
        free(raw);
    } else {
        buf_add_str(out, s);
    }
    return 0;
}

static int one_var(struct container *c, struct vars *v, const json_t *e, struct err *err)
{
    const char *name = json_text(e, "name", "");
    const json_t *from = json_object_get(e, "valueFrom");
    struct buf value = BUF_INIT;
    int r = 0;

    if (!from)
        expand(v, str_of(json_text(e, "value", "")), &value);
    else if (json_object_get(from, "fieldRef"))
        field_value(c->pod, json_text(from, "fieldRef.fieldPath", ""), &value);
    else if (json_object_get(from, "secretKeyRef"))
        r = ref_value(c->pod, json_object_get(from, "secretKeyRef"), true, "name", &value, err);
    else if (json_object_get(from, "configMapKeyRef"))
        r = ref_value(c->pod, json_object_get(from, "configMapKeyRef"), false, "name", &value, err);
    if (r == 0)
        set_var(v, name, buf_str(&value));
    buf_done(&value);
    return r;
}

static int env_from(struct container *c, struct vars *v, const json_t *e, struct err *err)
{
    bool secret = json_object_get(e, "secretRef") != NULL;
    const json_t *ref = json_object_get(e, secret ? "secretRef" : "configMapRef");
    const struct object *o =
        cluster_get(c->pod->node->o.cluster, secret ? KIND_SECRET : KIND_CONFIGMAP,
                    str_of(c->pod->ns), str_of(json_text(ref, "name", "")));
    AUTO_JSON json_t *tree = o ? object_tree(o) : NULL;
    const char *key;
    json_t *x;

    if (!o)
        return json_bool(ref, "optional", false)
                   ? 0
                   : err_set(err, ERR_NOT_FOUND, "%s \"%s\" not found",
                             secret ? "secret" : "configmap", json_text(ref, "name", ""));
    json_object_foreach (json_at(tree, "data"), key, x) {
        AUTO_JSON json_t *one =
            json_pack("{s:s,s:s}", "name", json_text(ref, "name", ""), "key", key);
        struct buf value = BUF_INIT;
        AUTO_FREE char *name = mem_printf("%s%s", json_text(e, "prefix", ""), key);

        if (ref_value(c->pod, one, secret, "name", &value, err) == 0)
            set_var(v, name, buf_str(&value));
        buf_done(&value);
    }
    return 0;
}

static int collect(struct container *c, struct vars *v, struct err *err)
{
    const json_t *e;
    size_t i;
    int r;

    set_var(v, "PATH", STR("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    set_var(v, "HOME", STR("/tmp"));
    set_var(v, "HOSTNAME", str_of(c->pod->name));
    set_var(v, "POD_IP", str_of(c->pod->ip));
    set_var(v, "POD_NAME", str_of(c->pod->name));
    set_var(v, "POD_NAMESPACE", str_of(c->pod->ns));
    json_array_foreach (json_object_get(c->spec, "envFrom"), i, e) {
        if ((r = env_from(c, v, e, err)) < 0)
            return r;
    }
    json_array_foreach (json_object_get(c->spec, "env"), i, e) {
        if ((r = one_var(c, v, e, err)) < 0)
            return r;
    }
    return 0;
}

int container_env(struct container *c, struct buf *out, struct err *err)
{
    struct vars v = {0};
    struct str name;
    size_t i = 0;
    void *value;
    int r = collect(c, &v, err);

    while (r == 0 && table_next(&v.values, &i, &name, &value)) {
        buf_add_str(out, name);
        buf_add_char(out, '=');
        buf_add_cstr(out, value);
        buf_add_char(out, '\0');
    }
    vars_done(&v);
    return r;
}

static void add_words(struct container *c, const char *command, struct buf *out)
{
    struct str rest = str_of(command), word;
    bool first = true;

    while (str_split(&rest, ' ', &word)) {
        if (word.n == 0)
            continue;
        if (first && (str_is(word, "flyball") || str_is(word, "flyball-agent")))
            buf_printf(out, "%s/%.*s", c->pod->node->self_dir, STR_ARG(word));
        else
            buf_add_str(out, word);
        buf_add_char(out, '\0');
        first = false;
    }
}

int container_argv(struct container *c, struct buf *out, struct err *err)
{
    const json_t *command = json_object_get(c->spec, "command"),
                 *args = json_object_get(c->spec, "args"), *a;
    const char *image = json_text(c->spec, "image", ""), *local;
    struct vars v = {0};
    size_t i;
    int r = collect(c, &v, err);

    if (r < 0) {
        vars_done(&v);
        return r;
    }
    local = image_command(image, c->pod->node->o.image_map);
    if (json_array_size(command) == 0 && !local) {
        vars_done(&v);
        return err_set(err, ERR_UNSUPPORTED,
                       "image \"%s\" has no local command: containers are not pulled here; set "
                       "spec.containers[].command, or start flyball with --image-map '%s=COMMAND'",
                       image, image);
    }
    if (json_array_size(command) == 0)
        add_words(c, local, out);
    json_array_foreach ((json_t *)command, i, a) {
        expand(&v, json_strv(a), out);
        buf_add_char(out, '\0');
    }
    json_array_foreach ((json_t *)args, i, a) {
        expand(&v, json_strv(a), out);
        buf_add_char(out, '\0');
    }
    vars_done(&v);
    return 0;
}
