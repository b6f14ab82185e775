/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole passes: kinds sync and sequence. Spec and pods go through the program's own readers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscale/hpa_pass.h"
#include "base/clock.h"
#include "base/mem.h"
#include "vectors.h"

struct world {
    struct arena arena;
    struct hpa_spec spec;
    struct hpa_scene scene;
    struct hpa_config config;
    struct hpa_memory memory;
    json_t *pods;     /* as the API has them */
    json_t *hpa_spec; /* with the API's defaults that the readers rely on */
};

static void world_done(struct world *w)
{
    arena_done(&w->arena);
    hpa_memory_done(&w->memory);
    json_decref(w->pods);
    json_decref(w->hpa_spec);
}

/* --- pods, as the API shows them --- */

static json_t *containers_of(const json_t *list)
{
    json_t *out = json_array(), *requests, *v;
    const json_t *c;
    const char *key;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)list, i, c) {
        json_t *amounts = json_object();

        requests = json_object_get(c, "requests");
        json_object_foreach (requests, key, v)
            json_object_set_new(amounts, key,
                                json_fmt("%lldm", (long long)vector_int(requests, key, 0)));
        json_array_append_new(out, json_pack("{s:s,s:{s:o}}", "name", json_text(c, "name", ""),
                                             "resources", "requests", amounts));
    }
    return out;
}

static json_t *pod_of(const json_t *p)
{
    json_t *o =
        json_pack("{s:{s:s},s:{s:o},s:{s:s,s:[]}}", "metadata", "name", json_text(p, "name", ""),
                  "spec", "containers", containers_of(json_object_get(p, "containers")), "status",
                  "phase", json_text(p, "phase", "Running"), "conditions");
    char time[TIME_TEXT_MAX];

    if (json_bool(p, "deleting", false))
        json_put(o, "metadata.deletionTimestamp", json_string("1970-01-01T00:00:00Z"));
    if (json_object_get(p, "startTime"))
        json_put(o, "status.startTime",
                 json_string(time_rfc3339(vector_int(p, "startTime", 0), time)));
    if (json_object_get(p, "ready"))
        json_array_append_new(json_at(o, "status.conditions"),
                              json_pack("{s:s,s:s,s:s}", "type", "Ready", "status",
                                        json_text(p, "ready", ""), "lastTransitionTime",
                                        time_rfc3339(vector_int(p, "readySince", 0), time)));
    return o;
}

static struct hpa_pod *read_pods(struct world *w, struct str resource)
{
    size_t n = json_array_size(w->pods), i;
    struct hpa_pod *pods = arena_alloc(&w->arena, (n + 1) * sizeof(*pods));
    const json_t *p;

    json_array_foreach (w->pods, i, p)
        hpa_pod_read(p, resource, &w->arena, &pods[i]);
    return pods;
}

/* --- metrics --- */

static void read_samples(struct world *w, struct hpa_input *in, const json_t *list)
{
    struct hpa_sample *out = arena_alloc(&w->arena, (json_array_size(list) + 1) * sizeof(*out));
    const json_t *s, *v;
    const char *key;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)list, i, s) {
        json_t *containers = json_object_get(s, "containers");
        const char *one = in->metric.container.n ? in->metric.container.p : NULL;
        struct hpa_sample *x = &out[in->n_samples];

        *x = (struct hpa_sample){json_strv(json_object_get(s, "pod")), vector_int(s, "at", 0),
                                 vector_int(s, "windowMs", 0), vector_int(s, "milli", 0)};
        if (containers && one && !json_object_get(containers, one))
            continue;
        if (containers && one)
            x->milli = vector_int(containers, one, 0);
        else if (containers)
            json_members (containers, key, v)
                x->milli += vector_int(containers, key, 0);
        in->n_samples++;
    }
    in->samples = out;
}

static void read_values(struct world *w, struct hpa_input *in, const json_t *list)
{
    int64_t *out = arena_alloc(&w->arena, (json_array_size(list) + 1) * sizeof(*out));
    json_t *v;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)list, i, v) {
        AUTO_JSON json_t *box = json_pack("{s:O}", "v", v);

        out[in->n_values++] = vector_int(box, "v", 0);
    }
    in->values = out;
}

static void read_metrics(struct world *w, const json_t *list)
{
    for (size_t i = 0; i < w->spec.n; i++) {
        const json_t *m = json_array_get(list, i);
        struct hpa_input *in = &w->spec.metrics[i];

        in->error = json_text(m, "error", NULL);
        in->pods = read_pods(w, in->metric.resource);
        read_samples(w, in, json_object_get(m, "samples"));
        read_values(w, in, json_object_get(m, "values"));
    }
}

static void read_history(struct hpa_history *h, const json_t *list)
{
    const json_t *e;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)list, i, e)
        hpa_history_add(h, (struct hpa_entry){json_integer_value(json_array_get(e, 0)),
                                              json_integer_value(json_array_get(e, 1)),
                                              json_is_true(json_array_get(e, 2))});
}

static void read_config(struct world *w, const json_t *in)
{
    w->config = (struct hpa_config){
        .tolerance = json_number_value(json_at(in, "config.tolerance")),
        .downscale_window_ms = json_int(in, "config.downscaleStabilizationMs", 0),
        .cpu_initialization_ms = json_int(in, "config.cpuInitializationMs", 0),
        .initial_readiness_delay_ms = json_int(in, "config.initialReadinessDelayMs", 0),
        .configurable_tolerance = json_bool(in, "gates.HPAConfigurableTolerance", false),
        .scale_to_zero = json_bool(in, "gates.HPAScaleToZero", false)};
    w->hpa_spec = json_deep_copy(json_object_get(in, "spec"));
    hpa_spec_read(w->hpa_spec, &w->arena, &w->spec);
}

static void read_scene(struct world *w, const json_t *in)
{
    const char *selector = json_text(in, "scale.selector", "");
    const json_t *p, *c;
    size_t i;

    w->pods = json_array();
    json_array_foreach (json_object_get(in, "pods"), i, p)
        json_array_append_new(w->pods, pod_of(p));
    w->scene = (struct hpa_scene){.now_ms = vector_int(in, "now", 0),
                                  .mono_ms = vector_int(in, "now", 0),
                                  .scale_error = json_text(in, "scale.error", NULL),
                                  .current = json_int(in, "scale.specReplicas", 0),
                                  .status_replicas = json_int(in, "scale.statusReplicas", 0),
                                  .pods = read_pods(w, STR("cpu")),
                                  .n_pods = json_array_size(w->pods),
                                  .selector_error = "the selector"};
    if (!*selector)
        w->scene.selector_reason = "SelectorRequired";
    else if (*selector == '=') /* parsing selectors is kube's */
        w->scene.selector_reason = "InvalidSelector";
    else if (json_bool(in, "ambiguous", false))
        w->scene.selector_reason = "AmbiguousSelector";
    json_array_foreach (json_object_get(in, "conditions"), i, c)
        w->scene.was_scaled_to_zero |= strcmp(json_text(c, "type", ""), "ScaledToZero") == 0 &&
                                       strcmp(json_text(c, "status", ""), "True") == 0;
}

/* --- comparing --- */

static bool same_list(struct buf *why, const char *what, const struct hpa_history *h,
                      const json_t *list, bool is_event)
{
    bool ok = vector_same_int(why, what, (int64_t)h->n, (int64_t)json_array_size(list));
    const json_t *e;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)list, i, e) {
        if (i >= h->n)
            break;
        ok &= vector_same_int(why, what, h->items[i].replicas,
                              json_integer_value(json_array_get(e, 0)));
        ok &=
            vector_same_int(why, what, h->items[i].at_ms, json_integer_value(json_array_get(e, 1)));
        if (is_event)
            ok &= vector_same_int(why, what, h->items[i].outdated,
                                  json_is_true(json_array_get(e, 2)));
    }
    return ok;
}

/* Applies the decision's conditions to those before: a map type -> {status, reason}. */
static json_t *conditions_after(const json_t *before, const struct decision *d)
{
    json_t *map = json_object();
    const json_t *c;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)before, i, c)
        json_object_set_new(map, json_text(c, "type", ""),
                            json_pack("{s:s,s:s}", "status", json_text(c, "status", ""), "reason",
                                      json_text(c, "reason", "")));
    for (i = 0; i < d->n_conditions; i++) {
        const struct decision_condition *x = &d->conditions[i];

        if (x->status)
            json_object_set_new(map, x->type,
                                json_pack("{s:s,s:s}", "status", x->status, "reason", x->reason));
        else
            json_object_del(map, x->type);
    }
    return map;
}

static bool same_conditions(struct buf *why, const json_t *before, const struct decision *d,
                            const json_t *wanted)
{
    AUTO_JSON json_t *got = conditions_after(before, d);
    AUTO_JSON json_t *want = conditions_after(wanted, &(struct decision){0});
    struct buf a = BUF_INIT, b = BUF_INIT;
    bool ok = json_equal(got, want);

    json_write(&a, got);
    json_write(&b, want);
    if (!ok)
        buf_printf(why, "conditions are %s, expected %s; ", buf_cstr(&a), buf_cstr(&b));
    buf_done(&a);
    buf_done(&b);
    return ok;
}

/* The vectors write "external metric qps"; the controller, and hpa.md 9, print the selector too:
 * "external metric qps(nil)". No metric of the vectors has one. */
static const char *without_selector(const char *text, struct arena *a)
{
    ptrdiff_t at = str_find(str_of(text), STR("(nil)"));

    return at < 0 ? text : arena_printf(a, "%.*s%s", (int)at, text, text + at + 5).p;
}

static bool same_events(struct buf *why, struct arena *a, const struct decision *d,
                        const json_t *expect)
{
    const json_t *events = json_object_get(expect, "events");
    const char *wanted = json_text(expect, "rescaleReason", NULL);
    bool ok =
        vector_same_int(why, "events", (int64_t)d->n_events, (int64_t)json_array_size(events));
    char message[300];

    snprintf(message, sizeof(message), "New size: %lld; reason: %.200s", (long long)d->desired,
             wanted ? wanted : "");
    for (size_t i = 0; i < d->n_events && i < json_array_size(events); i++) {
        ok &= vector_same_text(why, "event", d->events[i].reason,
                               json_string_value(json_array_get(events, i)));
        if (wanted && strcmp(d->events[i].reason, "SuccessfulRescale") == 0)
            ok &= vector_same_text(why, "event's message",
                                   without_selector(d->events[i].message, a), message);
    }
    return ok;
}

static bool same_metrics(struct buf *why, const struct decision *d, const json_t *list)
{
    const json_t *m;
    bool ok = true;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)list, i, m) {
        const struct decision_metric *x = &d->metrics[i];

        ok &= vector_same_int(why, "metric failed", x->state == METRIC_UNKNOWN, json_is_null(m));
        if (json_object_get(m, "averageUtilization"))
            ok &= vector_same_int(why, "utilization", x->utilization,
                                  vector_int(m, "averageUtilization", -1));
        if (json_object_get(m, "averageValueMilli"))
            ok &= vector_same_int(why, "average", x->average_milli,
                                  vector_int(m, "averageValueMilli", -1));
        if (json_object_get(m, "valueMilli"))
            ok &= vector_same_int(why, "value", x->value_milli, vector_int(m, "valueMilli", -1));
    }
    return ok;
}

static bool same_outcome(struct buf *why, struct world *w, const json_t *in,
                         const struct decision *d, const json_t *expect)
{
    static const char *const names[] = {"recommendations", "scaleUp", "scaleDown"};
    const struct hpa_history *lists[] = {&w->memory.recommendations, &w->memory.ups,
                                         &w->memory.downs};
    const json_t *to = json_object_get(expect, "scaleTo");
    bool ok = vector_same_int(why, "rescale", d->is_rescale, !json_is_null(to)) &&
              vector_same_int(why, "failed", d->has_failed, json_bool(expect, "error", false)) &&
              same_conditions(why, json_object_get(in, "conditions"), d,
                              json_object_get(expect, "conditions")) &&
              same_events(why, &w->arena, d, expect) &&
              same_metrics(why, d, json_object_get(expect, "currentMetrics"));

    if (json_is_integer(to))
        ok &= vector_same_int(why, "scaleTo", d->desired, json_integer_value(to));
    if (!d->has_failed || d->is_rescale) /* else the status keeps what it had */
        ok &= vector_same_int(why, "desired", d->desired, json_int(expect, "desiredReplicas", -1));
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (json_object_get(expect, names[i]))
            ok &= same_list(why, names[i], lists[i], json_object_get(expect, names[i]), i > 0);
    return ok;
}

bool vector_sync(const json_t *v, struct buf *why)
{
    const json_t *in = json_object_get(v, "in"), *expect = json_object_get(v, "expect");
    const json_t *history = json_object_get(in, "history");
    struct world w = {.arena = ARENA_INIT};
    struct decision d;
    bool ok;

    read_config(&w, in);
    read_scene(&w, in);
    read_metrics(&w, json_object_get(in, "metrics"));
    w.memory.has_started = json_is_array(json_object_get(history, "recommendations"));
    read_history(&w.memory.recommendations, json_object_get(history, "recommendations"));
    read_history(&w.memory.ups, json_object_get(history, "scaleUp"));
    read_history(&w.memory.downs, json_object_get(history, "scaleDown"));
    hpa_pass(&w.config, &w.spec, &w.scene, &w.memory, &d);
    if (d.is_rescale)
        hpa_pass_written(&w.config, &w.spec, &w.memory, &d,
                         json_bool(in, "scaleUpdateError", false) ? "it failed" : NULL);
    ok = same_outcome(why, &w, in, &d, expect);
    decision_done(&d);
    world_done(&w);
    return ok;
}

/* --- sequence: one HPA over time --- */

struct pods {
    int64_t ready_at[4096]; /* sync from which the pod is Ready */
    int64_t n;
};

static size_t write_pods(struct world *w, const struct pods *p, int64_t sync)
{
    struct hpa_pod *out = arena_alloc(&w->arena, ((size_t)p->n + 1) * sizeof(*out));
    size_t ready = 0;

    for (int64_t i = 0; i < p->n; i++) {
        bool is_ready = p->ready_at[i] <= sync;

        out[i] = (struct hpa_pod){.name = arena_printf(&w->arena, "p%lld", (long long)i),
                                  .phase = HPA_PHASE_RUNNING,
                                  .ready = is_ready ? HPA_READY_TRUE : HPA_READY_FALSE};
        ready += is_ready;
    }
    w->scene.pods = out;
    w->scene.n_pods = (size_t)p->n;
    return ready;
}

static void write_value(struct world *w, json_t *value)
{
    struct hpa_input *in = &w->spec.metrics[0];

    in->error = json_is_null(value) ? "it failed" : NULL;
    in->n_values = 0;
    if (json_is_array(value)) {
        read_values(w, in, value);
    } else if (!json_is_null(value)) {
        AUTO_JSON json_t *one = json_pack("[O]", value);

        read_values(w, in, one);
    }
}

static bool one_sync(struct world *w, struct pods *p, int64_t k, const json_t *row, int64_t lag,
                     json_t **conditions, struct buf *why)
{
    json_t *reasons = json_object_get(row, "reasons"), *after, *text;
    const char *type;
    struct decision d;
    bool ok;

    ok = vector_same_int(why, "readyPods", (int64_t)write_pods(w, p, k),
                         json_int(row, "readyPods", -1));
    hpa_pass(&w->config, &w->spec, &w->scene, &w->memory, &d);
    if (d.is_rescale)
        hpa_pass_written(&w->config, &w->spec, &w->memory, &d, NULL);
    ok &= vector_same_int(why, "replicasAfter", d.desired, json_int(row, "replicasAfter", -1));
    after = json_object();
    json_object_foreach (*conditions, type, text)
        json_object_set(after, type, text);
    for (size_t i = 0; i < d.n_conditions; i++) {
        const struct decision_condition *c = &d.conditions[i];

        if (strcmp(c->type, "ScaledToZero") == 0)
            w->scene.was_scaled_to_zero = c->status && strcmp(c->status, "True") == 0;
        if (c->status)
            json_object_set_new(after, c->type, json_string(c->reason));
        else
            json_object_del(after, c->type);
    }
    json_decref(*conditions);
    *conditions = after;
    json_object_foreach (reasons, type, text)
        ok &= vector_same_text(why, type, json_text(after, type, "none"), json_string_value(text));
    for (int64_t i = p->n; i < d.desired; i++)
        p->ready_at[i] = k + 1 + lag;
    p->n = d.desired;
    w->scene.current = w->scene.status_replicas = d.desired;
    decision_done(&d);
    return ok;
}

bool vector_sequence(const json_t *v, struct buf *why)
{
    const json_t *in = json_object_get(v, "in"), *rows = json_object_get(v, "expect"),
                 *values = json_object_get(in, "values");
    json_t *conditions = json_object();
    struct world w = {.arena = ARENA_INIT};
    struct pods *p = mem_zalloc(sizeof(*p));
    bool ok = true;

    read_config(&w, in);
    p->n = json_int(in, "startReplicas", 0);
    w.scene = (struct hpa_scene){.current = p->n, .status_replicas = p->n};
    for (size_t k = 0; k < json_array_size(values) && ok; k++) {
        w.scene.mono_ms = w.scene.now_ms = 1000000000 + (int64_t)k * json_int(in, "periodMs", 0);
        write_value(&w, json_array_get(values, k));
        ok = one_sync(&w, p, (int64_t)k, json_array_get(rows, k), json_int(in, "readyLagSyncs", 0),
                      &conditions, why);
        if (!ok)
            buf_printf(why, "in sync %zu", k);
    }
    json_decref(conditions);
    free(p);
    world_done(&w);
    return ok;
}
