/* SPDX-License-Identifier: Apache-2.0
 *
 * A cron trigger over the days on which clocks change, looked at every minute. */
#include <stdio.h>
#include <string.h>

#include "../cmocka_all.h"

#include "base/clock.h"
#include "triggers/trigger.h"

static struct trigger *make(struct trigger_world *w, const char *zone, const char *start,
                            const char *end)
{
    AUTO_JSON json_t *spec =
        json_pack("{s:s,s:{s:s,s:s,s:s,s:s}}", "type", "cron", "metadata", "timezone", zone,
                  "start", start, "end", end, "desiredReplicas", "5");
    struct trigger_options o = {.world = w, .ns = STR("default"), .spec = spec};
    struct trigger *t = NULL;
    struct err err = ERR_INIT;

    if (trigger_new(&o, &t, &err) < 0)
        fail_msg("%s", err.msg);
    return t;
}

static int64_t at(const char *time)
{
    int64_t ms = 0;

    assert_true(time_parse(str_of(time), &ms));
    return ms;
}

/* The times (UTC) at which the value changes, from the first minute on, as text. */
static void walk(const char *zone, const char *start, const char *end, const char *from,
                 const char *to, struct buf *out)
{
    struct cluster cluster = {.loop = NULL};
    struct trigger_world w = {.cluster = &cluster};
    struct trigger *t = make(&w, zone, start, end);
    double last = -1;

    for (int64_t now = at(from); now < at(to); now += 60000) {
        struct decision_metric m;
        char warning[10], time[TIME_TEXT_MAX];

        trigger_value(t, now, &(struct trigger_target){0}, &m, warning, sizeof(warning));
        assert_int_equal(m.state, METRIC_VALUE);
        if (m.value != last)
            buf_printf(out, "%s%.16s=%g", out->n ? " " : "", time_rfc3339(now, time), m.value);
        last = m.value;
    }
    trigger_free(t);
}

static void active_hours_follow_the_clock_on_the_wall_across_its_changes(void **state)
{
    static const struct {
        const char *zone, *start, *end, *from, *to, *changes;
    } cases[] = {
        /* Berlin goes from UTC+1 to UTC+2 on 2026-03-29 at 01:00Z, and back on 2026-10-25 */
        {"Europe/Berlin", "0 8 * * *", "0 18 * * *", "2026-03-28T00:00:00Z", "2026-03-30T00:00:00Z",
         "2026-03-28T00:00=0 2026-03-28T07:00=5 2026-03-28T17:00=0 2026-03-29T06:00=5 "
         "2026-03-29T16:00=0"},
        {"Europe/Berlin", "0 8 * * *", "0 18 * * *", "2026-10-24T00:00:00Z", "2026-10-26T00:00:00Z",
         "2026-10-24T00:00=0 2026-10-24T06:00=5 2026-10-24T16:00=0 2026-10-25T07:00=5 "
         "2026-10-25T17:00=0"},
        /* 02:30 does not exist that night: it is 03:00, when the clocks leap. KEDA leaves it out,
         * and is active a whole day, or not at all */
        {"Europe/Berlin", "30 2 * * *", "0 4 * * *", "2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z",
         "2026-03-28T00:00=0 2026-03-28T01:30=5 2026-03-28T03:00=0 2026-03-29T01:00=5 "
         "2026-03-29T02:00=0 2026-03-30T00:30=5 2026-03-30T02:00=0"},
        {"Europe/Berlin", "0 22 * * *", "30 2 * * *", "2026-03-28T12:00:00Z",
         "2026-03-29T12:00:00Z", "2026-03-28T12:00=0 2026-03-28T21:00=5 2026-03-29T01:00=0"},
        /* midnight itself is leapt over */
        {"Africa/Cairo", "0 0 * * 5", "0 6 * * 5", "2026-04-23T12:00:00Z", "2026-04-24T12:00:00Z",
         "2026-04-23T12:00=0 2026-04-23T22:00=5 2026-04-24T03:00=0"},
        /* 02:30 comes twice: active from the second on, as in KEDA */
        {"Europe/Berlin", "30 2 * * *", "0 4 * * *", "2026-10-25T00:00:00Z", "2026-10-25T12:00:00Z",
         "2026-10-25T00:00=0 2026-10-25T01:30=5 2026-10-25T03:00=0"},
        /* over the missing hour, and over the hour that comes twice */
        {"Europe/Berlin", "0 1 * * *", "0 5 * * *", "2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z",
         "2026-03-29T00:00=5 2026-03-29T03:00=0"},
        {"Europe/Berlin", "0 1 * * *", "0 5 * * *", "2026-10-24T22:00:00Z", "2026-10-25T12:00:00Z",
         "2026-10-24T22:00=0 2026-10-24T23:00=5 2026-10-25T04:00=0"},
        /* the other half of the world, and half an hour */
        {"Australia/Lord_Howe", "0 8 * * *", "0 9 * * *", "2026-10-02T20:00:00Z",
         "2026-10-04T00:00:00Z",
         "2026-10-02T20:00=0 2026-10-02T21:30=5 2026-10-02T22:30=0 2026-10-03T21:00=5 "
         "2026-10-03T22:00=0"},
        {"Etc/UTC", "0 8 * * *", "0 18 * * *", "2026-03-29T00:00:00Z", "2026-03-30T00:00:00Z",
         "2026-03-29T00:00=0 2026-03-29T08:00=5 2026-03-29T18:00=0"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf got = BUF_INIT;

        walk(cases[i].zone, cases[i].start, cases[i].end, cases[i].from, cases[i].to, &got);
        assert_string_equal(buf_cstr(&got), cases[i].changes);
        buf_done(&got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(active_hours_follow_the_clock_on_the_wall_across_its_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
