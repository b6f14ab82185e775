/* SPDX-License-Identifier: Apache-2.0
 *
 * HorizontalPodAutoscalers: what is refused, and the other served versions. */
#include <stdio.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "codec/yaml.h"
#include "kube/columns.h"
#include "kube/defaults.h"
#include "kube/rules.h"

static json_t *yaml(const char *text)
{
    struct err err = ERR_INIT;
    json_t *doc = NULL;

    if (yaml_parse(str_of(text), &doc, &err) < 0)
        fail_msg("%s", err.msg);
    return doc;
}

static json_t *hpa(const char *spec)
{
    json_t *o =
        yaml("{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: "
             "web}, spec: {scaleTargetRef: {kind: Deployment, name: web}, maxReplicas: 5}}");
    AUTO_JSON json_t *more = yaml(spec);

    json_object_update(json_object_get(o, "spec"), more);
    return o;
}

static const struct {
    const char *spec, *field, *message; /* field NULL: admitted */
} cases[] = {
    {"{}", NULL, NULL},
    {"{minReplicas: -1}", "spec.minReplicas",
     "Invalid value: -1: must be greater than or equal to 0"},
    {"{maxReplicas: 0}", "spec.maxReplicas", "Invalid value: 0: must be greater than 0"},
    {"{minReplicas: 6}", "spec.maxReplicas",
     "Invalid value: 5: must be greater than or equal to `minReplicas`"},
    {"{scaleTargetRef: {kind: Deployment}}", "spec.scaleTargetRef.name", "Required value"},
    {"{minReplicas: 0}", "spec.metrics",
     "Forbidden: must specify at least one Object or External metric to support scaling to zero "
     "replicas"},
    {"{minReplicas: 0, metrics: [{type: External, external: {metric: {name: q}, target: {type: "
     "Value, "
     "value: 3}}}]}",
     NULL, NULL},
    {"{metrics: [{type: Resource}]}", "spec.metrics[0].resource",
     "Required value: must populate information for the given metric source"},
    {"{metrics: [{resource: {}}]}", "spec.metrics[0].type",
     "Required value: must specify a metric source type"},
    {"{metrics: [{type: Other}]}", "spec.metrics[0].type",
     "Unsupported value: \"Other\": supported values: \"Resource\", \"ContainerResource\", "
     "\"Pods\", "
     "\"Object\", \"External\""},
    {"{metrics: [{type: Pods, pods: {metric: {name: q}, target: {type: AverageValue, averageValue: "
     "1}}, "
     "external: {}}]}",
     "spec.metrics[0].external", "Forbidden: must populate the given metric source only"},
    {"{metrics: [{type: Pods, pods: {metric: {name: q}, target: {type: Value, value: 1}}}]}",
     "spec.metrics[0].pods.target.averageValue",
     "Required value: must specify a positive target averageValue"},
    {"{metrics: [{type: Pods, pods: {target: {type: AverageValue, averageValue: 1}}}]}",
     "spec.metrics[0].pods.metric.name", "Required value: must specify a metric name"},
    {"{metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, "
     "averageUtilization: 0}}}]}",
     "spec.metrics[0].resource.target.averageUtilization",
     "Invalid value: 0: must be greater than 0"},
    {"{metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, "
     "averageUtilization: 5, averageValue: 3}}}]}",
     "spec.metrics[0].resource.target.averageValue",
     "Forbidden: may not set both a target raw value and a target utilization"},
    {"{metrics: [{type: ContainerResource, containerResource: {name: cpu, target: {type: "
     "Utilization, "
     "averageUtilization: 5}}}]}",
     "spec.metrics[0].containerResource.container", "Required value: must specify a container"},
    {"{metrics: [{type: Object, object: {describedObject: {kind: Service}, metric: {name: q}, "
     "target: "
     "{type: Value, value: 1}}}]}",
     "spec.metrics[0].object.describedObject.name", "Required value"},
    {"{metrics: [{type: External, external: {metric: {name: q}, target: {type: Value, value: "
     "-1}}}]}",
     "spec.metrics[0].external.target.value", "Invalid value: -1: must be positive"},
    {"{metrics: [{type: External, external: {metric: {name: q, selector: {matchExpressions: [{key: "
     "a, "
     "operator: Like}]}}, target: {type: Value, value: 1}}}]}",
     "spec.metrics[0].external.metric.selector", NULL},
    {"{behavior: {scaleUp: {stabilizationWindowSeconds: 3601, policies: [{type: Pods, value: 1, "
     "periodSeconds: 1}]}}}",
     "spec.behavior.scaleUp.stabilizationWindowSeconds",
     "Invalid value: 3601: must be less than or equal to 3600"},
    {"{behavior: {scaleUp: {policies: []}}}", "spec.behavior.scaleUp.policies",
     "Required value: must specify at least one Policy"},
    {"{behavior: {scaleDown: {selectPolicy: Some, policies: [{type: Pods, value: 1, periodSeconds: "
     "1}]}}}",
     "spec.behavior.scaleDown.selectPolicy",
     "Unsupported value: \"Some\": supported values: \"Max\", \"Min\", \"Disabled\""},
    {"{behavior: {scaleDown: {policies: [{type: Pods, value: 0, periodSeconds: 1}]}}}",
     "spec.behavior.scaleDown.policies[0].value", "Invalid value: 0: must be greater than zero"},
    {"{behavior: {scaleDown: {policies: [{type: Pods, value: 1, periodSeconds: 1801}]}}}",
     "spec.behavior.scaleDown.policies[0].periodSeconds",
     "Invalid value: 1801: must be less than or equal to 1800"},
    {"{behavior: {scaleDown: {tolerance: \"-0.1\", policies: [{type: Pods, value: 1, "
     "periodSeconds: "
     "1800}]}}}",
     "spec.behavior.scaleDown.tolerance",
     "Invalid value: \"-0.1\": must be greater or equal to zero"},
};

static void what_is_refused_names_the_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_JSON json_t *o = hpa(cases[i].spec);
        struct field_errors e = {0};

        validate_hpa(o, NULL, &e);
        if (e.n != (cases[i].field != NULL))
            fail_msg("%s: %zu errors, first %s", cases[i].spec, e.n, e.n ? e.items[0].field : "");
        if (e.n) {
            assert_string_equal(e.items[0].field, cases[i].field);
            if (cases[i].message)
                assert_string_equal(e.items[0].message, cases[i].message);
        }
        field_errors_done(&e);
    }
}

static const char full[] =
    "{minReplicas: 1, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, "
    "averageUtilization: 70}}}, {type: Resource, resource: {name: memory, target: {type: "
    "AverageValue, averageValue: 1Gi}}}, {type: ContainerResource, containerResource: {name: "
    "memory, "
    "container: app, target: {type: Utilization, averageUtilization: 60}}}, {type: Pods, pods: "
    "{metric: {name: qps, selector: {matchLabels: {a: b}}}, target: {type: AverageValue, "
    "averageValue: "
    "\"10\"}}}, {type: Object, object: {describedObject: {apiVersion: v1, kind: Service, name: "
    "web}, "
    "metric: {name: hits}, target: {type: Value, value: 2k}}}, {type: External, external: {metric: "
    "{name: queue}, target: {type: AverageValue, averageValue: \"30\"}}}], behavior: {scaleDown: "
    "{selectPolicy: Max, policies: [{type: Pods, value: 1, periodSeconds: 15}]}}}";

static void v1_shows_all_and_gives_it_back(void **state)
{
    AUTO_JSON json_t *o = hpa(full);
    AUTO_JSON json_t *was = NULL;
    AUTO_JSON json_t *metrics = NULL;

    (void)state;
    json_object_set_new(
        o, "status",
        yaml("{currentReplicas: 2, currentMetrics: [{type: Resource, resource: {name: "
             "cpu, current: {averageUtilization: 71, averageValue: 355m}}}, {type: "
             "\"\"}], conditions: [{type: AbleToScale, status: \"True\"}]}"));
    was = json_deep_copy(o);
    hpa_to_v1(o);
    assert_int_equal(json_int(o, "spec.targetCPUUtilizationPercentage", 0), 70);
    assert_int_equal(json_int(o, "status.currentCPUUtilizationPercentage", 0), 71);
    assert_null(json_at(o, "spec.metrics"));
    assert_null(json_at(o, "status.conditions"));
    assert_int_equal(json_object_size(json_at(o, "metadata.annotations")), 4);
    assert_int_equal(
        json_parse(json_strv(json_object_get(json_at(o, "metadata.annotations"),
                                             "autoscaling.alpha.kubernetes.io/metrics")),
                   &metrics, NULL),
        0);
    assert_int_equal(json_array_size(metrics), 5);
    assert_string_equal(json_text(json_array_get(metrics, 0), "resource.targetAverageValue", ""),
                        "1Gi");
    assert_string_equal(json_text(json_array_get(metrics, 2), "pods.metricName", ""), "qps");
    assert_string_equal(json_text(json_array_get(metrics, 2), "pods.selector.matchLabels.a", ""),
                        "b");
    assert_string_equal(json_text(json_array_get(metrics, 3), "object.target.name", ""), "web");
    assert_string_equal(json_text(json_array_get(metrics, 4), "external.targetAverageValue", ""),
                        "30");
    hpa_from_v1(o);
    json_object_del(json_object_get(o, "metadata"), "annotations");
    if (!json_equal(o, was)) {
        struct buf text = BUF_INIT;

        json_write(&text, o);
        fail_msg("%s", buf_cstr(&text));
    }
}

static void a_patch_of_v1_changes_only_what_it_names(void **state)
{
    AUTO_JSON json_t *o = yaml("{spec: {maxReplicas: 7}}");
    AUTO_JSON json_t *broken = yaml(
        "{metadata: {annotations: {autoscaling.alpha.kubernetes.io/metrics: \"[{\"}}, spec: {}}");

    (void)state;
    hpa_from_v1(o);
    assert_int_equal(json_object_size(json_object_get(o, "spec")), 1);
    assert_null(json_object_get(o, "metadata"));
    hpa_from_v1(broken);
    assert_null(json_at(broken, "spec.metrics"));
}

static void targets_as_kubectl_shows_them(void **state)
{
    AUTO_JSON json_t *o = hpa(full);
    struct buf b = BUF_INIT;

    (void)state;
    for (const struct column *c = hpa_columns; c->name; c++)
        if (strcmp(c->name, "Targets") == 0)
            c->cell(&b, o, 0);
    assert_string_equal(buf_cstr(&b), "cpu: <unknown>/70%, memory: <unknown>/1Gi + 4 more...");
    buf_clear(&b);
    json_array_remove(json_at(o, "spec.metrics"), 0);
    json_array_remove(json_at(o, "spec.metrics"), 0);
    json_array_remove(json_at(o, "spec.metrics"), 0);
    for (const struct column *c = hpa_columns; c->name; c++)
        if (strcmp(c->name, "Targets") == 0)
            c->cell(&b, o, 0);
    assert_string_equal(buf_cstr(&b), "<unknown>/10, <unknown>/2k + 1 more...");
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_refused_names_the_field),
        cmocka_unit_test(v1_shows_all_and_gives_it_back),
        cmocka_unit_test(a_patch_of_v1_changes_only_what_it_names),
        cmocka_unit_test(targets_as_kubectl_shows_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
