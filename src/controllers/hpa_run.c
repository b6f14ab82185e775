/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers/hpa_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "controllers/child.h"
#include "controllers/hpa_status.h"

#define STATUS_MS 15000 /* a number alone, and an event that is repeated */
#define SHOWN_MS 1000   /* a number that leads to another count */
#define SELECTOR_MS 15000
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
    decision_done(&r->last);
    decision_log_done(&r->log);
    object_view_done(&r->hpa);
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

static int target_of(struct cluster *c, const json_t *hpa, struct str ns, const struct kind **kind,
                     const struct object **ret, struct err *err)
{
    const char *version = json_text(hpa, "spec.scaleTargetRef.apiVersion", "apps/v1"),
               *name = json_text(hpa, "spec.scaleTargetRef.name", "");
    char resource[128];

    *kind =
        kind_by_type(str_of(version), str_of(json_text(hpa, "spec.scaleTargetRef.kind", "")), NULL);
    if (!*kind || !(*kind)->scale_spec)
        return err_set(err, ERR_NOT_FOUND,
                       "no matches for kind \"%s\" in version \"%s\" that can be scaled",
                       json_text(hpa, "spec.scaleTargetRef.kind", ""), version);
    *ret = cluster_get(c, (*kind)->id, ns, str_of(name));
    return *ret ? 0
                : err_set(err, ERR_NOT_FOUND, "%s \"%s\" not found", kind_resource(*kind, resource),
                          name);
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

    if (r->selector_ms == 0 || l->scene.now_ms - r->selector_ms >= SELECTOR_MS) {
        r->selector_ms = l->scene.now_ms;
        cluster_each(r->cluster, KIND_POD, l->ns, r->selector, ask_for_rival, &x);
        free(r->ambiguous);
        r->ambiguous = x.found
                           ? mem_printf("pods by this HPA's selector are also selected by HPA "
                                        "%.*s/%.*s; delete one of the two",
                                        STR_ARG(x.found->hpa.o->ns), STR_ARG(x.found->hpa.o->name))
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
    const struct object *target = NULL;
    struct err err = ERR_INIT;

    if (target_of(r->cluster, l->tree, l->ns, &l->target_kind, &target, &err) < 0) {
        l->scene.scale_error = arena_strdup(&l->arena, str_of(err.msg));
        return;
    }
    read_target(r, l->target_kind, target);
    l->name = str_of(json_text(l->tree, "spec.scaleTargetRef.name", ""));
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

/* What only our own status write has changed is not read again. */
static const json_t *tree_of(struct hpa_run *r, const struct object *hpa)
{
    const struct object *was = r->hpa.o;

    if (was && r->status.newest && str_eq(was->uid, hpa->uid) &&
        was->generation == hpa->generation && (r->status.call || hpa->rv == r->status.rv))
        return r->hpa.tree;
    return object_view_of(&r->hpa, hpa);
}

/* Read once for every version of the object; a look has metrics of its own, to fill in. */
static void take_spec(struct hpa_look *l)
{
    struct hpa_run *r = l->run;

    if (r->spec_tree != l->tree) {
        arena_done(&r->spec_arena);
        json_decref(r->spec_tree);
        r->spec_tree = json_incref(l->tree);
        r->spec_arena.first = 1024;
        hpa_spec_read(json_object_get(l->tree, "spec"), &r->spec_arena, &r->spec);
    }
    l->spec = r->spec;
    l->spec.metrics = arena_alloc(&l->arena, (r->spec.n + 1) * sizeof(*l->spec.metrics));
    memcpy(l->spec.metrics, r->spec.metrics, r->spec.n * sizeof(*l->spec.metrics));
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
    l->tree = json_incref((json_t *)(uintptr_t)tree_of(r, hpa));
    l->scene.now_ms = now;
    l->scene.mono_ms = loop_mono_ns(r->cluster->loop) / 1000000;
    l->status = json_incref((json_t *)(uintptr_t)status_newest(&r->status, hpa, l->tree));
    l->scene.was_scaled_to_zero =
        strcmp(json_text(find_condition(json_object_get(l->status, "conditions"), "ScaledToZero"),
                         "status", ""),
               "True") == 0;
    take_spec(l);
    look_at_target(l);
    return l;
}

void hpa_look_decide(struct hpa_look *l)
{
    hpa_pass(&HPA_CONFIG_DEFAULT, &l->spec, &l->scene, &l->run->memory, &l->d);
    l->d.ready = l->ready;
}

/* --- telling --- */

static void look_end(struct hpa_look *l)
{
    decision_done(&l->d);
    object_unref(l->hpa);
    json_decref(l->tree);
    json_decref(l->status);
    json_decref(l->pods);
    arena_done(&l->arena);
    free(l);
}

void hpa_look_drop(struct hpa_look *l)
{
    look_end(l);
}

/* As far as anybody can tell: the same trouble, the same reasons. */
static bool same_events(const struct decision *a, const struct decision *b)
{
    if (a->n_events != b->n_events)
        return false;
    for (size_t i = 0; i < a->n_events; i++)
        if (strcmp(a->events[i].reason, b->events[i].reason) != 0 ||
            strcmp(a->events[i].message, b->events[i].message) != 0)
            return false;
    return true;
}

/* What repeats is told as often as a sync period of the original would; trouble that is over
 * within a second (a pod that is ready before its first scrape) is not told at all. */
static void emit_events(struct hpa_look *l)
{
    struct hpa_run *r = l->run;
    const struct decision *d = &l->d;
    bool is_old = r->has_last && same_events(d, &r->last);

    if (!d->has_failed)
        r->failing_ms = 0;
    else if (r->failing_ms == 0)
        r->failing_ms = d->at_ms;
    if (d->n_events == 0 || (is_old && d->at_ms - r->events_ms < STATUS_MS))
        return;
    for (size_t i = 0; i < d->n_events; i++)
        if (!d->events[i].is_warning || d->at_ms - r->failing_ms >= SHOWN_MS)
            event_emit(r->cluster, HPA_COMPONENT, l->hpa,
                       d->events[i].is_warning ? EVENT_WARNING : EVENT_NORMAL, d->events[i].reason,
                       "%s", d->events[i].message);
    if (!d->has_failed || d->at_ms - r->failing_ms >= SHOWN_MS)
        r->events_ms = d->at_ms;
}

/* What matters is written at once. A number that only moved: when the last write is a second old,
 * and not too many others do the same; after STATUS_MS in any case. */
static void write_status_of(struct hpa_look *l)
{
    const struct decision *d = &l->d;
    struct hpa_run *r = l->run;
    int64_t age = d->at_ms - r->status_ms;
    if (age < STATUS_MS && !hpa_status_matters(l->status, d) &&
        (age < SHOWN_MS || !hpa_book_may_tell(r->book, d->at_ms)))
        return;
    if (status_say(&r->status, l->hpa, l->tree, hpa_status_of(l->tree, l->status, d)))
        r->status_ms = d->at_ms;
}

/* Looks come with the rounds, or with a clock: as far apart as the last two. */
static int64_t next_look(const struct hpa_run *r, const struct decision *d)
{
    int64_t apart = d->at_ms - r->last.at_ms;

    return r->has_last && apart > 0 && apart <= NEXT_MAX_MS ? d->at_ms + apart : 0;
}

static void tell(struct hpa_look *l)
{
    struct hpa_run *r = l->run;

    write_status_of(l);
    emit_events(l);
    l->d.next_ms = next_look(r, &l->d);
    decision_log_add(&r->log, &l->d);
    decision_done(&r->last);
    r->last = l->d;
    r->has_last = true;
    l->d = (struct decision){0};
    hpa_book_note(r->book, r, clock_mono_ns(&clock_system) - l->began_ns);
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

/* Fewer pods, but some: who goes is decided by what runs where now. */
static bool marks_victims(const struct hpa_look *l)
{
    return l->d.desired < l->d.current && l->d.desired > 0 && l->run->selector;
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
