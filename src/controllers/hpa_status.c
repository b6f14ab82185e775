/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers/hpa_status.h"

#include <string.h>

#include "base/clock.h"
#include "codec/quantity.h"
#include "controllers/child.h"

static const char *const members[] = {[HPA_RESOURCE] = "resource",
                                      [HPA_CONTAINER_RESOURCE] = "containerResource",
                                      [HPA_PODS] = "pods",
                                      [HPA_OBJECT] = "object",
                                      [HPA_EXTERNAL] = "external"};

static json_t *quantity_json(int64_t milli, bool is_bytes)
{
    struct quantity q = quantity_of_milli(milli);
    char text[64];

    if (is_bytes)
        q.format = QUANTITY_BINARY;
    return json_string(quantity_text(&q, text));
}

static json_t *current_of(const struct decision_metric *m, bool is_bytes)
{
    json_t *current = json_object();

    if (m->target_type == HPA_UTILIZATION)
        json_object_set_new(current, "averageUtilization", json_integer(m->utilization));
    if (m->target_type == HPA_VALUE)
        json_object_set_new(current, "value", quantity_json(m->value_milli, is_bytes));
    else
        json_object_set_new(current, "averageValue", quantity_json(m->average_milli, is_bytes));
    return current;
}

/* One element of status.currentMetrics; a metric that failed leaves an empty place, so that the
 * list stays parallel to spec.metrics. */
static json_t *metric_status(const json_t *spec, const struct decision_metric *m)
{
    static const char *const kept[] = {"name", "container", "metric", "describedObject"};
    const json_t *block = json_object_get(spec, members[m->type]);
    json_t *out;

    if (m->state == METRIC_UNKNOWN || !block)
        return json_pack("{s:s}", "type", "");
    out = json_object();
    for (size_t i = 0; i < 4; i++)
        if (json_object_get(block, kept[i]))
            json_object_set_new(out, kept[i], json_deep_copy(json_object_get(block, kept[i])));
    json_object_set_new(out, "current",
                        current_of(m, strcmp(json_text(block, "name", ""), "memory") == 0));
    return json_pack("{s:s,s:o}", "type", json_text(spec, "type", ""), members[m->type], out);
}

static void remove_condition(json_t *list, const char *type)
{
    const json_t *c;
    size_t i;

    json_array_foreach (list, i, c) {
        if (strcmp(json_text(c, "type", ""), type) == 0) {
            json_array_remove(list, i);
            return;
        }
    }
}

static void set_conditions(json_t *list, const struct decision *d)
{
    for (size_t i = 0; i < d->n_conditions; i++) {
        const struct decision_condition *c = &d->conditions[i];

        if (c->status) {
            set_condition(list, c->type, c->status, c->reason, c->message, d->at_ms,
                          "lastTransitionTime");
        } else if (find_condition(list, c->type)) {
            remove_condition(list, c->type);
        }
    }
}

bool hpa_status_matters(const json_t *was, const struct decision *d)
{
    const json_t *list = json_object_get(was, "conditions");

    for (size_t i = 0; i < d->n_conditions; i++) {
        const struct decision_condition *c = &d->conditions[i];
        const json_t *now = find_condition(list, c->type);

        if (c->status ? !now || strcmp(json_text(now, "status", ""), c->status) != 0 : now != NULL)
            return true;
    }
    return json_int(was, "currentReplicas", -1) != d->current ||
           json_int(was, "desiredReplicas", -1) != d->desired || d->is_rescale;
}

json_t *hpa_status_of(const json_t *hpa, const json_t *was, const struct decision *d)
{
    json_t *status = was ? json_deep_copy(was) : json_object(),
           *list = json_object_get(status, "conditions"), *metrics;
    char time[TIME_TEXT_MAX];

    if (!list) {
        list = json_array();
        json_object_set_new(status, "conditions", list);
    }
    set_conditions(list, d);
    json_object_set_new(status, "observedGeneration",
                        json_integer(json_int(hpa, "metadata.generation", 1)));
    json_object_set_new(status, "currentReplicas", json_integer(d->current));
    if (!d->has_failed || *d->limit_reason || !json_object_get(status, "desiredReplicas"))
        json_object_set_new(status, "desiredReplicas", json_integer(d->desired));
    if (d->is_rescale)
        json_object_set_new(status, "lastScaleTime", json_string(time_rfc3339(d->at_ms, time)));
    if (d->has_metrics) {
        metrics = json_array();
        for (size_t i = 0; i < d->n; i++)
            json_array_append_new(
                metrics,
                metric_status(json_array_get(json_at(hpa, "spec.metrics"), i), &d->metrics[i]));
        json_object_set_new(status, "currentMetrics", metrics);
    }
    return status;
}
