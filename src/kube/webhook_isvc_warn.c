/* SPDX-License-Identifier: Apache-2.0
 *
 * Warnings: KServe lets these pass, and the user finds out later. One line each; at most a few are
 * shown by clients, so the gravest come first. */
#include <stdarg.h>

#include "base/mem.h"
#include "kube/collector.h"
#include "kube/webhook_isvc_int.h"

__attribute__((format(printf, 2, 3))) static void warn(struct denial *d, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&d->warnings, fmt, ap);
    va_end(ap);
    buf_add_char(&d->warnings, '\n');
}

static void warn_unused(const json_t *o, struct denial *d)
{
    static const char *const paths[] = {"spec.transformer",
                                        "spec.explainer",
                                        "spec.canary",
                                        "spec.predictor.workerSpec",
                                        "spec.predictor.logger",
                                        "spec.predictor.batcher",
                                        "spec.predictor.storageUris",
                                        "spec.predictor.model.storageUri"};

    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        if (json_at(o, paths[i]))
            warn(d, "%s is stored, but this version of flyball does nothing with it", paths[i]);
}

static bool is_bare_name(const char *query)
{
    for (const char *p = query; *p; p++)
        if (!strchr("_:.", *p) && !((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z') &&
            !(*p >= '0' && *p <= '9'))
            return false;
    return true;
}

static void warn_pod_metric(const json_t *o, const json_t *m, struct denial *d)
{
    const char *query = json_text(m, "metric.query", "");
    const char *inject = json_string_value(
        json_object_get(json_at(o, "metadata.annotations"), COLLECTOR_INJECT_ANNOTATION));
    const char *extra = json_text(o, "spec.predictor.name", "");

    if (!is_bare_name(query))
        warn(d,
             "podmetric.metric.query \"%s\" is wrapped as sum(%s{...}): only the bare name of a "
             "metric works there",
             query, query);
    if (json_array_size(json_at(m, "metric.metricNames")) == 0)
        warn(d,
             "podmetric.metric.metricNames is empty: no collector is made, so somebody else has "
             "to push %s",
             query);
    else if (!inject)
        warn(d,
             "the pods get no collector: add the annotation " COLLECTOR_INJECT_ANNOTATION
             ": \"%s%s%s-predictor\"",
             json_text(o, "metadata.name", ""), *extra ? "-" : "", extra);
}

static void warn_metrics(const json_t *o, const char *cls, struct denial *d)
{
    const json_t *list = json_at(o, "spec.predictor.autoScaling.metrics"), *m;
    bool keda = cls && strcmp(cls, "keda") == 0, hpa = !cls || strcmp(cls, "hpa") == 0;
    size_t i, resources = 0;

    json_array_foreach ((json_t *)list, i, m) {
        const char *type = json_text(m, "type", "");

        resources += strcmp(type, "Resource") == 0;
        if (hpa && strcmp(type, "Resource") != 0)
            warn(d,
                 "autoScaling.metrics[%zu] of type %s is skipped by the autoscaler class hpa: set "
                 "the annotation serving.kserve.io/autoscalerClass to keda",
                 i, type);
        if (keda && strcmp(type, "External") == 0 &&
            !*json_text(m, "external.metric.serverAddress", ""))
            warn(d,
                 "autoScaling.metrics[%zu].external.metric.serverAddress is empty: KEDA refuses "
                 "such a trigger",
                 i);
        if (keda && strcmp(type, "PodMetric") == 0)
            warn_pod_metric(o, json_object_get(m, "podmetric"), d);
    }
    if (keda && json_array_size(list) == 0)
        warn(d, "the autoscaler class is keda, but spec.predictor.autoScaling has no metrics: KEDA "
                "refuses a ScaledObject without triggers");
    else if (keda && resources == json_array_size(list) &&
             json_int(o, "spec.predictor.minReplicas", 1) == 0)
        warn(d, "minReplicas is 0, but cpu and memory alone cannot wake a workload: KEDA refuses "
                "such a ScaledObject");
}

void isvc_warn(const json_t *o, const char *cls, struct denial *d)
{
    warn_metrics(o, cls, d);
    warn_unused(o, d);
}
