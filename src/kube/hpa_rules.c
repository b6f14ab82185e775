/* SPDX-License-Identifier: Apache-2.0
 *
 * What the API server refuses of a HorizontalPodAutoscaler (hpa.md 1). */
#include "base/mem.h"
#include "codec/quantity.h"
#include "kube/rules.h"
#include "kube/selector.h"

#define WINDOW_MAX_S 3600
#define PERIOD_MAX_S 1800

static void required(struct field_errors *e, const char *base, const char *field, const char *why)
{
    AUTO_FREE char *path = mem_printf("%s.%s", base, field);

    field_error(e, "FieldValueRequired", path, "Required value%s%s", *why ? ": " : "", why);
}

static void forbidden(struct field_errors *e, const char *base, const char *field, const char *why)
{
    AUTO_FREE char *path = mem_printf("%s.%s", base, field);

    field_error(e, "FieldValueForbidden", path, "Forbidden: %s", why);
}

/* v: what was given, as the message shows it. */
static void invalid(struct field_errors *e, const char *base, const char *field, const json_t *v,
                    const char *why)
{
    AUTO_FREE char *path = mem_printf("%s.%s", base, field);
    struct buf text = BUF_INIT;

    json_write(&text, v);
    field_error(e, "FieldValueInvalid", path, "Invalid value: %s: %s", buf_cstr(&text), why);
    buf_done(&text);
}

static bool is_one_of(const char *v, const char *const *allowed, struct buf *list)
{
    for (size_t i = 0; allowed[i]; i++) {
        if (strcmp(v, allowed[i]) == 0)
            return true;
        buf_printf(list, "%s\"%s\"", i ? ", " : "", allowed[i]);
    }
    return false;
}

static void one_of(struct field_errors *e, const char *base, const json_t *o, const char *field,
                   const char *const *allowed)
{
    AUTO_FREE char *path = mem_printf("%s.%s", base, field);
    const char *v = json_text(o, field, "");
    struct buf list = BUF_INIT;

    if (!is_one_of(v, allowed, &list))
        field_error(e, "FieldValueNotSupported", path,
                    "Unsupported value: \"%s\": supported values: %s", v, buf_cstr(&list));
    buf_done(&list);
}

/* --- metrics --- */

enum { UTILIZATION = 1, AVERAGE = 2, VALUE = 4 };

static const struct source {
    const char *type, *member;
    int takes; /* of the target */
    const char *none, *both;
} sources[] = {
    {"Resource", "resource", UTILIZATION | AVERAGE,
     "must set either a target raw value or a target utilization",
     "may not set both a target raw value and a target utilization"},
    {"ContainerResource", "containerResource", UTILIZATION | AVERAGE,
     "must set either a target raw value or a target utilization",
     "may not set both a target raw value and a target utilization"},
    {"Pods", "pods", AVERAGE, "must specify a positive target averageValue", ""},
    {"Object", "object", AVERAGE | VALUE, "must set either a target value or averageValue", ""},
    {"External", "external", AVERAGE | VALUE,
     "must set either a target value for metric or a per-pod target",
     "may not set both a target value for metric and a per-pod target"},
};

static bool is_positive(const json_t *v)
{
    struct quantity q;

    if (json_is_integer(v))
        return json_integer_value(v) > 0;
    return quantity_parse(json_strv(v), &q, NULL) == 0 && q.nano > 0;
}

static void check_target(struct field_errors *e, const struct source *s, const char *base,
                         const json_t *target)
{
    static const char *const types[] = {"Utilization", "Value", "AverageValue", NULL};
    AUTO_FREE char *path = mem_printf("%s.target", base);
    const json_t *utilization = json_object_get(target, "averageUtilization"),
                 *average = json_object_get(target, "averageValue"),
                 *value = json_object_get(target, "value"),
                 *other = s->takes & UTILIZATION ? utilization
                          : s->takes & VALUE     ? value
                                                 : NULL;
    struct buf list = BUF_INIT;

    if (!*json_text(target, "type", ""))
        required(e, path, "type", "must specify a target type");
    else if (!is_one_of(json_text(target, "type", ""), types, &list))
        invalid(e, path, "type", json_object_get(target, "type"),
                "must be either Utilization, Value, or AverageValue");
    buf_done(&list);
    if (value && !is_positive(value))
        invalid(e, path, "value", value, "must be positive");
    if (average && !is_positive(average))
        invalid(e, path, "averageValue", average, "must be positive");
    if (utilization && !is_positive(utilization))
        invalid(e, path, "averageUtilization", utilization, "must be greater than 0");
    if (!average && !other)
        required(e, path, s->takes & UTILIZATION ? "averageUtilization" : "averageValue", s->none);
    if (average && other && *s->both)
        forbidden(e, path, s->takes & UTILIZATION ? "averageValue" : "value", s->both);
}

static void check_source(struct field_errors *e, const struct source *s, const char *path,
                         const json_t *block)
{
    AUTO_FREE char *base = mem_printf("%s.%s", path, s->member);
    const json_t *selector = json_at(block, "metric.selector");
    struct selector *sel = NULL;
    struct err err = ERR_INIT;

    if (s->takes & UTILIZATION) {
        if (!*json_text(block, "name", ""))
            required(e, base, "name", "must specify a resource name");
        if (strcmp(s->member, "containerResource") == 0 && !*json_text(block, "container", ""))
            required(e, base, "container", "must specify a container");
    } else if (!*json_text(block, "metric.name", "")) {
        required(e, base, "metric.name", "must specify a metric name");
    }
    if (json_is_object(selector) && selector_from_json(selector, false, &sel, &err) < 0)
        invalid(e, base, "metric.selector", selector, err.msg);
    selector_free(sel);
    if (strcmp(s->member, "object") == 0) {
        if (!*json_text(block, "describedObject.kind", ""))
            required(e, base, "describedObject.kind", "");
        if (!*json_text(block, "describedObject.name", ""))
            required(e, base, "describedObject.name", "");
    }
    check_target(e, s, base, json_object_get(block, "target"));
}

static void check_metric(struct field_errors *e, const char *path, const json_t *m)
{
    const char *types[ARRAY_LEN(sources) + 1] = {NULL};

    for (size_t i = 0; i < ARRAY_LEN(sources); i++)
        types[i] = sources[i].type;
    if (!*json_text(m, "type", "")) {
        required(e, path, "type", "must specify a metric source type");
        return;
    }
    one_of(e, path, m, "type", types);
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        const json_t *block = json_object_get(m, sources[i].member);
        bool is_it = strcmp(json_text(m, "type", ""), sources[i].type) == 0;

        if (is_it && !json_is_object(block))
            required(e, path, sources[i].member,
                     "must populate information for the given metric source");
        else if (is_it)
            check_source(e, &sources[i], path, block);
        else if (json_is_object(block))
            forbidden(e, path, sources[i].member, "must populate the given metric source only");
    }
}

static bool has_whole_metric(const json_t *metrics)
{
    const json_t *m;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)metrics, i, m) {
        if (json_object_get(m, "object") || json_object_get(m, "external"))
            return true;
    }
    return false;
}

/* --- behavior --- */

static void in_range(struct field_errors *e, const char *base, const json_t *o, const char *field,
                     int64_t min, int64_t max)
{
    const json_t *v = json_object_get(o, field);
    AUTO_FREE char *above = mem_printf("must be less than or equal to %lld", (long long)max);

    if (!v)
        return;
    if (json_integer_value(v) < min)
        invalid(e, base, field, v,
                min ? "must be greater than zero" : "must be greater than or equal to zero");
    else if (json_integer_value(v) > max)
        invalid(e, base, field, v, above);
}

static void check_rules(struct field_errors *e, const char *base, const json_t *rules)
{
    static const char *const selects[] = {"Max", "Min", "Disabled", NULL};
    static const char *const types[] = {"Percent", "Pods", NULL};
    const json_t *policies = json_object_get(rules, "policies"), *p,
                 *tolerance = json_object_get(rules, "tolerance");
    struct quantity q;
    size_t i;

    if (!json_is_object(rules))
        return;
    in_range(e, base, rules, "stabilizationWindowSeconds", 0, WINDOW_MAX_S);
    if (json_object_get(rules, "selectPolicy"))
        one_of(e, base, rules, "selectPolicy", selects);
    if (json_array_size(policies) == 0)
        required(e, base, "policies", "must specify at least one Policy");
    json_array_foreach ((json_t *)(uintptr_t)policies, i, p) {
        AUTO_FREE char *path = mem_printf("%s.policies[%zu]", base, i);

        one_of(e, path, p, "type", types);
        in_range(e, path, p, "value", 1, INT32_MAX);
        in_range(e, path, p, "periodSeconds", 1, PERIOD_MAX_S);
    }
    if (json_is_string(tolerance) &&
        (quantity_parse(json_strv(tolerance), &q, NULL) < 0 || q.nano < 0))
        invalid(e, base, "tolerance", tolerance, "must be greater or equal to zero");
}

/* --- the whole --- */

void validate_hpa(const json_t *o, const json_t *was, struct field_errors *e)
{
    const json_t *min = json_at(o, "spec.minReplicas"), *max = json_at(o, "spec.maxReplicas"), *m,
                 *metrics = json_at(o, "spec.metrics");
    size_t i;

    (void)was;
    if (!*json_text(o, "spec.scaleTargetRef.kind", ""))
        required(e, "spec", "scaleTargetRef.kind", "");
    if (!*json_text(o, "spec.scaleTargetRef.name", ""))
        required(e, "spec", "scaleTargetRef.name", "");
    if (json_is_integer(min) && json_integer_value(min) < 0)
        invalid(e, "spec", "minReplicas", min, "must be greater than or equal to 0");
    if (json_int(o, "spec.maxReplicas", 0) < 1)
        field_error(e, "FieldValueInvalid", "spec.maxReplicas",
                    "Invalid value: %lld: must be greater than 0",
                    (long long)json_int(o, "spec.maxReplicas", 0));
    else if (json_is_integer(min) && json_integer_value(max) < json_integer_value(min))
        invalid(e, "spec", "maxReplicas", max, "must be greater than or equal to `minReplicas`");
    json_array_foreach ((json_t *)(uintptr_t)metrics, i, m) {
        AUTO_FREE char *path = mem_printf("spec.metrics[%zu]", i);

        check_metric(e, path, m);
    }
    if (json_is_integer(min) && json_integer_value(min) == 0 && !has_whole_metric(metrics))
        forbidden(e, "spec", "metrics",
                  "must specify at least one Object or External metric to support scaling to zero "
                  "replicas");
    check_rules(e, "spec.behavior.scaleUp", json_at(o, "spec.behavior.scaleUp"));
    check_rules(e, "spec.behavior.scaleDown", json_at(o, "spec.behavior.scaleDown"));
}
