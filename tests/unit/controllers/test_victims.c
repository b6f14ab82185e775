/* SPDX-License-Identifier: Apache-2.0
 *
 * Who goes first: the order of Kubernetes' ReplicaSet controller, rule by rule, and where running
 * requests are read. */
#include <stdlib.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "base/rand.h"
#include "codec/yaml.h"
#include "controllers/victims.h"

#define NOW 1764019200000 /* 2025-11-24T21:20:00Z */

static void read_victim(const char *yaml, struct victim *ret)
{
    AUTO_JSON json_t *pod = NULL;
    struct object *o = NULL;
    struct err err = ERR_INIT;

    if (yaml_parse(str_of(yaml), &pod, &err) < 0 ||
        object_new(kind_of(KIND_POD), pod, &o, &err) < 0)
        fail_msg("%s: %s", yaml, err.msg);
    victim_read(o, pod, NOW, ret);
}

/* Every pod but for what its case says: assigned, Running, ready for ten minutes, an hour old. */
#define POD(name, meta, node, status)                                                      \
    "{apiVersion: v1, kind: Pod, metadata: {name: " name ", namespace: d, uid: " name meta \
    "}, spec: {" node "}, status: {" status "}}"
#define OLD ", creationTimestamp: '2025-11-24T20:20:00Z'"
#define NODE "nodeName: n"
#define READY                                                                         \
    "phase: Running, conditions: [{type: Ready, status: 'True', lastTransitionTime: " \
    "'2025-11-24T21:10:00Z'}]"
#define COST(n) ", annotations: {controller.kubernetes.io/pod-deletion-cost: '" n "'}"

static const struct {
    const char *rule, *first, *second;
} rules[] = {
    {"not assigned", POD("b", OLD, "", "phase: Pending"), POD("a", OLD, NODE, "phase: Pending")},
    {"pending before unknown", POD("b", OLD, NODE, "phase: Pending"),
     POD("a", OLD, NODE, "phase: Unknown")},
    {"unknown before running", POD("b", OLD, NODE, "phase: Unknown"),
     POD("a", OLD, NODE, "phase: Running")},
    {"not ready, however dear", POD("b", OLD COST("900"), NODE, "phase: Running"),
     POD("a", OLD, NODE, READY)},
    {"the cheaper", POD("b", OLD COST("-3"), NODE, READY), POD("a", OLD, NODE, READY)},
    {"the cheaper, whatever its age",
     POD("b", OLD COST("1"), NODE,
         "phase: Running, conditions: [{type: Ready, status: 'True', "
         "lastTransitionTime: '2025-11-24T20:20:00Z'}]"),
     POD("a", OLD COST("2"), NODE, READY)},
    {"a cost that is no number counts as 0", POD("b", OLD COST("-1"), NODE, READY),
     POD("a", OLD COST("1e9"), NODE, READY)},
    {"ready for a shorter time",
     POD("b", OLD, NODE,
         "phase: Running, conditions: [{type: Ready, status: 'True', "
         "lastTransitionTime: '2025-11-24T21:19:00Z'}]"),
     POD("a", OLD, NODE, READY)},
    {"ready for about as long: by uid",
     POD("a", OLD, NODE,
         "phase: Running, conditions: [{type: Ready, status: 'True', "
         "lastTransitionTime: '2025-11-24T21:10:01Z'}]"),
     POD("b", OLD, NODE, READY)},
    {"restarted more often",
     POD("b", OLD, NODE, READY ", containerStatuses: [{restartCount: 1}, {restartCount: 4}]"),
     POD("a", OLD, NODE, READY ", containerStatuses: [{restartCount: 3}]")},
    {"younger", POD("b", ", creationTimestamp: '2025-11-24T21:19:00Z'", NODE, READY),
     POD("a", OLD, NODE, READY)},
};

static void each_rule_decides_when_those_before_do_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        struct victim a, b;

        read_victim(rules[i].first, &a);
        read_victim(rules[i].second, &b);
        if (victim_compare(&a, &b) >= 0 || victim_compare(&b, &a) <= 0)
            fail_msg("%s", rules[i].rule);
        object_unref(a.o);
        object_unref(b.o);
    }
}

static int64_t flying(void *ctx, struct str uid)
{
    return str_is(uid, "a") ? *(int64_t *)ctx : 0;
}

static void gauge(struct tsdb *db, const char *name, const char *ns, int64_t t, double v)
{
    struct label l[] = {
        {STR("__name__"), str_of(name)}, {STR("namespace"), str_of(ns)}, {STR("pod"), STR("a")}};
    struct series *s = tsdb_series(db, l, ARRAY_LEN(l));

    tsdb_append(db, s, t, v);
    tsdb_release(s);
}

static void work_is_the_higher_of_gauges_and_requests_in_flight(void **state)
{
    struct tsdb *db = tsdb_new(&(struct tsdb_options){.retention_ms = -1});
    int64_t in_flight = 0;
    struct work_source w = {db, flying, &in_flight};
    struct victim a;

    (void)state;
    read_victim(POD("a", OLD, NODE, READY), &a);
    assert_int_equal(work_of(&w, a.o, NOW), 0);
    gauge(db, "vllm:num_requests_running", "d", NOW - 200, 3);
    gauge(db, "vllm:num_requests_waiting", "d", NOW - 200, 2);
    gauge(db, "vllm:num_requests_running", "other", NOW - 200, 50);
    assert_int_equal(work_of(&w, a.o, NOW), 5);
    in_flight = 4;
    assert_int_equal(work_of(&w, a.o, NOW), 5);
    in_flight = 7;
    assert_int_equal(work_of(&w, a.o, NOW), 7);
    in_flight = 0;
    assert_int_equal(work_of(&w, a.o, NOW + 10000), 0); /* no longer fresh */
    object_unref(a.o);
    tsdb_free(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rule_decides_when_those_before_do_not),
        cmocka_unit_test(work_is_the_higher_of_gauges_and_requests_in_flight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
