/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "base/rand.h"
#include "tsdb/tsdb.h"

static struct series *make(struct tsdb *db, const char *name, const char *pod)
{
    struct label l[] = {{STR("pod"), str_of(pod)}, {STR("__name__"), str_of(name)}};

    return tsdb_series(db, l, 2);
}

static struct tsdb *for_ever(void)
{
    return tsdb_new(&(struct tsdb_options){.retention_ms = -1});
}

static void what_goes_in_comes_out_to_the_bit(void **state)
{
    enum { N = 5000 };
    uint64_t seed = test_seed();
    struct tsdb *db = for_ever();
    struct series *s = make(db, "x", "a");
    struct series_iter it;
    static int64_t times[N];
    static uint64_t values[N];
    struct rng r;
    int64_t t = 1700000000000;
    double v = 0;

    (void)state;
    rng_seed(&r, seed);
    for (int i = 0; i < N; i++) {
        uint64_t kind = rng_below(&r, 8);

        t += kind == 0 ? 1 : kind == 1 ? 3600000 : 250 + (int64_t)rng_below(&r, 5);
        v = kind == 2   ? (double)rng_u64(&r)
            : kind == 3 ? (double)NAN
            : kind == 4 ? -INFINITY
            : kind == 5 ? tsdb_stale()
            : kind == 6 ? v
                        : v + 1;
        times[i] = t;
        memcpy(&values[i], &v, 8);
        assert_int_equal(tsdb_append(db, s, t, v), TSDB_APPENDED);
        if (isnan(v))
            v = 0;
    }
    series_seek(&it, s, times[0]);
    for (int i = 0; i < N; i++) {
        uint64_t bits;

        assert_true(series_next(&it, &t, &v));
        memcpy(&bits, &v, 8);
        assert_int_equal(t, times[i]);
        assert_true(bits == values[i]);
    }
    assert_false(series_next(&it, &t, &v));
    for (int i = 0; i < N; i += 37) { /* from any place */
        series_seek(&it, s, times[i]);
        assert_true(series_next(&it, &t, &v) && t == times[i]);
        series_seek(&it, s, times[i] + 1);
        assert_int_equal(series_next(&it, &t, &v), i + 1 < N);
        assert_true(i + 1 == N || t == times[i + 1]);
    }
    tsdb_release(s);
    tsdb_free(db);
}

static void an_older_sample_is_refused_and_a_repeated_one_taken_silently(void **state)
{
    struct tsdb *db = for_ever();
    struct series *s = make(db, "x", "a");

    (void)state;
    assert_int_equal(tsdb_append(db, s, 1000, 1), TSDB_APPENDED);
    assert_int_equal(tsdb_append(db, s, 1000, 1), TSDB_DUPLICATE);
    assert_int_equal(tsdb_append(db, s, 1000, 2), TSDB_OUT_OF_ORDER);
    assert_int_equal(tsdb_append(db, s, 999, 1), TSDB_OUT_OF_ORDER);
    assert_int_equal(tsdb_append(db, s, 1001, 1), TSDB_APPENDED);
    tsdb_forget(db); /* the clock went back */
    assert_int_equal(series_newest(s), INT64_MIN);
    assert_int_equal(tsdb_append(db, s, 500, 1), TSDB_APPENDED);
    tsdb_release(s);
    tsdb_free(db);
}

static void the_newest_before_a_time_is_found_within_the_look_back_open_on_the_left(void **state)
{
    struct tsdb *db = for_ever();
    struct series *s = make(db, "x", "a");
    int64_t t;
    double v;

    (void)state;
    for (int i = 0; i < 1000; i++)
        tsdb_append(db, s, i * 1000, i);
    assert_true(series_at(s, 999500, 5000, &t, &v) && t == 999000 && v == 999);
    assert_true(series_at(s, 500000, 5000, &t, &v) && t == 500000);
    assert_true(series_at(s, 500999, 5000, &t, &v) && t == 500000);
    assert_false(series_at(s, -1, 5000, &t, &v));
    assert_true(series_at(s, 999000 + 4999, 5000, &t, &v));
    assert_false(series_at(s, 999000 + 5000, 5000, &t, &v)); /* at the edge: out */
    tsdb_release(s);
    tsdb_free(db);
}

static void equal_labels_are_one_series_in_whatever_order(void **state)
{
    struct tsdb *db = for_ever();
    struct label a[] = {{STR("b"), STR("2")}, {STR("a"), STR("1")}, {STR("__name__"), STR("x")}};
    struct label b[] = {{STR("__name__"), STR("x")}, {STR("a"), STR("1")}, {STR("b"), STR("2")}};
    struct series *s = tsdb_series(db, a, 3), *again = tsdb_series(db, b, 3);

    (void)state;
    assert_ptr_equal(s, again);
    assert_int_equal(tsdb_series_count(db), 1);
    assert_true(str_is(series_label(s, "a"), "1"));
    assert_null(series_label(s, "c").p);
    tsdb_release(s);
    tsdb_release(again);
    tsdb_free(db);
}

static void count(void *arg, struct series *s)
{
    (void)s;
    ++*(int *)arg;
}

static int matching(struct tsdb *db, enum match_op op, const char *name, const char *value)
{
    struct matcher m[] = {{MATCH_EQ, STR("__name__"), STR("x"), NULL, NULL},
                          {op, str_of(name), str_of(value), NULL, NULL}};
    int n = 0;

    tsdb_select(db, m, 2, count, &n);
    return n;
}

static void matchers_see_an_absent_label_as_empty(void **state)
{
    struct tsdb *db = for_ever();
    struct series *a = make(db, "x", "a"), *b = make(db, "x", "b"), *c = make(db, "y", "a");
    struct label bare[] = {{STR("__name__"), STR("x")}};
    struct series *d = tsdb_series(db, bare, 1);

    (void)state;
    tsdb_append(db, a, 1, 1);
    tsdb_append(db, b, 1, 1);
    tsdb_append(db, c, 1, 1);
    tsdb_append(db, d, 1, 1);
    assert_int_equal(matching(db, MATCH_EQ, "pod", "a"), 1);
    assert_int_equal(matching(db, MATCH_NE, "pod", "a"), 2);
    assert_int_equal(matching(db, MATCH_EQ, "pod", ""), 1);
    assert_int_equal(matching(db, MATCH_NE, "pod", ""), 2);
    assert_int_equal(matching(db, MATCH_EQ, "nope", "x"), 0);
    tsdb_release(a);
    tsdb_release(b);
    tsdb_release(c);
    tsdb_release(d);
    tsdb_free(db);
}

static void what_is_older_than_the_retention_goes_and_so_do_empty_series(void **state)
{
    struct tsdb *db = tsdb_new(&(struct tsdb_options){.retention_ms = 60000});
    struct series *kept = make(db, "x", "a"), *gone = make(db, "x", "b");

    (void)state;
    for (int i = 0; i < 1000; i++) {
        tsdb_append(db, kept, i * 1000, i);
        if (i < 10)
            tsdb_append(db, gone, i * 1000, i);
    }
    tsdb_release(gone);
    tsdb_sweep(db, 999000);
    assert_int_equal(tsdb_series_count(db), 1);
    assert_int_equal(series_newest(kept), 999000);
    assert_true(tsdb_bytes(db) < 10000);
    tsdb_release(kept);
    tsdb_sweep(db, 999000 + 10000000);
    assert_int_equal(tsdb_series_count(db), 0);
    tsdb_free(db);
}

static void the_byte_cap_takes_everybodys_oldest_chunks(void **state)
{
    struct tsdb *db = tsdb_new(&(struct tsdb_options){.retention_ms = -1, .max_bytes = 20000});
    struct series *s[20];
    struct rng r;

    (void)state;
    rng_seed(&r, 1);
    for (int k = 0; k < 20; k++) {
        char pod[] = {(char)('a' + k), '\0'};

        s[k] = make(db, "x", pod);
        for (int i = 0; i < 2000; i++)
            tsdb_append(db, s[k], i * 1000, rng_double(&r));
    }
    assert_true(tsdb_bytes(db) > 20000);
    tsdb_sweep(db, 2000000);
    for (int k = 0; k < 20; k++) {
        assert_int_equal(series_newest(s[k]), 1999000); /* the newest chunk of each stays */
        tsdb_release(s[k]);
    }
    tsdb_free(db);
}

static void a_sample_of_the_newest_time_can_take_its_place(void **state)
{
    uint64_t seed = test_seed();
    struct rng r;

    (void)state;
    rng_seed(&r, seed);
    for (int round = 0; round < 200; round++) {
        struct tsdb *db = for_ever();
        struct series *s = make(db, "x", "a"), *plain = make(db, "x", "b");
        int64_t t = 1000, t1 = 0, t2 = 0;
        struct series_iter i1, i2;
        double v1, v2;

        for (int i = 0; i < 300; i++) { /* one is put again and again, the other only at last */
            double v = 0;

            t += 1 + (int64_t)rng_below(&r, 3) * 250;
            for (uint64_t n = 1 + rng_below(&r, 3); n > 0; n--) {
                v = (double)rng_below(&r, 5) / 3;
                assert_int_not_equal(tsdb_put(db, s, t, v), TSDB_OUT_OF_ORDER);
            }
            assert_int_equal(tsdb_append(db, plain, t, v), TSDB_APPENDED);
        }
        assert_int_equal(tsdb_put(db, s, t - 1, 1), TSDB_OUT_OF_ORDER);
        series_seek(&i1, s, 0);
        series_seek(&i2, plain, 0);
        for (int i = 0; i < 300; i++) {
            assert_true(series_next(&i1, &t1, &v1) && series_next(&i2, &t2, &v2));
            assert_true(t1 == t2 && v1 == v2);
        }
        assert_false(series_next(&i1, &t1, &v1));
        tsdb_release(s);
        tsdb_release(plain);
        tsdb_free(db);
    }
}

static void a_full_store_finds_old_series_and_makes_no_new_ones(void **state)
{
    struct tsdb *db = tsdb_new(&(struct tsdb_options){.max_series = 2});
    struct label l[] = {{STR("__name__"), STR("x")}, {STR("pod"), STR("c")}};
    struct series *a = make(db, "x", "a"), *b = make(db, "x", "b");

    (void)state;
    assert_null(tsdb_series_try(db, l, 2));
    l[1].value = STR("b");
    assert_ptr_equal(tsdb_series_try(db, l, 2), b);
    tsdb_release(b);
    tsdb_release(b);
    tsdb_sweep(db, 1); /* b has neither samples nor users */
    l[1].value = STR("c");
    b = tsdb_series_try(db, l, 2);
    assert_non_null(b);
    tsdb_release(a);
    tsdb_release(b);
    tsdb_free(db);
}

/* Series come, get samples, and go; what is found is held against a plain list. */
static void searches_find_what_a_walk_over_all_series_finds(void **state)
{
    enum { N = 1500 };
    uint64_t seed = test_seed();
    static struct series *all[N];
    static char values[N][3][8];
    struct tsdb *db = for_ever();
    struct rng r;

    (void)state;
    rng_seed(&r, seed);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < N; i++) {
            if (all[i] && rng_below(&r, 3) == 0) {
                tsdb_release(all[i]);
                all[i] = NULL;
            } else if (!all[i]) {
                struct label l[4] = {{STR("__name__"), {values[i][0], 0}},
                                     {STR("pod"), {values[i][1], 0}},
                                     {STR("n"), {values[i][2], 0}},
                                     {STR("empty"), STR("")}};

                snprintf(values[i][0], 8, "m%d", (int)rng_below(&r, 3));
                snprintf(values[i][1], 8, "p%d", (int)rng_below(&r, 40));
                snprintf(values[i][2], 8, "%d", i);
                for (int k = 0; k < 3; k++)
                    l[k].value.n = strlen(values[i][k]);
                all[i] = tsdb_series(db, l, 4);
            }
        }
        tsdb_sweep(db, 1);
        for (int q = 0; q < 20; q++) {
            char name[8], pod[8];
            struct matcher m[] = {{MATCH_EQ, STR("__name__"), STR(""), NULL, NULL},
                                  {q % 3 ? MATCH_EQ : MATCH_NE, STR("pod"), STR(""), NULL, NULL}};
            int found = 0, want = 0, alive = 0;

            snprintf(name, sizeof(name), "m%d", (int)rng_below(&r, 3));
            snprintf(pod, sizeof(pod), "p%d", (int)rng_below(&r, 41));
            m[0].value = str_of(name);
            m[1].value = str_of(pod);
            tsdb_select(db, m + q % 2, (size_t)(2 - q % 2), count, &found);
            for (int i = 0; i < N; i++) {
                alive += all[i] != NULL;
                want += all[i] && (q % 2 || strcmp(values[i][0], name) == 0) &&
                        (strcmp(values[i][1], pod) == 0) == (m[1].op == MATCH_EQ);
            }
            assert_int_equal(found, want);
            assert_int_equal(tsdb_series_count(db), alive);
        }
    }
    for (int i = 0; i < N; i++)
        tsdb_release(all[i]);
    tsdb_free(db);
}

static void a_thousand_series_take_little_memory(void **state)
{
    struct tsdb *db = tsdb_new(&(struct tsdb_options){0});
    size_t before;

    (void)state;
    make(db, "x", "warm");
    before = tsdb_bytes(db);
    for (int i = 0; i < 1000; i++) {
        char n[16];
        struct label l[10] = {{STR("__name__"), STR("vllm:num_requests_running")},
                              {STR("n"), STR("")}};
        struct series *s;

        for (int k = 2; k < 10; k++)
            l[k] = (struct label){str_n(&"abcdefghij"[k], 1), STR("the same everywhere")};
        snprintf(n, sizeof(n), "%d", i);
        l[1].value = str_of(n);
        s = tsdb_series(db, l, 10);
        for (int k = 0; k < 24; k++) /* two minutes, each 5 s */
            tsdb_append(db, s, 1700000000000 + k * 5000, (double)((i + k) % 7));
    }
    printf("%zu bytes a series\n", (tsdb_bytes(db) - before) / 1000);
    assert_true(tsdb_bytes(db) - before < 1000 * (300 + 100)); /* 100: the one label of its own */
    tsdb_free(db);
}

struct told {
    int n;
    struct series *s;
    int64_t t;
    double v;
};

static void note(void *arg, struct series *s, int64_t t, double v)
{
    struct told *told = arg;

    *told = (struct told){told->n + 1, s, t, v};
}

static void a_watcher_hears_of_changed_values_of_its_name_only(void **state)
{
    struct tsdb *db = for_ever();
    struct series *old = make(db, "x", "a"), *other = make(db, "y", "a"), *later;
    struct told one = {0}, two = {0};
    struct tsdb_watch *w = tsdb_watch(db, STR("x"), note, &one), *w2;

    (void)state;
    tsdb_append(db, old, 1000, 1);
    assert_true(one.n == 1 && one.s == old && one.t == 1000 && one.v == 1); /* the first sample */
    tsdb_append(db, old, 2000, 1);
    tsdb_append(db, old, 2000, 1); /* a duplicate */
    tsdb_append(db, old, 1500, 7); /* refused */
    tsdb_append(db, other, 2000, 5);
    assert_int_equal(one.n, 1);
    tsdb_append(db, old, 3000, 2);
    assert_true(one.n == 2 && one.v == 2);
    for (int i = 0; i < 500; i++) /* a new chunk is no change */
        tsdb_append(db, old, 4000 + i, 2);
    assert_int_equal(one.n, 2);
    tsdb_append(db, old, 5000, tsdb_stale());
    tsdb_append(db, old, 6000, tsdb_stale());
    assert_true(one.n == 3 && tsdb_is_stale(one.v));
    w2 = tsdb_watch(db, STR("x"), note, &two);
    later = make(db, "x", "b"); /* a series made after the watch */
    tsdb_append(db, later, 7000, 0);
    assert_true(one.n == 4 && one.s == later && two.n == 1 && two.s == later);
    tsdb_unwatch(w);
    tsdb_append(db, later, 8000, 1);
    assert_true(one.n == 4 && two.n == 2);
    tsdb_forget(db); /* what comes after is a first sample again */
    tsdb_append(db, later, 100, 1);
    assert_int_equal(two.n, 3);
    tsdb_unwatch(w2);
    tsdb_append(db, later, 9000, 2);
    assert_int_equal(two.n, 3);
    tsdb_release(old);
    tsdb_release(other);
    tsdb_release(later);
    tsdb_free(db);
}

enum { WATCHERS = 12, PODS = 30 };

struct watcher {
    struct tsdb_watch *w;
    uint64_t pods; /* bit n: wants pod n */
    int heard;
};

static bool wants_pod(void *arg, const struct series *s)
{
    uint64_t n;

    return str_to_u64(series_label(s, "pod"), &n) &&
           ((const struct watcher *)arg)->pods & (UINT64_C(1) << n);
}

static void hear(void *arg, struct series *s, int64_t t, double v)
{
    struct watcher *w = arg;

    assert_true(wants_pod(w, s));
    w->heard++;
}

/* Few and many watchers, series that are swept away and made anew. */
static void watchers_of_some_series_hear_of_those_and_no_others(void **state)
{
    uint64_t seed = test_seed();
    struct tsdb *db = tsdb_new(&(struct tsdb_options){.retention_ms = 1000});
    struct watcher all[WATCHERS] = {0};
    int wanted[WATCHERS] = {0};
    int64_t t = 1000000;
    struct rng r;

    (void)state;
    rng_seed(&r, seed);
    for (int step = 0; step < 20000; step++) {
        uint64_t n = rng_below(&r, PODS);
        struct watcher *w = &all[rng_below(&r, step < 5000 ? 4 : WATCHERS)];
        struct series *s;
        char pod[20];

        if (rng_below(&r, 50) == 0 && w->w) {
            tsdb_unwatch(w->w);
            w->w = NULL;
        } else if (rng_below(&r, 20) == 0 && !w->w) {
            w->pods = rng_u64(&r) & rng_u64(&r);
            w->w = tsdb_watch_some(db, STR("x"), wants_pod, hear, w);
        } else if (rng_below(&r, 40) == 0) {
            tsdb_sweep(db, t += (int64_t)rng_below(&r, 900));
        }
        snprintf(pod, sizeof(pod), "%d", (int)n);
        s = make(db, "x", pod);
        tsdb_append(db, s, t += 1, step);
        tsdb_release(s);
        for (int i = 0; i < WATCHERS; i++) {
            wanted[i] += all[i].w && all[i].pods & (UINT64_C(1) << n);
            assert_int_equal(all[i].heard, wanted[i]);
        }
    }
    for (int i = 0; i < WATCHERS; i++)
        tsdb_unwatch(all[i].w);
    tsdb_free(db);
}

static bool count_question(void *arg, const struct series *s)
{
    (void)s;
    ++*(int *)arg;
    return false;
}

/* Else a fleet that grows would cost all watches times all series at each new pod. */
static void a_watch_is_asked_once_a_series(void **state)
{
    struct tsdb *db = for_ever();
    struct series *a = make(db, "x", "a"), *b;
    struct tsdb_watch *w, *others[20];
    struct told none = {0};
    int n = 0;

    (void)state;
    tsdb_append(db, a, 1000, 1);
    w = tsdb_watch_some(db, STR("x"), count_question, note, &n);
    for (int i = 0; i < 20; i++)
        others[i] = tsdb_watch(db, STR("x"), note, &none);
    for (int i = 2; i < 50; i++)
        tsdb_append(db, a, i * 1000, i);
    assert_int_equal(n, 1);
    b = make(db, "x", "b");
    for (int i = 2; i < 50; i++) {
        tsdb_append(db, a, i * 1000000, i);
        tsdb_append(db, b, i * 1000000, i);
    }
    for (int i = 0; i < 20; i++)
        tsdb_unwatch(others[i]);
    tsdb_append(db, a, 100000000, 1);
    assert_int_equal(n, 2);
    tsdb_unwatch(w);
    tsdb_release(a);
    tsdb_release(b);
    tsdb_free(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out_to_the_bit),
        cmocka_unit_test(an_older_sample_is_refused_and_a_repeated_one_taken_silently),
        cmocka_unit_test(the_newest_before_a_time_is_found_within_the_look_back_open_on_the_left),
        cmocka_unit_test(equal_labels_are_one_series_in_whatever_order),
        cmocka_unit_test(matchers_see_an_absent_label_as_empty),
        cmocka_unit_test(what_is_older_than_the_retention_goes_and_so_do_empty_series),
        cmocka_unit_test(the_byte_cap_takes_everybodys_oldest_chunks),
        cmocka_unit_test(a_sample_of_the_newest_time_can_take_its_place),
        cmocka_unit_test(a_full_store_finds_old_series_and_makes_no_new_ones),
        cmocka_unit_test(searches_find_what_a_walk_over_all_series_finds),
        cmocka_unit_test(a_thousand_series_take_little_memory),
        cmocka_unit_test(a_watcher_hears_of_changed_values_of_its_name_only),
        cmocka_unit_test(watchers_of_some_series_hear_of_those_and_no_others),
        cmocka_unit_test(a_watch_is_asked_once_a_series),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
