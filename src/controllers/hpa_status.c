/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers/hpa_status.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "codec/quantity.h"
#include "controllers/child.h"

enum { SCALED_TO_ZERO = 3 };
static const char *const conditions[DECISION_CONDITIONS_MAX] = {
    "AbleToScale", "ScalingActive", "ScalingLimited", [SCALED_TO_ZERO] = "ScaledToZero"};

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

/* What a metric is called, in its list of spec.metrics or of status.currentMetrics. */
static json_t *identity(const json_t *list, size_t i, enum hpa_metric_type type)
{
    static const char *const kept[] = {"name", "container", "metric", "describedObject"};
    const json_t *block = json_object_get(json_array_get(list, i), hpa_metric_names[type].member);
    json_t *out;

    if (!block)
        return NULL;
    out = json_object();
    for (size_t k = 0; k < ARRAY_LEN(kept); k++)
        if (json_object_get(block, kept[k]))
            json_object_set(out, kept[k], json_object_get(block, kept[k]));
    return out;
}

/* The specification is decoded only where the status before does not name its metrics. What others
 * have written there names nothing. */
struct naming {
    const struct object *hpa;
    json_t *spec;      /* spec.metrics; NULL: not read yet */
    const json_t *was; /* status.currentMetrics, named by this generation; else NULL */
};

static json_t *name_of(struct naming *n, size_t i, enum hpa_metric_type type)
{
    json_t *out = identity(n->was, i, type), *tree;

    if (out)
        return out;
    if (!n->spec) {
        tree = object_tree(n->hpa);
        n->spec = json_incref(json_at(tree, "spec.metrics"));
        json_decref(tree);
    }
    return identity(n->spec, i, type);
}

/* One element of status.currentMetrics; a metric that failed leaves an empty place, so that the
 * list stays parallel to spec.metrics. */
static json_t *metric_status(struct naming *n, size_t i, const struct decision_metric *m)
{
    json_t *out = m->state == METRIC_UNKNOWN ? NULL : name_of(n, i, m->type);

    if (!out)
        return json_pack("{s:s}", "type", "");
    json_object_set_new(out, "current",
                        current_of(m, strcmp(json_text(out, "name", ""), "memory") == 0));
    return json_pack("{s:s,s:o}", "type", hpa_metric_names[m->type].type,
                     hpa_metric_names[m->type].member, out);
}

static json_t *metrics_status(const struct object *hpa, const json_t *was, int64_t named,
                              const struct decision *d)
{
    struct naming n = {.hpa = hpa};
    json_t *list = json_array();

    if (hpa->generation && hpa->generation == named)
        n.was = json_object_get(was, "currentMetrics");
    for (size_t i = 0; i < d->n; i++)
        json_array_append_new(list, metric_status(&n, i, &d->metrics[i]));
    json_decref(n.spec);
    return list;
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

void hpa_told_read(const json_t *status, struct hpa_told *ret)
{
    const json_t *list = json_object_get(status, "conditions");

    *ret = (struct hpa_told){.current = json_int(status, "currentReplicas", -1),
                             .desired = json_int(status, "desiredReplicas", -1)};
    for (size_t i = 0; i < ARRAY_LEN(conditions); i++)
        ret->conditions[i] = json_text(find_condition(list, conditions[i]), "status", "")[0];
}

bool hpa_told_was_scaled_to_zero(const struct hpa_told *t)
{
    return t->conditions[SCALED_TO_ZERO] == 'T';
}

static char told_of(const struct hpa_told *t, const char *type)
{
    for (size_t i = 0; i < ARRAY_LEN(conditions); i++)
        if (strcmp(conditions[i], type) == 0)
            return t->conditions[i];
    return 0;
}

bool hpa_status_matters(const struct hpa_told *t, const struct decision *d)
{
    for (size_t i = 0; i < d->n_conditions; i++) {
        const struct decision_condition *c = &d->conditions[i];

        if (told_of(t, c->type) != (c->status ? c->status[0] : 0))
            return true;
    }
    return t->current != d->current || t->desired != d->desired || d->is_rescale;
}

json_t *hpa_status_of(const struct object *hpa, json_t *was, int64_t named,
                      const struct decision *d)
{
    json_t *status = sound_status(was);
    char time[TIME_TEXT_MAX];

    set_conditions(json_object_get(status, "conditions"), d);
    if (d->has_metrics)
        json_object_set_new(status, "currentMetrics", metrics_status(hpa, status, named, d));
    json_object_set_new(status, "observedGeneration",
                        json_integer(hpa->generation ? hpa->generation : 1));
    json_object_set_new(status, "currentReplicas", json_integer(d->current));
    if (!d->has_failed || *d->limit_reason || !json_object_get(status, "desiredReplicas"))
        json_object_set_new(status, "desiredReplicas", json_integer(d->desired));
    if (d->is_rescale)
        json_object_set_new(status, "lastScaleTime", json_string(time_rfc3339(d->at_ms, time)));
    return status;
}
