/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "autoscale/hpa.h"
#include "autoscale/hpa_metric.h"
#include "base/mem.h"
#include "vectors.h"

#define PODS_MAX 1024
#define CONTAINERS_MAX 8

/* The world of one vector; texts are borrowed from it. */
struct world {
    struct hpa_pod pods[PODS_MAX];
    struct hpa_container containers[PODS_MAX][CONTAINERS_MAX];
    struct hpa_sample samples[PODS_MAX];
    int64_t values[PODS_MAX];
    size_t n_pods, n_samples, n_values;
};

static enum hpa_phase phase_of(const char *t)
{
    return strcmp(t, "Pending") == 0     ? HPA_PHASE_PENDING
           : strcmp(t, "Running") == 0   ? HPA_PHASE_RUNNING
           : strcmp(t, "Succeeded") == 0 ? HPA_PHASE_SUCCEEDED
           : strcmp(t, "Failed") == 0    ? HPA_PHASE_FAILED
                                         : HPA_PHASE_UNKNOWN;
}

static enum hpa_ready ready_of(const char *t)
{
    return strcmp(t, "True") == 0      ? HPA_READY_TRUE
           : strcmp(t, "False") == 0   ? HPA_READY_FALSE
           : strcmp(t, "Unknown") == 0 ? HPA_READY_UNKNOWN
                                       : HPA_READY_ABSENT;
}

static void read_containers(const json_t *list, bool is_init, const char *resource,
                            struct hpa_container *out, size_t *n)
{
    const json_t *c;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)list, i, c) {
        const json_t *requests = json_object_get(c, "requests");

        FB_ASSERT(*n < CONTAINERS_MAX);
        out[(*n)++] = (struct hpa_container){
            .name = json_strv(json_object_get(c, "name")),
            .is_init = is_init,
            .is_sidecar = strcmp(json_text(c, "restartPolicy", ""), "Always") == 0,
            .has_request = json_object_get(requests, resource) != NULL,
            .request_milli = vector_int(requests, resource, 0)};
    }
}

static void read_pods(struct world *w, const json_t *list, const char *resource)
{
    const json_t *p;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)list, i, p) {
        struct hpa_pod *pod = &w->pods[w->n_pods];
        const json_t *level = json_object_get(p, "podRequests");

        FB_ASSERT(w->n_pods < PODS_MAX);
        *pod = (struct hpa_pod){.name = json_strv(json_object_get(p, "name")),
                                .phase = phase_of(json_text(p, "phase", "Running")),
                                .is_deleting = json_bool(p, "deleting", false),
                                .ready = ready_of(json_text(p, "ready", "")),
                                .ready_since_ms = vector_int(p, "readySince", 0),
                                .start_ms = vector_int(p, "startTime", -1),
                                .containers = w->containers[w->n_pods],
                                .has_pod_requests = level != NULL,
                                .has_pod_request = json_object_get(level, resource) != NULL,
                                .pod_request_milli = vector_int(level, resource, 0)};
        read_containers(json_object_get(p, "containers"), false, resource, w->containers[w->n_pods],
                        &pod->n_containers);
        read_containers(json_object_get(p, "initContainers"), true, resource,
                        w->containers[w->n_pods], &pod->n_containers);
        w->n_pods++;
    }
}

/* What the metrics API answers: a Resource metric sums the containers, a ContainerResource metric
 * takes one, and a pod without it gives no sample. */
static void read_samples(struct world *w, const json_t *list, const char *container)
{
    const json_t *s, *v;
    const char *name;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)list, i, s) {
        json_t *containers = json_object_get(s, "containers");
        struct hpa_sample *out = &w->samples[w->n_samples];
        bool has = true;

        FB_ASSERT(w->n_samples < PODS_MAX);
        *out = (struct hpa_sample){.pod = json_strv(json_object_get(s, "pod")),
                                   .at_ms = vector_int(s, "at", 0),
                                   .window_ms = vector_int(s, "windowMs", 0),
                                   .milli = vector_int(s, "milli", 0)};
        if (containers && *container) {
            has = json_object_get(containers, container) != NULL;
            out->milli = vector_int(containers, container, 0);
        } else if (containers) {
            json_object_foreach (containers, name, v)
                out->milli += vector_int(containers, name, 0);
        }
        w->n_samples += has;
    }
}

static struct hpa_times read_times(const json_t *in)
{
    return (struct hpa_times){vector_int(in, "now", 0),
                              json_int(in, "config.cpuInitializationMs", 0),
                              json_int(in, "config.initialReadinessDelayMs", 0)};
}

static enum hpa_metric_type type_of(const char *t)
{
    return strcmp(t, "Resource") == 0            ? HPA_RESOURCE
           : strcmp(t, "ContainerResource") == 0 ? HPA_CONTAINER_RESOURCE
           : strcmp(t, "Pods") == 0              ? HPA_PODS
           : strcmp(t, "Object") == 0            ? HPA_OBJECT
                                                 : HPA_EXTERNAL;
}

bool vector_calc(const json_t *v, struct buf *why)
{
    const json_t *in = json_object_get(v, "in"), *expect = json_object_get(v, "expect"),
                 *metric = json_object_get(in, "metric"), *value;
    struct hpa_metric m = {.type = type_of(json_text(metric, "type", "")),
                           .resource = str_of(json_text(metric, "resource", "")),
                           .container = str_of(json_text(metric, "container", ""))};
    struct world *w = mem_zalloc(sizeof(*w));
    struct hpa_proposal got;
    struct hpa_observed o;
    struct err err = ERR_INIT;
    bool ok = true;
    size_t i;
    int r;

    m.target_type = json_object_get(metric, "targetUtilization")            ? HPA_UTILIZATION
                    : strcmp(json_text(metric, "target", ""), "Value") == 0 ? HPA_VALUE
                                                                            : HPA_AVERAGE_VALUE;
    m.target = m.target_type == HPA_UTILIZATION ? vector_int(metric, "targetUtilization", 0)
                                                : vector_int(metric, "targetMilli", 0);
    read_pods(w, json_object_get(in, "pods"), json_text(metric, "resource", "cpu"));
    read_samples(w, json_object_get(in, "samples"),
                 m.type == HPA_CONTAINER_RESOURCE ? json_text(metric, "container", "") : "");
    json_array_foreach (json_object_get(in, "values"), i, value) {
        AUTO_JSON json_t *box = json_pack("{s:O}", "v", value);

        w->values[w->n_values++] = vector_int(box, "v", 0);
    }
    o = (struct hpa_observed){.times = read_times(in),
                              .tolerance = {json_number_value(json_at(in, "tolerance.down")),
                                            json_number_value(json_at(in, "tolerance.up"))},
                              .current = vector_int(in, "currentReplicas", 0),
                              .status_replicas = vector_int(in, "statusReplicas", 0),
                              .pods = w->pods,
                              .n_pods = w->n_pods,
                              .samples = w->samples,
                              .n_samples = w->n_samples,
                              .values = w->values,
                              .n_values = w->n_values,
                              .pod_level_requests = true};
    r = hpa_propose(&m, &o, &got, &err);
    free(w);
    if (r < 0 || json_object_get(expect, "error"))
        return vector_same_error(why, r, err.msg, expect);
    ok &= vector_same_int(why, "replicas", got.replicas, vector_int(expect, "replicas", -1));
    if (json_object_get(expect, "utilization"))
        ok &= vector_same_int(why, "utilization", got.utilization,
                              vector_int(expect, "utilization", -1));
    if (json_object_get(expect, "averageMilli"))
        ok &= vector_same_int(why, "averageMilli", got.average_milli,
                              vector_int(expect, "averageMilli", -1));
    if (json_object_get(expect, "valueMilli"))
        ok &= vector_same_int(why, "valueMilli", got.value_milli,
                              vector_int(expect, "valueMilli", -1));
    return ok;
}

static bool names_it(const json_t *list, struct str name)
{
    const json_t *e;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)list, i, e)
        if (str_eq(json_strv(e), name))
            return true;
    return false;
}

bool vector_group_pods(const json_t *v, struct buf *why)
{
    const json_t *in = json_object_get(v, "in"), *expect = json_object_get(v, "expect");
    static const char *const names[] = {NULL, "unready", "missing", "ignored"};
    const char *resource = json_text(in, "resource", "");
    struct world *w = mem_zalloc(sizeof(*w));
    struct hpa_times times = read_times(in);
    int64_t ready = 0, others = 0;
    bool ok;

    read_pods(w, json_object_get(in, "pods"), resource);
    read_samples(w, json_object_get(in, "samples"), "");
    for (size_t i = 0; i < w->n_pods; i++) {
        const struct hpa_sample *s = NULL;
        enum hpa_group g;

        for (size_t k = 0; k < w->n_samples; k++)
            if (str_eq(w->samples[k].pod, w->pods[i].name))
                s = &w->samples[k];
        g = hpa_pod_group(&w->pods[i], s, strcmp(resource, "cpu") == 0, &times);
        if (g == HPA_GROUP_READY)
            ready++;
        else if (names_it(json_object_get(expect, names[g]), w->pods[i].name))
            others++;
        else
            buf_printf(why, "%.*s is %s; ", STR_ARG(w->pods[i].name), names[g]);
    }
    ok = vector_same_int(why, "ready", ready, vector_int(expect, "ready", -1)) &&
         vector_same_int(why, "set aside", others,
                         (int64_t)(json_array_size(json_object_get(expect, "unready")) +
                                   json_array_size(json_object_get(expect, "missing")) +
                                   json_array_size(json_object_get(expect, "ignored"))));
    free(w);
    return ok && why->n == 0;
}

bool vector_requests(const json_t *v, struct buf *why)
{
    const json_t *in = json_object_get(v, "in"), *expect = json_object_get(v, "expect"),
                 *wanted = json_object_get(expect, "requests");
    const char *resource = json_text(in, "resource", "");
    struct world *w = mem_zalloc(sizeof(*w));
    struct err err = ERR_INIT;
    bool ok = true;
    int r = 0;

    read_pods(w, json_object_get(in, "pods"), resource);
    for (size_t i = 0; i < w->n_pods && r == 0; i++) {
        AUTO_FREE char *name = str_dup(w->pods[i].name);
        int64_t got = 0;

        r = hpa_pod_request(&w->pods[i], str_of(resource), str_of(json_text(in, "container", "")),
                            json_bool(in, "podLevelResources", false), &got, &err);
        if (r == 0 && wanted)
            ok &= vector_same_int(why, name, got, vector_int(wanted, name, -1));
    }
    ok &= !wanted ||
          vector_same_int(why, "pods", (int64_t)w->n_pods, (int64_t)json_object_size(wanted));
    free(w);
    if (r < 0 || json_object_get(expect, "error"))
        return vector_same_error(why, r, err.msg, expect);
    return ok;
}

/* --- history --- */

static void read_history(struct hpa_history *h, const json_t *list)
{
    const json_t *e;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)list, i, e)
        hpa_history_add(h, (struct hpa_entry){json_integer_value(json_array_get(e, 0)),
                                              json_integer_value(json_array_get(e, 1)), false});
}

static bool same_history(struct buf *why, const struct hpa_history *h, const json_t *list)
{
    bool ok = vector_same_int(why, "history", (int64_t)h->n, (int64_t)json_array_size(list));
    const json_t *e;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)list, i, e) {
        bool is_event = json_is_object(e);

        if (i >= h->n)
            break;
        ok &= vector_same_int(why, "entry", h->items[i].replicas,
                              is_event ? json_int(e, "change", -1)
                                       : json_integer_value(json_array_get(e, 0)));
        ok &= vector_same_int(why, "entry's time", h->items[i].at_ms,
                              is_event ? json_int(e, "at", -1)
                                       : json_integer_value(json_array_get(e, 1)));
        if (is_event)
            ok &= vector_same_int(why, "outdated", h->items[i].outdated,
                                  json_bool(e, "outdated", false));
    }
    return ok;
}

bool vector_limit_classic(const json_t *v, struct buf *why)
{
    const json_t *in = json_object_get(v, "in"), *expect = json_object_get(v, "expect");
    const char *reason;
    int64_t got = hpa_limit_classic(
        vector_int(in, "currentReplicas", 0), vector_int(in, "currentReplicas", 0),
        vector_int(in, "desiredReplicas", 0), vector_int(in, "minReplicas", 0),
        vector_int(in, "maxReplicas", 0), &reason);

    return vector_same_int(why, "replicas", got, vector_int(expect, "replicas", -1)) &&
           vector_same_text(why, "reason", reason, json_text(expect, "reason", ""));
}

bool vector_stabilize_classic(const json_t *v, struct buf *why)
{
    const json_t *in = json_object_get(v, "in"), *expect = json_object_get(v, "expect");
    struct hpa_history h = {0};
    const char *reason;
    int64_t got;
    bool ok;

    read_history(&h, json_object_get(in, "history"));
    got = hpa_stabilize_classic(&h, vector_int(in, "now", 0), vector_int(in, "desiredReplicas", 0),
                                vector_int(in, "windowMs", 0), &reason);
    ok = vector_same_int(why, "replicas", got, vector_int(expect, "replicas", -1)) &&
         same_history(why, &h, json_object_get(expect, "history"));
    hpa_history_done(&h);
    return ok;
}

bool vector_stabilize(const json_t *v, struct buf *why)
{
    const json_t *in = json_object_get(v, "in"), *expect = json_object_get(v, "expect");
    struct hpa_history h = {0};
    const char *reason;
    int64_t got;
    bool ok;

    read_history(&h, json_object_get(in, "history"));
    got = hpa_stabilize(&h, vector_int(in, "now", 0), vector_int(in, "currentReplicas", 0),
                        vector_int(in, "desiredReplicas", 0),
                        vector_int(in, "scaleUpWindowSeconds", 0),
                        vector_int(in, "scaleDownWindowSeconds", 300), &reason);
    ok = vector_same_int(why, "replicas", got, vector_int(expect, "replicas", -1)) &&
         vector_same_text(why, "reason", reason, json_text(expect, "reason", "")) &&
         same_history(why, &h, json_object_get(expect, "history"));
    hpa_history_done(&h);
    return ok;
}

bool vector_rate(const json_t *v, struct buf *why)
{
    const json_t *in = json_object_get(v, "in"), *expect = json_object_get(v, "expect");
    struct hpa_history ups = {0}, downs = {0};
    struct arena arena = ARENA_INIT;
    struct hpa_rules up, down;
    const char *reason;
    int64_t got;
    bool ok;

    hpa_rules_read(json_object_get(in, "scaleUp"), HPA_UP, &arena, &up);
    hpa_rules_read(json_object_get(in, "scaleDown"), HPA_DOWN, &arena, &down);
    read_history(&ups, json_object_get(in, "scaleUpEvents"));
    read_history(&downs, json_object_get(in, "scaleDownEvents"));
    got = hpa_limit_rate(vector_int(in, "now", 0), vector_int(in, "currentReplicas", 0),
                         vector_int(in, "desiredReplicas", 0), vector_int(in, "minReplicas", 0),
                         vector_int(in, "maxReplicas", 0), &up, &down, &ups, &downs, &reason);
    ok = vector_same_int(why, "replicas", got, vector_int(expect, "replicas", -1)) &&
         vector_same_text(why, "reason", reason, json_text(expect, "reason", ""));
    hpa_history_done(&ups);
    hpa_history_done(&downs);
    arena_done(&arena);
    return ok;
}

bool vector_store_event(const json_t *v, struct buf *why)
{
    const json_t *in = json_object_get(v, "in"), *expect = json_object_get(v, "expect");
    int64_t now = vector_int(in, "now", 0), before;
    struct hpa_history h = {0};
    bool ok;

    read_history(&h, json_object_get(in, "events"));
    before = hpa_history_sum(&h, now, vector_int(in, "sumPeriodSeconds", 0));
    hpa_history_changed(&h, vector_int(in, "replicaChange", 0), now,
                        vector_int(in, "longestPeriodSeconds", -1));
    ok = vector_same_int(why, "sumBefore", before, vector_int(expect, "sumBefore", -1)) &&
         same_history(why, &h, json_object_get(expect, "events"));
    hpa_history_done(&h);
    return ok;
}
