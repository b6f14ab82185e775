/* SPDX-License-Identifier: Apache-2.0
 *
 * Reconciling a ScaledObject (keda.md 2.2): finalizer and label, pauses, target, triggers, the HPA,
 * status. The scale loop itself is in so_scaler.c and evaluate.c. */
#include "controllers/scaledobject.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "controllers/so_int.h"

#define RETRY_MS 10000
#define SPECS_MS 1000

struct cluster *so_cluster(const struct scaledobject_controller *c)
{
    return c->d.world->cluster;
}

/* One pass over one object. */
struct work {
    struct scaledobject_controller *c;
    struct pass *p;
    const struct object *o;
    json_t *so, *status; /* status: what will be said at the end */
    struct scaler *s;
    struct keda_pauses pauses;
    struct so_target target;
};

__attribute__((format(printf, 4, 5))) static void tell(const struct work *w, enum event_type type,
                                                       const char *reason, const char *fmt, ...)
{
    struct buf b = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    event_emit(pass_cluster(w->p), SO_COMPONENT, w->o, type, reason, "%s", buf_cstr(&b));
    buf_done(&b);
}

/* --- finalizer and label --- */

static bool has_finalizer(const json_t *so)
{
    const json_t *v;
    size_t i;

    json_array_foreach (json_at(so, "metadata.finalizers"), i, v) {
        if (str_is(json_strv(v), SO_FINALIZER))
            return true;
    }
    return false;
}

static bool has_label(const json_t *so)
{
    return str_is(json_strv(json_object_get(json_at(so, "metadata.labels"), SO_NAME_LABEL)),
                  json_text(so, "metadata.name", ""));
}

static void write_metadata(struct pass *p, const struct object *o, const json_t *so, bool add)
{
    json_t *list = json_array(), *v;
    AUTO_JSON json_t *patch = NULL;
    size_t i;

    json_array_foreach (json_at(so, "metadata.finalizers"), i, v) {
        if (!str_is(json_strv(v), SO_FINALIZER))
            json_array_append(list, v);
    }
    if (add)
        json_array_append_new(list, json_string(SO_FINALIZER));
    patch = json_pack("{s:{s:o,s:{s:o}}}", "metadata", "finalizers", list, "labels", SO_NAME_LABEL,
                      json_str_new(o->name));
    pass_write(p, &(struct cluster_write){.verb = CLUSTER_MERGE_PATCH,
                                          .kind = KIND_SCALEDOBJECT,
                                          .ns = o->ns,
                                          .name = o->name,
                                          .tree = patch});
}

/* The HPA goes through its owner reference. */
static void finalize(struct work *w)
{
    int64_t original = json_int(w->so, "status.originalReplicaCount", -1);
    struct scaler *s = table_get(&w->c->scalers, w->o->uid);
    struct keda_spec spec;

    if (s) {
        so_scaler_stop(s, w->o);
        so_scaler_free(s);
    }
    if (!has_finalizer(w->so))
        return;
    keda_spec_read(json_object_get(w->so, "spec"), &spec);
    if (spec.restores && original >= 0 && json_at(w->so, "status.scaleTargetGVKR") &&
        so_target_find(pass_cluster(w->p), w->so, w->o->ns, &w->target, NULL) == 0)
        so_target_scale(pass_cluster(w->p), &w->target, original);
    write_metadata(w->p, w->o, w->so, false);
    tell(w, EVENT_WARNING, "ScaledObjectDeleted", "ScaledObject was deleted");
}

/* --- status --- */

static bool say(struct work *w)
{
    json_t *status = w->status;

    w->status = NULL;
    return status_say(&w->s->status, w->o, status);
}

static void fail_check(struct work *w, const char *why)
{
    const struct keda_condition ready = {"False", "ScaledObjectCheckFailed", why},
                                active = {"Unknown", "UnknownState", "ScaledObject check failed"};

    so_set_condition(w->status, "Ready", &ready);
    so_set_condition(w->status, "Active", &active);
    if (!keda_fallback_is_valid(&w->s->spec))
        so_set_condition(w->status, "Fallback", &KEDA_NO_FALLBACK);
    tell(w, EVENT_WARNING, "ScaledObjectCheckFailed", "%s", why);
    w->s->told = 0;
    say(w);
    pass_requeue_after(w->p, RETRY_MS);
}

/* Whether triggers work is for the evaluation to say, and to take back. */
static bool is_triggers_word(const struct work *w)
{
    const char *reason = so_condition(w->status, "Ready", "reason");

    return w->s->is_running &&
           (strcmp(reason, "TriggerError") == 0 || strcmp(reason, "PartialTriggerError") == 0);
}

static void set_ready(struct work *w, const char *message)
{
    struct keda_condition ready = KEDA_READY;

    if (is_triggers_word(w))
        return;
    if (message)
        ready.message = message;
    if (strcmp(so_condition(w->status, "Ready", "status"), "True") != 0)
        tell(w, EVENT_NORMAL, "ScaledObjectReady", "ScaledObject is ready for scaling");
    so_set_condition(w->status, "Ready", &ready);
}

static void set_target(struct work *w)
{
    const struct kind *k = w->target.kind;
    char version[96];

    kind_api_version(k, version);
    json_object_set_new(w->status, "scaleTargetKind", json_fmt("%s.%s", version, k->kind));
    json_object_set_new(w->status, "scaleTargetGVKR",
                        json_pack("{s:s,s:s,s:s,s:s}", "group", k->group, "version", k->version,
                                  "kind", k->kind, "resource", k->plural));
    if (!json_object_get(w->status, "originalReplicaCount"))
        json_object_set_new(w->status, "originalReplicaCount", json_integer(w->target.replicas));
}

static bool is_listed(const struct buf *list, const char *text)
{
    struct str rest = buf_str(list), one;

    while (rest.p && str_split(&rest, ',', &one))
        if (str_is(one, text))
            return true;
    return false;
}

static void add_type(struct buf *list, const char *text)
{
    if (*text && !is_listed(list, text))
        buf_printf(list, "%s%s", list->n ? "," : "", text);
}

static void put_list(json_t *status, const char *key, struct buf *list)
{
    if (list->n)
        json_object_set_new(status, key, json_string(buf_cstr(list)));
    else
        json_object_del(status, key);
    buf_done(list);
}

static void set_types(struct work *w)
{
    struct buf types = BUF_INIT, auths = BUF_INIT;
    const json_t *t;
    size_t i;

    json_array_foreach (json_at(w->so, "spec.triggers"), i, t) {
        add_type(&types, json_text(t, "type", ""));
        add_type(&auths, json_text(t, "authenticationRef.name", ""));
    }
    put_list(w->status, "triggersTypes", &types);
    put_list(w->status, "authenticationsTypes", &auths);
}

static void put_names(json_t *status, const char *key, json_t *names)
{
    if (json_array_size(names))
        json_object_set(status, key, names);
    else
        json_object_del(status, key);
}

static void set_hpa(struct work *w, const struct keda_hpa *h)
{
    put_names(w->status, "externalMetricNames", h->external_names);
    put_names(w->status, "resourceMetricNames", h->resource_names);
    if (h->is_composite)
        json_object_set_new(w->status, "compositeScalerName", json_string(KEDA_COMPOSITE));
    json_object_set_new(w->status, "hpaName",
                        json_string(json_text(h->object, "metadata.name", "")));
    keda_health_prune(w->s->health, h->external_names);
    if (!keda_fallback_is_valid(&w->s->spec)) {
        so_set_condition(w->status, "Fallback", &KEDA_NO_FALLBACK);
        json_object_del(w->status, "health");
    }
}

/* --- pauses --- */

static bool is_paused(const struct work *w)
{
    return strcmp(so_condition(w->status, "Paused", "status"), "True") == 0;
}

static void remove_hpa(struct work *w, const char *name)
{
    if (*name)
        remove_child(w->p, KIND_HPA, w->o->ns, str_of(name), w->o->uid);
}

/* The loop stops, the HPA goes, and the count is what the annotation says. */
static void pause_fully(struct work *w)
{
    char name[KEDA_HPA_NAME_MAX];
    struct err err = ERR_INIT;
    bool is_new = !is_paused(w);

    so_set_condition(w->status, "Paused", &KEDA_PAUSED);
    so_scaler_stop(w->s, w->o);
    remove_hpa(w, keda_hpa_name(w->so, name));
    remove_hpa(w, json_text(w->status, "hpaName", ""));
    if (is_new)
        tell(w, EVENT_NORMAL, "ScaledObjectPaused", "ScaledObject is paused");
    if (w->pauses.is_wrong) {
        fail_check(w, "the annotation autoscaling.keda.sh/paused-replicas is not an integer");
        return;
    }
    json_object_del(w->status, "pausedReplicaCount");
    if (w->pauses.has_replicas) {
        if (so_target_find(pass_cluster(w->p), w->so, w->o->ns, &w->target, &err) < 0) {
            fail_check(w, err.msg);
            return;
        }
        set_target(w); /* the count from before is the original one */
        so_target_scale(pass_cluster(w->p), &w->target, w->pauses.replicas);
        json_object_set_new(w->status, "pausedReplicaCount", json_integer(w->pauses.replicas));
    }
    set_ready(w, "ScaledObject is paused");
    say(w);
}

static void note_pause(struct work *w)
{
    if (w->pauses.scale_in || w->pauses.scale_out) {
        if (!is_paused(w))
            tell(w, EVENT_NORMAL, "ScaledObjectPaused",
                 "ScaledObject is paused in one direction: scaling %s",
                 w->pauses.scale_in ? "in" : "out");
        so_set_condition(w->status, "Paused", &KEDA_PAUSED);
    } else if (is_paused(w)) {
        so_set_condition(w->status, "Paused", &KEDA_UNPAUSED);
        json_object_del(w->status, "pausedReplicaCount");
        tell(w, EVENT_NORMAL, "ScaledObjectUnpaused", "pause annotation removed for ScaledObject");
    }
}

/* --- the HPA --- */

/* Whoever owned an HPA of this name: admission let the ScaledObject take it over. */
static void take_over(struct work *w, const char *name)
{
    AUTO_JSON json_t *patch =
        json_pack("{s:{s:[o]}}", "metadata", "ownerReferences", owner_reference(w->o));

    pass_write(w->p, &(struct cluster_write){.verb = CLUSTER_MERGE_PATCH,
                                             .kind = KIND_HPA,
                                             .ns = w->o->ns,
                                             .name = str_of(name),
                                             .tree = patch});
}

static json_t *metrics_of(const struct scaler *s)
{
    json_t *metrics = json_array();

    for (size_t i = 0; i < s->n; i++)
        json_array_append_new(metrics, trigger_metric_spec(s->triggers[i].t, s->name));
    return metrics;
}

static bool ensure_hpa(struct work *w, struct err *err)
{
    static const char *const paths[] = {
        "spec.scaleTargetRef", "spec.minReplicas", "spec.maxReplicas",     "spec.metrics",
        "spec.behavior",       "metadata.labels",  "metadata.annotations", NULL};
    const char *had = json_text(w->status, "hpaName", ""), *name;
    AUTO_JSON json_t *metrics = metrics_of(w->s);
    struct keda_hpa h = {0};
    char version[96];
    bool foreign = false;

    if (keda_hpa_make(w->so, metrics, kind_api_version(w->target.kind, version),
                      w->target.kind->kind, &h, err) < 0)
        return false;
    name = json_text(h.object, "metadata.name", "");
    json_put(h.object, "metadata.namespace", json_str_new(w->o->ns));
    json_put(h.object, "metadata.ownerReferences", json_pack("[o]", owner_reference(w->o)));
    if (*had && strcmp(had, name) != 0)
        remove_hpa(w, had);
    ensure_child(w->p, KIND_HPA, h.object, paths, &foreign);
    if (foreign)
        take_over(w, name);
    set_hpa(w, &h);
    keda_hpa_done(&h);
    return true;
}

/* Without names and targets there is no HPA to make; why: NULL where they may still come. */
static bool has_specs(const struct scaler *s, const char **why)
{
    for (size_t i = 0; i < s->n; i++)
        if (!trigger_has_spec(s->triggers[i].t, why))
            return false;
    return true;
}

/* --- the pass --- */

static void run(struct work *w)
{
    struct err err = ERR_INIT;
    const char *why;

    if (w->pauses.full) {
        pause_fully(w);
        return;
    }
    note_pause(w);
    if (so_target_find(pass_cluster(w->p), w->so, w->o->ns, &w->target, &err) < 0) {
        fail_check(w, err.msg);
        return;
    }
    set_target(w);
    set_types(w);
    if (!so_scaler_build(w->s, w->o, w->so, &err)) {
        w->s->errors++;
        tell(w, EVENT_WARNING, "KEDAScalerFailed", "%s", err.msg);
        fail_check(w, err.msg);
        return;
    }
    so_scaler_expand(w->s);
    if (!has_specs(w->s, &why)) {
        if (why) {
            tell(w, EVENT_WARNING, "KEDAScalerFailed", "%s", why);
            fail_check(w, why);
        } else {
            say(w);
            pass_requeue_after(w->p, SPECS_MS);
        }
        return;
    }
    if (!ensure_hpa(w, &err)) {
        fail_check(w, err.msg);
        return;
    }
    set_ready(w, NULL);
    so_scaler_start(w->s, w->o);
    say(w);
}

static void reconcile(void *ctx, struct pass *p)
{
    struct scaledobject_controller *c = ctx;
    AUTO_JSON json_t *so = NULL;
    struct work w = {.c = c,
                     .p = p,
                     .o =
                         cluster_get(pass_cluster(p), KIND_SCALEDOBJECT, pass_ns(p), pass_name(p))};

    if (!w.o)
        return;
    w.so = so = object_tree(w.o);
    if (w.o->deleting_ms) {
        finalize(&w);
        return;
    }
    if (!has_finalizer(so) || !has_label(so)) {
        write_metadata(p, w.o, so, true);
        return;
    }
    w.s = so_scaler_of(c, w.o, so);
    w.status = so_status_begin(w.s, w.o);
    keda_pauses_read(json_at(so, "metadata.annotations"), &w.pauses);
    run(&w);
    json_decref(w.status);
}

static void on_deleted(void *ctx, struct reconciler *r, const struct object *was,
                       const struct object *now)
{
    struct scaledobject_controller *c = ctx;
    struct scaler *s = table_get(&c->scalers, now->uid);

    (void)r;
    if (s && was && !cluster_get(so_cluster(c), KIND_SCALEDOBJECT, now->ns, now->name))
        so_scaler_free(s);
}

/* Our own status, written with every other decision, is nothing to reconcile. */
static bool is_status(void *ctx, enum kind_id kind, const struct object *was,
                      const struct object *now)
{
    return was && was != now && object_is_same_but_status(was, now) &&
           cluster_get(so_cluster(ctx), kind, now->ns, now->name) != NULL;
}

static void on_scaledobject(void *ctx, struct reconciler *r, const struct object *was,
                            const struct object *now)
{
    if (!is_status(ctx, KIND_SCALEDOBJECT, was, now))
        reconciler_wake(r, now->ns, now->name);
}

static void on_hpa(void *ctx, struct reconciler *r, const struct object *was,
                   const struct object *now)
{
    const struct object_owner *owner = object_controller(now);

    if (owner && str_is(owner->kind, "ScaledObject") && !is_status(ctx, KIND_HPA, was, now))
        reconciler_wake(r, now->ns, owner->name);
}

/* A target that appears is what a failed check waits for. */
static void wake_by_target(void *arg, const struct object *so)
{
    reconciler_wake(arg, so->ns, so->name);
}

static void on_target(void *ctx, struct reconciler *r, const struct object *was,
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
    reconciler_watch_fn(c->r, KIND_SCALEDOBJECT, on_scaledobject);
    reconciler_watch_fn(c->r, KIND_HPA, on_hpa);
    reconciler_watch_fn(c->r, KIND_SCALEDOBJECT, on_deleted);
    for (int k = 0; k < KIND_COUNT; k++)
        if (kind_of((enum kind_id)k)->scale_spec)
            reconciler_watch_fn(c->r, (enum kind_id)k, on_target);
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
        so_scaler_free(v);
    table_done(&c->scalers);
    free(c);
}
