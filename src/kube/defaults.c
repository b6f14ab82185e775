/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/defaults.h"

#include "base/mem.h"
#include "codec/base64.h"
#include "codec/quantity.h"

/* The object at key, made where it is missing; NULL where o itself is of another shape (validation
 * refuses that later; jansson takes NULL everywhere). */
static json_t *child(json_t *o, const char *key)
{
    json_t *v = json_object_get(o, key);

    if (!json_is_object(o))
        return NULL;
    if (!json_is_object(v)) {
        v = json_object();
        json_object_set_new(o, key, v);
    }
    return v;
}

/* Sets key unless it is there (and not null); steals v. */
static void def(json_t *o, const char *key, json_t *v)
{
    const json_t *was = json_object_get(o, key);

    if (was && !json_is_null(was))
        json_decref(v);
    else
        json_object_set_new(o, key, v);
}

static void def_text(json_t *o, const char *key, const char *v)
{
    def(o, key, json_string(v));
}

static void def_int(json_t *o, const char *key, int64_t v)
{
    def(o, key, json_integer(v));
}

/* "1000m" -> "1"; numbers become text. What is no quantity stays for validation to refuse. */
static void canonical_quantities(json_t *map)
{
    const char *key;
    json_t *v;
    void *tmp;

    json_object_foreach_safe(map, tmp, key, v)
    {
        struct quantity q;
        struct buf text = BUF_INIT;
        char out[64];

        if (json_is_string(v))
            buf_add_str(&text, json_strv(v));
        else
            json_write(&text, v);
        if (quantity_parse(buf_str(&text), &q, NULL) == 0)
            json_object_set_new(map, key, json_string(quantity_text(&q, out)));
        buf_done(&text);
    }
}

static void default_probe(json_t *p)
{
    json_t *http = json_object_get(p, "httpGet");

    if (!json_is_object(p))
        return;
    def_int(p, "timeoutSeconds", 1);
    def_int(p, "periodSeconds", 10);
    def_int(p, "successThreshold", 1);
    def_int(p, "failureThreshold", 3);
    if (json_is_object(http)) {
        def_text(http, "path", "/");
        def_text(http, "scheme", "HTTP");
    }
}

static bool has_floating_tag(const char *image)
{
    const char *slash = strrchr(image, '/'), *tag = strrchr(slash ? slash : image, ':');

    return !strchr(image, '@') && (!tag || strcmp(tag, ":latest") == 0);
}

static void default_container(json_t *c)
{
    static const char *const probes[] = {"livenessProbe", "readinessProbe", "startupProbe"};
    json_t *resources = child(c, "resources"), *limits = json_object_get(resources, "limits"), *p;
    size_t i;

    def_text(c, "terminationMessagePath", "/dev/termination-log");
    def_text(c, "terminationMessagePolicy", "File");
    def_text(c, "imagePullPolicy",
             has_floating_tag(json_text(c, "image", "")) ? "Always" : "IfNotPresent");
    if (json_is_object(limits)) {
        json_t *requests = child(resources, "requests");

        canonical_quantities(limits);
        json_object_update_missing(requests, limits);
    }
    canonical_quantities(json_object_get(resources, "requests"));
    json_array_foreach (json_object_get(c, "ports"), i, p)
        def_text(p, "protocol", "TCP");
    for (i = 0; i < ARRAY_LEN(probes); i++)
        default_probe(json_object_get(c, probes[i]));
    json_array_foreach (json_object_get(c, "env"), i, p) {
        json_t *ref = json_at(p, "valueFrom.fieldRef");

        if (json_is_object(ref))
            def_text(ref, "apiVersion", "v1");
    }
}

static void default_pod_spec(json_t *spec)
{
    json_t *c;
    size_t i;

    json_array_foreach (json_object_get(spec, "initContainers"), i, c)
        default_container(c);
    json_array_foreach (json_object_get(spec, "containers"), i, c)
        default_container(c);
    def_text(spec, "restartPolicy", "Always");
    def_text(spec, "dnsPolicy", "ClusterFirst");
    def_int(spec, "terminationGracePeriodSeconds", 30);
    def_text(spec, "schedulerName", "default-scheduler");
    child(spec, "securityContext");
}

void default_pod(json_t *o)
{
    json_t *spec = child(o, "spec");

    default_pod_spec(spec);
    def_text(spec, "serviceAccountName", "default");
    def_text(spec, "serviceAccount", "default");
    def(spec, "enableServiceLinks", json_true());
}

static void default_template(json_t *spec)
{
    json_t *t = child(spec, "template"), *meta = child(t, "metadata");

    def(meta, "creationTimestamp", json_null());
    default_pod_spec(child(t, "spec"));
}

/* A built-in object always has its status, if only an empty one: clients look into it unasked. */
void default_deployment(json_t *o)
{
    json_t *spec = child(o, "spec"), *strategy = child(spec, "strategy"), *rolling;

    child(o, "status");
    def_int(spec, "replicas", 1);
    def_int(spec, "revisionHistoryLimit", 10);
    def_int(spec, "progressDeadlineSeconds", 600);
    def_text(strategy, "type", "RollingUpdate");
    if (strcmp(json_text(strategy, "type", ""), "RollingUpdate") == 0) {
        rolling = child(strategy, "rollingUpdate");
        def_text(rolling, "maxUnavailable", "25%");
        def_text(rolling, "maxSurge", "25%");
    }
    default_template(spec);
}

void default_replicaset(json_t *o)
{
    json_t *spec = child(o, "spec");

    def_int(child(o, "status"), "replicas", 0);
    def_int(spec, "replicas", 1);
    default_template(spec);
}

void default_statefulset(json_t *o)
{
    json_t *spec = child(o, "spec"), *status = child(o, "status"), *keep, *claim;
    json_t *strategy = child(spec, "updateStrategy");
    size_t i;

    def_int(status, "replicas", 0);
    def_int(status, "availableReplicas", 0);
    def_int(spec, "replicas", 1);
    def_int(spec, "revisionHistoryLimit", 10);
    def_text(spec, "podManagementPolicy", "OrderedReady");
    def_text(strategy, "type", "RollingUpdate");
    if (strcmp(json_text(strategy, "type", ""), "RollingUpdate") == 0)
        def_int(child(strategy, "rollingUpdate"), "partition", 0);
    keep = child(spec, "persistentVolumeClaimRetentionPolicy");
    def_text(keep, "whenDeleted", "Retain");
    def_text(keep, "whenScaled", "Retain");
    json_array_foreach (json_object_get(spec, "volumeClaimTemplates"), i, claim) {
        def_text(claim, "apiVersion", "v1");
        def_text(claim, "kind", "PersistentVolumeClaim");
        def_text(child(claim, "spec"), "volumeMode", "Filesystem");
        def_text(child(claim, "status"), "phase", "Pending");
    }
    default_template(spec);
}

/* Of what is not there: a limit is the maximum, a request the limit, else the minimum. */
void default_limitrange(json_t *o)
{
    json_t *item;
    size_t i;

    json_array_foreach (json_at(o, "spec.limits"), i, item) {
        static const char *const maps[] = {"max", "min", "default", "defaultRequest",
                                           "maxLimitRequestRatio"};
        json_t *limits, *requests;

        for (size_t k = 0; k < ARRAY_LEN(maps); k++)
            canonical_quantities(json_object_get(item, maps[k]));
        if (strcmp(json_text(item, "type", ""), "Container") != 0)
            continue;
        limits = child(item, "default");
        requests = child(item, "defaultRequest");
        json_object_update_missing(limits, json_object_get(item, "max"));
        json_object_update_missing(requests, limits);
        json_object_update_missing(requests, json_object_get(item, "min"));
        if (json_object_size(limits) == 0)
            json_object_del(item, "default");
        if (json_object_size(requests) == 0)
            json_object_del(item, "defaultRequest");
    }
}

void default_service(json_t *o)
{
    json_t *spec = child(o, "spec"), *p;
    size_t i;

    child(child(o, "status"), "loadBalancer");
    def_text(spec, "type", "ClusterIP");
    def_text(spec, "sessionAffinity", "None");
    if (strcmp(json_text(spec, "type", ""), "ExternalName") != 0) {
        def_text(spec, "internalTrafficPolicy", "Cluster");
        def_text(spec, "ipFamilyPolicy", "SingleStack");
        def(spec, "ipFamilies", json_pack("[s]", "IPv4"));
    }
    json_array_foreach (json_object_get(spec, "ports"), i, p) {
        def_text(p, "protocol", "TCP");
        if (!json_object_get(p, "targetPort"))
            json_object_set(p, "targetPort", json_object_get(p, "port"));
    }
}

void default_secret(json_t *o)
{
    json_t *plain = json_object_get(o, "stringData"), *v;
    const char *key;

    def_text(o, "type", "Opaque");
    if (!json_is_object(plain))
        return;
    json_object_foreach (plain, key, v) {
        struct buf b = BUF_INIT;

        base64_encode(&b, json_strv(v));
        json_object_set_new(child(o, "data"), key, json_str_new(buf_str(&b)));
        buf_done(&b);
    }
    json_object_del(o, "stringData");
}

void default_namespace(json_t *o)
{
    json_t *meta = child(o, "metadata");

    def(child(meta, "labels"), "kubernetes.io/metadata.name",
        json_string(json_text(meta, "name", "")));
    def(child(o, "spec"), "finalizers", json_pack("[s]", "kubernetes"));
    def_text(child(o, "status"), "phase", "Active");
}

/* --- HPA (hpa.md 1) --- */

void default_hpa(json_t *o)
{
    json_t *spec = child(o, "spec"), *behavior = json_object_get(spec, "behavior"), *rules, *m;
    size_t i;

    def_int(spec, "minReplicas", 1);
    if (json_array_size(json_object_get(spec, "metrics")) == 0)
        json_object_set_new(spec, "metrics",
                            json_pack("[{s:s,s:{s:s,s:{s:s,s:i}}}]", "type", "Resource", "resource",
                                      "name", "cpu", "target", "type", "Utilization",
                                      "averageUtilization", 80));
    json_array_foreach (json_object_get(spec, "metrics"), i, m) {
        json_t *block;
        const char *key;

        json_object_foreach (m, key, block) {
            json_t *target = json_object_get(block, "target");
            json_t *numbers = json_object();

            for (int k = 0; k < 2; k++) {
                const char *name = k ? "averageValue" : "value";

                if (json_object_get(target, name))
                    json_object_set(numbers, name, json_object_get(target, name));
            }
            canonical_quantities(numbers);
            if (json_is_object(target))
                json_object_update(target, numbers);
            json_decref(numbers);
        }
    }
    if (!json_is_object(behavior))
        return;
    rules = child(behavior, "scaleUp");
    def_int(rules, "stabilizationWindowSeconds", 0);
    def_text(rules, "selectPolicy", "Max");
    def(rules, "policies",
        json_pack("[{s:s,s:i,s:i},{s:s,s:i,s:i}]", "type", "Pods", "value", 4, "periodSeconds", 15,
                  "type", "Percent", "value", 100, "periodSeconds", 15));
    rules = child(behavior, "scaleDown");
    def_text(rules, "selectPolicy", "Max");
    def(rules, "policies",
        json_pack("[{s:s,s:i,s:i}]", "type", "Percent", "value", 100, "periodSeconds", 15));
}

/* --- InferenceService (kserve.md 7.1) --- */

static void number_to_text(json_t *o, const char *key)
{
    json_t *v = json_object_get(o, key);

    if (json_is_integer(v))
        json_object_set_new(o, key, json_fmt("%lld", (long long)json_integer_value(v)));
}

void default_inferenceservice(json_t *o)
{
    static const char *const frameworks[] = {"sklearn",  "xgboost", "tensorflow",  "pytorch",
                                             "triton",   "onnx",    "huggingface", "pmml",
                                             "lightgbm", "paddle"};
    json_t *annotations = child(child(o, "metadata"), "annotations"),
           *predictor = json_at(o, "spec.predictor");
    json_t *model, *m;
    const char *mode =
        json_string_value(json_object_get(annotations, "serving.kserve.io/deploymentMode"));
    size_t i;

    /* absent: the configured default, which is Standard here */
    if (!mode || strcmp(mode, "RawDeployment") == 0)
        json_object_set_new(annotations, "serving.kserve.io/deploymentMode",
                            json_string("Standard"));
    else if (strcmp(mode, "Serverless") == 0)
        json_object_set_new(annotations, "serving.kserve.io/deploymentMode",
                            json_string("Knative"));
    for (i = 0; i < ARRAY_LEN(frameworks); i++) {
        json_t *legacy = json_object_get(predictor, frameworks[i]);

        if (!json_is_object(legacy) || json_object_get(predictor, "model"))
            continue;
        json_put(legacy, "modelFormat.name", json_string(frameworks[i]));
        json_object_set(predictor, "model", legacy);
        json_object_del(predictor, frameworks[i]);
        break;
    }
    model = json_object_get(predictor, "model");
    if (json_is_object(model)) {
        const char *format = json_text(model, "modelFormat.name", NULL);

        if (format)
            def_text(annotations, "modelFormat", format);
        if (format && (strcmp(format, "triton") == 0 || strcmp(format, "vLLM") == 0))
            def_text(model, "protocolVersion", "v2");
        def_text(model, "name", "");
        child(model, "resources");
    }
    json_array_foreach (json_at(predictor, "autoScaling.metrics"), i, m) {
        static const char *const blocks[] = {"resource", "external", "podmetric"};

        for (size_t k = 0; k < ARRAY_LEN(blocks); k++) {
            json_t *target = json_at(json_object_get(m, blocks[k]), "target");

            number_to_text(target, "value");
            number_to_text(target, "averageValue");
        }
    }
    if (json_is_array(json_object_get(predictor, "containers")) && !model) {
        json_t *first = json_array_get(json_object_get(predictor, "containers"), 0);

        if (json_is_object(first) && !*json_text(first, "name", ""))
            json_object_set_new(first, "name", json_string("kserve-container"));
    }
}
