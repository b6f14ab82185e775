/* SPDX-License-Identifier: Apache-2.0
 *
 * What stands in the status of an HPA when its specification, its status or the clock is changed by
 * somebody else, in virtual time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "sim/sim.h"

#define DEPLOYMENT(NAME, N)                                                                   \
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: " NAME ", namespace: default}\n" \
    "spec: {replicas: " N ", selector: {matchLabels: {app: " NAME "}}, template: {metadata: " \
    "{labels: {app: " NAME "}}, spec: {containers: [{name: c, image: local/app}]}}}\n---\n"
#define SCALED                                                                                 \
    DEPLOYMENT("clients", "6")                                                                 \
    DEPLOYMENT("web", "1")                                                                     \
    "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: web, namespace: "      \
    "default}\nspec:\n  scaleTargetRef: {name: web}\n  maxReplicaCount: 8\n  cooldownPeriod: " \
    "1\n  triggers: [{type: kubernetes-workload, metadata: {podSelector: app=clients, value: " \
    "'2'}}]\n"
#define HPA "keda-hpa-web"

static struct sim *started(const char *yaml, int64_t sync_ms)
{
    struct err err = ERR_INIT;
    struct sim *s = sim_new(&(struct sim_options){.seed = 5, .sync_period_ms = sync_ms}, &err);

    if (!s || sim_apply(s, str_of(yaml), &err) < 0)
        fail_msg("%s", err.msg);
    return s;
}

static json_t *tree(struct sim *s, enum kind_id kind, const char *name)
{
    const struct object *o = cluster_get(sim_cluster(s), kind, STR("default"), str_of(name));

    assert_non_null(o);
    return object_tree(o);
}

/* kind: plain objects; subresource NULL: a merge patch; else an update with the status. */
static void put(struct sim *s, enum kind_id kind, const char *name, const char *subresource,
                const char *json)
{
    AUTO_JSON json_t *body = NULL;
    struct err err = ERR_INIT;

    if (json_parse(str_of(json), &body, &err) < 0)
        fail_msg("%s", err.msg);
    cluster_write(sim_cluster(s),
                  &(struct cluster_write){.verb = subresource && strcmp(subresource, "status") == 0
                                                      ? CLUSTER_UPDATE
                                                      : CLUSTER_MERGE_PATCH,
                                          .kind = kind,
                                          .ns = STR("default"),
                                          .name = str_of(name),
                                          .subresource = subresource,
                                          .tree = body},
                  NULL, NULL);
}

static bool has_count(struct sim *s, void *arg)
{
    AUTO_JSON json_t *o = tree(s, KIND_DEPLOYMENT, "web");

    return json_int(o, "spec.replicas", -1) == *(int *)arg;
}

static void until(struct sim *s, int n, int64_t most_ms)
{
    if (!sim_run_until(s, has_count, &n, most_ms))
        fail_msg("not %d replicas after %lld ms\n%.*s", n, (long long)most_ms, STR_ARG(sim_log(s)));
}

static const char *metric_name(const json_t *hpa, const char *list, size_t i)
{
    return json_text(json_array_get(json_at(hpa, list), i), "external.metric.name", "");
}

static void check_names(struct sim *s, size_t n)
{
    AUTO_JSON json_t *hpa = tree(s, KIND_HPA, HPA);

    assert_int_equal(json_array_size(json_at(hpa, "spec.metrics")), n);
    assert_int_equal(json_array_size(json_at(hpa, "status.currentMetrics")), n);
    for (size_t i = 0; i < n; i++) {
        assert_true(metric_name(hpa, "spec.metrics", i)[0]);
        assert_string_equal(metric_name(hpa, "status.currentMetrics", i),
                            metric_name(hpa, "spec.metrics", i));
    }
}

static void metrics_are_called_as_in_the_specification_of_now(void **state)
{
    struct sim *s = started(SCALED, 0);

    (void)state;
    until(s, 3, 20000);
    sim_run_for(s, 1000);
    check_names(s, 1);
    put(s, KIND_DEPLOYMENT, "clients", "scale", "{\"spec\":{\"replicas\":0}}");
    until(s, 0, 20000);
    /* no metric is looked at while the count is zero, but the status is of this specification */
    put(s, KIND_SCALEDOBJECT, "web", NULL,
        "{\"spec\":{\"triggers\":[{\"type\":\"cron\",\"metadata\":{\"timezone\":\"UTC\",\"start\":"
        "\"0 8 * * *\",\"end\":\"0 9 * * *\",\"desiredReplicas\":\"1\"}},{\"type\":"
        "\"kubernetes-workload\",\"metadata\":{\"podSelector\":\"app=clients\",\"value\":\"2\"}}]}"
        "}");
    sim_run_for(s, 40000);
    put(s, KIND_DEPLOYMENT, "clients", "scale", "{\"spec\":{\"replicas\":6}}");
    until(s, 3, 20000);
    sim_run_for(s, 20000);
    check_names(s, 2);
    sim_free(s);
}

static void names_that_somebody_else_writes_do_not_stay(void **state)
{
    struct sim *s = started(SCALED, 0);

    (void)state;
    until(s, 3, 20000);
    sim_run_for(s, 1000);
    put(s, KIND_HPA, HPA, "status",
        "{\"status\":{\"observedGeneration\":1,\"currentReplicas\":3,\"desiredReplicas\":3,"
        "\"currentMetrics\":[{\"type\":\"External\",\"external\":{\"metric\":{\"name\":\"wrong\"},"
        "\"current\":{\"averageValue\":\"1\"}}}]}}");
    sim_run_for(s, 20000);
    check_names(s, 1);
    sim_free(s);
}

/* No rule is about a status: whoever may write one may write anything. */
static void a_status_of_any_shape_is_made_good(void **state)
{
    static const char *const odd[] = {
        "{\"status\":null}",
        "{\"status\":\"text\"}",
        "{\"status\":[1]}",
        "{\"status\":{\"conditions\":\"text\",\"currentMetrics\":7,\"health\":[]}}",
        "{\"status\":{\"conditions\":[1,null,{\"type\":3}],\"currentMetrics\":[[]]}}",
        "{\"status\":{\"conditions\":{},\"externalMetricNames\":{},\"triggersActivity\":1}}"};
    struct sim *s = started(SCALED, 0);
    json_t *deployment;

    (void)state;
    until(s, 3, 20000);
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        put(s, KIND_HPA, HPA, "status", odd[i]);
        put(s, KIND_SCALEDOBJECT, "web", "status", odd[i]);
        put(s, KIND_DEPLOYMENT, "web", "status", odd[i]);
        sim_run_for(s, 20000);
        check_names(s, 1);
        deployment = tree(s, KIND_DEPLOYMENT, "web");
        assert_true(json_is_array(json_at(deployment, "status.conditions")));
        json_decref(deployment);
    }
    sim_free(s);
}

static char *average(struct sim *s)
{
    AUTO_JSON json_t *hpa = tree(s, KIND_HPA, HPA);

    return mem_strdup(json_text(json_array_get(json_at(hpa, "status.currentMetrics"), 0),
                                "external.current.averageValue", ""));
}

static void numbers_move_on_when_the_clock_is_set_back(void **state)
{
    AUTO_FREE char *was = NULL, *now = NULL;
    struct sim *s = started(SCALED, 0);

    (void)state;
    until(s, 3, 20000);
    sim_run_for(s, 30000);
    was = average(s);
    sim_jump_wall(s, -3600000);
    sim_run_for(s, 5000);
    put(s, KIND_DEPLOYMENT, "clients", "scale", "{\"spec\":{\"replicas\":5}}"); /* 3 all the same */
    sim_run_for(s, 20000);
    now = average(s);
    assert_string_equal(was, "2");
    assert_string_equal(now, "1667m");
    sim_free(s);
}

static int warnings;

static void count_warnings(void *arg, const struct object *o)
{
    AUTO_JSON json_t *e = object_tree(o);

    (void)arg;
    warnings += strcmp(json_text(e, "involvedObject.kind", ""), "HorizontalPodAutoscaler") == 0 &&
                strcmp(json_text(e, "type", ""), "Warning") == 0;
}

/* The trigger fails from then on. */
static void trouble_is_told_when_the_clock_is_set_back(void **state)
{
    struct sim *s = started(SCALED, 0);

    (void)state;
    until(s, 3, 20000);
    put(s, KIND_SCALEDOBJECT, "web", NULL,
        "{\"spec\":{\"minReplicaCount\":1,\"triggers\":[{\"type\":\"cron\",\"metadata\":{"
        "\"timezone\":\"Mars/Base\",\"start\":\"0 8 * * *\",\"end\":\"0 9 * * *\","
        "\"desiredReplicas\":\"1\"}}]}}");
    sim_run_for(s, 300);
    sim_jump_wall(s, -3600000);
    sim_run_for(s, 20000);
    cluster_each(sim_cluster(s), KIND_EVENT, STR("default"), NULL, count_warnings, NULL);
    assert_true(warnings > 0);
    sim_free(s);
}

/* Without rounds a timer brings the looks. */
static void a_users_hpa_is_looked_at_when_the_clock_is_set_back(void **state)
{
    struct sim *s = started("apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\n"
                            "metadata: {name: web, namespace: default}\nspec:\n"
                            "  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}"
                            "\n  maxReplicas: 3\n",
                            15000);
    AUTO_JSON json_t *hpa = NULL;

    (void)state;
    sim_run_for(s, 20000);
    sim_jump_wall(s, -3600000);
    put(s, KIND_HPA, "web", NULL, "{\"spec\":{\"minReplicas\":2}}");
    sim_run_for(s, 20000);
    hpa = tree(s, KIND_HPA, "web");
    assert_int_equal(json_int(hpa, "status.observedGeneration", 0), 2);
    sim_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_are_called_as_in_the_specification_of_now),
        cmocka_unit_test(names_that_somebody_else_writes_do_not_stay),
        cmocka_unit_test(numbers_move_on_when_the_clock_is_set_back),
        cmocka_unit_test(trouble_is_told_when_the_clock_is_set_back),
        cmocka_unit_test(a_users_hpa_is_looked_at_when_the_clock_is_set_back),
        cmocka_unit_test(a_status_of_any_shape_is_made_good),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
