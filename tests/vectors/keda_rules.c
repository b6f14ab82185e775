/* SPDX-License-Identifier: Apache-2.0
 *
 * KEDA's rules (autoscale/keda.h): one case function a suite. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autoscale/formula.h"
#include "autoscale/keda.h"
#include "base/clock.h"
#include "base/mem.h"
#include "codec/quantity.h"
#include "vectors.h"

#define TRIGGERS_MAX 16

static int64_t time_at(const json_t *o, const char *path)
{
    int64_t ms = -1;

    time_parse(str_of(json_text(o, path, "")), &ms);
    return ms;
}

/* --- annotations --- */

bool vector_annotations(const json_t *v, struct buf *why)
{
    const json_t *expect = json_object_get(v, "expect"),
                 *replicas = json_object_get(expect, "pausedReplicas");
    struct keda_pauses p;
    bool ok;

    keda_pauses_read(json_at(v, "given.annotations"), &p);
    ok = vector_same_int(why, "paused", p.full, json_bool(expect, "paused", false)) &&
         vector_same_int(why, "in", p.scale_in, json_bool(expect, "scaleInPaused", false)) &&
         vector_same_int(why, "out", p.scale_out, json_bool(expect, "scaleOutPaused", false)) &&
         vector_same_int(why, "forced", p.forced, json_bool(expect, "forceActivation", false)) &&
         vector_same_int(why, "error", p.is_wrong, json_is_string(replicas));
    if (json_is_integer(replicas))
        ok &= vector_same_int(why, "replicas", p.replicas, json_integer_value(replicas));
    return ok & vector_same_int(why, "has replicas", p.has_replicas, !json_is_null(replicas));
}

/* --- executor --- */

static void add_condition(json_t *list, const char *type, const struct keda_condition *c)
{
    if (c->status)
        json_object_set_new(list, type, json_pack("[s,s]", c->status, c->reason));
}

static void add_event(json_t *events, const struct keda_verdict *x, const json_t *v, bool is_forced)
{
    const char *failing = json_text(v, "given.scaleUpdateError", ""),
               *reason = keda_event_reason(x->act, *failing);
    int64_t from = json_int(v, "given.target.specReplicas", 1);
    json_t *e;

    if (!reason)
        return;
    e = json_pack("{s:s,s:s,s:I,s:I}", "type", *failing ? "Warning" : "Normal", "reason", reason,
                  "from", (json_int_t)(strcmp(failing, "get") == 0 ? -1 : from), "to",
                  (json_int_t)x->to);
    if (x->act == KEDA_ACTIVATE && !*failing) {
        if (is_forced)
            json_object_set_new(e, "cause", json_string("force-activation"));
        else
            json_object_set(e, "cause", json_at(v, "when.activeTriggers"));
    }
    json_array_append_new(events, e);
}

static json_t *activity_of(const json_t *v)
{
    const json_t *list = json_at(v, "when.activeTriggers"), *t;
    const char *active[TRIGGERS_MAX];
    size_t i, n = 0;

    json_array_foreach ((json_t *)(uintptr_t)list, i, t)
        active[n++] = json_string_value(t);
    return keda_activity(json_at(v, "given.scaledObject.status.externalMetricNames"),
                         json_at(v, "given.scaledObject.status.triggersActivity"), active, n,
                         json_text(v, "when.forPushScalerMetric", ""));
}

/* What one step writes, in the form the vectors have it. */
static json_t *outcome(const json_t *v)
{
    const json_t *so = json_at(v, "given.scaledObject"), *hpa = json_at(v, "given.hpa");
    const char *failing = json_text(v, "given.scaleUpdateError", "");
    struct keda_condition health;
    struct keda_pauses pauses;
    struct keda_verdict x;
    struct keda_spec spec;
    struct keda_scene s = {.spec = &spec,
                           .pauses = &pauses,
                           .now_ms = time_at(v, "given.now"),
                           .created_ms = time_at(so, "creationTimestamp"),
                           .last_active_ms = time_at(so, "status.lastActiveTime"),
                           .is_unreadable = json_bool(v, "given.target.readError", false),
                           .current = json_int(v, "given.target.specReplicas", 1),
                           .is_active = json_bool(v, "when.isActive", false),
                           .is_error = json_bool(v, "when.isError", false)};
    json_t *conditions = json_object(), *events = json_array();
    bool is_stopped, touches;

    keda_spec_read(json_object_get(so, "spec"), &spec);
    keda_pauses_read(json_object_get(so, "annotations"), &pauses);
    keda_decide(&s, &x);
    is_stopped = x.has_failed || x.paused.status;
    add_condition(conditions, "Ready", &x.ready);
    add_condition(conditions, "Active", &x.active);
    add_condition(conditions, "Paused", &x.paused);
    if (!is_stopped && *json_text(so, "status.hpaName", "") &&
        !json_bool(hpa, "readError", false) &&
        keda_hpa_health(json_text(hpa, "scalingActive.status", NULL),
                        json_text(hpa, "scalingActive.reason", ""),
                        json_text(hpa, "scalingActive.message", ""), &health))
        add_condition(conditions, "HPAActive", &health);
    add_event(events, &x, v, pauses.forced && !s.is_active);
    touches = x.touches && !(x.act == KEDA_ACTIVATE && *failing);
    return json_pack("{s:o,s:o,s:o,s:o,s:b,s:o}", "scaleTo",
                     x.act == KEDA_STAY || *failing ? json_null() : json_integer(x.to),
                     "conditions", conditions, "lastActiveTime",
                     touches ? json_string("now") : json_null(), "events", events, "error",
                     x.has_failed, "triggersActivity", is_stopped ? json_object() : activity_of(v));
}

bool vector_executor(const json_t *v, struct buf *why)
{
    AUTO_JSON json_t *got = outcome(v);

    return vector_same_json(why, "outcome", got, json_object_get(v, "expect"));
}

/* --- status --- */

bool vector_triggers_activity(const json_t *v, struct buf *why)
{
    const json_t *list = json_at(v, "when.activeTriggers"), *t;
    const char *active[TRIGGERS_MAX];
    AUTO_JSON json_t *got = NULL;
    size_t i, n = 0;

    json_array_foreach ((json_t *)(uintptr_t)list, i, t)
        active[n++] = json_string_value(t);
    got = keda_activity(json_at(v, "given.status.externalMetricNames"),
                        json_at(v, "given.status.triggersActivity"), active, n,
                        json_text(v, "when.forPushScalerMetric", ""));
    return vector_same_json(why, "activity", got, json_at(v, "expect.triggersActivity"));
}

bool vector_status_merge(const json_t *v, struct buf *why)
{
    const json_t *given = json_object_get(v, "given");
    bool changed;
    AUTO_JSON json_t *got =
        keda_activity_merge(json_object_get(given, "baselineTriggersActivity"),
                            json_object_get(given, "resultTriggersActivity"),
                            json_object_get(given, "freshTriggersActivity"), &changed);

    return vector_same_json(why, "written", got, json_at(v, "expect.written")) &&
           vector_same_int(why, "patch", changed, json_bool(v, "expect.patch", false));
}

/* --- triggers together --- */

static size_t read_triggers(const json_t *given, struct keda_trigger *t)
{
    const json_t *list = json_object_get(given, "triggers"), *one;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)list, i, one) {
        const char *type = json_text(one, "type", "");
        struct quantity q = {0};

        if (json_is_string(json_object_get(one, "value")))
            quantity_parse(json_strv(json_object_get(one, "value")), &q, NULL);
        t[i] = (struct keda_trigger){.metric = json_text(one, "metricName", ""),
                                     .name = "",
                                     .is_resource =
                                         strcmp(type, "cpu") == 0 || strcmp(type, "memory") == 0,
                                     .is_active = json_bool(one, "active", false),
                                     .has_error = json_bool(one, "error", false),
                                     .in_fallback = json_bool(one, "fallbackActive", false),
                                     .value = json_is_number(json_object_get(one, "value"))
                                                  ? json_number_value(json_object_get(one, "value"))
                                                  : quantity_double(&q)};
    }
    return i;
}

static void read_spec(const json_t *given, struct keda_spec *s)
{
    AUTO_JSON json_t *spec = json_object();

    if (json_object_get(given, "scalingModifiers"))
        json_put(spec, "advanced.scalingModifiers",
                 json_incref(json_object_get(given, "scalingModifiers")));
    if (json_object_get(given, "fallback"))
        json_put(spec, "fallback", json_incref(json_object_get(given, "fallback")));
    keda_spec_read(spec, s); /* its texts are the vector's */
}

bool vector_aggregate(const json_t *v, struct buf *why)
{
    const json_t *given = json_object_get(v, "given"), *expect = json_object_get(v, "expect"),
                 *names = json_object_get(expect, "activeTriggers");
    double composite = json_number_value(json_object_get(given, "composite"));
    struct keda_trigger t[TRIGGERS_MAX];
    const char *active[TRIGGERS_MAX + 1];
    AUTO_JSON json_t *got = json_array();
    size_t n = read_triggers(given, t);
    struct keda_state x;
    struct keda_spec s;

    read_spec(given, &s);
    keda_aggregate(&s, t, n, &composite, &x);
    n = keda_active_names(&x, t, n, active);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(got, json_string(active[i]));
    return vector_same_int(why, "active", x.is_active, json_bool(expect, "isActive", false)) &&
           vector_same_int(why, "error", x.is_error, json_bool(expect, "isError", false)) &&
           vector_same_int(why, "fallback", x.in_fallback,
                           json_bool(expect, "fallbackActive", false)) &&
           vector_same_json(why, "names", got, names);
}

bool vector_metric_request(const json_t *v, struct buf *why)
{
    const json_t *given = json_object_get(v, "given"), *expect = json_object_get(v, "expect");
    bool has_composite = json_object_get(given, "composite") != NULL;
    struct keda_trigger t[TRIGGERS_MAX];
    size_t n = read_triggers(given, t), k = 0;
    AUTO_JSON json_t *got = NULL;
    struct keda_spec s;

    read_spec(given, &s);
    switch (keda_request(&s, t, n, json_text(given, "metricName", ""), has_composite, &k)) {
    case KEDA_NOTHING:
        got = json_pack("{s:b}", "error", 1);
        break;
    case KEDA_FORMULA:
        got =
            json_pack("{s:[[s,O]]}", "items", KEDA_COMPOSITE, json_object_get(given, "composite"));
        break;
    case KEDA_TRIGGER: {
        struct quantity q = quantity_of_double(t[k].value);
        char text[64];

        got = json_pack("{s:[[s,s]]}", "items", s.modifiers.is_used ? KEDA_COMPOSITE : t[k].metric,
                        quantity_text(&q, text));
    }
    }
    return vector_same_json(why, "answer", got, expect);
}

/* --- fallback --- */

static const char *change_text(enum keda_fallback_change c)
{
    return c == KEDA_TRUE ? "True" : c == KEDA_FALSE ? "False" : "unchanged";
}

static int64_t count_or_error(const json_t *given, const char *key)
{
    return json_is_string(json_object_get(given, key)) ? -1 : json_int(given, key, 0);
}

bool vector_fallback(const json_t *v, struct buf *why)
{
    const json_t *given = json_object_get(v, "given"), *expect = json_object_get(v, "expect");
    AUTO_JSON json_t *health = json_object_get(given, "health")
                                   ? json_deep_copy(json_object_get(given, "health"))
                                   : json_object();
    AUTO_JSON json_t *values = json_array();
    struct keda_fetch f = {.metric = json_text(given, "metricName", ""),
                           .target = json_number_value(json_at(given, "target.value")),
                           .is_value = strcmp(json_text(given, "target.type", ""), "Value") == 0,
                           .has_failed = json_at(given, "fetch.error") != NULL,
                           .is_counted = true,
                           .current = count_or_error(given, "currentReplicas"),
                           .ready = count_or_error(given, "readyReplicas")};
    struct keda_fallen x;
    struct keda_spec s;
    const char *name;
    bool ok;

    read_spec(given, &s);
    keda_fall_back(&s, &f, health, &x);
    name = x.is_composite ? KEDA_COMPOSITE : f.metric;
    if (x.has_value) {
        struct quantity q = quantity_of_milli(x.milli);
        char text[64];

        json_array_append_new(values, json_string(quantity_text(&q, text)));
    } else if (!x.is_error) {
        json_array_extend(values, json_at(given, "fetch.values"));
    }
    ok = vector_same_text(why, "result", x.is_error ? "error" : "metrics",
                          json_text(expect, "result", "")) &&
         vector_same_text(why, "condition", change_text(x.condition),
                          json_text(expect, "fallbackCondition", "")) &&
         vector_same_int(why, "active", x.is_active, json_bool(expect, "fallbackActive", false)) &&
         vector_same_json(why, "health", health, json_object_get(expect, "health"));
    if (json_object_get(expect, "values"))
        ok &= vector_same_json(why, "values", values, json_object_get(expect, "values")) &&
              vector_same_text(why, "name", name, json_text(expect, "metricName", ""));
    return ok;
}

/* --- formula --- */

static bool is_refused(const json_t *given, const struct str *names, size_t n, struct err *err)
{
    AUTO_JSON json_t *m = json_pack("{s:O,s:O}", "formula", json_object_get(given, "formula"),
                                    "target", json_object_get(given, "target"));
    AUTO_JSON json_t *outer = json_pack("{s:O}", "scalingModifiers", m);
    struct keda_spec s;

    read_spec(outer, &s);
    if (!(s.modifiers.target > 0)) {
        err_set(err, ERR_INVALID, "target");
        return true;
    }
    return formula_check(str_of(s.modifiers.formula), names, n, err) < 0;
}

bool vector_formula(const json_t *v, struct buf *why)
{
    const json_t *given = json_object_get(v, "given"), *expect = json_object_get(v, "expect"),
                 *list = json_object_get(given, "triggerNames"), *one;
    AUTO_JSON json_t *m = json_pack("{s:O,s:O}", "formula", json_object_get(given, "formula"),
                                    "target", json_object_get(given, "target"));
    AUTO_JSON json_t *outer =
        json_pack("{s:O,s:{s:i,s:I}}", "scalingModifiers", m, "fallback", "failureThreshold", 1,
                  "replicas", (json_int_t)json_int(given, "fallbackReplicas", 0));
    struct keda_trigger t[TRIGGERS_MAX];
    struct str names[TRIGGERS_MAX];
    struct formula *f = NULL;
    struct err err = ERR_INIT;
    struct keda_spec s;
    struct quantity q;
    int64_t milli = 0;
    char text[64];
    size_t n, i;
    int r;

    json_array_foreach ((json_t *)(uintptr_t)list, i, one) {
        const json_t *value =
            json_object_get(json_object_get(given, "values"), json_string_value(one));

        names[i] = json_strv(one);
        t[i] = (struct keda_trigger){.metric = "",
                                     .name = json_string_value(one),
                                     .is_nil = json_is_null(value),
                                     .value = json_number_value(value)};
    }
    n = i;
    if (is_refused(given, names, n, &err))
        return vector_same_text(why, "error", "validation", json_text(expect, "error", err.msg));
    read_spec(outer, &s);
    r = formula_new(str_of(s.modifiers.formula), names, n, &f, &err);
    if (r == 0)
        r = keda_composite(&s, f, t, n, &milli, &err);
    formula_free(f);
    if (r < 0)
        return vector_same_text(why, "error", "runtime", json_text(expect, "error", err.msg));
    q = quantity_of_milli(milli);
    return vector_same_text(why, "composite", quantity_text(&q, text),
                            json_text(expect, "composite", "an error"));
}

/* --- streams --- */

bool vector_is_stream(const json_t *v)
{
    const json_t *given = json_object_get(v, "given");

    return json_object_get(given, "streamGeneration") || json_object_get(given, "streamUid");
}

bool vector_stream(const json_t *v, struct buf *why)
{
    const json_t *given = json_object_get(v, "given");

    return vector_same_int(why, "applied",
                           keda_stream_is_current(str_of(json_text(given, "streamUid", "uid")),
                                                  json_int(given, "streamGeneration", 1),
                                                  str_of(json_text(given, "cacheUid", "uid")),
                                                  json_int(given, "cacheGeneration", 1)),
                           json_bool(v, "expect.applied", true));
}
