/* SPDX-License-Identifier: Apache-2.0
 *
 * The calendar: seconds since 1970 of a place's own clock <-> date and time. */
#ifndef FB_TRIGGERS_CIVIL_H
#define FB_TRIGGERS_CIVIL_H

#include <stdint.h>

struct civil {
    int64_t year, month, day, hour, minute, second, weekday; /* 1..12, 1..31; Sunday 0 */
};

int64_t civil_days(int64_t year, int64_t month, int64_t day); /* since 1970-01-01 */
int64_t civil_weekday(int64_t days);
int64_t civil_month_days(int64_t year, int64_t month);
void civil_of(int64_t seconds, struct civil *ret);

#endif
