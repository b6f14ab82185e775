/* SPDX-License-Identifier: Apache-2.0
 *
 * The HPA of a ScaledObject, admission, and whole timelines. */
#include <stdlib.h>
#include <string.h>

#include "autoscale/keda_hpa.h"
#include "autoscale/keda_valid.h"
#include "base/clock.h"
#include "base/mem.h"
#include "codec/quantity.h"
#include "triggers/trigger.h"
#include "vectors.h"

/* --- the HPA --- */

/* What a vector leaves out because its rule does not look at it. */
static json_t *whole_metadata(const json_t *trigger)
{
    json_t *meta = json_deep_copy(json_object_get(trigger, "metadata"));

    if (strcmp(json_text(trigger, "type", ""), "prometheus") == 0) {
        json_object_set_new(meta, "serverAddress", json_string("http://127.0.0.1:1"));
        json_object_set_new(meta, "query", json_string("q"));
    }
    return meta;
}

static int add_metric(const struct trigger_world *w, const json_t *trigger, int index,
                      const char *so, json_t *metrics, struct err *err)
{
    AUTO_JSON json_t *spec =
        json_pack("{s:O,s:o,s:s}", "type", json_object_get(trigger, "type"), "metadata",
                  whole_metadata(trigger), "metricType", json_text(trigger, "metricType", ""));
    struct trigger_options o = {
        .world = w, .ns = STR("default"), .spec = spec, .index = index, .poll_ms = 1000};
    struct trigger *t = NULL;
    int r = trigger_new(&o, &t, err);

    if (r < 0)
        return r;
    json_array_append_new(metrics, trigger_metric_spec(t, so));
    trigger_free(t);
    return 0;
}

static json_t *metrics_of(const json_t *so, struct err *err)
{
    struct cluster cluster = {.loop = loop_new_sim(0)};
    struct trigger_world world = {.cluster = &cluster};
    json_t *metrics = json_array();
    const json_t *t;
    size_t i;

    json_array_foreach (json_at(so, "spec.triggers"), i, t)
        if (add_metric(&world, t, (int)i, json_text(so, "metadata.name", ""), metrics, err) < 0)
            break;
    /* rules that do not look at triggers still need one */
    if (!json_at(so, "spec.triggers"))
        json_array_append_new(metrics, json_pack("{s:s}", "type", "External"));
    loop_free(cluster.loop);
    return metrics;
}

/* {type, name, selector, target} of an element of spec.metrics, as far as the vector names them. */
static json_t *seen_metric(const json_t *m, const json_t *wanted)
{
    const char *type = json_text(m, "type", ""),
               *member = strcmp(type, "External") == 0   ? "external"
                         : strcmp(type, "Resource") == 0 ? "resource"
                                                         : "containerResource";
    const json_t *block = json_object_get(m, member);
    json_t *out = json_pack("{s:s,s:s,s:O}", "type", type, "name",
                            json_text(block, "metric.name", json_text(block, "name", "")), "target",
                            json_object_get(block, "target"));

    if (json_object_get(wanted, "selector"))
        json_object_set(out, "selector", json_at(block, "metric.selector.matchLabels"));
    return out;
}

static json_t *seen_metrics(const json_t *metrics, const json_t *wanted)
{
    json_t *out = json_array();
    const json_t *m;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)metrics, i, m)
        json_array_append_new(out, seen_metric(m, json_array_get(wanted, i)));
    return out;
}

static bool has_members(struct buf *why, const char *what, const json_t *got,
                        const json_t *expected)
{
    const char *key;
    const json_t *v;
    bool ok = true;

    json_members (expected, key, v) {
        const json_t *g = json_object_get(got, key);

        ok &= json_is_object(v) ? has_members(why, key, g, v) : vector_same_json(why, what, g, v);
    }
    return ok;
}

static bool same_hpa(const struct keda_hpa *h, const json_t *expect, struct buf *why)
{
    const json_t *labels = json_at(h->object, "metadata.labels"),
                 *wanted = json_object_get(expect, "metrics"), *v;
    AUTO_JSON json_t *metrics = seen_metrics(json_at(h->object, "spec.metrics"), wanted);
    bool ok = true;
    size_t i;

    if (json_object_get(expect, "minReplicas"))
        ok &= vector_same_int(why, "min", json_int(h->object, "spec.minReplicas", -1),
                              json_int(expect, "minReplicas", 0));
    if (json_object_get(expect, "maxReplicas"))
        ok &= vector_same_int(why, "max", json_int(h->object, "spec.maxReplicas", -1),
                              json_int(expect, "maxReplicas", 0));
    if (json_object_get(expect, "hpaName"))
        ok &= vector_same_text(why, "name", json_text(h->object, "metadata.name", ""),
                               json_text(expect, "hpaName", ""));
    ok &= has_members(why, "labels", labels, json_object_get(expect, "labels")) &&
          has_members(why, "annotations", json_at(h->object, "metadata.annotations"),
                      json_object_get(expect, "annotations")) &&
          has_members(why, "behavior", json_at(h->object, "spec.behavior"),
                      json_object_get(expect, "behavior"));
    json_array_foreach (json_object_get(expect, "absentLabels"), i, v)
        ok &= vector_same_int(why, "absent", json_object_get(labels, json_string_value(v)) != NULL,
                              0);
    if (wanted)
        ok &= vector_same_json(why, "metrics", metrics, wanted);
    if (json_object_get(expect, "externalMetricNames"))
        ok &= vector_same_json(why, "external", h->external_names,
                               json_object_get(expect, "externalMetricNames"));
    if (json_object_get(expect, "resourceMetricNames"))
        ok &= vector_same_json(why, "resource", h->resource_names,
                               json_object_get(expect, "resourceMetricNames"));
    if (json_object_get(expect, "compositeScalerName"))
        ok &= vector_same_int(why, "composite", h->is_composite, 1);
    return ok;
}

static bool vector_prune(const json_t *given, const json_t *expect, struct buf *why)
{
    AUTO_JSON json_t *health = json_deep_copy(json_object_get(given, "health"));

    keda_health_prune(health, json_object_get(given, "metricNames"));
    return vector_same_json(why, "health", health, json_object_get(expect, "health"));
}

bool vector_hpa(const json_t *v, struct buf *why)
{
    const json_t *given = json_object_get(v, "given"), *expect = json_object_get(v, "expect");
    AUTO_JSON json_t *so =
        json_pack("{s:{s:O},s:O}", "metadata", "name", json_object_get(given, "name"), "spec",
                  json_object_get(given, "spec") ? json_object_get(given, "spec") : json_null());
    AUTO_JSON json_t *metrics = NULL;
    struct keda_hpa h = {0};
    struct err err = ERR_INIT;
    bool ok;

    if (json_object_get(given, "health"))
        return vector_prune(given, expect, why);
    if (json_object_get(given, "labels"))
        json_put(so, "metadata.labels", json_incref(json_object_get(given, "labels")));
    if (json_object_get(given, "annotations"))
        json_put(so, "metadata.annotations", json_incref(json_object_get(given, "annotations")));
    metrics = json_object_get(given, "metricNames") ? json_array() : metrics_of(so, &err);
    if (err.code || keda_hpa_make(so, metrics, "apps/v1", "Deployment", &h, &err) < 0)
        return json_bool(expect, "error", false) || (buf_add_cstr(why, err.msg), false);
    ok = !json_bool(expect, "error", false) && same_hpa(&h, expect, why);
    keda_hpa_done(&h);
    return ok;
}

/* --- admission --- */

static json_t *subject_of(const json_t *given)
{
    json_t *so = json_pack("{s:{s:s},s:O}", "metadata", "name", json_text(given, "name", "so"),
                           "spec", json_object_get(given, "spec"));

    if (json_object_get(given, "annotations"))
        json_put(so, "metadata.annotations", json_incref(json_object_get(given, "annotations")));
    return so;
}

static json_t *other_of(const json_t *o)
{
    json_t *so = json_pack("{s:{s:O},s:{s:O}}", "metadata", "name", json_object_get(o, "name"),
                           "spec", "scaleTargetRef", json_object_get(o, "scaleTargetRef"));

    if (json_object_get(o, "hpaName"))
        json_put(so, "spec.advanced.horizontalPodAutoscalerConfig.name",
                 json_incref(json_object_get(o, "hpaName")));
    return so;
}

static json_t *hpa_of(const json_t *o)
{
    json_t *hpa = json_pack("{s:{s:O},s:{s:O}}", "metadata", "name", json_object_get(o, "name"),
                            "spec", "scaleTargetRef", json_object_get(o, "scaleTargetRef"));

    if (json_object_get(o, "annotations"))
        json_put(hpa, "metadata.annotations", json_incref(json_object_get(o, "annotations")));
    if (json_is_object(json_object_get(o, "owner")))
        json_put(hpa, "metadata.ownerReferences",
                 json_pack("[{s:O,s:O,s:b}]", "kind", json_at(o, "owner.kind"), "name",
                           json_at(o, "owner.name"), "controller", 1));
    return hpa;
}

/* As a pod's spec has them. */
static json_t *containers_of(const json_t *given)
{
    json_t *out = json_array();
    const json_t *c;
    size_t i;

    json_array_foreach (json_object_get(given, "containers"), i, c) {
        json_t *one = json_pack("{s:O}", "name", json_object_get(c, "name"));

        if (json_object_get(c, "requests"))
            json_put(one, "resources.requests", json_incref(json_object_get(c, "requests")));
        json_array_append_new(out, one);
    }
    return out;
}

/* Some of KEDA's own tests call one rule alone. */
static const char *rule_of(const char *origin)
{
    return strstr(origin, "TestCheckFallbackValid")                ? "incorrect-fallback"
           : strstr(origin, "TestCheckReplicaCountBoundsAreValid") ? "incorrect-replicas"
                                                                   : NULL;
}

static void admit(const json_t *given, const char *only, struct keda_refusal *r)
{
    AUTO_JSON json_t *so = subject_of(given), *containers = containers_of(given);
    bool is_dry = json_bool(given, "dryRun", false), ok;
    const json_t *o;
    size_t i;

    if (json_bool(given, "finalizersRemoved", false)) {
        AUTO_JSON json_t *was = json_deep_copy(so);

        json_put(was, "metadata.finalizers", json_pack("[s]", "finalizer.keda.sh"));
        if (!json_bool(given, "specUnchanged", false))
            json_put(was, "spec.pollingInterval", json_integer(1));
        if (!keda_admit_is_needed(so, was))
            return;
    }
    ok = keda_admit(so, is_dry, only, r);
    if (ok && !is_dry)
        ok = keda_admit_requests(so, containers, json_object_get(given, "limitRanges"), r);
    json_array_foreach (json_object_get(given, "otherScaledObjects"), i, o) {
        AUTO_JSON json_t *other = other_of(o);

        ok = ok && keda_admit_other(so, other, r);
    }
    json_array_foreach (json_object_get(given, "hpas"), i, o) {
        AUTO_JSON json_t *hpa = hpa_of(o);

        ok = ok && keda_admit_hpa(so, hpa, r);
    }
}

bool vector_validation(const json_t *v, struct buf *why)
{
    const json_t *given = json_object_get(v, "given"), *expect = json_object_get(v, "expect"), *w;
    AUTO_JSON json_t *so = subject_of(given);
    struct keda_refusal r = {0};
    struct buf warnings = BUF_INIT;
    size_t i, lines = 0;
    bool ok;

    admit(given, rule_of(json_text(v, "origin", "")), &r);
    ok = vector_same_text(why, "reason", r.reason ? r.reason : "allowed",
                          json_text(expect, "reason", "allowed"));
    if (r.reason && r.message.n == 0)
        ok = false;
    if (json_object_get(expect, "warnings")) {
        keda_warnings(so, &warnings);
        for (i = 0; i < warnings.n; i++)
            lines += warnings.p[i] == '\n';
        ok &= vector_same_int(why, "warnings", (int64_t)lines,
                              (int64_t)json_array_size(json_object_get(expect, "warnings")));
        json_array_foreach (json_object_get(expect, "warnings"), i, w)
            ok &=
                vector_same_int(why, "warning", str_find(buf_str(&warnings), json_strv(w)) >= 0, 1);
    }
    buf_done(&warnings);
    keda_refusal_done(&r);
    return ok;
}

/* --- timelines --- */

/* A ScaledObject between steps, as status and target would carry it. */
struct life {
    struct keda_spec spec;
    struct keda_pauses pauses;
    json_t *health;
    int64_t start_ms, last_active_ms, replicas;
    double target;
    const char *metric;
};

struct step {
    bool has_failed;
    double value;
    struct keda_trigger trigger;
};

static void fetch(struct life *l, const json_t *step, struct step *x)
{
    const json_t *v = json_object_get(step, "fetch");
    struct keda_fetch f = {.metric = l->metric,
                           .target = l->target,
                           .has_failed = json_is_string(v) && str_is(json_strv(v), "error"),
                           .is_counted = true,
                           .current = l->replicas,
                           .ready = l->replicas};
    struct keda_fallen fallen;
    double value = json_number_value(v);

    if (json_is_string(v) && !f.has_failed)
        str_to_double(json_strv(v), &value);
    keda_fall_back(&l->spec, &f, l->health, &fallen);
    x->trigger =
        (struct keda_trigger){.metric = l->metric,
                              .name = "",
                              .is_active = !f.has_failed && value > 0,
                              .has_error = fallen.is_error,
                              .in_fallback = fallen.is_active,
                              .value = fallen.has_value ? (double)fallen.milli / 1000 : value};
}

static void decide(struct life *l, int64_t now, bool is_active, bool is_error,
                   struct keda_verdict *v)
{
    struct keda_scene s = {.spec = &l->spec,
                           .pauses = &l->pauses,
                           .now_ms = now,
                           .created_ms = l->start_ms,
                           .last_active_ms = l->last_active_ms,
                           .current = l->replicas,
                           .is_active = is_active,
                           .is_error = is_error};

    keda_decide(&s, v);
    if (v->act != KEDA_STAY)
        l->replicas = v->to;
    if (v->touches)
        l->last_active_ms = now;
}

static bool same_verdict(struct buf *why, const struct keda_verdict *v, const json_t *expect)
{
    bool ok = vector_same_int(why, "scaleTo", v->act == KEDA_STAY ? -1 : v->to,
                              json_int(expect, "scaleTo", -1));

    if (json_object_get(expect, "active"))
        ok &= vector_same_text(why, "active", v->active.reason, json_text(expect, "active", ""));
    if (json_object_get(expect, "ready"))
        ok &= vector_same_text(why, "ready", v->ready.reason, json_text(expect, "ready", ""));
    return ok;
}

static bool run_poll(struct life *l, int64_t now, const json_t *step, struct buf *why)
{
    struct keda_verdict v;
    struct keda_state state;
    struct step x;

    fetch(l, step, &x);
    keda_aggregate(&l->spec, &x.trigger, 1, NULL, &state);
    decide(l, now, state.is_active, state.is_error, &v);
    return same_verdict(why, &v, json_object_get(step, "expect"));
}

static bool run_push(struct life *l, int64_t now, const json_t *step, struct buf *why)
{
    struct keda_verdict v = {.act = KEDA_STAY};

    if (json_bool(step, "message", false))
        decide(l, now, true, false, &v);
    return same_verdict(why, &v, json_object_get(step, "expect"));
}

static bool run_hpa(struct life *l, const json_t *step, struct buf *why)
{
    const json_t *expect = json_object_get(step, "expect");
    bool is_asked = l->replicas > 0; /* at zero the HPA is disabled */
    size_t index;
    struct step x;
    char text[64];

    if (!vector_same_int(why, "queried", is_asked, json_bool(expect, "queried", false)) ||
        !is_asked)
        return !is_asked && why->n == 0;
    fetch(l, step, &x);
    if (keda_request(&l->spec, &x.trigger, 1, l->metric, false, &index) != KEDA_TRIGGER) {
        return vector_same_text(why, "metric", "error", json_text(expect, "metric", ""));
    } else {
        struct quantity q = quantity_of_double(x.trigger.value);

        return vector_same_text(why, "metric", quantity_text(&q, text),
                                json_text(expect, "metric", ""));
    }
}

static bool run_step(struct life *l, const json_t *step, struct buf *why)
{
    const char *kind = json_text(step, "kind", "");
    int64_t now = l->start_ms + json_int(step, "t", 0) * 1000;
    const json_t *failures = json_at(step, "expect.failures");
    bool ok;

    if (json_object_get(step, "externalReplicas")) {
        l->replicas = json_int(step, "externalReplicas", 0);
        return true;
    }
    ok = strcmp(kind, "poll") == 0   ? run_poll(l, now, step, why)
         : strcmp(kind, "push") == 0 ? run_push(l, now, step, why)
                                     : run_hpa(l, step, why);
    if (failures)
        ok &=
            vector_same_int(why, "failures",
                            json_int(json_object_get(l->health, l->metric), "numberOfFailures", -1),
                            json_integer_value(failures));
    if (!ok)
        buf_printf(why, "at %lld s; ", (long long)json_int(step, "t", 0));
    return ok;
}

bool vector_timeline(const json_t *v, struct buf *why)
{
    const json_t *names = json_at(v, "scaledObject.status.externalMetricNames"), *step;
    struct life l = {.health = json_object(),
                     .last_active_ms = -1,
                     .replicas = json_int(v, "initialReplicas", 0),
                     .target = json_number_value(json_object_get(v, "target")),
                     .metric =
                         names ? json_string_value(json_array_get(names, 0)) : "s0-prometheus"};
    bool ok = true;
    size_t i;

    time_parse(STR("2026-01-01T12:00:00Z"), &l.start_ms);
    keda_spec_read(json_at(v, "scaledObject.spec"), &l.spec);
    json_array_foreach (json_object_get(v, "steps"), i, step)
        ok = ok && run_step(&l, step, why);
    json_decref(l.health);
    return ok;
}
