/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t system_mono_ns(const struct clock *c)
{
    struct timespec ts;

    (void)c;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t system_wall_ms(const struct clock *c)
{
    struct timespec ts;

    (void)c;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

const struct clock clock_system = {system_mono_ns, system_wall_ms};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

const char *time_rfc3339(int64_t wall_ms, char out[TIME_TEXT_MAX])
{
    time_t s = (time_t)floor_div(wall_ms, 1000);
    struct tm tm;

    gmtime_r(&s, &tm);
    strftime(out, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return out;
}

const char *time_rfc3339_micro(int64_t wall_us, char out[TIME_TEXT_MAX])
{
    time_t s = (time_t)floor_div(wall_us, 1000000);
    struct tm tm;
    size_t n;

    gmtime_r(&s, &tm);
    n = strftime(out, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, TIME_TEXT_MAX - n, ".%06dZ", (int)(wall_us - (int64_t)s * 1000000));
    return out;
}

static bool digits(struct str s, size_t at, size_t n, int *ret)
{
    int v = 0;

    if (at + n > s.n)
        return false;
    for (size_t i = at; i < at + n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        v = v * 10 + (s.p[i] - '0');
    }
    *ret = v;
    return true;
}

bool time_parse(struct str s, int64_t *ret_wall_ms)
{
    struct tm tm = {0};
    int64_t ms = 0, unit = 100, zone = 0;
    size_t at = 19;
    int y, mo, h, m;

    if (!digits(s, 0, 4, &y) || !digits(s, 5, 2, &mo) || !digits(s, 8, 2, &tm.tm_mday) ||
        !digits(s, 11, 2, &tm.tm_hour) || !digits(s, 14, 2, &tm.tm_min) ||
        !digits(s, 17, 2, &tm.tm_sec) || s.p[4] != '-' || s.p[7] != '-' ||
        (s.p[10] != 'T' && s.p[10] != 't' && s.p[10] != ' ') || s.p[13] != ':' || s.p[16] != ':' ||
        mo < 1 || mo > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 ||
        tm.tm_min > 59 || tm.tm_sec > 60)
        return false;
    tm.tm_year = y - 1900;
    tm.tm_mon = mo - 1;
    if (at < s.n && s.p[at] == '.') {
        size_t first = ++at;

        for (; at < s.n && s.p[at] >= '0' && s.p[at] <= '9'; at++, unit /= 10)
            ms += (s.p[at] - '0') * unit;
        if (at == first)
            return false;
    }
    if (at + 1 == s.n && (s.p[at] == 'Z' || s.p[at] == 'z')) {
        zone = 0;
    } else if (at + 6 == s.n && (s.p[at] == '+' || s.p[at] == '-') && digits(s, at + 1, 2, &h) &&
               s.p[at + 3] == ':' && digits(s, at + 4, 2, &m) && h < 24 && m < 60) {
        zone = (h * 3600 + m * 60) * (s.p[at] == '-' ? -1 : 1);
    } else {
        return false;
    }
    *ret_wall_ms = ((int64_t)timegm(&tm) - zone) * 1000 + ms;
    return true;
}
