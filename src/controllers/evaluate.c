/* SPDX-License-Identifier: Apache-2.0
 *
 * One evaluation of a ScaledObject: the values of its triggers go into the HPA's own pass
 * (hpa_run.h), so that what stands in the HPA object counts; KEDA's part is what happens at and
 * around zero (autoscale/keda.h), and the ScaledObject's conditions and events. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "controllers/so_int.h"

/* --- events --- */

static char *active_names(const struct scaler *s, const struct so_look *x)
{
    const char **names = mem_array(s->n + 1, sizeof(*names));
    size_t n = keda_active_names(&x->state, x->triggers, s->n, names);
    struct buf b = BUF_INIT;

    if (s->pauses.forced && !x->state.is_active)
        buf_add_cstr(&b, "forced");
    for (size_t i = 0; i < n; i++)
        buf_printf(&b, "%s%s", i ? ";" : "", names[i]);
    free(names);
    return buf_take(&b, NULL);
}

static void tell_scaled(struct scaler *s, const struct object *so, const struct decision *d,
                        const char *error)
{
    const char *reason = keda_event_reason(s->act, error != NULL), *kind = s->target_kind;
    struct buf b = BUF_INIT;

    if (!reason)
        return;
    if (error)
        buf_printf(&b, "Failed to scale %s %s/%s from %lld to %lld: %s", kind, s->ns, s->target,
                   (long long)d->current, (long long)d->desired, error);
    else if (s->act == KEDA_ACTIVATE)
        buf_printf(&b, "Scaled %s %s/%s from %lld to %lld, triggered by %s", kind, s->ns, s->target,
                   (long long)d->current, (long long)d->desired, s->active ? s->active : "");
    else
        buf_printf(&b, "Deactivated %s %s/%s from %lld to %lld", kind, s->ns, s->target,
                   (long long)d->current, (long long)d->desired);
    event_emit(so_cluster(s->c), SO_COMPONENT, so, error ? EVENT_WARNING : EVENT_NORMAL, reason,
               "%s", buf_cstr(&b));
    buf_done(&b);
}

void so_scaled(void *arg, const struct decision *d, const char *error)
{
    struct scaler *s = arg;
    const struct object *so =
        cluster_get(so_cluster(s->c), KIND_SCALEDOBJECT, str_of(s->ns), str_of(s->name));
    char text[900];

    if (so)
        tell_scaled(s, so, d, error);
    if (!error && s->act == KEDA_ACTIVATE)
        so_scaler_touch(s, d->at_ms);
    s->act = KEDA_STAY;
    if (error || !so)
        return;
    decision_text(d, text, sizeof(text));
    event_emit(so_cluster(s->c), SO_COMPONENT, so, EVENT_NORMAL, "ScalingDecision",
               "from %lld to %s", (long long)d->current, text);
}

/* What is polled cannot be looked at again at once. */
static bool sees_rounds_only(const struct scaler *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (!trigger_is_builtin(s->triggers[i].t))
            return false;
    return true;
}

static bool is_new(const char *was, const char *now)
{
    return strcmp(was ? was : "", now) != 0;
}

/* What goes wrong is told once, not with every round; trouble before the first decision (a pod that
 * is ready before its first scrape) is none. */
static void warn_once(struct scaler *s, const struct object *so, const struct so_look *x)
{
    const char *why = x->why ? x->why : "";

    if (*why && is_new(s->unknown_why, why) && (s->run.has_last || !sees_rounds_only(s)))
        event_emit(so_cluster(s->c), SO_COMPONENT, so, EVENT_WARNING,
                   s->formula ? "KEDAMetricSourceFailed" : "KEDAScalerFailed",
                   "the count is held: %s", why);
    if (s->run.has_last || !sees_rounds_only(s))
        so_keep_text(&s->unknown_why, str_of(why));
    if (x->warnings.n && is_new(s->last_warning, buf_cstr(&x->warnings)))
        event_emit(so_cluster(s->c), SO_COMPONENT, so, EVENT_WARNING, "QuerySpansWorkloads", "%s",
                   buf_cstr(&x->warnings));
    so_keep_text(&s->last_warning, buf_str(&x->warnings));
}

static void tell_fallback(struct scaler *s, const struct object *so, const struct so_look *x)
{
    bool now = x->fallback == KEDA_UNCHANGED ? s->in_fallback : x->fallback == KEDA_TRUE;

    if (now != s->in_fallback)
        event_emit(so_cluster(s->c), SO_COMPONENT, so, EVENT_NORMAL,
                   now ? "ScaledObjectFallbackActivated" : "ScaledObjectFallbackDeactivated",
                   now ? "Fallback is active: %s" : "Fallback is over%s",
                   now && s->unknown_why ? s->unknown_why : "");
    s->in_fallback = now;
}

/* --- the look --- */

static bool is_waiting(const struct scaler *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (trigger_is_waiting(s->triggers[i].t))
            return true;
    return s->n == 0;
}

/* Below one replica, and from idle, KEDA decides and not the HPA. */
static void decide(struct scaler *s, struct hpa_look *l, struct so_look *x)
{
    int64_t was_active =
        s->last_active_ms < 0 ? -1 : l->scene.now_ms - (so_mono_ms(s) - s->active_ms);
    struct keda_scene scene = {.spec = &s->spec,
                               .pauses = &s->pauses,
                               .now_ms = l->scene.now_ms,
                               .created_ms = s->seen->created_ms,
                               .last_active_ms = was_active,
                               .is_unreadable = l->scene.scale_error != NULL,
                               .current = l->scene.current,
                               .is_active = x->state.is_active,
                               .is_error = x->state.is_error,
                               .error = l->scene.scale_error ? l->scene.scale_error : x->why};

    keda_decide(&scene, &x->verdict);
    /* a value that may not lower the count does not end in zero either */
    if (x->is_held && x->verdict.act == KEDA_DEACTIVATE)
        x->verdict.act = KEDA_STAY;
    if (x->verdict.touches && x->verdict.act != KEDA_ACTIVATE)
        so_scaler_touch(s, l->scene.now_ms);
}

static void apply(struct scaler *s, struct hpa_look *l, const struct so_look *x)
{
    const struct keda_verdict *v = &x->verdict;

    if (v->act == KEDA_STAY)
        return;
    s->act = v->act;
    free(s->active);
    s->active = active_names(s, x);
    l->by_other = true;
    l->d.desired = v->to;
    l->d.is_rescale = v->to != l->d.current;
    l->d.limit_reason = l->d.stabilize_reason = "";
    l->d.other_reason = keda_act_text(v->act, s->pauses.forced && !x->state.is_active);
}

static void finish(struct scaler *s, struct hpa_look *l, enum so_what what)
{
    (void)s;
    if (what == SO_POLL && !l->d.is_rescale)
        hpa_look_drop(l);
    else
        hpa_look_finish(l);
}

static void look(struct scaler *s, struct hpa_look *l, const struct object *so, enum so_what what)
{
    struct so_look x = {.fallback = KEDA_UNCHANGED};

    if (s->pauses.full) {
        hpa_look_drop(l);
        return;
    }
    if (what == SO_SYNC && l->scene.current == 0) { /* it is disabled: no trigger is asked */
        hpa_look_decide(l);
        hpa_look_finish(l);
        return;
    }
    so_fetch(s, l, &x);
    l->scene.settle_ms = what == SO_BOTH ? HPA_SETTLE_MS : 0;
    l->scene.may_look_again = what == SO_BOTH && l->ready > 1 && sees_rounds_only(s);
    if (what == SO_POLL) /* what the HPA would do waits for its own loop */
        hpa_look_observe(l);
    else
        hpa_look_decide(l);
    if (l->d.looks_again) {
        rounds_again(s->c->d.rounds, str_of(s->ns), str_of(s->target));
        hpa_look_drop(l);
        buf_done(&x.warnings);
        return;
    }
    if (what != SO_SYNC) {
        decide(s, l, &x);
        apply(s, l, &x);
        warn_once(s, so, &x);
        tell_fallback(s, so, &x);
        so_status_tell(s, so, l, &x);
    }
    buf_done(&x.warnings);
    finish(s, l, what);
}

void so_evaluate(struct scaler *s, int64_t now, enum so_what what)
{
    struct cluster *c = so_cluster(s->c);
    const struct object *so = cluster_get(c, KIND_SCALEDOBJECT, str_of(s->ns), str_of(s->name)),
                        *hpa;
    struct hpa_look *l;

    if (!so || so->deleting_ms || !s->is_running || is_waiting(s))
        return;
    so_scaler_see(s, so);
    hpa = cluster_get(c, KIND_HPA, str_of(s->ns), str_of(s->hpa_name));
    if (hpa && object_is_owned_by(hpa, so->uid) && (l = hpa_look_begin(&s->run, hpa, now)))
        look(s, l, so, what);
}
