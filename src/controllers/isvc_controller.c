/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/mem.h"
#include "controllers/isvc.h"

#define FINALIZER "inferenceservice.finalizers"
#define COMPONENT "v1beta1Controllers"

struct isvc_controller {
    struct cluster *cluster;
    struct reconciler *r;
};

static const char *annotation(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(json_at(o, "metadata.annotations"), key));
}

/* Adds (or takes away) our finalizer. */
static void write_finalizer(struct pass *p, const struct object *o, const json_t *tree, bool add)
{
    json_t *list = json_array(), *v;
    AUTO_JSON json_t *patch = NULL;
    size_t i;

    json_array_foreach (json_at(tree, "metadata.finalizers"), i, v) {
        if (!str_is(json_strv(v), FINALIZER))
            json_array_append(list, v);
    }
    if (add)
        json_array_append_new(list, json_string(FINALIZER));
    patch = json_pack("{s:{s:o}}", "metadata", "finalizers", list);
    pass_write(p, &(struct cluster_write){.verb = CLUSTER_MERGE_PATCH,
                                          .kind = KIND_INFERENCESERVICE,
                                          .ns = o->ns,
                                          .name = o->name,
                                          .tree = patch});
}

static bool has_finalizer(const json_t *tree)
{
    const json_t *v;
    size_t i;

    json_array_foreach (json_at(tree, "metadata.finalizers"), i, v) {
        if (str_is(json_strv(v), FINALIZER))
            return true;
    }
    return false;
}

struct pods {
    struct object *newest;
    int ready;
};

static void look_at_pod(void *arg, const struct object *o)
{
    struct pods *x = arg;
    AUTO_JSON json_t *pod = NULL;

    if (o->deleting_ms)
        return;
    pod = object_tree(o);
    x->ready += strcmp(json_text(find_condition(pod, "Ready"), "status", ""), "True") == 0;
    if (!x->newest || o->created_ms > x->newest->created_ms ||
        (o->created_ms == x->newest->created_ms && str_cmp(o->name, x->newest->name) > 0)) {
        object_unref(x->newest);
        x->newest = object_ref(o);
    }
}

static void report_ready(struct cluster *c, const struct object *o, const json_t *was,
                         const json_t *status)
{
    AUTO_JSON json_t *now = json_pack("{s:O}", "status", status);
    bool before = strcmp(json_text(find_condition(was, "Ready"), "status", ""), "True") == 0;
    const json_t *ready = find_condition(now, "Ready");
    bool after = strcmp(json_text(ready, "status", ""), "True") == 0;

    if (!before && after)
        event_emit(c, COMPONENT, o, EVENT_NORMAL, "InferenceServiceReady",
                   "InferenceService [%.*s] is Ready", STR_ARG(o->name));
    else if (before && !after)
        event_emit(c, COMPONENT, o, EVENT_WARNING, "InferenceServiceNotReady",
                   "InferenceService [%.*s] is no longer Ready because of: PredictorReady: %s %s",
                   STR_ARG(o->name), json_text(ready, "reason", ""),
                   json_text(ready, "message", ""));
}

/* Autoscaler of the wanted class; those of other classes go. */
static void scale_children(struct pass *p, const struct object *o, const json_t *isvc,
                           const struct isvc_runtime *rt, const json_t *config, const json_t *own)
{
    static const char *const so_paths[] = {"spec.scaleTargetRef",  "spec.minReplicaCount",
                                           "spec.maxReplicaCount", "spec.advanced",
                                           "spec.triggers",        NULL};
    static const char *const hpa_paths[] = {"spec.scaleTargetRef", "spec.minReplicas",
                                            "spec.maxReplicas", "spec.metrics", NULL};
    AUTO_FREE char *name = isvc_component_name(isvc);
    const char *cls = annotation(isvc, "serving.kserve.io/autoscalerClass");
    AUTO_JSON json_t *want = NULL;

    cls = cls ? cls : "hpa";
    if (strcmp(cls, "keda") == 0) {
        want = isvc_scaled_object(isvc, rt, config, own);
        remove_child(p, KIND_HPA, o->ns, str_of(name), o->uid);
        ensure_child(p, KIND_SCALEDOBJECT, want, so_paths, NULL);
    } else {
        remove_child(p, KIND_SCALEDOBJECT, o->ns, str_of(name), o->uid);
        if (strcmp(cls, "hpa") == 0) {
            want = isvc_hpa(isvc, rt, config, own);
            ensure_child(p, KIND_HPA, want, hpa_paths, NULL);
        } else {
            remove_child(p, KIND_HPA, o->ns, str_of(name), o->uid);
        }
    }
}

static void stop_workload(struct pass *p, const struct object *o, const json_t *isvc)
{
    static const enum kind_id kinds[] = {KIND_SCALEDOBJECT, KIND_HPA, KIND_OTELCOLLECTOR,
                                         KIND_DEPLOYMENT, KIND_SERVICE};
    AUTO_FREE char *name = isvc_component_name(isvc);
    json_t *conditions = json_array();
    AUTO_JSON json_t *status =
        json_pack("{s:o,s:s}", "conditions", conditions, "deploymentMode", "Standard");
    static const char *const types[] = {"IngressReady", "PredictorReady", "Ready", "Stopped"};
    const json_t *was;

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        remove_child(p, kinds[i], o->ns, str_of(name), o->uid);
    remove_child(p, KIND_INGRESS, o->ns, o->name, o->uid);
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        was = find_condition(isvc, types[i]);
        if (was)
            json_array_append_new(conditions, json_deep_copy(was));
        set_condition(conditions, types[i], i == 3 ? "True" : "False", i == 3 ? "" : "Stopped", "",
                      pass_now_ms(p), "lastTransitionTime");
    }
    write_status(p, o, status);
}

struct work {
    struct pass *p;
    const struct object *o;
    json_t *isvc, *config, *own;
    struct err config_err;
    struct isvc_runtime rt;
};

/* Before the Deployment, whose pods are admitted with the collector that is there then. */
static void make_collector(struct work *w, bool *foreign)
{
    static const char *const paths[] = {"spec.mode", "=spec.resources", "=spec.config", NULL};
    AUTO_JSON json_t *want = isvc_collector(w->isvc, &w->rt, w->config, w->own);
    AUTO_FREE char *name = isvc_component_name(w->isvc);

    if (want)
        ensure_child(w->p, KIND_OTELCOLLECTOR, want, paths, foreign);
    else
        remove_child(w->p, KIND_OTELCOLLECTOR, w->o->ns, str_of(name), w->o->uid);
}

/* Deployment, Service, collector and autoscaler; false with err if the spec cannot be built or a
 * name is taken. */
static bool make_workload(struct work *w, struct err *err)
{
    static const char *const deployment_paths[] = {"spec.template", "spec.strategy",
                                                   "spec.revisionHistoryLimit",
                                                   "spec.progressDeadlineSeconds", NULL};
    static const char *const fixed_paths[] = {"spec.template", "spec.strategy", "spec.replicas",
                                              NULL};
    static const char *const service_paths[] = {"spec.ports", "spec.selector", NULL};
    AUTO_JSON json_t *deployment = isvc_deployment(w->isvc, &w->rt, w->config, w->own, err),
                     *service = NULL;
    const char *cls = annotation(w->isvc, "serving.kserve.io/autoscalerClass");
    bool foreign = false, fixed = cls && strcmp(cls, "none") == 0;

    if (!deployment)
        return false;
    if (fixed && !json_at(deployment, "spec.replicas"))
        json_put(deployment, "spec.replicas", json_integer(1));
    service =
        isvc_service(w->isvc, &w->rt, w->config, w->own, json_at(deployment, "spec.template.spec"));
    ensure_child(w->p, KIND_SERVICE, service, service_paths, &foreign);
    make_collector(w, &foreign);
    ensure_child(w->p, KIND_DEPLOYMENT, deployment, fixed ? fixed_paths : deployment_paths,
                 &foreign);
    if (foreign) {
        err_set(err, ERR_EXISTS,
                "a Service, Deployment or OpenTelemetryCollector named '%s' exists and belongs to "
                "somebody else: rename the InferenceService or delete it",
                json_text(deployment, "metadata.name", ""));
        return false;
    }
    scale_children(w->p, w->o, w->isvc, &w->rt, w->config, w->own);
    return true;
}

static void make_ingress(struct work *w, struct isvc_observed *seen, struct err *err)
{
    static const char *const paths[] = {"spec.rules", "spec.ingressClassName", NULL};
    const char *visibility = json_string_value(
        json_object_get(json_at(w->isvc, "metadata.labels"), "networking.kserve.io/visibility"));
    AUTO_JSON json_t *ingress = NULL;

    if (json_bool(w->config, "ingress.disableIngressCreation", false) ||
        (visibility && strcmp(visibility, "cluster-local") == 0) ||
        strcmp(json_text(w->config, "ingress.ingressDomain", ""), "svc.cluster.local") == 0) {
        seen->has_ingress = true;
        return;
    }
    ingress = isvc_ingress(w->isvc, w->config, w->own, err);
    if (ingress)
        seen->has_ingress = ensure_child(w->p, KIND_INGRESS, ingress, paths, NULL) != NULL;
}

static void reconcile_live(struct work *w)
{
    struct cluster *c = pass_cluster(w->p);
    AUTO_FREE char *name = isvc_component_name(w->isvc);
    struct isvc_observed seen = {.runtime = &w->rt};
    struct err err = ERR_INIT;
    AUTO_JSON json_t *selector_tree = json_pack("{s:o}", "app", json_fmt("isvc.%s", name)),
                     *deployment = NULL, *pod = NULL;
    AUTO_JSON json_t *status = NULL;
    struct selector *selector = NULL;
    struct pods pods = {0};
    const struct object *d;

    isvc_select_runtime(c, w->isvc, &w->rt);
    if (w->config_err.code) { /* nothing is written by a configuration half understood */
        err = w->config_err;
        seen.failure = err.msg;
    } else if (w->rt.failure)
        err_set(&err, ERR_NOT_FOUND, "%s", w->rt.message);
    else if (!make_workload(w, &err))
        seen.failure = err.msg;
    else if (pass_failure(w->p)) { /* an object of the pass before was refused */
        err_set(&err, ERR_INVALID, "%s", pass_failure(w->p));
        seen.failure = err.msg;
    }
    d = cluster_get(c, KIND_DEPLOYMENT, w->o->ns, str_of(name));
    deployment = d ? object_tree(d) : NULL;
    seen.deployment = deployment;
    selector_from_json(selector_tree, true, &selector, NULL);
    cluster_each(c, KIND_POD, w->o->ns, selector, look_at_pod, &pods);
    selector_free(selector);
    pod = pods.newest ? object_tree(pods.newest) : NULL;
    seen.newest_pod = pod;
    seen.ready_pods = pods.ready;
    status = isvc_status(w->isvc, w->config, &seen, pass_now_ms(w->p));
    if (strcmp(json_text(find_condition(json_object_get(status, "conditions"), "PredictorReady"),
                         "status", ""),
               "True") == 0 &&
        err.code == 0) {
        make_ingress(w, &seen, &err);
        json_decref(status);
        status = isvc_status(w->isvc, w->config, &seen, pass_now_ms(w->p));
    }
    if (err.code) {
        event_emit(c, COMPONENT, w->o, EVENT_WARNING, "InternalError", "%s", err.msg);
        pass_requeue_after(w->p, 30000); /* what is missing wakes us when it comes */
    }
    report_ready(c, w->o, w->isvc, status);
    write_status(w->p, w->o, status);
    object_unref(pods.newest);
}

/* The mode that was decided first stays; then the annotation, then the configuration. */
static const char *mode_of(const json_t *isvc, const json_t *config)
{
    const char *mode = json_text(isvc, "status.deploymentMode", "");

    if (!*mode)
        mode = annotation(isvc, "serving.kserve.io/deploymentMode");
    if (!mode || !*mode)
        mode = json_text(config, "deploy.defaultDeploymentMode", "Standard");
    if (strcmp(mode, "RawDeployment") == 0)
        return "Standard";
    return strcmp(mode, "Serverless") == 0 ? "Knative" : mode;
}

static bool is_other_mode(const char *mode)
{
    return strcmp(mode, "Knative") == 0 || strcmp(mode, "ModelMesh") == 0;
}

static void reject_mode(struct pass *p, const struct object *o, const json_t *isvc,
                        const char *mode)
{
    const json_t *was = find_condition(isvc, "Ready");
    AUTO_JSON json_t *had = sound_status(json_deep_copy(json_object_get(isvc, "status"))),
                     *status = json_pack("{s:O}", "conditions", json_object_get(had, "conditions"));
    AUTO_FREE char *text = mem_printf("deploymentMode %s is not available here: set the annotation "
                                      "serving.kserve.io/deploymentMode to Standard",
                                      mode);

    if (!was || strcmp(json_text(was, "reason", ""), "ServerlessModeRejected") != 0)
        event_emit(pass_cluster(p), COMPONENT, o, EVENT_WARNING, "ServerlessModeRejected", "%s",
                   text);
    set_condition(json_object_get(status, "conditions"), "Ready", "False", "ServerlessModeRejected",
                  text, pass_now_ms(p), "lastTransitionTime");
    write_status(p, o, status);
}

/* disable-auto-update counts from the moment it was Ready. */
static bool is_frozen(const json_t *isvc)
{
    const char *v = annotation(isvc, "serving.kserve.io/disable-auto-update");

    return v && strcmp(v, "true") == 0 &&
           strcmp(json_text(find_condition(isvc, "Ready"), "status", ""), "True") == 0;
}

static void reconcile(void *ctx, struct pass *p)
{
    const struct object *o =
        cluster_get(pass_cluster(p), KIND_INFERENCESERVICE, pass_ns(p), pass_name(p));
    struct work w = {.p = p, .o = o};
    const char *stop;

    (void)ctx;
    if (!o)
        return;
    w.isvc = object_tree(o);
    stop = annotation(w.isvc, "serving.kserve.io/stop");
    if (o->deleting_ms) {
        if (has_finalizer(w.isvc))
            write_finalizer(p, o, w.isvc, false);
    } else if (!has_finalizer(w.isvc)) {
        write_finalizer(p, o, w.isvc, true);
    } else if (stop && str_eq_nocase(str_of(stop), STR("true"))) {
        stop_workload(p, o, w.isvc);
    } else if (is_frozen(w.isvc)) {
        ; /* as it is: no object of it is looked at */
    } else {
        w.config = isvc_config(pass_cluster(p), &w.config_err);
        w.own = owner_reference(o);
        if (is_other_mode(mode_of(w.isvc, w.config)))
            reject_mode(p, o, w.isvc, mode_of(w.isvc, w.config));
        else
            reconcile_live(&w);
    }
    isvc_runtime_done(&w.rt);
    json_decref(w.isvc);
    json_decref(w.config);
    json_decref(w.own);
}

static void on_pod(void *ctx, struct reconciler *r, const struct object *was,
                   const struct object *now)
{
    struct str name = object_label(now, "serving.kserve.io/inferenceservice");

    (void)ctx;
    (void)was;
    if (name.n)
        reconciler_wake(r, now->ns, name);
}

static void wake_one(void *arg, const struct object *o)
{
    reconciler_wake(arg, o->ns, o->name);
}

/* A runtime or the configuration changed: everybody looks again. */
static void on_shared(void *ctx, struct reconciler *r, const struct object *was,
                      const struct object *now)
{
    struct isvc_controller *c = ctx;

    (void)was;
    if (now->kind->id == KIND_CONFIGMAP && !str_is(now->name, "inferenceservice-config"))
        return;
    cluster_each(c->cluster, KIND_INFERENCESERVICE, STR_NONE, NULL, wake_one, r);
}

struct isvc_controller *isvc_controller_new(struct cluster *cluster)
{
    struct isvc_controller *c = mem_zalloc(sizeof(*c));

    c->cluster = cluster;
    c->r = reconciler_new(&(struct reconciler_options){
        .name = "inferenceservice", .cluster = cluster, .reconcile = reconcile, .ctx = c});
    reconciler_watch(c->r, KIND_INFERENCESERVICE);
    reconciler_watch_owned(c->r, KIND_DEPLOYMENT, KIND_INFERENCESERVICE);
    reconciler_watch_owned(c->r, KIND_SERVICE, KIND_INFERENCESERVICE);
    reconciler_watch_owned(c->r, KIND_SCALEDOBJECT, KIND_INFERENCESERVICE);
    reconciler_watch_owned(c->r, KIND_HPA, KIND_INFERENCESERVICE);
    reconciler_watch_owned(c->r, KIND_OTELCOLLECTOR, KIND_INFERENCESERVICE);
    reconciler_watch_owned(c->r, KIND_INGRESS, KIND_INFERENCESERVICE);
    reconciler_watch_fn(c->r, KIND_POD, on_pod);
    reconciler_watch_fn(c->r, KIND_SERVINGRUNTIME, on_shared);
    reconciler_watch_fn(c->r, KIND_CLUSTERSERVINGRUNTIME, on_shared);
    reconciler_watch_fn(c->r, KIND_CONFIGMAP, on_shared);
    return c;
}

void isvc_controller_free(struct isvc_controller *c)
{
    if (!c)
        return;
    reconciler_free(c->r);
    free(c);
}
