/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "triggers/civil.h"

#define FILE_MAX ((size_t)64 << 10)
#define HEADER 44
#define OFFSET_MAX 93599 /* RFC 8536: 25:59:59 */

/* "M3.5.0/2": week 5 is the last one. */
struct rule {
    int64_t month, week, day, at_s;
};

struct zone {
    size_t n;
    int64_t *at, *offset; /* from at[i] on, offset[i]; ascending */
    int64_t first;        /* before at[0] */
    /* after the last transition; rules only if has_dst */
    bool has_tail, has_dst;
    int64_t standard, summer;
    struct rule begin, end;
};

void zone_free(struct zone *z)
{
    if (!z)
        return;
    free(z->at);
    free(z->offset);
    free(z);
}

static int64_t big_endian(const char *p, size_t n)
{
    uint64_t v = n == 4 && (p[0] & 0x80) ? UINT64_MAX : 0;

    for (size_t i = 0; i < n; i++)
        v = v << 8 | (unsigned char)p[i];
    return (int64_t)v;
}

/* --- the tail: "CET-1CEST,M3.5.0,M10.5.0/3" --- */

static bool take_int(struct str *s, int64_t max, int64_t *ret)
{
    size_t n = 0;

    *ret = 0;
    while (n < s->n && n < 6 && s->p[n] >= '0' && s->p[n] <= '9')
        *ret = *ret * 10 + (s->p[n++] - '0');
    *s = str_skip(*s, n);
    return n > 0 && *ret <= max;
}

/* [+-]h[:mm[:ss]] */
static bool take_time(struct str *s, int64_t *ret)
{
    int64_t sign = 1, part, unit = 3600;

    *ret = 0;
    if (s->n && (s->p[0] == '-' || s->p[0] == '+')) {
        sign = s->p[0] == '-' ? -1 : 1;
        *s = str_skip(*s, 1);
    }
    for (; unit >= 1; unit /= 60) {
        if (!take_int(s, unit == 3600 ? 167 : 59, &part))
            return false;
        *ret += part * unit;
        if (!s->n || s->p[0] != ':')
            break;
        *s = str_skip(*s, 1);
    }
    *ret *= sign;
    return true;
}

/* Letters, or anything in <>. */
static bool take_name(struct str *s)
{
    bool quoted = s->n && s->p[0] == '<';
    size_t n = quoted;

    while (n < s->n &&
           (quoted ? s->p[n] != '>' : (s->p[n] | 0x20) >= 'a' && (s->p[n] | 0x20) <= 'z'))
        n++;
    if (quoted && n == s->n)
        return false;
    n += quoted;
    *s = str_skip(*s, n);
    return n > 0;
}

static bool take(struct str *s, char c)
{
    if (!s->n || s->p[0] != c)
        return false;
    *s = str_skip(*s, 1);
    return true;
}

static bool take_rule(struct str *s, struct rule *r)
{
    r->at_s = 7200;
    if (!take(s, ',') || !take(s, 'M') || !take_int(s, 12, &r->month) || !take(s, '.') ||
        !take_int(s, 5, &r->week) || !take(s, '.') || !take_int(s, 6, &r->day) || r->month < 1 ||
        r->week < 1)
        return false;
    return !take(s, '/') || take_time(s, &r->at_s);
}

static bool read_tail(struct zone *z, struct str s)
{
    int64_t west;

    if (!s.n)
        return true;
    if (!take_name(&s) || !take_time(&s, &west))
        return false;
    z->has_tail = true;
    z->standard = z->summer = -west;
    if (!s.n)
        return true;
    z->has_dst = true;
    z->summer = z->standard + 3600;
    if (!take_name(&s))
        return false;
    if (s.n && s.p[0] != ',') {
        if (!take_time(&s, &west))
            return false;
        z->summer = -west;
    }
    return take_rule(&s, &z->begin) && take_rule(&s, &z->end) && s.n == 0;
}

/* Local seconds since 1970 at which the rule applies in that year. */
static int64_t rule_at(const struct rule *r, int64_t year)
{
    int64_t first = civil_days(year, r->month, 1),
            day = first + ((r->day - civil_weekday(first)) % 7 + 7) % 7 + (r->week - 1) * 7;

    while (day >= first + civil_month_days(year, r->month))
        day -= 7;
    return day * 86400 + r->at_s;
}

static int64_t tail_offset(const struct zone *z, int64_t t)
{
    struct civil c;
    int64_t begin, end;

    if (!z->has_dst)
        return z->standard;
    civil_of(t + z->standard, &c);
    begin = rule_at(&z->begin, c.year) - z->standard;
    end = rule_at(&z->end, c.year) - z->summer;
    if (begin < end)
        return t >= begin && t < end ? z->summer : z->standard;
    return t >= begin || t < end ? z->summer : z->standard;
}

/* --- the table --- */

struct counts {
    int64_t utc, standard, leap, times, types, chars;
};

static bool read_header(struct str s, struct counts *c)
{
    if (s.n < HEADER || memcmp(s.p, "TZif", 4) != 0 || s.p[4] < '2')
        return false;
    *c = (struct counts){big_endian(s.p + 20, 4), big_endian(s.p + 24, 4), big_endian(s.p + 28, 4),
                         big_endian(s.p + 32, 4), big_endian(s.p + 36, 4), big_endian(s.p + 40, 4)};
    return c->utc >= 0 && c->standard >= 0 && c->leap >= 0 && c->times >= 0 && c->types > 0 &&
           c->chars >= 0 && c->utc < FILE_MAX && c->standard < FILE_MAX && c->leap < FILE_MAX &&
           c->times < FILE_MAX && c->types <= 256 && c->chars < FILE_MAX;
}

static size_t block_size(const struct counts *c, int64_t time_size)
{
    return (size_t)(c->times * (time_size + 1) + c->types * 6 + c->chars +
                    c->leap * (time_size + 4) + c->standard + c->utc);
}

static bool read_table(struct zone *z, const char *p, const struct counts *c)
{
    const char *index = p + c->times * 8, *types = index + c->times;

    z->n = (size_t)c->times;
    z->at = mem_array(z->n + 1, sizeof(*z->at));
    z->offset = mem_array(z->n + 1, sizeof(*z->offset));
    for (size_t i = 0; i <= z->n; i++) { /* the last one stands for `first` */
        size_t type = i < z->n ? (unsigned char)index[i] : 0;
        int64_t offset;

        if (type >= (size_t)c->types)
            return false;
        offset = big_endian(types + type * 6, 4);
        if (offset < -OFFSET_MAX || offset > OFFSET_MAX)
            return false;
        if (i == z->n) {
            z->first = offset;
            break;
        }
        z->at[i] = big_endian(p + i * 8, 8);
        z->offset[i] = offset;
        if (i && z->at[i] <= z->at[i - 1])
            return false;
    }
    return true;
}

int zone_parse(struct str bytes, struct zone **ret, struct err *err)
{
    struct zone *z = mem_zalloc(sizeof(*z));
    struct counts c;
    struct str s = bytes;
    ptrdiff_t end;

    if (!read_header(s, &c) || s.n < HEADER + block_size(&c, 4))
        goto bad;
    s = str_skip(s, HEADER + block_size(&c, 4)); /* the 32-bit half */
    if (!read_header(s, &c) || s.n < HEADER + block_size(&c, 8) || !read_table(z, s.p + HEADER, &c))
        goto bad;
    s = str_skip(s, HEADER + block_size(&c, 8));
    if (!take(&s, '\n') || (end = str_chr(s, '\n')) < 0 ||
        !read_tail(z, (struct str){s.p, (size_t)end}))
        goto bad;
    *ret = z;
    return 0;
bad:
    zone_free(z);
    return err_set(err, ERR_BAD_INPUT, "not a TZif file of version 2 or newer");
}

int zone_load(struct str name, struct zone **ret, struct err *err)
{
    AUTO_FREE char *path = mem_printf("/usr/share/zoneinfo/%.*s", STR_ARG(name));
    char *bytes;
    size_t n;
    FILE *f;
    int r;

    if (!name.n || name.n > 100 || name.p[0] == '/' || str_find(name, STR("..")) >= 0 ||
        memchr(name.p, '\0', name.n) || !(f = fopen(path, "re")))
        return err_set(err, ERR_NOT_FOUND, "unknown time zone %.*s (is tzdata installed?)",
                       STR_ARG(name));
    bytes = mem_alloc(FILE_MAX);
    n = fread(bytes, 1, FILE_MAX, f);
    fclose(f);
    r = zone_parse(str_n(bytes, n), ret, err);
    free(bytes);
    return r < 0 && err ? err_wrap(err, "time zone %.*s", STR_ARG(name)) : r;
}

int64_t zone_offset(const struct zone *z, int64_t t)
{
    size_t lo = 0, hi = z->n;

    while (lo < hi) { /* the first transition after t */
        size_t mid = (lo + hi) / 2;

        if (z->at[mid] <= t)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == z->n && z->has_tail)
        return tail_offset(z, t);
    return lo ? z->offset[lo - 1] : z->first;
}
