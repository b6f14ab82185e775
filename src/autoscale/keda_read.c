/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "autoscale/keda.h"
#include "base/mem.h"

static enum keda_behavior behavior_of(const char *t)
{
    static const char *const names[] = {[KEDA_STATIC] = "static",
                                        [KEDA_CURRENT] = "currentReplicas",
                                        [KEDA_CURRENT_IF_HIGHER] = "currentReplicasIfHigher",
                                        [KEDA_CURRENT_IF_LOWER] = "currentReplicasIfLower",
                                        [KEDA_MODIFIERS] = "scalingModifiers"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(names[i], t) == 0)
            return (enum keda_behavior)i;
    return KEDA_STATIC;
}

static bool has(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return v && !json_is_null(v);
}

static void read_modifiers(const json_t *m, struct keda_modifiers *ret)
{
    const char *type = json_text(m, "metricType", ""),
               *activation = json_text(m, "activationTarget", "");

    ret->formula = json_text(m, "formula", "");
    ret->target_text = json_text(m, "target", "");
    ret->is_value = strcmp(type, "Value") == 0;
    ret->is_used = *ret->formula || *ret->target_text || *type || *activation;
    if (!str_to_double(str_of(ret->target_text), &ret->target) || !(ret->target > 0) ||
        ret->target > 1e300)
        ret->target = 0;
    if (!str_to_double(str_of(activation), &ret->activation))
        ret->activation = 0;
}

void keda_spec_read(const json_t *spec, struct keda_spec *ret)
{
    const json_t *fallback = json_object_get(spec, "fallback");

    *ret = (struct keda_spec){
        .has_min = has(spec, "minReplicaCount"),
        .has_idle = has(spec, "idleReplicaCount"),
        .min = json_int(spec, "minReplicaCount", 0),
        .max = json_int(spec, "maxReplicaCount", 100),
        .idle = json_int(spec, "idleReplicaCount", 0),
        .polling_s = json_int(spec, "pollingInterval", 0),
        .cooldown_s = json_int(spec, "cooldownPeriod", 300),
        .initial_cooldown_s = json_int(spec, "initialCooldownPeriod", 0),
        .restores = json_bool(spec, "advanced.restoreToOriginalReplicaCount", false),
        .fallback = {.is_set = json_is_object(fallback),
                     .threshold = json_int(fallback, "failureThreshold", 0),
                     .replicas = json_int(fallback, "replicas", 0),
                     .behavior = behavior_of(json_text(fallback, "behavior", "static"))}};
    read_modifiers(json_at(spec, "advanced.scalingModifiers"), &ret->modifiers);
}

bool keda_fallback_is_valid(const struct keda_spec *s)
{
    return s->fallback.is_set && s->fallback.threshold >= 0 && s->fallback.replicas >= 0 &&
           (!s->modifiers.is_used || s->modifiers.target > 0);
}

/* --- annotations --- */

/* Anything that is not a boolean means true. */
static bool is_true(const json_t *annotations, const char *key)
{
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    const json_t *v = json_object_get(annotations, key);

    if (!v)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        if (str_is(json_strv(v), no[i]))
            return false;
    return true;
}

void keda_pauses_read(const json_t *annotations, struct keda_pauses *ret)
{
    const json_t *count = json_object_get(annotations, "autoscaling.keda.sh/paused-replicas");

    *ret = (struct keda_pauses){
        .full = count || is_true(annotations, "autoscaling.keda.sh/paused"),
        .has_replicas = count != NULL,
        .scale_in = is_true(annotations, "autoscaling.keda.sh/paused-scale-in"),
        .scale_out = is_true(annotations, "autoscaling.keda.sh/paused-scale-out"),
        .forced = is_true(annotations, "autoscaling.keda.sh/force-activation")};
    ret->is_wrong = count && (!str_to_i64(json_strv(count), &ret->replicas) ||
                              ret->replicas < INT32_MIN || ret->replicas > INT32_MAX);
}
