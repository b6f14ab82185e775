/* SPDX-License-Identifier: Apache-2.0
 *
 * Which ServingRuntime serves a model (kserve.md 5.1). */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "controllers/isvc.h"

struct candidate {
    struct object *o;
    json_t *tree;
    int protocol, priority;
};

struct search {
    const json_t *model;
    bool has_worker;
    struct candidate *items;
    size_t n, cap;
};

static int protocol_number(const char *p)
{
    static const char *const order[] = {"v1", "v2", "grpc-v1", "grpc-v2"};

    for (int i = 0; i < 4; i++)
        if (strcmp(p, order[i]) == 0)
            return i + 1;
    return 5;
}

static int lowest_protocol(const json_t *spec)
{
    const json_t *v;
    size_t i;
    int best = 5;

    json_array_foreach (json_object_get(spec, "protocolVersions"), i, v) {
        int n = protocol_number(json_string_value(v) ? json_string_value(v) : "");

        best = n < best ? n : best;
    }
    return best;
}

static bool supports_protocol(const json_t *spec, const char *want)
{
    const json_t *list = json_object_get(spec, "protocolVersions"), *v;
    size_t i;

    json_array_foreach ((json_t *)list, i, v) {
        if (str_is(json_strv(v), want))
            return true;
    }
    return json_array_size(list) == 0;
}

/* Priority of the runtime for the model's format, -1 where it does not serve it. auto_only: only
 * formats that select themselves. */
static int format_priority(const json_t *spec, const json_t *model, bool auto_only)
{
    const char *name = json_text(model, "modelFormat.name", ""),
               *version = json_text(model, "modelFormat.version", NULL);
    const json_t *f;
    int best = -1;
    size_t i;

    json_array_foreach (json_object_get(spec, "supportedModelFormats"), i, f) {
        int p = (int)json_int(f, "priority", 0);

        if (strcmp(json_text(f, "name", ""), name) != 0 ||
            (auto_only && !json_bool(f, "autoSelect", false)))
            continue;
        if (version && strcmp(json_text(f, "version", ""), version) != 0)
            continue;
        best = p > best ? p : best;
    }
    return best;
}

static void consider(void *arg, const struct object *o)
{
    struct search *s = arg;
    json_t *tree = object_tree(o), *spec = json_object_get(tree, "spec");
    int priority = format_priority(spec, s->model, true);

    if (json_bool(spec, "disabled", false) || json_bool(spec, "multiModel", false) ||
        priority < 0 || !supports_protocol(spec, json_text(s->model, "protocolVersion", "v1")) ||
        (json_object_get(spec, "workerSpec") != NULL) != s->has_worker) {
        json_decref(tree);
        return;
    }
    mem_grow(&s->items, &s->cap, s->n);
    s->items[s->n++] = (struct candidate){object_ref(o), tree, lowest_protocol(spec), priority};
}

/* Priority first (absent last), then protocol, newest, name. */
static int by_choice(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    if (x->priority != y->priority)
        return y->priority - x->priority;
    if (x->protocol != y->protocol)
        return x->protocol - y->protocol;
    if (x->o->created_ms != y->o->created_ms)
        return x->o->created_ms > y->o->created_ms ? -1 : 1;
    return str_cmp(x->o->name, y->o->name);
}

static void found(struct isvc_runtime *ret, json_t *tree, bool is_cluster)
{
    ret->tree = json_incref(tree);
    ret->spec = json_object_get(tree, "spec");
    ret->name = json_text(tree, "metadata.name", "");
    ret->is_cluster = is_cluster;
}

static bool best_of(struct cluster *c, enum kind_id kind, struct str ns, struct search *s,
                    struct isvc_runtime *ret)
{
    s->n = 0;
    cluster_each(c, kind, ns, NULL, consider, s);
    if (s->n == 0)
        return false;
    qsort(s->items, s->n, sizeof(*s->items), by_choice);
    found(ret, s->items[0].tree, kind == KIND_CLUSTERSERVINGRUNTIME);
    for (size_t i = 0; i < s->n; i++) {
        json_decref(s->items[i].tree);
        object_unref(s->items[i].o);
    }
    return true;
}

__attribute__((format(printf, 3, 4))) static void failed(struct isvc_runtime *r, const char *reason,
                                                         const char *fmt, ...)
{
    va_list ap;

    r->failure = reason;
    va_start(ap, fmt);
    vsnprintf(r->message, sizeof(r->message), fmt, ap);
    va_end(ap);
}

static void use_named(struct cluster *c, struct str ns, const json_t *model, const char *name,
                      struct isvc_runtime *ret)
{
    const struct object *o = cluster_get(c, KIND_SERVINGRUNTIME, ns, str_of(name));
    bool is_cluster = !o;
    AUTO_JSON json_t *tree = NULL;
    const char *protocol = json_text(model, "protocolVersion", NULL);

    if (!o)
        o = cluster_get(c, KIND_CLUSTERSERVINGRUNTIME, STR_NONE, str_of(name));
    if (!o) {
        failed(ret, "RuntimeNotRecognized",
               "no ServingRuntime or ClusterServingRuntime is named '%s': waiting for it to become "
               "available; "
               "kubectl get clusterservingruntimes lists those that exist",
               name);
        return;
    }
    tree = object_tree(o);
    found(ret, tree, is_cluster);
    if (json_bool(ret->spec, "disabled", false))
        failed(ret, "RuntimeDisabled", "the specified runtime '%s' is disabled", name);
    else if (protocol && !supports_protocol(ret->spec, protocol))
        failed(ret, "NoSupportingRuntime", "the runtime '%s' does not support protocol version %s",
               name, protocol);
    else if (format_priority(ret->spec, model, false) < 0)
        failed(ret, "NoSupportingRuntime", "the runtime '%s' does not support model format '%s'",
               name, json_text(model, "modelFormat.name", ""));
}

void isvc_select_runtime(struct cluster *c, const json_t *isvc, struct isvc_runtime *ret)
{
    const json_t *model = json_at(isvc, "spec.predictor.model");
    struct str ns = str_of(json_text(isvc, "metadata.namespace", ""));
    const char *name = json_text(model, "runtime", NULL);
    struct search s = {.model = model,
                       .has_worker = json_at(isvc, "spec.predictor.workerSpec") != NULL};

    *ret = (struct isvc_runtime){0};
    if (!model)
        return; /* a custom predictor: its containers are all there is */
    if (name) {
        use_named(c, ns, model, name, ret);
        return;
    }
    if (!best_of(c, KIND_SERVINGRUNTIME, ns, &s, ret) &&
        !best_of(c, KIND_CLUSTERSERVINGRUNTIME, STR_NONE, &s, ret))
        failed(ret, "NoSupportingRuntime",
               "no runtime found to support the model with format '%s' and protocol %s: create a "
               "ServingRuntime "
               "that lists it with autoSelect, or name one in spec.predictor.model.runtime",
               json_text(model, "modelFormat.name", ""), json_text(model, "protocolVersion", "v1"));
    free(s.items);
}

void isvc_runtime_done(struct isvc_runtime *r)
{
    json_decref(r->tree);
    *r = (struct isvc_runtime){0};
}
