/* SPDX-License-Identifier: Apache-2.0
 *
 * Conditions, model status, URLs (kserve.md 1.5 to 1.7). */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "controllers/isvc.h"

struct verdict {
    const char *status, *reason, *message;
};

/* PredictorReady from the Deployment's conditions; later lines override. */
static struct verdict predictor_verdict(const struct isvc_observed *o)
{
    const json_t *available = find_condition(o->deployment, "Available");
    const json_t *progressing = find_condition(o->deployment, "Progressing");
    const json_t *failure = find_condition(o->deployment, "ReplicaFailure");
    bool is_available = available && strcmp(json_text(available, "status", ""), "True") == 0;
    struct verdict v = {"False", "", ""};

    if (o->failure)
        return (struct verdict){"False", "ReconcileFailed", o->failure};
    if (is_available)
        v = (struct verdict){"True", json_text(available, "reason", ""),
                             json_text(available, "message", "")};
    if (progressing) {
        const char *status = json_text(progressing, "status", ""),
                   *reason = json_text(progressing, "reason", "");
        const char *message = json_text(progressing, "message", "");

        if (strcmp(status, "False") == 0 && *message)
            v = (struct verdict){"False", reason, message};
        else if (strcmp(status, "True") == 0 && strcmp(reason, "NewReplicaSetAvailable") == 0)
            v = (struct verdict){"True", reason, message};
        else if (strcmp(status, "True") == 0 && !is_available)
            v = (struct verdict){"Unknown", reason, message};
    }
    if (available && strcmp(json_text(available, "status", ""), "False") == 0)
        v = (struct verdict){"False", json_text(available, "reason", ""),
                             json_text(available, "message", "")};
    if (failure && strcmp(json_text(failure, "status", ""), "True") == 0)
        v = (struct verdict){"False", json_text(failure, "reason", ""),
                             json_text(failure, "message", "")};
    return v;
}

/* The state of the newest pod's main container says more than a Deployment does: a waiting reason.
 */
static const char *waiting_message(const json_t *pod, struct buf *out)
{
    const json_t *c;
    size_t i;

    json_array_foreach (json_at(pod, "status.containerStatuses"), i, c) {
        const char *reason = json_text(c, "state.waiting.reason", NULL);

        if (reason && strcmp(reason, "ContainerCreating") != 0 &&
            strcmp(reason, "PodInitializing") != 0) {
            buf_printf(out, " Container %s waits: %s%s%s", json_text(c, "name", ""), reason,
                       *json_text(c, "state.waiting.message", "") ? ": " : "",
                       json_text(c, "state.waiting.message", ""));
            return buf_cstr(out);
        }
    }
    return "";
}

static void put(json_t *list, const char *type, struct verdict v, bool info, int64_t now_ms)
{
    set_condition(list, type, v.status, v.reason, v.message, now_ms, "lastTransitionTime");
    if (info)
        json_object_set_new((json_t *)find_condition(list, type), "severity", json_string("Info"));
}

static int by_type(const void *a, const void *b)
{
    return strcmp(json_text(*(json_t *const *)a, "type", ""),
                  json_text(*(json_t *const *)b, "type", ""));
}

static json_t *sorted(json_t *list)
{
    size_t n = json_array_size(list);
    json_t **items = mem_array(n, sizeof(*items)), *out = json_array();

    for (size_t i = 0; i < n; i++)
        items[i] = json_array_get(list, i);
    qsort(items, n, sizeof(*items), by_type);
    for (size_t i = 0; i < n; i++)
        json_array_append(out, items[i]);
    free(items);
    json_decref(list);
    return out;
}

static const json_t *main_container(const json_t *pod)
{
    const json_t *c;
    size_t i;

    json_array_foreach (json_at(pod, "status.containerStatuses"), i, c) {
        if (strcmp(json_text(c, "name", ""), "kserve-container") == 0)
            return c;
    }
    return NULL;
}

static json_t *states(const char *transition, const char *active, const char *target)
{
    json_t *m = json_pack("{s:s,s:{s:s}}", "transitionStatus", transition, "states",
                          "targetModelState", target);

    json_object_set_new(json_object_get(m, "states"), "activeModelState", json_string(active));
    return m;
}

static json_t *failed_to_load(const json_t *c, const char *active)
{
    const json_t *t = json_at(c, "lastState.terminated");
    json_t *m = states("BlockedByFailedLoad", active, "FailedToLoad");

    if (!t)
        t = json_at(c, "state.terminated");
    json_object_set_new(
        m, "lastFailureInfo",
        json_pack("{s:s,s:s,s:I}", "reason", "ModelLoadFailed", "message",
                  json_text(t, "message", json_text(c, "state.waiting.message", "")), "exitCode",
                  (json_int_t)json_int(t, "exitCode", 0)));
    return m;
}

static json_t *model_status(const json_t *was, const struct isvc_observed *o, bool ready)
{
    const json_t *c = main_container(o->newest_pod);
    const char *active = json_text(was, "status.modelStatus.states.activeModelState", "");
    json_t *m;

    if (o->runtime->failure) {
        m = states("InvalidSpec", active, "FailedToLoad");
        json_object_set_new(
            m, "lastFailureInfo",
            json_pack("{s:s,s:s}", "reason", o->runtime->failure, "message", o->runtime->message));
        return m;
    }
    if (!o->newest_pod) {
        m = states("InProgress", active, "Pending");
    } else if (ready) {
        m = states("UpToDate", "Loaded", "Loaded");
    } else if (c && (json_int(c, "state.terminated.exitCode", 0) != 0 ||
                     strcmp(json_text(c, "state.waiting.reason", ""), "CrashLoopBackOff") == 0)) {
        m = failed_to_load(c, active);
    } else if (c) {
        m = states("InProgress", active, "Pending");
    } else {
        m = json_at(was, "status.modelStatus") ? json_deep_copy(json_at(was, "status.modelStatus"))
                                               : states("InProgress", active, "Pending");
    }
    json_object_set_new(m, "copies",
                        json_pack("{s:i,s:i}", "failedCopies", 0, "totalCopies", o->ready_pods));
    return m;
}

static void set_urls(json_t *status, const json_t *isvc, const json_t *config, bool predictor_ready,
                     bool ingress_ready)
{
    AUTO_FREE char *component = isvc_component_name(isvc);
    AUTO_FREE char *host = isvc_host(isvc, config, json_text(isvc, "metadata.name", ""));
    AUTO_FREE char *component_host = isvc_host(isvc, config, component);

    if (ingress_ready)
        json_object_set_new(
            status, "url",
            json_fmt("%s://%s", json_text(config, "ingress.urlScheme", "http"), host));
    json_put(status, "address.url",
             json_fmt("http://%s.%s.svc.cluster.local", component,
                      json_text(isvc, "metadata.namespace", "")));
    if (predictor_ready)
        json_put(status, "components.predictor.url", json_fmt("http://%s", component_host));
}

json_t *isvc_status(const json_t *isvc, const json_t *config, const struct isvc_observed *o,
                    int64_t now_ms)
{
    json_t *status = sound_status(json_deep_copy(json_object_get(isvc, "status"))),
           *list = json_incref(json_object_get(status, "conditions"));
    bool was_ready = strcmp(json_text(find_condition(isvc, "Ready"), "status", ""), "True") == 0,
         ready;
    struct verdict predictor = predictor_verdict(o), ingress = {"True", "", ""},
                   all = {"True", "", ""};
    struct buf text = BUF_INIT, wait = BUF_INIT;

    if (o->runtime->failure && !o->deployment)
        predictor = (struct verdict){"False", o->runtime->failure, o->runtime->message};
    ready = strcmp(predictor.status, "True") == 0;
    if (!ready && !o->failure && !o->runtime->failure) {
        buf_printf(&text, "%s%s", predictor.message, waiting_message(o->newest_pod, &wait));
        predictor.message = buf_cstr(&text);
    }
    if (!ready || !o->has_ingress) /* Ready promises that the URL answers */
        ingress = (struct verdict){"False", "Predictor ingress not created", ""};
    if (!ready)
        all = predictor;
    else if (!o->has_ingress)
        all = ingress;
    put(list, "PredictorReady", predictor, false, now_ms);
    put(list, "IngressReady", ingress, false, now_ms);
    put(list, "Ready", all, false, now_ms);
    put(list, "Stopped", (struct verdict){"False", "", ""}, true, now_ms);
    json_object_set_new(status, "conditions", sorted(list));
    json_object_set_new(status, "deploymentMode", json_string("Standard"));
    if (o->runtime->name) {
        json_object_set_new(
            status, o->runtime->is_cluster ? "clusterServingRuntimeName" : "servingRuntimeName",
            json_string(o->runtime->name));
        json_object_del(status, o->runtime->is_cluster ? "servingRuntimeName"
                                                       : "clusterServingRuntimeName");
    }
    if (o->deployment)
        json_object_set_new(status, "observedGeneration",
                            json_integer(json_int(o->deployment, "status.observedGeneration", 1)));
    set_urls(status, isvc, config, ready, ready && o->has_ingress);
    json_object_set_new(status, "modelStatus", model_status(isvc, o, was_ready && ready));
    buf_done(&text);
    buf_done(&wait);
    return status;
}
