/* SPDX-License-Identifier: Apache-2.0
 *
 * The status a kubelet would write. One write at a time; changes meanwhile lead to one more. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/node_int.h"

static json_t *time_json(int64_t ms)
{
    char t[TIME_TEXT_MAX];

    return json_string(time_rfc3339(ms, t));
}

json_t *terminated_block(const struct container *c)
{
    struct buf message = BUF_INIT;
    json_t *t = json_pack("{s:i,s:s,s:o,s:o,s:o}", "exitCode", c->shim.exit_code, "reason",
                          c->was_oom               ? "OOMKilled"
                          : c->shim.exit_code == 0 ? "Completed"
                                                   : "Error",
                          "startedAt", time_json(c->shim.started_ms), "finishedAt",
                          time_json(c->shim.finished_ms), "containerID",
                          json_fmt("flyball://%s/%d", c->pod->uid, c->attempt));

    if (c->shim.exit_signal)
        json_object_set_new(t, "signal", json_integer(c->shim.exit_signal));
    container_last_words(c, &message);
    if (message.n)
        json_object_set_new(t, "message", json_str_new(buf_str(&message)));
    buf_done(&message);
    return t;
}

static json_t *state_json(const struct container *c)
{
    json_t *w;

    switch (c->state) {
    case C_RUNNING:
        return json_pack("{s:{s:o}}", "running", "startedAt", time_json(c->shim.started_ms));
    case C_TERMINATED:
        return json_pack("{s:o}", "terminated", terminated_block(c));
    case C_WAITING:
    case C_STARTING:
        break;
    }
    w = json_pack("{s:s}", "reason", *c->reason ? c->reason : "ContainerCreating");
    if (*c->message)
        json_object_set_new(w, "message", json_str_new(str_of(c->message)));
    return json_pack("{s:o}", "waiting", w);
}

static json_t *container_json(const struct container *c)
{
    bool ready = c->is_init ? c->state == C_TERMINATED && c->shim.exit_code == 0
                            : c->state == C_RUNNING && c->is_ready;
    json_t *last = c->last_state ? json_pack("{s:O}", "terminated", c->last_state) : json_object();
    const char *image = json_text(c->spec, "image", "");

    return json_pack("{s:s,s:o,s:o,s:b,s:i,s:s,s:s,s:o,s:b}", "name", c->name, "state",
                     state_json(c), "lastState", last, "ready", ready, "restartCount", c->restarts,
                     "image", image, "imageID", "", "containerID",
                     c->attempt ? json_fmt("flyball://%s/%d", c->pod->uid, c->attempt)
                                : json_string(""),
                     "started", c->state == C_RUNNING && c->is_started);
}

static const char *phase_of(const struct npod *p)
{
    const char *policy = json_text(p->tree, "spec.restartPolicy", "Always");
    size_t running = 0, ended = 0, failed = 0, n = 0;

    for (size_t i = 0; i < p->n; i++) {
        const struct container *c = &p->containers[i];

        if (c->is_init) {
            if (c->state == C_TERMINATED && c->shim.exit_code != 0 && strcmp(policy, "Never") == 0)
                return "Failed";
            if (!(c->state == C_TERMINATED && c->shim.exit_code == 0))
                return "Pending";
            continue;
        }
        n++;
        running += c->state == C_RUNNING || (c->state == C_WAITING && c->attempt > 0);
        ended += c->state == C_TERMINATED;
        failed += c->state == C_TERMINATED && c->shim.exit_code != 0;
    }
    if (running)
        return "Running";
    if (ended == n && (strcmp(policy, "Always") != 0 || p->is_ending))
        return failed ? "Failed" : "Succeeded";
    return ended ? "Running" : "Pending";
}

static void condition(json_t *list, const json_t *was, const char *type, bool ok,
                      const char *reason, const char *message, int64_t now)
{
    const json_t *old, *found = NULL;
    json_t *c =
        json_pack("{s:s,s:s,s:n}", "type", type, "status", ok ? "True" : "False", "lastProbeTime");
    size_t i;

    json_array_foreach ((json_t *)was, i, old) {
        if (strcmp(json_text(old, "type", ""), type) == 0)
            found = old;
    }
    if (found && strcmp(json_text(found, "status", ""), ok ? "True" : "False") == 0)
        json_object_set(c, "lastTransitionTime", json_object_get(found, "lastTransitionTime"));
    else
        json_object_set_new(c, "lastTransitionTime", time_json(now));
    if (!ok && reason)
        json_object_set_new(c, "reason", json_string(reason));
    if (!ok && message && *message)
        json_object_set_new(c, "message", json_str_new(str_of(message)));
    json_array_append_new(list, c);
}

static const char *qos(const struct npod *p)
{
    bool guaranteed = true, any = false;

    for (size_t i = 0; i < p->n; i++) {
        const json_t *r = json_object_get(p->containers[i].spec, "resources");
        const json_t *limits = json_object_get(r, "limits"),
                     *requests = json_object_get(r, "requests");

        any |= json_object_size(limits) > 0 || json_object_size(requests) > 0;
        guaranteed &= json_object_get(limits, "cpu") && json_object_get(limits, "memory") &&
                      json_equal(limits, requests);
    }
    return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

static json_t *build(struct npod *p, const json_t *was)
{
    int64_t now = loop_wall_ms(p->node->o.loop);
    json_t *conditions = json_array(), *init = json_array(), *main = json_array(), *status;
    const json_t *old = json_at(was, "status.conditions");
    bool initialized = true, ready = true;
    struct buf unready = BUF_INIT, message = BUF_INIT;

    for (size_t i = 0; i < p->n; i++) {
        const struct container *c = &p->containers[i];

        json_array_append_new(c->is_init ? init : main, container_json(c));
        if (c->is_init) {
            initialized &= c->state == C_TERMINATED && c->shim.exit_code == 0;
        } else if (c->state != C_RUNNING || !c->is_ready) {
            ready = false;
            buf_printf(&unready, "%s%s", unready.n ? " " : "", c->name);
            if (c->state == C_RUNNING && *c->message)
                buf_printf(&message, ": %s", c->message);
        }
    }
    {
        AUTO_FREE char *why = mem_printf("containers with unready status: [%s]%s",
                                         buf_cstr(&unready), buf_cstr(&message));

        condition(conditions, old, "Initialized", initialized, "ContainersNotInitialized",
                  "init containers are not complete", now);
        condition(conditions, old, "Ready", ready && initialized, "ContainersNotReady", why, now);
        condition(conditions, old, "ContainersReady", ready && initialized, "ContainersNotReady",
                  why, now);
        condition(conditions, old, "PodScheduled", true, NULL, NULL, now);
    }
    buf_done(&unready);
    buf_done(&message);
    status = json_pack(
        "{s:s,s:o,s:s,s:s,s:[{s:s}],s:o,s:o,s:s}", "phase", phase_of(p), "conditions", conditions,
        "hostIP", "127.0.0.1", "podIP", p->ip, "podIPs", "ip", p->ip, "startTime",
        json_at(was, "status.startTime") ? json_incref(json_at(was, "status.startTime"))
                                         : time_json(now),
        "containerStatuses", main, "qosClass", qos(p));
    if (json_array_size(init))
        json_object_set(status, "initContainerStatuses", init);
    json_decref(init);
    return status;
}

static void on_written(void *arg, const struct object *now, const struct err *err)
{
    struct npod *p = pod_ref_take(arg);

    (void)now;
    if (!p)
        return;
    p->status_busy = false;
    if (err && err->code != ERR_NOT_FOUND) {
        log_warn("node", "status of pod %s/%s: %s", p->ns, p->name, err->msg);
        loop_timer_start(&p->status_retry, 500);
    } else if (p->status_dirty) {
        npod_write_status(p);
    }
}

void npod_write_status(struct npod *p)
{
    const struct object *o =
        cluster_get(p->node->o.cluster, KIND_POD, str_of(p->ns), str_of(p->name));
    AUTO_JSON json_t *was = NULL, *status = NULL;

    if (p->status_busy) {
        p->status_dirty = true;
        return;
    }
    p->status_dirty = false;
    if (!o || !str_is(o->uid, p->uid))
        return;
    was = object_tree(o);
    status = build(p, was);
    if (json_equal(status, json_object_get(was, "status")))
        return;
    p->status_busy = true;
    cluster_write_status(p->node->o.cluster, o, status, "kubelet", on_written, pod_ref_new(p));
}
