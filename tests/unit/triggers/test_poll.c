/* SPDX-License-Identifier: Apache-2.0
 *
 * When a trigger asks, in virtual time: a client that answers what it is told to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "triggers/trigger.h"

#define ASKED_MAX 200

struct fake_call {
    struct http_call_head head;
    struct loop_timer timer;
    struct http_call_options o;
};

struct fixture {
    struct cluster cluster;
    struct http_client client;
    struct trigger_world world;
    struct trigger *t;
    int status;
    int64_t takes_ms; /* for an answer */
    const char *body, *retry_after;
    int64_t asked_ms[ASKED_MAX]; /* virtual, from the start on */
    size_t n, told, open;
    void (*hook)(void *arg); /* once, by the first that is told */
    void *hook_arg;
};

static struct fixture *fixture_of(struct http_client *c)
{
    return container_of(c, struct fixture, client);
}

static void answer(void *arg)
{
    struct fake_call *call = arg;
    struct fixture *f = fixture_of(call->head.client);
    struct http_header header = {STR("retry-after"), str_of(f->retry_after)};
    struct http_response r = {f->status, {&header, f->retry_after ? 1 : 0}};
    struct http_call_options o = call->o;

    f->open--;
    free(call);
    o.on_all(o.arg, &r, str_of(f->body), NULL);
}

static struct http_call *send_call(struct http_client *c, const struct http_call_options *o)
{
    struct fixture *f = fixture_of(c);
    struct fake_call *call = mem_zalloc(sizeof(*call));

    assert_true(f->n < ASKED_MAX);
    f->asked_ms[f->n++] = loop_mono_ns(f->cluster.loop) / 1000000;
    f->open++;
    call->head.client = c;
    call->o = *o;
    loop_timer_init(&call->timer, f->cluster.loop, answer, call);
    loop_timer_start(&call->timer, f->takes_ms);
    return (struct http_call *)call;
}

static void cancel_call(struct http_call *c)
{
    struct fake_call *call = (struct fake_call *)c;

    fixture_of(call->head.client)->open--;
    loop_timer_stop(&call->timer);
    free(call);
}

static const struct http_client_ops ops = {.send = send_call, .cancel = cancel_call};

static void changed(void *arg)
{
    struct fixture *f = arg;
    void (*hook)(void *arg) = f->hook;

    f->told++;
    f->hook = NULL;
    if (hook)
        hook(f->hook_arg);
}

static struct trigger *make(struct fixture *f, const char *query)
{
    AUTO_JSON json_t *spec =
        json_pack("{s:s,s:{s:s,s:s,s:s}}", "type", "graphite", "metadata", "serverAddress",
                  "http://g", "query", "load", "threshold", "2");
    struct trigger_options o = {.world = &f->world,
                                .ns = STR("ns"),
                                .so_name = STR("web"),
                                .spec = spec,
                                .poll_ms = 1000,
                                .changed = changed,
                                .arg = f};
    struct trigger *t = NULL;
    struct err err = ERR_INIT;

    if (trigger_new(&o, &t, &err) < 0)
        fail_msg("%s", err.msg);
    return t;
}

static int start(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));

    f->cluster.loop = loop_new_sim(1767268800000);
    f->client.ops = &ops;
    f->world = (struct trigger_world){.cluster = &f->cluster, .http = &f->client};
    f->world.hub = trigger_hub_new(&f->cluster);
    f->status = 200;
    f->body = "[{\"datapoints\":[[6,1]]}]";
    f->takes_ms = 10;
    f->t = make(f, "load");
    *state = f;
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;

    trigger_free(f->t);
    assert_int_equal(f->open, 0); /* what was under way is called off */
    trigger_hub_free(f->world.hub);
    loop_free(f->cluster.loop);
    free(f);
    return 0;
}

static struct decision_metric look(struct fixture *f)
{
    struct decision_metric m;
    char warning[10];

    trigger_value(f->t, loop_wall_ms(f->cluster.loop), &(struct trigger_target){.ready = 1}, &m,
                  warning, sizeof(warning));
    return m;
}

static void it_asks_at_once_and_then_once_an_interval(void **state)
{
    struct fixture *f = *state;
    struct decision_metric m;

    assert_true(trigger_is_waiting(f->t));
    loop_run_for(f->cluster.loop, 10500);
    assert_false(trigger_is_waiting(f->t));
    m = look(f);
    assert_true(m.state == METRIC_VALUE && m.value == 6);
    assert_true(f->asked_ms[0] <= 1);
    assert_in_range(f->asked_ms[1] - f->asked_ms[0], 1, 1000);
    for (size_t i = 2; i < f->n; i++)
        assert_int_equal(f->asked_ms[i] - f->asked_ms[i - 1], 1000);
    assert_in_range(f->n, 10, 12);
    assert_in_range(f->told, f->n - 1, f->n);
}

static void triggers_have_instants_of_their_own(void **state)
{
    struct fixture *f = *state;
    struct trigger *others[20];
    size_t same = 0;

    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        AUTO_FREE char *query = mem_printf("load.%zu", i);

        others[i] = make(f, query);
    }
    loop_run_for(f->cluster.loop, 2400);
    for (size_t i = 0; i < f->n; i++)
        same += f->asked_ms[i] > 1400 && i > 0 && f->asked_ms[i] == f->asked_ms[i - 1];
    assert_true(same < 5);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        trigger_free(others[i]);
}

static void the_same_question_of_several_triggers_is_asked_once(void **state)
{
    struct fixture *f = *state;
    struct trigger *others[5];
    size_t before;

    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        others[i] = make(f, "load");
    loop_run_for(f->cluster.loop, 5000);
    before = f->n;
    f->told = 0;
    loop_run_for(f->cluster.loop, 10000);
    assert_in_range(f->n - before, 9, 11);
    assert_in_range(f->told, 6 * 9, 6 * 11); /* and each is told */
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        struct decision_metric m;
        char warning[10];

        trigger_value(others[i], loop_wall_ms(f->cluster.loop), &(struct trigger_target){0}, &m,
                      warning, sizeof(warning));
        assert_true(m.state == METRIC_VALUE && m.value == 6);
    }
    /* those that go while an answer is awaited take nothing along, the last one calls it off */
    f->takes_ms = 2000;
    loop_run_for(f->cluster.loop, 1500);
    assert_int_equal(f->open, 1);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        trigger_free(others[i]);
        assert_int_equal(f->open, 1);
    }
}

/* Whoever is told first takes the others away. */
static void take_away(void *arg)
{
    struct trigger **others = arg;

    for (size_t i = 0; i < 3; i++) {
        trigger_free(others[i]);
        others[i] = NULL;
    }
}

static void an_answer_survives_that_its_receivers_go_while_it_is_handed_out(void **state)
{
    struct fixture *f = *state;
    struct trigger *others[3];

    loop_run_for(f->cluster.loop, 1);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        others[i] = make(f, "load");
    loop_run_for(f->cluster.loop, 100);
    f->hook = take_away;
    f->hook_arg = others;
    loop_run_for(f->cluster.loop, 3000);
    assert_null(others[0]);
    assert_int_equal(look(f).state, METRIC_VALUE);
}

static void a_slow_server_is_not_asked_twice_at_a_time(void **state)
{
    struct fixture *f = *state;

    f->takes_ms = 2500;
    loop_run_for(f->cluster.loop, 10000);
    assert_true(f->open <= 1);
    assert_in_range(f->n, 3, 4);
}

static void who_answers_429_is_asked_less_often_and_is_told(void **state)
{
    struct fixture *f = *state;
    struct decision_metric m;
    size_t before;

    f->status = 429;
    loop_run_for(f->cluster.loop, 300000);
    m = look(f);
    assert_int_equal(m.state, METRIC_UNKNOWN);
    assert_non_null(strstr(m.why, "raise pollingInterval"));
    assert_in_range(f->n, 6, 12); /* 0 2 6 14 30 62 122 182 242 s */
    for (size_t i = 2; i < f->n; i++)
        assert_in_range(f->asked_ms[i] - f->asked_ms[i - 1], 2000, 61000);
    f->status = 200;
    loop_run_for(f->cluster.loop, 62000);
    assert_int_equal(look(f).state, METRIC_VALUE);
    before = f->n;
    loop_run_for(f->cluster.loop, 10000);
    assert_in_range(f->n - before, 9, 11); /* as if nothing had been */
}

static void a_wish_of_the_server_is_respected_within_reason(void **state)
{
    static const struct {
        const char *wish;
        int64_t from_ms, to_ms;
    } cases[] = {{"7", 7000, 7100},
                 {"100000", 60000, 60100},
                 {"Fri, 31 Dec 1999 23:59:59 GMT", 60000, 60100},
                 {"-3", 60000, 60100}};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        f->status = 503;
        f->retry_after = cases[i].wish;
        f->n = 0;
        loop_run_for(f->cluster.loop, 61000); /* the first of this case */
        f->status = 200;
        f->retry_after = NULL;
        loop_run_for(f->cluster.loop, 61000);
        assert_true(f->n >= 2);
        assert_in_range(f->asked_ms[1] - f->asked_ms[0], cases[i].from_ms, cases[i].to_ms);
        trigger_free(f->t);
        f->t = make(f, "load");
    }
}

static void of_an_address_out_of_the_environment_only_the_host_is_told(void **state)
{
    struct fixture *f = *state;
    AUTO_JSON json_t *spec =
        json_pack("{s:s,s:{s:s,s:s,s:s}}", "type", "graphite", "metadata", "serverAddressFromEnv",
                  "URL", "queryFromEnv", "QUERY", "threshold", "2");
    struct auth auth = {0};
    struct trigger_options o = {
        .world = &f->world, .ns = STR("ns"), .spec = spec, .poll_ms = 1000, .auth = &auth};
    struct decision_metric m;
    struct err err = ERR_INIT;

    auth_table_set(&auth.env, STR("URL"), STR("https://u:hunter2@g:8/path-9d?key=k-7a"));
    auth_table_set(&auth.env, STR("QUERY"), STR("load.secret-3b"));
    trigger_free(f->t);
    f->status = 500;
    assert_int_equal(trigger_new(&o, &f->t, &err), 0);
    loop_run_for(f->cluster.loop, 100);
    m = look(f);
    assert_non_null(strstr(m.why, "graphite at https://g:8: it answered HTTP 500"));
    assert_string_equal(m.query, "(from the environment)");
}

static void an_answer_that_is_too_old_is_none(void **state)
{
    struct fixture *f = *state;

    loop_run_for(f->cluster.loop, 1500);
    assert_int_equal(look(f).state, METRIC_VALUE);
    f->takes_ms = 100000;
    loop_run_for(f->cluster.loop, 12000);
    assert_int_equal(look(f).state, METRIC_VALUE);
    loop_run_for(f->cluster.loop, 4000);
    assert_int_equal(look(f).state, METRIC_UNKNOWN);
    assert_non_null(strstr(look(f).why, "too old"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        T(it_asks_at_once_and_then_once_an_interval),
        T(triggers_have_instants_of_their_own),
        T(the_same_question_of_several_triggers_is_asked_once),
        T(an_answer_survives_that_its_receivers_go_while_it_is_handed_out),
        T(a_slow_server_is_not_asked_twice_at_a_time),
        T(who_answers_429_is_asked_less_often_and_is_told),
        T(a_wish_of_the_server_is_respected_within_reason),
        T(of_an_address_out_of_the_environment_only_the_host_is_told),
        T(an_answer_that_is_too_old_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
