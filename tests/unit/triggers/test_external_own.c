/* SPDX-License-Identifier: Apache-2.0
 *
 * Our own store as an external scaler, in virtual time: when a changed sample leads to a look. */
#include <math.h>
#include <string.h>

#include "../cmocka_all.h"

#include "triggers/external.h"

#define START_MS 1767268800000

struct scene {
    struct loop *loop;
    struct tsdb *db;
    struct external_own *x;
    int looks;
    int64_t last_look_ms; /* since the start */
};

static void on_changed(void *arg)
{
    struct scene *s = arg;

    s->looks++;
    s->last_look_ms = loop_wall_ms(s->loop) - START_MS;
}

static struct scene *begin(const char *query)
{
    static struct scene s;
    AUTO_JSON json_t *meta = json_pack("{s:s,s:s}", "metricQuery", query, "targetValue", "2");
    struct err err = ERR_INIT;

    s = (struct scene){.loop = loop_new_sim(START_MS), .db = tsdb_new(&(struct tsdb_options){0})};
    if (external_own_new(
            &(struct external_own_options){
                .loop = s.loop, .db = s.db, .metadata = meta, .changed = on_changed, .arg = &s},
            &s.x, &err) < 0)
        fail_msg("%s", err.msg);
    return &s;
}

static void end(struct scene *s)
{
    external_own_free(s->x);
    tsdb_free(s->db);
    loop_free(s->loop);
}

/* after: of the sample's time, since the start */
static void put(struct scene *s, const char *pod, int64_t after_ms, double v)
{
    const struct label labels[] = {
        {STR("__name__"), STR("m")}, {STR("deployment"), STR("d")}, {STR("pod"), str_of(pod)}};
    struct series *series = tsdb_series(s->db, labels, 3);

    tsdb_append(s->db, series, START_MS + after_ms, v);
    tsdb_release(series);
}

static struct decision_metric look(struct scene *s, int64_t ready)
{
    struct decision_metric m = {.state = METRIC_UNKNOWN};

    external_own_value(s->x, loop_wall_ms(s->loop), ready, &m);
    return m;
}

static void one_series_is_looked_at_in_the_next_turn(void **state)
{
    struct scene *s = begin("sum(m)");

    (void)state;
    put(s, "a", 0, 3);
    assert_int_equal(s->looks, 0); /* never from inside the append */
    loop_run_for(s->loop, 1);
    assert_int_equal(s->looks, 1);
    assert_int_equal(s->last_look_ms, 0);
    assert_true(look(s, 1).value == 3);
    put(s, "a", 100, 3); /* no news */
    loop_run_for(s->loop, 100);
    assert_int_equal(s->looks, 1);
    end(s);
}

static void samples_of_one_request_lead_to_one_look(void **state)
{
    struct scene *s = begin("sum(m)");

    (void)state;
    put(s, "a", 0, 1);
    put(s, "b", 0, 2);
    put(s, "c", 0, 3);
    loop_run_for(s->loop, 1);
    assert_int_equal(s->looks, 1);
    assert_true(look(s, 3).value == 6);
    end(s);
}

static void half_a_tick_waits_for_its_other_half(void **state)
{
    struct scene *s = begin("sum(m)");

    (void)state;
    put(s, "a", 0, 1);
    put(s, "b", 0, 2);
    loop_run_for(s->loop, 100);
    s->looks = 0;
    put(s, "a", 100, 3); /* a request has moved from b to a */
    loop_run_for(s->loop, 7);
    assert_int_equal(s->looks, 0);
    put(s, "b", 100, 0);
    loop_run_for(s->loop, 10);
    assert_int_equal(s->looks, 1);
    assert_in_range(s->last_look_ms, 107, 110);
    assert_true(look(s, 2).value == 3);
    end(s);
}

static void but_not_for_long(void **state)
{
    struct scene *s = begin("sum(m)");

    (void)state;
    put(s, "a", 0, 1);
    put(s, "b", 0, 2);
    loop_run_for(s->loop, 100);
    s->looks = 0;
    put(s, "a", 100, 3); /* b has nothing new to tell */
    loop_run_for(s->loop, 50);
    assert_int_equal(s->looks, 1);
    assert_in_range(s->last_look_ms, 120, 122);
    end(s);
}

static void who_does_not_tick_with_others_is_not_waited_for(void **state)
{
    struct scene *s = begin("sum(m)");

    (void)state;
    put(s, "a", 3, 1);
    put(s, "b", 7, 2);
    loop_run_for(s->loop, 100);
    s->looks = 0;
    put(s, "a", 101, 3);
    loop_run_for(s->loop, 1);
    assert_int_equal(s->looks, 1);
    assert_int_equal(s->last_look_ms, 100);
    end(s);
}

static void series_of_others_lead_to_no_look(void **state)
{
    struct scene *s = begin("sum(m{deployment=\"other\"})");

    (void)state;
    put(s, "a", 0, 3);
    loop_run_for(s->loop, 100);
    assert_int_equal(s->looks, 0);
    end(s);
}

static void a_series_that_goes_is_looked_at_at_once(void **state)
{
    struct scene *s = begin("sum(m)");

    (void)state;
    put(s, "a", 0, 3);
    loop_run_for(s->loop, 100);
    put(s, "a", 100, tsdb_stale());
    loop_run_for(s->loop, 1);
    assert_int_equal(s->looks, 2);
    assert_int_equal(look(s, 1).state, METRIC_UNKNOWN);
    assert_non_null(strstr(look(s, 1).why, "finds no series"));
    assert_int_equal(look(s, 0).state, METRIC_EMPTY);
    end(s);
}

static void nothing_found_is_waited_for_after_a_start_and_then_unknown(void **state)
{
    struct scene *s = begin("sum(m)");

    (void)state;
    assert_true(external_own_is_waiting(s->x));
    loop_run_for(s->loop, 4900);
    assert_true(external_own_is_waiting(s->x));
    loop_run_for(s->loop, 200);
    assert_false(external_own_is_waiting(s->x));
    assert_int_equal(look(s, 1).state, METRIC_UNKNOWN);
    assert_int_equal(look(s, 0).state, METRIC_EMPTY);
    end(s);
}

static void the_first_sample_ends_the_waiting(void **state)
{
    struct scene *s = begin("sum(m)");

    (void)state;
    put(s, "a", 0, 0);
    assert_false(external_own_is_waiting(s->x));
    assert_int_equal(look(s, 1).state, METRIC_VALUE);
    end(s);
}

/* --- rules --- */

static void an_address_is_split_as_grpc_does(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } cases[] = {{"a:1", "a", 1},
                 {"keda-otel-scaler.keda.svc:4318", "keda-otel-scaler.keda.svc", 4318},
                 {"dns:///h:65535", "h", 65535},
                 {"http://h:80", "h", 80},
                 {"[::1]:4318", "::1", 4318},
                 {"h", NULL, 0},
                 {"h:0", NULL, 0},
                 {"h:65536", NULL, 0},
                 {"h:x", NULL, 0},
                 {":80", NULL, 0},
                 {"[::1]", NULL, 0},
                 {"", NULL, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct str host = STR_NONE;
        uint16_t port = 0;

        assert_int_equal(external_split_address(str_of(cases[i].text), &host, &port),
                         cases[i].host != NULL);
        if (cases[i].host)
            assert_true(str_is(host, cases[i].host) && port == cases[i].port);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_series_is_looked_at_in_the_next_turn),
        cmocka_unit_test(samples_of_one_request_lead_to_one_look),
        cmocka_unit_test(half_a_tick_waits_for_its_other_half),
        cmocka_unit_test(but_not_for_long),
        cmocka_unit_test(who_does_not_tick_with_others_is_not_waited_for),
        cmocka_unit_test(series_of_others_lead_to_no_look),
        cmocka_unit_test(a_series_that_goes_is_looked_at_at_once),
        cmocka_unit_test(nothing_found_is_waited_for_after_a_start_and_then_unknown),
        cmocka_unit_test(the_first_sample_ends_the_waiting),
        cmocka_unit_test(an_address_is_split_as_grpc_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
