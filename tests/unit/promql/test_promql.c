/* SPDX-License-Identifier: Apache-2.0
 *
 * What an expression yields, as the HTTP API would say it. The semantics as a whole are held
 * against Prometheus itself (tests/system/test_oracle.py, test_promqltest.py); this table is for
 * newcomers to the language and for the edges that those do not reach. */
#include "../cmocka_all.h"

#include "base/mem.h"
#include "promql/ast.h"

static struct tsdb *db;

static void put(const char *name, const char *pod, const char *le, int64_t from_s, int64_t to_s,
                double first, double step)
{
    struct label l[] = {
        {STR("__name__"), str_of(name)}, {STR("pod"), str_of(pod)}, {STR("le"), str_of(le)}};
    struct series *s = tsdb_series(db, l, *le ? 3 : 2);

    for (int64_t t = from_s; t <= to_s; t += 10)
        tsdb_append(db, s, t * 1000, first + step * (double)((t - from_s) / 10));
    tsdb_release(s);
}

/* At 100 s: running is a=3, b=4; total grows by 5 each 10 s; gone ended at 50 s and went stale. */
static int fill(void **state)
{
    struct label gone[] = {{STR("__name__"), STR("gone")}};
    struct series *s;

    (void)state;
    db = tsdb_new(&(struct tsdb_options){.retention_ms = -1});
    put("running", "a", "", 0, 100, 3, 0);
    put("running", "b", "", 0, 100, 4, 0);
    put("requests_total", "a", "", 0, 100, 1000, 5);
    put("lat_bucket", "a", "1", 0, 100, 0, 1);
    put("lat_bucket", "a", "2", 0, 100, 0, 3);
    put("lat_bucket", "a", "+Inf", 0, 100, 0, 4);
    s = tsdb_series(db, gone, 1);
    tsdb_append(db, s, 40000, 7);
    tsdb_append(db, s, 50000, tsdb_stale());
    tsdb_release(s);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    tsdb_free(db);
    return 0;
}

static const struct {
    const char *expr, *result;
} values[] = {
    {"1 + 2 * 3 ^ 2", "19"},
    {"2 ^ 3 ^ 2", "512"},
    {"-1 ^ 2", "-1"},
    {"1h30m", "5400"},
    {"0x1F", "31"},
    {"5 % -3", "2"},
    {"1 / 0", "+Inf"},
    {"running", "{__name__=running,pod=a} 3, {__name__=running,pod=b} 4"},
    {"running{pod!=\"a\"}", "{__name__=running,pod=b} 4"},
    {"running{pod=~\"a|c\"}", "{__name__=running,pod=a} 3"},
    {"sum(running)", "{} 7"},
    {"max by (pod) (running)", "{pod=a} 3, {pod=b} 4"},
    {"count(running) / 2", "{} 1"},
    {"running > 3", "{__name__=running,pod=b} 4"},
    {"running > bool 3", "{pod=a} 0, {pod=b} 1"},
    {"rate(requests_total[1m])", "{pod=a} 0.5"},
    {"increase(requests_total[1m])", "{pod=a} 30"},
    {"irate(requests_total[1m])", "{pod=a} 0.5"},
    {"delta(running[1m])", "{pod=a} 0, {pod=b} 0"},
    {"max_over_time(requests_total[50s])", "{pod=a} 1050"},
    {"count_over_time(running[1m])", "{pod=a} 6, {pod=b} 6"},
    {"requests_total offset 1m", "{__name__=requests_total,pod=a} 1020"},
    {"requests_total @ 30", "{__name__=requests_total,pod=a} 1015"},
    {"histogram_quantile(0.5, lat_bucket)", "{pod=a} 1.5"},
    {"histogram_quantile(0.99, lat_bucket)", "{pod=a} 2"},
    {"clamp(running, 3.5, 3.7)", "{pod=a} 3.5, {pod=b} 3.7"},
    {"gone", ""},
    {"gone @ 45", "{__name__=gone} 7"},
    {"sum(gone)", ""},
    {"sum(gone) or vector(0)", "{} 0"},
    {"absent(gone)", "{} 1"},
    {"running * on(pod) requests_total", "{pod=a} 3150"},
    {"running unless requests_total", "{__name__=running,pod=b} 4"}, /* names do not count */
    {"max_over_time(rate(requests_total[30s])[1m:10s])", "{pod=a} 0.5"},
    {"scalar(sum(running))", "7"},
    {"time()", "100"},
};

static void write_result(const struct promql_result *r, struct buf *out)
{
    if (r->type == PROMQL_SCALAR)
        promql_write_float(out, r->scalar);
    for (size_t i = 0; r->type == PROMQL_VECTOR && i < r->n; i++) {
        buf_add_cstr(out, i ? ", {" : "{");
        for (size_t k = 0; k < r->vector[i].labels.n; k++)
            buf_printf(out, "%s%.*s=%.*s", k ? "," : "", STR_ARG(r->vector[i].labels.items[k].name),
                       STR_ARG(r->vector[i].labels.items[k].value));
        buf_add_cstr(out, "} ");
        promql_write_float(out, r->vector[i].v);
    }
}

static void each_expression_yields_its_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        struct promql_result r;
        struct promql *q = NULL;
        struct err err = ERR_INIT;
        struct buf got = BUF_INIT;

        if (promql_parse(str_of(values[i].expr), &q, &err) < 0 ||
            promql_instant(db, q, 100000, NULL, &r, &err) < 0)
            fail_msg("%s: %s", values[i].expr, err.msg);
        write_result(&r, &got);
        if (strcmp(buf_cstr(&got), values[i].result) != 0)
            fail_msg("%s: got '%s', expected '%s'", values[i].expr, buf_cstr(&got),
                     values[i].result);
        promql_result_done(&r);
        promql_free(q);
        buf_done(&got);
    }
}

static const struct {
    const char *expr, *error;
} errors[] = {
    {"sum(", "1:5: parse error: unexpected end of input"},
    {"rate(running)", "expected type range vector"},
    {"running[5m] offset", "unexpected end of input"},
    {"nope(running)", "1:1: parse error: unknown function with name \"nope\""},
    {"running{pod=~\"(\"}", "error parsing regexp"},
    {"{}", "must contain at least one non-empty matcher"},
    {"running\n+ +\n* 2", "3:1: parse error: unexpected"},
    {"\"abc", "1:1: parse error: unterminated quoted string"},
    {"running[0s]", "duration must be greater than 0"},
};

static void an_error_carries_line_and_column(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        struct promql *q = NULL;
        struct err err = ERR_INIT;

        if (promql_parse(str_of(errors[i].expr), &q, &err) == 0)
            fail_msg("%s: parsed", errors[i].expr);
        if (!strstr(err.msg, errors[i].error))
            fail_msg("%s: '%s' has no '%s'", errors[i].expr, err.msg, errors[i].error);
    }
}

static void given_matchers_narrow_every_selector(void **state)
{
    struct matcher pod_a = {MATCH_EQ, STR("pod"), STR("a"), NULL, NULL};
    struct promql_options o = {.matchers = &pod_a, .n_matchers = 1};
    struct promql_result r;
    struct promql *q = NULL;

    (void)state;
    assert_int_equal(promql_parse(STR("sum(running)"), &q, NULL), 0);
    assert_int_equal(promql_instant(db, q, 100000, &o, &r, NULL), 0);
    assert_true(r.vector[0].v == 3);
    promql_result_done(&r);
    promql_free(q);
}

static int run(const char *expr, const struct promql_options *o, struct err *err)
{
    struct promql_result r;
    struct promql *q = NULL;
    int rc = promql_parse(str_of(expr), &q, err);

    if (rc == 0)
        rc = promql_instant(db, q, 100000, o, &r, err);
    if (rc == 0)
        promql_result_done(&r);
    promql_free(q);
    return rc;
}

static void a_query_that_needs_too_much_is_refused(void **state)
{
    struct promql_options o = {.max_samples = 21};
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(run("sum_over_time(running[101s])", &o, &err), ERR_LIMIT);
    assert_non_null(strstr(err.msg, "too many samples"));
    o.max_samples = 22; /* two series of 11 */
    assert_int_equal(run("sum_over_time(running[101s])", &o, &err), 0);
    assert_int_equal(run("max_over_time(running[901y:1s])", NULL, &err), ERR_LIMIT);
    assert_non_null(strstr(err.msg, "subqueries"));
}

static size_t kept(const char *text)
{
    struct promql *q;
    size_t n;

    assert_int_equal(promql_parse(str_of(text), &q, NULL), 0);
    n = sizeof(*q) + q->arena.total;
    promql_free(q);
    return n;
}

/* Thousands are kept, one or more a trigger. */
static void a_kept_query_takes_what_there_is_of_it(void **state)
{
    (void)state;
    assert_in_range(kept("vllm:num_requests_running"), 1, 300);
    assert_in_range(kept("sum(vllm:num_requests_running{deployment=\"web\"})"), 1, 700);
}

static void a_text_that_is_too_long_is_refused(void **state)
{
    size_t n = (16 << 20) + 1;
    AUTO_FREE char *text = mem_alloc(n);
    struct err err = ERR_INIT;
    struct promql *q = NULL;

    (void)state;
    memset(text, ' ', n);
    text[0] = '1';
    assert_int_equal(promql_parse(str_n(text, n - 1), &q, &err), 0);
    promql_free(q);
    assert_int_equal(promql_parse(str_n(text, n), &q, &err), ERR_LIMIT);
    assert_string_equal(err.msg, "a query of more than 16 MiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_expression_yields_its_value),
        cmocka_unit_test(an_error_carries_line_and_column),
        cmocka_unit_test(given_matchers_narrow_every_selector),
        cmocka_unit_test(a_query_that_needs_too_much_is_refused),
        cmocka_unit_test(a_kept_query_takes_what_there_is_of_it),
        cmocka_unit_test(a_text_that_is_too_long_is_refused),
    };

    return cmocka_run_group_tests(tests, fill, drop);
}
