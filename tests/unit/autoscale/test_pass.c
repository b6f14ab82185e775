/* SPDX-License-Identifier: Apache-2.0
 *
 * What the vectors cannot show: passes that are closer together than a sync period, histories that
 * forget, and the sentence that is made of a decision. */
#include <stdlib.h>
#include <string.h>

#include "../cmocka_all.h"

#include "autoscale/hpa_memory.h"
#include "autoscale/hpa_pass.h"
#include "base/mem.h"
#include "base/rand.h"

#define ROUND_MS 250

struct fixture {
    struct arena arena;
    json_t *json;
    struct hpa_spec spec;
    struct hpa_scene scene;
    struct hpa_memory memory;
    struct hpa_config config;
    int64_t value;
};

static void begin(struct fixture *f, const char *spec)
{
    *f = (struct fixture){.config = HPA_CONFIG_DEFAULT};
    assert_int_equal(json_parse(str_of(spec), &f->json, NULL), 0);
    hpa_spec_read(f->json, &f->arena, &f->spec);
    f->scene = (struct hpa_scene){
        .now_ms = 1000000, .mono_ms = 1000000, .current = 1, .status_replicas = 1};
}

static void end(struct fixture *f)
{
    hpa_memory_done(&f->memory);
    arena_done(&f->arena);
    json_decref(f->json);
}

static void pass(struct fixture *f, int64_t value, struct decision *d)
{
    f->value = value * 1000;
    f->spec.metrics[0].values = &f->value;
    f->spec.metrics[0].n_values = 1;
    hpa_pass(&f->config, &f->spec, &f->scene, &f->memory, d);
    if (d->is_rescale)
        hpa_pass_written(&f->config, &f->spec, &f->memory, d, NULL);
    f->scene.current = f->scene.status_replicas = d->desired;
    f->scene.now_ms += ROUND_MS;
    f->scene.mono_ms += ROUND_MS;
}

#define EXTERNAL(more)                                                                            \
    "{\"minReplicas\":1,\"maxReplicas\":100,\"metrics\":[{\"type\":\"External\",\"external\":{"   \
    "\"metric\":{\"name\":\"q\"},\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"1\"}}}" \
    "]" more "}"

static void without_behavior_the_size_at_most_doubles_per_period_not_per_round(void **state)
{
    struct fixture f;
    struct decision d;

    (void)state;
    begin(&f, EXTERNAL(""));
    for (int i = 0; i < 15000 / ROUND_MS; i++) {
        pass(&f, 50, &d);
        assert_int_equal(d.desired, 4);
        if (i)
            assert_string_equal(d.limit_reason, "ScaleUpLimit");
        decision_done(&d);
    }
    pass(&f, 50, &d);
    assert_int_equal(d.desired, 8);
    decision_done(&d);
    end(&f);
}

/* A history that forgets decides as one that keeps everything. */
static void a_history_that_coalesces_decides_the_same(void **state)
{
    uint64_t seed = test_seed();
    struct rng rng;

    (void)state;
    rng_seed(&rng, seed);
    for (int n = 0; n < 50; n++) {
        struct fixture a, b;
        bool has_behavior = n % 2;
        const char *spec =
            has_behavior ? EXTERNAL(",\"behavior\":{\"scaleUp\":{\"stabilizationWindowSeconds\":3},"
                                    "\"scaleDown\":{\"stabilizationWindowSeconds\":5}}")
                         : EXTERNAL("");

        begin(&a, spec);
        begin(&b, spec);
        b.config.coalesces = false;
        a.config.downscale_window_ms = b.config.downscale_window_ms = 4000;
        for (int i = 0; i < 200; i++) {
            int64_t value = 1 + (int64_t)rng_below(&rng, 6);
            struct decision x, y;

            pass(&a, value, &x);
            pass(&b, value, &y);
            assert_int_equal(x.desired, y.desired);
            assert_string_equal(x.stabilize_reason, y.stabilize_reason);
            decision_done(&x);
            decision_done(&y);
        }
        assert_true(a.memory.recommendations.n <= b.memory.recommendations.n);
        end(&a);
        end(&b);
    }
}

static void a_decision_says_value_target_and_what_limited_it(void **state)
{
    struct fixture f;
    struct decision d;
    char text[900];

    (void)state;
    begin(&f, EXTERNAL(""));
    pass(&f, 50, &d);
    decision_text(&d, text, sizeof(text));
    assert_string_equal(text, "4 replicas: q is 50, target 1 per replica: ceil(50/1) = 50; no more "
                              "may be added at once");
    decision_text(&d, text, 5); /* cut, and still ended */
    assert_string_equal(text, "4 re");
    decision_done(&d);
    end(&f);
}

static void a_metric_that_fails_holds_the_count_and_says_so(void **state)
{
    struct fixture f;
    struct decision d;
    char text[900];

    (void)state;
    begin(&f, EXTERNAL(""));
    f.scene.current = f.scene.status_replicas = 3;
    f.spec.metrics[0].error = "prometheus is down: start it";
    hpa_pass(&f.config, &f.spec, &f.scene, &f.memory, &d);
    assert_false(d.is_rescale);
    assert_true(d.held && d.has_failed);
    assert_int_equal(d.desired, 3);
    decision_text(&d, text, sizeof(text));
    assert_non_null(strstr(text, "prometheus is down: start it"));
    assert_non_null(strstr(text, "the count may not fall"));
    decision_done(&d);
    end(&f);
}

/* Killed before its history was saved to the end: {what it reads back} at a size of 5. */
static void a_size_that_nothing_remembered_accounts_for_is_held(void **state)
{
    static const struct {
        const char *memory;
        int64_t held; /* seconds until a load of 1 gets 1 replica */
    } rows[] = {
        {"", 300},                    /* nothing at all */
        {"r1@900000", 300},           /* it ended before 5 was decided */
        {"r5@800000 r1@990000", 100}, /* 5 is accounted for: its window goes on */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        struct decision d;
        int64_t began;

        begin(&f, EXTERNAL(""));
        f.scene.current = f.scene.status_replicas = 5;
        assert_int_equal(hpa_memory_read(str_of(rows[i].memory), f.scene.mono_ms, f.scene.now_ms,
                                         &f.memory, NULL),
                         0);
        began = f.scene.mono_ms;
        do {
            pass(&f, 1, &d);
            decision_done(&d);
        } while (f.scene.current == 5 && f.scene.mono_ms < began + 400000);
        assert_in_range((f.scene.mono_ms - began) / 1000, rows[i].held - 1, rows[i].held + 1);
        end(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_size_that_nothing_remembered_accounts_for_is_held),
        cmocka_unit_test(without_behavior_the_size_at_most_doubles_per_period_not_per_round),
        cmocka_unit_test(a_history_that_coalesces_decides_the_same),
        cmocka_unit_test(a_decision_says_value_target_and_what_limited_it),
        cmocka_unit_test(a_metric_that_fails_holds_the_count_and_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
