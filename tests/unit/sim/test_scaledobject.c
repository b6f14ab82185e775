/* SPDX-License-Identifier: Apache-2.0
 *
 * ScaledObjects with the periods people leave at their defaults, in virtual time: cooldowns of
 * minutes, a fallback without pollingInterval, a source that comes back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "sim/sim.h"

#define DEPLOYMENT(NAME, N)                                                                   \
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: " NAME ", namespace: default}\n" \
    "spec: {replicas: " N ", selector: {matchLabels: {app: " NAME "}}, template: {metadata: " \
    "{labels: {app: " NAME "}}, spec: {containers: [{name: c, image: local/app}]}}}\n---\n"
#define SCALED(SPEC)                                                                      \
    "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: web, namespace: " \
    "default}\nspec:\n  scaleTargetRef: {name: web}\n  maxReplicaCount: 8\n" SPEC
#define CLIENTS                                                                             \
    "  triggers: [{type: kubernetes-workload, metadata: {podSelector: app=clients, value: " \
    "'2'}}]\n"
/* A trigger that fails at every look. */
#define NOWHERE                                                                                    \
    "  triggers: [{type: cron, metadata: {timezone: Mars/Base, start: 0 8 * * *, end: 0 9 * * *, " \
    "desiredReplicas: '4'}}]\n"

static struct sim *started_as(const struct sim_options *o, const char *yaml)
{
    struct err err = ERR_INIT;
    struct sim *s = sim_new(o, &err);

    if (!s || sim_apply(s, str_of(yaml), &err) < 0)
        fail_msg("%s", err.msg);
    return s;
}

static struct sim *started(const char *yaml)
{
    return started_as(&(struct sim_options){.seed = 5}, yaml);
}

static json_t *tree(struct sim *s, enum kind_id kind, const char *name)
{
    const struct object *o = cluster_get(sim_cluster(s), kind, STR("default"), str_of(name));

    assert_non_null(o);
    return object_tree(o);
}

static int64_t replicas(struct sim *s, const char *name)
{
    AUTO_JSON json_t *o = tree(s, KIND_DEPLOYMENT, name);

    return json_int(o, "spec.replicas", -1);
}

static bool has_condition(struct sim *s, const char *type, const char *status, const char *reason)
{
    AUTO_JSON json_t *so = tree(s, KIND_SCALEDOBJECT, "web");
    const json_t *c;
    size_t i;

    json_array_foreach (json_at(so, "status.conditions"), i, c)
        if (strcmp(json_text(c, "type", ""), type) == 0)
            return strcmp(json_text(c, "status", ""), status) == 0 &&
                   strcmp(json_text(c, "reason", ""), reason) == 0;
    return false;
}

static void scale(struct sim *s, const char *name, int n)
{
    AUTO_JSON json_t *patch = json_pack("{s:{s:i}}", "spec", "replicas", n);

    cluster_write(sim_cluster(s),
                  &(struct cluster_write){.verb = CLUSTER_MERGE_PATCH,
                                          .kind = KIND_DEPLOYMENT,
                                          .ns = STR("default"),
                                          .name = str_of(name),
                                          .subresource = "scale",
                                          .tree = patch},
                  NULL, NULL);
}

struct wanted {
    const char *name;
    int64_t n;
};

static bool has_count(struct sim *s, void *arg)
{
    const struct wanted *w = arg;

    return replicas(s, w->name) == w->n;
}

/* How long it took; fails after most_ms. */
static int64_t until(struct sim *s, const char *name, int64_t n, int64_t most_ms)
{
    struct wanted w = {name, n};
    int64_t began = sim_now_ms(s);

    if (!sim_run_until(s, has_count, &w, most_ms)) {
        fprintf(stderr, "%.*s\n", STR_ARG(sim_log(s)));
        fail_msg("%s has %lld replicas, not %lld, after %lld ms", name,
                 (long long)replicas(s, name), (long long)n, (long long)most_ms);
    }
    return sim_now_ms(s) - began;
}

static void the_cooldown_is_five_minutes(void **state)
{
    struct sim *s = started(DEPLOYMENT("clients", "6") DEPLOYMENT("web", "0") SCALED(CLIENTS));
    int64_t took;

    (void)state;
    until(s, "web", 3, 20000);
    assert_true(has_condition(s, "Active", "True", "ScalerActive"));
    scale(s, "clients", 0);
    sim_run_for(s, 5000);
    assert_true(has_condition(s, "Active", "False", "ScalerCooldown"));
    took = until(s, "web", 0, 400000) + 5000;
    assert_true(took > 299000 && took < 304000); /* seconds are cut in lastActiveTime */
    sim_run_for(s, 2000);
    assert_true(has_condition(s, "Active", "False", "ScalerNotActive"));
    scale(s, "clients", 1);
    until(s, "web", 1, 5000);
    sim_free(s);
}

/* It is a distance: neither longer nor over at once when somebody sets the clock. */
static void a_cooldown_takes_its_time_whatever_the_clock_does(void **state)
{
    static const int64_t jumps[] = {-3600000, 3600000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(jumps); i++) {
        struct sim *s = started(DEPLOYMENT("clients", "6") DEPLOYMENT("web", "0")
                                    SCALED("  cooldownPeriod: 60\n" CLIENTS));
        int64_t took;

        until(s, "web", 3, 20000);
        scale(s, "clients", 0);
        sim_run_for(s, 5000);
        sim_jump_wall(s, jumps[i]);
        took = until(s, "web", 0, 70000) + 5000;
        assert_true(took > 58000 && took < 63000);
        sim_free(s);
    }
}

/* The HPA's loop writes 3 -> 1 and is not answered yet when KEDA's is due. */
static void a_poll_that_meets_a_write_is_only_late(void **state)
{
    static const char yaml[] = DEPLOYMENT("clients", "6") DEPLOYMENT("web", "1")
        SCALED("  pollingInterval: 2\n  cooldownPeriod: 1\n  advanced: "
               "{horizontalPodAutoscalerConfig: {behavior: {scaleDown: "
               "{stabilizationWindowSeconds: 0}}}}\n" CLIENTS);
    struct sim *s =
        started_as(&(struct sim_options){.seed = 5, .sync_period_ms = 2000, .commit_ms = 20}, yaml);

    (void)state;
    until(s, "web", 3, 20000);
    sim_run_for(s, 20000 + 100);
    scale(s, "clients", 0);
    until(s, "web", 1, 2500);
    assert_true(until(s, "web", 0, 5000) < 500);
    sim_free(s);
}

static void the_initial_cooldown_counts_from_the_creation(void **state)
{
    struct sim *s = started(DEPLOYMENT("web", "2") SCALED(
        "  initialCooldownPeriod: 600\n  cooldownPeriod: 1\n" CLIENTS));
    int64_t took = until(s, "web", 0, 700000);

    (void)state;
    assert_true(took > 599000 && took < 603000);
    sim_free(s);
}

/* KEDA, polling each 30 s with its HPA asking each 15 s, has its fourth failure after about 30 s.
 */
static void a_fallback_without_a_polling_interval_takes_over_after_half_a_minute(void **state)
{
    struct sim *s = started(DEPLOYMENT("web", "0")
                                SCALED("  fallback: {failureThreshold: 3, replicas: 4}\n" NOWHERE));
    int64_t took = until(s, "web", 1, 60000);

    (void)state;
    assert_true(took > 29000 && took < 33000);
    until(s, "web", 4, 5000);
    assert_true(has_condition(s, "Fallback", "True", "FallbackExists"));
    sim_run_for(s, 3600000); /* an hour of failures */
    assert_int_equal(replicas(s, "web"), 4);
    sim_free(s);
}

static void an_hour_of_failures_without_a_fallback_changes_nothing(void **state)
{
    struct sim *s = started(DEPLOYMENT("web", "3") SCALED(NOWHERE));

    (void)state;
    sim_run_for(s, 3600000);
    assert_int_equal(replicas(s, "web"), 3);
    assert_true(has_condition(s, "Ready", "False", "TriggerError"));
    sim_free(s);
}

static void a_paused_object_stays_for_hours_and_goes_on(void **state)
{
    struct sim *s = started(DEPLOYMENT("clients", "4") DEPLOYMENT("web", "1")
                                SCALED("  minReplicaCount: 1\n" CLIENTS));
    AUTO_JSON json_t *patch = json_pack("{s:{s:{s:s}}}", "metadata", "annotations",
                                        "autoscaling.keda.sh/paused-replicas", "5"),
                     *undo = json_pack("{s:{s:{s:n}}}", "metadata", "annotations",
                                       "autoscaling.keda.sh/paused-replicas");
    struct cluster_write w = {.verb = CLUSTER_MERGE_PATCH,
                              .kind = KIND_SCALEDOBJECT,
                              .ns = STR("default"),
                              .name = STR("web"),
                              .tree = patch};

    (void)state;
    until(s, "web", 2, 20000);
    cluster_write(sim_cluster(s), &w, NULL, NULL);
    until(s, "web", 5, 5000);
    scale(s, "clients", 0);
    sim_run_for(s, 7200000);
    assert_int_equal(replicas(s, "web"), 5);
    w.tree = undo;
    cluster_write(sim_cluster(s), &w, NULL, NULL);
    assert_true(until(s, "web", 1, 310000) > 295000); /* a new HPA begins with the count there is */
    sim_free(s);
}

/* Somebody else's deletion of the HPA is being stored when the pause wants to delete it too. */
static void what_waits_for_anothers_write_does_not_turn_in_circles(void **state)
{
    static const char yaml[] = DEPLOYMENT("clients", "6") DEPLOYMENT("web", "1") SCALED(CLIENTS);
    struct sim *s = started_as(&(struct sim_options){.seed = 5, .commit_ms = 50}, yaml);
    AUTO_JSON json_t *patch =
        json_pack("{s:{s:{s:s}}}", "metadata", "annotations", "autoscaling.keda.sh/paused", "true");

    (void)state;
    until(s, "web", 3, 20000);
    sim_run_for(s, 20000);
    cluster_write(sim_cluster(s),
                  &(struct cluster_write){.verb = CLUSTER_MERGE_PATCH,
                                          .kind = KIND_SCALEDOBJECT,
                                          .ns = STR("default"),
                                          .name = STR("web"),
                                          .tree = patch},
                  NULL, NULL);
    sim_run_for(s, 20);
    cluster_write(sim_cluster(s),
                  &(struct cluster_write){.verb = CLUSTER_DELETE,
                                          .kind = KIND_HPA,
                                          .ns = STR("default"),
                                          .name = STR("keda-hpa-web"),
                                          .grace_s = -1},
                  NULL, NULL);
    alarm(60); /* it would do so without an end where time stands still */
    sim_run_for(s, 5000);
    alarm(0);
    assert_true(has_condition(s, "Paused", "True", "ScaledObjectPaused"));
    sim_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cooldown_is_five_minutes),
        cmocka_unit_test(a_cooldown_takes_its_time_whatever_the_clock_does),
        cmocka_unit_test(a_poll_that_meets_a_write_is_only_late),
        cmocka_unit_test(the_initial_cooldown_counts_from_the_creation),
        cmocka_unit_test(a_fallback_without_a_polling_interval_takes_over_after_half_a_minute),
        cmocka_unit_test(an_hour_of_failures_without_a_fallback_changes_nothing),
        cmocka_unit_test(a_paused_object_stays_for_hours_and_goes_on),
        cmocka_unit_test(what_waits_for_anothers_write_does_not_turn_in_circles),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
