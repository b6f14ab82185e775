/* SPDX-License-Identifier: Apache-2.0
 *
 * Deployments: one ReplicaSet per template, rolled over with surge and unavailability bounds. */
#include "controllers/deployment.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "controllers/child.h"

struct deployment_controller {
    struct reconciler *r;
};

struct rs_list {
    struct object **items; /* newest first */
    size_t n, cap;
    struct pass *p;
    const struct object *owner;
    bool adopts; /* a ReplicaSet is being taken over: its template counts from the next pass on */
};

static void add_rs(void *arg, const struct object *o)
{
    struct rs_list *l = arg;

    if (o->deleting_ms)
        return;
    if (!object_is_owned_by(o, l->owner->uid)) {
        if (!object_controller(o)) {
            adopt_child(l->p, l->owner, o);
            l->adopts = true;
        }
        return;
    }
    mem_grow(&l->items, &l->cap, l->n);
    l->items[l->n++] = object_ref(o);
}

/* Templates compare without the hash label. */
static bool same_template(const json_t *a, const json_t *b)
{
    json_t *x = json_deep_copy(a), *y = json_deep_copy(b);
    bool same;

    json_object_del(json_at(x, "metadata.labels"), "pod-template-hash");
    json_object_del(json_at(y, "metadata.labels"), "pod-template-hash");
    same = json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return same;
}

static json_t *new_replicaset(const struct object *o, const json_t *d, const char *hash,
                              int64_t replicas, int64_t revision)
{
    json_t *template = json_deep_copy(json_at(d, "spec.template")),
           *selector = json_deep_copy(json_at(d, "spec.selector"));
    json_t *labels;
    json_t *annotations = json_at(d, "metadata.annotations")
                              ? json_deep_copy(json_at(d, "metadata.annotations"))
                              : json_object();

    json_put(template, "metadata.labels.pod-template-hash", json_string(hash));
    json_put(selector, "matchLabels.pod-template-hash", json_string(hash));
    labels = json_deep_copy(json_at(template, "metadata.labels"));
    json_object_del(annotations, "kubectl.kubernetes.io/last-applied-configuration");
    json_object_set_new(annotations, "deployment.kubernetes.io/revision",
                        json_fmt("%lld", (long long)revision));
    json_object_set_new(annotations, "deployment.kubernetes.io/desired-replicas",
                        json_fmt("%lld", (long long)json_int(d, "spec.replicas", 1)));
    return json_pack("{s:s,s:s,s:{s:o,s:o,s:o,s:o,s:[o]},s:{s:I,s:I,s:o,s:o}}", "apiVersion",
                     "apps/v1", "kind", "ReplicaSet", "metadata", "name",
                     json_fmt("%.*s-%s", STR_ARG(o->name), hash), "namespace", json_str_new(o->ns),
                     "labels", labels, "annotations", annotations, "ownerReferences",
                     owner_reference(o), "spec", "replicas", (json_int_t)replicas,
                     "minReadySeconds", (json_int_t)json_int(d, "spec.minReadySeconds", 0),
                     "selector", selector, "template", template);
}

/* Percent (of total, rounded as told) or number. */
static int64_t bound(const json_t *v, int64_t total, bool up)
{
    double percent;
    struct str s = json_strv(v);

    if (json_is_integer(v))
        return json_integer_value(v);
    if (s.n && s.p[s.n - 1] == '%' && str_to_double((struct str){s.p, s.n - 1}, &percent)) {
        double x = percent * (double)total / 100;
        int64_t n = (int64_t)x;

        return up && x > (double)n ? n + 1 : n;
    }
    return 0;
}

static int64_t revision_of(const json_t *rs)
{
    int64_t v = 0;

    str_to_i64(json_strv(json_object_get(json_at(rs, "metadata.annotations"),
                                         "deployment.kubernetes.io/revision")),
               &v);
    return v;
}

static void scale_rs(struct pass *p, const struct object *rs, int64_t replicas)
{
    AUTO_JSON json_t *patch = json_pack("{s:{s:I}}", "spec", "replicas", (json_int_t)replicas);

    pass_write(p, &(struct cluster_write){.verb = CLUSTER_MERGE_PATCH,
                                          .kind = KIND_REPLICASET,
                                          .ns = rs->ns,
                                          .name = rs->name,
                                          .tree = patch});
}

struct view {
    struct pass *p;
    const struct object *o;
    json_t *d;
    struct rs_list all;
    json_t **trees;
    ptrdiff_t current; /* index of the ReplicaSet of the present template, -1: none */
    int64_t replicas, ready, available, updated, wanted;
    int64_t max_revision;
};

static void look(struct view *v)
{
    v->current = -1;
    v->trees = mem_array(v->all.n, sizeof(*v->trees));
    v->wanted = json_int(v->d, "spec.replicas", 1);
    for (size_t i = 0; i < v->all.n; i++) {
        json_t *rs = v->trees[i] = object_tree(v->all.items[i]);
        int64_t rev = revision_of(rs);

        v->max_revision = rev > v->max_revision ? rev : v->max_revision;
        v->replicas += json_int(rs, "status.replicas", 0);
        v->ready += json_int(rs, "status.readyReplicas", 0);
        v->available += json_int(rs, "status.availableReplicas", 0);
        if (v->current < 0 &&
            same_template(json_at(rs, "spec.template"), json_at(v->d, "spec.template")))
            v->current = (ptrdiff_t)i;
    }
    if (v->current >= 0)
        v->updated = json_int(v->trees[v->current], "status.replicas", 0);
}

static void create_current(struct view *v)
{
    bool recreate = strcmp(json_text(v->d, "spec.strategy.type", ""), "Recreate") == 0;
    int64_t surge = bound(json_at(v->d, "spec.strategy.rollingUpdate.maxSurge"), v->wanted, true),
            total = 0, n;
    char hash[16], name[300];
    AUTO_JSON json_t *rs = NULL;
    int64_t collisions = json_int(v->d, "status.collisionCount", 0);

    for (size_t i = 0; i < v->all.n; i++)
        total += json_int(v->trees[i], "spec.replicas", 0);
    n = v->wanted + surge - total;
    n = n < 0 ? 0 : n > v->wanted ? v->wanted : n;
    if (v->all.n == 0)
        n = v->wanted;
    if (recreate && v->replicas > 0)
        return; /* the old ones have to go first */
    do {        /* a taken name of another template: count on */
        child_hash(json_at(v->d, "spec.template"), collisions, hash);
        snprintf(name, sizeof(name), "%.*s-%s", STR_ARG(v->o->name), hash);
    } while (cluster_get(pass_cluster(v->p), KIND_REPLICASET, v->o->ns, str_of(name)) &&
             collisions++ < 100);
    rs = new_replicaset(v->o, v->d, hash, n, v->max_revision + 1);
    pass_write(v->p,
               &(struct cluster_write){
                   .verb = CLUSTER_CREATE, .kind = KIND_REPLICASET, .ns = v->o->ns, .tree = rs});
    event_emit(pass_cluster(v->p), "deployment-controller", v->o, EVENT_NORMAL, "ScalingReplicaSet",
               "Scaled up replica set %s to %lld", name, (long long)n);
}

static void report(struct view *v, const struct object *rs, int64_t from, int64_t to)
{
    event_emit(pass_cluster(v->p), "deployment-controller", v->o, EVENT_NORMAL, "ScalingReplicaSet",
               "Scaled %s replica set %.*s to %lld from %lld", to > from ? "up" : "down",
               STR_ARG(rs->name), (long long)to, (long long)from);
}

static void set_size(struct view *v, size_t i, int64_t to)
{
    int64_t from = json_int(v->trees[i], "spec.replicas", 0);

    if (from == to)
        return;
    scale_rs(v->p, v->all.items[i], to);
    report(v, v->all.items[i], from, to);
}

/* New one up as far as the surge allows, old ones down as far as availability allows. */
static void roll(struct view *v)
{
    bool recreate = strcmp(json_text(v->d, "spec.strategy.type", ""), "Recreate") == 0;
    int64_t surge = bound(json_at(v->d, "spec.strategy.rollingUpdate.maxSurge"), v->wanted, true);
    int64_t unavailable =
        bound(json_at(v->d, "spec.strategy.rollingUpdate.maxUnavailable"), v->wanted, false);
    int64_t total = 0, mine = json_int(v->trees[v->current], "spec.replicas", 0), room, spare;

    if (surge == 0 && unavailable == 0)
        unavailable = 1;
    for (size_t i = 0; i < v->all.n; i++)
        total += json_int(v->trees[i], "spec.replicas", 0);
    if (recreate) {
        bool old = v->replicas > v->updated;

        for (size_t i = 0; i < v->all.n; i++)
            set_size(v, i, (ptrdiff_t)i != v->current ? 0 : old ? mine : v->wanted);
        return;
    }
    if (mine > v->wanted || total == mine) { /* nothing to roll: the wanted size at once */
        set_size(v, (size_t)v->current, v->wanted);
    } else if (mine < v->wanted) {
        room = v->wanted + surge - total;
        room = room < 0 ? 0 : room > v->wanted - mine ? v->wanted - mine : room;
        if (room)
            set_size(v, (size_t)v->current, mine + room);
    }
    spare = v->available - (v->wanted - unavailable);
    for (size_t i = v->all.n; i > 0; i--) {
        int64_t n = json_int(v->trees[i - 1], "spec.replicas", 0);
        int64_t sick = n - json_int(v->trees[i - 1], "status.availableReplicas", 0), cut;

        if ((ptrdiff_t)i - 1 == v->current || n == 0)
            continue;
        cut = sick > 0 ? sick : 0; /* those that serve nobody cost nothing */
        if (spare > 0)
            cut += n - cut < spare ? n - cut : spare;
        if (cut > 0) {
            spare -= cut - (sick > 0 ? sick : 0);
            set_size(v, i - 1, n - cut);
        }
    }
}

static void prune(struct view *v)
{
    int64_t keep = json_int(v->d, "spec.revisionHistoryLimit", 10), kept = 0;

    for (size_t i = 0; i < v->all.n; i++) {
        if ((ptrdiff_t)i == v->current || json_int(v->trees[i], "spec.replicas", 0) > 0 ||
            json_int(v->trees[i], "status.replicas", 0) > 0)
            continue;
        if (kept++ >= keep)
            pass_write(v->p, &(struct cluster_write){.verb = CLUSTER_DELETE,
                                                     .kind = KIND_REPLICASET,
                                                     .ns = v->o->ns,
                                                     .name = v->all.items[i]->name,
                                                     .uid = v->all.items[i]->uid,
                                                     .grace_s = -1});
    }
}

static void set(json_t *list, const char *type, bool ok, const char *reason, const char *message,
                int64_t now)
{
    char t[TIME_TEXT_MAX];

    if (set_condition(list, type, ok ? "True" : "False", reason, message, now,
                      "lastTransitionTime"))
        json_object_set_new((json_t *)find_condition(list, type), "lastUpdateTime",
                            json_string(time_rfc3339(now, t)));
}

/* Progressing (with its deadline), Available. */
static void conditions(struct view *v, json_t *status)
{
    AUTO_JSON json_t *had = sound_status(json_deep_copy(json_object_get(v->d, "status")));
    json_t *list = json_object_get(had, "conditions");
    int64_t now = pass_now_ms(v->p),
            unavailable = bound(json_at(v->d, "spec.strategy.rollingUpdate.maxUnavailable"),
                                v->wanted, false);
    int64_t deadline = json_int(v->d, "spec.progressDeadlineSeconds", 600) * 1000, since = now;
    bool complete =
        v->updated == v->wanted && v->replicas == v->wanted && v->available == v->wanted;
    const json_t *was = find_condition(list, "Progressing");
    const char *reason = json_text(was, "reason", "");
    char text[400];
    bool available = v->available >= v->wanted - unavailable;

    set(list, "Available", available,
        available ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
        available ? "Deployment has minimum availability."
                  : "Deployment does not have minimum availability.",
        now);
    time_parse(str_of(json_text(was, "lastUpdateTime", "")), &since);
    if (v->current < 0) {
        set(list, "Progressing", true, "NewReplicaSetCreated", "Created new replica set", now);
    } else if (complete) {
        snprintf(text, sizeof(text), "ReplicaSet \"%.*s\" has successfully progressed.",
                 STR_ARG(v->all.items[v->current]->name));
        set(list, "Progressing", true, "NewReplicaSetAvailable", text, now);
    } else if (strcmp(reason, "NewReplicaSetAvailable") == 0 && v->updated == v->replicas &&
               json_int(v->d, "status.observedGeneration", 0) > 0 &&
               same_template(json_at(v->trees[v->current], "spec.template"),
                             json_at(v->d, "spec.template"))) {
        ; /* a change of size is no new roll-out: it stays progressed */
    } else if (was && now - since > deadline && strcmp(reason, "NewReplicaSetAvailable") != 0) {
        snprintf(text, sizeof(text), "ReplicaSet \"%.*s\" has timed out progressing.",
                 STR_ARG(v->all.items[v->current]->name));
        set(list, "Progressing", false, "ProgressDeadlineExceeded", text, now);
    } else {
        snprintf(text, sizeof(text), "ReplicaSet \"%.*s\" is progressing.",
                 STR_ARG(v->all.items[v->current]->name));
        set(list, "Progressing", true, "ReplicaSetUpdated", text, now);
        pass_requeue_after(v->p, since + deadline - now + 1000);
    }
    json_object_set(status, "conditions", list);
}

static void put_count(json_t *o, const char *key, int64_t n)
{
    if (n)
        json_object_set_new(o, key, json_integer(n));
}

static void update_status(struct view *v)
{
    AUTO_JSON json_t *status = json_object();

    json_object_set_new(status, "observedGeneration", json_integer(v->o->generation));
    put_count(status, "replicas", v->replicas);
    put_count(status, "updatedReplicas", v->updated);
    put_count(status, "readyReplicas", v->ready);
    put_count(status, "availableReplicas", v->available);
    put_count(status, "unavailableReplicas",
              v->wanted > v->available ? v->wanted - v->available : 0);
    conditions(v, status);
    write_status(v->p, v->o, status);
}

static void write_revision(struct view *v)
{
    int64_t rev = v->current >= 0 ? revision_of(v->trees[v->current]) : 0;
    AUTO_FREE char *text = mem_printf("%lld", (long long)rev);
    const json_t *have =
        json_object_get(json_at(v->d, "metadata.annotations"), "deployment.kubernetes.io/revision");
    AUTO_JSON json_t *patch = NULL;

    if (rev == 0 || str_is(json_strv(have), text))
        return;
    patch = json_pack("{s:{s:{s:s}}}", "metadata", "annotations",
                      "deployment.kubernetes.io/revision", text);
    pass_write(v->p, &(struct cluster_write){.verb = CLUSTER_MERGE_PATCH,
                                             .kind = KIND_DEPLOYMENT,
                                             .ns = v->o->ns,
                                             .name = v->o->name,
                                             .tree = patch});
}

static int newest_first(const void *a, const void *b)
{
    const struct object *x = *(struct object *const *)a, *y = *(struct object *const *)b;

    if (x->created_ms != y->created_ms)
        return x->created_ms > y->created_ms ? -1 : 1;
    return str_cmp(y->name, x->name);
}

static void reconcile(void *ctx, struct pass *p)
{
    const struct object *o =
        cluster_get(pass_cluster(p), KIND_DEPLOYMENT, pass_ns(p), pass_name(p));
    struct view v = {.p = p, .o = o, .all = {.p = p, .owner = o}};
    struct selector *selector = NULL;

    (void)ctx;
    if (!o || o->deleting_ms)
        return;
    v.d = object_tree(o);
    if (selector_from_json(json_at(v.d, "spec.selector"), false, &selector, NULL) == 0)
        cluster_each(pass_cluster(p), KIND_REPLICASET, o->ns, selector, add_rs, &v.all);
    selector_free(selector);
    if (v.all.n > 1)
        qsort(v.all.items, v.all.n, sizeof(*v.all.items), newest_first);
    look(&v);
    if (v.all.adopts) {
        /* what it is to become shows when it is ours */
    } else if (v.current < 0 && !json_bool(v.d, "spec.paused", false)) {
        create_current(&v);
    } else if (v.current >= 0) {
        roll(&v);
        prune(&v);
        write_revision(&v);
    }
    update_status(&v);
    for (size_t i = 0; i < v.all.n; i++) {
        json_decref(v.trees[i]);
        object_unref(v.all.items[i]);
    }
    free(v.trees);
    free(v.all.items);
    json_decref(v.d);
}

struct deployment_controller *deployment_controller_new(struct cluster *cluster)
{
    struct deployment_controller *c = mem_zalloc(sizeof(*c));

    c->r = reconciler_new(&(struct reconciler_options){
        .name = "deployment", .cluster = cluster, .reconcile = reconcile, .ctx = c});
    reconciler_watch(c->r, KIND_DEPLOYMENT);
    reconciler_watch_owned(c->r, KIND_REPLICASET, KIND_DEPLOYMENT);
    return c;
}

void deployment_controller_free(struct deployment_controller *c)
{
    if (!c)
        return;
    reconciler_free(c->r);
    free(c);
}
