/* SPDX-License-Identifier: Apache-2.0
 *
 * Names, labels, annotations, Deployment and Service of the predictor (kserve.md 2.2, 3.2, 3.3). */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "controllers/isvc.h"

char *isvc_component_name(const json_t *isvc)
{
    const char *extra = json_text(isvc, "spec.predictor.name", "");

    return mem_printf("%s%s%s-predictor", json_text(isvc, "metadata.name", ""), *extra ? "-" : "",
                      extra);
}

/* Later sources win; the drop list counts for each. */
static void add_all(json_t *to, const json_t *from, const json_t *extra_drop, bool annotations)
{
    static const char *const dropped[] = {
        "autoscaling.knative.dev/min-scale", "autoscaling.knative.dev/max-scale",
        "internal.serving.kserve.io/storage-initializer-sourceuri",
        "kubectl.kubernetes.io/last-applied-configuration", "modelFormat"};
    const char *key;
    json_t *v, *d;
    size_t i;

    json_object_foreach ((json_t *)from, key, v) {
        bool drop = false;

        for (i = 0; annotations && i < ARRAY_LEN(dropped); i++)
            drop |= strcmp(key, dropped[i]) == 0;
        json_array_foreach ((json_t *)extra_drop, i, d)
            drop |= str_is(json_strv(d), key);
        if (!drop)
            json_object_set(to, key, v);
    }
}

json_t *isvc_annotations(const json_t *isvc, const json_t *runtime_spec, const json_t *config)
{
    const json_t *drop = json_at(config, "inferenceService.serviceAnnotationDisallowedList");
    const char *uri = json_text(isvc, "spec.predictor.model.storageUri", NULL);
    json_t *out = json_object();

    add_all(out, json_object_get(runtime_spec, "annotations"), drop, true);
    add_all(out, json_at(isvc, "metadata.annotations"), drop, true);
    add_all(out, json_at(isvc, "spec.predictor.annotations"), drop, true);
    if (uri)
        json_object_set_new(out, "internal.serving.kserve.io/storage-initializer-sourceuri",
                            json_string(uri));
    return out;
}

json_t *isvc_labels(const json_t *isvc, const json_t *runtime_spec)
{
    AUTO_FREE char *name = isvc_component_name(isvc);
    json_t *out = json_object();

    add_all(out, json_object_get(runtime_spec, "labels"), NULL, false);
    add_all(out, json_at(isvc, "metadata.labels"), NULL, false);
    add_all(out, json_at(isvc, "spec.predictor.labels"), NULL, false);
    json_object_set_new(out, "serving.kserve.io/inferenceservice",
                        json_string(json_text(isvc, "metadata.name", "")));
    json_object_set_new(out, "component", json_string("predictor"));
    json_object_set_new(out, "app", json_fmt("isvc.%s", name));
    return out;
}

static json_t *metadata(const json_t *isvc, const json_t *runtime_spec, const json_t *config,
                        const json_t *own)
{
    AUTO_FREE char *name = isvc_component_name(isvc);
    json_t *m = json_pack("{s:s,s:s,s:o,s:o}", "name", name, "namespace",
                          json_text(isvc, "metadata.namespace", ""), "labels",
                          isvc_labels(isvc, runtime_spec), "annotations",
                          isvc_annotations(isvc, runtime_spec, config));

    if (own)
        json_object_set_new(m, "ownerReferences", json_pack("[O]", own));
    return m;
}

static json_t *object(const char *version, const char *kind, json_t *meta, json_t *spec)
{
    return json_pack("{s:s,s:s,s:o,s:o}", "apiVersion", version, "kind", kind, "metadata", meta,
                     "spec", spec);
}

/* What KServe itself fills into containers before it submits (3.2). */
static void default_containers(json_t *pod_spec, const char *isvc_name)
{
    json_t *c;
    size_t i;

    json_array_foreach (json_object_get(pod_spec, "containers"), i, c) {
        const char *name = json_text(c, "name", "");
        const json_t *port = json_array_get(json_object_get(c, "ports"), 0);
        json_t *env = json_object_get(c, "env");

        if (!env) {
            env = json_array();
            json_object_set_new(c, "env", env);
        }
        json_array_append_new(
            env, json_pack("{s:s,s:s}", "name", "INFERENCE_SERVICE_NAME", "value", isvc_name));
        if (!json_object_get(c, "terminationMessagePath"))
            json_object_set_new(c, "terminationMessagePath", json_string("/dev/termination-log"));
        if (!json_object_get(c, "terminationMessagePolicy"))
            json_object_set_new(c, "terminationMessagePolicy", json_string("File"));
        if (!json_object_get(c, "imagePullPolicy"))
            json_object_set_new(c, "imagePullPolicy", json_string("IfNotPresent"));
        if (!json_object_get(c, "readinessProbe") &&
            (strcmp(name, "kserve-container") == 0 || strcmp(name, "transformer-container") == 0))
            json_object_set_new(c, "readinessProbe",
                                json_pack("{s:{s:I},s:i,s:i,s:i,s:i}", "tcpSocket", "port",
                                          (json_int_t)json_int(port, "containerPort", 8080),
                                          "timeoutSeconds", 1, "periodSeconds", 10,
                                          "successThreshold", 1, "failureThreshold", 3));
    }
}

static void def(json_t *o, const char *key, json_t *v)
{
    if (json_object_get(o, key))
        json_decref(v);
    else
        json_object_set_new(o, key, v);
}

static void set_strategy(json_t *spec, const json_t *isvc, const json_t *config)
{
    const json_t *user = json_at(isvc, "spec.predictor.deploymentStrategy");
    const json_t *roll = json_at(config, "deploy.deploymentRolloutStrategy.defaultRollout");

    if (user) {
        json_object_set(spec, "strategy", (json_t *)user);
        return;
    }
    json_object_set_new(spec, "strategy",
                        json_pack("{s:s,s:{s:s,s:s}}", "type", "RollingUpdate", "rollingUpdate",
                                  "maxUnavailable", json_text(roll, "maxUnavailable", "25%"),
                                  "maxSurge", json_text(roll, "maxSurge", "25%")));
    json_object_set_new(spec, "revisionHistoryLimit", json_integer(10));
    json_object_set_new(spec, "progressDeadlineSeconds", json_integer(600));
}

static const char *autoscaler_class(const json_t *isvc)
{
    const char *c = json_string_value(json_object_get(json_at(isvc, "metadata.annotations"),
                                                      "serving.kserve.io/autoscalerClass"));

    return c ? c : "hpa";
}

json_t *isvc_deployment(const json_t *isvc, const struct isvc_runtime *rt, const json_t *config,
                        const json_t *own, struct err *err)
{
    json_t *pod = isvc_pod_spec(isvc, rt, err), *meta, *spec;
    AUTO_FREE char *name = isvc_component_name(isvc);

    if (!pod)
        return NULL;
    default_containers(pod, json_text(isvc, "metadata.name", ""));
    def(pod, "restartPolicy", json_string("Always"));
    def(pod, "terminationGracePeriodSeconds", json_integer(30));
    def(pod, "dnsPolicy", json_string("ClusterFirst"));
    def(pod, "securityContext", json_object());
    def(pod, "schedulerName", json_string("default-scheduler"));
    meta = metadata(isvc, rt->spec, config, NULL);
    spec = json_pack("{s:{s:{s:o}},s:{s:o,s:o}}", "selector", "matchLabels", "app",
                     json_fmt("isvc.%s", name), "template", "metadata", meta, "spec", pod);
    set_strategy(spec, isvc, config);
    if (strcmp(autoscaler_class(isvc), "none") == 0 && json_at(isvc, "spec.predictor.minReplicas"))
        json_object_set(spec, "replicas", json_at(isvc, "spec.predictor.minReplicas"));
    return object("apps/v1", "Deployment", metadata(isvc, rt->spec, config, own), spec);
}

json_t *isvc_service(const json_t *isvc, const struct isvc_runtime *rt, const json_t *config,
                     const json_t *own, const json_t *pod_spec)
{
    AUTO_FREE char *name = isvc_component_name(isvc);
    const json_t *main = json_array_get(json_object_get(pod_spec, "containers"), 0), *p;
    json_t *ports = json_array(), *spec;
    size_t i;

    json_array_foreach (json_object_get(main, "ports"), i, p) {
        int64_t number = json_int(p, "containerPort", 0);
        const char *port_name = json_text(p, "name", "");
        json_t *e = json_pack("{s:s,s:I,s:I,s:s}", "name", port_name, "port",
                              (json_int_t)(i == 0 ? 80 : number), "targetPort", (json_int_t)number,
                              "protocol", json_text(p, "protocol", "TCP"));

        if (!*port_name)
            json_object_del(e, "name");
        if (strstr(port_name, "grpc") || strstr(port_name, "h2c"))
            json_object_set_new(e, "appProtocol", json_string("kubernetes.io/h2c"));
        json_array_append_new(ports, e);
    }
    if (json_array_size(ports) == 0)
        json_array_append_new(ports,
                              json_pack("{s:s,s:i,s:i,s:s}", "name", name, "port", 80, "targetPort",
                                        json_at(isvc, "spec.predictor.logger") ||
                                                json_at(isvc, "spec.predictor.batcher")
                                            ? 9081
                                            : 8080,
                                        "protocol", "TCP"));
    spec = json_pack("{s:{s:o},s:o}", "selector", "app", json_fmt("isvc.%s", name), "ports", ports);
    if (json_bool(config, "service.serviceClusterIPNone", false))
        json_object_set_new(spec, "clusterIP", json_string("None"));
    return object("v1", "Service", metadata(isvc, rt->spec, config, own), spec);
}

/* --- autoscalers (3.4, 4.1, 4.2) --- */

static int64_t min_replicas(const json_t *isvc)
{
    return json_int(isvc, "spec.predictor.minReplicas", 1);
}

static int64_t max_replicas(const json_t *isvc, int64_t min)
{
    int64_t max = json_int(isvc, "spec.predictor.maxReplicas", 0);

    return max > min ? max : min;
}

/* A window: the user's, else the ConfigMap's text or number; -1: none. */
static int64_t window(const json_t *isvc, const json_t *config, const char *direction,
                      const char *key)
{
    AUTO_FREE char *path =
        mem_printf("spec.predictor.autoScaling.behavior.%s.stabilizationWindowSeconds", direction);
    const json_t *v = json_object_get(json_object_get(config, "autoscaler"), key);
    int64_t n;

    if (json_is_integer(json_at(isvc, path)))
        return json_int(isvc, path, 0);
    if (json_is_integer(v))
        return json_integer_value(v);
    return str_to_i64(json_strv(v), &n) ? n : -1;
}

static json_t *resource_trigger(const json_t *r)
{
    const json_t *target = json_object_get(r, "target");
    const char *name = json_text(r, "name", ""), *type = json_text(target, "type", ""),
               *value = "0";
    char number[24];

    if (strcmp(type, "Utilization") == 0) {
        snprintf(
            number, sizeof(number), "%lld",
            (long long)json_int(target, "averageUtilization", strcmp(name, "cpu") == 0 ? 80 : 0));
        value = number;
    } else if (strcmp(type, "AverageValue") == 0) {
        value = json_text(target, "averageValue", "0");
    } else if (strcmp(type, "Value") == 0) {
        value = json_text(target, "value", "0");
    }
    return json_pack("{s:s,s:{s:s},s:s}", "type", name, "metadata", "value", value, "metricType",
                     type);
}

static json_t *external_trigger(const json_t *e)
{
    const char *backend = json_text(e, "metric.backend", ""),
               *ns = json_text(e, "metric.namespace", "");
    const char *auth = json_text(e, "authenticationRef.authenticationRef.name", NULL);
    const char *modes = json_text(e, "authenticationRef.authModes", "");
    json_t *meta = json_pack(
        "{s:s,s:s,s:s}", "serverAddress", json_text(e, "metric.serverAddress", ""), "query",
        json_text(e, "metric.query", ""), "threshold", json_text(e, "target.value", "0"));
    json_t *t = json_pack("{s:s,s:o}", "type", backend, "metadata", meta);

    if (strcmp(backend, "prometheus") == 0 && *ns)
        json_object_set_new(meta, "namespace", json_string(ns));
    if (*modes)
        json_object_set_new(meta, "authModes", json_string(modes));
    if (auth)
        json_object_set_new(t, "authenticationRef", json_pack("{s:s}", "name", auth));
    return t;
}

static json_t *pod_trigger(const json_t *isvc, const json_t *m, const json_t *config)
{
    AUTO_FREE char *name = isvc_component_name(isvc);
    const char *over = json_text(m, "metric.operationOverTime", "");
    const char *address = json_text(m, "metric.serverAddress", "");
    json_t *meta;

    if (strcmp(json_text(m, "metric.backend", ""), "opentelemetry") != 0)
        return json_pack("{s:s,s:{}}", "type", "", "metadata");
    meta = json_pack(
        "{s:o,s:s,s:s}", "metricQuery",
        json_fmt("sum(%s{namespace=\"%s\", deployment=\"%s\"})", json_text(m, "metric.query", ""),
                 json_text(isvc, "metadata.namespace", ""), name),
        "targetValue", json_text(m, "target.value", "0"), "scalerAddress",
        *address ? address : json_text(config, "opentelemetryCollector.metricScalerEndpoint", ""));
    if (*over)
        json_object_set_new(meta, "operationOverTime", json_string(over));
    return json_pack("{s:s,s:o}", "type", "external", "metadata", meta);
}

json_t *isvc_scaled_object(const json_t *isvc, const struct isvc_runtime *rt, const json_t *config,
                           const json_t *own)
{
    AUTO_FREE char *name = isvc_component_name(isvc);
    int64_t min = min_replicas(isvc),
            up = window(isvc, config, "scaleUp", "scaleUpStabilizationWindowSeconds");
    int64_t down = window(isvc, config, "scaleDown", "scaleDownStabilizationWindowSeconds");
    json_t *triggers = json_array(), *spec, *behavior = json_object();
    const json_t *m;
    size_t i;

    json_array_foreach (json_at(isvc, "spec.predictor.autoScaling.metrics"), i, m) {
        const char *type = json_text(m, "type", "");

        if (strcmp(type, "Resource") == 0)
            json_array_append_new(triggers, resource_trigger(json_object_get(m, "resource")));
        else if (strcmp(type, "External") == 0)
            json_array_append_new(triggers, external_trigger(json_object_get(m, "external")));
        else
            json_array_append_new(triggers,
                                  pod_trigger(isvc, json_object_get(m, "podmetric"), config));
    }
    spec = json_pack("{s:{s:s},s:I,s:I}", "scaleTargetRef", "name", name, "minReplicaCount",
                     (json_int_t)min, "maxReplicaCount", (json_int_t)max_replicas(isvc, min));
    if (up >= 0)
        json_object_set_new(behavior, "scaleUp",
                            json_pack("{s:I}", "stabilizationWindowSeconds", (json_int_t)up));
    if (down >= 0)
        json_object_set_new(behavior, "scaleDown",
                            json_pack("{s:I}", "stabilizationWindowSeconds", (json_int_t)down));
    if (json_object_size(behavior))
        json_object_set_new(spec, "advanced",
                            json_pack("{s:{s:O},s:{}}", "horizontalPodAutoscalerConfig", "behavior",
                                      behavior, "scalingModifiers"));
    json_decref(behavior);
    json_object_set_new(spec, "triggers", triggers);
    return object("keda.sh/v1alpha1", "ScaledObject", metadata(isvc, rt->spec, config, own), spec);
}

static json_t *utilization_metric(const char *name, int64_t percent)
{
    return json_pack("{s:s,s:{s:s,s:{s:s,s:I}}}", "type", "Resource", "resource", "name", name,
                     "target", "type", "Utilization", "averageUtilization", (json_int_t)percent);
}

static json_t *hpa_metric(const json_t *r)
{
    const json_t *target = json_object_get(r, "target");
    const char *name = json_text(r, "name", "cpu"), *type = json_text(target, "type", "");

    if (strcmp(name, "cpu") == 0)
        return utilization_metric("cpu", json_int(target, "averageUtilization", 80));
    if (strcmp(type, "AverageValue") == 0)
        return json_pack("{s:s,s:{s:s,s:{s:s,s:s}}}", "type", "Resource", "resource", "name", name,
                         "target", "type", "AverageValue", "averageValue",
                         json_text(target, "averageValue", "0"));
    if (json_object_get(target, "averageUtilization"))
        return utilization_metric(name, json_int(target, "averageUtilization", 0));
    return json_pack("{s:s,s:{s:s,s:{s:s}}}", "type", "Resource", "resource", "name", name,
                     "target", "type", "Utilization");
}

json_t *isvc_hpa(const json_t *isvc, const struct isvc_runtime *rt, const json_t *config,
                 const json_t *own)
{
    AUTO_FREE char *name = isvc_component_name(isvc);
    int64_t min = min_replicas(isvc) > 1 ? min_replicas(isvc) : 1;
    const char *metric = json_text(isvc, "spec.predictor.scaleMetric", "cpu");
    const json_t *target = json_at(isvc, "spec.predictor.scaleTarget"), *m;
    json_t *metrics = json_array();
    size_t i;

    if (json_at(isvc, "spec.predictor.autoScaling")) {
        json_array_foreach (json_at(isvc, "spec.predictor.autoScaling.metrics"), i, m) {
            if (strcmp(json_text(m, "type", ""), "Resource") == 0)
                json_array_append_new(metrics, hpa_metric(json_object_get(m, "resource")));
        }
    } else if (strcmp(metric, "cpu") == 0) {
        json_array_append_new(metrics,
                              utilization_metric("cpu", target ? json_integer_value(target) : 80));
    } else if (target) {
        json_array_append_new(metrics, utilization_metric(metric, json_integer_value(target)));
    }
    return object(
        "autoscaling/v2", "HorizontalPodAutoscaler", metadata(isvc, rt->spec, config, own),
        json_pack("{s:{s:s,s:s,s:s},s:I,s:I,s:o,s:{}}", "scaleTargetRef", "apiVersion", "apps/v1",
                  "kind", "Deployment", "name", name, "minReplicas", (json_int_t)min, "maxReplicas",
                  (json_int_t)max_replicas(isvc, min), "metrics", metrics, "behavior"));
}

/* --- ingress (6.2, 6.3) --- */

static bool is_fqdn(const char *host)
{
    struct str rest = str_of(host), label;
    int labels = 0;

    if (rest.n > 253)
        return false;
    while (str_split(&rest, '.', &label)) {
        labels++;
        if (label.n == 0 || label.n > 63)
            return false;
    }
    return labels >= 2;
}

char *isvc_host(const json_t *isvc, const json_t *config, const char *name)
{
    const json_t *ingress = json_object_get(config, "ingress");
    struct str t = str_of(
        json_text(ingress, "domainTemplate", "{{ .Name }}-{{ .Namespace }}.{{ .IngressDomain }}"));
    struct buf out = BUF_INIT;

    for (;;) {
        ptrdiff_t open = str_find(t, STR("{{")), close;
        struct str key;

        if (open < 0)
            break;
        buf_add(&out, t.p, (size_t)open);
        t = str_skip(t, (size_t)open + 2);
        close = str_find(t, STR("}}"));
        if (close < 0)
            break;
        key = str_trim((struct str){t.p, (size_t)close});
        if (str_is(key, ".Name"))
            buf_add_cstr(&out, name);
        else if (str_is(key, ".Namespace"))
            buf_add_cstr(&out, json_text(isvc, "metadata.namespace", ""));
        else if (str_is(key, ".IngressDomain"))
            buf_add_cstr(&out, json_text(ingress, "ingressDomain", "example.com"));
        t = str_skip(t, (size_t)close + 2);
    }
    buf_add_str(&out, t);
    return buf_take(&out, NULL);
}

static json_t *ingress_rule(const char *host, const char *service)
{
    return json_pack("{s:s,s:{s:[{s:s,s:s,s:{s:{s:s,s:{s:i}}}}]}}", "host", host, "http", "paths",
                     "path", "/", "pathType", "Prefix", "backend", "service", "name", service,
                     "port", "number", 80);
}

json_t *isvc_ingress(const json_t *isvc, const json_t *config, const json_t *own, struct err *err)
{
    const char *name = json_text(isvc, "metadata.name", ""),
               *cls = json_text(config, "ingress.ingressClassName", NULL);
    AUTO_FREE char *component = isvc_component_name(isvc);
    AUTO_FREE char *top = isvc_host(isvc, config, name);
    AUTO_FREE char *host = isvc_host(isvc, config, component);
    json_t *spec;

    if (!is_fqdn(top) || !is_fqdn(host)) {
        err_set(err, ERR_INVALID,
                "invalid domain name '%s': a label may have 63 characters: shorten the names",
                host);
        return NULL;
    }
    spec = json_pack("{s:[o,o]}", "rules", ingress_rule(top, component),
                     ingress_rule(host, component));
    if (cls)
        json_object_set_new(spec, "ingressClassName", json_string(cls));
    json_t *meta = json_pack("{s:s,s:s,s:[O]}", "name", name, "namespace",
                             json_text(isvc, "metadata.namespace", ""), "ownerReferences", own);
    if (json_at(isvc, "metadata.annotations"))
        json_object_set(meta, "annotations", json_at(isvc, "metadata.annotations"));
    return object("networking.k8s.io/v1", "Ingress", meta, spec);
}
