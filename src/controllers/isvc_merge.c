/* SPDX-License-Identifier: Apache-2.0
 *
 * The runtime's container with the model's fields over it (kserve.md 5.2). */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "controllers/isvc.h"

/* Fields of `model` that are not container fields. */
static bool is_model_field(const char *key)
{
    static const char *const fields[] = {
        "modelFormat",    "runtime",         "storageUri",   "storage",
        "runtimeVersion", "protocolVersion", "confidential", "name"};

    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (strcmp(key, fields[i]) == 0)
            return true;
    return false;
}

static const char *list_key(const char *field)
{
    static const char *const keys[][2] = {
        {"env", "name"},     {"volumeMounts", "mountPath"}, {"ports", "containerPort"},
        {"volumes", "name"}, {"containers", "name"},        {"imagePullSecrets", "name"}};

    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (strcmp(field, keys[i][0]) == 0)
            return keys[i][1];
    return NULL;
}

static json_t *merge(const json_t *base, const json_t *over);

static ptrdiff_t find_by(const json_t *list, const char *key, const json_t *v, size_t from)
{
    for (size_t i = from; i < json_array_size(list); i++)
        if (json_equal(json_object_get(json_array_get(list, i), key), v))
            return (ptrdiff_t)i;
    return -1;
}

/* Base-only items S in base order, overlay items P in overlay order: the head of S goes first if
 * the head of P stands behind it in the base; else the head of P. New overlay items come before
 * base-only ones. */
static json_t *merge_list(const json_t *base, const json_t *over, const char *key)
{
    json_t *out = json_array();
    size_t s = 0, p = 0, nb = json_array_size(base), np = json_array_size(over);

    while (s < nb || p < np) {
        const json_t *bi = json_array_get(base, s), *pi = json_array_get(over, p);
        ptrdiff_t at = pi ? find_by(base, key, json_object_get(pi, key), 0) : -1;

        if (bi && find_by(over, key, json_object_get(bi, key), 0) >= 0) {
            s++; /* comes with the overlay */
        } else if (bi && (!pi || at > (ptrdiff_t)s)) {
            json_array_append(out, (json_t *)bi);
            s++;
        } else {
            json_array_append_new(out, at >= 0 ? merge(json_array_get(base, (size_t)at), pi)
                                               : json_deep_copy(pi));
            p++;
        }
    }
    return out;
}

static json_t *merge(const json_t *base, const json_t *over)
{
    json_t *out = json_deep_copy(base), *v;
    const char *key;

    json_object_foreach ((json_t *)over, key, v) {
        json_t *was = json_object_get(out, key);
        const char *lk = list_key(key);

        if (json_is_null(v))
            continue;
        if (json_is_object(v) && json_is_object(was))
            json_object_set_new(out, key, merge(was, v));
        else if (json_is_array(v) && json_is_array(was) && lk)
            json_object_set_new(out, key, merge_list(was, v, lk));
        else
            json_object_set_new(out, key, json_deep_copy(v));
    }
    /* an env entry has one form of value: the overlay's */
    if (json_object_get(over, "valueFrom"))
        json_object_del(out, "value");
    else if (json_object_get(over, "value"))
        json_object_del(out, "valueFrom");
    return out;
}

/* --- {{.Name}} and friends, in every text --- */

static bool template_value(const json_t *meta, struct str expr, struct buf *out)
{
    static const struct {
        const char *prefix, *map;
    } maps[] = {{".Labels.", "labels"}, {".Annotations.", "annotations"}};

    if (str_is(expr, ".Name")) {
        buf_add_cstr(out, json_text(meta, "name", ""));
        return true;
    }
    if (str_is(expr, ".Namespace")) {
        buf_add_cstr(out, json_text(meta, "namespace", ""));
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
        if (!str_starts(expr, str_of(maps[i].prefix)))
            continue;
        buf_add_str(out, json_strv(json_get(json_object_get(meta, maps[i].map),
                                            str_skip(expr, strlen(maps[i].prefix)))));
        return true;
    }
    return false;
}

static json_t *expand_text(struct str s, const json_t *meta, struct err *err)
{
    struct buf out = BUF_INIT;
    json_t *v;

    for (;;) {
        ptrdiff_t open = str_find(s, STR("{{")), close;
        struct str expr;

        if (open < 0)
            break;
        buf_add(&out, s.p, (size_t)open);
        s = str_skip(s, (size_t)open + 2);
        close = str_find(s, STR("}}"));
        expr = str_trim((struct str){s.p, close < 0 ? s.n : (size_t)close});
        if (close < 0 || !template_value(meta, expr, &out)) {
            err_set(err, ERR_INVALID,
                    "the template '{{%.*s}}' is not understood: use .Name, .Namespace, .Labels.KEY "
                    "or .Annotations.KEY",
                    STR_ARG(expr));
            buf_done(&out);
            return NULL;
        }
        s = str_skip(s, (size_t)close + 2);
    }
    buf_add_str(&out, s);
    v = json_str_new(buf_str(&out));
    buf_done(&out);
    return v;
}

static json_t *expand(const json_t *v, const json_t *meta, struct err *err)
{
    json_t *out, *m, *x;
    const char *key;
    size_t i;

    if (json_is_string(v))
        return expand_text(json_strv(v), meta, err);
    if (!json_is_object(v) && !json_is_array(v))
        return json_deep_copy(v);
    out = json_is_object(v) ? json_object() : json_array();
    json_object_foreach ((json_t *)v, key, m) {
        if (!(x = expand(m, meta, err))) {
            json_decref(out);
            return NULL;
        }
        json_object_set_new(out, key, x);
    }
    json_array_foreach ((json_t *)v, i, m) {
        if (!(x = expand(m, meta, err))) {
            json_decref(out);
            return NULL;
        }
        json_array_append_new(out, x);
    }
    return out;
}

/* --- image --- */

static bool wants_gpu(const json_t *container)
{
    const char *key;
    json_t *v;

    json_object_foreach (json_at(container, "resources.limits"), key, v) {
        if (strcmp(key, "nvidia.com/gpu") == 0 || strncmp(key, "nvidia.com/mig", 14) == 0)
            return true;
    }
    return false;
}

static const char *server_type(const struct isvc_runtime *rt)
{
    static const char *const types[] = {"tensorflow-serving", "torchserve", "huggingfaceserver",
                                        "vllmserver"};
    const char *given = json_string_value(json_object_get(json_at(rt->tree, "metadata.annotations"),
                                                          "serving.kserve.io/server-type"));

    if (given)
        return given;
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (strstr(rt->name, types[i]))
            return types[i];
    return "";
}

static void fix_image(json_t *container, const json_t *model, const struct isvc_runtime *rt)
{
    const char *image = json_text(container, "image", ""),
               *version = json_text(model, "runtimeVersion", NULL);
    const char *slash = strrchr(image, '/'), *colon = strrchr(slash ? slash : image, ':'),
               *type = server_type(rt);
    int repo = colon ? (int)(colon - image) : (int)strlen(image);

    if (strchr(image, '@'))
        return;
    if (version)
        json_object_set_new(container, "image", json_fmt("%.*s:%s", repo, image, version));
    else if (wants_gpu(container) &&
             (strcmp(type, "tensorflow-serving") == 0 || strcmp(type, "torchserve") == 0 ||
              strcmp(type, "huggingfaceserver") == 0))
        json_object_set_new(container, "image",
                            json_fmt("%s%s-gpu", image, colon ? "" : ":latest"));
    else if (!wants_gpu(container) && strcmp(type, "vllmserver") == 0 &&
             (repo < 4 || strncmp(image + repo - 4, "-cpu", 4) != 0))
        json_object_set_new(container, "image",
                            json_fmt("%.*s-cpu%s", repo, image, colon ? colon : ""));
}

/* --- the pod spec --- */

static json_t *merged_container(const json_t *isvc, const struct isvc_runtime *rt, struct err *err)
{
    const json_t *model = json_at(isvc, "spec.predictor.model"), *base = NULL, *c;
    json_t *over = json_object(), *merged, *out, *args, *v;
    const char *key;
    size_t i;

    json_array_foreach (json_object_get(rt->spec, "containers"), i, c) {
        if (strcmp(json_text(c, "name", ""), "kserve-container") == 0)
            base = c;
    }
    if (!base) {
        json_decref(over);
        err_set(err, ERR_INVALID, "the runtime '%s' has no container named kserve-container",
                rt->name);
        return NULL;
    }
    json_object_foreach ((json_t *)model, key, v) {
        if (!is_model_field(key))
            json_object_set(over, key, v);
    }
    merged = merge(base, over);
    json_decref(over);
    args = json_array(); /* the runtime's, then the user's */
    json_array_extend(args, json_object_get(base, "args"));
    json_array_extend(args, json_object_get(model, "args"));
    if (json_array_size(args))
        json_object_set(merged, "args", args);
    json_decref(args);
    out = expand(merged, json_object_get(isvc, "metadata"), err);
    json_decref(merged);
    if (out)
        fix_image(out, model, rt);
    return out;
}

/* Fields of the predictor that are not the pod's. */
static bool is_component_field(const char *key)
{
    static const char *const fields[] = {"model",
                                         "name",
                                         "storageUris",
                                         "storageContainerName",
                                         "workerSpec",
                                         "minReplicas",
                                         "maxReplicas",
                                         "scaleTarget",
                                         "scaleMetric",
                                         "scaleMetricType",
                                         "autoScaling",
                                         "containerConcurrency",
                                         "timeout",
                                         "canaryTrafficPercent",
                                         "logger",
                                         "batcher",
                                         "labels",
                                         "annotations",
                                         "deploymentStrategy",
                                         "containers"};

    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (strcmp(key, fields[i]) == 0)
            return true;
    return false;
}

static void add_sidecars(json_t *containers, const json_t *list)
{
    const json_t *c;
    size_t i;

    json_array_foreach ((json_t *)list, i, c) {
        ptrdiff_t at = find_by(containers, "name", json_object_get(c, "name"), 0);

        if (strcmp(json_text(c, "name", ""), "kserve-container") == 0 && at >= 0)
            continue;
        if (at >= 0)
            json_array_set_new(containers, (size_t)at,
                               merge(json_array_get(containers, (size_t)at), c));
        else
            json_array_append_new(containers, json_deep_copy(c));
    }
}

json_t *isvc_pod_spec(const json_t *isvc, const struct isvc_runtime *rt, struct err *err)
{
    static const char *const pod_fields[] = {"nodeSelector",  "affinity",         "tolerations",
                                             "volumes",       "imagePullSecrets", "schedulerName",
                                             "resourceClaims"};
    const json_t *predictor = json_at(isvc, "spec.predictor");
    json_t *base = json_object(), *own = json_object(), *spec, *containers = json_array(), *v;
    const char *key;

    json_object_foreach ((json_t *)predictor, key, v) {
        if (!is_component_field(key))
            json_object_set(own, key, v);
    }
    for (size_t i = 0; rt->spec && i < ARRAY_LEN(pod_fields); i++)
        if (json_object_get(rt->spec, pod_fields[i]))
            json_object_set(base, pod_fields[i], json_object_get(rt->spec, pod_fields[i]));
    spec = merge(base, own);
    json_decref(base);
    json_decref(own);
    if (rt->spec) {
        json_t *main = merged_container(isvc, rt, err);

        if (!main) {
            json_decref(spec);
            json_decref(containers);
            return NULL;
        }
        json_array_append_new(containers, main);
        add_sidecars(containers, json_object_get(rt->spec, "containers"));
    }
    add_sidecars(containers, json_object_get(predictor, "containers"));
    json_object_set_new(spec, "containers", containers);
    return spec;
}
