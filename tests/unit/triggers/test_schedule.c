/* SPDX-License-Identifier: Apache-2.0
 *
 * Time zones against the C library's, schedules against a scan of every minute. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "base/rand.h"
#include "triggers/civil.h"
#include "triggers/schedule.h"

static const char *const zones[] = {"Etc/UTC",          "Europe/Berlin",       "Europe/Dublin",
                                    "America/New_York", "America/St_Johns",    "America/Sao_Paulo",
                                    "Asia/Kolkata",     "Australia/Lord_Howe", "Africa/Casablanca",
                                    "Pacific/Apia",     "Antarctica/Troll"};

static struct rng seeded(void)
{
    uint64_t seed = test_seed();
    struct rng rng;

    rng_seed(&rng, seed);
    return rng;
}

static struct zone *load(const char *name)
{
    struct zone *z = NULL;
    struct err err = ERR_INIT;

    if (zone_load(str_of(name), &z, &err) < 0)
        fail_msg("%s", err.msg);
    return z;
}

static void offsets_are_those_of_the_c_library(void **state)
{
    struct rng rng = seeded();

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
        struct zone *z = load(zones[i]);

        setenv("TZ", zones[i], 1);
        tzset();
        for (int n = 0; n < 4000; n++) { /* 1970 to 2150: the table, and the rule behind it */
            time_t t = (time_t)rng_below(&rng, (uint64_t)180 * 31556952);
            struct tm tm;

            localtime_r(&t, &tm);
            if (zone_offset(z, t) != tm.tm_gmtoff)
                fail_msg("%s at %lld: %lld, not %ld", zones[i], (long long)t,
                         (long long)zone_offset(z, t), tm.tm_gmtoff);
        }
        zone_free(z);
    }
    unsetenv("TZ");
    tzset();
}

static void the_calendar_is_that_of_the_c_library(void **state)
{
    struct rng rng = seeded();

    (void)state;
    for (int n = 0; n < 20000; n++) {
        time_t t = (time_t)rng_below(&rng, (uint64_t)800 * 31556952) - (time_t)400 * 31556952;
        struct civil c;
        struct tm tm;

        gmtime_r(&t, &tm);
        civil_of(t, &c);
        assert_int_equal(c.year, tm.tm_year + 1900);
        assert_int_equal(c.month, tm.tm_mon + 1);
        assert_int_equal(c.day, tm.tm_mday);
        assert_int_equal(c.weekday, tm.tm_wday);
        assert_int_equal(c.hour * 3600 + c.minute * 60 + c.second,
                         tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec);
    }
}

static bool fires(const struct schedule *s, int64_t wall)
{
    struct civil c;
    bool day, weekday, is_day;

    civil_of(wall, &c);
    day = s->fields[2] >> c.day & 1;
    weekday = s->fields[4] >> c.weekday & 1;
    is_day = s->any_day || s->any_weekday ? day && weekday : day || weekday;
    return (s->fields[0] >> c.minute & 1) && (s->fields[1] >> c.hour & 1) && is_day &&
           (s->fields[3] >> c.month & 1);
}

/* What `schedule_next` leaps over, this looks at: every minute, and those that the clocks leap
 * over. */
static int64_t scan(const struct schedule *s, const struct zone *z, int64_t after, int64_t end)
{
    for (int64_t t = after - after % 60 + 60; t <= end; t += 60) {
        int64_t was = zone_offset(z, t - 60 > after ? t - 60 : after), is = zone_offset(z, t);

        for (int64_t wall = t + was; wall < t + is; wall += 60)
            if (fires(s, wall))
                return t;
        if (fires(s, t + is))
            return t;
    }
    return SCHEDULE_NEVER;
}

static void no_time_is_leapt_over_where_clocks_change(void **state)
{
    static const char *const texts[] = {"0 0 * * *",      "30 2 * * *",      "15 1 * * *",
                                        "59 23 * * 0",    "*/7 3 * * *",     "0 0 1 * Mon",
                                        "5,35 */5 * * ?", "45 0 * 3,10,11 *"};
    struct rng rng = seeded();

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
        struct zone *z = load(zones[i]);

        for (int n = 0; n < 60; n++) {
            const char *text = texts[rng_below(&rng, ARRAY_LEN(texts))];
            int64_t from = 1700000000 + (int64_t)rng_below(&rng, 2 * 31556952), next, wanted;
            struct schedule s;

            assert_int_equal(schedule_parse(str_of(text), &s, NULL), 0);
            next = schedule_next(&s, z, from);
            wanted = scan(&s, z, from, from + 20 * 86400);
            if (wanted != SCHEDULE_NEVER ? next != wanted : next <= from + 20 * 86400)
                fail_msg("'%s' in %s after %lld: %lld, not %lld", text, zones[i], (long long)from,
                         (long long)next, (long long)wanted);
        }
        zone_free(z);
    }
}

static void a_file_cut_at_any_byte_is_refused(void **state)
{
    static char bytes[65536];
    FILE *f = fopen("/usr/share/zoneinfo/Europe/Berlin", "re");
    size_t n;

    (void)state;
    assert_non_null(f);
    n = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    for (size_t i = 0; i < n; i++) {
        char *copy = mem_alloc(i ? i : 1);
        struct zone *z = NULL;

        memcpy(copy, bytes, i);
        assert_int_equal(zone_parse(str_n(copy, i), &z, NULL), ERR_BAD_INPUT);
        assert_null(z);
        free(copy);
    }
}

static void names_do_not_leave_the_directory_of_zones(void **state)
{
    static const char *const bad[] = {"", "../../etc/passwd", "/etc/passwd", "Europe", "Mars/Base"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct zone *z = NULL;

        assert_true(zone_load(str_of(bad[i]), &z, NULL) < 0);
        assert_null(z);
    }
}

static void what_is_no_schedule_names_the_field(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"60 * * * *", "minute"}, {"* 24 * * *", "hour"},       {"* * 0 * *", "day of month"},
        {"* * * 13 *", "month"},  {"* * * * 7", "day of week"}, {"* * * *", "five fields"},
        {"* * * * * *", "five"},  {"5-1 * * * *", "minute"},    {"*/0 * * * *", "minute"},
        {"1, * * * *", "minute"}, {"@daily", "minute"},         {"", "five fields"},
        {"* * * foo *", "month"}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = ERR_INIT;
        struct schedule s;

        assert_int_equal(schedule_parse(str_of(bad[i].text), &s, &err), ERR_BAD_INPUT);
        if (!strstr(err.msg, bad[i].says))
            fail_msg("'%s': '%s' does not name %s", bad[i].text, err.msg, bad[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_are_those_of_the_c_library),
        cmocka_unit_test(the_calendar_is_that_of_the_c_library),
        cmocka_unit_test(no_time_is_leapt_over_where_clocks_change),
        cmocka_unit_test(a_file_cut_at_any_byte_is_refused),
        cmocka_unit_test(names_do_not_leave_the_directory_of_zones),
        cmocka_unit_test(what_is_no_schedule_names_the_field),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
