/* SPDX-License-Identifier: Apache-2.0
 *
 * Pages of metrics APIs and of Graphite, where the vectors stop. */
#include <stdlib.h>
#include <string.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "triggers/graphite.h"
#include "triggers/metrics_api.h"

static const char page[] =
    "{\"a\":[{\"n\":\"x\",\"v\":1,\"t\":{\"u\":\"y\"}},{\"n\":\"y.)\",\"v\":\"2k\",\"on\":true}],"
    "\"b.c\":3,\"d\":[5,6,7],\"e\":{},\"s\":\"many\",\"#\":8}";

static int read_json(const char *location, double *value, struct err *err)
{
    *err = ERR_INIT;
    *value = -1;
    return metrics_api_read(METRICS_API_JSON, STR(page), str_of(location), value, err);
}

static void paths_lead_where_gjson_leads(void **state)
{
    static const struct {
        const char *path;
        double value;
    } cases[] = {{"a.0.v", 1},
                 {"a.1.v", 2000},
                 {"b\\.c", 3},
                 {"d.#", 3},
                 {"d.2", 7},
                 {"#", 8},
                 {"a.#(n==\"x\").v", 1},
                 {"a.#(n==\"y.)\").v", 2000},
                 {"a.#(n!=\"x\").v", 2000},
                 {"a.#(v>=1).v", 1},
                 {"a.#(on==true).v", 2000},
                 {"a.#(t.u==\"y\").v", 1},
                 {"d.#(>5)", 6}};
    double value;
    struct err err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (read_json(cases[i].path, &value, &err) < 0 || value != cases[i].value)
            fail_msg("%s: %g, not %g (%s)", cases[i].path, value, cases[i].value, err.msg);
}

static void paths_that_lead_nowhere_are_named_and_nothing_of_the_page_is(void **state)
{
    static const char *const paths[] = {"",         "a",     "a.2.v",     "a.-1.v", "d.#.x",
                                        "e",        "s",     "b.c",       "a..v",   "a.#(n==\"x\"",
                                        "a.#(n).v", "d.1.x", "a.#(n>2).v"};
    double value;
    struct err err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        if (read_json(paths[i], &value, &err) == 0)
            fail_msg("'%s' gives %g", paths[i], value);
        assert_non_null(strstr(err.msg, "valueLocation"));
        assert_null(strstr(err.msg, "many"));
    }
}

static void a_page_cut_at_any_byte_is_an_error(void **state)
{
    double value;

    (void)state;
    for (size_t n = 0; n < sizeof(page) - 1; n++) {
        char *copy = mem_alloc(n ? n : 1);

        memcpy(copy, page, n);
        assert_true(metrics_api_read(METRICS_API_JSON, str_n(copy, n), STR("d.#"), &value, NULL) <
                    0);
        free(copy);
    }
}

static void selectors_take_the_first_sample_with_these_labels(void **state)
{
    static const char text[] = "# TYPE m gauge\nm{a=\"x\",b=\"1\"} 1\nm{a=\"x\\\"y\",b=\"2\"} 2\n"
                               "m 3\nnan NaN\n";
    static const struct {
        const char *selector;
        double value; /* negative: an error */
    } cases[] = {{"m", 1},
                 {"m{b=\"2\"}", 2},
                 {"m{ a = \"x\\\"y\" , b='2' }", 2},
                 {"m{a=\"\"}", 3},
                 {"m{a=\"x\",}", 1},
                 {"m{}", 1},
                 {"m{a=\"z\"}", -1},
                 {"m{a=x}", -1},
                 {"m{a=\"x\"", -1},
                 {"m{a=\"x\"} x", -1},
                 {"{a=\"x\"}", -1},
                 {"other", -1},
                 {"nan", -1}};
    double value;
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int r = metrics_api_read(METRICS_API_PROMETHEUS, STR(text), str_of(cases[i].selector),
                                 &value, &err);

        if (cases[i].value < 0 ? r == 0 : r < 0 || value != cases[i].value)
            fail_msg("%s: %d, %g, %s", cases[i].selector, r, value, err.msg);
    }
}

static void xml_is_told_to_be_unreadable(void **state)
{
    double value;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(metrics_api_read(METRICS_API_XML, STR("<a>1</a>"), STR("a"), &value, &err),
                     ERR_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "use json, yaml or prometheus"));
}

static void graphite_gives_its_newest_point(void **state)
{
    static const struct {
        const char *body, *says; /* NULL: no error */
        enum metric_state state;
        double value;
    } cases[] = {{"[{\"target\":\"a\",\"datapoints\":[[1.5,10],[2.5,20],[null,30]]}]", NULL,
                  METRIC_VALUE, 2.5},
                 {"[]", NULL, METRIC_EMPTY, 0},
                 {"[{\"datapoints\":[]}]", NULL, METRIC_EMPTY, 0},
                 {"[{\"datapoints\":[[null,1],[null,2]]}]", "longer queryTime", 0, 0},
                 {"[{\"datapoints\":[[1,1]]},{\"datapoints\":[[1,1]]}]", "sumSeries", 0, 0},
                 {"[{\"datapoints\":[[\"x\",1]]}]", "is that a Graphite?", 0, 0},
                 {"[{\"datapoints\":[7]}]", "is that a Graphite?", 0, 0},
                 {"[{}]", "is that a Graphite?", 0, 0},
                 {"{}", "is that a Graphite?", 0, 0},
                 {"<html>", "is that a Graphite?", 0, 0}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum metric_state got = METRIC_UNKNOWN;
        struct err err = ERR_INIT;
        double value = -1;
        int r = graphite_read_answer(str_of(cases[i].body), &got, &value, &err);

        if (cases[i].says ? r == 0 || !strstr(err.msg, cases[i].says)
                          : r < 0 || got != cases[i].state || value != cases[i].value)
            fail_msg("%s: %d, %g, '%s'", cases[i].body, r, value, err.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_lead_where_gjson_leads),
        cmocka_unit_test(paths_that_lead_nowhere_are_named_and_nothing_of_the_page_is),
        cmocka_unit_test(a_page_cut_at_any_byte_is_an_error),
        cmocka_unit_test(selectors_take_the_first_sample_with_these_labels),
        cmocka_unit_test(xml_is_told_to_be_unreadable),
        cmocka_unit_test(graphite_gives_its_newest_point),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
