/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects of the API -> the structs of the arithmetic. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscale/hpa_pass.h"
#include "base/clock.h"
#include "base/mem.h"
#include "codec/quantity.h"

static int64_t milli_at(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    struct quantity q;

    if (json_is_integer(v))
        return json_integer_value(v) * 1000;
    return quantity_parse(json_strv(v), &q, NULL) == 0 ? quantity_milli(&q) : 0;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Go's printout of a label selector, as it stands in the original's texts. */
static void add_selector(struct buf *b, const json_t *selector)
{
    json_t *labels = json_object_get(selector, "matchLabels"), *v;
    const char **keys, *key;
    size_t n = 0;

    if (!json_is_object(selector)) {
        buf_add_cstr(b, "nil");
        return;
    }
    keys = mem_array(json_object_size(labels) + 1, sizeof(*keys));
    json_object_foreach (labels, key, v)
        keys[n++] = key;
    qsort(keys, n, sizeof(*keys), by_key);
    buf_add_cstr(b, "&LabelSelector{MatchLabels:map[string]string{");
    for (size_t i = 0; i < n; i++)
        buf_printf(b, "%s: %s,", keys[i], json_string_value(json_object_get(labels, keys[i])));
    buf_add_cstr(b, "},MatchExpressions:[]LabelSelectorRequirement{},}");
    free(keys);
}

static const char *external_text(const char *name, const json_t *selector, struct arena *a)
{
    struct buf b = BUF_INIT;
    char *text;

    buf_printf(&b, "external metric %s(", name);
    add_selector(&b, selector);
    buf_add_char(&b, ')');
    text = arena_strdup(a, buf_str(&b));
    buf_done(&b);
    return text;
}

static void read_target(const json_t *target, struct hpa_metric *m)
{
    const char *type = json_text(target, "type", "");

    if (json_object_get(target, "averageUtilization") &&
        (m->type == HPA_RESOURCE || m->type == HPA_CONTAINER_RESOURCE)) {
        m->target_type = HPA_UTILIZATION;
        m->target = json_int(target, "averageUtilization", 0);
        return;
    }
    /* External looks at the numbers, averageValue first; Object at the type (hpa.md 8.5) */
    m->target_type = m->type == HPA_OBJECT && strcmp(type, "Value") == 0 ? HPA_VALUE
                     : json_object_get(target, "averageValue")           ? HPA_AVERAGE_VALUE
                     : m->type == HPA_EXTERNAL || m->type == HPA_OBJECT  ? HPA_VALUE
                                                                         : HPA_AVERAGE_VALUE;
    m->target = milli_at(target, m->target_type == HPA_VALUE ? "value" : "averageValue");
}

/* "cpu resource utilization (percentage of request)", ... (hpa.md 9) */
static const char *metric_text(const struct hpa_input *in, const json_t *block, struct arena *a)
{
    const struct hpa_metric *m = &in->metric;
    bool is_container = m->type == HPA_CONTAINER_RESOURCE;

    if (m->target_type == HPA_UTILIZATION)
        return arena_printf(a, "%s %sresource utilization (percentage of request)", in->name,
                            is_container ? "container " : "")
            .p;
    if (m->type == HPA_RESOURCE || is_container)
        return arena_printf(a, "%s resource", in->name).p;
    if (m->type == HPA_PODS)
        return arena_printf(a, "pods metric %s", in->name).p;
    if (m->type == HPA_OBJECT && m->target_type == HPA_VALUE)
        return arena_printf(a, "%s metric %s", json_text(block, "describedObject.kind", ""),
                            in->name)
            .p;
    return external_text(in->name, json_at(block, "metric.selector"), a);
}

static void read_metric(const json_t *json, struct arena *a, struct hpa_input *in)
{
    const char *type = json_text(json, "type", "");
    const json_t *block = NULL;
    bool is_resource;

    *in = (struct hpa_input){.json = json, .is_unknown_type = true};
    for (size_t i = 0; i < HPA_METRIC_TYPES; i++) {
        if (strcmp(hpa_metric_names[i].type, type) != 0)
            continue;
        in->is_unknown_type = false;
        in->metric.type = (enum hpa_metric_type)i;
        block = json_object_get(json, hpa_metric_names[i].member);
    }
    if (in->is_unknown_type) {
        in->name = in->text = arena_strdup(a, str_of(type));
        return;
    }
    is_resource = in->metric.type == HPA_RESOURCE || in->metric.type == HPA_CONTAINER_RESOURCE;
    in->name = arena_strdup(a, str_of(json_text(block, is_resource ? "name" : "metric.name", "")));
    if (is_resource)
        in->metric.resource = str_of(in->name);
    in->metric.container = arena_str(a, str_of(json_text(block, "container", "")));
    read_target(json_object_get(block, "target"), &in->metric);
    in->text = metric_text(in, block, a);
}

void hpa_spec_read(const json_t *spec, struct arena *a, struct hpa_spec *ret)
{
    const json_t *behavior = json_object_get(spec, "behavior"),
                 *metrics = json_object_get(spec, "metrics"), *m;
    size_t i;

    *ret = (struct hpa_spec){.min = json_int(spec, "minReplicas", 1),
                             .max = json_int(spec, "maxReplicas", 1),
                             .has_behavior = json_is_object(behavior)};
    hpa_rules_read(json_object_get(behavior, "scaleUp"), HPA_UP, a, &ret->up);
    hpa_rules_read(json_object_get(behavior, "scaleDown"), HPA_DOWN, a, &ret->down);
    ret->metrics = arena_alloc(a, json_array_size(metrics) * sizeof(*ret->metrics));
    json_array_foreach ((json_t *)(uintptr_t)metrics, i, m)
        read_metric(m, a, &ret->metrics[ret->n++]);
}

/* --- pods --- */

static enum hpa_phase phase_of(const char *t)
{
    return strcmp(t, "Pending") == 0     ? HPA_PHASE_PENDING
           : strcmp(t, "Running") == 0   ? HPA_PHASE_RUNNING
           : strcmp(t, "Succeeded") == 0 ? HPA_PHASE_SUCCEEDED
           : strcmp(t, "Failed") == 0    ? HPA_PHASE_FAILED
                                         : HPA_PHASE_UNKNOWN;
}

static void read_ready(const json_t *conditions, struct hpa_pod *p)
{
    const json_t *c;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)conditions, i, c) {
        const char *status = json_text(c, "status", "");

        if (strcmp(json_text(c, "type", ""), "Ready") != 0)
            continue;
        p->ready = strcmp(status, "True") == 0    ? HPA_READY_TRUE
                   : strcmp(status, "False") == 0 ? HPA_READY_FALSE
                                                  : HPA_READY_UNKNOWN;
        time_parse(str_of(json_text(c, "lastTransitionTime", "")), &p->ready_since_ms);
    }
}

static void read_containers(const json_t *list, bool is_init, const char *resource,
                            struct hpa_container *out, size_t *n)
{
    const json_t *c;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)list, i, c) {
        const json_t *requests = json_at(c, "resources.requests");

        out[(*n)++] = (struct hpa_container){
            .name = json_strv(json_object_get(c, "name")),
            .is_init = is_init,
            .is_sidecar = is_init && strcmp(json_text(c, "restartPolicy", ""), "Always") == 0,
            .has_request = json_object_get(requests, resource) != NULL,
            .request_milli = milli_at(requests, resource)};
    }
}

void hpa_pod_read(const json_t *pod, struct str resource, struct arena *a, struct hpa_pod *ret)
{
    const json_t *main = json_at(pod, "spec.containers"),
                 *init = json_at(pod, "spec.initContainers"),
                 *level = json_at(pod, "spec.resources.requests");
    const char *key = arena_strdup(a, resource);
    struct hpa_container *containers =
        arena_alloc(a, (json_array_size(main) + json_array_size(init) + 1) * sizeof(*containers));

    *ret = (struct hpa_pod){.name = str_of(json_text(pod, "metadata.name", "")),
                            .phase = phase_of(json_text(pod, "status.phase", "")),
                            .is_deleting = json_at(pod, "metadata.deletionTimestamp") != NULL,
                            .start_ms = -1,
                            .containers = containers,
                            .has_pod_requests = json_is_object(level),
                            .has_pod_request = json_object_get(level, key) != NULL,
                            .pod_request_milli = milli_at(level, key)};
    if (!time_parse(str_of(json_text(pod, "status.startTime", "")), &ret->start_ms))
        ret->start_ms = -1;
    read_ready(json_at(pod, "status.conditions"), ret);
    read_containers(main, false, key, containers, &ret->n_containers);
    read_containers(init, true, key, containers, &ret->n_containers);
}
