/* SPDX-License-Identifier: Apache-2.0
 *
 * KServe's validating webhook for InferenceServices (kserve.md 7.2): first failure wins. */
#include "base/mem.h"
#include "kube/webhook_isvc_int.h"

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
        return isvc_check_keda(c, d);
    return strcmp(cls, "hpa") == 0 ? isvc_check_hpa(c, d) : 0;
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

/* The initialiser's variable would make the transformer fetch the model a second time. */
static int check_transformer_container(const char *isvc, const json_t *predictor, struct denial *d)
{
    const json_t *c, *e;
    size_t i, k;

    json_array_foreach (json_object_get(predictor, "containers"), i, c) {
        if (strcmp(json_text(c, "name", ""), "transformer-container") != 0)
            continue;
        json_array_foreach (json_object_get(c, "env"), k, e)
            if (strcmp(json_text(e, "name", ""), "STORAGE_URI") == 0)
                return webhook_deny(
                    d,
                    ISVC_HOOK "the InferenceService \"%s\" is invalid: transformer-container must "
                              "not have the environment variable STORAGE_URI; put the model's "
                              "storageUri into spec.predictor.model",
                    isvc);
    }
    return 0;
}

static int check_logger(const json_t *component, struct denial *d)
{
    const json_t *storage = json_at(component, "logger.storage");
    const char *mode = json_text(component, "logger.mode", "all");

    if (strcmp(mode, "all") != 0 && strcmp(mode, "request") != 0 && strcmp(mode, "response") != 0)
        return webhook_deny(d, ISVC_HOOK "invalid logger mode '%s': use all, request or response",
                            mode);
    if (!json_is_object(storage))
        return 0;
    if (!*json_text(storage, "path", ""))
        return webhook_deny(d, ISVC_HOOK "logger.storage.path must be set");
    if (!*json_text(storage, "key", "") && !*json_text(storage, "serviceAccountName", ""))
        return webhook_deny(d, ISVC_HOOK "logger.storage needs key or serviceAccountName: without "
                                         "either nothing may be written there");
    return 0;
}

/* A component besides the predictor: somebody's containers, or a known explainer. */
static int check_other_components(const json_t *spec, struct denial *d)
{
    const json_t *t = json_object_get(spec, "transformer"), *e = json_object_get(spec, "explainer");
    size_t n = (json_array_size(json_object_get(e, "containers")) > 0) +
               (size_t)json_is_object(json_object_get(e, "art"));

    if (json_is_object(t) && json_array_size(json_object_get(t, "containers")) == 0)
        return webhook_deny(d, ISVC_HOOK
                            "exactly one of [containers] must be specified in the transformer");
    if (json_is_object(e) && n != 1)
        return webhook_deny(d, ISVC_HOOK
                            "exactly one of [containers, art] must be specified in the explainer");
    return 0;
}

static int check_canary(const json_t *canary, const json_t *all, size_t at, int64_t stable_min,
                        struct denial *d)
{
    static const char *const refused[] = {"maxReplicas", "scaleTarget", "scaleMetric",
                                          "autoScaling", "workerSpec"};
    const json_t *predictor = json_object_get(canary, "predictor");
    const char *name = json_text(predictor, "name", "");

    if (!*name)
        return webhook_deny(d, ISVC_HOOK "canary[%zu]: predictor.name is required", at);
    for (size_t k = 0; k < at; k++)
        if (strcmp(json_text(json_array_get(all, k), "predictor.name", ""), name) == 0)
            return webhook_deny(d, ISVC_HOOK "canary[%zu]: the predictor name '%s' is not unique",
                                at, name);
    for (size_t k = 0; k < ARRAY_LEN(refused); k++)
        if (json_object_get(predictor, refused[k]))
            return webhook_deny(d,
                                ISVC_HOOK
                                "canary '%s': %s is not allowed in a canary, whose number "
                                "of replicas is fixed",
                                name, refused[k]);
    if (json_int(predictor, "minReplicas", 0) > stable_min)
        return webhook_deny(d,
                            ISVC_HOOK "canary '%s': minReplicas (%lld) cannot be greater than the "
                                      "stable predictor's (%lld)",
                            name, (long long)json_int(predictor, "minReplicas", 0),
                            (long long)stable_min);
    return 0;
}

static int check_canaries(const json_t *spec, const char *mode, struct denial *d)
{
    const json_t *all = json_object_get(spec, "canary"), *canary;
    int64_t sum = 0;
    size_t i;

    if (json_array_size(all) == 0)
        return 0;
    if (!mode || strcmp(mode, "Standard") != 0)
        return webhook_deny(d, ISVC_HOOK "canary is supported in deploymentMode Standard only");
    json_array_foreach ((json_t *)all, i, canary) {
        int r = check_canary(canary, all, i, json_int(spec, "predictor.minReplicas", 1), d);

        if (r < 0)
            return r;
        sum += json_int(canary, "trafficPercent", 0);
    }
    if (sum > 100)
        return webhook_deny(d,
                            ISVC_HOOK "the canaries' trafficPercent add up to %lld, more than 100",
                            (long long)sum);
    return 0;
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
    if ((r = isvc_check_worker(name, cls, o, d)) < 0 ||
        (r = check_transformer_container(name, json_at(o, "spec.predictor"), d)) < 0)
        return r;
    if (*json_text(o, "spec.predictor.model.name", ""))
        return webhook_deny(d,
                            ISVC_HOOK
                            "the InferenceService \"%s\" is invalid: name field is not allowed in "
                            "standard predictor",
                            name);
    if ((r = isvc_check_storage_uris(name, json_at(o, "spec.predictor"), d)) < 0 ||
        (r = check_implementation(json_at(o, "spec.predictor"), d)) < 0 ||
        (r = check_other_components(json_object_get(o, "spec"), d)) < 0 ||
        (r = isvc_check_storage(json_at(o, "spec.predictor"), d)) < 0)
        return r;
    for (i = 0; i < ARRAY_LEN(components); i++) {
        c = json_object_get(json_object_get(o, "spec"), components[i]);
        if (c && ((r = check_component(cls, mode, c, d)) < 0 || (r = check_logger(c, d)) < 0))
            return r;
    }
    if ((r = check_canaries(json_object_get(o, "spec"), mode, d)) < 0)
        return r;
    isvc_warn(o, cls, d);
    return 0;
}
