/* SPDX-License-Identifier: Apache-2.0
 *
 * HorizontalPodAutoscaler as autoscaling/v1 shows it: CPU utilization has fields of its own, all
 * else travels in four annotations, whose metrics have the older, flat shape. */
#include "base/mem.h"
#include "kube/defaults.h"

#define PREFIX "autoscaling.alpha.kubernetes.io/"

/* Where a number or a name of v2 stands in the flat shape. */
struct place {
    const char *v2, *flat;
};

static const struct shape {
    const char *member;
    struct place spec[6], status[6];
} shapes[] = {
    {"resource",
     {{"name", "name"},
      {"target.averageUtilization", "targetAverageUtilization"},
      {"target.averageValue", "targetAverageValue"}},
     {{"name", "name"},
      {"current.averageUtilization", "currentAverageUtilization"},
      {"current.averageValue", "currentAverageValue"}}},
    {"containerResource",
     {{"name", "name"},
      {"container", "container"},
      {"target.averageUtilization", "targetAverageUtilization"},
      {"target.averageValue", "targetAverageValue"}},
     {{"name", "name"},
      {"container", "container"},
      {"current.averageUtilization", "currentAverageUtilization"},
      {"current.averageValue", "currentAverageValue"}}},
    {"pods",
     {{"metric.name", "metricName"},
      {"metric.selector", "selector"},
      {"target.averageValue", "targetAverageValue"}},
     {{"metric.name", "metricName"},
      {"metric.selector", "selector"},
      {"current.averageValue", "currentAverageValue"}}},
    {"object",
     {{"describedObject", "target"},
      {"metric.name", "metricName"},
      {"metric.selector", "selector"},
      {"target.value", "targetValue"},
      {"target.averageValue", "averageValue"}},
     {{"describedObject", "target"},
      {"metric.name", "metricName"},
      {"metric.selector", "selector"},
      {"current.value", "currentValue"},
      {"current.averageValue", "averageValue"}}},
    {"external",
     {{"metric.name", "metricName"},
      {"metric.selector", "metricSelector"},
      {"target.value", "targetValue"},
      {"target.averageValue", "targetAverageValue"}},
     {{"metric.name", "metricName"},
      {"metric.selector", "metricSelector"},
      {"current.value", "currentValue"},
      {"current.averageValue", "currentAverageValue"}}},
};

/* --- metrics, one by one --- */

static json_t *flatten(const json_t *m, bool is_status)
{
    json_t *out = json_pack("{s:s}", "type", json_text(m, "type", ""));

    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        const json_t *block = json_object_get(m, shapes[i].member);
        const struct place *p = is_status ? shapes[i].status : shapes[i].spec;
        json_t *flat = json_object();

        for (; p->v2; p++)
            if (json_at(block, p->v2))
                json_object_set(flat, p->flat, json_at(block, p->v2));
        if (block)
            json_object_set(out, shapes[i].member, flat);
        json_decref(flat);
    }
    return out;
}

static json_t *raise(const json_t *m, bool is_status)
{
    json_t *out = json_pack("{s:s}", "type", json_text(m, "type", ""));

    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        const json_t *flat = json_object_get(m, shapes[i].member);
        const struct place *p = is_status ? shapes[i].status : shapes[i].spec;
        json_t *block = json_object();

        for (; p->v2; p++)
            if (json_object_get(flat, p->flat))
                json_put(block, p->v2, json_incref(json_object_get(flat, p->flat)));
        if (!is_status && json_at(block, "target.averageValue"))
            json_object_del(json_object_get(block, "target"), "value"); /* "0" of an average */
        if (!is_status)
            json_put(block, "target.type",
                     json_string(json_at(block, "target.averageUtilization") ? "Utilization"
                                 : json_at(block, "target.averageValue")     ? "AverageValue"
                                                                             : "Value"));
        if (flat)
            json_object_set(out, shapes[i].member, block);
        json_decref(block);
    }
    return out;
}

/* The value in metric m that v1 has a field for, or NULL. */
static json_t *cpu_utilization(const json_t *m, bool is_status)
{
    if (strcmp(json_text(m, "resource.name", ""), "cpu") != 0)
        return NULL;
    return json_at(m, is_status ? "resource.current.averageUtilization"
                                : "resource.target.averageUtilization");
}

/* --- annotations --- */

static void annotate(json_t *o, const char *key, const json_t *v)
{
    AUTO_FREE char *path = NULL;
    json_t *annotations;
    struct buf b = BUF_INIT;

    if (!json_array_size(v) && !json_object_size(v))
        return;
    annotations = json_at(o, "metadata.annotations");
    if (!json_is_object(annotations)) {
        json_put(o, "metadata.annotations", json_object());
        annotations = json_at(o, "metadata.annotations");
    }
    json_write(&b, v);
    path = mem_printf(PREFIX "%s", key);
    json_object_set_new(annotations, path, json_str_new(buf_str(&b)));
    buf_done(&b);
}

/* A new tree of what the annotation holds, or NULL; the annotation goes. */
static json_t *take_annotation(json_t *o, const char *key)
{
    json_t *annotations = json_at(o, "metadata.annotations"), *v = NULL;
    AUTO_FREE char *path = mem_printf(PREFIX "%s", key);

    if (json_is_string(json_object_get(annotations, path)) &&
        json_parse(json_strv(json_object_get(annotations, path)), &v, NULL) < 0)
        v = NULL; /* not ours: as if it were not there */
    json_object_del(annotations, path);
    return v;
}

/* --- whole objects --- */

static json_t *flatten_all(const json_t *list, bool is_status, bool without_cpu)
{
    json_t *out = json_array();
    const json_t *m;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)list, i, m) {
        if (!without_cpu || !cpu_utilization(m, is_status))
            json_array_append_new(out, flatten(m, is_status));
    }
    return out;
}

static json_t *raise_all(const json_t *list, bool is_status)
{
    json_t *out = json_array();
    const json_t *m;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)list, i, m)
        json_array_append_new(out, raise(m, is_status));
    return out;
}

static void show_cpu(json_t *o, const char *list, bool is_status, const char *field)
{
    const json_t *m;
    size_t i;

    json_array_foreach (json_at(o, list), i, m) {
        json_t *v = cpu_utilization(m, is_status);

        if (v)
            json_put(o, field, json_incref(v));
    }
}

void hpa_to_v1(json_t *o)
{
    json_t *spec = json_object_get(o, "spec"), *status = json_object_get(o, "status");
    AUTO_JSON json_t *metrics = flatten_all(json_object_get(spec, "metrics"), false, true);
    AUTO_JSON json_t *currents =
        flatten_all(json_object_get(status, "currentMetrics"), true, false);

    json_object_set_new(o, "apiVersion", json_string("autoscaling/v1"));
    show_cpu(o, "spec.metrics", false, "spec.targetCPUUtilizationPercentage");
    show_cpu(o, "status.currentMetrics", true, "status.currentCPUUtilizationPercentage");
    annotate(o, "metrics", metrics);
    annotate(o, "current-metrics", currents);
    annotate(o, "behavior", json_object_get(spec, "behavior"));
    annotate(o, "conditions", json_object_get(status, "conditions"));
    json_object_del(spec, "metrics");
    json_object_del(spec, "behavior");
    json_object_del(status, "currentMetrics");
    json_object_del(status, "conditions");
}

/* Also of a patch: only what is there is changed. */
void hpa_from_v1(json_t *o)
{
    json_t *spec = json_object_get(o, "spec"), *status = json_object_get(o, "status");
    AUTO_JSON json_t *flat = take_annotation(o, "metrics");
    AUTO_JSON json_t *currents = take_annotation(o, "current-metrics");
    AUTO_JSON json_t *others = raise_all(flat, false);
    AUTO_JSON json_t *conditions = take_annotation(o, "conditions");
    json_t *behavior = take_annotation(o, "behavior"), *metrics = json_array();
    int64_t cpu = json_int(spec, "targetCPUUtilizationPercentage", -1);

    json_object_set_new(o, "apiVersion", json_string("autoscaling/v2"));
    if (cpu >= 0)
        json_array_append_new(metrics,
                              json_pack("{s:s,s:{s:s,s:{s:s,s:I}}}", "type", "Resource", "resource",
                                        "name", "cpu", "target", "type", "Utilization",
                                        "averageUtilization", (json_int_t)cpu));
    json_array_extend(metrics, others);
    json_object_del(spec, "targetCPUUtilizationPercentage");
    if (spec && json_array_size(metrics))
        json_object_set(spec, "metrics", metrics);
    json_decref(metrics);
    if (spec && behavior)
        json_object_set(spec, "behavior", behavior);
    json_decref(behavior);
    json_object_del(status, "currentCPUUtilizationPercentage");
    if (status && currents)
        json_object_set_new(status, "currentMetrics", raise_all(currents, true));
    if (status && conditions)
        json_object_set(status, "conditions", conditions);
}
