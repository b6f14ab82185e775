/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers/hpa_values.h"

#include <ctype.h>
#include <string.h>

#include "base/mem.h"
#include "kube/adapter.h"

#define CPU_SPAN_MS 5000 /* of CPU time at least, for a pod that has become ready just now */

struct query {
    struct arena *arena;
    struct hpa_sample *samples;
    int64_t *values;
    size_t n, cap;
    int64_t at_ms; /* of the oldest */
};

static struct hpa_sample *add_sample(struct query *q, int64_t t)
{
    q->at_ms = q->at_ms == 0 || t < q->at_ms ? t : q->at_ms;
    q->samples = arena_grow(q->arena, q->samples, &q->cap, q->n, sizeof(*q->samples));
    return &q->samples[q->n++];
}

static void add_value(void *arg, const struct series *s, int64_t t, double v)
{
    struct query *q = arg;

    (void)s;
    q->at_ms = q->at_ms == 0 || t < q->at_ms ? t : q->at_ms;
    q->values = arena_grow(q->arena, q->values, &q->cap, q->n, sizeof(*q->values));
    q->values[q->n++] = adapter_milli(v);
}

static void add_of_pod(void *arg, const struct series *s, int64_t t, double v)
{
    struct query *q = arg;
    struct str pod = series_label(s, "pod");

    for (size_t i = 0; i < q->n; i++) /* several series of one pod */
        if (str_eq(q->samples[i].pod, pod)) {
            q->samples[i].milli += adapter_milli(v);
            return;
        }
    *add_sample(q, t) = (struct hpa_sample){arena_str(q->arena, pod), t, 60000, adapter_milli(v)};
}

/* --- cpu, memory: what the node samples --- */

/* A pod's CPU counts from when it was ready (hpa.md 5), so a window from there on is enough, as
 * soon as it is not only noise. */
static int64_t window_of(const struct hpa_pod *p, int64_t now)
{
    int64_t since = now - p->ready_since_ms - 1000; /* conditions have whole seconds */

    return p->ready == HPA_READY_TRUE && since >= CPU_SPAN_MS && since < USAGE_WINDOW_MS
               ? since
               : USAGE_WINDOW_MS;
}

static void read_resource(struct query *q, struct hpa_look *l, struct hpa_input *in,
                          struct tsdb *db)
{
    bool is_cpu = strcmp(in->name, "cpu") == 0;
    const json_t *pod;
    struct usage u;
    size_t i;

    if (!is_cpu && strcmp(in->name, "memory") != 0) {
        in->error = arena_printf(q->arena,
                                 "unable to get metrics for resource %s: cpu and memory are known",
                                 in->name)
                        .p;
        return;
    }
    json_array_foreach (l->pods, i, pod) {
        if (!adapter_pod_usage(db, pod, in->metric.container, l->scene.now_ms,
                               window_of(&in->pods[i], l->scene.now_ms), &u))
            continue;
        *add_sample(q, u.at_ms) =
            (struct hpa_sample){str_of(json_text(pod, "metadata.name", "")), u.at_ms, u.window_ms,
                                adapter_milli(is_cpu ? u.cpu : u.memory)};
    }
}

/* --- the others: by the series' name --- */

static const char *lower(struct query *q, const char *text)
{
    char *t = arena_strdup(q->arena, str_of(text));

    for (char *c = t; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return t;
}

static void read_named(struct query *q, struct hpa_look *l, struct hpa_input *in, struct tsdb *db)
{
    const json_t *block = json_object_get(in->json, hpa_metric_names[in->metric.type].member),
                 *selector = json_at(block, "metric.selector");
    struct adapter_query a = {
        .db = db, .ns = l->ns, .name = str_of(in->name), .now_ms = l->scene.now_ms};
    struct selector *sel = NULL;
    struct err err = ERR_INIT;

    if (json_is_object(selector) && selector_from_json(selector, false, &sel, &err) < 0) {
        in->error = arena_printf(q->arena, "metric.selector: %s", err.msg).p;
        return;
    }
    a.selector = sel;
    if (in->metric.type == HPA_OBJECT) {
        a.kind = str_of(lower(q, json_text(block, "describedObject.kind", "")));
        a.object = str_of(json_text(block, "describedObject.name", ""));
    }
    adapter_each(&a, in->metric.type == HPA_PODS ? add_of_pod : add_value, q);
    selector_free(sel);
    if (in->metric.type == HPA_OBJECT && q->n > 1)
        in->error = "expected exactly one series for the object, there are several";
}

void hpa_value_read(struct hpa_look *l, struct hpa_input *in, struct tsdb *db)
{
    struct query q = {.arena = &l->arena};

    if (in->is_unknown_type || in->error)
        return;
    if (in->metric.type == HPA_RESOURCE || in->metric.type == HPA_CONTAINER_RESOURCE)
        read_resource(&q, l, in, db);
    else
        read_named(&q, l, in, db);
    in->samples = q.samples;
    in->n_samples = q.samples ? q.n : 0;
    in->at_ms = q.at_ms;
    in->values = q.values;
    in->n_values = q.values ? q.n : 0;
}

void hpa_values_read(struct hpa_look *l, struct tsdb *db)
{
    for (size_t i = 0; i < l->spec.n; i++)
        hpa_value_read(l, &l->spec.metrics[i], db);
}
