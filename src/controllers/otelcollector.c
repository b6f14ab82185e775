/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers/otelcollector.h"

#include <stdlib.h>

#include "base/mem.h"
#include "codec/yaml.h"
#include "controllers/child.h"
#include "kube/collector.h"
#include "kube/inject.h"

#define COMPONENT "opentelemetry-operator"
#define NEW_POD_MS 60000 /* an older pod's missing sidecar has been told */

struct otelcollector_controller {
    struct cluster *cluster;
    struct reconciler *r;
};

/* --- children --- */

static json_t *child_meta(const struct object *o, const char *name)
{
    char label[64];

    return json_pack("{s:s,s:o,s:{s:s,s:s,s:s},s:[o]}", "name", name, "namespace",
                     json_str_new(o->ns), "labels", "app.kubernetes.io/managed-by", COMPONENT,
                     "app.kubernetes.io/component", "opentelemetry-collector",
                     "app.kubernetes.io/instance", collector_label(o->ns, o->name, label),
                     "ownerReferences", owner_reference(o));
}

struct old_maps {
    const struct object *owner;
    const struct object **items;
    size_t n, cap;
};

static void collect_map(void *arg, const struct object *o)
{
    struct old_maps *x = arg;

    if (o->deleting_ms || !object_is_owned_by(o, x->owner->uid))
        return;
    mem_grow(&x->items, &x->cap, x->n);
    x->items[x->n++] = object_ref(o);
}

static int newest_first(const void *a, const void *b)
{
    const struct object *x = *(const struct object *const *)a,
                        *y = *(const struct object *const *)b;

    return x->rv < y->rv ? 1 : -1;
}

/* Of the configurations that were, configVersions stay (the one in use among them). */
static void drop_old_maps(struct pass *p, const struct object *o, size_t keep, const char *in_use)
{
    struct old_maps x = {.owner = o};
    size_t kept = 1;

    cluster_each(pass_cluster(p), KIND_CONFIGMAP, o->ns, NULL, collect_map, &x);
    if (x.n > 1)
        qsort(x.items, x.n, sizeof(*x.items), newest_first);
    for (size_t i = 0; i < x.n; i++) {
        if (!str_is(x.items[i]->name, in_use) && kept++ >= keep)
            remove_child(p, KIND_CONFIGMAP, o->ns, x.items[i]->name, o->uid);
        object_unref(x.items[i]);
    }
    free(x.items);
}

static void make_children(struct pass *p, const struct object *o, const json_t *spec)
{
    static const char *const no_paths[] = {NULL}, *const map_paths[] = {"data", NULL};
    struct buf text = BUF_INIT;
    AUTO_FREE char *account = mem_printf("%.*s-collector", STR_ARG(o->name)), *map = NULL;
    AUTO_JSON json_t *sa = json_pack("{s:s,s:s,s:o}", "apiVersion", "v1", "kind", "ServiceAccount",
                                     "metadata", child_meta(o, account));
    AUTO_JSON json_t *cm = NULL;

    yaml_write(&text, json_object_get(spec, "config"));
    map = mem_printf("%.*s-collector-%08x", STR_ARG(o->name), (unsigned)str_hash(buf_str(&text)));
    cm = json_pack("{s:s,s:s,s:o,s:{s:o}}", "apiVersion", "v1", "kind", "ConfigMap", "metadata",
                   child_meta(o, map), "data", "collector.yaml", json_str_new(buf_str(&text)));
    buf_done(&text);
    if (!*json_text(spec, "serviceAccount", ""))
        ensure_child(p, KIND_SERVICEACCOUNT, sa, no_paths, NULL);
    ensure_child(p, KIND_CONFIGMAP, cm, map_paths, NULL);
    drop_old_maps(p, o, (size_t)json_int(spec, "configVersions", 3), map);
}

/* --- how its sidecars fare --- */

struct verdict {
    const char *reason; /* NULL: all is well */
    struct buf message;
};

static const json_t *sidecar_status(const json_t *pod)
{
    const json_t *c;
    size_t i;

    json_array_foreach (json_at(pod, "status.containerStatuses"), i, c)
        if (strcmp(json_text(c, "name", ""), COLLECTOR_CONTAINER) == 0)
            return c;
    return NULL;
}

static bool is_quiet(const char *reason)
{
    return strcmp(reason, "ContainerCreating") == 0 || strcmp(reason, "PodInitializing") == 0 ||
           strcmp(reason, "Completed") == 0;
}

/* The first pod whose sidecar does not run speaks for all. */
static void look_at_pod(void *arg, const struct object *o)
{
    struct verdict *v = arg;
    AUTO_JSON json_t *pod = NULL;
    const json_t *c, *ended;
    const char *reason, *message;

    if (v->reason || o->deleting_ms)
        return;
    pod = object_tree(o);
    c = sidecar_status(pod);
    ended = json_at(c, "state.terminated");
    reason = json_text(c, "state.waiting.reason", json_text(ended, "reason", ""));
    if (!*reason || is_quiet(reason))
        return;
    message = json_text(ended, "message", json_text(c, "lastState.terminated.message", ""));
    if (!*message)
        message = json_text(c, "state.waiting.message", "no message; see its log");
    v->reason = "SidecarFailed";
    buf_printf(&v->message, "pod %.*s: " COLLECTOR_CONTAINER ": %s: %s", STR_ARG(o->name), reason,
               message);
}

static void judge(struct pass *p, const struct object *o, const json_t *spec, struct verdict *v)
{
    char label[64];
    AUTO_JSON json_t *want =
        json_pack("{s:s}", COLLECTOR_INJECTED_LABEL, collector_label(o->ns, o->name, label));
    struct selector *selector = NULL;

    if (strcmp(json_text(spec, "mode", ""), "sidecar") != 0) {
        v->reason = "ModeNotSupported";
        buf_printf(&v->message,
                   "mode %s is not run by flyball, only sidecar is: run such a collector by "
                   "yourself and let it push to flyball's OTLP port",
                   json_text(spec, "mode", ""));
        return;
    }
    if (selector_from_json(want, true, &selector, NULL) == 0)
        cluster_each(pass_cluster(p), KIND_POD, STR_NONE, selector, look_at_pod, v);
    selector_free(selector);
    if (!v->reason && collector_config_problems(json_object_get(spec, "config"), &v->message)) {
        v->reason = "InvalidConfig";
        v->message.p[--v->message.n] = '\0'; /* the last line's end */
    }
}

static void write_verdict(struct pass *p, const struct object *o, const json_t *tree,
                          const struct verdict *v)
{
    AUTO_JSON json_t *status = sound_status(json_deep_copy(json_object_get(tree, "status")));
    const json_t *was = find_condition(tree, "Ready");
    bool told = was && strcmp(json_text(was, "reason", ""), v->reason ? v->reason : "") == 0 &&
                strcmp(json_text(was, "message", ""), buf_cstr(&v->message)) == 0;
    json_t *conditions = json_object_get(status, "conditions");

    set_condition(conditions, "Ready", v->reason ? "False" : "True",
                  v->reason ? v->reason : "Reconciled", buf_cstr(&v->message), pass_now_ms(p),
                  "lastTransitionTime");
    json_object_set_new(status, "version", json_string(COLLECTOR_VERSION));
    json_object_set_new(status, "observedGeneration", json_integer(o->generation));
    if (!json_object_get(status, "scale"))
        json_object_set_new(status, "scale", json_object()); /* a sidecar has no replicas */
    write_status(p, o, status);
    if (v->reason && !told)
        event_emit(pass_cluster(p), COMPONENT, o, EVENT_WARNING, v->reason, "%s",
                   buf_cstr(&v->message));
}

static void reconcile(void *ctx, struct pass *p)
{
    const struct object *o =
        cluster_get(pass_cluster(p), KIND_OTELCOLLECTOR, pass_ns(p), pass_name(p));
    AUTO_JSON json_t *tree = NULL;
    struct verdict v = {0};
    const json_t *spec;

    (void)ctx;
    if (!o || o->deleting_ms)
        return;
    tree = object_tree(o);
    spec = json_object_get(tree, "spec");
    if (strcmp(json_text(spec, "managementState", ""), "unmanaged") == 0)
        return;
    judge(p, o, spec, &v);
    if (!v.reason || strcmp(v.reason, "ModeNotSupported") != 0)
        make_children(p, o, spec);
    write_verdict(p, o, tree, &v);
    buf_done(&v.message);
}

/* --- pods --- */

struct finding {
    struct reconciler *r;
    struct str label;
};

static void wake_if_labelled(void *arg, const struct object *o)
{
    struct finding *f = arg;
    char label[64];

    if (str_is(f->label, collector_label(o->ns, o->name, label)))
        reconciler_wake(f->r, o->ns, o->name);
}

static void tell_missing(struct cluster *c, const struct object *o)
{
    AUTO_JSON json_t *pod = NULL;
    struct buf why = BUF_INIT;

    if (loop_wall_ms(c->loop) - o->created_ms > NEW_POD_MS)
        return;
    pod = object_tree(o);
    if (!inject_wanted(c, pod, &why) && why.n)
        event_emit(c, COMPONENT, o, EVENT_WARNING, "SidecarNotInjected", "%s", buf_cstr(&why));
    buf_done(&why);
}

static void on_pod(void *ctx, struct reconciler *r, const struct object *was,
                   const struct object *now)
{
    struct otelcollector_controller *c = ctx;
    struct finding f = {r, object_label(now, COLLECTOR_INJECTED_LABEL)};

    if (f.label.n)
        cluster_each(c->cluster, KIND_OTELCOLLECTOR, STR_NONE, NULL, wake_if_labelled, &f);
    else if (!was)
        tell_missing(c->cluster, now);
}

struct otelcollector_controller *otelcollector_controller_new(struct cluster *cluster)
{
    struct otelcollector_controller *c = mem_zalloc(sizeof(*c));

    c->cluster = cluster;
    c->r = reconciler_new(&(struct reconciler_options){
        .name = "opentelemetrycollector", .cluster = cluster, .reconcile = reconcile, .ctx = c});
    reconciler_watch(c->r, KIND_OTELCOLLECTOR);
    reconciler_watch_owned(c->r, KIND_CONFIGMAP, KIND_OTELCOLLECTOR);
    reconciler_watch_owned(c->r, KIND_SERVICEACCOUNT, KIND_OTELCOLLECTOR);
    reconciler_watch_fn(c->r, KIND_POD, on_pod);
    return c;
}

void otelcollector_controller_free(struct otelcollector_controller *c)
{
    if (!c)
        return;
    reconciler_free(c->r);
    free(c);
}
