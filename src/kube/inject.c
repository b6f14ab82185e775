/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/inject.h"

#include <stdlib.h>

#include "base/mem.h"
#include "codec/yaml.h"
#include "kube/collector.h"

/* With the processors that KServe's configuration uses. */
#define DEFAULT_IMAGE                                          \
    "ghcr.io/open-telemetry/opentelemetry-collector-releases/" \
    "opentelemetry-collector-contrib:" COLLECTOR_VERSION

/* --- who is asked for --- */

static bool is_word(const char *v, const char *word)
{
    return str_eq_nocase(str_of(v), str_of(word));
}

/* The annotation that counts: the pod's, but a pod's "true" gives way to its namespace. */
static const char *annotation_of(const json_t *pod, const json_t *ns)
{
    const char *own = json_string_value(
        json_object_get(json_at(pod, "metadata.annotations"), COLLECTOR_INJECT_ANNOTATION));
    const char *common = json_string_value(
        json_object_get(json_at(ns, "metadata.annotations"), COLLECTOR_INJECT_ANNOTATION));

    own = own ? own : "";
    common = common ? common : "";
    if (!*common || (*own && !is_word(own, "true")))
        return own;
    return common;
}

struct only_one {
    const struct object *found;
    size_t n;
};

static bool is_sidecar(const struct object *o)
{
    AUTO_JSON json_t *tree = object_tree(o);

    return strcmp(json_text(tree, "spec.mode", ""), "sidecar") == 0;
}

static void count_sidecars(void *arg, const struct object *o)
{
    struct only_one *x = arg;

    if (o->deleting_ms || !is_sidecar(o))
        return;
    x->n++;
    x->found = o;
}

static const struct object *the_only_one(struct cluster *c, struct str ns, struct buf *why)
{
    struct only_one x = {0};

    cluster_each(c, KIND_OTELCOLLECTOR, ns, NULL, count_sidecars, &x);
    if (x.n == 1)
        return x.found;
    buf_printf(why,
               "the annotation " COLLECTOR_INJECT_ANNOTATION
               " is \"true\", but namespace '%.*s' has %zu "
               "OpenTelemetryCollectors of mode sidecar, not one: name one in the annotation",
               STR_ARG(ns), x.n);
    return NULL;
}

static const struct object *by_name(struct cluster *c, struct str ns, struct str value,
                                    struct buf *why)
{
    ptrdiff_t slash = str_chr(value, '/');
    struct str name = slash < 0 ? value : str_skip(value, (size_t)slash + 1);
    const struct object *o;

    if (slash >= 0)
        ns = (struct str){value.p, (size_t)slash};
    o = cluster_get(c, KIND_OTELCOLLECTOR, ns, name);
    if (!o)
        buf_printf(why,
                   "the annotation " COLLECTOR_INJECT_ANNOTATION " names OpenTelemetryCollector "
                   "'%.*s' in namespace '%.*s', which did not exist when the pod was created: "
                   "create it, then the pod anew",
                   STR_ARG(name), STR_ARG(ns));
    else if (!is_sidecar(o)) {
        buf_printf(why, "OpenTelemetryCollector '%.*s' is not of mode sidecar", STR_ARG(name));
        o = NULL;
    }
    return o;
}

static const char *value_for(struct cluster *c, const json_t *pod, json_t **ret_ns_tree)
{
    struct str ns = str_of(json_text(pod, "metadata.namespace", ""));
    const struct object *o = cluster_get(c, KIND_NAMESPACE, STR_NONE, ns);

    *ret_ns_tree = o ? object_tree(o) : NULL;
    return annotation_of(pod, *ret_ns_tree);
}

const struct object *inject_wanted(struct cluster *c, const json_t *pod, struct buf *why)
{
    struct str ns = str_of(json_text(pod, "metadata.namespace", ""));
    AUTO_JSON json_t *ns_tree = NULL;
    const char *value = value_for(c, pod, &ns_tree);

    if (!*value || is_word(value, "false"))
        return NULL;
    return is_word(value, "true") ? the_only_one(c, ns, why) : by_name(c, ns, str_of(value), why);
}

/* --- the container --- */

static void add_field_var(json_t *env, const char *name, const char *path)
{
    json_array_append_new(env, json_pack("{s:s,s:{s:{s:s,s:s}}}", "name", name, "valueFrom",
                                         "fieldRef", "apiVersion", "v1", "fieldPath", path));
}

static bool has_named(const json_t *list, const char *name)
{
    const json_t *v;
    size_t i;

    json_array_foreach ((json_t *)list, i, v)
        if (strcmp(json_text(v, "name", ""), name) == 0)
            return true;
    return false;
}

/* One level up the owners: the controller of o, of that kind. */
static const struct object *controller_of(struct cluster *c, const json_t *o, const char *kind,
                                          enum kind_id id)
{
    const json_t *owner;
    size_t i;

    json_array_foreach (json_at(o, "metadata.ownerReferences"), i, owner)
        if (json_bool(owner, "controller", false) &&
            strcmp(json_text(owner, "kind", ""), kind) == 0)
            return cluster_get(c, id, str_of(json_text(o, "metadata.namespace", "")),
                               str_of(json_text(owner, "name", "")));
    return NULL;
}

char *inject_resource_attributes(struct cluster *c, const json_t *pod)
{
    const struct object *rs = controller_of(c, pod, "ReplicaSet", KIND_REPLICASET), *d,
                        *set = controller_of(c, pod, "StatefulSet", KIND_STATEFULSET);
    AUTO_JSON json_t *rs_tree = rs ? object_tree(rs) : NULL;
    struct buf b = BUF_INIT;

    d = rs_tree ? controller_of(c, rs_tree, "Deployment", KIND_DEPLOYMENT) : NULL;
    if (d)
        buf_printf(&b, "k8s.deployment.name=%.*s,k8s.deployment.uid=%.*s,", STR_ARG(d->name),
                   STR_ARG(d->uid));
    buf_printf(&b,
               "k8s.namespace.name=%s,k8s.node.name=$(OTEL_RESOURCE_ATTRIBUTES_NODE_NAME),"
               "k8s.pod.name=$(OTEL_RESOURCE_ATTRIBUTES_POD_NAME),"
               "k8s.pod.uid=$(OTEL_RESOURCE_ATTRIBUTES_POD_UID)",
               json_text(pod, "metadata.namespace", ""));
    if (rs)
        buf_printf(&b, ",k8s.replicaset.name=%.*s,k8s.replicaset.uid=%.*s", STR_ARG(rs->name),
                   STR_ARG(rs->uid));
    if (set)
        buf_printf(&b, ",k8s.statefulset.name=%.*s,k8s.statefulset.uid=%.*s", STR_ARG(set->name),
                   STR_ARG(set->uid));
    return buf_take(&b, NULL);
}

static json_t *environment(struct cluster *c, const json_t *pod, const json_t *spec)
{
    json_t *env =
        json_object_get(spec, "env") ? json_deep_copy(json_object_get(spec, "env")) : json_array();
    struct buf config = BUF_INIT;

    if (!has_named(env, "POD_NAME"))
        add_field_var(env, "POD_NAME", "metadata.name");
    yaml_write(&config, json_object_get(spec, "config"));
    json_array_append_new(env, json_pack("{s:s,s:o}", "name", "OTEL_CONFIG", "value",
                                         json_str_new(buf_str(&config))));
    buf_done(&config);
    if (!has_named(env, "OTEL_RESOURCE_ATTRIBUTES")) {
        AUTO_FREE char *attributes = inject_resource_attributes(c, pod);

        add_field_var(env, "OTEL_RESOURCE_ATTRIBUTES_POD_NAME", "metadata.name");
        add_field_var(env, "OTEL_RESOURCE_ATTRIBUTES_POD_UID", "metadata.uid");
        add_field_var(env, "OTEL_RESOURCE_ATTRIBUTES_NODE_NAME", "spec.nodeName");
        json_array_append_new(
            env, json_pack("{s:s,s:s}", "name", "OTEL_RESOURCE_ATTRIBUTES", "value", attributes));
    }
    return env;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static json_t *arguments(const json_t *spec)
{
    const json_t *args = json_object_get(spec, "args"), *v;
    size_t n = 0;
    const char **keys = mem_array(json_object_size(args) + 1, sizeof(*keys)), *key;
    json_t *out = json_array();

    json_members (args, key, v)
        keys[n++] = key;
    qsort(keys, n, sizeof(*keys), by_text);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(out, json_fmt("--%s=%s", keys[i], json_text(args, keys[i], "")));
    json_array_append_new(out, json_string("--config=env:OTEL_CONFIG"));
    free(keys);
    return out;
}

/* --- ports --- */

/* "0.0.0.0:8888" -> 8888; 0: none. */
static int64_t port_of(const char *endpoint)
{
    const char *colon = strrchr(endpoint, ':');
    int64_t port;

    return colon && str_to_i64(str_of(colon + 1), &port) && port > 0 && port < 65536 ? port : 0;
}

/* A port's name has at most 15 characters of a-z, 0-9 and '-'. */
static void add_port(json_t *ports, const char *name, int64_t port)
{
    char text[16];
    size_t n = 0;

    if (port == 0)
        return;
    for (; name[n] && n < 15; n++) {
        char c = (char)(name[n] | 0x20);

        text[n] = ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) ? c : '-';
    }
    while (n > 0 && text[n - 1] == '-')
        n--;
    text[n] = '\0';
    json_array_append_new(ports, json_pack("{s:s,s:I,s:s}", "name", text, "containerPort",
                                           (json_int_t)port, "protocol", "TCP"));
}

static json_t *ports(const json_t *spec)
{
    const json_t *config = json_object_get(spec, "config"), *r, *p;
    json_t *out = json_array();
    const char *name, *protocol;
    size_t i;

    json_array_foreach (json_object_get(spec, "ports"), i, p)
        add_port(out, json_text(p, "name", "port"), json_int(p, "port", 0));
    add_port(out, "metrics", port_of(json_text(config, "service.telemetry.metrics.address", "")));
    json_members (json_object_get(config, "receivers"), name, r) {
        static const struct {
            const char *protocol;
            int64_t port;
        } defaults[] = {{"grpc", 4317}, {"http", 4318}};

        add_port(out, name, port_of(json_text(r, "endpoint", "")));
        json_members (json_object_get(r, "protocols"), protocol, p) {
            AUTO_FREE char *full = mem_printf("%s-%s", name, protocol);
            int64_t port = port_of(json_text(p, "endpoint", ""));

            for (i = 0; port == 0 && strncmp(name, "otlp", 4) == 0 && i < ARRAY_LEN(defaults); i++)
                port = strcmp(protocol, defaults[i].protocol) == 0 ? defaults[i].port : 0;
            add_port(out, full, port);
        }
    }
    return out;
}

static json_t *container(struct cluster *c, const json_t *pod, const json_t *spec)
{
    static const char *const copied[] = {"imagePullPolicy", "resources",       "envFrom",
                                         "volumeMounts",    "securityContext", "lifecycle"};
    /* the reason of a refused configuration is on its standard error: shown in the pod's status */
    json_t *out = json_pack("{s:s,s:s,s:o,s:o,s:o,s:s}", "name", COLLECTOR_CONTAINER, "image",
                            json_text(spec, "image", DEFAULT_IMAGE), "args", arguments(spec), "env",
                            environment(c, pod, spec), "ports", ports(spec),
                            "terminationMessagePolicy", "FallbackToLogsOnError");

    for (size_t i = 0; i < ARRAY_LEN(copied); i++)
        if (json_object_get(spec, copied[i]))
            json_object_set_new(out, copied[i], json_deep_copy(json_object_get(spec, copied[i])));
    return out;
}

/* --- the pod --- */

static json_t *member(json_t *o, const char *key, json_t *empty)
{
    json_t *v = json_object_get(o, key);

    if (v && json_typeof(v) == json_typeof(empty)) {
        json_decref(empty);
        return v;
    }
    json_object_set_new(o, key, empty);
    return empty;
}

static void append(json_t *spec, const char *key, const json_t *more)
{
    if (json_array_size(more))
        json_array_extend(member(spec, key, json_array()), (json_t *)more);
}

/* ConfigMaps of the resource are volumes under /var/conf. */
static void mount_configmaps(json_t *pod_spec, json_t *container, const json_t *list)
{
    const json_t *m;
    size_t i;

    json_array_foreach ((json_t *)list, i, m) {
        const char *name = json_text(m, "name", "");
        AUTO_FREE char *volume = mem_printf("configmap-%s", name);

        json_array_append_new(
            member(pod_spec, "volumes", json_array()),
            json_pack("{s:s,s:{s:s}}", "name", volume, "configMap", "name", name));
        json_array_append_new(
            member(container, "volumeMounts", json_array()),
            json_pack("{s:s,s:o}", "name", volume, "mountPath",
                      json_fmt("/var/conf/%s/%s", json_text(m, "mountpath", ""), volume)));
    }
}

static void remove_sidecar(json_t *containers)
{
    for (size_t i = json_array_size(containers); i > 0; i--)
        if (strcmp(json_text(json_array_get(containers, i - 1), "name", ""), COLLECTOR_CONTAINER) ==
            0)
            json_array_remove(containers, i - 1);
}

void inject_collector(struct cluster *c, json_t *pod)
{
    json_t *spec = json_object_get(pod, "spec"), *containers = json_object_get(spec, "containers"),
           *added;
    AUTO_JSON json_t *ns_tree = NULL, *tree = NULL;
    struct buf why = BUF_INIT;
    const struct object *o;
    const json_t *from;
    char label[64];

    if (!c || !json_is_array(containers))
        return;
    if (is_word(value_for(c, pod, &ns_tree), "false"))
        remove_sidecar(containers);
    o = inject_wanted(c, pod, &why);
    buf_done(&why); /* told by the controller, on the pod */
    if (!o || has_named(containers, COLLECTOR_CONTAINER))
        return;
    tree = object_tree(o);
    from = json_object_get(tree, "spec");
    added = container(c, pod, from);
    json_array_append_new(containers, added);
    mount_configmaps(spec, added, json_object_get(from, "configmaps"));
    append(spec, "volumes", json_object_get(from, "volumes"));
    append(spec, "initContainers", json_object_get(from, "initContainers"));
    json_object_set_new(member(json_object_get(pod, "metadata"), "labels", json_object()),
                        COLLECTOR_INJECTED_LABEL,
                        json_string(collector_label(o->ns, o->name, label)));
}
