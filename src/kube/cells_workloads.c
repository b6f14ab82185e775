/* SPDX-License-Identifier: Apache-2.0
 *
 * Columns of pods, what makes them, and what scales it. */
#include "base/clock.h"
#include "base/mem.h"
#include "kube/cells.h"

/* --- pods --- */

CELL(pod_ready)
{
    const json_t *statuses = json_at(o, "status.containerStatuses"), *c;
    int ready = 0;
    size_t i;

    json_array_foreach ((json_t *)statuses, i, c)
        ready += json_bool(c, "ready", false);
    (void)now_ms;
    buf_printf(out, "%d/%zu", ready, json_array_size(json_at(o, "spec.containers")));
}

static void add_exit(struct buf *out, const char *prefix, const json_t *terminated)
{
    const char *reason = json_text(terminated, "reason", "");

    buf_add_cstr(out, prefix);
    if (*reason)
        buf_add_cstr(out, reason);
    else if (json_int(terminated, "signal", 0))
        buf_printf(out, "Signal:%d", (int)json_int(terminated, "signal", 0));
    else
        buf_printf(out, "ExitCode:%d", (int)json_int(terminated, "exitCode", 0));
}

/* Whether an init container decides the status; then out is set. */
static bool init_status(struct buf *out, const json_t *o)
{
    const json_t *list = json_at(o, "status.initContainerStatuses"), *c;
    size_t i;

    json_array_foreach ((json_t *)list, i, c) {
        const json_t *terminated = json_at(c, "state.terminated");
        const char *waiting = json_text(c, "state.waiting.reason", "");

        if (terminated && json_int(terminated, "exitCode", 1) == 0)
            continue;
        buf_clear(out);
        if (terminated)
            add_exit(out, "Init:", terminated);
        else if (*waiting && strcmp(waiting, "PodInitializing") != 0)
            buf_printf(out, "Init:%s", waiting);
        else
            buf_printf(out, "Init:%zu/%zu", i, json_array_size(json_at(o, "spec.initContainers")));
        return true;
    }
    return false;
}

static void main_status(struct buf *out, const json_t *o)
{
    const json_t *list = json_at(o, "status.containerStatuses");
    bool running = false;

    for (size_t i = json_array_size(list); i > 0; i--) {
        const json_t *c = json_array_get(list, i - 1), *terminated = json_at(c, "state.terminated");
        const char *waiting = json_text(c, "state.waiting.reason", "");

        if (*waiting) {
            buf_clear(out);
            buf_add_cstr(out, waiting);
        } else if (terminated) {
            buf_clear(out);
            add_exit(out, "", terminated);
        } else if (json_bool(c, "ready", false) && json_at(c, "state.running")) {
            running = true;
        }
    }
    if (str_is(buf_str(out), "Completed") && running) {
        buf_clear(out);
        buf_add_cstr(out, cell_is_true(o, "Ready") ? "Running" : "NotReady");
    }
}

CELL(pod_status)
{
    const char *reason = json_text(o, "status.reason", "");
    const char *phase = json_text(o, "status.phase", "Unknown");

    buf_add_cstr(out, *reason ? reason : phase);
    if (!init_status(out, o))
        main_status(out, o);
    if (json_at(o, "metadata.deletionTimestamp") && strcmp(phase, "Succeeded") &&
        strcmp(phase, "Failed")) {
        buf_clear(out);
        buf_add_cstr(out, "Terminating");
    }
}

CELL(pod_restarts)
{
    const json_t *list = json_at(o, "status.containerStatuses"), *c;
    int64_t n = 0, last = 0, t;
    char text[32];
    size_t i;

    json_array_foreach ((json_t *)list, i, c) {
        n += json_int(c, "restartCount", 0);
        if (time_parse(str_of(json_text(c, "lastState.terminated.finishedAt", "")), &t) && t > last)
            last = t;
    }
    buf_printf(out, "%lld", (long long)n);
    if (n && last)
        buf_printf(out, " (%s ago)", duration_human(now_ms - last, text));
}

CELL(pod_ip)
{
    cell_add_text(out, json_text(o, "status.podIP", NULL));
}

CELL(pod_node)
{
    cell_add_text(out, json_text(o, "spec.nodeName", NULL));
}

const struct column pod_columns[] = {NAME_COLUMN,
                                     {"Ready", .cell = pod_ready},
                                     {"Status", .cell = pod_status},
                                     {"Restarts", .cell = pod_restarts},
                                     AGE_COLUMN,
                                     {"IP", .cell = pod_ip, .wide = true},
                                     {"Node", .cell = pod_node, .wide = true},
                                     {"Nominated Node", .cell = cell_none, .wide = true},
                                     {"Readiness Gates", .cell = cell_none, .wide = true},
                                     {0}};

/* --- workloads --- */

static void add_containers(struct buf *out, const json_t *containers, const char *key)
{
    const json_t *c;
    size_t i;

    json_array_foreach ((json_t *)containers, i, c)
        buf_printf(out, "%s%s", i ? "," : "", json_text(c, key, ""));
}

CELL(template_containers)
{
    add_containers(out, json_at(o, "spec.template.spec.containers"), "name");
}

CELL(template_images)
{
    add_containers(out, json_at(o, "spec.template.spec.containers"), "image");
}

CELL(workload_selector)
{
    cell_add_selector(out, json_at(o, "spec.selector"), false);
}

CELL(deployment_ready)
{
    buf_printf(out, "%lld/%lld", (long long)json_int(o, "status.readyReplicas", 0),
               (long long)json_int(o, "spec.replicas", 1));
}

CELL(updated)
{
    cell_add_int(out, o, "status.updatedReplicas");
}

CELL(available)
{
    cell_add_int(out, o, "status.availableReplicas");
}

CELL(desired)
{
    cell_add_int(out, o, "spec.replicas");
}

CELL(current)
{
    cell_add_int(out, o, "status.replicas");
}

CELL(ready_replicas)
{
    cell_add_int(out, o, "status.readyReplicas");
}

const struct column deployment_columns[] = {
    NAME_COLUMN,
    {"Ready", .cell = deployment_ready},
    {"Up-to-date", "integer", .cell = updated},
    {"Available", "integer", .cell = available},
    AGE_COLUMN,
    {"Containers", .cell = template_containers, .wide = true},
    {"Images", .cell = template_images, .wide = true},
    {"Selector", .cell = workload_selector, .wide = true},
    {0}};

const struct column replicaset_columns[] = {
    NAME_COLUMN,
    {"Desired", "integer", .cell = desired},
    {"Current", "integer", .cell = current},
    {"Ready", "integer", .cell = ready_replicas},
    AGE_COLUMN,
    {"Containers", .cell = template_containers, .wide = true},
    {"Images", .cell = template_images, .wide = true},
    {"Selector", .cell = workload_selector, .wide = true},
    {0}};

const struct column statefulset_columns[] = {
    NAME_COLUMN,
    {"Ready", .cell = deployment_ready},
    AGE_COLUMN,
    {"Containers", .cell = template_containers, .wide = true},
    {"Images", .cell = template_images, .wide = true},
    {0}};

CELL(revision_controller)
{
    const json_t *owner;
    size_t i;

    (void)now_ms;
    json_array_foreach (json_at(o, "metadata.ownerReferences"), i, owner) {
        const char *version = json_text(owner, "apiVersion", ""), *slash = strchr(version, '/');
        const char *kind = json_text(owner, "kind", "");

        if (!json_bool(owner, "controller", false))
            continue;
        for (; *kind; kind++)
            buf_add_char(out, *kind | 0x20);
        if (slash)
            buf_printf(out, ".%.*s", (int)(slash - version), version);
        buf_printf(out, "/%s", json_text(owner, "name", ""));
        return;
    }
    buf_add_cstr(out, "<none>");
}

const struct column controllerrevision_columns[] = {NAME_COLUMN,
                                                    {"Controller", .cell = revision_controller},
                                                    {"Revision", "integer", .path = ".revision"},
                                                    AGE_COLUMN,
                                                    {0}};

/* --- HPA --- */

/* name: of a resource, NULL for other metrics; "(avg)" tells an average from a value, and per pod
 * there is nothing else. */
static void metric_value(struct buf *out, const json_t *current, const json_t *target,
                         const char *name, bool is_per_pod)
{
    const char *average = json_text(target, "averageValue", NULL),
               *value = json_text(target, "value", NULL);
    int64_t want = json_int(target, "averageUtilization", -1),
            have = json_int(current, "averageUtilization", -1);

    if (name)
        buf_printf(out, "%s: ", name);
    if (value) {
        buf_printf(out, "%s/%s", json_text(current, "value", "<unknown>"), value);
    } else if (average) {
        buf_printf(out, "%s/%s%s", json_text(current, "averageValue", "<unknown>"), average,
                   name || is_per_pod ? "" : " (avg)");
    } else if (want >= 0) {
        if (have >= 0)
            buf_printf(out, "%lld%%/%lld%%", (long long)have, (long long)want);
        else
            buf_printf(out, "<unknown>/%lld%%", (long long)want);
    } else {
        buf_add_cstr(out, "<auto>");
    }
}

CELL(hpa_targets)
{
    static const char *const blocks[] = {"resource", "containerResource", "external", "object",
                                         "pods"};
    const json_t *metrics = json_at(o, "spec.metrics"),
                 *currents = json_at(o, "status.currentMetrics"), *m;
    size_t i, n = json_array_size(metrics);

    if (n == 0)
        buf_add_cstr(out, "<none>");
    json_array_foreach ((json_t *)metrics, i, m) {
        const json_t *cur = json_array_get(currents, i);

        if (i == 2) {
            buf_printf(out, " + %zu more...", n - 2);
            break;
        }
        buf_add_cstr(out, i ? ", " : "");
        for (size_t b = 0; b < ARRAY_LEN(blocks); b++) {
            const json_t *block = json_object_get(m, blocks[b]);

            if (block)
                metric_value(out, json_at(json_object_get(cur, blocks[b]), "current"),
                             json_object_get(block, "target"),
                             b < 2 ? json_text(block, "name", "") : NULL,
                             strcmp(blocks[b], "pods") == 0);
        }
    }
}

CELL(hpa_reference)
{
    buf_printf(out, "%s/%s", json_text(o, "spec.scaleTargetRef.kind", ""),
               json_text(o, "spec.scaleTargetRef.name", ""));
}

CELL(hpa_min)
{
    if (json_at(o, "spec.minReplicas"))
        cell_add_int(out, o, "spec.minReplicas");
    else
        buf_add_cstr(out, "<unset>");
}

CELL(hpa_max)
{
    cell_add_int(out, o, "spec.maxReplicas");
}

CELL(hpa_replicas)
{
    cell_add_int(out, o, "status.currentReplicas");
}

const struct column hpa_columns[] = {NAME_COLUMN,
                                     {"Reference", .cell = hpa_reference},
                                     {"Targets", .cell = hpa_targets},
                                     {"MinPods", .cell = hpa_min},
                                     {"MaxPods", "integer", .cell = hpa_max},
                                     {"Replicas", "integer", .cell = hpa_replicas},
                                     AGE_COLUMN,
                                     {0}};
