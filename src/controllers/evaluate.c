/* SPDX-License-Identifier: Apache-2.0
 *
 * One evaluation of a ScaledObject: the values of its triggers go into the HPA's own pass
 * (hpa_run.h), so that what stands in the HPA object counts; KEDA's part is what happens at and
 * around zero, and the ScaledObject's conditions and events. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "codec/quantity.h"
#include "controllers/hpa_values.h"
#include "controllers/so_int.h"

#define STATUS_MS 15000

/* What the triggers say, next to what the HPA makes of it. */
struct state {
    struct buf warnings;
    bool active;
    size_t unknown, known;
    const char *why; /* of the first unknown one */
};

/* --- the triggers' values --- */

static struct trigger *trigger_of(const struct scaler *s, const char *metric)
{
    for (size_t i = 0; i < s->n; i++)
        if (trigger_is_external(s->triggers[i]) &&
            strcmp(trigger_metric_name(s->triggers[i]), metric) == 0)
            return s->triggers[i];
    return NULL;
}

/* As KEDA serves it to the HPA: three decimals, never below zero. */
static void give_value(struct hpa_look *l, struct hpa_input *in, double value)
{
    struct quantity q = quantity_of_double(value);
    int64_t *milli = arena_alloc(&l->arena, sizeof(*milli));

    *milli = quantity_milli(&q);
    in->values = milli;
    in->n_values = 1;
}

static void ask(struct scaler *s, struct hpa_look *l, struct hpa_input *in, struct state *x)
{
    struct trigger_target target = {str_of(s->ns), str_of(s->target), l->ready};
    struct trigger *t = trigger_of(s, in->name);
    struct decision_metric *m = arena_alloc(&l->arena, sizeof(*m));
    char warning[300];

    if (!t) {
        in->error = "no trigger of the ScaledObject has this name";
        return;
    }
    trigger_value(t, l->scene.now_ms, &target, m, warning, sizeof(warning));
    buf_add_cstr(&x->warnings, warning);
    in->seen = m;
    x->active |= trigger_is_active(t, m);
    if (m->state == METRIC_UNKNOWN) {
        in->error = m->why;
        x->why = x->unknown++ ? x->why : m->why;
        return;
    }
    x->known++;
    give_value(l, in, m->value);
}

static void ask_all(struct scaler *s, struct hpa_look *l, struct state *x)
{
    for (size_t i = 0; i < l->spec.n; i++) {
        struct hpa_input *in = &l->spec.metrics[i];

        if (!in->is_unknown_type && in->metric.type == HPA_EXTERNAL)
            ask(s, l, in, x);
        else
            hpa_value_read(l, in, s->c->d.world->db);
    }
}

/* --- at and around zero (keda.md 3.3, 3.4): below one replica KEDA decides, not the HPA --- */

static bool has_cooled_down(const json_t *so, int64_t now)
{
    int64_t cooldown = json_int(so, "spec.cooldownPeriod", 300) * 1000, last = 0;

    if (!time_parse(str_of(json_text(so, "status.lastActiveTime", "")), &last)) {
        time_parse(str_of(json_text(so, "metadata.creationTimestamp", "")), &last);
        cooldown = json_int(so, "spec.initialCooldownPeriod", 0) * 1000;
    }
    return last + cooldown < now;
}

static void from_or_to_zero(struct hpa_look *l, const json_t *so, const struct state *x)
{
    int64_t min = json_int(so, "spec.minReplicaCount", 0), to;

    if (l->scene.scale_error)
        return;
    if (x->active && l->d.current == 0)
        to = min > 0 ? min : 1;
    else if (!x->active && !x->unknown && min == 0 && l->d.current > 0 &&
             has_cooled_down(so, l->d.at_ms))
        to = 0;
    else
        return;
    l->by_other = true;
    l->d.desired = to;
    l->d.is_rescale = true;
    l->d.limit_reason = "";
}

static void tell_activation(struct scaler *s, const struct object *so, const struct decision *d)
{
    if (d->current == 0)
        event_emit(so_cluster(s->c), SO_COMPONENT, so, EVENT_NORMAL, "KEDAScaleTargetActivated",
                   "Scaled apps/v1.Deployment %s/%s from 0 to %lld", s->ns, s->target,
                   (long long)d->desired);
    else if (d->desired == 0)
        event_emit(so_cluster(s->c), SO_COMPONENT, so, EVENT_NORMAL, "KEDAScaleTargetDeactivated",
                   "Deactivated apps/v1.Deployment %s/%s from %lld to 0", s->ns, s->target,
                   (long long)d->current);
}

void scaler_scaled(void *arg, const struct decision *d, const char *error)
{
    struct scaler *s = arg;
    const struct object *so =
        cluster_get(so_cluster(s->c), KIND_SCALEDOBJECT, str_of(s->ns), str_of(s->name));
    char text[900];

    if (error || !so)
        return;
    decision_text(d, text, sizeof(text));
    tell_activation(s, so, d);
    event_emit(so_cluster(s->c), SO_COMPONENT, so, EVENT_NORMAL, "ScalingDecision",
               "from %lld to %s", (long long)d->current, text);
}

/* --- the ScaledObject's status and events --- */

static bool set_ready(json_t *list, const struct state *x, int64_t now)
{
    struct buf why = BUF_INIT;
    bool changed;

    if (x->unknown && !x->known) {
        changed = set_condition(list, "Ready", "False", "TriggerError", x->why, now, NULL);
    } else if (x->unknown) {
        buf_printf(&why, "some triggers do not work, the count may not fall: %s", x->why);
        changed = set_condition(list, "Ready", "Unknown", "PartialTriggerError", buf_cstr(&why),
                                now, NULL);
        buf_done(&why);
    } else {
        changed =
            set_condition(list, "Ready", "True", "ScaledObjectReady",
                          "ScaledObject is defined correctly and is ready for scaling", now, NULL);
    }
    return changed;
}

static void write_so_status(struct scaler *s, const struct object *o, const json_t *so,
                            const struct state *x, int64_t now)
{
    AUTO_JSON json_t *status = json_at(so, "status") ? json_deep_copy(json_at(so, "status")) : NULL;
    json_t *list = json_object_get(status, "conditions");
    char time[TIME_TEXT_MAX];
    bool changed;

    if (!list) /* the reconciler makes the first one */
        return;
    changed = set_condition(list, "Active", x->active ? "True" : "False",
                            x->active ? "ScalerActive" : "ScalerNotActive",
                            x->active ? "Scaling is performed because triggers are active"
                                      : "Scaling is not performed because triggers are not active",
                            now, NULL);
    changed |= set_ready(list, x, now);
    if (!changed && !(x->active && now - s->status_written_ms >= STATUS_MS))
        return;
    if (x->active)
        json_object_set_new(status, "lastActiveTime", json_string(time_rfc3339(now, time)));
    s->status_written_ms = now;
    cluster_write_status(so_cluster(s->c), o, status, SO_COMPONENT, NULL, NULL);
}

/* What is polled cannot be looked at again at once. */
static bool sees_rounds_only(const struct scaler *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (!trigger_is_builtin(s->triggers[i]))
            return false;
    return true;
}

static void warn_once(struct scaler *s, const struct object *so, const struct state *x)
{
    const char *why = x->unknown ? x->why : "";

    if (*why && strcmp(why, s->unknown_why) != 0 && (s->run.has_last || !sees_rounds_only(s)))
        event_emit(so_cluster(s->c), SO_COMPONENT, so, EVENT_WARNING, "KEDAScalerFailed",
                   "the count is held: %s", why);
    snprintf(s->unknown_why, sizeof(s->unknown_why), "%s", why);
    if (x->warnings.n && strcmp(buf_cstr(&x->warnings), s->last_warning) != 0)
        event_emit(so_cluster(s->c), SO_COMPONENT, so, EVENT_WARNING, "QuerySpansWorkloads", "%s",
                   buf_cstr(&x->warnings));
    snprintf(s->last_warning, sizeof(s->last_warning), "%s", buf_cstr(&x->warnings));
}

static bool is_waiting(const struct scaler *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (trigger_is_waiting(s->triggers[i]))
            return true;
    return s->n == 0;
}

void scaler_evaluate(struct scaler *s, int64_t now)
{
    struct cluster *c = so_cluster(s->c);
    const struct object *so = cluster_get(c, KIND_SCALEDOBJECT, str_of(s->ns), str_of(s->name)),
                        *hpa;
    const json_t *tree;
    struct state x = {0};
    struct hpa_look *l;
    char name[260];

    if (!so || so->deleting_ms || is_waiting(s))
        return;
    tree = object_view_of(&s->so, so);
    so_hpa_name(tree, name);
    hpa = cluster_get(c, KIND_HPA, str_of(s->ns), str_of(name));
    if (!hpa || !(l = hpa_look_begin(&s->run, hpa, now)))
        return;
    ask_all(s, l, &x);
    l->scene.may_look_again = l->ready > 1 && sees_rounds_only(s);
    hpa_look_decide(l);
    if (l->d.looks_again) {
        rounds_again(s->c->d.rounds, str_of(s->ns), str_of(s->target));
        hpa_look_drop(l);
        buf_done(&x.warnings);
        return;
    }
    from_or_to_zero(l, tree, &x);
    write_so_status(s, so, tree, &x, now);
    warn_once(s, so, &x);
    hpa_look_finish(l);
    buf_done(&x.warnings);
}
