/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers/hpa.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/table.h"
#include "controllers/hpa_run.h"
#include "controllers/hpa_values.h"
#include "kube/reconciler.h"

#define TICK_MS 1000

struct hpa_controller {
    struct hpa_controller_deps d;
    struct reconciler *r;
    struct table autoscalers; /* uid -> struct autoscaler */
};

struct autoscaler {
    struct hpa_controller *c;
    char *uid, *ns, *name, *target;
    struct hpa_run run;
    struct loop_timer tick;
    int64_t looked_ms; /* mono; far back: never */
};

static void look(struct autoscaler *a, int64_t now)
{
    const struct object *o = cluster_get(a->c->d.cluster, KIND_HPA, str_of(a->ns), str_of(a->name));
    struct hpa_look *l;

    if (!o || o->deleting_ms || !(l = hpa_look_begin(&a->run, o, now)))
        return;
    a->looked_ms = l->scene.mono_ms;
    hpa_values_read(l, a->c->d.db);
    l->scene.settle_ms = a->c->d.sync_period_ms ? 0 : HPA_SETTLE_MS;
    l->scene.may_look_again = l->ready > 1 && a->c->d.sync_period_ms == 0;
    hpa_look_decide(l);
    if (l->d.looks_again) {
        rounds_again(a->c->d.rounds, str_of(a->ns), str_of(a->target));
        hpa_look_drop(l);
    } else {
        hpa_look_finish(l);
    }
}

static void on_round(void *arg, int64_t round_ms, bool complete)
{
    const struct autoscaler *a = arg;

    (void)complete;
    if (a->c->d.sync_period_ms == 0)
        look(arg, round_ms);
}

static void on_tick(void *arg)
{
    struct autoscaler *a = arg;
    struct loop *loop = a->c->d.cluster->loop;
    int64_t period = a->c->d.sync_period_ms ? a->c->d.sync_period_ms : TICK_MS;

    if (loop_mono_ns(loop) / 1000000 - a->looked_ms >= period / 2)
        look(a, loop_wall_ms(loop));
    loop_timer_start(&a->tick, period);
}

static void free_autoscaler(struct autoscaler *a)
{
    rounds_unsubscribe(a->c->d.rounds, on_round, a);
    loop_timer_stop(&a->tick);
    table_del(&a->c->autoscalers, str_of(a->uid));
    hpa_run_done(&a->run);
    free(a->uid);
    free(a->ns);
    free(a->name);
    free(a->target);
    free(a);
}

static void new_autoscaler(struct hpa_controller *c, const struct object *o, const char *target)
{
    struct autoscaler *a = mem_zalloc(sizeof(*a));

    a->c = c;
    a->uid = str_dup(o->uid);
    a->ns = str_dup(o->ns);
    a->name = str_dup(o->name);
    a->target = mem_strdup(target);
    a->looked_ms = INT64_MIN / 2;
    hpa_run_init(&a->run, c->d.cluster, c->d.book, "HorizontalPodAutoscaler", str_of(a->ns),
                 str_of(a->name));
    loop_timer_init(&a->tick, c->d.cluster->loop, on_tick, a);
    loop_timer_start(&a->tick, 0);
    table_set(&c->autoscalers, o->uid, a);
    rounds_subscribe(c->d.rounds, o->ns, str_of(target), on_round, a);
}

static bool is_of_scaledobject(const struct object *o)
{
    const struct object_owner *owner = object_controller(o);

    return owner && str_is(owner->kind, "ScaledObject");
}

static void reconcile(void *ctx, struct pass *p)
{
    struct hpa_controller *c = ctx;
    const struct object *o = cluster_get(pass_cluster(p), KIND_HPA, pass_ns(p), pass_name(p));
    AUTO_JSON json_t *tree = NULL;
    struct autoscaler *a;
    const char *target;

    if (!o)
        return;
    tree = object_tree(o);
    a = table_get(&c->autoscalers, o->uid);
    target = json_text(tree, "spec.scaleTargetRef.name", "");
    if (a && (is_of_scaledobject(o) || o->deleting_ms || strcmp(a->target, target) != 0)) {
        free_autoscaler(a);
        a = NULL;
    }
    if (!a && !is_of_scaledobject(o) && !o->deleting_ms)
        new_autoscaler(c, o, target);
}

/* By uid: a new object of the same name may be there already. */
static void on_deleted(void *ctx, struct reconciler *r, const struct object *was,
                       const struct object *now)
{
    struct hpa_controller *c = ctx;
    struct autoscaler *a = table_get(&c->autoscalers, now->uid);
    const struct object *o = cluster_get(c->d.cluster, KIND_HPA, now->ns, now->name);

    (void)r;
    (void)was;
    if (a && (!o || !str_eq(o->uid, now->uid)))
        free_autoscaler(a);
}

struct hpa_controller *hpa_controller_new(const struct hpa_controller_deps *d)
{
    struct hpa_controller *c = mem_zalloc(sizeof(*c));

    c->d = *d;
    c->r = reconciler_new(&(struct reconciler_options){
        .name = "hpa", .cluster = d->cluster, .reconcile = reconcile, .ctx = c});
    reconciler_watch(c->r, KIND_HPA);
    reconciler_watch_fn(c->r, KIND_HPA, on_deleted);
    return c;
}

void hpa_controller_free(struct hpa_controller *c)
{
    size_t i;
    void *v;

    if (!c)
        return;
    reconciler_free(c->r);
    while (i = 0, table_next(&c->autoscalers, &i, NULL, &v))
        free_autoscaler(v);
    table_done(&c->autoscalers);
    free(c);
}
