/* SPDX-License-Identifier: Apache-2.0 */
#include "autoscale/hpa_metric.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/table.h"

const struct hpa_metric_name hpa_metric_names[HPA_METRIC_TYPES] = {
    [HPA_RESOURCE] = {"Resource", "resource"},
    [HPA_CONTAINER_RESOURCE] = {"ContainerResource", "containerResource"},
    [HPA_PODS] = {"Pods", "pods"},
    [HPA_OBJECT] = {"Object", "object"},
    [HPA_EXTERNAL] = {"External", "external"}};

static bool within(double ratio, struct hpa_tolerance t)
{
    return (1.0 - t.down) <= ratio && ratio <= (1.0 + t.up);
}

int64_t hpa_ceil32(double v)
{
    v = ceil(v);
    return isnan(v) ? 0 : v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : (int64_t)v;
}

static int64_t saturate64(__int128 v)
{
    return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

/* --- Object, External --- */

int64_t hpa_average_value(int64_t status_replicas, int64_t sum, int64_t target,
                          struct hpa_tolerance t, int64_t *ret_average)
{
    double ratio = (double)sum / ((double)target * (double)status_replicas), average;
    int64_t replicas = status_replicas;

    if (!within(ratio, t))
        replicas = hpa_ceil32((double)sum / (double)target);
    average = status_replicas ? ceil((double)sum / (double)status_replicas) : 0;
    *ret_average = (double)sum >= 0x1p63 ? INT64_MAX : (int64_t)average;
    return replicas;
}

int64_t hpa_value(int64_t current, int64_t ready, int64_t sum, int64_t target,
                  struct hpa_tolerance t)
{
    double ratio = (double)sum / (double)target;

    if (current == 0)
        return hpa_ceil32(ratio);
    if (within(ratio, t))
        return current;
    return hpa_ceil32(ratio * (double)ready);
}

static int no_pods(struct err *err)
{
    return err_set(err, ERR_INVALID,
                   "no pods returned by selector while calculating replica count");
}

/* The averaging form reads a sum below zero as an overflow, as upstream does. */
static int64_t sum_values(const struct hpa_observed *o, bool is_average)
{
    int64_t sum = 0;

    for (size_t i = 0; i < o->n_values; i++) {
        sum = saturate64((__int128)sum + o->values[i]);
        if (is_average && sum < 0)
            return INT64_MAX;
    }
    return sum;
}

static int64_t grow_by_settled(const struct hpa_observed *o, int64_t settled, int64_t sum,
                               const struct hpa_metric *m)
{
    int64_t n = hpa_value(o->current, settled ? settled : 1, sum, m->target, o->tolerance);

    return n > o->current ? n : o->current;
}

static int propose_whole(const struct hpa_metric *m, const struct hpa_observed *o,
                         struct hpa_proposal *ret, struct err *err)
{
    bool is_average = m->target_type == HPA_AVERAGE_VALUE;
    double ratio;
    int64_t sum, ready = 0, settled = 0;

    if (o->n_values == 0)
        return err_set(err, ERR_INVALID, "no metrics returned from %s metrics API",
                       m->type == HPA_EXTERNAL ? "external" : "custom");
    sum = m->type == HPA_EXTERNAL ? sum_values(o, is_average) : o->values[0];
    if (is_average) {
        ret->replicas = hpa_average_value(o->status_replicas, sum, m->target, o->tolerance,
                                          &ret->average_milli);
        return 0;
    }
    ret->value_milli = sum;
    ratio = (double)sum / (double)m->target;
    if (o->current != 0 && !within(ratio, o->tolerance) && o->n_pods == 0)
        return no_pods(err);
    for (size_t i = 0; i < o->n_pods; i++) {
        bool is_ready = o->pods[i].phase == HPA_PHASE_RUNNING && o->pods[i].ready == HPA_READY_TRUE;

        ready += is_ready;
        settled += is_ready && o->pods[i].ready_since_ms + o->settle_ms <= o->times.now_ms;
    }
    ret->replicas = hpa_value(o->current, ready, sum, m->target, o->tolerance);
    if (o->settle_ms && ret->replicas > o->current)
        ret->replicas = grow_by_settled(o, settled, sum, m);
    return 0;
}

/* --- pods --- */

int hpa_pod_request(const struct hpa_pod *p, struct str resource, struct str container,
                    bool pod_level, int64_t *ret, struct err *err)
{
    bool found = container.n == 0;
    int64_t sum = 0;

    if (!container.n && pod_level && p->has_pod_requests) {
        *ret = p->pod_request_milli;
        return p->has_pod_request
                   ? 0
                   : err_set(err, ERR_INVALID, "missing pod-level request for %.*s in Pod %.*s",
                             STR_ARG(resource), STR_ARG(p->name));
    }
    for (size_t i = 0; i < p->n_containers; i++) {
        const struct hpa_container *c = &p->containers[i];

        if ((c->is_init && !c->is_sidecar) || (container.n && !str_eq(c->name, container)))
            continue;
        found = true;
        if (!c->has_request)
            return err_set(err, ERR_INVALID,
                           "missing request for %.*s in container %.*s of Pod %.*s",
                           STR_ARG(resource), STR_ARG(c->name), STR_ARG(p->name));
        sum = saturate64((__int128)sum + c->request_milli);
    }
    if (!found)
        return err_set(err, ERR_INVALID, "container %.*s not found in Pod %.*s", STR_ARG(container),
                       STR_ARG(p->name));
    *ret = sum;
    return 0;
}

/* A pod that has just started burns CPU on starting: its sample says nothing about load. */
static bool is_cpu_unready(const struct hpa_pod *p, const struct hpa_sample *s,
                           const struct hpa_times *t)
{
    if (p->ready == HPA_READY_ABSENT || p->start_ms < 0)
        return true;
    if (p->start_ms + t->cpu_initialization_ms > t->now_ms)
        return p->ready == HPA_READY_FALSE || s->at_ms < p->ready_since_ms + s->window_ms;
    return p->ready == HPA_READY_FALSE &&
           p->start_ms + t->initial_readiness_delay_ms > p->ready_since_ms;
}

enum hpa_group hpa_pod_group(const struct hpa_pod *p, const struct hpa_sample *sample, bool is_cpu,
                             const struct hpa_times *t)
{
    if (p->is_deleting || p->phase == HPA_PHASE_FAILED || p->phase == HPA_PHASE_SUCCEEDED)
        return HPA_GROUP_IGNORED;
    if (p->phase == HPA_PHASE_PENDING)
        return HPA_GROUP_UNREADY;
    if (!sample)
        return HPA_GROUP_MISSING;
    return is_cpu && is_cpu_unready(p, sample, t) ? HPA_GROUP_UNREADY : HPA_GROUP_READY;
}

/* What the ratio is computed from: samples that count, and later the padding for pods without. */
struct usage {
    __int128 sum, requests;
    int64_t n;
};

struct per_pod {
    const struct hpa_metric *m;
    const struct hpa_observed *o;
    int64_t *requests;      /* of pods[i], for utilization targets */
    enum hpa_group *groups; /* of pods[i] */
    int64_t ready, unready, missing;
    struct usage usage;
};

static void count_in(struct per_pod *x, size_t pod, int64_t milli)
{
    x->usage.sum += milli;
    x->usage.n++;
    if (x->requests)
        x->usage.requests += x->requests[pod];
}

static int read_requests(struct per_pod *x, struct err *err)
{
    if (x->m->target_type != HPA_UTILIZATION)
        return 0;
    x->requests = mem_array(x->o->n_pods, sizeof(*x->requests));
    for (size_t i = 0; i < x->o->n_pods; i++) {
        int r = hpa_pod_request(&x->o->pods[i], x->m->resource,
                                x->m->type == HPA_CONTAINER_RESOURCE ? x->m->container : STR_NONE,
                                x->o->pod_level_requests, &x->requests[i], err);

        if (r < 0)
            return r;
    }
    return 0;
}

/* Samples of pods that the selector does not match count for raw values, not for utilization:
 * upstream divides by the number of samples there. */
static bool group(struct per_pod *x)
{
    const struct hpa_observed *o = x->o;
    bool is_cpu = x->m->type != HPA_PODS && str_eq(x->m->resource, STR("cpu"));
    struct table by_pod = TABLE_INIT;
    int64_t left = 0;
    struct str key;
    void *value;
    size_t i = 0;

    for (size_t k = 0; k < o->n_samples; k++)
        table_set(&by_pod, o->samples[k].pod, (void *)(uintptr_t)&o->samples[k]);
    for (size_t k = 0; k < o->n_pods; k++) {
        const struct hpa_sample *s = table_del(&by_pod, o->pods[k].name);

        x->groups[k] = hpa_pod_group(&o->pods[k], s, is_cpu, &o->times);
        x->ready += x->groups[k] == HPA_GROUP_READY;
        x->unready += x->groups[k] == HPA_GROUP_UNREADY;
        x->missing += x->groups[k] == HPA_GROUP_MISSING;
        if (x->groups[k] == HPA_GROUP_READY) {
            count_in(x, k, s->milli);
            left++;
        }
    }
    while (table_next(&by_pod, &i, &key, &value)) {
        left++;
        if (!x->requests) {
            x->usage.sum += ((const struct hpa_sample *)value)->milli;
            x->usage.n++;
        }
    }
    table_done(&by_pod);
    return left > 0;
}

static int ratio_of(const struct per_pod *x, double *ret_ratio, struct hpa_proposal *p,
                    struct err *err)
{
    const struct usage *u = &x->usage;

    if (!x->requests) {
        p->average_milli = saturate64(u->sum / u->n);
        *ret_ratio = (double)p->average_milli / (double)x->m->target;
        return 0;
    }
    if (u->requests == 0)
        return err_set(err, ERR_INVALID, "no metrics returned matched known pods");
    p->utilization = (int32_t)saturate64(u->sum * 100 / u->requests);
    p->average_milli = saturate64(u->sum / u->n);
    *ret_ratio = (double)p->utilization / (double)x->m->target;
    return 0;
}

/* Pods without a value are taken at the value that moves the count least. */
static void pad(struct per_pod *x, double ratio, bool pad_unready)
{
    int64_t target = x->m->target;

    for (size_t i = 0; i < x->o->n_pods; i++) {
        if (x->groups[i] == HPA_GROUP_MISSING && ratio < 1.0)
            count_in(x, i,
                     x->requests ? saturate64((__int128)x->requests[i] *
                                              (target > 100 ? target : 100) / 100)
                                 : target);
        else if ((x->groups[i] == HPA_GROUP_MISSING && ratio > 1.0) ||
                 (x->groups[i] == HPA_GROUP_UNREADY && pad_unready))
            count_in(x, i, 0);
    }
}

static int propose_grouped(struct per_pod *x, struct hpa_proposal *ret, struct err *err)
{
    int64_t current = x->o->current, n;
    struct hpa_proposal padded = {0};
    double ratio, again;
    bool pad_unready;
    int r;

    if ((r = ratio_of(x, &ratio, ret, err)) < 0)
        return r;
    ret->replicas = current;
    pad_unready = x->unready > 0 && ratio > 1.0;
    if (!pad_unready && x->missing == 0) {
        if (!within(ratio, x->o->tolerance))
            ret->replicas = hpa_ceil32(ratio * (double)x->ready);
        return 0;
    }
    pad(x, ratio, pad_unready);
    if ((r = ratio_of(x, &again, &padded, err)) < 0)
        return r;
    if (within(again, x->o->tolerance) || (ratio < 1.0 && again > 1.0) ||
        (ratio > 1.0 && again < 1.0))
        return 0;
    n = hpa_ceil32(again * (double)x->usage.n);
    if (!((again < 1.0 && n > current) || (again > 1.0 && n < current)))
        ret->replicas = n;
    return 0;
}

static int propose_per_pod(const struct hpa_metric *m, const struct hpa_observed *o,
                           struct hpa_proposal *ret, struct err *err)
{
    struct per_pod x = {.m = m, .o = o};
    int r;

    if (o->n_samples == 0)
        return err_set(err, ERR_INVALID, "no metrics returned from %s metrics API",
                       m->type == HPA_PODS ? "custom" : "resource");
    if (o->n_pods == 0)
        return no_pods(err);
    x.groups = mem_array(o->n_pods, sizeof(*x.groups));
    r = read_requests(&x, err);
    if (r == 0)
        r = group(&x) ? propose_grouped(&x, ret, err)
                      : err_set(err, ERR_INVALID,
                                "did not receive metrics for targeted pods (pods might be "
                                "unready)");
    free(x.groups);
    free(x.requests);
    return r;
}

int hpa_propose(const struct hpa_metric *m, const struct hpa_observed *o, struct hpa_proposal *ret,
                struct err *err)
{
    *ret = (struct hpa_proposal){0};
    return m->type == HPA_OBJECT || m->type == HPA_EXTERNAL ? propose_whole(m, o, ret, err)
                                                            : propose_per_pod(m, o, ret, err);
}
