/* SPDX-License-Identifier: Apache-2.0
 *
 * InferenceService, Standard mode (kserve.md): one file a step. Pure functions build what should
 * be; isvc_controller.c writes it. */
#ifndef FB_CONTROLLERS_ISVC_H
#define FB_CONTROLLERS_ISVC_H

#include "controllers/child.h"

/* ConfigMap kserve/inferenceservice-config, one member a key, values parsed. Never NULL: defaults
 * of the original where the map or a key is missing. For json_decref. A value that is no JSON, or a
 * mode that there is not, is left out, and err (may be NULL) names the key. */
json_t *isvc_config(struct cluster *c, struct err *err);
/* What `flyball up` creates at the first start: the ConfigMap and the built-in runtimes. Pods are
 * told literal addresses, so that any collector can push there: "127.0.0.1:4317"; they follow the
 * ports of this start until the user writes others. NULL: KServe's names. */
struct isvc_endpoints {
    const char *receiver, *scaler;
};
void isvc_bootstrap(struct cluster *c, const struct isvc_endpoints *e);

struct isvc_runtime {
    json_t *spec; /* borrowed from tree */
    json_t *tree; /* own reference: the runtime object */
    bool is_cluster;
    const char *name;    /* borrowed from tree */
    const char *failure; /* NULL, or reason of modelStatus: NoSupportingRuntime, ... */
    char message[400];
};
/* kserve.md 5.1. */
void isvc_select_runtime(struct cluster *c, const json_t *isvc, struct isvc_runtime *ret);
void isvc_runtime_done(struct isvc_runtime *r);

/* "<isvc>-predictor"; for free(). */
char *isvc_component_name(const json_t *isvc);
/* The merged pod spec of the predictor, or NULL with err (InvalidPredictorSpec). */
json_t *isvc_pod_spec(const json_t *isvc, const struct isvc_runtime *rt, struct err *err);
/* Annotations and labels of generated objects (2.2). */
json_t *isvc_annotations(const json_t *isvc, const json_t *runtime_spec, const json_t *config);
json_t *isvc_labels(const json_t *isvc, const json_t *runtime_spec);

/* Children; own is the owner reference (borrowed). All new trees. */
json_t *isvc_deployment(const json_t *isvc, const struct isvc_runtime *rt, const json_t *config,
                        const json_t *own, struct err *err);
json_t *isvc_service(const json_t *isvc, const struct isvc_runtime *rt, const json_t *config,
                     const json_t *own, const json_t *pod_spec);
json_t *isvc_scaled_object(const json_t *isvc, const struct isvc_runtime *rt, const json_t *config,
                           const json_t *own);
json_t *isvc_hpa(const json_t *isvc, const struct isvc_runtime *rt, const json_t *config,
                 const json_t *own);
/* NULL where no PodMetric names metrics to collect. */
json_t *isvc_collector(const json_t *isvc, const struct isvc_runtime *rt, const json_t *config,
                       const json_t *own);
json_t *isvc_ingress(const json_t *isvc, const json_t *config, const json_t *own, struct err *err);
/* URL host of a name (domainTemplate); for free(). */
char *isvc_host(const json_t *isvc, const json_t *config, const char *name);

/* The status from what is observed (1.6, 1.7). deployment, pods may be NULL/empty. */
struct isvc_observed {
    const json_t *deployment;
    const json_t *newest_pod;
    int ready_pods;
    bool has_ingress;
    const struct isvc_runtime *runtime;
    const char *failure; /* reason ReconcileFailed's message, or NULL */
};
json_t *isvc_status(const json_t *isvc, const json_t *config, const struct isvc_observed *o,
                    int64_t now_ms);

struct isvc_controller;
struct isvc_controller *isvc_controller_new(struct cluster *c);
void isvc_controller_free(struct isvc_controller *c);

#endif
