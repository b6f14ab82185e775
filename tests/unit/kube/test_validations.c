/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "../cmocka_all.h"

#include "kube/validations.h"

static int make(void **state)
{
    *state = validations_new();
    return 0;
}

static int drop(void **state)
{
    validations_free(*state);
    return 0;
}

static void has(const struct validations *v, const char *line, bool is_there)
{
    struct buf b = BUF_INIT;

    validations_metrics(v, &b);
    if (is_there != (strstr(buf_cstr(&b), line) != NULL))
        fail_msg("%s %s in\n%s", line, is_there ? "is not" : "is", buf_cstr(&b));
    buf_done(&b);
}

static void looks_and_refusals_are_counted_apart_under_both_names(void **state)
{
    struct validations *v = *state;

    validations_count(v, STR("a"), false, NULL);
    validations_count(v, STR("a"), false, NULL);
    validations_count(v, STR("a"), true, NULL);
    validations_count(v, STR("b"), true, NULL);
    validations_count(v, STR("b"), true, "other-hpa");
    has(v, "\nkeda_webhook_scaled_object_validations_total{action=\"create\",namespace=\"a\"} 2\n",
        true);
    has(v, "\nkeda_webhook_scaled_object_validation_total{action=\"update\",namespace=\"a\"} 1\n",
        true);
    has(v,
        "\nkeda_webhook_scaled_object_validation_errors_total{action=\"update\",namespace=\"b\","
        "reason=\"other-hpa\"} 1\n",
        true);
    has(v, "_errors{action=\"update\",namespace=\"b\",reason=\"other-hpa\"} 1\n", true);
    has(v, "_errors{action=\"create\"", false);
}

static void a_name_that_is_none_breaks_no_line(void **state)
{
    struct validations *v = *state;

    validations_count(v, STR("a\"} 1\nx{b=\""), false, NULL);
    validations_count(v, STR("A"), false, NULL);
    validations_count(NULL, STR("a"), false, NULL);
    has(v, "namespace", false);
}

static void there_is_a_bound(void **state)
{
    struct validations *v = *state;
    char ns[16];

    for (int i = 0; i <= VALIDATIONS_MAX; i++) {
        snprintf(ns, sizeof(ns), "n%d", i);
        validations_count(v, str_of(ns), false, NULL);
    }
    validations_count(v, STR("n1"), false, NULL);
    has(v, "namespace=\"n4095\"} 1\n", true);
    has(v, "namespace=\"n4096\"}", false);
    has(v, "namespace=\"n1\"} 2\n", true);
}

#define T(name) cmocka_unit_test_setup_teardown(name, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(looks_and_refusals_are_counted_apart_under_both_names),
        T(a_name_that_is_none_breaks_no_line),
        T(there_is_a_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
