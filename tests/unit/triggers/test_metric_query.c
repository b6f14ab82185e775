/* SPDX-License-Identifier: Apache-2.0
 *
 * metricQuery beyond the add-on's vectors: what is PromQL, what is refused and why, staleness,
 * watches. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cmocka_all.h"

#include "base/rand.h"
#include "triggers/metric_query.h"

#define NOW 1767268800000

static void put(struct tsdb *db, const char *name, const char *pod, int64_t age_ms, double v)
{
    const struct label labels[] = {{STR("__name__"), str_of(name)},
                                   {STR("namespace"), STR("default")},
                                   {STR("pod"), str_of(pod)}};
    struct series *s = tsdb_series(db, labels, 3);

    tsdb_append(db, s, NOW - age_ms, v);
    tsdb_release(s);
}

static struct metric_reading get(struct tsdb *db, const char *text, enum over_time op)
{
    struct metric_query *q;
    struct metric_reading r = {0};
    struct err err = ERR_INIT;

    if (metric_query_parse(str_of(text), op, &q, &err) < 0 ||
        metric_query_read(q, db, NOW, &r, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    metric_query_free(q);
    return r;
}

static struct tsdb *three_pods(void)
{
    struct tsdb *db = tsdb_new(&(struct tsdb_options){0});

    put(db, "m", "a", 1000, 1);
    put(db, "m", "b", 1000, 2);
    put(db, "m", "c", 1000, 4);
    put(db, "n", "a", 1000, 10);
    return db;
}

static void what_the_addon_cannot_read_is_promql(void **state)
{
    static const struct {
        const char *text;
        double value;
    } cases[] = {{"m + n", 11}, /* only pod a has both */
                 {"sum(m)/sum(n)", 0.7},
                 {"sum by (pod) (m)", 7},
                 {"sum(avg_over_time(m[1m]))", 7},
                 {"m{pod!=\"a\"}", 6},
                 {"m{pod=~\"a|b\"}", 3},
                 {"SUM(m)", 7},
                 {"m{}", 7},
                 {"count(sum(m))", 1},
                 {"1", 1},
                 {"max(m) > 3", 4}};
    struct tsdb *db = three_pods();

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct metric_reading r = get(db, cases[i].text, OVER_LAST);

        if (!r.is_found || fabs(r.value - cases[i].value) > 1e-9)
            fail_msg("%s is %g, not %g", cases[i].text, r.value, cases[i].value);
    }
    assert_true(get(db, "m > 100", OVER_LAST).is_empty_meant);
    assert_false(get(db, "m > 100", OVER_LAST).is_found);
    tsdb_free(db);
}

static void what_is_neither_is_refused_with_its_place_and_what_to_do(void **state)
{
    static const struct {
        const char *text;
        enum over_time op;
        const char *says;
    } cases[] = {{"rate(m)", OVER_LAST, "1:5"},
                 {"", OVER_LAST, "the query is empty"},
                 {"   ", OVER_LAST, "the query is empty"},
                 {"}", OVER_LAST, "1:1"},
                 {"sum(m", OVER_LAST, "1:6: ')' is expected here"},
                 {"m{a=\"b\"", OVER_LAST, "1:8"},
                 {"m{a=\"b}", OVER_LAST, "this quote is not closed"},
                 {"m{a=\"b\", a=\"c\"", OVER_LAST, "stands there twice"},
                 {"m[5m]", OVER_LAST, "put rate() or avg_over_time() around it"},
                 {"\"m\"", OVER_LAST, "yields a text"},
                 {"sum(m)/sum(n)", OVER_RATE, "write it into the query, as in sum(rate(m[1m]))"},
                 {"m\nn", OVER_LAST, "2:1"}};
    struct metric_query *q = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = ERR_INIT;

        assert_int_equal(metric_query_parse(str_of(cases[i].text), cases[i].op, &q, &err),
                         ERR_BAD_INPUT);
        if (!strstr(err.msg, cases[i].says))
            fail_msg("'%s': '%s' does not say '%s'", cases[i].text, err.msg, cases[i].says);
    }
}

static void an_operation_over_time_goes_with_a_plain_selector_too(void **state)
{
    struct tsdb *db = three_pods();

    (void)state;
    put(db, "m", "b", 0, 12);
    assert_true(get(db, "m{pod!=\"a\"}", OVER_MAX).value == 16);
    assert_true(get(db, "m{pod!=\"a\"}", OVER_RATE).value == 10);
    tsdb_free(db);
}

static void
a_series_that_has_gone_no_longer_counts_and_one_that_comes_back_starts_anew(void **state)
{
    struct tsdb *db = three_pods();
    struct metric_reading r;

    (void)state;
    put(db, "m", "c", 500, tsdb_stale());
    assert_true(get(db, "m", OVER_LAST).value == 3);
    assert_int_equal(get(db, "count(m)", OVER_AVG).value, 2);
    put(db, "m", "c", 100, 8);
    assert_true(get(db, "m{pod=c}", OVER_AVG).value == 8);
    assert_true(get(db, "m{pod=c}", OVER_COUNT).value == 1);
    for (int i = 0; i < 3; i++)
        put(db, "m", (const char *[]){"a", "b", "c"}[i], 0, tsdb_stale());
    r = get(db, "m", OVER_LAST);
    assert_false(r.is_found);
    assert_true(r.is_known);
    assert_false(get(db, "never", OVER_LAST).is_known);
    tsdb_free(db);
}

static void samples_that_were_dropped_are_not_series_that_have_gone(void **state)
{
    struct tsdb *db = three_pods();
    struct metric_reading r;

    (void)state;
    tsdb_forget(db);
    r = get(db, "m", OVER_LAST);
    assert_true(!r.is_found && !r.is_known && r.has_series);
    put(db, "m", "a", 0, 4);
    assert_true(get(db, "m", OVER_LAST).value == 4);
    r = get(db, "m{pod=z}", OVER_LAST);
    assert_true(!r.is_found && r.is_known);
    assert_false(get(db, "never", OVER_LAST).has_series);
    tsdb_free(db);
}

static void a_series_without_new_samples_counts_for_the_retention_and_no_longer(void **state)
{
    struct tsdb *db = tsdb_new(&(struct tsdb_options){0});

    (void)state;
    put(db, "m", "a", METRIC_QUERY_WINDOW_MS - 1, 5);
    put(db, "m", "b", METRIC_QUERY_WINDOW_MS, 7);
    assert_true(get(db, "m", OVER_LAST).value == 5);
    assert_true(get(db, "m", OVER_MAX).value == 5);
    tsdb_free(db);
}

static void the_ages_of_the_series_are_told(void **state)
{
    struct tsdb *db = three_pods();
    struct metric_reading r;

    (void)state;
    put(db, "m", "a", 100, 1);
    r = get(db, "m", OVER_LAST);
    assert_int_equal(r.n, 3);
    assert_int_equal(r.newest_ms, NOW - 100);
    assert_int_equal(r.oldest_ms, NOW - 1000);
    r = get(db, "m{pod=~\"a|b\"}", OVER_LAST);
    assert_int_equal(r.n, 2);
    assert_int_equal(r.oldest_ms, NOW - 1000);
    tsdb_free(db);
}

static void count_call(void *arg, int64_t t_ms)
{
    assert_true(t_ms <= NOW);
    ++*(int *)arg;
}

static void a_watch_tells_of_those_series_only_that_the_query_reads(void **state)
{
    static const struct {
        const char *text;
        int calls;
    } cases[] = {{"sum(m{pod=\"a\"})", 1},    {"sum(m)", 2}, {"m{cluster=\"x\"}", 2},
                 {"sum(m{pod!=\"a\"})+n", 2}, {"x.y/z", 1},  {"{pod=\"a\"}", 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tsdb *db = tsdb_new(&(struct tsdb_options){0});
        struct metric_query *q;
        struct metric_watch *w;
        int calls = 0;

        assert_int_equal(metric_query_parse(str_of(cases[i].text), OVER_LAST, &q, NULL), 0);
        w = metric_query_watch(q, db, count_call, &calls);
        put(db, "m", "a", 1000, 1);
        put(db, "m", "b", 1000, 2);
        put(db, "m", "b", 500, 2); /* the same value is no news */
        put(db, "n", "a", 1000, 1);
        put(db, "x_y_z", "a", 1000, 1);
        if (calls != cases[i].calls)
            fail_msg("%s: %d calls, not %d", cases[i].text, calls, cases[i].calls);
        metric_query_unwatch(w);
        put(db, "m", "a", 0, 9);
        assert_int_equal(calls, cases[i].calls);
        metric_query_free(q);
        tsdb_free(db);
    }
}

/* Against the plain definitions, on random samples with resets and gaps. */
static void operations_are_what_their_definitions_say(void **state)
{
    struct rng rng;
    uint64_t seed = (uint64_t)NOW;

    (void)state;
    rng_seed(&rng, seed);
    for (int round = 0; round < 300; round++) {
        struct tsdb *db = tsdb_new(&(struct tsdb_options){0});
        double sum = 0, min = INFINITY, max = -INFINITY, increase = 0, last = 0;
        int64_t first = 0, newest = 0;
        size_t n = 0;

        for (int64_t age = 200000; age > 0; age -= 1 + (int64_t)rng_below(&rng, 20000)) {
            double v = (double)rng_below(&rng, 100);

            put(db, "m", "a", age, v);
            if (age >= METRIC_QUERY_WINDOW_MS)
                continue;
            increase += !n ? 0 : v < last ? v : v - last;
            first = n ? first : NOW - age;
            newest = NOW - age;
            last = v;
            sum += v;
            min = v < min ? v : min;
            max = v > max ? v : max;
            n++;
        }
        if (n > 1 && newest - first >= 1000) {
            const double wanted[] = {
                [OVER_LAST] = last,       [OVER_RATE] = increase * 1000 / (double)(newest - first),
                [OVER_COUNT] = (double)n, [OVER_AVG] = sum / (double)n,
                [OVER_MIN] = min,         [OVER_MAX] = max};

            for (enum over_time op = OVER_LAST; op <= OVER_MAX; op++)
                if (fabs(get(db, "m", op).value - wanted[op]) > 1e-9)
                    fail_msg("seed %llu round %d: %s is %g, not %g", (unsigned long long)seed,
                             round, over_time_name(op), get(db, "m", op).value, wanted[op]);
        }
        tsdb_free(db);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_addon_cannot_read_is_promql),
        cmocka_unit_test(what_is_neither_is_refused_with_its_place_and_what_to_do),
        cmocka_unit_test(an_operation_over_time_goes_with_a_plain_selector_too),
        cmocka_unit_test(
            a_series_that_has_gone_no_longer_counts_and_one_that_comes_back_starts_anew),
        cmocka_unit_test(samples_that_were_dropped_are_not_series_that_have_gone),
        cmocka_unit_test(a_series_without_new_samples_counts_for_the_retention_and_no_longer),
        cmocka_unit_test(the_ages_of_the_series_are_told),
        cmocka_unit_test(a_watch_tells_of_those_series_only_that_the_query_reads),
        cmocka_unit_test(operations_are_what_their_definitions_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
