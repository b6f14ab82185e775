/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "base/mem.h"
#include "tsdb/usage.h"

static struct tsdb *db;

static struct series *make(const char *name)
{
    struct label l[] = {{STR("__name__"), str_of(name)},
                        {STR("container"), STR("app")},
                        {STR("namespace"), STR("default")},
                        {STR("pod"), STR("web-1")}};

    return tsdb_series(db, l, ARRAY_LEN(l));
}

static int open_db(void **state)
{
    (void)state;
    db = tsdb_new(&(struct tsdb_options){.retention_ms = -1});
    return 0;
}

static int close_db(void **state)
{
    (void)state;
    tsdb_free(db);
    return 0;
}

static bool rate(const struct series *s, int64_t now, double *v, int64_t *window)
{
    int64_t t;

    return series_rate(s, now, 15000, v, &t, window);
}

static void a_rate_needs_two_samples_of_the_window(void **state)
{
    struct series *s = make("c");
    int64_t window;
    double v;

    (void)state;
    assert_false(rate(s, 1000, &v, &window));
    tsdb_append(db, s, 1000, 5);
    assert_false(rate(s, 1000, &v, &window));
    tsdb_append(db, s, 2000, 6);
    assert_true(rate(s, 2000, &v, &window));
    assert_true(v == 1 && window == 1000);
    tsdb_append(db, s, 12000, 11);
    assert_true(rate(s, 12000, &v, &window));
    assert_int_equal(window, 11000);
    assert_true(rate(s, 17000, &v, &window)); /* the window's start counts */
    assert_true(v == 0.5 && window == 10000);
    assert_false(rate(s, 17001, &v, &window));
    tsdb_release(s);
}

static void a_fall_is_a_restart_and_a_stale_marker_an_end(void **state)
{
    struct series *s = make("c");
    int64_t window;
    double v;

    (void)state;
    tsdb_append(db, s, 1000, 100);
    tsdb_append(db, s, 2000, 101);
    tsdb_append(db, s, 3000, 2);
    assert_true(rate(s, 3000, &v, &window));
    assert_true(v == 1.5);
    tsdb_append(db, s, 4000, tsdb_stale());
    assert_false(rate(s, 4000, &v, &window));
    tsdb_append(db, s, 5000, 7);
    assert_false(rate(s, 5000, &v, &window));
    tsdb_append(db, s, 6000, 8);
    assert_true(rate(s, 6000, &v, &window));
    assert_true(v == 1 && window == 1000);
    tsdb_release(s);
}

static void usage_is_known_when_cpu_and_memory_are(void **state)
{
    struct series *cpu = make(USAGE_CPU), *memory = make(USAGE_MEMORY);
    struct usage u;

    (void)state;
    tsdb_append(db, cpu, 1000, 1);
    tsdb_append(db, cpu, 3000, 2);
    assert_false(usage_of_container(db, STR("default"), STR("web-1"), STR("app"), 3000, 15000, &u));
    tsdb_append(db, memory, 3000, 4096);
    assert_true(usage_of_container(db, STR("default"), STR("web-1"), STR("app"), 3000, 15000, &u));
    assert_true(u.cpu == 0.5 && u.memory == 4096 && u.at_ms == 3000 && u.window_ms == 2000);
    assert_false(usage_of_container(db, STR("default"), STR("web-1"), STR("b"), 3000, 15000, &u));
    tsdb_append(db, memory, 4000, tsdb_stale());
    assert_false(usage_of_container(db, STR("default"), STR("web-1"), STR("app"), 4000, 15000, &u));
    tsdb_release(cpu);
    tsdb_release(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_rate_needs_two_samples_of_the_window, open_db, close_db),
        cmocka_unit_test_setup_teardown(a_fall_is_a_restart_and_a_stale_marker_an_end, open_db,
                                        close_db),
        cmocka_unit_test_setup_teardown(usage_is_known_when_cpu_and_memory_are, open_db, close_db),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
