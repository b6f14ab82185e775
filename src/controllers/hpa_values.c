/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers/hpa_values.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"

#define LOOKBACK_MS 300000 /* as an instant query */
#define MATCHERS_MAX 32
#define RATE_MS 15000 /* what usage of a counter is averaged over */

struct query {
    struct hpa_look *l;
    struct matcher m[MATCHERS_MAX];
    size_t n;
    struct hpa_sample *samples;
    int64_t *values;
    size_t n_found, cap;
    bool is_per_pod, is_rate;
};

static void match(struct query *q, const char *name, const char *value)
{
    if (q->n < MATCHERS_MAX)
        q->m[q->n++] =
            (struct matcher){.op = MATCH_EQ, .name = str_of(name), .value = str_of(value)};
}

/* Labels of a selector are labels of the series, with the characters a label name may have. */
static void match_selector(struct query *q, const json_t *selector)
{
    json_t *labels = json_object_get(selector, "matchLabels"), *v;
    const char *key;

    json_object_foreach (labels, key, v) {
        char *name = arena_strdup(&q->l->arena, str_of(key));

        for (char *c = name; *c; c++)
            *c = isalnum((unsigned char)*c) ? *c : '_';
        match(q, name, json_string_value(v) ? json_string_value(v) : "");
    }
}

static int64_t to_milli(double v)
{
    double m = ceil(v * 1000);

    return m >= 0x1p63 ? INT64_MAX : m <= -0x1p63 ? INT64_MIN : (int64_t)m;
}

/* Per second over the last samples; false where there are not two. */
static bool rate_of(const struct series *s, int64_t now, double *ret)
{
    struct series_iter it;
    int64_t t, t0 = 0, t1 = 0;
    double v, v0 = 0, v1 = 0;
    size_t n = 0;

    series_seek(&it, s, now - RATE_MS);
    while (series_next(&it, &t, &v) && t <= now) {
        if (tsdb_is_stale(v) || (n && v < v1)) { /* a restart: begin anew */
            n = 0;
            if (tsdb_is_stale(v))
                continue;
        }
        if (n++ == 0) {
            t0 = t;
            v0 = v;
        }
        t1 = t;
        v1 = v;
    }
    if (n < 2 || t1 == t0)
        return false;
    *ret = (v1 - v0) * 1000 / (double)(t1 - t0);
    return true;
}

static void add_series(void *arg, struct series *s)
{
    struct query *q = arg;
    int64_t now = q->l->scene.now_ms, t = now;
    struct arena *a = &q->l->arena;
    double v;

    if (q->is_rate ? !rate_of(s, now, &v)
                   : !series_at(s, now, LOOKBACK_MS, &t, &v) || tsdb_is_stale(v))
        return;
    if (!isfinite(v))
        return;
    if (!q->is_per_pod) {
        q->values = arena_grow(a, q->values, &q->cap, q->n_found, sizeof(*q->values));
        q->values[q->n_found++] = to_milli(v);
        return;
    }
    for (size_t i = 0; i < q->n_found; i++) /* containers of one pod */
        if (str_eq(q->samples[i].pod, series_label(s, "pod"))) {
            q->samples[i].milli += to_milli(v);
            return;
        }
    q->samples = arena_grow(a, q->samples, &q->cap, q->n_found, sizeof(*q->samples));
    q->samples[q->n_found++] = (struct hpa_sample){arena_str(a, series_label(s, "pod")), t,
                                                   q->is_rate ? RATE_MS : 60000, to_milli(v)};
}

static void run(struct query *q, struct hpa_input *in, struct tsdb *db)
{
    tsdb_select(db, q->m, q->n, add_series, q);
    in->samples = q->samples;
    in->n_samples = q->is_per_pod ? q->n_found : 0;
    in->values = q->values;
    in->n_values = q->is_per_pod ? 0 : q->n_found;
}

/* cAdvisor's names, which every monitoring of containers uses. */
static void read_resource(struct query *q, struct hpa_input *in, struct tsdb *db)
{
    q->is_rate = strcmp(in->name, "cpu") == 0;
    if (!q->is_rate && strcmp(in->name, "memory") != 0) {
        in->error = arena_printf(&q->l->arena,
                                 "unable to get metrics for resource %s: cpu and memory are known",
                                 in->name)
                        .p;
        return;
    }
    match(q, "__name__",
          q->is_rate ? "container_cpu_usage_seconds_total" : "container_memory_working_set_bytes");
    if (in->metric.container.n)
        match(q, "container", arena_strdup(&q->l->arena, in->metric.container));
    q->is_per_pod = true;
    run(q, in, db);
}

static void read_object(struct query *q, struct hpa_input *in, const json_t *block)
{
    const char *kind = json_text(block, "describedObject.kind", "");
    char *label = arena_strdup(&q->l->arena, str_of(kind));

    (void)in;
    for (char *c = label; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    match(q, label, json_text(block, "describedObject.name", ""));
}

void hpa_value_read(struct hpa_look *l, struct hpa_input *in, struct tsdb *db)
{
    struct query q = {.l = l};
    const json_t *block;

    if (in->is_unknown_type || in->error)
        return;
    match(&q, "namespace", arena_strdup(&l->arena, l->ns));
    if (in->metric.type == HPA_RESOURCE || in->metric.type == HPA_CONTAINER_RESOURCE) {
        read_resource(&q, in, db);
        return;
    }
    block = json_object_get(in->json, in->metric.type == HPA_PODS     ? "pods"
                                      : in->metric.type == HPA_OBJECT ? "object"
                                                                      : "external");
    match(&q, "__name__", in->name);
    match_selector(&q, json_at(block, "metric.selector"));
    q.is_per_pod = in->metric.type == HPA_PODS;
    if (in->metric.type == HPA_OBJECT)
        read_object(&q, in, block);
    run(&q, in, db);
    if (in->metric.type == HPA_OBJECT && in->n_values > 1)
        in->error = "expected exactly one series for the object, there are several";
}

void hpa_values_read(struct hpa_look *l, struct tsdb *db)
{
    for (size_t i = 0; i < l->spec.n; i++)
        hpa_value_read(l, &l->spec.metrics[i], db);
}
