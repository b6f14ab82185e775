/* SPDX-License-Identifier: Apache-2.0
 *
 * One metric of an HPA -> one proposed size (hpa.md 4 to 8). Pure; metric values are milli. */
#ifndef FB_AUTOSCALE_HPA_METRIC_H
#define FB_AUTOSCALE_HPA_METRIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct hpa_tolerance {
    double down, up; /* 0.1 each by default */
};

/* ceil, then saturated to int32; NaN is 0. */
int64_t hpa_ceil32(double v);

/* --- values that belong to no pod: Object, External --- */

/* Target type AverageValue: ceil(sum / target), unless sum / (target * pods) is within tolerance.
 * status_replicas: pods that exist now. */
int64_t hpa_average_value(int64_t status_replicas, int64_t sum_milli, int64_t target_milli,
                          struct hpa_tolerance t, int64_t *ret_average_milli);
/* Target type Value: ceil(sum / target * ready pods); with no pods ceil(sum / target). */
int64_t hpa_value(int64_t current, int64_t ready, int64_t sum_milli, int64_t target_milli,
                  struct hpa_tolerance t);

/* --- pods --- */

enum hpa_phase {
    HPA_PHASE_PENDING,
    HPA_PHASE_RUNNING,
    HPA_PHASE_SUCCEEDED,
    HPA_PHASE_FAILED,
    HPA_PHASE_UNKNOWN
};
enum hpa_ready { HPA_READY_ABSENT, HPA_READY_TRUE, HPA_READY_FALSE, HPA_READY_UNKNOWN };

struct hpa_container {
    struct str name;
    bool has_request, is_init, is_sidecar; /* sidecar: an init container that restarts Always */
    int64_t request_milli;
};

struct hpa_pod {
    struct str name;
    enum hpa_phase phase;
    bool is_deleting;
    enum hpa_ready ready;
    int64_t ready_since_ms;
    int64_t start_ms;                       /* -1: absent */
    const struct hpa_container *containers; /* borrowed */
    size_t n_containers;
    bool has_pod_requests, has_pod_request; /* spec.resources.requests; with this resource */
    int64_t pod_request_milli;
};

struct hpa_sample {
    struct str pod;
    int64_t at_ms, window_ms, milli;
};

/* What one pod requests of a resource; container empty: the whole pod. ERR_INVALID: a container
 * without a request, or no such container. */
int hpa_pod_request(const struct hpa_pod *p, struct str resource, struct str container,
                    bool pod_level, int64_t *ret_milli, struct err *err);

enum hpa_group { HPA_GROUP_READY, HPA_GROUP_UNREADY, HPA_GROUP_MISSING, HPA_GROUP_IGNORED };
struct hpa_times {
    int64_t now_ms, cpu_initialization_ms, initial_readiness_delay_ms;
};
/* sample: the pod's, or NULL. */
enum hpa_group hpa_pod_group(const struct hpa_pod *p, const struct hpa_sample *sample, bool is_cpu,
                             const struct hpa_times *t);

/* --- one metric --- */

enum hpa_metric_type { HPA_RESOURCE, HPA_CONTAINER_RESOURCE, HPA_PODS, HPA_OBJECT, HPA_EXTERNAL };
#define HPA_METRIC_TYPES (HPA_EXTERNAL + 1)
/* What the API calls them, and the member of an element of spec.metrics that each has. */
extern const struct hpa_metric_name {
    const char *type, *member;
} hpa_metric_names[HPA_METRIC_TYPES];
enum hpa_target_type { HPA_UTILIZATION, HPA_AVERAGE_VALUE, HPA_VALUE };

struct hpa_metric {
    enum hpa_metric_type type;
    enum hpa_target_type target_type;
    int64_t target;       /* percent, or milli */
    struct str resource;  /* "cpu", "memory": Resource, ContainerResource */
    struct str container; /* ContainerResource */
};

struct hpa_observed {
    struct hpa_times times;
    struct hpa_tolerance tolerance;
    int64_t current, status_replicas;
    const struct hpa_pod *pods; /* all that the selector matches */
    size_t n_pods;
    const struct hpa_sample *samples; /* per pod: Resource, ContainerResource, Pods */
    size_t n_samples;
    const int64_t *values; /* Object (one), External (one a series) */
    size_t n_values;
    bool pod_level_requests;
    /* Pods that have been ready for less do not multiply a Value: their work is not in it yet. Who
     * looks once per sync period, as the original, has 0. */
    int64_t settle_ms;
};

struct hpa_proposal {
    int64_t replicas; /* raw: neither limited nor clipped at 0 */
    int64_t utilization, average_milli, value_milli;
};

/* ERR_INVALID with the controller's own text where there is no proposal. */
int hpa_propose(const struct hpa_metric *m, const struct hpa_observed *o, struct hpa_proposal *ret,
                struct err *err);

#endif
