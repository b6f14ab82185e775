/* SPDX-License-Identifier: Apache-2.0
 *
 * The columns of every kind. Built-in kinds have cell functions, custom ones jsonPaths, as in the
 * original (kube-api.md 9). */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kube/columns.h"
#include "kube/selector.h"

#define CELL(name) static void name(struct buf *out, const json_t *o, int64_t now_ms)
#define NAME_COLUMN                      \
    {                                    \
        "Name", .path = ".metadata.name" \
    }
#define AGE_COLUMN         \
    {                      \
        "Age", .cell = age \
    }

static void add_age(struct buf *out, const char *time, int64_t now_ms)
{
    char text[32];
    int64_t t;

    buf_add_cstr(out, time && time_parse(str_of(time), &t) ? duration_human(now_ms - t, text)
                                                           : "<unknown>");
}

CELL(age)
{
    add_age(out, json_text(o, "metadata.creationTimestamp", NULL), now_ms);
}

static void text_or_none(struct buf *out, const char *text)
{
    buf_add_cstr(out, text && *text ? text : "<none>");
}

/* --- pods --- */

static bool condition_is_true(const json_t *o, const char *type)
{
    const json_t *list = json_at(o, "status.conditions"), *c;
    size_t i;

    json_array_foreach ((json_t *)list, i, c) {
        if (strcmp(json_text(c, "type", ""), type) == 0)
            return strcmp(json_text(c, "status", ""), "True") == 0;
    }
    return false;
}

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
        buf_add_cstr(out, condition_is_true(o, "Ready") ? "Running" : "NotReady");
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
    text_or_none(out, json_text(o, "status.podIP", NULL));
}

CELL(pod_node)
{
    text_or_none(out, json_text(o, "spec.nodeName", NULL));
}

CELL(none)
{
    buf_add_cstr(out, "<none>");
}

const struct column pod_columns[] = {NAME_COLUMN,
                                     {"Ready", .cell = pod_ready},
                                     {"Status", .cell = pod_status},
                                     {"Restarts", .cell = pod_restarts},
                                     AGE_COLUMN,
                                     {"IP", .cell = pod_ip, .wide = true},
                                     {"Node", .cell = pod_node, .wide = true},
                                     {"Nominated Node", .cell = none, .wide = true},
                                     {"Readiness Gates", .cell = none, .wide = true},
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

static void add_selector(struct buf *out, const json_t *tree, bool plain)
{
    struct selector *s = NULL;

    if (json_object_size(tree) == 0 || selector_from_json(tree, plain, &s, NULL) < 0) {
        buf_add_cstr(out, "<none>");
        return;
    }
    selector_text(s, out);
    selector_free(s);
}

CELL(workload_selector)
{
    add_selector(out, json_at(o, "spec.selector"), false);
}

CELL(deployment_ready)
{
    buf_printf(out, "%lld/%lld", (long long)json_int(o, "status.readyReplicas", 0),
               (long long)json_int(o, "spec.replicas", 1));
}

static void add_int(struct buf *out, const json_t *o, const char *path)
{
    buf_add_i64(out, json_int(o, path, 0));
}

CELL(updated)
{
    add_int(out, o, "status.updatedReplicas");
}

CELL(available)
{
    add_int(out, o, "status.availableReplicas");
}

CELL(desired)
{
    add_int(out, o, "spec.replicas");
}

CELL(current)
{
    add_int(out, o, "status.replicas");
}

CELL(ready_replicas)
{
    add_int(out, o, "status.readyReplicas");
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

/* --- services --- */

CELL(service_type)
{
    buf_add_cstr(out, json_text(o, "spec.type", "ClusterIP"));
}

CELL(service_ip)
{
    text_or_none(out, json_text(o, "spec.clusterIP", NULL));
}

CELL(service_external)
{
    if (strcmp(json_text(o, "spec.type", ""), "ExternalName") == 0)
        buf_add_cstr(out, json_text(o, "spec.externalName", "<none>"));
    else
        buf_add_cstr(out, "<none>");
}

CELL(service_ports)
{
    const json_t *p;
    size_t i;

    if (json_array_size(json_at(o, "spec.ports")) == 0)
        buf_add_cstr(out, "<none>");
    json_array_foreach (json_at(o, "spec.ports"), i, p) {
        buf_printf(out, "%s%lld", i ? "," : "", (long long)json_int(p, "port", 0));
        if (json_int(p, "nodePort", 0))
            buf_printf(out, ":%lld", (long long)json_int(p, "nodePort", 0));
        buf_printf(out, "/%s", json_text(p, "protocol", "TCP"));
    }
}

CELL(service_selector)
{
    add_selector(out, json_at(o, "spec.selector"), true);
}

const struct column service_columns[] = {NAME_COLUMN,
                                         {"Type", .cell = service_type},
                                         {"Cluster-IP", .cell = service_ip},
                                         {"External-IP", .cell = service_external},
                                         {"Port(s)", .cell = service_ports},
                                         AGE_COLUMN,
                                         {"Selector", .cell = service_selector, .wide = true},
                                         {0}};

CELL(endpoints_cell)
{
    const json_t *subset, *a, *p;
    size_t i, k, m, n = 0;

    json_array_foreach (json_at(o, "subsets"), i, subset) {
        json_array_foreach (json_at(subset, "addresses"), k, a) {
            json_array_foreach (json_at(subset, "ports"), m, p) {
                if (n++ < 3)
                    buf_printf(out, "%s%s:%lld", n > 1 ? "," : "", json_text(a, "ip", ""),
                               (long long)json_int(p, "port", 0));
            }
        }
    }
    if (n == 0)
        buf_add_cstr(out, "<none>");
    else if (n > 3)
        buf_printf(out, " + %zu more...", n - 3);
}

const struct column endpoints_columns[] = {
    NAME_COLUMN, {"Endpoints", .cell = endpoints_cell}, AGE_COLUMN, {0}};

CELL(slice_ports)
{
    const json_t *p;
    size_t i;

    json_array_foreach (json_at(o, "ports"), i, p)
        buf_printf(out, "%s%lld", i ? "," : "", (long long)json_int(p, "port", 0));
    if (out->n == 0)
        buf_add_cstr(out, "<unset>");
}

CELL(slice_endpoints)
{
    const json_t *e;
    size_t i;

    json_array_foreach (json_at(o, "endpoints"), i, e)
        buf_printf(out, "%s%s", i ? "," : "",
                   json_string_value(json_array_get(json_at(e, "addresses"), 0)));
    if (out->n == 0)
        buf_add_cstr(out, "<unset>");
}

const struct column endpointslice_columns[] = {NAME_COLUMN,
                                               {"AddressType", .path = ".addressType"},
                                               {"Ports", .cell = slice_ports},
                                               {"Endpoints", .cell = slice_endpoints},
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
        add_int(out, o, "spec.minReplicas");
    else
        buf_add_cstr(out, "<unset>");
}

CELL(hpa_max)
{
    add_int(out, o, "spec.maxReplicas");
}

CELL(hpa_replicas)
{
    add_int(out, o, "status.currentReplicas");
}

const struct column hpa_columns[] = {NAME_COLUMN,
                                     {"Reference", .cell = hpa_reference},
                                     {"Targets", .cell = hpa_targets},
                                     {"MinPods", .cell = hpa_min},
                                     {"MaxPods", "integer", .cell = hpa_max},
                                     {"Replicas", "integer", .cell = hpa_replicas},
                                     AGE_COLUMN,
                                     {0}};

/* --- the rest of the built-in kinds --- */

CELL(data_count)
{
    buf_add_i64(out, (int64_t)(json_object_size(json_at(o, "data")) +
                               json_object_size(json_at(o, "binaryData"))));
}

const struct column secret_columns[] = {NAME_COLUMN,
                                        {"Type", .path = ".type"},
                                        {"Data", "integer", .cell = data_count},
                                        AGE_COLUMN,
                                        {0}};
const struct column configmap_columns[] = {
    NAME_COLUMN, {"Data", "integer", .cell = data_count}, AGE_COLUMN, {0}};
const struct column namespace_columns[] = {
    NAME_COLUMN, {"Status", .path = ".status.phase"}, AGE_COLUMN, {0}};

CELL(account_secrets)
{
    buf_add_i64(out, (int64_t)json_array_size(json_at(o, "secrets")));
}

const struct column serviceaccount_columns[] = {
    NAME_COLUMN, {"Secrets", "integer", .cell = account_secrets}, AGE_COLUMN, {0}};

static const char *event_time(const json_t *o)
{
    const char *t = json_text(o, "lastTimestamp", NULL);

    if (!t)
        t = json_text(o, "eventTime", NULL);
    return t ? t : json_text(o, "metadata.creationTimestamp", NULL);
}

static const char *event_first(const json_t *o)
{
    const char *t = json_text(o, "firstTimestamp", NULL);

    return t ? t : event_time(o);
}

CELL(event_last_seen)
{
    int64_t n = json_int(o, "count", 1);

    add_age(out, event_time(o), now_ms);
    if (n > 1) {
        buf_printf(out, " (x%lld over ", (long long)n);
        add_age(out, event_first(o), now_ms);
        buf_add_char(out, ')');
    }
}

CELL(event_first_seen)
{
    add_age(out, event_first(o), now_ms);
}

CELL(event_object)
{
    for (const char *p = json_text(o, "involvedObject.kind", ""); *p; p++)
        buf_add_char(out, *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p);
    buf_printf(out, "/%s", json_text(o, "involvedObject.name", ""));
}

CELL(event_message)
{
    buf_add_str(out, str_trim(str_of(json_text(o, "message", ""))));
}

CELL(event_source)
{
    buf_add_cstr(out, json_text(o, "source.component", json_text(o, "reportingComponent", "")));
}

CELL(event_count)
{
    buf_add_i64(out, json_int(o, "count", 1));
}

const struct column event_columns[] = {
    {"Last Seen", .cell = event_last_seen},
    {"Type", .path = ".type"},
    {"Reason", .path = ".reason"},
    {"Object", .cell = event_object},
    {"Subobject", .path = ".involvedObject.fieldPath", .wide = true},
    {"Source", .cell = event_source, .wide = true},
    {"Message", .cell = event_message},
    {"First Seen", .cell = event_first_seen, .wide = true},
    {"Count", "integer", .cell = event_count, .wide = true},
    {"Name", .path = ".metadata.name", .wide = true},
    {0}};

const struct column lease_columns[] = {
    NAME_COLUMN, {"Holder", .path = ".spec.holderIdentity"}, AGE_COLUMN, {0}};
const struct column limitrange_columns[] = {
    NAME_COLUMN, {"Created At", .path = ".metadata.creationTimestamp"}, {0}};
const struct column crd_columns[] = {
    NAME_COLUMN, {"Created At", .path = ".metadata.creationTimestamp"}, {0}};

CELL(node_status)
{
    buf_add_cstr(out, condition_is_true(o, "Ready") ? "Ready" : "NotReady");
}

static void node_address(struct buf *out, const json_t *o, const char *type)
{
    const json_t *a;
    size_t i;

    json_array_foreach (json_at(o, "status.addresses"), i, a) {
        if (strcmp(json_text(a, "type", ""), type) == 0) {
            buf_add_cstr(out, json_text(a, "address", ""));
            return;
        }
    }
    buf_add_cstr(out, "<none>");
}

CELL(node_internal)
{
    node_address(out, o, "InternalIP");
}

CELL(node_external)
{
    node_address(out, o, "ExternalIP");
}

const struct column node_columns[] = {
    NAME_COLUMN,
    {"Status", .cell = node_status},
    {"Roles", .cell = none},
    AGE_COLUMN,
    {"Version", .path = ".status.nodeInfo.kubeletVersion"},
    {"Internal-IP", .cell = node_internal, .wide = true},
    {"External-IP", .cell = node_external, .wide = true},
    {"OS-Image", .path = ".status.nodeInfo.osImage", .wide = true},
    {"Kernel-Version", .path = ".status.nodeInfo.kernelVersion", .wide = true},
    {"Container-Runtime", .path = ".status.nodeInfo.containerRuntimeVersion", .wide = true},
    {0}};

CELL(ingress_hosts)
{
    const json_t *r;
    size_t i, n = json_array_size(json_at(o, "spec.rules"));

    json_array_foreach (json_at(o, "spec.rules"), i, r) {
        if (i < 3)
            buf_printf(out, "%s%s", i ? "," : "", json_text(r, "host", "*"));
    }
    if (n == 0)
        buf_add_char(out, '*');
    if (n > 3)
        buf_printf(out, " + %zu more...", n - 3);
}

CELL(ingress_class)
{
    text_or_none(out, json_text(o, "spec.ingressClassName", NULL));
}

CELL(ingress_address)
{
    const json_t *first = json_array_get(json_at(o, "status.loadBalancer.ingress"), 0);

    buf_add_cstr(out, json_text(first, "ip", json_text(first, "hostname", "")));
}

CELL(ingress_ports)
{
    buf_add_cstr(out, json_array_size(json_at(o, "spec.tls")) ? "80, 443" : "80");
}

const struct column ingress_columns[] = {NAME_COLUMN,
                                         {"Class", .cell = ingress_class},
                                         {"Hosts", .cell = ingress_hosts},
                                         {"Address", .cell = ingress_address},
                                         {"Ports", .cell = ingress_ports},
                                         AGE_COLUMN,
                                         {0}};

/* --- custom kinds: jsonPaths, exactly the originals' --- */

#define AGE_PATH                                     \
    {                                                \
        "Age", "date", ".metadata.creationTimestamp" \
    }
#define PREV ".status.components.predictor.traffic[?(@.tag=='prev')]"
#define LATEST ".status.components.predictor.traffic[?(@.latestRevision==true)]"

const struct column inferenceservice_columns[] = {
    NAME_COLUMN,
    {"URL", .path = ".status.url"},
    {"Ready", .path = ".status.conditions[?(@.type=='Ready')].status"},
    {"Prev", "integer", PREV ".percent"},
    {"Latest", "integer", LATEST ".percent"},
    {"PrevRolledoutRevision", .path = PREV ".revisionName"},
    {"LatestReadyRevision", .path = LATEST ".revisionName"},
    AGE_PATH,
    {0}};

const struct column runtime_columns[] = {
    NAME_COLUMN,
    {"Disabled", "boolean", ".spec.disabled"},
    {"ModelType", .path = ".spec.supportedModelFormats[*].name"},
    {"Containers", .path = ".spec.containers[*].name"},
    AGE_PATH,
    {0}};

/* The layout of the tutorial (KEDA 2.11 to 2.15). */
const struct column scaledobject_columns[] = {
    NAME_COLUMN,
    {"ScaleTargetKind", .path = ".status.scaleTargetKind"},
    {"ScaleTargetName", .path = ".spec.scaleTargetRef.name"},
    {"Min", "integer", ".spec.minReplicaCount"},
    {"Max", "integer", ".spec.maxReplicaCount"},
    {"Triggers", .path = ".spec.triggers[*].type"},
    {"Authentication", .path = ".spec.triggers[*].authenticationRef.name"},
    {"Ready", .path = ".status.conditions[?(@.type==\"Ready\")].status"},
    {"Active", .path = ".status.conditions[?(@.type==\"Active\")].status"},
    {"Fallback", .path = ".status.conditions[?(@.type==\"Fallback\")].status"},
    {"Paused", .path = ".status.conditions[?(@.type==\"Paused\")].status"},
    AGE_PATH,
    {0}};

/* Those of KEDA from 2.16 on: all triggers and authentications, behind the conditions. */
const struct column scaledobject_columns_new[] = {
    NAME_COLUMN,
    {"ScaleTargetKind", .path = ".status.scaleTargetKind"},
    {"ScaleTargetName", .path = ".spec.scaleTargetRef.name"},
    {"Min", "integer", ".spec.minReplicaCount"},
    {"Max", "integer", ".spec.maxReplicaCount"},
    {"Ready", .path = ".status.conditions[?(@.type==\"Ready\")].status"},
    {"Active", .path = ".status.conditions[?(@.type==\"Active\")].status"},
    {"Fallback", .path = ".status.conditions[?(@.type==\"Fallback\")].status"},
    {"Paused", .path = ".status.conditions[?(@.type==\"Paused\")].status"},
    {"Triggers", .path = ".status.triggersTypes"},
    {"Authentications", .path = ".status.authenticationsTypes"},
    AGE_PATH,
    {0}};

const struct column triggerauth_columns[] = {
    NAME_COLUMN,
    {"PodIdentity", .path = ".spec.podIdentity.provider"},
    {"Secret", .path = ".spec.secretTargetRef[*].name"},
    {"Env", .path = ".spec.env[*].name"},
    {"VaultAddress", .path = ".spec.hashiCorpVault.address"},
    {"ScaledObjects", .path = ".status.scaledobjects", .wide = true},
    {"ScaledJobs", .path = ".status.scaledjobs", .wide = true},
    {0}};

const struct column clustertriggerauth_columns[] = {
    NAME_COLUMN,
    {"PodIdentity", .path = ".spec.podIdentity.provider"},
    {"Secret", .path = ".spec.secretTargetRef[*].name"},
    {"Env", .path = ".spec.env[*].name"},
    {"FilePath", .path = ".spec.filePath"},
    {"VaultAddress", .path = ".spec.hashiCorpVault.address"},
    {"ScaledObjects", .path = ".status.scaledobjects", .wide = true},
    {"ScaledJobs", .path = ".status.scaledjobs", .wide = true},
    {0}};

const struct column collector_columns[] = {NAME_COLUMN,
                                           {"Mode", .path = ".spec.mode"},
                                           {"Version", .path = ".status.version"},
                                           {"Ready", .path = ".status.scale.statusReplicas"},
                                           AGE_PATH,
                                           {"Image", .path = ".status.image"},
                                           {"Management", .path = ".spec.managementState"},
                                           {0}};
