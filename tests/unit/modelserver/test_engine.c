/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "modelserver/engine.h"

struct client {
    struct generation *g;
    int tokens;
    enum seq_finish finish;
};

static void on_token(void *arg, struct generation *g, struct str text, enum seq_finish finish)
{
    struct client *c = arg;

    (void)g;
    assert_true(text.n > 0);
    c->tokens++;
    c->finish = finish;
}

struct bench {
    struct loop *loop;
    struct vllm_metrics *metrics;
    struct engine *engine;
};

static struct bench bench_new(int max_num_seqs, int num_blocks, int64_t startup_ms)
{
    struct bench b;
    struct engine_config c = {.sched = {.block_size = 4,
                                        .num_blocks = num_blocks,
                                        .max_num_seqs = max_num_seqs,
                                        .max_num_batched_tokens = 64,
                                        .max_model_len = 64,
                                        .prefix_caching = true},
                              .seed = 1,
                              .startup_ms = startup_ms};

    assert_int_equal(timing_parse(STR("a=10000,c=1000"), &c.timing, NULL), 0);
    b.loop = loop_new_sim(1000000);
    b.metrics = vllm_metrics_new("fbopt", 64, 4, num_blocks);
    b.engine = engine_new(b.loop, &c, b.metrics);
    return b;
}

static void bench_free(struct bench *b)
{
    engine_free(b->engine);
    vllm_metrics_free(b->metrics);
    loop_free(b->loop);
}

static void ask(struct bench *b, struct client *c, int n_prompt, int max_tokens)
{
    int32_t ids[64];
    struct generation_options o = {.prompt = ids,
                                   .n_prompt = n_prompt,
                                   .max_tokens = max_tokens,
                                   .max_tokens_given = true,
                                   .params_n = 1,
                                   .seed = 3,
                                   .arrival_ns = loop_mono_ns(b->loop),
                                   .arg = c,
                                   .on_token = on_token};

    for (int i = 0; i < n_prompt; i++)
        ids[i] = i * 31 + n_prompt;
    *c = (struct client){0};
    c->g = engine_generate(b->engine, &o);
}

/* The value of the first sample that starts with `series`, or -1. */
static double value(struct bench *b, const char *series)
{
    const char *page = vllm_metrics_page(b->metrics, false).p;

    for (const char *at = page; (at = strstr(at, series)); at++)
        if (at == page || at[-1] == '\n')
            return strtod(strchr(at, ' '), NULL);
    return -1;
}

static void every_series_is_there_at_zero_before_the_first_request(void **state)
{
    struct bench b = bench_new(4, 64, 0);

    (void)state;
    assert_true(value(&b, "vllm:num_requests_running{engine=\"0\",model_name=\"fbopt\"}") == 0);
    assert_true(value(&b, "vllm:num_requests_waiting{") == 0);
    assert_true(value(&b, "vllm:request_success_total{engine=\"0\",finished_reason=\"abort\"") ==
                0);
    assert_true(value(&b, "vllm:time_to_first_token_seconds_bucket{engine=\"0\",le=\"0.001\"") ==
                0);
    assert_true(value(&b, "vllm:e2e_request_latency_seconds_count{") == 0);
    bench_free(&b);
}

static void gauges_follow_the_scheduler_and_fall_to_zero_with_the_last_token(void **state)
{
    struct bench b = bench_new(4, 64, 0);
    struct client c[6];

    (void)state;
    loop_run_for(b.loop, 1);
    for (int i = 0; i < 6; i++)
        ask(&b, &c[i], 4, 10);
    loop_run_for(b.loop, 40);
    assert_true(value(&b, "vllm:num_requests_running{") == 4);
    assert_true(value(&b, "vllm:num_requests_waiting{") == 2);
    assert_true(value(&b, "vllm:kv_cache_usage_perc{") > 0);
    loop_run(b.loop);
    assert_true(value(&b, "vllm:num_requests_running{") == 0);
    assert_true(value(&b, "vllm:num_requests_waiting{") == 0);
    assert_true(value(&b, "vllm:kv_cache_usage_perc{") == 0);
    assert_true(value(&b, "vllm:generation_tokens_total{") == 60);
    assert_true(value(&b, "vllm:prompt_tokens_total{") == 24);
    assert_true(value(&b, "vllm:request_generation_tokens_sum{") == 60);
    assert_true(value(&b, "vllm:request_generation_tokens_count{") == 6);
    assert_true(value(&b, "vllm:request_success_total{engine=\"0\",finished_reason=\"length\"") ==
                6);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(c[i].tokens, 10);
        assert_int_equal(c[i].finish, SEQ_LENGTH);
    }
    bench_free(&b);
}

static void a_client_that_leaves_frees_its_slot_at_once_and_counts_as_abort(void **state)
{
    struct bench b = bench_new(4, 64, 0);
    struct client c;

    (void)state;
    loop_run_for(b.loop, 1);
    ask(&b, &c, 8, 50);
    loop_run_for(b.loop, 100);
    assert_true(value(&b, "vllm:num_requests_running{") == 1);
    engine_abort(b.engine, c.g, false);
    assert_true(value(&b, "vllm:num_requests_running{") == 0);
    assert_true(value(&b, "vllm:request_success_total{engine=\"0\",finished_reason=\"abort\"") ==
                1);
    assert_true(value(&b, "vllm:e2e_request_latency_seconds_count{") == 1);
    loop_run(b.loop);
    assert_int_equal(engine_in_flight(b.engine), 0);
    bench_free(&b);
}

static void nothing_is_computed_before_the_engine_is_ready(void **state)
{
    struct bench b = bench_new(4, 64, 500);
    struct client c;

    (void)state;
    ask(&b, &c, 4, 1);
    loop_run_for(b.loop, 499);
    assert_false(engine_is_ready(b.engine));
    assert_int_equal(c.tokens, 0);
    loop_run(b.loop);
    assert_true(engine_is_ready(b.engine));
    assert_int_equal(c.tokens, 1);
    bench_free(&b);
}

static void an_engine_may_go_while_it_works(void **state)
{
    struct bench b = bench_new(2, 64, 0);
    struct client c[4];

    (void)state;
    loop_run_for(b.loop, 1);
    for (int i = 0; i < 4; i++)
        ask(&b, &c[i], 4, 10);
    loop_run_for(b.loop, 25);
    bench_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_series_is_there_at_zero_before_the_first_request),
        cmocka_unit_test(gauges_follow_the_scheduler_and_fall_to_zero_with_the_last_token),
        cmocka_unit_test(a_client_that_leaves_frees_its_slot_at_once_and_counts_as_abort),
        cmocka_unit_test(nothing_is_computed_before_the_engine_is_ready),
        cmocka_unit_test(an_engine_may_go_while_it_works),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
