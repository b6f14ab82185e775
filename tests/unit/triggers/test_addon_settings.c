/* SPDX-License-Identifier: Apache-2.0
 *
 * A trigger's metadata as the otel-add-on takes it. */
#include <math.h>
#include <string.h>

#include "../cmocka_all.h"

#include "triggers/addon_settings.h"

#define NOW 1767268800000

static int read_text(const char *text, bool needs_target, struct addon_settings *ret,
                     struct err *err)
{
    AUTO_JSON json_t *meta = json_loads(text, 0, NULL);

    assert_non_null(meta);
    *err = ERR_INIT;
    return addon_settings_read(meta, needs_target, ret, err);
}

static void all_that_is_wrong_is_told_at_once(void **state)
{
    static const struct {
        const char *meta;
        const char *says[3];
    } cases[] = {
        {"{}", {"metricQuery is missing", "targetValue is missing"}},
        {"{\"metricQuery\":\"rate(m)\",\"targetValue\":\"0\",\"clampMin\":\"x\"}",
         {"1:5", "targetValue '0' must be greater than 0", "clampMin 'x' is not a number"}},
        {"{\"metricQuery\":\"m\",\"targetValue\":\"four\",\"operationOverTime\":\"median\"}",
         {"targetValue 'four' is not a number", "one of last_one, rate, count, avg, min, max"}},
        {"{\"metricQuery\":\"m\",\"targetValue\":\"1\",\"clampMin\":\"5\",\"clampMax\":\"2\"}",
         {"clampMin 5 is greater than clampMax 2"}},
        {"{\"metricQuery\":\"m\",\"targetValue\":\"nan\"}", {"targetValue 'nan' is not a number"}},
    };
    struct addon_settings s;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(read_text(cases[i].meta, true, &s, &err), ERR_INVALID);
        for (size_t k = 0; k < 3 && cases[i].says[k]; k++)
            if (!strstr(err.msg, cases[i].says[k]))
                fail_msg("'%s' does not say '%s'", err.msg, cases[i].says[k]);
    }
}

static void whole_and_fractional_targets_are_taken(void **state)
{
    static const struct {
        const char *text;
        double target;
    } cases[] = {{"4", 4}, {"4.000000", 4}, {" 0.5 ", 0.5}, {"1e3", 1000}};
    struct addon_settings s;
    struct err err;
    char meta[100];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(meta, sizeof(meta), "{\"metricQuery\":\"m\",\"targetValue\":\"%s\"}",
                 cases[i].text);
        assert_int_equal(read_text(meta, true, &s, &err), 0);
        assert_true(s.target == cases[i].target);
        addon_settings_done(&s);
    }
    assert_int_equal(read_text("{\"metricQuery\":\"m\"}", false, &s, &err), 0);
    addon_settings_done(&s);
}

static struct addon_value value_of(struct tsdb *db, const char *meta)
{
    struct addon_settings s;
    struct addon_value v;
    struct err err;

    if (read_text(meta, false, &s, &err) < 0)
        fail_msg("%s", err.msg);
    addon_settings_value(&s, db, NOW, &v);
    addon_settings_done(&s);
    return v;
}

static void put(struct tsdb *db, const char *name, double v)
{
    const struct label labels[] = {{STR("__name__"), str_of(name)}};
    struct series *s = tsdb_series(db, labels, 1);

    tsdb_append(db, s, NOW - 1000 + (series_newest(s) > 0), v);
    tsdb_release(s);
}

static void found_values_are_clamped_and_others_are_not(void **state)
{
    struct tsdb *db = tsdb_new(&(struct tsdb_options){0});
    struct addon_value v;

    (void)state;
    put(db, "m", 7);
    put(db, "bad", (double)NAN);
    v = value_of(db, "{\"metricQuery\":\"m\",\"clampMax\":\"5\"}");
    assert_true(v.state == ADDON_FOUND && v.value == 5 && v.unclamped == 7);
    v = value_of(db, "{\"metricQuery\":\"m\",\"clampMin\":\"8\",\"clampMax\":\"9\"}");
    assert_true(v.value == 8);
    v = value_of(db, "{\"metricQuery\":\"other\",\"clampMin\":\"3\"}");
    assert_true(v.state == ADDON_UNKNOWN && v.value == 0);
    assert_non_null(strstr(v.why, "no metric 'other' has arrived yet"));
    v = value_of(db, "{\"metricQuery\":\"other\",\"clampMin\":\"3\",\"valueIfNotFound\":\"1\"}");
    assert_true(v.state == ADDON_FOUND && v.value == 1);
    v = value_of(db, "{\"metricQuery\":\"bad\",\"valueIfNotFound\":\"1\"}");
    assert_true(v.state == ADDON_UNKNOWN && v.value == 0);
    assert_non_null(strstr(v.why, "is NaN"));
    put(db, "m", tsdb_stale());
    v = value_of(db, "{\"metricQuery\":\"m\",\"clampMin\":\"3\",\"valueIfNotFound\":\"1\"}");
    assert_true(v.state == ADDON_GONE && v.value == 0);
    tsdb_free(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_is_wrong_is_told_at_once),
        cmocka_unit_test(whole_and_fractional_targets_are_taken),
        cmocka_unit_test(found_values_are_clamped_and_others_are_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
