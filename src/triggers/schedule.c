/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/schedule.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "triggers/civil.h"

#define YEARS 5

static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                     "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const weekdays[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

static const struct field {
    const char *name;
    int64_t min, max;
    const char *const *words; /* the first stands for min */
    size_t n_words;
} fields[5] = {{"minute", 0, 59, NULL, 0},
               {"hour", 0, 23, NULL, 0},
               {"day of month", 1, 31, NULL, 0},
               {"month", 1, 12, months, ARRAY_LEN(months)},
               {"day of week", 0, 6, weekdays, ARRAY_LEN(weekdays)}};

static bool read_value(const struct field *f, struct str s, int64_t *ret)
{
    uint64_t n;

    for (size_t i = 0; i < f->n_words; i++) {
        if (str_eq_nocase(s, str_of(f->words[i]))) {
            *ret = f->min + (int64_t)i;
            return true;
        }
    }
    if (!s.n || s.p[0] == '+' || !str_to_u64(s, &n) || n > 1000)
        return false;
    *ret = (int64_t)n;
    return true;
}

/* "a", "a-b", "*", each with "/step"; "a/step" runs to the field's end. */
static bool read_range(const struct field *f, struct str s, uint64_t *bits, bool *is_any)
{
    ptrdiff_t slash = str_chr(s, '/'), dash;
    struct str range = slash < 0 ? s : (struct str){s.p, (size_t)slash};
    int64_t from = f->min, to = f->max, step = 1;
    bool any = str_is(range, "*") || str_is(range, "?");

    if (slash >= 0 &&
        (!read_value(&(struct field){0}, str_skip(s, (size_t)slash + 1), &step) || step == 0))
        return false;
    dash = str_chr(range, '-');
    if (!any) {
        if (!read_value(f, dash < 0 ? range : (struct str){range.p, (size_t)dash}, &from))
            return false;
        if (dash >= 0 ? !read_value(f, str_skip(range, (size_t)dash + 1), &to) : false)
            return false;
        if (dash < 0 && slash < 0)
            to = from;
    }
    if (from < f->min || to > f->max || from > to)
        return false;
    for (int64_t v = from; v <= to; v += step)
        *bits |= (uint64_t)1 << v;
    *is_any |= any && step == 1;
    return true;
}

static int read_field(const struct field *f, struct str s, uint64_t *bits, bool *is_any,
                      struct err *err)
{
    struct str rest = s, one;

    *bits = 0;
    *is_any = false;
    while (str_split(&rest, ',', &one))
        if (!read_range(f, one, bits, is_any))
            return err_set(err, ERR_BAD_INPUT, "'%.*s' is no %s: %lld to %lld is expected",
                           STR_ARG(one), f->name, (long long)f->min, (long long)f->max);
    return 0;
}

int schedule_parse(struct str text, struct schedule *ret, struct err *err)
{
    struct str rest = str_trim(text), one;
    bool is_any[5] = {false};
    size_t n = 0;

    while (str_split(&rest, ' ', &one)) {
        if (!one.n)
            continue;
        if (n == 5) {
            n++;
            break;
        }
        if (read_field(&fields[n], one, &ret->fields[n], &is_any[n], err) < 0)
            return ERR_BAD_INPUT;
        n++;
    }
    if (n != 5)
        return err_set(err, ERR_BAD_INPUT,
                       "'%.*s' has not five fields: minute hour day month weekday", STR_ARG(text));
    ret->any_day = is_any[2];
    ret->any_weekday = is_any[4];
    return 0;
}

static bool has(const struct schedule *s, int field, int64_t v)
{
    return s->fields[field] >> v & 1;
}

static bool is_day(const struct schedule *s, const struct civil *c)
{
    bool day = has(s, 2, c->day), weekday = has(s, 4, c->weekday);

    if (!has(s, 3, c->month))
        return false;
    return s->any_day || s->any_weekday ? day && weekday : day || weekday;
}

/* The beginning of the next local day, or just before it where the clocks change: never after. */
static int64_t next_day(const struct zone *z, int64_t t, const struct civil *c)
{
    int64_t midnight = (civil_days(c->year, c->month, c->day) + 1) * 86400,
            a = midnight - zone_offset(z, t), b = midnight - zone_offset(z, a),
            next = a < b ? a : b;

    return next > t ? next : t + 60;
}

static bool fires_at(const struct schedule *s, const struct civil *c)
{
    return is_day(s, c) && has(s, 1, c->hour) && has(s, 0, c->minute);
}

#define LEAP_MAX 90000 /* Samoa once left out a whole day */

/* Where the clocks leap between two instants (at most one change in between), and a time that they
 * leap over is one of the schedule's: the instant of the leap. */
static int64_t in_leap(const struct schedule *s, const struct zone *z, int64_t from, int64_t to)
{
    int64_t was = zone_offset(z, from), is = zone_offset(z, to);
    struct civil c;

    if (is <= was || is - was > LEAP_MAX)
        return SCHEDULE_NEVER;
    while (to - from > 1) {
        int64_t middle = from + (to - from) / 2;

        if (zone_offset(z, middle) == was)
            from = middle;
        else
            to = middle;
    }
    for (int64_t wall = to + was; wall < to + is; wall += 60) {
        civil_of(wall, &c);
        if (fires_at(s, &c))
            return to;
    }
    return SCHEDULE_NEVER;
}

int64_t schedule_next(const struct schedule *s, const struct zone *z, int64_t after)
{
    int64_t t = after - ((after % 60) + 60) % 60 + 60, before = after, last, leap;
    struct civil c;

    civil_of(after, &c);
    last = civil_days(c.year + YEARS, 12, 31) * 86400;
    while (t <= last) {
        leap = in_leap(s, z, before, t);
        if (leap != SCHEDULE_NEVER)
            return leap;
        before = t;
        civil_of(t + zone_offset(z, t), &c);
        if (!is_day(s, &c))
            t = next_day(z, t, &c);
        else if (!has(s, 1, c.hour))
            t += 3600 - c.minute * 60 - c.second;
        else if (c.second || !has(s, 0, c.minute))
            t += 60 - c.second; /* zones were once off by seconds */
        else
            return t;
    }
    return SCHEDULE_NEVER;
}
