/* SPDX-License-Identifier: Apache-2.0
 *
 * The OpenTelemetryCollector of a predictor (kserve.md 4.5), and what the pods need for it. */
#include "base/mem.h"
#include "controllers/isvc.h"
#include "kube/collector.h"

/* All names of all such metrics in their order, duplicates kept. */
static json_t *metric_names(const json_t *isvc)
{
    const json_t *m;
    json_t *out = json_array();
    size_t i;

    json_array_foreach (json_at(isvc, "spec.predictor.autoScaling.metrics"), i, m) {
        const json_t *metric = json_at(m, "podmetric.metric");

        if (strcmp(json_text(m, "type", ""), "PodMetric") == 0 &&
            strcmp(json_text(metric, "backend", ""), "opentelemetry") == 0)
            json_array_extend(out, json_object_get(metric, "metricNames"));
    }
    return out;
}

static void put_quantity(json_t *resources, const char *list, const char *name, const json_t *conf,
                         const char *key)
{
    const char *v = json_text(conf, key, "");
    AUTO_FREE char *path = mem_printf("%s.%s", list, name);

    if (*v)
        json_put(resources, path, json_string(v));
}

static json_t *resources(const json_t *conf)
{
    const json_t *r = json_object_get(conf, "resource");
    json_t *out = json_object();

    put_quantity(out, "requests", "cpu", r, "cpuRequest");
    put_quantity(out, "requests", "memory", r, "memoryRequest");
    put_quantity(out, "limits", "cpu", r, "cpuLimit");
    put_quantity(out, "limits", "memory", r, "memoryLimit");
    return out;
}

static json_t *receivers(const char *interval, const char *port)
{
    return json_pack("{s:{s:{s:[{s:s,s:s,s:[{s:[o]}]}]}}}", "prometheus", "config",
                     "scrape_configs", "job_name", "otel-collector", "scrape_interval", interval,
                     "static_configs", "targets", json_fmt("localhost:%s", port));
}

/* Points carry who they are about: the scaler's query matches on these. */
static json_t *processors(json_t *names)
{
    static const char *const attributes[][2] = {{"namespace", "k8s.namespace.name"},
                                                {"deployment", "k8s.deployment.name"},
                                                {"pod", "k8s.pod.name"}};
    json_t *statements = json_array();

    for (size_t i = 0; i < ARRAY_LEN(attributes); i++)
        json_array_append_new(statements,
                              json_fmt("set(attributes[\"%s\"], resource.attributes[\"%s\"])",
                                       attributes[i][0], attributes[i][1]));
    return json_pack("{s:{s:[s],s:s,s:b},s:{s:[{s:s,s:o}]},s:{s:{s:{s:s,s:o}}}}",
                     "resourcedetection/env", "detectors", "env", "timeout", "2s", "override", 0,
                     "transform", "metric_statements", "context", "datapoint", "statements",
                     statements, "filter/metrics", "metrics", "include", "match_type", "strict",
                     "metric_names", names);
}

json_t *isvc_collector(const json_t *isvc, const struct isvc_runtime *rt, const json_t *config,
                       const json_t *own)
{
    const json_t *conf = json_object_get(config, "opentelemetryCollector");
    json_t *names = metric_names(isvc), *annotations, *spec;
    AUTO_FREE char *name = isvc_component_name(isvc);
    const char *port;

    if (json_array_size(names) == 0) {
        json_decref(names);
        return NULL;
    }
    annotations = isvc_annotations(isvc, rt->spec, config);
    port = json_string_value(json_object_get(annotations, "prometheus.kserve.io/port"));
    spec = json_pack(
        "{s:s,s:o,s:{s:o,s:o,s:{s:{s:s,s:s,s:{s:b}}},s:{s:{s:{s:[s],s:[s,s,s],s:[s]}}}}}", "mode",
        "sidecar", "resources", resources(conf), "config", "receivers",
        receivers(json_text(conf, "scrapeInterval", ""), port ? port : "8080"), "processors",
        processors(names), "exporters", "otlp", "endpoint",
        json_text(conf, "metricReceiverEndpoint", ""), "compression", "none", "tls", "insecure", 1,
        "service", "pipelines", "metrics", "receivers", "prometheus", "processors",
        "resourcedetection/env", "transform", "filter/metrics", "exporters", "otlp");
    return json_pack("{s:s,s:s,s:{s:s,s:s,s:o,s:[O]},s:o}", "apiVersion",
                     "opentelemetry.io/v1beta1", "kind", "OpenTelemetryCollector", "metadata",
                     "name", name, "namespace", json_text(isvc, "metadata.namespace", ""),
                     "annotations", annotations, "ownerReferences", own, "spec", spec);
}
