/* SPDX-License-Identifier: Apache-2.0
 *
 * The ConfigMap that shapes everything (kserve.md 4.6), and what the first start creates. */
#include "base/mem.h"
#include "controllers/isvc.h"

/* Shipped values. Different from the original, on purpose: scrapeInterval (5s there) and
 * defaultDeploymentMode (Serverless there, which needs Knative). */
static const struct {
    const char *key, *json;
} shipped[] = {
    {"ingress",
     "{\"enableGatewayApi\":false,\"kserveIngressGateway\":\"kserve/kserve-ingress-gateway\","
     "\"ingressGateway\":\"knative-serving/"
     "knative-ingress-gateway\",\"ingressDomain\":\"example.com\","
     "\"ingressClassName\":\"istio\","
     "\"domainTemplate\":\"{{ .Name }}-{{ .Namespace }}.{{ .IngressDomain "
     "}}\",\"urlScheme\":\"http\","
     "\"disableIngressCreation\":false,\"disableHTTPRouteTimeout\":false}"},
    {"deploy", "{\"defaultDeploymentMode\":\"Standard\"}"},
    {"metricsAggregator",
     "{\"enableMetricAggregation\":\"false\",\"enablePrometheusScraping\":\"false\"}"},
    {"autoscaler", "{\"scaleUpStabilizationWindowSeconds\":\"0\","
                   "\"scaleDownStabilizationWindowSeconds\":\"300\"}"},
    {"opentelemetryCollector",
     "{\"scrapeInterval\":\"100ms\",\"metricReceiverEndpoint\":\"keda-otel-scaler.keda.svc:4317\","
     "\"metricScalerEndpoint\":\"keda-otel-scaler.keda.svc:4318\",\"resource\":{\"cpuLimit\":\"1\","
     "\"memoryLimit\":\"2Gi\",\"cpuRequest\":\"200m\",\"memoryRequest\":\"512Mi\"}}"},
    {"inferenceService",
     "{\"resource\":{\"cpuLimit\":\"1\",\"memoryLimit\":\"2Gi\",\"cpuRequest\":\"1\","
     "\"memoryRequest\":\"2Gi\"}}"},
    {"security", "{\"autoMountServiceAccountToken\":true}"},
};

static void check_mode(const json_t *config, struct err *err)
{
    static const char *const modes[] = {"Standard", "RawDeployment", "Knative", "Serverless",
                                        "ModelMesh"};
    const char *mode = json_text(config, "deploy.defaultDeploymentMode", "Standard");

    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (strcmp(mode, modes[i]) == 0)
            return;
    err_set(err, ERR_INVALID,
            "ConfigMap kserve/inferenceservice-config, key deploy: '%s' is not a deployment mode; "
            "use Standard",
            mode);
}

json_t *isvc_config(struct cluster *c, struct err *err)
{
    const struct object *o =
        cluster_get(c, KIND_CONFIGMAP, STR("kserve"), STR("inferenceservice-config"));
    AUTO_JSON json_t *map = o ? object_tree(o) : NULL;
    json_t *out = json_object(), *v;
    const char *key;

    json_object_foreach (json_at(map, "data"), key, v) {
        struct err bad = ERR_INIT;
        json_t *parsed = NULL;

        if (*key == '_') /* KServe's own documentation stands under _example */
            continue;
        if (json_parse(json_strv(v), &parsed, &bad) == 0)
            json_object_set_new(out, key, parsed);
        else
            err_set(err, ERR_INVALID, "ConfigMap kserve/inferenceservice-config, key %s: %s", key,
                    bad.msg);
    }
    if (!o)
        for (size_t i = 0; i < ARRAY_LEN(shipped); i++)
            json_object_set_new(out, shipped[i].key, json_loads(shipped[i].json, 0, NULL));
    check_mode(out, err);
    return out;
}

static const char *const runtimes[] = {
    "{\"apiVersion\":\"serving.kserve.io/"
    "v1alpha1\",\"kind\":\"ClusterServingRuntime\",\"metadata\":{"
    "\"name\":\"kserve-huggingfaceserver\",\"annotations\":{"
    "\"serving.kserve.io/server-type\":\"huggingfaceserver\"}},\"spec\":{\"annotations\":{"
    "\"prometheus.kserve.io/port\":\"8080\",\"prometheus.kserve.io/path\":\"/metrics\"},"
    "\"supportedModelFormats\":[{\"name\":\"huggingface\",\"version\":\"1\",\"autoSelect\":true,"
    "\"priority\":1}],"
    "\"protocolVersions\":[\"v2\",\"v1\"],\"containers\":[{\"name\":\"kserve-container\","
    "\"image\":\"kserve/huggingfaceserver:latest\",\"args\":[\"--model_name={{.Name}}\"],"
    "\"env\":[{\"name\":\"LMCACHE_USE_EXPERIMENTAL\",\"value\":\"True\"}],\"securityContext\":{"
    "\"allowPrivilegeEscalation\":false,\"privileged\":false,\"runAsNonRoot\":true,"
    "\"capabilities\":{"
    "\"drop\":[\"ALL\"]}},\"resources\":{\"requests\":{\"cpu\":\"1\",\"memory\":\"2Gi\"},"
    "\"limits\":{"
    "\"cpu\":\"1\",\"memory\":\"2Gi\"}},\"volumeMounts\":[{\"name\":\"devshm\",\"mountPath\":\"/"
    "dev/shm\"}]}],"
    "\"volumes\":[{\"name\":\"devshm\",\"emptyDir\":{\"medium\":\"Memory\"}}],\"hostIPC\":false}}",
    "{\"apiVersion\":\"serving.kserve.io/"
    "v1alpha1\",\"kind\":\"ClusterServingRuntime\",\"metadata\":{"
    "\"name\":\"kserve-vllmserver\",\"annotations\":{\"serving.kserve.io/"
    "server-type\":\"vllmserver\"}},"
    "\"spec\":{\"annotations\":{\"prometheus.kserve.io/port\":\"8080\",\"prometheus.kserve.io/"
    "path\":\"/metrics\"},"
    "\"supportedModelFormats\":[{\"name\":\"vLLM\",\"version\":\"1\",\"autoSelect\":true,"
    "\"priority\":1}],"
    "\"containers\":[{\"name\":\"kserve-container\",\"image\":\"vllm/vllm-openai:latest\","
    "\"args\":[\"--port=8080\",\"--served-model-name={{.Name}}\",\"--model=/mnt/models\"],"
    "\"env\":[{\"name\":\"LMCACHE_USE_EXPERIMENTAL\",\"value\":\"True\"},"
    "{\"name\":\"VLLM_WORKER_MULTIPROC_METHOD\",\"value\":\"spawn\"}],\"securityContext\":{"
    "\"allowPrivilegeEscalation\":false,\"privileged\":false,\"capabilities\":{\"drop\":[\"ALL\"]}}"
    ","
    "\"resources\":{\"requests\":{\"cpu\":\"1\",\"memory\":\"2Gi\"},\"limits\":{\"cpu\":\"1\","
    "\"memory\":\"2Gi\"}},"
    "\"readinessProbe\":{\"httpGet\":{\"path\":\"/v1/models\",\"port\":8080},\"periodSeconds\":10,"
    "\"timeoutSeconds\":5,\"failureThreshold\":3},"
    "\"volumeMounts\":[{\"name\":\"devshm\",\"mountPath\":\"/dev/shm\"}]}],"
    "\"volumes\":[{\"name\":\"devshm\",\"emptyDir\":{\"medium\":\"Memory\"}}],\"hostIPC\":false}}",
};

/* An object that is there already is the user's: left as it is. */
static void ignore_exists(void *arg, const struct object *now, const struct err *err)
{
    (void)arg;
    (void)now;
    (void)err;
}

static void create(struct cluster *c, enum kind_id kind, json_t *tree)
{
    cluster_write(c,
                  &(struct cluster_write){.verb = CLUSTER_CREATE,
                                          .kind = kind,
                                          .tree = tree,
                                          .ns = str_of(json_text(tree, "metadata.namespace", "")),
                                          .manager = "flyball"},
                  ignore_exists, NULL);
    json_decref(tree);
}

/* --- what the first start creates --- */

#define TOLD "flyball.dev/endpoints" /* the addresses that we wrote last */

static json_t *with_endpoints(const char *text, const struct isvc_endpoints *e)
{
    json_t *conf = json_loads(text, 0, NULL);

    if (!json_is_object(conf)) {
        json_decref(conf);
        return NULL;
    }
    json_object_set_new(conf, "metricReceiverEndpoint", json_string(e->receiver));
    json_object_set_new(conf, "metricScalerEndpoint", json_string(e->scaler));
    return conf;
}

static json_t *as_text(const json_t *v)
{
    struct buf text = BUF_INIT;
    json_t *out;

    json_write(&text, v);
    out = json_str_new(buf_str(&text));
    buf_done(&text);
    return out;
}

/* The ports may be others than at the last start: the map follows, unless the user changed what it
 * says. */
static void follow(struct cluster *c, const struct object *o, const struct isvc_endpoints *e)
{
    AUTO_JSON json_t *map = object_tree(o), *conf = NULL, *now = NULL, *patch = NULL;
    AUTO_FREE char *told = mem_printf("%s %s", e->receiver, e->scaler), *is = NULL;
    const char *was =
        json_string_value(json_object_get(json_at(map, "metadata.annotations"), TOLD));
    const char *text = json_text(map, "data.opentelemetryCollector", "");

    conf = json_loads(text, 0, NULL);
    is = mem_printf("%s %s", json_text(conf, "metricReceiverEndpoint", ""),
                    json_text(conf, "metricScalerEndpoint", ""));
    if (!was || strcmp(was, is) != 0 || strcmp(was, told) == 0)
        return;
    now = with_endpoints(text, e);
    patch = json_pack("{s:{s:{s:s}},s:{s:o}}", "metadata", "annotations", TOLD, told, "data",
                      "opentelemetryCollector", as_text(now));
    cluster_write(c,
                  &(struct cluster_write){.verb = CLUSTER_MERGE_PATCH,
                                          .kind = KIND_CONFIGMAP,
                                          .ns = o->ns,
                                          .name = o->name,
                                          .tree = patch,
                                          .manager = "flyball"},
                  NULL, NULL);
}

static void create_map(struct cluster *c, const struct isvc_endpoints *e)
{
    json_t *map =
        json_pack("{s:s,s:s,s:{s:s,s:s},s:{}}", "apiVersion", "v1", "kind", "ConfigMap", "metadata",
                  "name", "inferenceservice-config", "namespace", "kserve", "data");

    for (size_t i = 0; i < ARRAY_LEN(shipped); i++) {
        AUTO_JSON json_t *told = NULL;

        if (e && strcmp(shipped[i].key, "opentelemetryCollector") == 0)
            told = with_endpoints(shipped[i].json, e);
        json_object_set_new(json_object_get(map, "data"), shipped[i].key,
                            told ? as_text(told) : json_string(shipped[i].json));
    }
    if (e)
        json_object_set_new(json_object_get(map, "metadata"), "annotations",
                            json_pack("{s:o}", TOLD, json_fmt("%s %s", e->receiver, e->scaler)));
    create(c, KIND_CONFIGMAP, map);
}

void isvc_bootstrap(struct cluster *c, const struct isvc_endpoints *e)
{
    const struct object *map =
        cluster_get(c, KIND_CONFIGMAP, STR("kserve"), STR("inferenceservice-config"));

    if (!map)
        create_map(c, e);
    else if (e)
        follow(c, map, e);
    for (size_t i = 0; i < ARRAY_LEN(runtimes); i++)
        create(c, KIND_CLUSTERSERVINGRUNTIME, json_loads(runtimes[i], 0, NULL));
}
