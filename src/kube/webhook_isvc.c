/* SPDX-License-Identifier: Apache-2.0
 *
 * KServe's validating webhook for InferenceServices (kserve.md 7.2): first failure wins. */
#include "base/mem.h"
#include "codec/quantity.h"
#include "kube/rules.h"

#define ISVC_HOOK \
    "admission webhook \"inferenceservice.kserve-webhook-server.validator\" denied the request: "

static bool is_isvc_name(struct str s)
{
    if (s.n == 0 || s.p[0] < 'a' || s.p[0] > 'z' || s.p[s.n - 1] == '-')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!(s.p[i] == '-' || (s.p[i] >= 'a' && s.p[i] <= 'z') ||
              (s.p[i] >= '0' && s.p[i] <= '9')))
            return false;
    return true;
}

static int check_utilization(const json_t *target, struct denial *d)
{
    const json_t *v = json_object_get(target, "averageUtilization");

    if (!v || json_is_null(v))
        return webhook_deny(d, ISVC_HOOK
                            "averageUtilization should be set when the target type is Utilization");
    if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > 100)
        return webhook_deny(d, ISVC_HOOK
                            "the target utilization percentage should be a [1-100] integer");
    return 0;
}

static int check_resource(const json_t *r, struct denial *d)
{
    const json_t *target = json_object_get(r, "target");
    const char *type = json_text(target, "type", "");
    struct quantity q = {0};

    if (strcmp(json_text(r, "name", ""), "cpu") == 0 && strcmp(type, "Utilization") != 0)
        return webhook_deny(d, ISVC_HOOK "the cpu target value type should be Utilization");
    if (strcmp(json_text(r, "name", ""), "memory") == 0) {
        if (strcmp(type, "Utilization") != 0 && strcmp(type, "AverageValue") != 0)
            return webhook_deny(
                d, ISVC_HOOK "the memory target value type should be AverageValue or Utilization");
        quantity_parse(str_of(json_text(target, "averageValue", "0")), &q, NULL);
        if (strcmp(type, "AverageValue") == 0 && quantity_value(&q) < 1 << 20)
            return webhook_deny(d,
                                ISVC_HOOK "the memory target value should be greater than 1 MiB");
    }
    return strcmp(type, "Utilization") == 0 ? check_utilization(target, d) : 0;
}

static int check_query(const json_t *block, struct denial *d)
{
    const json_t *target = json_object_get(block, "target");

    if (!*json_text(block, "metric.query", ""))
        return webhook_deny(d, ISVC_HOOK "the query should not be empty");
    if (strcmp(json_text(target, "type", ""), "Utilization") == 0) {
        int r = check_utilization(target, d);

        if (r < 0)
            return r;
    }
    if (!*json_text(target, "value", ""))
        return webhook_deny(d, ISVC_HOOK "the target threshold value should not be empty");
    if (strcmp(json_text(target, "type", ""), "AverageValue") == 0 &&
        !*json_text(target, "averageValue", ""))
        return webhook_deny(d, ISVC_HOOK "AverageValue should be set");
    return 0;
}

static int check_keda(const json_t *component, struct denial *d)
{
    static const struct {
        const char *type, *block;
    } blocks[] = {{"Resource", "resource"}, {"External", "external"}, {"PodMetric", "podmetric"}};
    const json_t *m;
    size_t i;

    if (json_object_get(component, "scaleMetric"))
        return webhook_deny(d, ISVC_HOOK "ScaleMetric is not supported for KEDA");
    json_array_foreach (json_at(component, "autoScaling.metrics"), i, m) {
        for (size_t k = 0; k < ARRAY_LEN(blocks); k++) {
            const json_t *block = json_object_get(m, blocks[k].block);
            int r;

            if (strcmp(json_text(m, "type", ""), blocks[k].type) != 0)
                continue;
            if (!json_is_object(block))
                return webhook_deny(d, ISVC_HOOK "metric type %s, but the %s block is not set",
                                    blocks[k].type, blocks[k].block);
            r = k == 0 ? check_resource(block, d) : check_query(block, d);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int check_hpa(const json_t *component, struct denial *d)
{
    const char *metric = json_text(component, "scaleMetric", "cpu");
    const json_t *target = json_object_get(component, "scaleTarget"), *m;
    int64_t v = json_integer_value(target);
    size_t i;

    if (strcmp(metric, "cpu") != 0 && strcmp(metric, "memory") != 0)
        return webhook_deny(d, ISVC_HOOK "[%s] is not a supported metric", metric);
    if (target && (v > 100 || (v < 1 && strcmp(metric, "cpu") == 0)))
        return webhook_deny(d, ISVC_HOOK
                            "the target utilization percentage should be a [1-100] integer");
    if (target && v < 1)
        return webhook_deny(d, ISVC_HOOK "the target memory should be greater than 1 MiB");
    json_array_foreach (json_at(component, "autoScaling.metrics"), i, m) {
        if (strcmp(json_text(m, "type", ""), "Resource") != 0 ||
            !json_is_object(json_object_get(m, "resource")))
            return webhook_deny(d, ISVC_HOOK "invalid HPA metric type [%s]: only Resource is valid",
                                json_text(m, "type", ""));
    }
    return 0;
}

static int check_replicas(const json_t *c, struct denial *d)
{
    int64_t min = json_int(c, "minReplicas", 1), max = json_int(c, "maxReplicas", 0);

    if (json_int(c, "containerConcurrency", 0) < 0)
        return webhook_deny(d,
                            ISVC_HOOK "parallelism (containerConcurrency) cannot be less than 0");
    if (min < 0)
        return webhook_deny(d, ISVC_HOOK "MinReplicas cannot be less than 0");
    if (max < 0)
        return webhook_deny(d, ISVC_HOOK "MaxReplicas cannot be less than 0");
    if (max != 0 && min > max)
        return webhook_deny(
            d, ISVC_HOOK "MinReplicas cannot be greater than MaxReplicas (%lld > %lld)",
            (long long)min, (long long)max);
    return 0;
}

static int check_component(const char *cls, const char *mode, const json_t *c, struct denial *d)
{
    int r = check_replicas(c, d);

    if (r < 0 || !cls || !mode || strcmp(mode, "Standard") != 0)
        return r;
    if (strcmp(cls, "keda") == 0)
        return check_keda(c, d);
    return strcmp(cls, "hpa") == 0 ? check_hpa(c, d) : 0;
}

/* --- rules over the whole object --- */

/* One implementation: model, a framework, or (without either) containers of one's own. */
static int check_implementation(const json_t *predictor, struct denial *d)
{
    static const char *const names[] = {
        "model", "sklearn",     "xgboost", "tensorflow", "pytorch", "triton",
        "onnx",  "huggingface", "pmml",    "lightgbm",   "paddle",
    };
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        n += json_is_object(json_object_get(predictor, names[i]));
    if (n == 1 || (n == 0 && json_array_size(json_object_get(predictor, "containers")) > 0))
        return 0;
    return webhook_deny(d, ISVC_HOOK
                        "exactly one of [model, containers, sklearn, xgboost, tensorflow, pytorch, "
                        "triton, onnx, huggingface, pmml, lightgbm, paddle] must be specified in "
                        "the predictor");
}

static bool has_python_path(const json_t *container)
{
    const json_t *v;
    size_t i;

    json_array_foreach (json_object_get(container, "env"), i, v)
        if (strcmp(json_text(v, "name", ""), "PYTHONPATH") == 0)
            return true;
    return false;
}

static int check_env(const char *isvc, const json_t *component, struct denial *d)
{
    static const char *const lists[] = {"containers", "initContainers"};
    bool found = has_python_path(json_object_get(component, "model"));
    const json_t *container;
    size_t i;

    for (size_t k = 0; k < ARRAY_LEN(lists); k++)
        json_array_foreach (json_object_get(component, lists[k]), i, container)
            found = found || has_python_path(container);
    if (!found)
        return 0;
    return webhook_deny(d,
                        ISVC_HOOK
                        "the InferenceService \"%s\" is invalid: environment variable PYTHONPATH "
                        "is not allowed for security reasons",
                        isvc);
}

static int check_name_change(const json_t *o, const json_t *was, struct denial *d)
{
    if (!was || strcmp(json_text(o, "spec.predictor.name", ""),
                       json_text(was, "spec.predictor.name", "")) == 0)
        return 0;
    if (strcmp(json_text(o, "spec.predictor.model.storageUri", ""),
               json_text(was, "spec.predictor.model.storageUri", "")) != 0)
        return 0;
    return webhook_deny(
        d, ISVC_HOOK
        "update rejected: changing predictor.name needs a change of the model's storageUri");
}

int webhook_inferenceservice(const json_t *o, const json_t *was, struct denial *d)
{
    static const char *const classes[] = {"hpa", "external", "keda", "none", NULL};
    static const char *const components[] = {"predictor", "transformer", "explainer"};
    const json_t *annotations = json_at(o, "metadata.annotations"), *c;
    const char *name = json_text(o, "metadata.name", "");
    const char *cls =
        json_string_value(json_object_get(annotations, "serving.kserve.io/autoscalerClass"));
    const char *mode =
        json_string_value(json_object_get(annotations, "serving.kserve.io/deploymentMode"));
    const char *live = json_text(was, "status.deploymentMode", NULL);
    bool known = cls == NULL;
    size_t i;
    int r;

    if (json_at(was, "metadata.deletionTimestamp"))
        return 0;
    if (live && *live && mode && strcmp(live, mode) != 0)
        return webhook_deny(
            d, ISVC_HOOK "update rejected: deploymentMode cannot be changed from '%s' to '%s'",
            live, mode);
    if ((r = check_name_change(o, was, d)) < 0)
        return r;
    if (!is_isvc_name(str_of(name)))
        return webhook_deny(
            d,
            ISVC_HOOK
            "the InferenceService \"%s\" is invalid: a InferenceService name must consist "
            "of lower case alphanumeric characters or '-', and must start with "
            "alphabetical character. (e.g. \"my-name\" or \"abc-123\", regex used for "
            "validation is '^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            name);
    for (i = 0; classes[i] && !known; i++)
        known = strcmp(cls, classes[i]) == 0;
    if (!known)
        return webhook_deny(d,
                            ISVC_HOOK
                            "[%s] is not a supported autoscaler class type; use one of hpa, keda, "
                            "external, none",
                            cls);
    for (i = 0; i < ARRAY_LEN(components); i++)
        if ((r = check_env(name, json_object_get(json_object_get(o, "spec"), components[i]), d)) <
            0)
            return r;
    if (*json_text(o, "spec.predictor.model.name", ""))
        return webhook_deny(d,
                            ISVC_HOOK
                            "the InferenceService \"%s\" is invalid: name field is not allowed in "
                            "standard predictor",
                            name);
    if ((r = check_implementation(json_at(o, "spec.predictor"), d)) < 0)
        return r;
    for (i = 0; i < ARRAY_LEN(components); i++) {
        c = json_object_get(json_object_get(o, "spec"), components[i]);
        if (c && (r = check_component(cls, mode, c, d)) < 0)
            return r;
    }
    return 0;
}
