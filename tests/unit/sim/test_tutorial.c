/* SPDX-License-Identifier: Apache-2.0
 *
 * The tutorial in virtual time, the five minutes of the stabilization window included.
 *
 *   FLYBALL_SIM_SEEDS=1000 FLYBALL_SIM_FIRST=1   how many runs, from which seed */
#include <stdio.h>
#include <stdlib.h>

#include "../cmocka_all.h"

#include "base/log.h"
#include "base/mem.h"
#include "sim/sim.h"

#define HOST "huggingface-fbopt-default.example.com"
#define NS STR("default")

static struct buf tutorial;

static int read_tutorial(void **state)
{
    FILE *f = fopen(FB_TEST_DATA "/tutorial/prometheus.yaml", "rb");
    char part[4096];
    size_t n;

    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    if (!f)
        return -1;
    while ((n = fread(part, 1, sizeof(part), f)) > 0)
        buf_add(&tutorial, part, n);
    fclose(f);
    return 0;
}

static int free_tutorial(void **state)
{
    (void)state;
    buf_done(&tutorial);
    return 0;
}

/* cmocka cuts long messages. */
static void failed(struct sim *s, uint64_t seed, const char *what)
{
    fprintf(stderr, "%.*s", STR_ARG(sim_log(s)));
    fail_msg("seed %llu: %s: %d pods, %d ready, %d at most", (unsigned long long)seed, what,
             sim_pods(s, NS), sim_ready_pods(s, NS), sim_most_pods(s, NS));
}

static bool ready_is(struct sim *s, void *arg)
{
    return sim_ready_pods(s, NS) == *(const int *)arg && sim_pods(s, NS) == *(const int *)arg;
}

static void until_ready(struct sim *s, uint64_t seed, int n, int64_t ms)
{
    if (!sim_run_until(s, ready_is, &n, ms))
        failed(s, seed, "not as many pods in time");
}

/* A control plane with the tutorial's InferenceService, one pod ready. */
static struct sim *started(uint64_t seed)
{
    struct err err = ERR_INIT;
    struct sim *s = sim_new(&(struct sim_options){.seed = seed}, &err);

    if (!s || sim_apply(s, buf_str(&tutorial), &err) < 0)
        fail_msg("seed %llu: %s", (unsigned long long)seed, err.msg);
    until_ready(s, seed, 1, 10000);
    return s;
}

static void load(struct sim *s, int64_t ms)
{
    sim_start_load(s,
                   &(struct sim_load){.host = HOST, .workers = 5, .for_ms = ms, .max_tokens = 100});
}

static struct sim *whole_story(uint64_t seed)
{
    struct sim *s = started(seed);
    struct sim_traffic t;

    load(s, 30000);
    until_ready(s, seed, 3, 2000);
    sim_run_for(s, 40000);
    if (sim_pods(s, NS) != 3) /* the window holds */
        failed(s, seed, "wrong count");
    until_ready(s, seed, 1, 330000);
    t = sim_traffic(s);
    assert_int_equal(t.refused, 0);
    assert_int_equal(t.broken, 0);
    assert_true(t.answered > 10);
    if (sim_most_pods(s, NS) != 3)
        failed(s, seed, "wrong count");
    return s;
}

static uint64_t from_env(const char *name, uint64_t def)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : def;
}

static void every_seed_ends_at_one_and_never_has_a_fourth_pod(void **state)
{
    uint64_t first = from_env("FLYBALL_SIM_FIRST", 1), n = from_env("FLYBALL_SIM_SEEDS", 1);

    (void)state;
    printf("seeds %llu to %llu\n", (unsigned long long)first, (unsigned long long)(first + n - 1));
    for (uint64_t seed = first; seed < first + n; seed++)
        sim_free(whole_story(seed));
}

static void one_seed_gives_one_log_to_the_byte(void **state)
{
    struct sim *a = whole_story(7), *b = whole_story(7), *c = whole_story(8);

    (void)state;
    assert_true(sim_log(a).n > 1000);
    if (!str_eq(sim_log(a), sim_log(b))) {
        fprintf(stderr, "%.*s-----\n", STR_ARG(sim_log(a)));
        failed(b, 7, "two runs differ");
    }
    assert_false(str_eq(sim_log(a), sim_log(c)));
    sim_free(a);
    sim_free(b);
    sim_free(c);
}

/* What is not known must not lower the count, whatever makes it unknown and however long. */
static void unknown_holds(enum sim_fault fault)
{
    struct sim *s = started(21);
    int64_t began;

    load(s, 20000);
    until_ready(s, 21, 3, 2000);
    sim_run_for(s, 5000);
    sim_set_scrapes(s, fault);
    sim_run_for(s, 400000); /* longer than the window */
    assert_int_equal(sim_pods(s, NS), 3);
    assert_int_equal(sim_most_pods(s, NS), 3);
    assert_non_null(strstr(sim_log(s).p, "KEDAScalerFailed"));
    sim_set_scrapes(s, SIM_SCRAPES_WORK);
    began = sim_now_ms(s);
    until_ready(s, 21, 1, 330000);
    assert_true(sim_now_ms(s) - began >= 250); /* believed after one full round */
    sim_free(s);
}

static void refused_scrapes_hold_the_count(void **state)
{
    (void)state;
    unknown_holds(SIM_SCRAPES_REFUSED);
}

static void hanging_scrapes_hold_the_count(void **state)
{
    (void)state;
    unknown_holds(SIM_SCRAPES_HANG);
}

static void garbage_holds_the_count(void **state)
{
    (void)state;
    unknown_holds(SIM_SCRAPES_GARBAGE);
}

static void a_crashed_pod_comes_back_and_no_other_is_added_for_it(void **state)
{
    struct sim *s = started(22);

    (void)state;
    load(s, 60000);
    until_ready(s, 21, 3, 2000);
    sim_run_for(s, 3000);
    sim_crash_pod(s, NS, 7);
    assert_int_equal(sim_ready_pods(s, NS), 2);
    until_ready(s, 21, 3, 15000);
    assert_int_equal(sim_most_pods(s, NS), 3);
    assert_true(sim_traffic(s).broken <= 5);
    until_ready(s, 21, 1, 400000);
    sim_free(s);
}

static void a_wall_clock_that_jumps_neither_stops_scaling_nor_overshoots(void **state)
{
    static const int64_t jumps[] = {3600000, -3600000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(jumps); i++) {
        struct sim *s = started(23);

        sim_jump_wall(s, jumps[i]);
        load(s, 30000);
        sim_run_for(s, 25000);
        if (sim_pods(s, NS) != 3)
            failed(s, 23, jumps[i] > 0 ? "jump forward" : "jump back");
        assert_int_equal(sim_most_pods(s, NS), 3);
        sim_free(s);
    }
}

static void what_admission_refuses_is_said(void **state)
{
    struct err err = ERR_INIT;
    struct sim *s = sim_new(&(struct sim_options){.seed = 1}, &err);

    (void)state;
    assert_non_null(s);
    assert_true(sim_apply(s,
                          STR("apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\n"
                              "metadata: {name: x, namespace: default}\n"
                              "spec: {triggers: []}\n"),
                          &err) < 0);
    assert_non_null(strstr(err.msg, "scaleTargetRef"));
    sim_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_seed_ends_at_one_and_never_has_a_fourth_pod),
        cmocka_unit_test(one_seed_gives_one_log_to_the_byte),
        cmocka_unit_test(refused_scrapes_hold_the_count),
        cmocka_unit_test(hanging_scrapes_hold_the_count),
        cmocka_unit_test(garbage_holds_the_count),
        cmocka_unit_test(a_crashed_pod_comes_back_and_no_other_is_added_for_it),
        cmocka_unit_test(a_wall_clock_that_jumps_neither_stops_scaling_nor_overshoots),
        cmocka_unit_test(what_admission_refuses_is_said),
    };

    return cmocka_run_group_tests(tests, read_tutorial, free_tutorial);
}
