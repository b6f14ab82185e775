/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rand.h"
#include "modelserver/blocks.h"
#include "modelserver/sched.h"

struct world {
    struct sched *s;
    int finished, tokens;
};

static int32_t sample(void *ctx, struct seq *q, bool *ret_stop)
{
    (void)ctx;
    *ret_stop = false;
    return 1000 + q->n_tokens;
}

static void token(void *ctx, struct seq *q, int32_t id, enum seq_finish finish)
{
    struct world *w = ctx;

    (void)q;
    (void)id;
    w->tokens++;
    if (finish != SEQ_GOES_ON)
        w->finished++;
}

static void world_open(struct world *w, const struct sched_config *c)
{
    struct sched_hooks h = {w, NULL, sample, token};

    w->s = sched_new(c, &h);
}

static void add(struct world *w, struct seq *q, int first, int n_prompt, int max_tokens)
{
    int32_t *ids = mem_array((size_t)n_prompt, sizeof(*ids));

    for (int i = 0; i < n_prompt; i++)
        ids[i] = first + i;
    seq_init(q, ids, n_prompt, max_tokens, NULL);
    free(ids);
    sched_add(w->s, q);
}

static bool step(struct world *w, struct sched_step *ret)
{
    if (!sched_plan(w->s, ret))
        return false;
    sched_commit(w->s);
    return true;
}

static const struct sched_config small = {.block_size = 4,
                                          .num_blocks = 17,
                                          .max_num_seqs = 4,
                                          .max_num_batched_tokens = 32,
                                          .max_model_len = 48,
                                          .prefix_caching = true};

static void running_never_passes_max_num_seqs(void **state)
{
    struct world w = {0};
    struct sched_step st;
    struct seq q[6];

    (void)state;
    world_open(&w, &small);
    for (int i = 0; i < 6; i++)
        add(&w, &q[i], i * 100, 3, 4);
    assert_true(step(&w, &st));
    assert_int_equal(sched_running(w.s), 4);
    assert_int_equal(sched_waiting(w.s), 2);
    while (step(&w, &st))
        assert_true(sched_running(w.s) <= 4);
    assert_int_equal(w.finished, 6);
    assert_int_equal(w.tokens, 24);
    assert_true(sched_kv_usage(w.s) == 0);
    for (int i = 0; i < 6; i++)
        seq_done(&q[i]);
    sched_free(w.s);
}

static void a_long_prompt_is_computed_in_chunks_of_the_budget(void **state)
{
    struct world w = {0};
    struct sched_step st;
    struct seq q;

    (void)state;
    world_open(&w, &small);
    add(&w, &q, 0, 40, 2);
    assert_true(step(&w, &st));
    assert_int_equal(st.prefill_tokens, 32);
    assert_int_equal(w.tokens, 0);
    assert_true(step(&w, &st));
    assert_int_equal(st.prefill_tokens, 8);
    assert_int_equal(w.tokens, 1);
    assert_true(step(&w, &st));
    assert_int_equal(st.decode_seqs, 1);
    assert_int_equal(st.kv_tokens_read, 41);
    assert_int_equal(w.finished, 1);
    seq_done(&q);
    sched_free(w.s);
}

static void decoding_goes_on_beside_a_chunked_prefill(void **state)
{
    struct world w = {0};
    struct sched_step st;
    struct seq a, b;

    (void)state;
    world_open(&w, &small);
    add(&w, &a, 0, 2, 8);
    assert_true(step(&w, &st));
    add(&w, &b, 500, 40, 1);
    assert_true(step(&w, &st));
    assert_int_equal(st.decode_seqs, 1);
    assert_int_equal(st.prefill_tokens, 31);
    while (step(&w, &st))
        ;
    assert_int_equal(w.finished, 2);
    seq_done(&a);
    seq_done(&b);
    sched_free(w.s);
}

static void the_youngest_is_preempted_when_blocks_run_out_and_loses_nothing(void **state)
{
    struct world w = {0};
    struct sched_step st;
    struct seq q[3];
    int preempted = 0;

    (void)state;
    world_open(&w, &small);
    for (int i = 0; i < 3; i++)
        add(&w, &q[i], i * 1000, 8, 30); /* 3 x 38 tokens want 30 blocks, 16 are there */
    while (step(&w, &st)) {
        preempted += st.preempted;
        assert_true(sched_kv_usage(w.s) <= 1.0);
    }
    assert_true(preempted > 0);
    assert_int_equal(q[0].preemptions, 0); /* the oldest never */
    assert_int_equal(w.finished, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(q[i].n_tokens, 38);
        seq_done(&q[i]);
    }
    sched_free(w.s);
}

static void a_prompt_with_a_known_beginning_computes_only_its_rest(void **state)
{
    struct world w = {0};
    struct sched_step st;
    struct seq a, b;

    (void)state;
    world_open(&w, &small);
    add(&w, &a, 0, 13, 1);
    assert_true(step(&w, &st));
    assert_int_equal(st.prefill_tokens, 13);
    assert_int_equal(st.cache_hits, 0);
    add(&w, &b, 0, 13, 1);
    assert_true(step(&w, &st));
    assert_int_equal(st.cache_queries, 13);
    assert_int_equal(st.cache_hits, 12); /* three full blocks; the last token is always computed */
    assert_int_equal(st.prefill_tokens, 1);
    assert_true(sched_kv_usage(w.s) == 0); /* cached blocks count as free */
    seq_done(&a);
    seq_done(&b);
    sched_free(w.s);
}

static void an_aborted_sequence_is_gone_before_the_next_step(void **state)
{
    struct world w = {0};
    struct sched_step st;
    struct seq a, b;

    (void)state;
    world_open(&w, &small);
    add(&w, &a, 0, 8, 20);
    add(&w, &b, 100, 8, 20);
    assert_true(sched_plan(w.s, &st));
    sched_abort(w.s, &a); /* in mid-step */
    assert_int_equal(sched_running(w.s), 1);
    sched_commit(w.s);
    assert_int_equal(w.tokens, 1);
    sched_abort(w.s, &b);
    assert_int_equal(sched_running(w.s), 0);
    assert_true(sched_kv_usage(w.s) == 0);
    assert_false(sched_plan(w.s, &st));
    seq_done(&a);
    seq_done(&b);
    sched_free(w.s);
}

static void random_arrivals_and_aborts_leave_no_block_behind(void **state)
{
    uint64_t seed = 20261124;
    struct rng r;

    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    rng_seed(&r, seed);
    for (int round = 0; round < 200; round++) {
        struct world w = {0};
        struct sched_step st;
        struct seq q[24];
        int added = 0, steps = 0;

        world_open(&w, &small);
        while (added < 24 || sched_running(w.s) + sched_waiting(w.s) > 0) {
            if (added < 24 && rng_below(&r, 2)) {
                add(&w, &q[added], (int)rng_below(&r, 3) * 7, 1 + (int)rng_below(&r, 40),
                    1 + (int)rng_below(&r, 8));
                added++;
            }
            if (added > 0 && rng_below(&r, 8) == 0) {
                struct seq *victim = &q[rng_below(&r, (uint64_t)added)];

                if (victim->state != SEQ_FINISHED)
                    sched_abort(w.s, victim);
            }
            step(&w, &st);
            assert_true(++steps < 10000);
        }
        assert_true(sched_kv_usage(w.s) == 0);
        for (int i = 0; i < added; i++)
            seq_done(&q[i]);
        sched_free(w.s);
    }
}

static void evicted_blocks_are_no_longer_found(void **state)
{
    struct blocks *b = blocks_new(3); /* two usable */
    int one, two;

    (void)state;
    one = blocks_take(b);
    blocks_set_key(b, one, 77);
    blocks_release(b, one);
    assert_true(blocks_is_cached(b, 77));
    assert_int_equal(blocks_take_cached(b, 77), one);
    two = blocks_take(b);
    assert_int_equal(blocks_take(b), -1);
    blocks_release(b, one);
    assert_int_equal(blocks_take(b), one);
    assert_false(blocks_is_cached(b, 77));
    blocks_release(b, one);
    blocks_release(b, two);
    blocks_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(running_never_passes_max_num_seqs),
        cmocka_unit_test(a_long_prompt_is_computed_in_chunks_of_the_budget),
        cmocka_unit_test(decoding_goes_on_beside_a_chunked_prefill),
        cmocka_unit_test(the_youngest_is_preempted_when_blocks_run_out_and_loses_nothing),
        cmocka_unit_test(a_prompt_with_a_known_beginning_computes_only_its_rest),
        cmocka_unit_test(an_aborted_sequence_is_gone_before_the_next_step),
        cmocka_unit_test(random_arrivals_and_aborts_leave_no_block_behind),
        cmocka_unit_test(evicted_blocks_are_no_longer_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
