/* SPDX-License-Identifier: Apache-2.0 */
#include "autoscale/keda_valid.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "autoscale/formula.h"
#include "autoscale/keda_hpa.h"
#include "base/mem.h"
#include "codec/quantity.h"

#define NAME_MAX_CHARS 63

void keda_refusal_done(struct keda_refusal *r)
{
    buf_done(&r->message);
    r->reason = NULL;
}

__attribute__((format(printf, 3, 4))) static bool refuse(struct keda_refusal *r, const char *reason,
                                                         const char *fmt, ...)
{
    va_list ap;

    r->reason = reason;
    va_start(ap, fmt);
    buf_vprintf(&r->message, fmt, ap);
    va_end(ap);
    return false;
}

static bool is_resource(const json_t *trigger)
{
    const char *type = json_text(trigger, "type", "");

    return strcmp(type, "cpu") == 0 || strcmp(type, "memory") == 0;
}

static bool has_only_resources(const json_t *triggers)
{
    const json_t *t;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)triggers, i, t)
        if (!is_resource(t))
            return false;
    return json_array_size(triggers) > 0;
}

/* --- rules on the object alone --- */

struct subject {
    const json_t *so, *triggers;
    struct keda_spec spec;
};

static bool check_replicas(const struct subject *x, struct keda_refusal *r)
{
    const struct keda_spec *s = &x->spec;
    int64_t min = !s->has_min ? 0 : s->min > 1 ? s->min : 1;

    if (min > s->max)
        return refuse(r, "incorrect-replicas",
                      "MinReplicaCount=%lld must be less than or equal to MaxReplicaCount=%lld",
                      (long long)min, (long long)s->max);
    if (s->has_idle && s->idle >= min)
        return refuse(r, "incorrect-replicas",
                      "IdleReplicaCount=%lld must be less than MinReplicaCount=%lld",
                      (long long)s->idle, (long long)min);
    return true;
}

static bool check_fallback(const struct subject *x, struct keda_refusal *r)
{
    const struct keda_fallback *f = &x->spec.fallback;

    if (!f->is_set)
        return true;
    if (f->threshold < 0 || f->replicas < 0)
        return refuse(r, "incorrect-fallback",
                      "FailureThreshold=%lld & Replicas=%lld must both be greater than or equal to "
                      "0",
                      (long long)f->threshold, (long long)f->replicas);
    if (!x->spec.modifiers.is_used && has_only_resources(x->triggers))
        return refuse(r, "incorrect-fallback",
                      "a fallback needs at least one trigger that is not cpu or memory");
    return true;
}

static bool check_triggers(const struct subject *x, struct keda_refusal *r)
{
    const json_t *t;
    size_t i;

    if (x->triggers && json_array_size(x->triggers) == 0)
        return refuse(r, "incorrect-triggers",
                      "no triggers defined in the ScaledObject: one is needed");
    json_array_foreach ((json_t *)(uintptr_t)x->triggers, i, t) {
        const char *name = json_text(t, "name", ""), *type = json_text(t, "type", "");

        if (json_bool(t, "useCachedMetrics", false) &&
            (is_resource(t) || strcmp(type, "cron") == 0))
            return refuse(r, "incorrect-triggers",
                          "property \"useCachedMetrics\" is not supported for %s scaler", type);
        for (size_t k = 0; *name && k < i; k++)
            if (strcmp(json_text(json_array_get(x->triggers, k), "name", ""), name) == 0)
                return refuse(r, "incorrect-triggers",
                              "triggerName %s is defined multiple times in the ScaledObject", name);
    }
    return true;
}

static bool check_name(const struct subject *x, struct keda_refusal *r)
{
    size_t n = strlen(json_text(x->so, "metadata.name", ""));

    return n <= NAME_MAX_CHARS
               ? true
               : refuse(r, "name-too-long",
                        "the ScaledObject's name has %zu characters; as the value of the label "
                        "scaledobject.keda.sh/name it may have %d",
                        n, NAME_MAX_CHARS);
}

static bool check_hpa_name(const struct subject *x, struct keda_refusal *r)
{
    char name[KEDA_HPA_NAME_MAX];
    size_t n = strlen(keda_hpa_name(x->so, name));

    return n <= NAME_MAX_CHARS
               ? true
               : refuse(r, "hpa-name-too-long",
                        "the HPA's name would have %zu characters, %d are allowed: set "
                        "spec.advanced.horizontalPodAutoscalerConfig.name",
                        n, NAME_MAX_CHARS);
}

static bool check_to_zero(const struct subject *x, struct keda_refusal *r)
{
    if (!has_only_resources(x->triggers) || x->spec.min > 0)
        return true;
    return refuse(r, "scale-to-zero-requirements-not-met",
                  "scaledobject has only cpu/memory triggers AND minReplica is 0 (scale to zero "
                  "doesn't work in this case)");
}

static bool check_formula(const struct subject *x, struct keda_refusal *r)
{
    struct str *names = mem_array(json_array_size(x->triggers) + 1, sizeof(*names));
    struct err err = ERR_INIT;
    const json_t *t;
    size_t i, n = 0;
    int ok;

    json_array_foreach ((json_t *)(uintptr_t)x->triggers, i, t)
        if (!is_resource(t) && *json_text(t, "name", ""))
            names[n++] = str_of(json_text(t, "name", ""));
    ok = formula_check(str_of(x->spec.modifiers.formula), names, n, &err);
    free(names);
    return ok < 0 ? refuse(r, "scaling-modifiers",
                           "error validating formula in ScalingModifiers: %s", err.msg)
                  : true;
}

static bool check_modifiers(const struct subject *x, struct keda_refusal *r)
{
    const struct keda_modifiers *m = &x->spec.modifiers;

    if (!m->is_used)
        return true;
    if (!*m->formula)
        return refuse(r, "scaling-modifiers",
                      "error ScalingModifiers.Formula is mandatory if ScalingModifiers is used");
    if (!*m->target_text)
        return refuse(r, "scaling-modifiers", "formula is given but target is empty");
    if (!(m->target > 0))
        return refuse(r, "scaling-modifiers",
                      "ScalingModifiers.Target '%s' must be a number greater than 0",
                      m->target_text);
    if (strcmp(json_text(x->so, "spec.advanced.scalingModifiers.metricType", ""), "Utilization") ==
        0)
        return refuse(r, "scaling-modifiers",
                      "error ScalingModifiers.MetricType must be AverageValue or Value, not "
                      "Utilization");
    return check_formula(x, r);
}

static bool check_modifiers_fallback(const struct subject *x, struct keda_refusal *r)
{
    if (!x->spec.fallback.is_set || x->spec.fallback.behavior != KEDA_MODIFIERS ||
        *x->spec.modifiers.formula)
        return true;
    return refuse(r, "scaling-modifiers-fallback",
                  "fallback.behavior scalingModifiers needs advanced.scalingModifiers.formula");
}

static const struct {
    const char *reason;
    bool (*check)(const struct subject *x, struct keda_refusal *r);
    bool skipped_when_dry;
} rules[] = {
    {"name-too-long", check_name, false},
    {"hpa-name-too-long", check_hpa_name, false},
    {"incorrect-triggers", check_triggers, false},
    {"incorrect-replicas", check_replicas, false},
    {"incorrect-fallback", check_fallback, false},
    {"scale-to-zero-requirements-not-met", check_to_zero, true},
    {"scaling-modifiers", check_modifiers, false},
    {"scaling-modifiers-fallback", check_modifiers_fallback, false},
};

bool keda_admit_is_needed(const json_t *so, const json_t *was)
{
    const json_t *a = json_at(so, "metadata.annotations"),
                 *b = json_at(was, "metadata.annotations");

    return !was || !json_equal(json_at(was, "spec"), json_at(so, "spec")) ||
           (json_object_size(a) + json_object_size(b) > 0 && !(a && b && json_equal(a, b)));
}

bool keda_admit(const json_t *so, bool is_dry, const char *only, struct keda_refusal *r)
{
    struct subject x = {.so = so, .triggers = json_at(so, "spec.triggers")};

    keda_spec_read(json_object_get(so, "spec"), &x.spec);
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        if ((only && strcmp(only, rules[i].reason) != 0) || (is_dry && rules[i].skipped_when_dry))
            continue;
        if (!rules[i].check(&x, r))
            return false;
    }
    return true;
}

/* --- beside others --- */

static bool same_target(const json_t *a, const json_t *b)
{
    return strcmp(json_text(a, "name", ""), json_text(b, "name", "?")) == 0 &&
           strcmp(json_text(a, "kind", "Deployment"), json_text(b, "kind", "Deployment")) == 0 &&
           strcmp(json_text(a, "apiVersion", "apps/v1"), json_text(b, "apiVersion", "apps/v1")) ==
               0;
}

bool keda_admit_other(const json_t *so, const json_t *other, struct keda_refusal *r)
{
    const json_t *target = json_at(so, "spec.scaleTargetRef");
    char mine[KEDA_HPA_NAME_MAX], theirs[KEDA_HPA_NAME_MAX];
    const char *name = json_text(other, "metadata.name", "");

    if (strcmp(name, json_text(so, "metadata.name", "")) == 0)
        return true;
    if (same_target(json_at(other, "spec.scaleTargetRef"), target))
        return refuse(r, "other-scaled-object",
                      "the workload '%s' of type '%s.%s' is already managed by the ScaledObject "
                      "'%s'",
                      json_text(target, "name", ""), json_text(target, "apiVersion", "apps/v1"),
                      json_text(target, "kind", "Deployment"), name);
    if (strcmp(keda_hpa_name(so, mine), keda_hpa_name(other, theirs)) == 0)
        return refuse(r, "other-scaled-object-hpa",
                      "the HPA '%s' is already managed by the ScaledObject '%s'", mine, name);
    return true;
}

static bool is_owned_by(const json_t *hpa, const char *so_name)
{
    const json_t *o;
    size_t i;

    json_array_foreach (json_at(hpa, "metadata.ownerReferences"), i, o)
        if (strcmp(json_text(o, "kind", ""), "ScaledObject") == 0 &&
            strcmp(json_text(o, "name", ""), so_name) == 0)
            return true;
    return false;
}

bool keda_admit_hpa(const json_t *so, const json_t *hpa, struct keda_refusal *r)
{
    const json_t *target = json_at(so, "spec.scaleTargetRef"),
                 *mine = json_at(so, "metadata.annotations"),
                 *theirs = json_at(hpa, "metadata.annotations");
    const char *name = json_text(hpa, "metadata.name", "");
    char own[KEDA_HPA_NAME_MAX];

    if (str_is(json_strv(json_object_get(theirs, "validations.keda.sh/hpa-ownership")), "false") ||
        is_owned_by(hpa, json_text(so, "metadata.name", "")) ||
        !same_target(json_at(hpa, "spec.scaleTargetRef"), target))
        return true;
    if (!str_is(json_strv(json_object_get(mine, "scaledobject.keda.sh/transfer-hpa-ownership")),
                "true"))
        return refuse(r, "other-hpa",
                      "the workload '%s' of type '%s.%s' is already managed by the hpa '%s'",
                      json_text(target, "name", ""), json_text(target, "apiVersion", "apps/v1"),
                      json_text(target, "kind", "Deployment"), name);
    if (strcmp(keda_hpa_name(so, own), name) == 0)
        return true;
    return refuse(r, "transfer-ownership-missing-hpa-name",
                  "the workload is managed by the hpa '%s': to take it over, set "
                  "spec.advanced.horizontalPodAutoscalerConfig.name to that name",
                  name);
}

/* --- requests --- */

static bool is_positive(const json_t *amounts, const char *resource)
{
    const json_t *v = json_object_get(amounts, resource);
    struct quantity q;

    if (json_is_integer(v))
        return json_integer_value(v) > 0;
    return quantity_parse(json_strv(v), &q, NULL) == 0 && q.nano > 0;
}

static bool has_default(const json_t *ranges, const char *resource)
{
    const json_t *l;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)ranges, i, l)
        if (strcmp(json_text(l, "type", ""), "Container") == 0 &&
            (is_positive(json_object_get(l, "default"), resource) ||
             is_positive(json_object_get(l, "defaultRequest"), resource)))
            return true;
    return false;
}

bool keda_admit_requests(const json_t *so, const json_t *containers, const json_t *ranges,
                         struct keda_refusal *r)
{
    const json_t *t, *c;
    size_t i, k;

    json_array_foreach (json_at(so, "spec.triggers"), i, t) {
        const char *only = json_text(t, "metadata.containerName", ""),
                   *type = json_text(t, "type", "");

        if (!is_resource(t) || has_default(ranges, type))
            continue;
        json_array_foreach ((json_t *)(uintptr_t)containers, k, c) {
            const char *name = json_text(c, "name", "");

            if ((*only && strcmp(only, name) != 0) ||
                is_positive(json_at(c, "resources.requests"), type) ||
                is_positive(json_at(c, "resources.limits"), type))
                continue;
            return refuse(r, "missing-requests",
                          "the scaledobject has a %s trigger but the container %s doesn't have the "
                          "%s request defined",
                          type, name, type);
        }
    }
    return true;
}

/* --- warnings --- */

void keda_warnings(const json_t *so, struct buf *out)
{
    const json_t *spec = json_object_get(so, "spec"), *t;
    struct keda_spec s;
    bool is_cached = false;
    size_t i;

    keda_spec_read(spec, &s);
    if (s.min <= 0 || s.has_idle)
        return;
    json_array_foreach (json_object_get(spec, "triggers"), i, t)
        is_cached |= json_bool(t, "useCachedMetrics", false);
    if (json_object_get(spec, "pollingInterval") && !is_cached)
        buf_add_cstr(out, "spec.pollingInterval is not relevant: minReplicaCount is above 0, and "
                          "neither idleReplicaCount nor useCachedMetrics is set\n");
    if (json_object_get(spec, "cooldownPeriod"))
        buf_add_cstr(out, "spec.cooldownPeriod is not relevant: minReplicaCount is above 0 and "
                          "idleReplicaCount is not set\n");
}
