/* SPDX-License-Identifier: Apache-2.0
 *
 * The admission webhooks of KEDA (keda.md 1.7) and KServe's of pods (kserve.md 2.3). */
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

#define SO_HOOK "admission webhook \"vscaledobject.kb.io\" denied the request: "

struct others {
    const json_t *so;
    struct denial *d;
    int result;
};

static const char *hpa_name(const json_t *so, struct buf *b)
{
    const char *given = json_text(so, "spec.advanced.horizontalPodAutoscalerConfig.name", "");

    if (*given)
        return given;
    buf_printf(b, "keda-hpa-%s", json_text(so, "metadata.name", ""));
    return buf_cstr(b);
}

static void compare_scaled_object(void *arg, const struct object *o)
{
    struct others *x = arg;
    struct buf a = BUF_INIT, b = BUF_INIT;
    const char *mine = json_text(x->so, "metadata.name", "");
    AUTO_JSON json_t *other = NULL;

    if (x->result < 0 || str_is(o->name, mine))
        return;
    other = object_tree(o);
    if (strcmp(json_text(other, "spec.scaleTargetRef.name", ""),
               json_text(x->so, "spec.scaleTargetRef.name", "?")) == 0 &&
        strcmp(json_text(other, "spec.scaleTargetRef.kind", "Deployment"),
               json_text(x->so, "spec.scaleTargetRef.kind", "Deployment")) == 0)
        x->result = webhook_deny(
            x->d, SO_HOOK "the workload '%s' is already managed by the ScaledObject '%.*s'",
            json_text(x->so, "spec.scaleTargetRef.name", ""), STR_ARG(o->name));
    else if (strcmp(hpa_name(other, &a), hpa_name(x->so, &b)) == 0)
        x->result =
            webhook_deny(x->d, SO_HOOK "the HPA '%s' is already managed by the ScaledObject '%.*s'",
                         hpa_name(x->so, &b), STR_ARG(o->name));
    buf_done(&a);
    buf_done(&b);
}

static void compare_hpa(void *arg, const struct object *o)
{
    struct others *x = arg;
    const char *mine = json_text(x->so, "metadata.name", "");
    const struct object_owner *owner = object_controller(o);
    AUTO_JSON json_t *hpa = NULL;

    if (x->result < 0 ||
        (owner && str_is(owner->kind, "ScaledObject") && str_is(owner->name, mine)))
        return;
    hpa = object_tree(o);
    if (strcmp(json_text(hpa, "spec.scaleTargetRef.name", ""),
               json_text(x->so, "spec.scaleTargetRef.name", "?")) == 0 &&
        strcmp(json_text(hpa, "spec.scaleTargetRef.kind", ""),
               json_text(x->so, "spec.scaleTargetRef.kind", "Deployment")) == 0 &&
        strcmp(json_text(json_at(x->so, "metadata.annotations"),
                         "scaledobject.keda.sh/transfer-hpa-ownership", ""),
               "true") != 0)
        x->result = webhook_deny(
            x->d,
            SO_HOOK "the workload '%s' of type 'apps/v1.Deployment' is already managed by "
                    "the hpa '%.*s'",
            json_text(x->so, "spec.scaleTargetRef.name", ""), STR_ARG(o->name));
}

static int check_triggers(const json_t *o, struct denial *d)
{
    const json_t *triggers = json_at(o, "spec.triggers"), *t;
    size_t i, resource = 0;

    json_array_foreach ((json_t *)triggers, i, t) {
        const char *name = json_text(t, "name", ""), *type = json_text(t, "type", "");
        bool is_resource = strcmp(type, "cpu") == 0 || strcmp(type, "memory") == 0;

        resource += is_resource;
        if (json_bool(t, "useCachedMetrics", false) && (is_resource || strcmp(type, "cron") == 0))
            return webhook_deny(
                d, SO_HOOK "property \"useCachedMetrics\" is not supported for %s scaler", type);
        for (size_t k = 0; *name && k < i; k++)
            if (strcmp(json_text(json_array_get(triggers, k), "name", ""), name) == 0)
                return webhook_deny(
                    d, SO_HOOK "triggerName %s is defined multiple times in the ScaledObject",
                    name);
    }
    if (resource == json_array_size(triggers) && json_int(o, "spec.minReplicaCount", 0) == 0)
        return webhook_deny(
            d,
            SO_HOOK "scaledobject has only cpu/memory triggers AND minReplica is 0 (scale to zero "
                    "doesn't work in this case)");
    return 0;
}

int webhook_scaledobject(struct cluster *c, const json_t *o, const json_t *was, struct denial *d)
{
    const char *name = json_text(o, "metadata.name", "");
    struct others x = {.so = o, .d = d};
    struct buf hpa = BUF_INIT;
    int64_t min = json_int(o, "spec.minReplicaCount", 0),
            idle = json_int(o, "spec.idleReplicaCount", -1);
    size_t hpa_n;
    int r;

    if (was && json_equal(json_at(was, "spec"), json_at(o, "spec")))
        return 0;
    if (idle >= 0 && idle >= min)
        return webhook_deny(d,
                            SO_HOOK "IdleReplicaCount=%lld must be less than MinReplicaCount=%lld",
                            (long long)idle, (long long)min);
    hpa_n = strlen(hpa_name(o, &hpa));
    buf_done(&hpa);
    if (strlen(name) > 63)
        return webhook_deny(
            d,
            SO_HOOK "the ScaledObject's name has %zu characters; as a label value it may have 63",
            strlen(name));
    if (hpa_n > 63)
        return webhook_deny(d,
                            SO_HOOK "the HPA's name would have %zu characters, 63 are allowed: set "
                                    "spec.advanced.horizontalPodAutoscalerConfig.name",
                            hpa_n);
    if ((r = check_triggers(o, d)) < 0)
        return r;
    if (c) {
        struct str ns = str_of(json_text(o, "metadata.namespace", ""));

        cluster_each(c, KIND_SCALEDOBJECT, ns, NULL, compare_scaled_object, &x);
        if (x.result == 0)
            cluster_each(c, KIND_HPA, ns, NULL, compare_hpa, &x);
    }
    return x.result;
}

/* --- pods --- */

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
