/* SPDX-License-Identifier: Apache-2.0
 *
 * Five-field cron schedules as KEDA takes them (keda.md 5.4): minute, hour, day of month, month,
 * day of week 0..6; lists, ranges, steps, names, '?'. No seconds, no @daily, no 7. */
#ifndef FB_TRIGGERS_SCHEDULE_H
#define FB_TRIGGERS_SCHEDULE_H

#include "triggers/zone.h"

struct schedule {
    uint64_t fields[5];        /* bit n: value n; minute, hour, day, month, weekday */
    bool any_day, any_weekday; /* '*': the other one alone decides; neither: either will do */
};

#define SCHEDULE_NEVER INT64_MAX

/* ERR_BAD_INPUT names the field. */
int schedule_parse(struct str text, struct schedule *ret, struct err *err);
/* The first time it fires strictly after that instant (unix seconds); NEVER: not within 5 years.
 * Times that the clocks leap over fire when they leap, so that none is left out. */
int64_t schedule_next(const struct schedule *s, const struct zone *z, int64_t after_s);

#endif
