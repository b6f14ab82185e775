/* SPDX-License-Identifier: Apache-2.0
 *
 * What an HPA remembers survives its program, and what it decided can be asked for later. */
#include <stdlib.h>

#include "../cmocka_all.h"

#include "autoscale/decision_log.h"
#include "autoscale/hpa_memory.h"
#include "base/mem.h"
#include "base/rand.h"

#define WALL 1764019000000

static void same(struct str text, int64_t now, const char *want)
{
    struct hpa_memory m = {0};
    struct buf again = BUF_INIT;
    struct err err = ERR_INIT;

    if (hpa_memory_read(text, now, WALL + now, &m, &err) < 0)
        fail_msg("%s", err.msg);
    hpa_memory_write(&m, now, WALL + now, &again);
    assert_string_equal(buf_cstr(&again), want);
    buf_done(&again);
    hpa_memory_done(&m);
}

static void the_last_recommendation_counts_as_of_now(void **state)
{
    (void)state;
    same(STR("r5@1764019001000 r1@1764019002000 u2@1764019000500"), 3000,
         "r5@1764019001000 r1@1764019003000 u2@1764019000500");
    /* out of order, and ahead of the clock: never earlier than it was, never later than now */
    same(STR("r1@1764019002000  r5@1764019001000 d4@1764019009000"), 3000,
         "r5@1764019001000 r1@1764019003000 d4@1764019003000");
    same(STR(""), 3000, "");
}

static void only_what_a_window_can_tell_apart_is_written(void **state)
{
    (void)state;
    /* 3 is hidden by the later 1 and 4; 2 by 1 and 2 */
    same(STR("r3@1764019000100 r5@1764019000200 r2@1764019000300 r1@1764019000400 "
             "r4@1764019000500 r2@1764019000600"),
         600, "r5@1764019000200 r1@1764019000400 r4@1764019000500 r2@1764019000600");
    /* older than every window */
    same(STR("r9@1764015000000 r2@1764019000600"), 600, "r2@1764019000600");
}

static void the_oldest_changes_are_merged_into_later_ones(void **state)
{
    struct hpa_memory m = {0}, back = {0};
    struct buf b = BUF_INIT;
    int64_t sum = 0;

    (void)state;
    for (int i = 0; i < 1000; i++)
        hpa_history_add(&m.ups, (struct hpa_entry){.replicas = 1 + i % 3, .at_ms = i * 100});
    hpa_memory_write(&m, 100000, WALL + 100000, &b);
    assert_true(b.n < HPA_MEMORY_TEXT_MAX);
    assert_int_equal(hpa_memory_read(buf_str(&b), 100000, WALL + 100000, &back, NULL), 0);
    assert_int_equal(back.ups.n, HPA_MEMORY_CHANGES);
    for (size_t i = 0; i < m.ups.n; i++)
        sum += m.ups.items[i].replicas;
    assert_int_equal(hpa_history_sum(&back.ups, 100000, 3600), sum);
    for (int64_t period = 1; period < 120; period++) /* never fewer than there were */
        assert_true(hpa_history_sum(&back.ups, 100000, period) >=
                    hpa_history_sum(&m.ups, 100000, period));
    buf_done(&b);
    hpa_memory_done(&m);
    hpa_memory_done(&back);
}

static void what_is_no_memory_is_refused_whole(void **state)
{
    static const char *const bad[] = {"x",
                                      "r5",
                                      "r5@",
                                      "r@5",
                                      "q5@5",
                                      "r-1@5",
                                      "r5@-5",
                                      "r5@5 r1@x",
                                      "r99999999999@1",
                                      "5@5",
                                      "r5@9999999999999999999"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct hpa_memory m = {0};

        if (hpa_memory_read(str_of(bad[i]), 0, WALL, &m, NULL) != ERR_BAD_INPUT)
            fail_msg("'%s' is taken", bad[i]);
        assert_false(m.has_started);
        assert_int_equal(m.recommendations.n + m.ups.n + m.downs.n, 0);
    }
}

static const char spec_text[] =
    "{\"minReplicas\":1,\"maxReplicas\":100,\"metrics\":[{\"type\":\"External\",\"external\":{"
    "\"metric\":{\"name\":\"q\"},\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"1\"}}}],"
    "\"behavior\":{\"scaleUp\":{\"stabilizationWindowSeconds\":3,\"policies\":[{\"type\":\"Pods\","
    "\"value\":4,\"periodSeconds\":2}]},\"scaleDown\":{\"stabilizationWindowSeconds\":5,"
    "\"policies\":[{\"type\":\"Pods\",\"value\":2,\"periodSeconds\":4}]}}}";

struct life {
    struct hpa_memory memory;
    int64_t current;
};

static int64_t live(struct life *l, const struct hpa_spec *spec, int64_t value, int64_t mono,
                    int64_t wall)
{
    struct hpa_scene scene = {
        .now_ms = wall, .mono_ms = mono, .current = l->current, .status_replicas = l->current};
    struct decision d;

    value *= 1000;
    spec->metrics[0].values = &value;
    spec->metrics[0].n_values = 1;
    hpa_pass(&HPA_CONFIG_DEFAULT, spec, &scene, &l->memory, &d);
    if (d.is_rescale)
        hpa_pass_written(&HPA_CONFIG_DEFAULT, spec, &l->memory, &d, NULL);
    l->current = d.desired;
    decision_done(&d);
    return l->current;
}

/* One program that runs on, one that is killed and started again (its monotonic clock begins
 * anew): they decide the same for ever. */
static void a_restart_between_two_looks_changes_no_decision(void **state)
{
    uint64_t seed = test_seed();
    struct arena arena = ARENA_INIT;
    struct hpa_spec spec;
    AUTO_JSON json_t *json = NULL;
    struct rng rng;

    (void)state;
    rng_seed(&rng, seed);
    assert_int_equal(json_parse(str_of(spec_text), &json, NULL), 0);
    hpa_spec_read(json, &arena, &spec);
    for (int n = 0; n < 200; n++) {
        struct life a = {.current = 1}, b = {.current = 1};
        int64_t wall = WALL, mono = 50000, offset = 0;
        size_t kill_at = rng_below(&rng, 80);

        for (size_t i = 0; i < 100; i++, wall += 250, mono += 250) {
            int64_t value = 1 + (int64_t)rng_below(&rng, 20);

            assert_int_equal(live(&a, &spec, value, mono, wall),
                             live(&b, &spec, value, mono + offset, wall));
            if (i == kill_at) {
                struct buf text = BUF_INIT;

                hpa_memory_write(&b.memory, mono + offset, wall, &text);
                hpa_memory_done(&b.memory);
                b.memory = (struct hpa_memory){0};
                offset = (int64_t)rng_below(&rng, 1000000);
                assert_int_equal(
                    hpa_memory_read(buf_str(&text), mono + offset, wall, &b.memory, NULL), 0);
                buf_done(&text);
            }
        }
        hpa_memory_done(&a.memory);
        hpa_memory_done(&b.memory);
    }
    arena_done(&arena);
}

/* --- the log --- */

static struct decision decision_of(int64_t at, int64_t desired, double value)
{
    struct decision d = {.at_ms = at,
                         .mono_ms = at,
                         .current = 3,
                         .desired = desired,
                         .stabilized = desired,
                         .proposal = desired,
                         .min = 1,
                         .max = 10,
                         .stabilize_reason = "ReadyForNewScale",
                         .limit_reason = "DesiredWithinRange",
                         .n = 1};

    d.metrics = arena_alloc(&d.arena, sizeof(*d.metrics));
    *d.metrics = (struct decision_metric){.name = "s0-prometheus",
                                          .query = "sum(x)",
                                          .value = value,
                                          .at_ms = at - 40,
                                          .target_milli = 2000,
                                          .is_average = true,
                                          .proposal = desired,
                                          .type = HPA_EXTERNAL,
                                          .target_type = HPA_AVERAGE_VALUE};
    d.rescale_reason = "";
    return d;
}

static void log_one(struct decision_log *l, int64_t at, int64_t desired, double value)
{
    struct decision d = decision_of(at, desired, value);

    decision_log_add(l, &d);
    decision_done(&d);
}

static void looks_that_say_the_same_are_one_entry(void **state)
{
    struct decision_log l = {0};
    struct decision_span span;
    struct decision d;
    char text[DECISION_TEXT_MAX];

    (void)state;
    for (int i = 0; i < 10; i++)
        log_one(&l, WALL + i * 250, 3, 5 + i * 0.01);
    log_one(&l, WALL + 2500, 4, 7);
    assert_int_equal(l.n, 2);
    assert_true(decision_log_get(&l, 1, &d, &span));
    assert_int_equal(span.looks, 10);
    assert_int_equal(span.since_ms, WALL);
    assert_int_equal(d.at_ms, WALL + 2250);
    assert_true(d.metrics[0].value == 5.09);
    decision_text(&d, text, sizeof(text));
    assert_string_equal(text, "3 replicas: s0-prometheus (sum(x)) is 5.09, target 2 per replica: "
                              "ceil(5.09/2) = 3");
    decision_done(&d);
    assert_false(decision_log_get(&l, 2, &d, &span));
    decision_log_done(&l);
}

static void a_log_is_bounded_and_the_oldest_go(void **state)
{
    struct decision_log l = {0};
    struct decision_span span;
    struct decision d;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        log_one(&l, WALL + i, i % 50, i);
        assert_true(l.n <= DECISION_LOG_MAX && l.bytes <= DECISION_LOG_BYTES);
    }
    assert_int_equal(l.n, DECISION_LOG_MAX);
    assert_true(decision_log_get(&l, 0, &d, &span));
    assert_int_equal(d.at_ms, WALL + 999);
    decision_done(&d);
    for (int i = 0; i < 100; i++) { /* large reasons: fewer entries, never more bytes */
        d = decision_of(WALL + 2000 + i, i % 7, i);
        d.metrics[0].state = METRIC_UNKNOWN;
        memset(d.metrics[0].why, 'x', sizeof(d.metrics[0].why) - 1);
        d.rescale_reason = arena_printf(&d.arena, "%0500d", i).p;
        decision_log_add(&l, &d);
        decision_done(&d);
        assert_true(l.bytes <= DECISION_LOG_BYTES);
    }
    decision_log_done(&l);
    assert_int_equal(l.bytes, 0);
}

static void a_decision_as_json_has_all_of_it(void **state)
{
    struct decision d = decision_of(WALL + 250, 3, 5);
    struct decision_span span = {WALL, 2};
    AUTO_JSON json_t *o = NULL;
    struct buf b = BUF_INIT;

    (void)state;
    d.held_until_ms = WALL + 5000;
    d.next_ms = WALL + 500;
    decision_json(&d, &span, &b);
    assert_int_equal(json_parse(buf_str(&b), &o, NULL), 0);
    assert_string_equal(json_text(o, "time", ""), "2025-11-24T21:16:40.250000Z");
    assert_string_equal(json_text(o, "heldUntil", ""), "2025-11-24T21:16:45.000000Z");
    assert_string_equal(json_text(o, "next", ""), "2025-11-24T21:16:40.500000Z");
    assert_int_equal(json_int(o, "looks", 0), 2);
    assert_int_equal(json_int(json_array_get(json_at(o, "metrics"), 0), "ageMs", 0), 40);
    assert_int_equal(json_int(json_array_get(json_at(o, "metrics"), 0), "value", 0), 5);
    assert_int_equal(json_int(json_array_get(json_at(o, "metrics"), 0), "target.value", 0), 2);
    assert_string_equal(json_text(o, "limit", ""), "DesiredWithinRange");
    buf_done(&b);
    decision_done(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_recommendation_counts_as_of_now),
        cmocka_unit_test(only_what_a_window_can_tell_apart_is_written),
        cmocka_unit_test(the_oldest_changes_are_merged_into_later_ones),
        cmocka_unit_test(what_is_no_memory_is_refused_whole),
        cmocka_unit_test(a_restart_between_two_looks_changes_no_decision),
        cmocka_unit_test(looks_that_say_the_same_are_one_entry),
        cmocka_unit_test(a_log_is_bounded_and_the_oldest_go),
        cmocka_unit_test(a_decision_as_json_has_all_of_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
