/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers/scaledobject.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "controllers/so_int.h"

#define FINALIZER "finalizer.keda.sh"
#define POLL_DEFAULT_MS 1000
#define TICK_MS 1000

struct cluster *so_cluster(const struct scaledobject_controller *c)
{
    return c->d.world->cluster;
}

void so_hpa_name(const json_t *so, char out[260])
{
    const char *given = json_text(so, "spec.advanced.horizontalPodAutoscalerConfig.name", "");

    if (*given)
        snprintf(out, 260, "%.253s", given);
    else
        snprintf(out, 260, "keda-hpa-%.240s", json_text(so, "metadata.name", ""));
}

/* --- scalers --- */

static void on_round(void *arg, int64_t round_ms, bool complete)
{
    (void)complete;
    scaler_evaluate(arg, round_ms);
}

/* A trigger that is asked elsewhere has another answer. */
static void on_answer(void *arg)
{
    struct scaler *s = arg;

    scaler_evaluate(s, loop_wall_ms(so_cluster(s->c)->loop));
}

/* A trigger's metric has another name or target: the HPA is to be made anew. */
static void on_respec(void *arg)
{
    struct scaler *s = arg;

    reconciler_wake(s->c->r, str_of(s->ns), str_of(s->name));
}

static void on_tick(void *arg)
{
    struct scaler *s = arg;
    bool builtin = false;

    for (size_t i = 0; i < s->n; i++)
        builtin |= trigger_is_builtin(s->triggers[i]);
    if (!builtin)
        scaler_evaluate(s, loop_wall_ms(so_cluster(s->c)->loop));
    loop_timer_start(&s->tick, TICK_MS);
}

static void drop_triggers(struct scaler *s)
{
    for (size_t i = 0; i < s->n; i++)
        trigger_free(s->triggers[i]);
    free(s->triggers);
    s->triggers = NULL;
    s->n = 0;
}

static void free_scaler(struct scaler *s)
{
    rounds_unsubscribe(s->c->d.rounds, on_round, s);
    loop_timer_stop(&s->tick);
    table_del(&s->c->scalers, str_of(s->uid));
    drop_triggers(s);
    object_view_done(&s->so);
    hpa_run_done(&s->run);
    free(s->uid);
    free(s->ns);
    free(s->name);
    free(s->target);
    free(s);
}

static struct scaler *scaler_of(struct scaledobject_controller *c, const struct object *o,
                                const json_t *so)
{
    struct scaler *s = table_get(&c->scalers, o->uid);
    const char *target = json_text(so, "spec.scaleTargetRef.name", "");

    if (s && strcmp(s->target, target) != 0) {
        free_scaler(s);
        s = NULL;
    }
    if (s)
        return s;
    s = mem_zalloc(sizeof(*s));
    s->c = c;
    s->uid = str_dup(o->uid);
    s->ns = str_dup(o->ns);
    s->name = str_dup(o->name);
    s->target = mem_strdup(target);
    s->generation = -1;
    hpa_run_init(&s->run, so_cluster(c), c->d.book, "ScaledObject", str_of(s->ns), str_of(s->name));
    s->run.scaled = scaler_scaled;
    s->run.scaled_arg = s;
    loop_timer_init(&s->tick, so_cluster(c)->loop, on_tick, s);
    loop_timer_start(&s->tick, TICK_MS);
    table_set(&c->scalers, o->uid, s);
    rounds_subscribe(c->d.rounds, o->ns, str_of(target), on_round, s);
    return s;
}

static bool uses_modifiers(const json_t *so)
{
    return json_object_size(json_at(so, "spec.advanced.scalingModifiers")) > 0;
}

static bool make_triggers(struct scaler *s, const struct object *o, const json_t *so,
                          struct err *err)
{
    const json_t *list = json_at(so, "spec.triggers"), *t;
    int64_t poll = json_int(so, "spec.pollingInterval", 0) * 1000;
    size_t i;

    if (s->generation == o->generation && s->n > 0)
        return true;
    drop_triggers(s);
    s->triggers = mem_array(json_array_size(list), sizeof(*s->triggers));
    json_array_foreach ((json_t *)list, i, t) {
        struct trigger_options options = {.world = s->c->d.world,
                                          .ns = o->ns,
                                          .so_name = o->name,
                                          .spec = t,
                                          .scale_target = json_at(so, "spec.scaleTargetRef"),
                                          .has_modifiers = uses_modifiers(so),
                                          .index = (int)i,
                                          .poll_ms = poll ? poll : POLL_DEFAULT_MS,
                                          .changed = on_answer,
                                          .respec = on_respec,
                                          .arg = s};

        if (trigger_new(&options, &s->triggers[s->n], err) < 0) {
            drop_triggers(s);
            return false;
        }
        s->n++;
    }
    s->generation = o->generation;
    return true;
}

/* Without names and targets there is no HPA to make; why: NULL where they may still come. */
static bool has_specs(const struct scaler *s, const char **why)
{
    for (size_t i = 0; i < s->n; i++)
        if (!trigger_has_spec(s->triggers[i], why))
            return false;
    return true;
}

/* --- the HPA --- */

static json_t *hpa_object(const struct object *o, const json_t *so, const struct scaler *s)
{
    char name[260];
    int64_t min = json_int(so, "spec.minReplicaCount", 0);
    json_t *metrics = json_array(), *labels, *spec;
    const json_t *behavior = json_at(so, "spec.advanced.horizontalPodAutoscalerConfig.behavior");
    json_t *annotations = json_at(so, "metadata.annotations")
                              ? json_deep_copy(json_at(so, "metadata.annotations"))
                              : json_object();

    so_hpa_name(so, name);
    labels = json_pack("{s:s,s:s,s:o,s:s}", "app.kubernetes.io/name", name,
                       "app.kubernetes.io/version", "2.18.0", "app.kubernetes.io/part-of",
                       json_str_new(o->name), "app.kubernetes.io/managed-by", "keda-operator");
    if (json_at(so, "metadata.labels"))
        json_object_update(labels, json_at(so, "metadata.labels"));
    json_object_del(annotations, "kubectl.kubernetes.io/last-applied-configuration");
    for (int external = 1; external >= 0; external--) /* External sorts before Resource */
        for (size_t i = 0; i < s->n; i++)
            if (trigger_is_external(s->triggers[i]) == external)
                json_array_append_new(metrics, trigger_metric_spec(s->triggers[i], s->name));
    spec = json_pack("{s:{s:s,s:s,s:s},s:I,s:I,s:o}", "scaleTargetRef", "apiVersion",
                     json_text(so, "spec.scaleTargetRef.apiVersion", "apps/v1"), "kind",
                     json_text(so, "spec.scaleTargetRef.kind", "Deployment"), "name", s->target,
                     "minReplicas", (json_int_t)(min > 1 ? min : 1), "maxReplicas",
                     (json_int_t)json_int(so, "spec.maxReplicaCount", 100), "metrics", metrics);
    if (behavior)
        json_object_set_new(spec, "behavior", json_deep_copy(behavior));
    return json_pack("{s:s,s:s,s:{s:s,s:o,s:o,s:o,s:[o]},s:o}", "apiVersion", "autoscaling/v2",
                     "kind", "HorizontalPodAutoscaler", "metadata", "name", name, "namespace",
                     json_str_new(o->ns), "labels", labels, "annotations", annotations,
                     "ownerReferences", owner_reference(o), "spec", spec);
}

/* --- status --- */

static void fail_check(struct pass *p, const struct object *o, const json_t *so, const char *why)
{
    json_t *status = json_at(so, "status") ? json_deep_copy(json_at(so, "status")) : json_object();
    json_t *list = json_object_get(status, "conditions");

    if (!list) {
        list = json_array();
        json_object_set_new(status, "conditions", list);
    }
    set_condition(list, "Ready", "False", "ScaledObjectCheckFailed", why, 0, NULL);
    set_condition(list, "Active", "Unknown", "UnknownState", "ScaledObject check failed", 0, NULL);
    event_emit(pass_cluster(p), SO_COMPONENT, o, EVENT_WARNING, "ScaledObjectCheckFailed", "%s",
               why);
    write_status(p, o, status);
    json_decref(status);
    pass_requeue_after(p, 10000);
}

/* Whether triggers work is for the evaluation to say, and to take back. */
static bool is_triggers_word(const json_t *list)
{
    const char *reason = json_text(find_condition(list, "Ready"), "reason", "");

    return strcmp(reason, "TriggerError") == 0 || strcmp(reason, "PartialTriggerError") == 0;
}

static void good_status(struct pass *p, const struct object *o, const json_t *so,
                        const struct scaler *s)
{
    json_t *status = json_at(so, "status") ? json_deep_copy(json_at(so, "status")) : json_object();
    json_t *list = json_object_get(status, "conditions"), *names = json_array();
    bool was_ready =
        list && strcmp(json_text(find_condition(list, "Ready"), "status", ""), "True") == 0;
    char hpa[260];
    struct buf types = BUF_INIT;

    if (!list) {
        list = json_array();
        json_object_set_new(status, "conditions", list);
    }
    if (!is_triggers_word(list))
        set_condition(list, "Ready", "True", "ScaledObjectReady",
                      "ScaledObject is defined correctly and is ready for scaling", 0, NULL);
    if (!find_condition(list, "Active"))
        set_condition(list, "Active", "False", "ScalerNotActive",
                      "Scaling is not performed because triggers are not active", 0, NULL);
    if (!find_condition(list, "Fallback"))
        set_condition(list, "Fallback", "False", "NoFallbackFound",
                      "No fallbacks are active on this scaled object", 0, NULL);
    if (!find_condition(list, "Paused"))
        set_condition(list, "Paused", "Unknown", "", "", 0, NULL);
    for (size_t i = 0; i < s->n; i++) {
        const char *type = json_text(json_array_get(json_at(so, "spec.triggers"), i), "type", "");

        if (trigger_is_external(s->triggers[i]))
            json_array_append_new(names, json_string(trigger_metric_name(s->triggers[i])));
        if (str_find(buf_str(&types), str_of(type)) < 0)
            buf_printf(&types, "%s%s", types.n ? "," : "", type);
    }
    so_hpa_name(so, hpa);
    json_object_set_new(status, "scaleTargetKind", json_string("apps/v1.Deployment"));
    json_object_set_new(status, "scaleTargetGVKR",
                        json_pack("{s:s,s:s,s:s,s:s}", "group", "apps", "version", "v1", "kind",
                                  "Deployment", "resource", "deployments"));
    if (!json_object_get(status, "originalReplicaCount"))
        json_object_set_new(status, "originalReplicaCount", json_integer(1));
    json_object_set_new(status, "externalMetricNames", names);
    json_object_set_new(status, "hpaName", json_string(hpa));
    json_object_set_new(status, "triggersTypes", json_string(buf_cstr(&types)));
    buf_done(&types);
    if (!was_ready && !is_triggers_word(list))
        event_emit(pass_cluster(p), SO_COMPONENT, o, EVENT_NORMAL, "ScaledObjectReady",
                   "ScaledObject is ready for scaling");
    write_status(p, o, status);
    json_decref(status);
}

/* --- reconciling --- */

static bool has_finalizer(const json_t *so)
{
    const json_t *v;
    size_t i;

    json_array_foreach (json_at(so, "metadata.finalizers"), i, v) {
        if (str_is(json_strv(v), FINALIZER))
            return true;
    }
    return false;
}

static void write_finalizer(struct pass *p, const struct object *o, const json_t *so, bool add)
{
    json_t *list = json_array(), *v;
    AUTO_JSON json_t *patch = NULL;
    size_t i;

    json_array_foreach (json_at(so, "metadata.finalizers"), i, v) {
        if (!str_is(json_strv(v), FINALIZER))
            json_array_append(list, v);
    }
    if (add)
        json_array_append_new(list, json_string(FINALIZER));
    patch = json_pack("{s:{s:o,s:{s:o}}}", "metadata", "finalizers", list, "labels",
                      "scaledobject.keda.sh/name", json_str_new(o->name));
    pass_write(p, &(struct cluster_write){.verb = CLUSTER_MERGE_PATCH,
                                          .kind = KIND_SCALEDOBJECT,
                                          .ns = o->ns,
                                          .name = o->name,
                                          .tree = patch});
}

static void reconcile(void *ctx, struct pass *p)
{
    static const char *const paths[] = {"spec.scaleTargetRef", "spec.minReplicas",
                                        "spec.maxReplicas",    "spec.metrics",
                                        "spec.behavior",       NULL};
    struct scaledobject_controller *c = ctx;
    const struct object *o =
        cluster_get(pass_cluster(p), KIND_SCALEDOBJECT, pass_ns(p), pass_name(p));
    AUTO_JSON json_t *so = NULL, *hpa = NULL;
    struct err err = ERR_INIT;
    const char *why;
    struct scaler *s;

    if (!o)
        return;
    so = object_tree(o);
    if (o->deleting_ms) {
        s = table_get(&c->scalers, o->uid);
        if (s)
            free_scaler(s);
        if (has_finalizer(so))
            write_finalizer(p, o, so, false);
        return;
    }
    if (!has_finalizer(so)) {
        write_finalizer(p, o, so, true);
        return;
    }
    if (strcmp(json_text(so, "spec.scaleTargetRef.kind", "Deployment"), "Deployment") != 0) {
        fail_check(p, o, so, "only Deployments can be scaled by this version");
        return;
    }
    if (!cluster_get(pass_cluster(p), KIND_DEPLOYMENT, o->ns,
                     str_of(json_text(so, "spec.scaleTargetRef.name", "")))) {
        fail_check(p, o, so,
                   "ScaledObject doesn't have correct scaleTargetRef specification: the target "
                   "resource doesn't exist");
        return;
    }
    s = scaler_of(c, o, so);
    if (!make_triggers(s, o, so, &err)) {
        event_emit(pass_cluster(p), SO_COMPONENT, o, EVENT_WARNING, "KEDAScalerFailed", "%s",
                   err.msg);
        fail_check(p, o, so, err.msg);
        return;
    }
    if (!has_specs(s, &why)) {
        if (why) {
            event_emit(pass_cluster(p), SO_COMPONENT, o, EVENT_WARNING, "KEDAScalerFailed", "%s",
                       why);
            fail_check(p, o, so, why);
        } else {
            pass_requeue_after(p, TICK_MS);
        }
        return;
    }
    hpa = hpa_object(o, so, s);
    ensure_child(p, KIND_HPA, hpa, paths, NULL);
    good_status(p, o, so, s);
}

static void on_deleted(void *ctx, struct reconciler *r, const struct object *was,
                       const struct object *now)
{
    struct scaledobject_controller *c = ctx;
    struct scaler *s = table_get(&c->scalers, now->uid);

    (void)r;
    if (s && was && !cluster_get(so_cluster(c), KIND_SCALEDOBJECT, now->ns, now->name))
        free_scaler(s);
}

/* A target that appears is what a failed check waits for. */
static void wake_by_target(void *arg, const struct object *so)
{
    reconciler_wake(arg, so->ns, so->name);
}

static void on_deployment(void *ctx, struct reconciler *r, const struct object *was,
                          const struct object *now)
{
    struct scaledobject_controller *c = ctx;

    if (!was)
        cluster_each(so_cluster(c), KIND_SCALEDOBJECT, now->ns, NULL, wake_by_target, r);
}

struct scaledobject_controller *scaledobject_controller_new(const struct scaledobject_deps *d)
{
    struct scaledobject_controller *c = mem_zalloc(sizeof(*c));

    c->d = *d;
    c->r = reconciler_new(&(struct reconciler_options){
        .name = "scaledobject", .cluster = d->world->cluster, .reconcile = reconcile, .ctx = c});
    reconciler_watch(c->r, KIND_SCALEDOBJECT);
    reconciler_watch_owned(c->r, KIND_HPA, KIND_SCALEDOBJECT);
    reconciler_watch_fn(c->r, KIND_SCALEDOBJECT, on_deleted);
    reconciler_watch_fn(c->r, KIND_DEPLOYMENT, on_deployment);
    return c;
}

void scaledobject_controller_wake(struct scaledobject_controller *c, struct str ns, struct str name)
{
    reconciler_wake(c->r, ns, name);
}

void scaledobject_controller_free(struct scaledobject_controller *c)
{
    size_t i;
    void *v;

    if (!c)
        return;
    reconciler_free(c->r);
    while (i = 0, table_next(&c->scalers, &i, NULL, &v))
        free_scaler(v);
    table_done(&c->scalers);
    free(c);
}

void scaledobject_metrics(struct scaledobject_controller *c, struct buf *out)
{
    size_t i = 0;
    void *v;

    buf_add_cstr(out, "# HELP keda_scaler_metrics_value Last value of a trigger.\n# TYPE "
                      "keda_scaler_metrics_value gauge\n");
    while (table_next(&c->scalers, &i, NULL, &v)) {
        const struct scaler *s = v;

        for (size_t k = 0; s->run.has_last && k < s->run.last.n; k++)
            if (s->run.last.metrics[k].state != METRIC_UNKNOWN)
                buf_printf(out,
                           "keda_scaler_metrics_value{metric=\"%s\",namespace=\"%s\",scaledObject="
                           "\"%s\",triggerIndex=\"%zu\",type=\"scaledobject\"} %g\n",
                           s->run.last.metrics[k].name, s->ns, s->name, k,
                           s->run.last.metrics[k].value);
    }
}
