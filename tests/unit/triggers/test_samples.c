/* SPDX-License-Identifier: Apache-2.0
 *
 * Pushed samples wake who reads them, once a push, and nobody else. */
#include "../cmocka_all.h"

#include "base/mem.h"
#include "triggers/samples.h"

struct fixture {
    struct loop *loop;
    struct tsdb *db;
    struct sample_hub *hub;
    struct promql *q[4];
    struct sample_watch *w[4];
    int woken[4];
};

static void woken(void *arg)
{
    ++*(int *)arg;
}

static void begin(struct fixture *f)
{
    *f = (struct fixture){.loop = loop_new_sim(1764019000000),
                          .db = tsdb_new(&(struct tsdb_options){.retention_ms = -1})};
    f->hub = sample_hub_new(f->loop, f->db);
}

static void watch(struct fixture *f, int i, const char *query, bool own_only)
{
    struct err err = ERR_INIT;

    if (promql_parse(str_of(query), &f->q[i], &err) < 0)
        fail_msg("%s", err.msg);
    f->w[i] = sample_hub_watch(f->hub, f->q[i], STR("default"), STR("web"), own_only, woken,
                               &f->woken[i]);
}

static void end(struct fixture *f)
{
    for (int i = 0; i < 4; i++) {
        sample_watch_free(f->w[i]);
        promql_free(f->q[i]);
    }
    sample_hub_free(f->hub);
    tsdb_free(f->db);
    loop_free(f->loop);
}

static void push_of(struct fixture *f, const char *name, const char *kind, const char *workload,
                    const char *job, double v)
{
    struct label l[] = {{STR("__name__"), str_of(name)},
                        {STR("namespace"), STR("default")},
                        {str_of(kind), str_of(workload)},
                        {STR("job"), str_of(job)}};
    struct series *s = tsdb_series(f->db, l, ARRAY_LEN(l));

    tsdb_append(f->db, s, loop_wall_ms(f->loop), v);
    tsdb_release(s);
}

static void push(struct fixture *f, const char *name, const char *deployment, const char *job,
                 double v)
{
    push_of(f, name, "deployment", deployment, job, v);
}

static void who_reads_a_sample_is_woken_once_a_push(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    watch(&f, 0, "load", true);                                        /* of web alone */
    watch(&f, 1, "sum(load{deployment=\"other\"})", false);            /* of another */
    watch(&f, 2, "max(load) + rate(errors{job=~\"a.*\"}[1m])", false); /* of all; two metrics */
    watch(&f, 3, "{deployment=\"web\"}", false); /* without a name: by the clock */
    push(&f, "load", "web", "app", 1);
    push(&f, "errors", "web", "app", 1);
    push(&f, "errors", "web", "box", 1);
    loop_run_for(f.loop, 10);
    assert_int_equal(f.woken[0], 1);
    assert_int_equal(f.woken[1], 0);
    assert_int_equal(f.woken[2], 1);
    push(&f, "load", "other", "app", 1);
    loop_run_for(f.loop, 10);
    assert_int_equal(f.woken[0], 1);
    assert_int_equal(f.woken[1], 1);
    assert_int_equal(f.woken[2], 2);
    push(&f, "errors", "web", "box", 2); /* matches nobody */
    push(&f, "load", "web", "app", 1);   /* the same value again */
    loop_run_for(f.loop, 10);
    assert_int_equal(f.woken[0] + f.woken[1] + f.woken[2] + f.woken[3], 4);
    end(&f);
}

static void samples_of_a_statefulset_are_its_own_too(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    watch(&f, 0, "load", true);
    push_of(&f, "load", "statefulset", "web", "app", 1);
    loop_run_for(f.loop, 10);
    assert_int_equal(f.woken[0], 1);
    push_of(&f, "load", "statefulset", "other", "app", 1);
    loop_run_for(f.loop, 10);
    assert_int_equal(f.woken[0], 1);
    end(&f);
}

static void samples_of_rounds_wake_nobody(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    watch(&f, 0, "load", true);
    push(&f, "load", "web", "pods", 1);
    loop_run_for(f.loop, 1000);
    assert_int_equal(f.woken[0], 0);
    end(&f);
}

static void end_the_other(void *arg)
{
    struct fixture *f = arg;

    for (int i = 0; i < 2; i++) {
        sample_watch_free(f->w[i]);
        f->w[i] = NULL;
    }
    f->woken[0]++;
}

static void who_is_woken_may_end_any_watch(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(promql_parse(STR("load"), &f.q[i], NULL), 0);
        f.w[i] =
            sample_hub_watch(f.hub, f.q[i], STR("default"), STR("web"), true, end_the_other, &f);
    }
    push(&f, "load", "web", "app", 1);
    loop_run_for(f.loop, 10);
    assert_int_equal(f.woken[0], 1);
    push(&f, "load", "web", "app", 2); /* nobody watches any more */
    loop_run_for(f.loop, 10);
    assert_int_equal(f.woken[0], 1);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_reads_a_sample_is_woken_once_a_push),
        cmocka_unit_test(samples_of_a_statefulset_are_its_own_too),
        cmocka_unit_test(samples_of_rounds_wake_nobody),
        cmocka_unit_test(who_is_woken_may_end_any_watch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
