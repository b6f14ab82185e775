/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers/statefulset.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "controllers/child.h"
#include "controllers/statefulset_plan.h"

#define COMPONENT "statefulset-controller"
#define REVISION_LABEL "controller-revision-hash"

struct statefulset_controller {
    struct reconciler *r;
};

/* One look at a set. */
struct view {
    struct pass *p;
    const struct object *o;
    json_t *set;
    struct sts_history history;
    struct sts_pod *pods; /* each with an own reference to its object */
    size_t n, cap;
    bool adopts; /* a pod is being taken over: it counts from the next pass on */
    int64_t replicas, ready, available, current, updated;
};

/* --- pods as they are --- */

static bool is_revision(const struct object *pod, const char *name)
{
    struct str label = object_label(pod, REVISION_LABEL);

    return label.p && str_is(label, name);
}

static void read_pod(struct view *v, const struct object *o, int64_t ordinal)
{
    AUTO_JSON json_t *pod = object_tree(o);
    const char *phase = json_text(pod, "status.phase", "");
    const json_t *ready = find_condition(pod, "Ready");
    int64_t since = 0, min = json_int(v->set, "spec.minReadySeconds", 0) * 1000,
            now = pass_now_ms(v->p);
    struct sts_pod x = {.ref = object_ref(o),
                        .ordinal = ordinal,
                        .is_terminating = o->deleting_ms != 0,
                        .is_ended = strcmp(phase, "Failed") == 0 || strcmp(phase, "Succeeded") == 0,
                        .is_current = is_revision(o, v->history.current),
                        .is_updated = is_revision(o, v->history.update)};

    x.is_ready =
        strcmp(phase, "Running") == 0 && strcmp(json_text(ready, "status", ""), "True") == 0;
    time_parse(str_of(json_text(ready, "lastTransitionTime", "")), &since);
    x.is_available = x.is_ready && since + min <= now;
    if (x.is_ready && !x.is_available)
        pass_requeue_after(v->p, since + min - now + 10);
    mem_grow(&v->pods, &v->cap, v->n);
    v->pods[v->n++] = x;
    v->replicas++;
    v->ready += x.is_ready;
    v->available += x.is_available;
    v->current += x.is_current && !x.is_terminating;
    v->updated += x.is_updated && !x.is_terminating;
}

static void add_pod(void *arg, const struct object *o)
{
    struct view *v = arg;
    int64_t ordinal = sts_ordinal(v->o->name.p, v->o->name.n, o->name.p, o->name.n);

    if (ordinal < 0)
        return;
    if (!object_is_owned_by(o, v->o->uid)) {
        if (!object_controller(o) && !o->deleting_ms) {
            adopt_child(v->p, v->o, o);
            v->adopts = true;
        }
        return;
    }
    read_pod(v, o, ordinal);
}

/* --- pods as they are to be --- */

/* What a claim would have brought: an emptyDir of its name (docs/differences.md). */
static void add_volumes(json_t *spec, const json_t *set)
{
    json_t *volumes = json_array(), *v;
    const json_t *claims = json_at(set, "spec.volumeClaimTemplates"), *claim;
    size_t i, k;

    json_array_foreach (json_object_get(spec, "volumes"), i, v) {
        bool is_claimed = false;

        json_array_foreach ((json_t *)(uintptr_t)claims, k, claim)
            is_claimed |=
                strcmp(json_text(claim, "metadata.name", ""), json_text(v, "name", "")) == 0;
        if (!is_claimed)
            json_array_append(volumes, v);
    }
    json_array_foreach ((json_t *)(uintptr_t)claims, k, claim)
        json_array_append_new(
            volumes,
            json_pack("{s:s,s:{}}", "name", json_text(claim, "metadata.name", ""), "emptyDir"));
    if (json_array_size(volumes))
        json_object_set(spec, "volumes", volumes);
    json_decref(volumes);
}

json_t *sts_pod_of(const struct object *o, const json_t *set, const json_t *template,
                   const char *revision, int64_t ordinal)
{
    json_t *meta = json_is_object(json_object_get(template, "metadata"))
                       ? json_deep_copy(json_object_get(template, "metadata"))
                       : json_object(),
           *spec = json_deep_copy(json_object_get(template, "spec")), *labels;
    AUTO_FREE char *name = mem_printf("%.*s-%lld", STR_ARG(o->name), (long long)ordinal);
    const char *service = json_text(set, "spec.serviceName", "");

    json_object_del(meta, "creationTimestamp");
    json_object_set_new(meta, "name", json_string(name));
    json_object_set_new(meta, "generateName", json_fmt("%.*s-", STR_ARG(o->name)));
    json_object_set_new(meta, "namespace", json_str_new(o->ns));
    json_object_set_new(meta, "ownerReferences", json_pack("[o]", owner_reference(o)));
    labels = json_object_get(meta, "labels");
    if (!json_is_object(labels)) {
        labels = json_object();
        json_object_set_new(meta, "labels", labels);
    }
    json_object_set_new(labels, "statefulset.kubernetes.io/pod-name", json_string(name));
    json_object_set_new(labels, "apps.kubernetes.io/pod-index",
                        json_fmt("%lld", (long long)ordinal));
    json_object_set_new(labels, REVISION_LABEL, json_string(revision));
    json_object_set_new(spec, "hostname", json_string(name));
    if (*service)
        json_object_set_new(spec, "subdomain", json_string(service));
    add_volumes(spec, set);
    return json_pack("{s:s,s:s,s:o,s:o}", "apiVersion", "v1", "kind", "Pod", "metadata", meta,
                     "spec", spec);
}

/* --- writes, and what is told of them --- */

struct told {
    struct cluster *c;
    char *ns, *set, *pod;
    bool is_create;
};

static void on_written(void *arg, const struct object *now, const struct err *err)
{
    struct told *t = arg;
    const struct object *set = cluster_get(t->c, KIND_STATEFULSET, str_of(t->ns), str_of(t->set));
    const char *verb = t->is_create ? "create" : "delete";

    (void)now;
    if (set && !err)
        event_emit(t->c, COMPONENT, set, EVENT_NORMAL,
                   t->is_create ? "SuccessfulCreate" : "SuccessfulDelete",
                   "%s Pod %s in StatefulSet %s successful", verb, t->pod, t->set);
    else if (set && err->code != ERR_EXISTS && err->code != ERR_CONFLICT &&
             err->code != ERR_NOT_FOUND)
        event_emit(t->c, COMPONENT, set, EVENT_WARNING,
                   t->is_create ? "FailedCreate" : "FailedDelete",
                   "%s Pod %s in StatefulSet %s failed error: %s", verb, t->pod, t->set, err->msg);
    free(t->ns);
    free(t->set);
    free(t->pod);
    free(t);
}

static void write_pod(struct view *v, const struct cluster_write *w, char *name)
{
    struct told *t = mem_alloc(sizeof(*t));

    *t = (struct told){pass_cluster(v->p), str_dup(v->o->ns), str_dup(v->o->name), name,
                       w->verb == CLUSTER_CREATE};
    pass_write_done(v->p, w, on_written, t);
}

static void create_pod(struct view *v, const struct sts_action *a)
{
    const struct sts_history *h = &v->history;
    AUTO_JSON json_t *pod =
        a->is_updated
            ? sts_pod_of(v->o, v->set, json_at(v->set, "spec.template"), h->update, a->ordinal)
            : sts_pod_of(v->o, v->set, h->current_template, h->current, a->ordinal);

    write_pod(v,
              &(struct cluster_write){
                  .verb = CLUSTER_CREATE, .kind = KIND_POD, .ns = v->o->ns, .tree = pod},
              mem_strdup(json_text(pod, "metadata.name", "")));
}

static void delete_pod(struct view *v, const struct sts_action *a)
{
    const struct object *o = v->pods[a->pod].ref;

    if (a->verb == STS_RECREATE)
        event_emit(pass_cluster(v->p), COMPONENT, v->o, EVENT_WARNING, "RecreatingFailedPod",
                   "StatefulSet %.*s/%.*s is recreating failed Pod %.*s", STR_ARG(o->ns),
                   STR_ARG(v->o->name), STR_ARG(o->name));
    write_pod(v,
              &(struct cluster_write){.verb = CLUSTER_DELETE,
                                      .kind = KIND_POD,
                                      .ns = o->ns,
                                      .name = o->name,
                                      .uid = o->uid,
                                      .grace_s = -1},
              str_dup(o->name));
}

/* --- the whole set --- */

static int64_t max_unavailable(const json_t *set, int64_t replicas)
{
    const json_t *v = json_at(set, "spec.updateStrategy.rollingUpdate.maxUnavailable");
    struct str s = json_strv(v);
    int64_t n = 1;

    if (json_is_integer(v))
        n = json_integer_value(v);
    else if (s.n && str_to_i64((struct str){s.p, s.n - 1}, &n)) /* a percentage, rounded up */
        n = (n * replicas + 99) / 100;
    return n < 1 ? 1 : n;
}

static void act(struct view *v)
{
    int64_t replicas = json_int(v->set, "spec.replicas", 1);
    struct sts_spec s = {
        .start = json_int(v->set, "spec.ordinals.start", 0),
        .replicas = replicas,
        .is_parallel = strcmp(json_text(v->set, "spec.podManagementPolicy", ""), "Parallel") == 0,
        .is_on_delete = strcmp(json_text(v->set, "spec.updateStrategy.type", ""), "OnDelete") == 0,
        .partition = json_int(v->set, "spec.updateStrategy.rollingUpdate.partition", 0),
        .max_unavailable = max_unavailable(v->set, replicas)};
    struct sts_action *actions;
    size_t n = sts_plan(&s, v->pods, v->n, &actions);

    for (size_t i = 0; i < n; i++) {
        if (actions[i].verb == STS_CREATE)
            create_pod(v, &actions[i]);
        else
            delete_pod(v, &actions[i]);
    }
    free(actions);
}

static void put_count(json_t *o, const char *key, int64_t n)
{
    if (n)
        json_object_set_new(o, key, json_integer(n));
}

static void update_status(struct view *v)
{
    AUTO_JSON json_t *status = json_object();
    const struct sts_history *h = &v->history;
    /* a roll-out that has come to its end: what was new is what there is */
    bool is_complete =
        strcmp(json_text(v->set, "spec.updateStrategy.type", ""), "RollingUpdate") == 0 &&
        v->updated == v->replicas && v->ready == v->replicas &&
        v->replicas == json_int(v->set, "spec.replicas", 1);

    json_object_set_new(status, "observedGeneration", json_integer(v->o->generation));
    json_object_set_new(status, "replicas", json_integer(v->replicas));
    put_count(status, "readyReplicas", v->ready);
    put_count(status, "currentReplicas", is_complete ? v->updated : v->current);
    put_count(status, "updatedReplicas", v->updated);
    json_object_set_new(status, "currentRevision",
                        json_string(is_complete ? h->update : h->current));
    json_object_set_new(status, "updateRevision", json_string(h->update));
    json_object_set_new(status, "availableReplicas", json_integer(v->available));
    if (json_at(v->set, "status.conditions"))
        json_object_set(status, "conditions", json_at(v->set, "status.conditions"));
    write_status(v->p, v->o, status);
}

static void prune(struct view *v)
{
    char **used = mem_array(v->n + 1, sizeof(*used));

    for (size_t i = 0; i < v->n; i++)
        used[i] = str_dup(object_label(v->pods[i].ref, REVISION_LABEL));
    sts_history_prune(&v->history, v->p, v->set, (const char *const *)used);
    for (size_t i = 0; i < v->n; i++)
        free(used[i]);
    free(used);
}

static void reconcile(void *ctx, struct pass *p)
{
    const struct object *o =
        cluster_get(pass_cluster(p), KIND_STATEFULSET, pass_ns(p), pass_name(p));
    struct view v = {.p = p, .o = o};
    struct selector *selector = NULL;

    (void)ctx;
    if (!o || o->deleting_ms)
        return;
    v.set = object_tree(o);
    if (selector_from_json(json_at(v.set, "spec.selector"), false, &selector, NULL) == 0) {
        sts_history_read(&v.history, p, o, v.set, selector);
        if (v.history.is_ready) { /* else what is taken over shows when it is ours */
            cluster_each(pass_cluster(p), KIND_POD, o->ns, selector, add_pod, &v);
            if (!v.adopts)
                act(&v);
            update_status(&v);
            prune(&v);
        }
    }
    for (size_t i = 0; i < v.n; i++)
        object_unref(v.pods[i].ref);
    free(v.pods);
    sts_history_done(&v.history);
    selector_free(selector);
    json_decref(v.set);
}

struct statefulset_controller *statefulset_controller_new(struct cluster *cluster)
{
    struct statefulset_controller *c = mem_zalloc(sizeof(*c));

    c->r = reconciler_new(&(struct reconciler_options){
        .name = "statefulset", .cluster = cluster, .reconcile = reconcile, .ctx = c});
    reconciler_watch(c->r, KIND_STATEFULSET);
    reconciler_watch_owned(c->r, KIND_POD, KIND_STATEFULSET);
    reconciler_watch_owned(c->r, KIND_CONTROLLERREVISION, KIND_STATEFULSET);
    return c;
}

void statefulset_controller_free(struct statefulset_controller *c)
{
    if (!c)
        return;
    reconciler_free(c->r);
    free(c);
}
