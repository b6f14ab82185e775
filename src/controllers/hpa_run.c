/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers/hpa_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "kube/reconciler.h"

#define STATUS_MS 15000 /* a number alone, and an event that is repeated */
#define SHOWN_MS 1000   /* a number that leads to another count */
#define SELECTOR_MS 15000
#define METRIC_BYTES 400  /* what most metrics of a specification take */
#define NEXT_MAX_MS 60000 /* farther apart, they follow something else */

void hpa_run_init(struct hpa_run *r, struct cluster *c, struct hpa_book *book, const char *kind,
                  struct str ns, struct str name)
{
    r->cluster = c;
    r->book = book;
    r->status.cluster = c;
    r->status.manager = HPA_COMPONENT;
    r->owner.kind = kind;
    r->owner.ns = ns;
    r->owner.name = name;
    list_init(&r->save_link);
    hpa_book_add(book, r);
}

void hpa_run_done(struct hpa_run *r)
{
    hpa_book_remove(r->book, r);
    if (r->writing)
        r->writing->run = NULL;
    status_writer_done(&r->status);
    hpa_memory_done(&r->memory);
    decision_log_done(&r->log);
    object_unref(r->hpa);
    arena_done(&r->spec_arena);
    json_decref(r->spec_tree);
    object_unref(r->target.o);
    free(r->ambiguous);
    selector_free(r->selector);
    free(r->target.selector_error);
    *r = (struct hpa_run){0};
}

/* --- what is seen --- */

static void add_pod(void *arg, const struct object *o)
{
    json_array_append_new(arg, object_tree(o));
}

static struct hpa_pod *read_pods(struct hpa_look *l, struct str resource)
{
    struct hpa_pod *pods = arena_alloc(&l->arena, (json_array_size(l->pods) + 1) * sizeof(*pods));
    const json_t *p;
    size_t i;

    json_array_foreach (l->pods, i, p)
        hpa_pod_read(p, resource, &l->arena, &pods[i]);
    return pods;
}

/* The averages of Object and External never look at a pod (hpa.md 5). */
static bool needs_pods(const struct hpa_input *in)
{
    return !in->is_unknown_type &&
           !((in->metric.type == HPA_OBJECT || in->metric.type == HPA_EXTERNAL) &&
             in->metric.target_type == HPA_AVERAGE_VALUE);
}

static void look_at_pods(struct hpa_look *l, const struct selector *sel)
{
    for (size_t i = 0; i < l->spec.n; i++) {
        if (!needs_pods(&l->spec.metrics[i]))
            continue;
        if (!l->pods) {
            l->pods = json_array();
            cluster_each(l->run->cluster, KIND_POD, l->ns, sel, add_pod, l->pods);
            l->scene.n_pods = json_array_size(l->pods);
            l->scene.pods = read_pods(l, STR("cpu"));
        }
        l->spec.metrics[i].pods = read_pods(l, l->spec.metrics[i].metric.resource);
    }
}

/* --- what is scaled --- */

/* From the specification; target_error where it names what cannot be scaled. */
static void read_target_ref(struct hpa_run *r, const json_t *hpa)
{
    const char *version = json_text(hpa, "spec.scaleTargetRef.apiVersion", "apps/v1"),
               *kind = json_text(hpa, "spec.scaleTargetRef.kind", "");
    const struct kind *k = kind_by_type(str_of(version), str_of(kind), NULL);

    r->target_kind = k && k->scale_spec ? k : NULL;
    r->target_name =
        arena_strdup(&r->spec_arena, str_of(json_text(hpa, "spec.scaleTargetRef.name", "")));
    r->target_error =
        r->target_kind
            ? NULL
            : arena_printf(&r->spec_arena,
                           "no matches for kind \"%s\" in version \"%s\" that can be scaled", kind,
                           version)
                  .p;
}

static const struct object *find_target(struct hpa_look *l)
{
    struct hpa_run *r = l->run;
    const struct object *o;
    char resource[128];

    if (!r->target_kind) {
        l->scene.scale_error = arena_strdup(&l->arena, str_of(r->target_error));
        return NULL;
    }
    o = cluster_get(r->cluster, r->target_kind->id, l->ns, str_of(r->target_name));
    if (!o)
        l->scene.scale_error = arena_printf(&l->arena, "%s \"%s\" not found",
                                            kind_resource(r->target_kind, resource), r->target_name)
                                   .p;
    return o;
}

static int selector_of(const struct kind *k, const json_t *target, struct selector **ret,
                       struct err *err)
{
    const json_t *s = json_at(target, k->scale_selector);

    if (json_is_string(s))
        return selector_parse(json_strv(s), ret, err);
    return selector_from_json(s, false, ret, err);
}

/* --- two HPAs on the same pods (hpa.md 10) --- */

struct rivals {
    const struct hpa_run *run, *found;
};

static void ask_for_rival(void *arg, const struct object *pod)
{
    struct rivals *x = arg;

    if (!x->found)
        x->found = hpa_book_rival(x->run->book, x->run, pod);
}

static void check_rivals(struct hpa_look *l)
{
    struct hpa_run *r = l->run;
    struct rivals x = {.run = r};

    if (r->selector_ms == 0 || l->scene.mono_ms - r->selector_ms >= SELECTOR_MS) {
        r->selector_ms = l->scene.mono_ms;
        cluster_each(r->cluster, KIND_POD, l->ns, r->selector, ask_for_rival, &x);
        free(r->ambiguous);
        r->ambiguous = x.found ? mem_printf("pods by this HPA's selector are also selected by HPA "
                                            "%.*s/%.*s; delete one of the two",
                                            STR_ARG(x.found->hpa->ns), STR_ARG(x.found->hpa->name))
                               : NULL;
    }
    if (r->ambiguous) {
        l->scene.selector_reason = "AmbiguousSelector";
        l->scene.selector_error = arena_strdup(&l->arena, str_of(r->ambiguous));
    }
}

/* Of every version of the target what a look needs, and no tree: there are many targets. */
static void read_target(struct hpa_run *r, const struct kind *k, const struct object *o)
{
    AUTO_JSON json_t *tree = NULL;
    struct err err = ERR_INIT;

    if (r->target.o == o)
        return;
    object_unref(r->target.o);
    selector_free(r->selector);
    free(r->target.selector_error);
    r->selector = NULL;
    r->target.selector_error = NULL;
    r->target.o = object_ref(o);
    tree = object_tree(o);
    r->target.replicas = json_int(tree, k->scale_spec, 1);
    r->target.status_replicas = json_int(tree, k->scale_status, 0);
    r->target.ready = json_int(tree, "status.readyReplicas", 0);
    r->target.has_selector = json_at(tree, k->scale_selector) != NULL;
    if (r->target.has_selector && selector_of(k, tree, &r->selector, &err) < 0) {
        r->selector = NULL;
        r->target.selector_error = mem_strdup(err.msg);
    }
}

static void look_at_target(struct hpa_look *l)
{
    struct hpa_run *r = l->run;
    const struct object *target = find_target(l);

    l->target_kind = r->target_kind;
    l->name = str_of(r->target_name);
    if (!target)
        return;
    read_target(r, r->target_kind, target);
    l->scene.current = r->target.replicas;
    l->scene.status_replicas = r->target.status_replicas;
    l->ready = r->target.ready;
    if (!r->target.has_selector) {
        l->scene.selector_reason = "SelectorRequired";
        l->scene.selector_error = "selector is required";
    } else if (!r->selector) {
        l->scene.selector_reason = "InvalidSelector";
        l->scene.selector_error = arena_strdup(&l->arena, str_of(r->target.selector_error));
    } else {
        check_rivals(l);
        look_at_pods(l, r->selector);
    }
}

/* --- the HPA --- */

/* Pods and Object name what they are of in their own way, and so does an External that no trigger
 * answers. */
static bool needs_tree(const struct hpa_run *r)
{
    bool has_triggers = strcmp(r->owner.kind, "ScaledObject") == 0;

    for (size_t i = 0; i < r->spec.n; i++) {
        enum hpa_metric_type type = r->spec.metrics[i].metric.type;

        if (type == HPA_PODS || type == HPA_OBJECT || (type == HPA_EXTERNAL && !has_triggers))
            return true;
    }
    return false;
}

/* Read once for all versions that differ in status only. */
static void read_hpa(struct hpa_run *r, const struct object *hpa)
{
    const struct object *was = r->hpa;
    json_t *tree;

    if (was == hpa)
        return;
    r->hpa = object_ref(hpa);
    if (!was || !object_is_same_but_status(was, hpa)) {
        arena_done(&r->spec_arena);
        json_decref(r->spec_tree);
        tree = object_tree(hpa);
        r->spec_arena.first = json_array_size(json_at(tree, "spec.metrics")) * METRIC_BYTES;
        hpa_spec_read(json_object_get(tree, "spec"), &r->spec_arena, &r->spec);
        read_target_ref(r, tree);
        r->spec_tree = needs_tree(r) ? json_incref(json_object_get(tree, "spec")) : NULL;
        for (size_t i = 0; !r->spec_tree && i < r->spec.n; i++)
            r->spec.metrics[i].json = NULL;
        json_decref(tree);
    }
    object_unref(was);
}

/* A look has metrics of its own, to fill in. */
static void take_spec(struct hpa_look *l)
{
    const struct hpa_spec *spec = &l->run->spec;

    l->spec = *spec;
    l->spec.metrics = arena_alloc(&l->arena, (spec->n + 1) * sizeof(*l->spec.metrics));
    memcpy(l->spec.metrics, spec->metrics, spec->n * sizeof(*l->spec.metrics));
}

/* What others have written into the status counts; what we have is known. */
static void read_told(struct hpa_run *r, const struct object *hpa)
{
    json_t *status;

    if (status_is_ours(&r->status, hpa) || hpa->rv == r->told_rv)
        return;
    status = status_newest(&r->status, hpa);
    hpa_told_read(status, &r->told);
    json_decref(status);
    r->told_rv = hpa->rv;
    r->named = 0;
}

struct hpa_look *hpa_look_begin(struct hpa_run *r, const struct object *hpa, int64_t now)
{
    struct hpa_look *l;

    if (r->writing)
        return NULL;
    if (!r->has_recalled)
        hpa_book_recall(r->book, hpa, &r->memory);
    r->has_recalled = true;
    l = mem_zalloc(sizeof(*l));
    l->began_ns = clock_mono_ns(&clock_system);
    l->run = r;
    l->hpa = object_ref(hpa);
    l->ns = l->hpa->ns;
    l->scene.now_ms = now;
    l->scene.mono_ms = loop_mono_ns(r->cluster->loop) / 1000000;
    read_hpa(r, l->hpa);
    read_told(r, l->hpa);
    l->scene.was_scaled_to_zero = hpa_told_was_scaled_to_zero(&r->told);
    take_spec(l);
    look_at_target(l);
    return l;
}

void hpa_look_decide(struct hpa_look *l)
{
    hpa_pass(&HPA_CONFIG_DEFAULT, &l->spec, &l->scene, &l->run->memory, &l->d);
    l->d.ready = l->ready;
}

void hpa_look_observe(struct hpa_look *l)
{
    hpa_pass_begin(&l->spec, &l->scene, &l->d);
    l->d.ready = l->ready;
}

/* --- telling --- */

static void look_end(struct hpa_look *l)
{
    decision_done(&l->d);
    object_unref(l->hpa);
    json_decref(l->pods);
    arena_done(&l->arena);
    free(l);
}

void hpa_look_drop(struct hpa_look *l)
{
    look_end(l);
}

/* As far as anybody can tell: the same trouble, the same reasons. */
static uint64_t events_of(const struct decision *d)
{
    uint64_t hash = d->n_events;

    for (size_t i = 0; i < d->n_events; i++) {
        hash = hash * 31 + str_hash(str_of(d->events[i].reason));
        hash = hash * 31 + str_hash(str_of(d->events[i].message));
    }
    return hash;
}

/* What repeats is told as often as a sync period of the original would; trouble that is over
 * within a second (a pod that is ready before its first scrape) is not told at all. */
static void emit_events(struct hpa_look *l)
{
    struct hpa_run *r = l->run;
    const struct decision *d = &l->d;
    uint64_t events = events_of(d);
    int64_t now = l->scene.mono_ms;
    bool is_old = r->has_last && events == r->events;

    r->events = events;
    if (!d->has_failed)
        r->failing_ms = 0;
    else if (r->failing_ms == 0)
        r->failing_ms = now;
    if (d->n_events == 0 || (is_old && now - r->events_ms < STATUS_MS))
        return;
    for (size_t i = 0; i < d->n_events; i++)
        if (!d->events[i].is_warning || now - r->failing_ms >= SHOWN_MS)
            event_emit(r->cluster, HPA_COMPONENT, l->hpa,
                       d->events[i].is_warning ? EVENT_WARNING : EVENT_NORMAL, d->events[i].reason,
                       "%s", d->events[i].message);
    if (!d->has_failed || now - r->failing_ms >= SHOWN_MS)
        r->events_ms = now;
}

/* The object as the cluster has it now: a scale was written since the look began. */
static const struct object *hpa_now(const struct hpa_look *l)
{
    const struct object *o = cluster_get(l->run->cluster, KIND_HPA, l->hpa->ns, l->hpa->name);

    return o && str_eq(o->uid, l->hpa->uid) ? o : NULL;
}

json_t *hpa_look_status(struct hpa_look *l)
{
    const struct object *o = hpa_now(l);

    return o ? status_newest(&l->run->status, o) : NULL;
}

/* What matters is written at once. A number that only moved: when the last write is a second old,
 * and not too many others do the same; after STATUS_MS in any case. */
static void write_status_of(struct hpa_look *l)
{
    const struct decision *d = &l->d;
    struct hpa_run *r = l->run;
    int64_t now = l->scene.mono_ms, age = now - r->status_ms;
    const struct object *o;
    json_t *status;

    if (age < STATUS_MS && !hpa_status_matters(&r->told, d) &&
        (age < SHOWN_MS || !hpa_book_may_tell(r->book, now)))
        return;
    if (!(o = hpa_now(l)))
        return;
    status = hpa_status_of(o, status_newest(&r->status, o),
                           status_is_ours(&r->status, o) ? r->named : 0, d);
    if (d->has_metrics)
        r->named = o->generation;
    hpa_told_read(status, &r->told);
    r->told_rv = 0;
    if (status_say(&r->status, o, status))
        r->status_ms = now;
}

/* Looks come with the rounds, or with a clock: as far apart as the last two. */
static int64_t next_look(const struct hpa_run *r, const struct decision *d)
{
    int64_t apart = d->at_ms - r->last_ms;

    return r->has_last && apart > 0 && apart <= NEXT_MAX_MS ? d->at_ms + apart : 0;
}

static void tell(struct hpa_look *l)
{
    struct hpa_run *r = l->run;

    write_status_of(l);
    emit_events(l);
    l->d.next_ms = next_look(r, &l->d);
    decision_log_add(&r->log, &l->d);
    r->last_ms = l->d.at_ms;
    r->has_last = true;
    hpa_book_note(r->book, r, &l->d, clock_mono_ns(&clock_system) - l->began_ns);
    look_end(l);
}

static void on_scaled(void *arg, const struct object *now, const struct err *err)
{
    struct hpa_look *l = arg;
    struct hpa_run *r = l->run;
    const char *error = err ? err->msg : NULL;
    char text[DECISION_TEXT_MAX];

    (void)now;
    if (!r) {
        look_end(l);
        return;
    }
    r->writing = NULL;
    if (!l->by_other)
        hpa_pass_written(&HPA_CONFIG_DEFAULT, &l->spec, &r->memory, &l->d, error);
    if (error) {
        log_warn("autoscale", "%.*s/%.*s: the scale could not be written: %s", STR_ARG(l->ns),
                 STR_ARG(l->name), error);
    } else {
        decision_text(&l->d, text, sizeof(text));
        log_info("autoscale", "%.*s/%.*s: %lld -> %s", STR_ARG(l->ns), STR_ARG(l->name),
                 (long long)l->d.current, text);
    }
    if (r->scaled)
        r->scaled(r->scaled_arg, &l->d, error);
    tell(l);
}

static void write_scale(void *arg)
{
    struct hpa_look *l = arg;
    AUTO_JSON json_t *patch = json_pack("{s:{s:I}}", "spec", "replicas", (json_int_t)l->d.desired);

    if (!l->run) {
        look_end(l);
        return;
    }
    cluster_write(l->run->cluster,
                  &(struct cluster_write){.verb = CLUSTER_MERGE_PATCH,
                                          .kind = l->target_kind->id,
                                          .ns = l->ns,
                                          .name = l->name,
                                          .subresource = "scale",
                                          .tree = patch,
                                          .manager = HPA_COMPONENT},
                  on_scaled, l);
}

/* Fewer pods, but some: who goes is decided by what runs where now, but for a StatefulSet's, of
 * which the last go. */
static bool marks_victims(const struct hpa_look *l)
{
    return l->d.desired < l->d.current && l->d.desired > 0 && l->run->selector &&
           l->target_kind->id != KIND_STATEFULSET;
}

void hpa_look_finish(struct hpa_look *l)
{
    if (!l->d.is_rescale) {
        tell(l);
        return;
    }
    l->run->writing = l;
    if (marks_victims(l))
        victims_mark(l->run->cluster, hpa_book_work(l->run->book), l->ns, l->run->selector,
                     write_scale, l);
    else
        write_scale(l);
}
