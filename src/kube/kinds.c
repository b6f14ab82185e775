/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/kind.h"

#include <stdio.h>

#include "base/mem.h"
#include "kube/collector.h"
#include "kube/columns.h"
#include "kube/defaults.h"
#include "kube/rules.h"

static const struct kind_alias hpa_aliases[] = {
    {.version = "v1", .from_stored = hpa_to_v1, .to_stored = hpa_from_v1},
    {.version = "v2beta2"},
    {0},
};

static const struct kind_alias collector_aliases[] = {
    {.version = "v1alpha1",
     .from_stored = collector_to_v1alpha1,
     .to_stored = collector_from_v1alpha1},
    {0},
};

static const struct kind kinds[KIND_COUNT] = {
    [KIND_NAMESPACE] = {.version = "v1",
                        .kind = "Namespace",
                        .plural = "namespaces",
                        .short_names = {"ns"},
                        .has_status = true,
                        .name_is_label = true,
                        .columns = namespace_columns,
                        .defaults = default_namespace},
    [KIND_NODE] = {.version = "v1",
                   .kind = "Node",
                   .plural = "nodes",
                   .short_names = {"no"},
                   .has_status = true,
                   .columns = node_columns},
    [KIND_POD] = {.version = "v1",
                  .kind = "Pod",
                  .plural = "pods",
                  .short_names = {"po"},
                  .namespaced = true,
                  .in_all = true,
                  .has_status = true,
                  .has_generation = true,
                  .columns = pod_columns,
                  .defaults = default_pod,
                  .validate = validate_pod},
    [KIND_SERVICE] = {.version = "v1",
                      .kind = "Service",
                      .plural = "services",
                      .short_names = {"svc"},
                      .namespaced = true,
                      .in_all = true,
                      .has_status = true,
                      .name_is_label = true,
                      .columns = service_columns,
                      .defaults = default_service,
                      .validate = validate_service},
    [KIND_ENDPOINTS] = {.version = "v1",
                        .kind = "Endpoints",
                        .plural = "endpoints",
                        .short_names = {"ep"},
                        .singular = "endpoints",
                        .namespaced = true,
                        .columns = endpoints_columns},
    [KIND_SECRET] = {.version = "v1",
                     .kind = "Secret",
                     .plural = "secrets",
                     .namespaced = true,
                     .columns = secret_columns,
                     .defaults = default_secret},
    [KIND_CONFIGMAP] = {.version = "v1",
                        .kind = "ConfigMap",
                        .plural = "configmaps",
                        .short_names = {"cm"},
                        .namespaced = true,
                        .columns = configmap_columns},
    [KIND_EVENT] = {.version = "v1",
                    .kind = "Event",
                    .plural = "events",
                    .short_names = {"ev"},
                    .namespaced = true,
                    .columns = event_columns},
    [KIND_SERVICEACCOUNT] = {.version = "v1",
                             .kind = "ServiceAccount",
                             .plural = "serviceaccounts",
                             .short_names = {"sa"},
                             .namespaced = true,
                             .columns = serviceaccount_columns},
    [KIND_LIMITRANGE] = {.version = "v1",
                         .kind = "LimitRange",
                         .plural = "limitranges",
                         .short_names = {"limits"},
                         .namespaced = true,
                         .columns = limitrange_columns,
                         .defaults = default_limitrange,
                         .validate = validate_limitrange},
    [KIND_DEPLOYMENT] = {.group = "apps",
                         .version = "v1",
                         .kind = "Deployment",
                         .plural = "deployments",
                         .short_names = {"deploy"},
                         .namespaced = true,
                         .in_all = true,
                         .has_status = true,
                         .has_generation = true,
                         .scale_spec = "spec.replicas",
                         .scale_status = "status.replicas",
                         .scale_selector = "spec.selector",
                         .columns = deployment_columns,
                         .defaults = default_deployment,
                         .validate = validate_workload},
    [KIND_REPLICASET] = {.group = "apps",
                         .version = "v1",
                         .kind = "ReplicaSet",
                         .plural = "replicasets",
                         .short_names = {"rs"},
                         .namespaced = true,
                         .in_all = true,
                         .has_status = true,
                         .has_generation = true,
                         .scale_spec = "spec.replicas",
                         .scale_status = "status.replicas",
                         .scale_selector = "spec.selector",
                         .columns = replicaset_columns,
                         .defaults = default_replicaset,
                         .validate = validate_workload},
    [KIND_STATEFULSET] = {.group = "apps",
                          .version = "v1",
                          .kind = "StatefulSet",
                          .plural = "statefulsets",
                          .short_names = {"sts"},
                          .namespaced = true,
                          .in_all = true,
                          .has_status = true,
                          .has_generation = true,
                          .scale_spec = "spec.replicas",
                          .scale_status = "status.replicas",
                          .scale_selector = "spec.selector",
                          .columns = statefulset_columns,
                          .defaults = default_statefulset,
                          .validate = validate_statefulset},
    [KIND_CONTROLLERREVISION] = {.group = "apps",
                                 .version = "v1",
                                 .kind = "ControllerRevision",
                                 .plural = "controllerrevisions",
                                 .namespaced = true,
                                 .columns = controllerrevision_columns,
                                 .validate = validate_controllerrevision},
    [KIND_HPA] = {.group = "autoscaling",
                  .version = "v2",
                  .kind = "HorizontalPodAutoscaler",
                  .plural = "horizontalpodautoscalers",
                  .short_names = {"hpa"},
                  .namespaced = true,
                  .in_all = true,
                  .has_status = true,
                  .has_generation = true,
                  .columns = hpa_columns,
                  .defaults = default_hpa,
                  .validate = validate_hpa,
                  .aliases = hpa_aliases},
    [KIND_INGRESS] = {.group = "networking.k8s.io",
                      .version = "v1",
                      .kind = "Ingress",
                      .plural = "ingresses",
                      .singular = "ingress",
                      .short_names = {"ing"},
                      .namespaced = true,
                      .has_status = true,
                      .has_generation = true,
                      .columns = ingress_columns},
    [KIND_LEASE] = {.group = "coordination.k8s.io",
                    .version = "v1",
                    .kind = "Lease",
                    .plural = "leases",
                    .namespaced = true,
                    .columns = lease_columns},
    [KIND_ENDPOINTSLICE] = {.group = "discovery.k8s.io",
                            .version = "v1",
                            .kind = "EndpointSlice",
                            .plural = "endpointslices",
                            .namespaced = true,
                            .columns = endpointslice_columns},
    [KIND_CRD] = {.group = "apiextensions.k8s.io",
                  .version = "v1",
                  .kind = "CustomResourceDefinition",
                  .plural = "customresourcedefinitions",
                  .short_names = {"crd", "crds"},
                  .has_status = true,
                  .has_generation = true,
                  .columns = crd_columns},
    [KIND_INFERENCESERVICE] = {.group = "serving.kserve.io",
                               .version = "v1beta1",
                               .kind = "InferenceService",
                               .plural = "inferenceservices",
                               .short_names = {"isvc"},
                               .namespaced = true,
                               .is_custom = true,
                               .has_status = true,
                               .has_generation = true,
                               .columns = inferenceservice_columns,
                               .defaults = default_inferenceservice},
    [KIND_SERVINGRUNTIME] = {.group = "serving.kserve.io",
                             .version = "v1alpha1",
                             .kind = "ServingRuntime",
                             .plural = "servingruntimes",
                             .namespaced = true,
                             .is_custom = true,
                             .has_status = true,
                             .has_generation = true,
                             .columns = runtime_columns},
    [KIND_CLUSTERSERVINGRUNTIME] = {.group = "serving.kserve.io",
                                    .version = "v1alpha1",
                                    .kind = "ClusterServingRuntime",
                                    .plural = "clusterservingruntimes",
                                    .is_custom = true,
                                    .has_status = true,
                                    .has_generation = true,
                                    .columns = runtime_columns},
    [KIND_SCALEDOBJECT] = {.group = "keda.sh",
                           .version = "v1alpha1",
                           .kind = "ScaledObject",
                           .plural = "scaledobjects",
                           .short_names = {"so"},
                           .namespaced = true,
                           .is_custom = true,
                           .has_status = true,
                           .has_generation = true,
                           .columns = scaledobject_columns,
                           .validate = validate_scaledobject},
    [KIND_TRIGGERAUTHENTICATION] = {.group = "keda.sh",
                                    .version = "v1alpha1",
                                    .kind = "TriggerAuthentication",
                                    .plural = "triggerauthentications",
                                    .short_names = {"ta", "triggerauth"},
                                    .namespaced = true,
                                    .is_custom = true,
                                    .has_status = true,
                                    .has_generation = true,
                                    .columns = triggerauth_columns},
    [KIND_CLUSTERTRIGGERAUTHENTICATION] = {.group = "keda.sh",
                                           .version = "v1alpha1",
                                           .kind = "ClusterTriggerAuthentication",
                                           .plural = "clustertriggerauthentications",
                                           .short_names = {"cta", "clustertriggerauth"},
                                           .is_custom = true,
                                           .has_status = true,
                                           .has_generation = true,
                                           .columns = clustertriggerauth_columns},
    [KIND_OTELCOLLECTOR] = {.group = "opentelemetry.io",
                            .version = "v1beta1",
                            .kind = "OpenTelemetryCollector",
                            .plural = "opentelemetrycollectors",
                            .short_names = {"otelcol", "otelcols"},
                            .namespaced = true,
                            .is_custom = true,
                            .has_status = true,
                            .has_generation = true,
                            .scale_spec = "spec.replicas",
                            .scale_status = "status.scale.replicas",
                            .scale_selector = "status.scale.selector",
                            .columns = collector_columns,
                            .defaults = default_collector,
                            .validate = validate_collector,
                            .aliases = collector_aliases},
};

/* The rows above leave out what is empty or regular; this copy has it filled in. */
static struct kind filled[KIND_COUNT];
static char singulars[KIND_COUNT][48];

const struct kind *kind_of(enum kind_id id)
{
    struct kind *k = &filled[id];

    if (k->kind)
        return k;
    for (int i = 0; i < KIND_COUNT; i++) {
        struct kind *f = &filled[i];
        size_t n = 0;

        *f = kinds[i];
        f->id = (enum kind_id)i;
        if (!f->group)
            f->group = "";
        for (; f->kind[n]; n++)
            singulars[i][n] = (char)(f->kind[n] | 0x20);
        f->singular = singulars[i];
    }
    return k;
}

void kind_set_columns(enum kind_id id, const struct column *columns)
{
    kind_of(id);
    filled[id].columns = columns;
}

static const struct kind_alias *find_alias(const struct kind *k, struct str version)
{
    for (const struct kind_alias *a = k->aliases; a && a->version; a++)
        if (str_is(version, a->version))
            return a;
    return NULL;
}

static const struct kind *match(const struct kind *k, struct str group, struct str version,
                                const struct kind_alias **ret_alias)
{
    const struct kind_alias *a = NULL;

    if (!str_is(group, k->group))
        return NULL;
    if (!str_is(version, k->version)) {
        a = find_alias(k, version);
        if (!a)
            return NULL;
    }
    if (ret_alias)
        *ret_alias = a;
    return k;
}

const struct kind *kind_by_path(struct str group, struct str version, struct str plural,
                                const struct kind_alias **ret_alias)
{
    for (int i = 0; i < KIND_COUNT; i++) {
        const struct kind *k = kind_of((enum kind_id)i);

        if (str_is(plural, k->plural) && match(k, group, version, ret_alias))
            return k;
    }
    return NULL;
}

const struct kind *kind_by_type(struct str api_version, struct str kind,
                                const struct kind_alias **ret_alias)
{
    ptrdiff_t slash = str_chr(api_version, '/');
    struct str group = slash < 0 ? STR("") : (struct str){api_version.p, (size_t)slash};
    struct str version = slash < 0 ? api_version : str_skip(api_version, (size_t)slash + 1);

    for (int i = 0; i < KIND_COUNT; i++) {
        const struct kind *k = kind_of((enum kind_id)i);

        if (str_is(kind, k->kind) && match(k, group, version, ret_alias))
            return k;
    }
    return NULL;
}

const char *kind_api_version(const struct kind *k, char out[96])
{
    snprintf(out, 96, "%s%s%s", k->group, k->group[0] ? "/" : "", k->version);
    return out;
}

const char *kind_resource(const struct kind *k, char out[128])
{
    snprintf(out, 128, "%s%s%s", k->plural, k->group[0] ? "." : "", k->group);
    return out;
}

const char *kind_qualified(const struct kind *k, char out[128])
{
    snprintf(out, 128, "%s%s%s", k->kind, k->group[0] ? "." : "", k->group);
    return out;
}
