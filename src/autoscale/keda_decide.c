/* SPDX-License-Identifier: Apache-2.0
 *
 * The executor's table (keda.md 3.3, 3.4), row by row. */
#include <stdio.h>
#include <string.h>

#include "autoscale/keda.h"

const struct keda_condition KEDA_READY = {
    "True", "ScaledObjectReady", "ScaledObject is defined correctly and is ready for scaling"};
const struct keda_condition KEDA_PAUSED = {"True", "ScaledObjectPaused", "ScaledObject is paused"};
const struct keda_condition KEDA_UNPAUSED = {"False", "ScaledObjectUnpaused",
                                             "pause annotation removed for ScaledObject"};
const struct keda_condition KEDA_FALLS_BACK = {
    "True", "FallbackExists", "At least one trigger is falling back on this scaled object"};
const struct keda_condition KEDA_NO_FALLBACK = {"False", "NoFallbackFound",
                                                "No fallbacks are active on this scaled object"};
const struct keda_condition KEDA_ACTIVE = {"True", "ScalerActive",
                                           "Scaling is performed because triggers are active"};
const struct keda_condition KEDA_NOT_ACTIVE = {
    "False", "ScalerNotActive", "Scaling is not performed because triggers are not active"};

static const struct keda_condition forced = {
    "True", "ScalerActive",
    "Scaling is performed because activation is being forced by annotation"};
static const struct keda_condition cooling_down = {
    "False", "ScalerCooldown", "Scaler cooling down because triggers are not active"};

static const struct keda_condition *with_text(struct keda_verdict *v, struct keda_condition *c,
                                              const char *status, const char *reason,
                                              const char *what, const char *error)
{
    snprintf(v->text, sizeof(v->text), "%s%s%s", what, error ? ": " : "", error ? error : "");
    *c = (struct keda_condition){status, reason, v->text};
    return c;
}

static void scale(struct keda_verdict *v, enum keda_act act, int64_t to)
{
    v->act = act;
    v->to = to;
}

/* Rows 2 to 4. */
static void decide_active(const struct keda_scene *s, struct keda_verdict *v)
{
    const struct keda_spec *k = s->spec;

    v->active = s->is_active ? KEDA_ACTIVE : forced;
    if ((k->has_idle && s->current < k->min) || s->current == 0) {
        if (s->pauses->scale_out)
            return;
        scale(v, KEDA_ACTIVATE, k->min > 0 ? k->min : 1);
        v->touches = true;
    } else if (s->is_error) {
        with_text(v, &v->ready, "Unknown", "PartialTriggerError",
                  "Some triggers defined in ScaledObject are not working correctly", s->error);
    } else {
        v->touches = true;
    }
}

/* Strict on both sides, in whole seconds as objects carry them. */
static bool has_cooled_down(const struct keda_scene *s)
{
    return s->last_active_ms < 0 ? s->created_ms + s->spec->initial_cooldown_s * 1000 < s->now_ms
                                 : s->last_active_ms + s->spec->cooldown_s * 1000 < s->now_ms;
}

static void go_idle(const struct keda_scene *s, struct keda_verdict *v)
{
    if (s->pauses->scale_in)
        return;
    if (has_cooled_down(s))
        scale(v, KEDA_DEACTIVATE, s->spec->has_idle ? s->spec->idle : s->spec->min);
    else
        v->active = cooling_down;
}

/* Rows 5 to 9. */
static void decide_inactive(const struct keda_scene *s, struct keda_verdict *v)
{
    const struct keda_spec *k = s->spec;

    v->active = KEDA_NOT_ACTIVE;
    if (s->is_error && k->fallback.is_set && k->fallback.replicas != 0)
        return;
    if (s->is_error && !k->fallback.is_set)
        with_text(v, &v->ready, "False", "TriggerError",
                  "Triggers defined in ScaledObject are not working correctly", s->error);
    else if ((k->has_idle && s->current > k->idle) || (s->current > 0 && k->min == 0))
        go_idle(s, v);
    else if (!k->has_idle && s->current < k->min)
        scale(v, KEDA_RAISE, k->min);
}

void keda_decide(const struct keda_scene *s, struct keda_verdict *v)
{
    *v = (struct keda_verdict){.act = KEDA_STAY, .to = s->current, .ready = KEDA_READY};
    if (s->is_unreadable) {
        with_text(v, &v->ready, "False", "ErrorGettingCurrentReplicas",
                  "Error getting information on the current Scale", s->error);
        v->has_failed = true;
    } else if (s->pauses->full) {
        v->ready.message = "ScaledObject is paused";
        v->paused = KEDA_PAUSED;
    } else if (s->is_active || s->pauses->forced) {
        decide_active(s, v);
    } else {
        decide_inactive(s, v);
    }
}

const char *keda_act_text(enum keda_act act, bool is_forced)
{
    static const char *const texts[] = {
        [KEDA_STAY] = "",
        [KEDA_ACTIVATE] = "KEDA: a trigger is active",
        [KEDA_DEACTIVATE] = "KEDA: no trigger has been active for the cooldown period",
        [KEDA_RAISE] = "KEDA: there are fewer than the minimum"};

    return act == KEDA_ACTIVATE && is_forced ? "KEDA: activation is forced by annotation"
                                             : texts[act];
}

const char *keda_event_reason(enum keda_act act, bool has_failed)
{
    if (act == KEDA_ACTIVATE)
        return has_failed ? "KEDAScaleTargetActivationFailed" : "KEDAScaleTargetActivated";
    if (act == KEDA_DEACTIVATE)
        return has_failed ? "KEDAScaleTargetDeactivationFailed" : "KEDAScaleTargetDeactivated";
    return NULL;
}

bool keda_hpa_health(const char *status, const char *reason, const char *message,
                     struct keda_condition *ret)
{
    if (!status)
        return false;
    if (strcmp(status, "True") == 0)
        *ret = (struct keda_condition){"True", "HPAActive", "HPA is scaling"};
    else if (strcmp(reason, "ScalingDisabled") == 0)
        *ret = (struct keda_condition){"True", "ScalingDisabled", message};
    else
        *ret =
            (struct keda_condition){"False", *reason ? reason : "HPAMetricsUnavailable", message};
    return true;
}
