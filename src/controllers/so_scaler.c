/* SPDX-License-Identifier: Apache-2.0
 *
 * The scale loop of one ScaledObject: its triggers, and what wakes it. Rounds and answers do; one
 * timer is for what neither brings (a cron, a cooldown that ends, a target without pods). With a
 * sync period the original's two loops run instead: KEDA's at pollingInterval, the HPA's beside. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "controllers/so_int.h"

#define TICK_MS 1000
#define POLL_DEFAULT_MS 1000
#define POLL_UPSTREAM_MS 30000
#define MEETING_MS 10

static bool is_upstream(const struct scaler *s)
{
    return s->c->d.sync_period_ms > 0;
}

int64_t so_mono_ms(const struct scaler *s)
{
    return loop_mono_ns(so_cluster(s->c)->loop) / 1000000;
}

int64_t so_period_ms(const struct scaler *s, int64_t def_ms)
{
    return s->spec.polling_s > 0 ? s->spec.polling_s * 1000 : def_ms;
}

static void evaluate_now(struct scaler *s, enum so_what what)
{
    so_evaluate(s, loop_wall_ms(so_cluster(s->c)->loop), what);
}

/* How late the loop is: for its metric. */
static void note_lateness(struct scaler *s, const struct loop_timer *due)
{
    s->late_s = (double)(loop_mono_ns(due->loop) - due->due_ns) / 1e9;
}

static void on_round(void *arg, int64_t round_ms, bool complete)
{
    struct scaler *s = arg;

    s->is_complete = complete;
    s->round_ms = so_mono_ms(s);
    if (is_upstream(s))
        return;
    s->late_s = (double)(loop_wall_ms(so_cluster(s->c)->loop) - round_ms) / 1000;
    so_evaluate(s, round_ms, SO_BOTH);
}

/* A trigger that is asked elsewhere has another answer, or a sample was pushed that it reads. */
static void on_answer(void *arg)
{
    struct scaler *s = arg;

    if (!is_upstream(s) && !loop_timer_is_running(&s->answer))
        loop_timer_start(&s->answer, 0);
}

static void on_answers(void *arg)
{
    evaluate_now(arg, SO_BOTH);
}

/* A trigger's metric has another name or target: the HPA is to be made anew. */
static void on_respec(void *arg)
{
    struct scaler *s = arg;
    const struct object *o =
        cluster_get(so_cluster(s->c), KIND_SCALEDOBJECT, str_of(s->ns), str_of(s->name));

    if (o && keda_stream_is_current(str_of(s->uid), s->generation, o->uid, o->generation))
        reconciler_wake(s->c->r, str_of(s->ns), str_of(s->name));
}

static void on_tick(void *arg)
{
    struct scaler *s = arg;
    int64_t between = rounds_interval_ms(s->c->d.rounds);
    bool has_rounds =
        s->round_ms && so_mono_ms(s) - s->round_ms < 2 * (between > TICK_MS ? between : TICK_MS);

    if (!has_rounds) {
        note_lateness(s, &s->tick);
        evaluate_now(s, SO_BOTH);
    }
    loop_timer_start(&s->tick, TICK_MS);
}

/* The two loops fall due together again and again, and nothing is looked at while the other's scale
 * is not answered: right after it, not a period later. */
static bool meets_a_write(struct scaler *s, struct loop_timer *t)
{
    if (s->run.writing)
        loop_timer_start(t, MEETING_MS);
    return s->run.writing != NULL;
}

static void on_poll(void *arg)
{
    struct scaler *s = arg;

    if (meets_a_write(s, &s->poll))
        return;
    note_lateness(s, &s->poll);
    loop_timer_start(&s->poll, so_period_ms(s, POLL_UPSTREAM_MS));
    evaluate_now(s, SO_POLL);
}

static void on_sync(void *arg)
{
    struct scaler *s = arg;

    if (meets_a_write(s, &s->sync))
        return;
    loop_timer_start(&s->sync, s->c->d.sync_period_ms);
    evaluate_now(s, SO_SYNC);
}

void so_keep_text(char **kept, struct str now)
{
    if (str_is(now, *kept ? *kept : ""))
        return;
    free(*kept);
    *kept = now.n ? str_dup(now) : NULL;
}

/* --- triggers --- */

static void drop_triggers(struct so_trigger *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!list[i].is_more)
            trigger_free(list[i].t);
        free(list[i].name);
        free(list[i].seen.why);
    }
    free(list);
}

static struct formula *make_formula(const json_t *so, const struct keda_spec *spec, struct err *err)
{
    const json_t *list = json_at(so, "spec.triggers"), *t;
    struct str *names = mem_array(json_array_size(list) + 1, sizeof(*names));
    struct formula *f = NULL;
    size_t i, n = 0;

    json_array_foreach ((json_t *)(uintptr_t)list, i, t)
        if (*json_text(t, "name", "") && strcmp(json_text(t, "type", ""), "cpu") != 0 &&
            strcmp(json_text(t, "type", ""), "memory") != 0)
            names[n++] = str_of(json_text(t, "name", ""));
    formula_new(str_of(spec->modifiers.formula), names, n, &f, err);
    free(names);
    return f;
}

/* Most often a typo, which changes nothing but what the user believes. */
static void warn_unexpected(struct scaler *s, const struct object *o, const json_t *trigger)
{
    struct buf keys = BUF_INIT;

    if (trigger_unexpected_keys(trigger, &keys))
        event_emit(so_cluster(s->c), SO_COMPONENT, o, EVENT_WARNING, "KEDAScalerInfo",
                   "the %s trigger does not know these keys of its metadata: %s",
                   json_text(trigger, "type", ""), buf_cstr(&keys));
    buf_done(&keys);
}

static char *name_of(const json_t *trigger)
{
    const char *name = json_text(trigger, "name", "");

    return *name ? mem_strdup(name) : NULL;
}

static bool make_triggers(struct scaler *s, const struct object *o, const json_t *so,
                          const struct keda_spec *spec, struct so_trigger *list, size_t *n,
                          struct err *err)
{
    const json_t *t;
    size_t i;

    json_array_foreach (json_at(so, "spec.triggers"), i, t) {
        struct trigger_options options = {.world = s->c->d.world,
                                          .ns = o->ns,
                                          .so_name = o->name,
                                          .spec = t,
                                          .scale_target = json_at(so, "spec.scaleTargetRef"),
                                          .has_modifiers = spec->modifiers.is_used,
                                          .index = (int)i,
                                          .poll_ms = spec->polling_s  ? spec->polling_s * 1000
                                                     : is_upstream(s) ? POLL_UPSTREAM_MS
                                                                      : POLL_DEFAULT_MS,
                                          .changed = on_answer,
                                          .respec = on_respec,
                                          .arg = s};

        list[i] = (struct so_trigger){.name = name_of(t),
                                      .is_cached = json_bool(t, "useCachedMetrics", false)};
        *n = i + 1;
        if (trigger_new(&options, &list[i].t, err) < 0)
            return false;
        event_emit(so_cluster(s->c), SO_COMPONENT, o, EVENT_NORMAL, "KEDAScalersStarted",
                   "Scaler %s is built", json_text(t, "type", ""));
        warn_unexpected(s, o, t);
    }
    return true;
}

static void keep_texts(struct scaler *s)
{
    struct keda_modifiers *m = &s->spec.modifiers;

    arena_done(&s->texts);
    if (!m->is_used)
        return;
    s->texts.first = 256;
    m->formula = arena_strdup(&s->texts, str_of(m->formula));
    m->target_text = arena_strdup(&s->texts, str_of(m->target_text));
}

bool so_scaler_build(struct scaler *s, const struct object *o, const json_t *so, struct err *err)
{
    size_t most = json_array_size(json_at(so, "spec.triggers")), n = 0;
    struct so_trigger *list;
    struct formula *f = NULL;
    struct keda_spec spec;

    if (s->generation == o->generation && s->n > 0)
        return true;
    keda_spec_read(json_object_get(so, "spec"), &spec);
    list = mem_array(most + 1, sizeof(*list));
    memset(list, 0, (most + 1) * sizeof(*list));
    if (!make_triggers(s, o, so, &spec, list, &n, err) ||
        (spec.modifiers.is_used && !(f = make_formula(so, &spec, err)))) {
        drop_triggers(list, n);
        return false;
    }
    drop_triggers(s->triggers, s->n);
    formula_free(s->formula);
    s->triggers = list;
    s->n = n;
    s->formula = f;
    s->spec = spec;
    keep_texts(s);
    if (keda_fallback_is_valid(&s->spec) && !s->health)
        s->health = json_object();
    s->generation = o->generation;
    return true;
}

static struct so_trigger *find_trigger(struct scaler *s, const struct trigger *t)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->triggers[i].t == t)
            return &s->triggers[i];
    return NULL;
}

void so_scaler_expand(struct scaler *s)
{
    struct so_trigger *list;
    size_t n = 0, most = 0;

    for (size_t i = 0; i < s->n; i++)
        most += s->triggers[i].is_more ? 0 : trigger_metric_count(s->triggers[i].t);
    list = mem_array(most, sizeof(*list));
    for (size_t i = 0; i < s->n; i++) {
        const struct so_trigger *first = &s->triggers[i];

        for (size_t k = 0; !first->is_more && k < trigger_metric_count(first->t); k++) {
            struct trigger *t = trigger_metric(first->t, k);
            struct so_trigger *was = find_trigger(s, t);

            list[n] = was ? *was : (struct so_trigger){.t = t, .is_cached = first->is_cached};
            list[n].is_more = k > 0;
            list[n++].name = first->name ? mem_strdup(first->name) : NULL;
            if (was)
                was->seen.why = NULL; /* the new list has it */
        }
    }
    for (size_t i = 0; i < s->n; i++) {
        free(s->triggers[i].name);
        free(s->triggers[i].seen.why);
    }
    free(s->triggers);
    s->triggers = list;
    s->n = n;
}

/* --- the object --- */

void so_scaler_see(struct scaler *s, const struct object *o)
{
    const struct object *was = s->seen;
    char name[KEDA_HPA_NAME_MAX];
    json_t *tree;

    if (was == o)
        return;
    s->seen = object_ref(o);
    if (!was || !object_is_same_but_status(was, o)) {
        tree = object_tree(o);
        keda_pauses_read(json_at(tree, "metadata.annotations"), &s->pauses);
        free(s->target_kind);
        s->target_kind = mem_strdup(json_text(tree, "spec.scaleTargetRef.kind", "Deployment"));
        free(s->hpa_name);
        s->hpa_name = mem_strdup(keda_hpa_name(tree, name));
        json_decref(tree);
    }
    object_unref(was);
}

/* In whole seconds, as objects carry them. */
void so_scaler_touch(struct scaler *s, int64_t now)
{
    s->last_active_ms = now / 1000 * 1000;
    s->active_ms = so_mono_ms(s) - (now - s->last_active_ms);
}

/* --- life --- */

void so_scaler_free(struct scaler *s)
{
    rounds_unsubscribe(s->c->d.rounds, on_round, s);
    loop_timer_stop(&s->tick);
    loop_timer_stop(&s->answer);
    loop_timer_stop(&s->poll);
    loop_timer_stop(&s->sync);
    table_del(&s->c->scalers, str_of(s->uid));
    drop_triggers(s->triggers, s->n);
    formula_free(s->formula);
    arena_done(&s->texts);
    json_decref(s->health);
    object_unref(s->seen);
    free(s->target_kind);
    free(s->hpa_name);
    free(s->last_warning);
    free(s->unknown_why);
    hpa_run_done(&s->run);
    status_writer_done(&s->status);
    free(s->active);
    free(s->uid);
    free(s->ns);
    free(s->name);
    free(s->target);
    free(s);
}

struct scaler *so_scaler_of(struct scaledobject_controller *c, const struct object *o,
                            const json_t *so)
{
    struct scaler *s = table_get(&c->scalers, o->uid);
    const char *target = json_text(so, "spec.scaleTargetRef.name", "");
    struct loop *loop = so_cluster(c)->loop;
    int64_t since;

    if (s && strcmp(s->target, target) != 0) {
        so_scaler_free(s);
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
    s->is_complete = true;
    s->health = json_is_object(json_at(so, "status.health"))
                    ? json_deep_copy(json_at(so, "status.health"))
                    : NULL;
    if (!time_parse(str_of(json_text(so, "status.lastActiveTime", "")), &s->last_active_ms))
        s->last_active_ms = -1;
    since = loop_wall_ms(loop) - s->last_active_ms;
    s->active_ms = so_mono_ms(s) - (since > 0 ? since : 0);
    s->in_fallback = strcmp(json_text(find_condition(so, "Fallback"), "status", ""), "True") == 0;
    s->status.cluster = so_cluster(c);
    hpa_run_init(&s->run, so_cluster(c), c->d.book, "ScaledObject", str_of(s->ns), str_of(s->name));
    s->run.scaled = so_scaled;
    s->run.scaled_arg = s;
    s->status.manager = SO_COMPONENT;
    loop_timer_init(&s->tick, loop, on_tick, s);
    loop_timer_init(&s->answer, loop, on_answers, s);
    loop_timer_init(&s->poll, loop, on_poll, s);
    loop_timer_init(&s->sync, loop, on_sync, s);
    table_set(&c->scalers, o->uid, s);
    rounds_subscribe(c->d.rounds, o->ns, str_of(target), on_round, s);
    return s;
}

void so_scaler_start(struct scaler *s, const struct object *o)
{
    if (s->is_running)
        return;
    s->is_running = true;
    event_emit(so_cluster(s->c), SO_COMPONENT, o, EVENT_NORMAL, "KEDAScalersStarted",
               "Started scalers watch");
    if (is_upstream(s)) {
        loop_timer_start(&s->poll, 1); /* the first check is at once */
        loop_timer_start(&s->sync, s->c->d.sync_period_ms);
    } else {
        loop_timer_start(&s->tick, TICK_MS);
    }
}

void so_scaler_stop(struct scaler *s, const struct object *o)
{
    if (!s->is_running)
        return;
    s->is_running = false;
    hpa_memory_done(&s->run.memory); /* the HPA that had it goes, or its target is another's */
    loop_timer_stop(&s->tick);
    loop_timer_stop(&s->answer);
    loop_timer_stop(&s->poll);
    loop_timer_stop(&s->sync);
    drop_triggers(s->triggers, s->n);
    s->triggers = NULL;
    s->n = 0;
    s->generation = -1;
    event_emit(so_cluster(s->c), SO_COMPONENT, o, EVENT_NORMAL, "KEDAScalersStopped",
               "Stopped scalers watch");
}
