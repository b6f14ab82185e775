/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/civil.h"

#define DAY_S 86400

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* The year is taken to begin in March, so that the odd day stands at its end; 400 years have
 * 146,097 days. */
int64_t civil_days(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month > 2 ? year : year - 1, era = floor_div(y, 400), in_era = y - era * 400,
            in_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

int64_t civil_weekday(int64_t days)
{
    return ((days + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
}

int64_t civil_month_days(int64_t year, int64_t month)
{
    int64_t next = month == 12 ? civil_days(year + 1, 1, 1) : civil_days(year, month + 1, 1);

    return next - civil_days(year, month, 1);
}

void civil_of(int64_t t, struct civil *c)
{
    int64_t days = floor_div(t, DAY_S), s = t - days * DAY_S, z = days + 719468,
            era = floor_div(z, 146097), in_era = z - era * 146097,
            y = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365,
            in_year = in_era - (365 * y + y / 4 - y / 100), m = (5 * in_year + 2) / 153;

    c->day = in_year - (153 * m + 2) / 5 + 1;
    c->month = m < 10 ? m + 3 : m - 9;
    c->year = era * 400 + y + (c->month <= 2);
    c->hour = s / 3600;
    c->minute = s / 60 % 60;
    c->second = s % 60;
    c->weekday = civil_weekday(days);
}
