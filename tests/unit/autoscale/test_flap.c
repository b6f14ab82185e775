/* SPDX-License-Identifier: Apache-2.0
 *
 * Nothing flaps: for any noisy signal around a target, the count changes its direction no more
 * often than the windows allow, however often it is looked at. And what is not known, or not
 * believed yet, never lowers it. Seeds are printed. */
#include <stdlib.h>
#include <string.h>

#include "../cmocka_all.h"

#include "autoscale/hpa_pass.h"
#include "autoscale/keda.h"
#include "base/mem.h"
#include "base/rand.h"

#define ROUND_MS 250
#define RUNS 60
#define ROUNDS 2400 /* ten minutes */

struct fixture {
    struct arena arena;
    json_t *json;
    struct hpa_spec spec;
    struct hpa_scene scene;
    struct hpa_memory memory;
    struct hpa_config config;
    int64_t value;
};

static void begin(struct fixture *f, int64_t up_s, int64_t down_s)
{
    char text[700], behavior[300] = "";

    *f = (struct fixture){.config = HPA_CONFIG_DEFAULT};
    if (up_s >= 0)
        snprintf(behavior, sizeof(behavior),
                 ",\"behavior\":{\"scaleUp\":{\"stabilizationWindowSeconds\":%lld},"
                 "\"scaleDown\":{\"stabilizationWindowSeconds\":%lld}}",
                 (long long)up_s, (long long)down_s);
    snprintf(text, sizeof(text),
             "{\"minReplicas\":1,\"maxReplicas\":30,\"metrics\":[{\"type\":\"External\","
             "\"external\":{\"metric\":{\"name\":\"q\"},\"target\":{\"type\":\"AverageValue\","
             "\"averageValue\":\"2\"}}}]%s}",
             behavior);
    assert_int_equal(json_parse(str_of(text), &f->json, NULL), 0);
    hpa_spec_read(f->json, &f->arena, &f->spec);
    f->scene = (struct hpa_scene){
        .now_ms = 1000000, .mono_ms = 1000000, .current = 5, .status_replicas = 5};
}

static void end(struct fixture *f)
{
    hpa_memory_done(&f->memory);
    arena_done(&f->arena);
    json_decref(f->json);
}

/* One look; +1, -1 or 0: how the count moved. */
static int look(struct fixture *f, int64_t milli)
{
    struct decision d;
    int64_t was = f->scene.current;

    f->value = milli;
    f->spec.metrics[0].values = &f->value;
    f->spec.metrics[0].n_values = 1;
    hpa_pass(&f->config, &f->spec, &f->scene, &f->memory, &d);
    if (d.is_rescale)
        hpa_pass_written(&f->config, &f->spec, &f->memory, &d, NULL);
    f->scene.current = f->scene.status_replicas = d.desired;
    f->scene.now_ms += ROUND_MS;
    f->scene.mono_ms += ROUND_MS;
    decision_done(&d);
    return f->scene.current > was ? 1 : f->scene.current < was ? -1 : 0;
}

/* Around a level that itself moves now and then: steps, spikes, drops to nothing. */
static int64_t noise(struct rng *rng, int64_t *level)
{
    int64_t spread = 1 + (int64_t)rng_below(rng, 9000);

    if (rng_below(rng, 100) == 0)
        *level = (int64_t)rng_below(rng, 40000);
    if (rng_below(rng, 50) == 0)
        return (int64_t)rng_below(rng, 60000);
    if (rng_below(rng, 50) == 0)
        return 0;
    return *level + (int64_t)rng_below(rng, (uint64_t)spread) - spread / 2 < 0
               ? 0
               : *level + (int64_t)rng_below(rng, (uint64_t)spread) - spread / 2;
}

/* No look of the last `ms` wanted more than `count` pods, by more than the tolerance. */
static bool is_enough(const int64_t *values, int n, int64_t ms, int64_t count)
{
    for (int i = n; i >= 0 && (int64_t)(n - i) * ROUND_MS < ms; i--)
        if (values[i] > count * 2200 && count < 30)
            return false;
    return true;
}

/* After growing it may shrink only once the down-window is over, and the other way round; so within
 * any span there are at most span / window turns of each kind, and one. Without behavior it may
 * grow late, held back by "at most twice the size", to what was wanted early: there it must not
 * shrink below what any look of the window wanted. */
static void run(struct rng *rng, int64_t up_s, int64_t down_s, uint64_t seed)
{
    int64_t level = 10000, last_up = INT64_MIN / 2, last_down = INT64_MIN / 2, turns = 0;
    int64_t slowest = up_s > down_s ? up_s : down_s, span = (int64_t)ROUNDS * ROUND_MS / 1000;
    bool is_classic = up_s < 0;
    static int64_t values[ROUNDS];
    struct fixture f;
    int last = 0;

    begin(&f, up_s, down_s);
    if (is_classic)
        slowest = down_s = 300;
    for (int i = 0; i < ROUNDS; i++) {
        int64_t now = f.scene.mono_ms;
        int moved;

        values[i] = noise(rng, &level);
        moved = look(&f, values[i]);

        if (moved > 0 && now - last_down < (is_classic ? 0 : up_s) * 1000)
            fail_msg("seed %llu: up %lld ms after down, window %lld s", (unsigned long long)seed,
                     (long long)(now - last_down), (long long)up_s);
        if (moved < 0 && is_classic && !is_enough(values, i, down_s * 1000, f.scene.current))
            fail_msg("seed %llu: down to %lld, more was wanted in the last %lld s",
                     (unsigned long long)seed, (long long)f.scene.current, (long long)down_s);
        if (moved < 0 && !is_classic && now - last_up < down_s * 1000)
            fail_msg("seed %llu: down %lld ms after up, window %lld s", (unsigned long long)seed,
                     (long long)(now - last_up), (long long)down_s);
        turns += moved && last && moved != last;
        last = moved ? moved : last;
        last_up = moved > 0 ? now : last_up;
        last_down = moved < 0 ? now : last_down;
    }
    if (slowest && turns > 2 * (span / slowest + 1))
        fail_msg("seed %llu: %lld turns in %lld s, window %lld s", (unsigned long long)seed,
                 (long long)turns, (long long)span, (long long)slowest);
    end(&f);
}

static void turns_are_bounded_by_the_windows(void **state)
{
    uint64_t seed = test_seed();

    (void)state;
    for (uint64_t i = 0; i < RUNS; i++) {
        struct rng rng;

        rng_seed(&rng, seed + i);
        if (i % 4 == 0)
            run(&rng, -1, 0, seed + i); /* without behavior: 300 s */
        else
            run(&rng, (int64_t)rng_below(&rng, 2) * (int64_t)rng_below(&rng, 60),
                1 + (int64_t)rng_below(&rng, 300), seed + i);
    }
}

/* A signal within the tolerance of what the count is made for moves nothing at all. */
static void noise_within_the_tolerance_moves_nothing(void **state)
{
    uint64_t seed = test_seed();
    struct fixture f;
    struct rng rng;

    (void)state;
    rng_seed(&rng, seed);
    begin(&f, 0, 0);
    for (int i = 0; i < ROUNDS; i++)
        assert_int_equal(look(&f, 9001 + (int64_t)rng_below(&rng, 1998)), 0);
    end(&f);
}

/* Value: 5 against a target of 2 is 3 pods while one is ready; that the others become ready does
 * not multiply it before they have had time to take a part of the work. */
static void pods_that_have_just_become_ready_do_not_multiply_a_value(void **state)
{
    struct hpa_pod pods[3];
    struct hpa_metric m = {.type = HPA_EXTERNAL, .target_type = HPA_VALUE, .target = 2000};
    int64_t value = 5000;
    struct hpa_observed o = {.times = {.now_ms = 100000},
                             .tolerance = {0.1, 0.1},
                             .current = 3,
                             .status_replicas = 3,
                             .pods = pods,
                             .n_pods = 3,
                             .values = &value,
                             .n_values = 1};
    struct hpa_proposal p;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        pods[i] = (struct hpa_pod){.name = STR("p"),
                                   .phase = HPA_PHASE_RUNNING,
                                   .ready = HPA_READY_TRUE,
                                   .ready_since_ms = i ? 99000 : 0};
    assert_int_equal(hpa_propose(&m, &o, &p, NULL), 0);
    assert_int_equal(p.replicas, 8); /* as the original */
    o.settle_ms = 15000;
    assert_int_equal(hpa_propose(&m, &o, &p, NULL), 0);
    assert_int_equal(p.replicas, 3);
    o.times.now_ms = 114000;
    assert_int_equal(hpa_propose(&m, &o, &p, NULL), 0);
    assert_int_equal(p.replicas, 8);
    value = 1000; /* less is believed at once */
    o.times.now_ms = 100000;
    assert_int_equal(hpa_propose(&m, &o, &p, NULL), 0);
    assert_int_equal(p.replicas, 2);
}

static void a_value_that_may_not_lower_only_raises_and_leaves_no_trace(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, 0, 0);
    f.spec.metrics[0].may_not_lower = true;
    for (int i = 0; i < 100; i++)
        assert_int_equal(look(&f, 0), 0);
    assert_int_equal(f.memory.recommendations.n, 1); /* the count at the start */
    assert_int_equal(look(&f, 14000), 1);
    assert_int_equal(f.scene.current, 7);
    f.spec.metrics[0].may_not_lower = false;
    assert_int_equal(look(&f, 2000), -1);
    assert_int_equal(f.scene.current, 1);
    end(&f);
}

/* To zero no sooner than cooldownPeriod after the last activity, whatever happens in between; and
 * with errors never. */
static void zero_waits_for_the_cooldown(void **state)
{
    uint64_t seed = test_seed();
    struct rng rng;

    (void)state;
    rng_seed(&rng, seed);
    for (int n = 0; n < 200; n++) {
        struct keda_spec spec = {.max = 10, .cooldown_s = (int64_t)rng_below(&rng, 20)};
        struct keda_pauses pauses = {0};
        struct keda_scene s = {.spec = &spec, .pauses = &pauses, .last_active_ms = -1};
        int64_t active_ms = 0;

        for (s.now_ms = 1000000; s.now_ms < 1100000; s.now_ms += ROUND_MS) {
            struct keda_verdict v;

            s.is_active = rng_below(&rng, 40) == 0;
            s.is_error = rng_below(&rng, 10) == 0;
            keda_decide(&s, &v);
            active_ms = s.is_active && !s.is_error ? s.now_ms : active_ms;
            if (v.act == KEDA_DEACTIVATE) {
                assert_false(s.is_error);
                assert_true(s.now_ms - active_ms >= spec.cooldown_s * 1000);
            }
            s.current = v.to;
            s.last_active_ms = v.touches ? s.now_ms : s.last_active_ms;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_are_bounded_by_the_windows),
        cmocka_unit_test(noise_within_the_tolerance_moves_nothing),
        cmocka_unit_test(pods_that_have_just_become_ready_do_not_multiply_a_value),
        cmocka_unit_test(a_value_that_may_not_lower_only_raises_and_leaves_no_trace),
        cmocka_unit_test(zero_waits_for_the_cooldown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
