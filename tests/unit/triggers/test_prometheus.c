/* SPDX-License-Identifier: Apache-2.0
 *
 * The answer of a Prometheus, where the vectors stop: cut answers, several series, limits. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../cmocka_all.h"

#include "base/buf.h"
#include "triggers/prometheus.h"

static const char two[] = "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":["
                          "{\"metric\":{\"pod\":\"a\"},\"value\":[1767268800.1,\"2.5\"]},"
                          "{\"metric\":{\"pod\":\"b\"},\"value\":[1767268800.1,\"1\"]}]}}";

static int read_text(struct str body, bool is_average, double *value, struct err *err)
{
    enum metric_state state;

    *err = ERR_INIT;
    return prometheus_read_answer(200, body, true, is_average, &state, value, err);
}

static void an_answer_cut_at_any_byte_is_an_error_and_never_a_value(void **state)
{
    struct err err;
    double value;

    (void)state;
    for (size_t n = 0; n < sizeof(two) - 1; n++) {
        /* a copy of exactly n bytes: the sanitizer sees a read behind it */
        char *copy = malloc(n ? n : 1);

        memcpy(copy, two, n);
        assert_int_equal(read_text(str_n(copy, n), true, &value, &err), ERR_BAD_INPUT);
        assert_non_null(strstr(err.msg, "is that a Prometheus?"));
        free(copy);
    }
    assert_int_equal(read_text(STR(two), true, &value, &err), 0);
    assert_true(value == 3.5);
}

static void several_series_are_refused_for_a_value_with_what_to_do(void **state)
{
    struct err err;
    double value;

    (void)state;
    assert_int_equal(read_text(STR(two), false, &value, &err), ERR_INVALID);
    assert_non_null(strstr(err.msg, "2 series"));
    assert_non_null(strstr(err.msg, "put sum() around it"));
}

static void one_sample_that_is_no_number_makes_the_whole_sum_unknown(void **state)
{
    static const char *const bad[] = {"\"NaN\"", "\"-Inf\"", "\"x\"", "7", "true", "[]"};
    struct err err;
    double value;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct buf b = BUF_INIT;

        buf_printf(&b, "{\"data\":{\"result\":[{\"value\":[1,\"2\"]},{\"value\":[1,%s]}]}}",
                   bad[i]);
        assert_true(read_text(buf_str(&b), true, &value, &err) < 0);
        assert_true(err.msg[0]);
        buf_done(&b);
    }
}

static void nesting_beyond_the_limit_is_refused(void **state)
{
    struct buf b = BUF_INIT;
    struct err err;
    double value;

    (void)state;
    for (int i = 0; i < 20000; i++)
        buf_add_cstr(&b, "{\"data\":");
    assert_int_equal(read_text(buf_str(&b), true, &value, &err), ERR_BAD_INPUT);
    buf_done(&b);
}

static void every_status_beyond_2xx_says_what_to_do(void **state)
{
    enum metric_state s;
    double value;

    (void)state;
    for (int status = 100; status < 600; status++) {
        struct err err = ERR_INIT;
        int r = prometheus_read_answer(status, STR(two), true, true, &s, &value, &err);

        assert_int_equal(r == 0, status >= 200 && status < 300);
        if (r < 0)
            assert_non_null(strstr(err.msg, ": ")); /* "it answered HTTP 503: see its log" */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_cut_at_any_byte_is_an_error_and_never_a_value),
        cmocka_unit_test(several_series_are_refused_for_a_value_with_what_to_do),
        cmocka_unit_test(one_sample_that_is_no_number_makes_the_whole_sum_unknown),
        cmocka_unit_test(nesting_beyond_the_limit_is_refused),
        cmocka_unit_test(every_status_beyond_2xx_says_what_to_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
