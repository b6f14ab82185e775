/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "telemetry/otlp_int.h"

#define RESOURCES_MAX 65536
#define RESOURCE_BYTES_MAX 65536
#define KEEP_MS ((int64_t)10 * 60 * 1000) /* silent resources, pods that ended */

static const char pod_gone[] = "the pod that sent it has ended";

/* What the last pod of a name was, and until when that is worth knowing. */
struct gone_pod {
    char *uid;
    int64_t until_ms;
};

static int64_t now_of(const struct otlp *o)
{
    return loop_wall_ms(o->o.loop);
}

static void free_resource(struct otlp_resource *r)
{
    tsdb_release(r->info);
    target_labels_done(&r->labels);
    free((char *)(uintptr_t)r->raw.p);
    free(r->ns);
    free(r->pod);
    free(r->uid);
    free(r);
}

/* --- reading --- */

enum what {
    JOB_SPACE,
    JOB,
    INSTANCE,
    NAMESPACE,
    POD,
    POD_UID,
    DEPLOYMENT,
    STATEFULSET,
    NODE,
    N_KNOWN
};

static const char *const keys[N_KNOWN] = {
    [JOB_SPACE] = "service.namespace",
    [JOB] = "service.name",
    [INSTANCE] = "service.instance.id",
    [NAMESPACE] = "k8s.namespace.name",
    [POD] = "k8s.pod.name",
    [POD_UID] = "k8s.pod.uid",
    [DEPLOYMENT] = "k8s.deployment.name",
    [STATEFULSET] = "k8s.statefulset.name",
    [NODE] = "k8s.node.name",
};

/* Texts are for free(); NULL where the resource does not say. Returns whether it says more. */
static bool read_known(struct otlp *o, struct otlp_attributes a, char *known[N_KNOWN])
{
    bool more = false;
    struct str key;
    size_t i;

    while (otlp_attribute(&a, &key, &o->text)) {
        for (i = 0; i < N_KNOWN && !str_is(key, keys[i]);)
            i++;
        if (i == N_KNOWN)
            more |= key.n && o->text.n;
        else if (!known[i] && o->text.n)
            known[i] = str_dup(buf_str(&o->text));
    }
    return more;
}

static void add_text(struct target_labels *t, const char *name, const char *value)
{
    if (value)
        target_labels_add(t, str_of(name), str_of(value));
}

static const struct object *pod_of(const struct otlp *o, const char *ns, const char *pod)
{
    return o->o.cluster && ns && pod ? cluster_get(o->o.cluster, KIND_POD, str_of(ns), str_of(pod))
                                     : NULL;
}

static bool has_ended(const struct object *pod, const json_t *tree)
{
    const char *phase = json_text(tree, "status.phase", "");

    return pod->deleting_ms || strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

/* Labels, and whether anything is taken from it, by what the cluster knows now. */
static void look_up(struct otlp *o, struct otlp_resource *r)
{
    struct otlp_attributes a = {r->raw, 1};
    const struct object *pod;
    char *known[N_KNOWN] = {0};
    AUTO_JSON json_t *tree = NULL;
    struct gone_pod *g = NULL;

    r->has_info = read_known(o, a, known);
    pod = pod_of(o, known[NAMESPACE], known[POD]);
    tree = pod ? object_tree(pod) : NULL;
    if (!pod && known[NAMESPACE] && known[POD]) {
        AUTO_FREE char *key = mem_printf("%s/%s", known[NAMESPACE], known[POD]);

        g = table_get(&o->gone, str_of(key));
    }
    r->refused = NULL;
    if (pod && known[POD_UID] && !str_is(pod->uid, known[POD_UID]))
        r->refused = pod_gone; /* another one has its name by now */
    else if (pod ? has_ended(pod, tree)
                 : g && (!known[POD_UID] || strcmp(g->uid, known[POD_UID]) == 0))
        r->refused = pod_gone;

    if (known[JOB] && known[JOB_SPACE]) {
        AUTO_FREE char *job = mem_printf("%s/%s", known[JOB_SPACE], known[JOB]);

        add_text(&r->labels, "job", job);
    } else {
        add_text(&r->labels, "job", known[JOB]);
    }
    add_text(&r->labels, "instance", known[INSTANCE]);
    r->has_info = r->has_info && r->labels.n > 0;
    if (pod && !r->refused)
        target_labels_add_pod(&r->labels, o->o.cluster, pod, tree);
    add_text(&r->labels, "namespace", known[NAMESPACE]);
    add_text(&r->labels, "pod", known[POD]);
    add_text(&r->labels, "deployment", known[DEPLOYMENT]);
    add_text(&r->labels, "statefulset", known[STATEFULSET]);
    add_text(&r->labels, "node", known[NODE]);
    free(r->ns);
    free(r->pod);
    free(r->uid);
    r->ns = known[NAMESPACE];
    r->pod = known[POD];
    r->uid = known[POD_UID];
    known[NAMESPACE] = known[POD] = known[POD_UID] = NULL;
    for (size_t i = 0; i < N_KNOWN; i++)
        free(known[i]);
}

struct otlp_resource *otlp_resource_of(struct otlp *o, struct otlp_attributes a, const char **why)
{
    struct otlp_resource *r = table_get(&o->resources, a.bytes);

    if (!r) {
        if (a.bytes.n > RESOURCE_BYTES_MAX) {
            *why = "the resource is larger than 64 KiB";
            return NULL;
        }
        if (o->resources.count >= RESOURCES_MAX) {
            *why = "there are too many resources";
            return NULL;
        }
        r = mem_zalloc(sizeof(*r));
        r->id = ++o->last_id;
        r->raw = (struct str){str_dup(a.bytes), a.bytes.n};
        look_up(o, r);
        table_set(&o->resources, a.bytes, r);
    }
    r->used_ms = now_of(o);
    return r;
}

/* --- target_info --- */

static struct series *info_series(struct otlp *o, const struct otlp_resource *r)
{
    struct otlp_attributes a = {r->raw, 1};
    struct target_labels all = {0};
    struct series *s;
    struct str key;

    target_labels_add(&all, STR("__name__"), STR("target_info"));
    for (size_t i = 0; i < r->labels.n; i++)
        target_labels_add(&all, r->labels.items[i].name, r->labels.items[i].value);
    while (otlp_attribute(&a, &key, &o->text))
        if (!str_starts(key, STR("service.n")) && !str_is(key, keys[INSTANCE]))
            target_labels_add(&all, key, buf_str(&o->text));
    s = tsdb_series_try(o->o.db, all.items, all.n);
    target_labels_done(&all);
    return s;
}

void otlp_resource_seen(struct otlp *o, struct otlp_resource *r, int64_t t)
{
    if (!r->has_info)
        return;
    if (!r->info)
        r->info = info_series(o, r);
    if (r->info)
        tsdb_append(o->o.db, r->info, t, 1);
}

/* --- pods come and go --- */

static void end_all(struct otlp *o, struct otlp_resource *r)
{
    int64_t now = now_of(o);

    otlp_end_entries(o, r->id, now);
    if (r->info)
        otlp_end_series(o->o.db, r->info, now);
    tsdb_release(r->info);
    r->info = NULL;
}

static bool labels_equal(const struct target_labels *a, const struct target_labels *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!str_eq(a->items[i].name, b->items[i].name) ||
            !str_eq(a->items[i].value, b->items[i].value))
            return false;
    return true;
}

/* Its pod changed: series under labels that are no longer true end. */
static void look_again(struct otlp *o, struct otlp_resource *r)
{
    struct target_labels before = r->labels;
    bool was_refused = r->refused != NULL;

    r->labels = (struct target_labels){0};
    look_up(o, r);
    if (!was_refused && (r->refused || !labels_equal(&before, &r->labels)))
        end_all(o, r);
    target_labels_done(&before);
}

static void remember(struct otlp *o, const struct object *pod)
{
    AUTO_FREE char *key = mem_printf("%.*s/%.*s", STR_ARG(pod->ns), STR_ARG(pod->name));
    struct gone_pod *g = table_get(&o->gone, str_of(key));

    if (!g) {
        g = mem_zalloc(sizeof(*g));
        table_set(&o->gone, str_of(key), g);
    }
    free(g->uid);
    g->uid = str_dup(pod->uid);
    g->until_ms = now_of(o) + KEEP_MS;
}

static void on_pod(void *arg, enum cluster_event event, const struct object *was,
                   const struct object *now)
{
    struct otlp *o = arg;
    size_t i = 0;
    void *v;

    (void)was;
    if (event == CLUSTER_DELETED)
        remember(o, now);
    while (table_next(&o->resources, &i, NULL, &v)) {
        struct otlp_resource *r = v;

        if (r->ns && r->pod && str_is(now->ns, r->ns) && str_is(now->name, r->pod))
            look_again(o, r);
    }
}

/* --- life --- */

void otlp_resources_open(struct otlp *o)
{
    if (o->o.cluster)
        cluster_watch(o->o.cluster, KIND_POD, on_pod, o);
}

static void sweep_table(struct otlp *o, struct table *t, int64_t now)
{
    bool is_gone = t == &o->gone;
    struct str key, *old = NULL;
    size_t i = 0, n = 0, cap = 0;
    void *v;

    while (table_next(t, &i, &key, &v)) {
        int64_t until = is_gone ? ((struct gone_pod *)v)->until_ms
                                : ((struct otlp_resource *)v)->used_ms + KEEP_MS;

        if (until > now)
            continue;
        mem_grow(&old, &cap, n);
        old[n++] = (struct str){str_dup(key), key.n};
    }
    for (i = 0; i < n; i++) {
        v = table_del(t, old[i]);
        if (is_gone) {
            free(((struct gone_pod *)v)->uid);
            free(v);
        } else {
            free_resource(v);
        }
        free((char *)(uintptr_t)old[i].p);
    }
    free(old);
}

void otlp_resources_sweep(struct otlp *o, int64_t now)
{
    sweep_table(o, &o->resources, now);
    sweep_table(o, &o->gone, now);
}

void otlp_resources_close(struct otlp *o)
{
    if (o->o.cluster)
        cluster_unwatch(o->o.cluster, KIND_POD, on_pod, o);
    sweep_table(o, &o->resources, INT64_MAX);
    sweep_table(o, &o->gone, INT64_MAX);
    table_done(&o->resources);
    table_done(&o->gone);
}
