/* SPDX-License-Identifier: Apache-2.0
 *
 * Queue and retries in virtual time, with a receiver that answers what the test says. */
#include <stdio.h>
#include <stdlib.h>

#include "../cmocka_all.h"

#include "agent/exporter.h"
#include "base/log.h"
#include "base/mem.h"

struct fixture {
    struct loop *loop;
    struct agent_exporter config;
    struct exporter *e;
    struct exporter *calling; /* a call runs */
    int code;                 /* what is answered */
    int64_t retry_ms;
    const char *answer;
    size_t answer_n;
    struct buf got; /* "[request]" each, what was taken */
    int n_calls, n_drained;
    int64_t times_ms[100]; /* of the calls */
    bool hangs, is_lost;
};

static void answer(void *arg)
{
    struct fixture *f = arg;
    struct exporter *e = f->calling;

    if (!e || f->hangs)
        return;
    f->calling = NULL;
    exporter_sent(
        e, &(struct grpc_status){.code = f->code, .message = "because", .retry_ms = f->retry_ms},
        str_n(f->answer, f->answer_n));
}

static void fake_send(void *ctx, struct exporter *e, struct str message)
{
    struct fixture *f = ctx;

    assert_null(f->calling); /* one after another */
    f->calling = e;
    if (f->n_calls < 100)
        f->times_ms[f->n_calls] = loop_mono_ns(f->loop) / 1000000;
    f->n_calls++;
    if (f->code == GRPC_OK)
        buf_printf(&f->got, "[%.*s]", STR_ARG(message));
    loop_post(f->loop, answer, f);
}

static void fake_cancel(void *ctx)
{
    ((struct fixture *)ctx)->calling = NULL;
}

static bool fake_is_lost(void *ctx)
{
    return ((struct fixture *)ctx)->is_lost;
}

static void fake_free(void *ctx)
{
    (void)ctx;
}

static void begin(struct fixture *f)
{
    *f = (struct fixture){.config = {.name = STR("otlp"),
                                     .endpoint = "a:4317",
                                     .retry = {.is_enabled = true,
                                               .initial_ms = 5000,
                                               .max_interval_ms = 30000,
                                               .max_elapsed_ms = 300000,
                                               .multiplier = 1.5,
                                               .randomization = 0.5},
                                     .has_queue = true,
                                     .queue_size = 1000}};
    log_set_level(LOG_LEVEL_ERROR + 1);
    f->loop = loop_new_sim(1788184200000);
    f->e = exporter_new(
        f->loop, &f->config,
        &(struct exporter_transport){f, fake_send, fake_cancel, fake_is_lost, fake_free});
}

static void end(struct fixture *f)
{
    exporter_free(f->e);
    loop_free(f->loop);
    buf_done(&f->got);
}

static void push(struct fixture *f, const char *text)
{
    exporter_push(f->e, str_of(text));
}

static void requests_leave_at_once_and_in_order(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    push(&f, "a");
    loop_run_for(f.loop, 1);
    push(&f, "b");
    push(&f, "c"); /* while b is under way */
    push(&f, "d");
    loop_run_for(f.loop, 1);
    assert_string_equal(buf_cstr(&f.got), "[a][b][cd]"); /* what waits goes together */
    assert_int_equal(exporter_waiting(f.e), 0);
    end(&f);
}

static void unreachable_receiver_is_tried_soon_and_gets_all_in_one(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    f.code = GRPC_UNAVAILABLE;
    push(&f, "a");
    loop_run_for(f.loop, 60000);
    assert_in_range(f.times_ms[1] - f.times_ms[0], 50, 150);
    assert_in_range(f.n_calls, 15, 40); /* at most 5 s apart, on average */
    push(&f, "b");
    push(&f, "c");
    f.code = GRPC_OK;
    loop_run_for(f.loop, 7500);
    assert_string_equal(buf_cstr(&f.got), "[abc]");
    assert_int_equal(exporter_dropped(f.e), 0);
    push(&f, "d");
    loop_run_for(f.loop, 1);
    assert_string_equal(buf_cstr(&f.got), "[abc][d]");
    end(&f);
}

static void an_initial_interval_that_is_set_counts(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    f.config.retry.is_explicit = true;
    f.code = GRPC_UNAVAILABLE;
    push(&f, "a");
    loop_run_for(f.loop, 20000);
    assert_in_range(f.times_ms[1] - f.times_ms[0], 2500, 7500);
    end(&f);
}

static void after_max_elapsed_time_it_is_dropped(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    f.code = GRPC_DEADLINE_EXCEEDED;
    push(&f, "a");
    loop_run_for(f.loop, 150000);
    push(&f, "b");
    loop_run_for(f.loop, 149000);
    assert_int_equal(exporter_waiting(f.e), 2);
    loop_run_for(f.loop, 60000);
    assert_int_equal(exporter_waiting(f.e), 1); /* each by its own age */
    assert_int_equal(exporter_dropped(f.e), 1);
    loop_run_for(f.loop, 150000);
    assert_int_equal(exporter_waiting(f.e), 0);
    assert_in_range(f.n_calls, 15, 35); /* 5 s, 7.5 s, ... 30 s */
    end(&f);
}

static void what_is_refused_is_not_sent_again(void **state)
{
    static const int codes[] = {GRPC_INVALID_ARGUMENT, GRPC_UNIMPLEMENTED,      GRPC_INTERNAL,
                                GRPC_UNAUTHENTICATED,  GRPC_RESOURCE_EXHAUSTED, GRPC_UNKNOWN};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        struct fixture f;

        begin(&f);
        f.code = codes[i];
        push(&f, "a");
        loop_run_for(f.loop, 60000);
        assert_int_equal(f.n_calls, 1);
        assert_int_equal(exporter_dropped(f.e), 1);
        end(&f);
    }
}

static void receiver_may_ask_for_a_pause(void **state)
{
    static const int codes[] = {GRPC_RESOURCE_EXHAUSTED, GRPC_UNAVAILABLE};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        struct fixture f;

        begin(&f);
        f.code = codes[i];
        f.retry_ms = 10000;
        push(&f, "a");
        loop_run_for(f.loop, 9999);
        assert_int_equal(f.n_calls, 1);
        f.code = GRPC_OK;
        loop_run_for(f.loop, 2);
        assert_string_equal(buf_cstr(&f.got), "[a]");
        end(&f);
    }
}

/* One bad request must not take its neighbours with it. */
static void refused_together_they_are_sent_one_by_one(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    f.code = GRPC_UNAVAILABLE;
    push(&f, "a");
    push(&f, "b");
    push(&f, "c");
    loop_run_for(f.loop, 1);
    f.code = GRPC_INVALID_ARGUMENT;
    while (f.n_calls < 3)
        loop_run_for(f.loop, 1); /* alone, then as one batch, is refused */
    f.code = GRPC_OK;
    loop_run_for(f.loop, 10000);
    push(&f, "d");
    loop_run_for(f.loop, 10000);
    assert_true(exporter_waiting(f.e) == 0);
    assert_non_null(strstr(buf_cstr(&f.got), "[d]"));
    assert_null(strstr(buf_cstr(&f.got), "abc"));
    end(&f);
}

static void full_queue_drops_its_oldest(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    f.config.queue_size = 2;
    f.code = GRPC_UNAVAILABLE;
    push(&f, "a");
    loop_run_for(f.loop, 1);
    push(&f, "b");
    push(&f, "c");
    push(&f, "d");
    f.code = GRPC_OK;
    loop_run_for(f.loop, 10000);
    assert_string_equal(buf_cstr(&f.got), "[cd]");
    assert_int_equal(exporter_dropped(f.e), 2);
    end(&f);
}

static void queue_is_bounded_in_bytes(void **state)
{
    struct fixture f;
    AUTO_FREE char *big = mem_alloc(100001);

    (void)state;
    memset(big, 'x', 100000);
    big[100000] = '\0';
    begin(&f);
    f.code = GRPC_UNAVAILABLE;
    for (int i = 0; i < 100; i++)
        push(&f, big);
    assert_in_range(exporter_waiting(f.e), 9, 12);
    end(&f);
}

static void on_drained(void *arg)
{
    ((struct fixture *)arg)->n_drained++;
}

static void drain_ends_when_all_is_sent_or_at_the_deadline(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    push(&f, "a");
    exporter_drain(f.e, 2000, on_drained, &f);
    loop_run_for(f.loop, 1);
    assert_int_equal(f.n_drained, 1);
    end(&f);

    begin(&f);
    f.hangs = true;
    push(&f, "a");
    exporter_drain(f.e, 2000, on_drained, &f);
    loop_run_for(f.loop, 1999);
    assert_int_equal(f.n_drained, 0);
    loop_run_for(f.loop, 2);
    assert_int_equal(f.n_drained, 1);
    end(&f);

    begin(&f);
    f.code = GRPC_UNAVAILABLE; /* one more try, then it is given up */
    push(&f, "a");
    loop_run_for(f.loop, 1);
    exporter_drain(f.e, 2000, on_drained, &f);
    loop_run_for(f.loop, 1);
    assert_int_equal(f.n_drained, 1);
    end(&f);
}

static void a_lost_receiver_counts_only_when_nothing_waits(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    assert_false(exporter_is_lost(f.e));
    f.is_lost = true;
    assert_true(exporter_is_lost(f.e));
    f.code = GRPC_UNAVAILABLE;
    push(&f, "a");
    loop_run_for(f.loop, 1);
    assert_false(exporter_is_lost(f.e)); /* it is being tried already */
    end(&f);
}

static void partial_success_is_success(void **state)
{
    static const char partial[] = "\x0a\x06\x08\x02\x12\x02no";
    struct fixture f;

    (void)state;
    begin(&f);
    f.answer = partial;
    f.answer_n = sizeof(partial) - 1;
    push(&f, "a");
    loop_run_for(f.loop, 60000);
    assert_int_equal(f.n_calls, 1);
    assert_int_equal(exporter_waiting(f.e), 0);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_leave_at_once_and_in_order),
        cmocka_unit_test(unreachable_receiver_is_tried_soon_and_gets_all_in_one),
        cmocka_unit_test(an_initial_interval_that_is_set_counts),
        cmocka_unit_test(after_max_elapsed_time_it_is_dropped),
        cmocka_unit_test(what_is_refused_is_not_sent_again),
        cmocka_unit_test(receiver_may_ask_for_a_pause),
        cmocka_unit_test(refused_together_they_are_sent_one_by_one),
        cmocka_unit_test(full_queue_drops_its_oldest),
        cmocka_unit_test(queue_is_bounded_in_bytes),
        cmocka_unit_test(drain_ends_when_all_is_sent_or_at_the_deadline),
        cmocka_unit_test(a_lost_receiver_counts_only_when_nothing_waits),
        cmocka_unit_test(partial_success_is_success),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
