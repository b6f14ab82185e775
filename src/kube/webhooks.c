/* SPDX-License-Identifier: Apache-2.0
 *
 * How webhooks deny; and KServe's webhook of pods (kserve.md 2.3). */
#include <stdarg.h>

#include "base/mem.h"
#include "kube/rules.h"

int webhook_deny(struct denial *d, const char *fmt, ...)
{
    va_list ap;

    d->http = 403;
    d->reason = "Forbidden";
    va_start(ap, fmt);
    buf_vprintf(&d->message, fmt, ap);
    va_end(ap);
    return ERR_FORBIDDEN;
}

/* A flag of ConfigMap kserve/inferenceservice-config, key metricsAggregator. */
static const char *aggregator_flag(struct cluster *c, const char *field)
{
    const struct object *o =
        c ? cluster_get(c, KIND_CONFIGMAP, STR("kserve"), STR("inferenceservice-config")) : NULL;
    AUTO_JSON json_t *map = o ? object_tree(o) : NULL, *conf = NULL;

    if (map && json_parse(str_of(json_text(map, "data.metricsAggregator", "")), &conf, NULL) == 0 &&
        strcmp(json_text(conf, field, "false"), "true") == 0)
        return "true";
    return "false";
}

void mutate_pod(struct cluster *c, json_t *pod)
{
    json_t *meta = json_object_get(pod, "metadata"), *a;

    if (!json_object_get(json_object_get(meta, "labels"), "serving.kserve.io/inferenceservice"))
        return;
    a = json_object_get(meta, "annotations");
    if (!json_is_object(a)) {
        a = json_object();
        json_object_set_new(meta, "annotations", a);
    }
    if (!json_object_get(a, "serving.kserve.io/enable-metric-aggregation"))
        json_object_set_new(a, "serving.kserve.io/enable-metric-aggregation",
                            json_string(aggregator_flag(c, "enableMetricAggregation")));
    if (!json_object_get(a, "serving.kserve.io/enable-prometheus-scraping"))
        json_object_set_new(a, "serving.kserve.io/enable-prometheus-scraping",
                            json_string(aggregator_flag(c, "enablePrometheusScraping")));
    /* the original overwrites prometheus.io/port with 9091, where nothing listens:
     * docs/differences.md */
}
