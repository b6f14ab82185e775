/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenTelemetryCollector: versions, admission, and the sidecar a pod gets. */
#include <stdio.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "codec/yaml.h"
#include "kube/collector.h"
#include "kube/inject.h"
#include "kube/validate.h"

static json_t *yaml(const char *text)
{
    struct err err = ERR_INIT;
    json_t *v = NULL;

    if (yaml_parse(str_of(text), &v, &err) < 0)
        fail_msg("%s\n%s", err.msg, text);
    return v;
}

/* --- a cluster that is a list --- */

struct fake {
    struct cluster cluster;
    struct object *items[16];
    size_t n;
};

static const struct object *fake_get(struct cluster *c, enum kind_id kind, struct str ns,
                                     struct str name)
{
    struct fake *f = (struct fake *)c;

    for (size_t i = 0; i < f->n; i++)
        if (f->items[i]->kind->id == kind && str_eq(f->items[i]->ns, ns) &&
            str_eq(f->items[i]->name, name))
            return f->items[i];
    return NULL;
}

static void fake_each(struct cluster *c, enum kind_id kind, struct str ns,
                      const struct selector *sel, cluster_each_fn *fn, void *arg)
{
    struct fake *f = (struct fake *)c;

    (void)sel;
    for (size_t i = 0; i < f->n; i++)
        if (f->items[i]->kind->id == kind && (!ns.n || str_eq(f->items[i]->ns, ns)))
            fn(arg, f->items[i]);
}

static const struct cluster_ops fake_ops = {.get = fake_get, .each = fake_each};

static void add(struct fake *f, enum kind_id kind, const char *text)
{
    AUTO_JSON json_t *tree = yaml(text);
    struct err err = ERR_INIT;

    if (kind_of(kind)->defaults)
        kind_of(kind)->defaults(tree);
    if (object_new(kind_of(kind), tree, &f->items[f->n], &err) < 0)
        fail_msg("%s", err.msg);
    f->n++;
}

static void fake_done(struct fake *f)
{
    for (size_t i = 0; i < f->n; i++)
        object_unref(f->items[i]);
}

static void fill(struct fake *f, const char *ns_annotation)
{
    AUTO_FREE char *ns =
        mem_printf("{apiVersion: v1, kind: Namespace, metadata: {name: team, annotations: {%s}}}",
                   ns_annotation);

    *f = (struct fake){.cluster = {.ops = &fake_ops}};
    add(f, KIND_NAMESPACE, ns);
    add(f, KIND_DEPLOYMENT,
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, namespace: team, uid: du}}");
    add(f, KIND_REPLICASET,
        "{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: d-1, namespace: team, uid: ru, "
        "ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: d, uid: du, controller: "
        "true}]}}");
    add(f, KIND_OTELCOLLECTOR,
        "{apiVersion: opentelemetry.io/v1beta1, kind: OpenTelemetryCollector, metadata: {name: "
        "own, namespace: team}, spec: {mode: sidecar, args: {z: '1', a: '2'}, env: [{name: FIRST, "
        "value: x}], config: {receivers: {otlp: {protocols: {grpc: {}}}}, exporters: {otlp: "
        "{endpoint: 'h:1'}}, service: {pipelines: {metrics: {receivers: [otlp], exporters: "
        "[otlp]}}}}}}");
    add(f, KIND_OTELCOLLECTOR,
        "{apiVersion: opentelemetry.io/v1beta1, kind: OpenTelemetryCollector, metadata: {name: "
        "gateway, namespace: team}, spec: {mode: deployment, config: {}}}");
    add(f, KIND_OTELCOLLECTOR,
        "{apiVersion: opentelemetry.io/v1beta1, kind: OpenTelemetryCollector, metadata: {name: "
        "far, namespace: other}, spec: {mode: sidecar, config: {}}}");
}

static json_t *pod(const char *annotation)
{
    AUTO_FREE char *text = mem_printf(
        "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: team, annotations: {%s}, "
        "ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: d-1, uid: ru, controller: "
        "true}]}, spec: {containers: [{name: main, image: i}]}}",
        annotation);

    return yaml(text);
}

/* The table of otel.md 5.2: annotation of the pod, of the namespace, and what is injected. */
static void annotations_of_pod_and_namespace_decide(void **state)
{
#define INJECT "sidecar.opentelemetry.io/inject: "
    static const struct {
        const char *pod, *ns, *label, *why;
    } rows[] = {
        {"", "", NULL, NULL},
        {INJECT "own", "", "team.own", NULL},
        {INJECT "'true'", "", "team.own", NULL},
        {INJECT "'True'", "", "team.own", NULL},
        {INJECT "other/far", "", "other.far", NULL},
        {INJECT "'false'", "", NULL, NULL},
        {"", INJECT "own", "team.own", NULL},
        {"", INJECT "'true'", "team.own", NULL},
        {INJECT "own", INJECT "other/far", "team.own", NULL},
        {INJECT "'false'", INJECT "'true'", NULL, NULL},
        {INJECT "'true'", INJECT "'false'", NULL, NULL},
        {INJECT "'true'", INJECT "other/far", "other.far", NULL},
        {INJECT "gateway", "", NULL, "not of mode sidecar"},
        {INJECT "nobody", "", NULL, "did not exist"},
        {INJECT "other/nobody", "", NULL, "namespace 'other'"},
    };
    int bad = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *p = pod(rows[i].pod);
        struct buf why = BUF_INIT;
        struct fake f;
        const char *label;

        fill(&f, rows[i].ns);
        inject_wanted(&f.cluster, p, &why);
        inject_collector(&f.cluster, p);
        label = json_string_value(
            json_object_get(json_at(p, "metadata.labels"), COLLECTOR_INJECTED_LABEL));
        if (strcmp(label ? label : "-", rows[i].label ? rows[i].label : "-") != 0 ||
            (json_array_size(json_at(p, "spec.containers")) == 2) != (rows[i].label != NULL) ||
            (rows[i].why ? !strstr(buf_cstr(&why), rows[i].why) : why.n != 0)) {
            print_error("row %zu: label %s, why '%s'\n", i, label ? label : "-", buf_cstr(&why));
            bad++;
        }
        buf_done(&why);
        fake_done(&f);
    }
    assert_int_equal(bad, 0);
}

static void several_sidecars_of_a_namespace_leave_true_undecided(void **state)
{
    AUTO_JSON json_t *p = pod("sidecar.opentelemetry.io/inject: 'true'");
    struct buf why = BUF_INIT;
    struct fake f;

    (void)state;
    fill(&f, "");
    add(&f, KIND_OTELCOLLECTOR,
        "{apiVersion: opentelemetry.io/v1beta1, kind: OpenTelemetryCollector, metadata: {name: "
        "second, namespace: team}, spec: {mode: sidecar, config: {}}}");
    assert_null(inject_wanted(&f.cluster, p, &why));
    assert_non_null(strstr(buf_cstr(&why), "has 2 OpenTelemetryCollectors"));
    buf_done(&why);
    fake_done(&f);
}

static void a_statefulsets_pod_names_its_set(void **state)
{
    AUTO_JSON json_t *p =
        yaml("{apiVersion: v1, kind: Pod, metadata: {name: web-0, namespace: team, "
             "ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: su, "
             "controller: true}]}}");
    AUTO_FREE char *attributes = NULL;
    struct fake f;

    (void)state;
    fill(&f, "");
    add(&f, KIND_STATEFULSET,
        "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: web, namespace: team, uid: "
        "su}}");
    attributes = inject_resource_attributes(&f.cluster, p);
    assert_string_equal(attributes, "k8s.namespace.name=team,"
                                    "k8s.node.name=$(OTEL_RESOURCE_ATTRIBUTES_NODE_NAME),"
                                    "k8s.pod.name=$(OTEL_RESOURCE_ATTRIBUTES_POD_NAME),"
                                    "k8s.pod.uid=$(OTEL_RESOURCE_ATTRIBUTES_POD_UID),"
                                    "k8s.statefulset.name=web,k8s.statefulset.uid=su");
    fake_done(&f);
}

static void the_container_is_as_the_operator_makes_it(void **state)
{
    static const char *const env[] = {"FIRST",
                                      "POD_NAME",
                                      "OTEL_CONFIG",
                                      "OTEL_RESOURCE_ATTRIBUTES_POD_NAME",
                                      "OTEL_RESOURCE_ATTRIBUTES_POD_UID",
                                      "OTEL_RESOURCE_ATTRIBUTES_NODE_NAME",
                                      "OTEL_RESOURCE_ATTRIBUTES"};
    AUTO_JSON json_t *p = pod("sidecar.opentelemetry.io/inject: own"), *args = NULL, *ports = NULL,
                     *config = NULL;
    const json_t *c, *v;
    struct fake f;
    size_t i;

    (void)state;
    fill(&f, "");
    inject_collector(&f.cluster, p);
    inject_collector(&f.cluster, p); /* twice is once */
    assert_int_equal(json_array_size(json_at(p, "spec.containers")), 2);
    c = json_array_get(json_at(p, "spec.containers"), 1);
    assert_string_equal(json_text(c, "name", ""), "otc-container");
    assert_non_null(strstr(json_text(c, "image", ""), "/opentelemetry-collector-contrib:0.120.0"));
    args = yaml("[--a=2, --z=1, '--config=env:OTEL_CONFIG']");
    assert_true(json_equal(json_object_get(c, "args"), args));
    assert_int_equal(json_array_size(json_object_get(c, "env")), ARRAY_LEN(env));
    json_array_foreach (json_object_get(c, "env"), i, v)
        assert_string_equal(json_text(v, "name", ""), env[i]);
    assert_string_equal(json_text(json_array_get(json_object_get(c, "env"), 6), "value", ""),
                        "k8s.deployment.name=d,k8s.deployment.uid=du,k8s.namespace.name=team,"
                        "k8s.node.name=$(OTEL_RESOURCE_ATTRIBUTES_NODE_NAME),"
                        "k8s.pod.name=$(OTEL_RESOURCE_ATTRIBUTES_POD_NAME),"
                        "k8s.pod.uid=$(OTEL_RESOURCE_ATTRIBUTES_POD_UID),"
                        "k8s.replicaset.name=d-1,k8s.replicaset.uid=ru");
    config = yaml(json_text(json_array_get(json_object_get(c, "env"), 2), "value", ""));
    assert_string_equal(json_text(config, "exporters.otlp.endpoint", ""), "h:1");
    ports = yaml("[{name: metrics, containerPort: 8888, protocol: TCP}, {name: otlp-grpc, "
                 "containerPort: 4317, protocol: TCP}]");
    assert_true(json_equal(json_object_get(c, "ports"), ports));
    json_put(p, "metadata.annotations", json_pack("{s:s}", COLLECTOR_INJECT_ANNOTATION, "false"));
    inject_collector(&f.cluster, p);
    assert_int_equal(json_array_size(json_at(p, "spec.containers")), 1);
    fake_done(&f);
}

static void a_label_is_cut_to_63_characters_and_ends_well(void **state)
{
    char label[64];

    (void)state;
    assert_string_equal(collector_label(STR("a"), STR("b"), label), "a.b");
    collector_label(STR("n"), STR("123456789-123456789-123456789-123456789-123456789-123456789--x"),
                    label);
    assert_string_equal(label, "n.123456789-123456789-123456789-123456789-123456789-123456789");
}

/* --- the resource --- */

static const char base[] =
    "{apiVersion: opentelemetry.io/v1beta1, kind: OpenTelemetryCollector, metadata: {name: c, "
    "namespace: team}, spec: {mode: sidecar, config: {receivers: {otlp: {}}, exporters: {otlp: "
    "{endpoint: 'h:1'}}, service: {pipelines: {metrics: {receivers: [otlp], exporters: "
    "[otlp]}}}}}}";

/* One change each, and what comes of it. */
static void admission_has_its_verdicts(void **state)
{
    static const struct {
        const char *path, *value;
        int http; /* 0: admitted */
        const char *says, *warns;
    } rows[] = {
        {"spec.image", "x", 0, NULL, NULL},
        {"spec.mode", "deployment", 403, "cannot be changed", NULL},
        {"spec.mode", "sidecars", 422, "spec.mode", NULL},
        {"spec.tolerations", "[{key: k}]", 403, "'tolerations'", NULL},
        {"spec.tolerations", "[]", 0, NULL, NULL},
        {"spec.priorityClassName", "high", 403, "'priorityClassName'", NULL},
        {"spec.affinity", "{nodeAffinity: {}}", 403, "'affinity'", NULL},
        {"spec.additionalContainers", "[{name: x, image: i}]", 403, "'additionalContainers'", NULL},
        {"spec.volumeClaimTemplates", "[{}]", 403, "'volumeClaimTemplates'", NULL},
        {"spec.ingress", "{type: ingress}", 403, "'ingress'", NULL},
        {"spec.config.receivers", NULL, 422, "spec.config.receivers", NULL},
        {"spec.config.service", "{}", 422, "spec.config.service.pipelines", NULL},
        {"spec.config", "text", 422, "v1alpha1", NULL},
        {"spec.config", "'a: [1'", 422, "not YAML", NULL},
        {"spec.config.processors", "{batch: ~}", 0, NULL, "null sections (processors.batch)"},
        {"spec.config.service.pipelines.metrics.processors", "[batch]", 0, NULL,
         "spec.config.service.pipelines.metrics.processors[0]: 'batch' is not defined under "
         "processors"},
        {"spec.config.service.pipelines.metrics.exporters", "[]", 0, NULL, "at least one"},
        {"spec.managementState", "maybe", 422, "spec.managementState", NULL},
    };
    int bad = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *was = yaml(base), *now = yaml(base);
        const struct kind *k = kind_of(KIND_OTELCOLLECTOR);
        struct denial d = {0};
        struct buf said = BUF_INIT;

        k->defaults(was);
        json_put(now, rows[i].path, rows[i].value ? yaml(rows[i].value) : json_null());
        admit(NULL, k, ADMIT_UPDATE, now, was, FIELDS_STRICT, &d);
        buf_add_str(&said, buf_str(&d.message));
        for (size_t n = 0; n < d.fields.n; n++)
            buf_printf(&said, " %s: %s", d.fields.items[n].field, d.fields.items[n].message);
        if (d.http != rows[i].http || (rows[i].says && !strstr(buf_cstr(&said), rows[i].says)) ||
            (rows[i].warns ? !strstr(buf_cstr(&d.warnings), rows[i].warns) : d.warnings.n != 0)) {
            print_error("%s: %s: http %d '%s' warnings '%s'\n", rows[i].path,
                        rows[i].value ? rows[i].value : "null", d.http, buf_cstr(&said),
                        buf_cstr(&d.warnings));
            bad++;
        }
        buf_done(&said);
        denial_done(&d);
    }
    assert_int_equal(bad, 0);
}

static void defaults_are_the_operators(void **state)
{
    AUTO_JSON json_t *o = yaml(base), *again = NULL;

    (void)state;
    json_object_del(json_object_get(o, "spec"), "mode");
    default_collector(o);
    assert_string_equal(json_text(o, "spec.mode", ""), "deployment");
    assert_string_equal(json_text(o, "spec.managementState", ""), "managed");
    assert_string_equal(json_text(o, "spec.upgradeStrategy", ""), "automatic");
    assert_int_equal(json_int(o, "spec.replicas", 0), 1);
    assert_int_equal(json_int(o, "spec.configVersions", 0), 3);
    assert_string_equal(json_text(o, "spec.config.service.telemetry.metrics.address", ""),
                        "0.0.0.0:8888");
    again = json_deep_copy(o);
    default_collector(again);
    assert_true(json_equal(o, again));
}

static void v1alpha1_has_the_configuration_as_text_and_back(void **state)
{
    AUTO_JSON json_t *o = yaml(base), *as_text = NULL;

    (void)state;
    json_put(o, "spec.autoscaler.maxReplicas", json_integer(4));
    as_text = json_deep_copy(o);
    collector_to_v1alpha1(as_text);
    assert_true(json_is_string(json_at(as_text, "spec.config")));
    assert_int_equal(json_int(as_text, "spec.maxReplicas", 0), 4);
    collector_from_v1alpha1(as_text);
    assert_true(json_equal(o, as_text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(annotations_of_pod_and_namespace_decide),
        cmocka_unit_test(several_sidecars_of_a_namespace_leave_true_undecided),
        cmocka_unit_test(a_statefulsets_pod_names_its_set),
        cmocka_unit_test(the_container_is_as_the_operator_makes_it),
        cmocka_unit_test(a_label_is_cut_to_63_characters_and_ends_well),
        cmocka_unit_test(admission_has_its_verdicts),
        cmocka_unit_test(defaults_are_the_operators),
        cmocka_unit_test(v1alpha1_has_the_configuration_as_text_and_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
