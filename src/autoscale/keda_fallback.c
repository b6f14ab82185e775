/* SPDX-License-Identifier: Apache-2.0
 *
 * What a trigger counts for that has failed too often (keda.md 3.6). */
#include <string.h>

#include "autoscale/keda.h"
#include "codec/quantity.h"

static int64_t failures_of(const json_t *health, const char *metric)
{
    return json_int(json_object_get(health, metric), "numberOfFailures", 0);
}

static void set_health(json_t *health, const char *metric, int64_t failures, const char *status)
{
    const json_t *was = json_object_get(health, metric);

    if (was && failures_of(health, metric) == failures &&
        strcmp(json_text(was, "status", ""), status) == 0)
        return;
    json_object_set_new(
        health, metric,
        json_pack("{s:I,s:s}", "numberOfFailures", (json_int_t)failures, "status", status));
}

static enum keda_fallback_change condition_of(const struct keda_spec *s, json_t *health)
{
    const char *metric;
    json_t *h;

    json_object_foreach (health, metric, h)
        if (strcmp(json_text(h, "status", ""), "Failing") == 0 &&
            json_int(h, "numberOfFailures", 0) > s->fallback.threshold)
            return KEDA_TRUE;
    return KEDA_FALSE;
}

/* -1: cannot be told. */
static int64_t replicas_of(const struct keda_fallback *f, int64_t current)
{
    bool is_higher = current > f->replicas;

    if (f->behavior == KEDA_STATIC)
        return f->replicas;
    if (current < 0 || f->behavior == KEDA_CURRENT)
        return current;
    return is_higher == (f->behavior == KEDA_CURRENT_IF_HIGHER) ? current : f->replicas;
}

/* What makes the HPA arrive at that many. */
static bool value_of(const struct keda_spec *s, const struct keda_fetch *f, int64_t *ret_milli)
{
    bool is_value = s->modifiers.is_used ? s->modifiers.is_value : f->is_value;
    double target = s->modifiers.is_used ? s->modifiers.target : f->target, n;
    int64_t replicas = replicas_of(&s->fallback, f->current);
    struct quantity q;

    if (replicas < 0 || (is_value && f->ready <= 0))
        return false;
    n = (double)replicas;
    if (is_value)
        n /= (double)f->ready;
    q = quantity_of_double_cut(target * n);
    *ret_milli = quantity_milli(&q);
    return true;
}

void keda_fall_back(const struct keda_spec *s, const struct keda_fetch *f, json_t *health,
                    struct keda_fallen *ret)
{
    bool is_valid = keda_fallback_is_valid(s);
    int64_t failures;

    *ret = (struct keda_fallen){.is_error = f->has_failed, .condition = KEDA_UNCHANGED};
    if (!is_valid)
        return;
    failures = f->has_failed ? failures_of(health, f->metric) + (f->is_counted ? 1 : 0) : 0;
    set_health(health, f->metric, failures, f->has_failed ? "Failing" : "Happy");
    ret->condition = condition_of(s, health);
    if (!f->has_failed || failures <= s->fallback.threshold)
        return;
    if (s->fallback.behavior == KEDA_MODIFIERS) {
        ret->has_value = ret->is_nil = true;
        ret->milli = -1000; /* a place-holder: the formula sees nil */
        ret->is_error = false;
    } else if (value_of(s, f, &ret->milli)) {
        ret->has_value = ret->is_active = true;
        ret->is_composite = s->modifiers.is_used;
        ret->is_error = false;
    }
}

void keda_health_prune(json_t *health, const json_t *names)
{
    const char *metric;
    json_t *h, *v;
    void *tmp;
    size_t i;

    json_object_foreach_safe(health, tmp, metric, h)
    {
        bool is_there = false;

        json_array_foreach ((json_t *)(uintptr_t)names, i, v)
            is_there |= str_is(json_strv(v), metric);
        if (!is_there)
            json_object_del(health, metric);
    }
}
