/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/quantity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define NANO ((__int128)1000000000)
#define MAX_NANO ((__int128)INT64_MAX * NANO)

static const struct {
    const char *suffix;
    int exp10;
} decimal[] = {{"n", -9}, {"u", -6}, {"m", -3}, {"", 0},   {"k", 3},
               {"M", 6},  {"G", 9},  {"T", 12}, {"P", 15}, {"E", 18}};

static const char *const binary[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};

static int bad(struct err *err, struct str text)
{
    return err_set(
        err, ERR_BAD_INPUT,
        "'%.*s' is not a quantity: expected a number with an optional suffix such as m, k, Mi, Gi",
        STR_ARG(text));
}

/* Suffix to (binary power, decimal exponent); false when unknown. */
static bool read_suffix(struct str s, struct quantity *q, int *exp2, int *exp10)
{
    *exp2 = *exp10 = 0;
    for (size_t i = 1; i < ARRAY_LEN(binary); i++) {
        if (str_is(s, binary[i])) {
            q->format = QUANTITY_BINARY;
            *exp2 = (int)i * 10;
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(decimal); i++) {
        if (str_is(s, decimal[i].suffix)) {
            *exp10 = decimal[i].exp10;
            return true;
        }
    }
    if (s.n >= 2 && (s.p[0] == 'e' || s.p[0] == 'E')) {
        int64_t e;

        if (!str_to_i64(str_skip(s, 1), &e) || e < -100 || e > 100)
            return false;
        q->format = QUANTITY_EXPONENT;
        *exp10 = (int)e;
        return true;
    }
    return false;
}

int quantity_parse(struct str text, struct quantity *ret, struct err *err)
{
    struct quantity q = {0};
    size_t at = 0, digits = 0;
    __int128 v = 0;
    int exp10 = 0, exp2, suffix10;
    bool neg = false, dot = false, lost = false;

    if (text.n && (text.p[0] == '-' || text.p[0] == '+'))
        neg = text.p[at++] == '-';
    for (; at < text.n && ((text.p[at] >= '0' && text.p[at] <= '9') || (text.p[at] == '.' && !dot));
         at++) {
        if (text.p[at] == '.') {
            dot = true;
            continue;
        }
        digits++;
        if (v > MAX_NANO / 10) { /* beyond what fits: fraction digits only cost precision */
            lost |= text.p[at] != '0';
            if (!dot)
                exp10++;
            continue;
        }
        v = v * 10 + (text.p[at] - '0');
        if (dot)
            exp10--;
    }
    if (digits == 0 || !read_suffix(str_skip(text, at), &q, &exp2, &suffix10))
        return bad(err, text);
    exp10 += suffix10 + 9;
    v <<= v < ((__int128)1 << 60) || exp2 == 0 ? exp2 : 0;
    for (; exp10 > 0 && v < MAX_NANO; exp10--)
        v *= 10;
    for (; exp10 < 0 && v > 0; exp10++) {
        lost |= v % 10 != 0;
        v /= 10;
    }
    v += lost;
    if (v > MAX_NANO)
        v = MAX_NANO;
    q.nano = neg ? -v : v;
    *ret = q;
    return 0;
}

static char *digits_of(__int128 v, char *end)
{
    bool neg = v < 0;

    if (neg)
        v = -v;
    do {
        *--end = (char)('0' + (int)(v % 10));
        v /= 10;
    } while (v);
    if (neg)
        *--end = '-';
    return end;
}

const char *quantity_text(const struct quantity *q, char out[64])
{
    __int128 v = q->nano, abs = v < 0 ? -v : v;
    char tmp[48];
    size_t i = 0;

    tmp[47] = '\0';
    if (v == 0) {
        snprintf(out, 64, "0");
        return out;
    }
    if (q->format == QUANTITY_BINARY && abs >= 1024 * NANO) {
        v = (v + (v > 0 ? NANO - 1 : 1 - NANO)) / NANO; /* binary forms have no fraction */
        while (i + 1 < ARRAY_LEN(binary) && v % 1024 == 0) {
            v /= 1024;
            i++;
        }
        snprintf(out, 64, "%s%s", digits_of(v, tmp + 47), binary[i]);
        return out;
    }
    while (i + 1 < ARRAY_LEN(decimal) && v % 1000 == 0) {
        v /= 1000;
        i++;
    }
    if (q->format == QUANTITY_EXPONENT && decimal[i].exp10 != 0)
        snprintf(out, 64, "%se%d", digits_of(v, tmp + 47), decimal[i].exp10);
    else
        snprintf(out, 64, "%s%s", digits_of(v, tmp + 47), decimal[i].suffix);
    return out;
}

static int64_t scaled(const struct quantity *q, int64_t unit)
{
    __int128 v = q->nano / unit;

    if (q->nano % unit > 0)
        v++;
    else if (q->nano % unit < 0)
        v--;
    return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

int64_t quantity_milli(const struct quantity *q)
{
    return scaled(q, 1000000);
}

int64_t quantity_value(const struct quantity *q)
{
    return scaled(q, 1000000000);
}

double quantity_double(const struct quantity *q)
{
    return (double)q->nano / 1e9;
}

struct quantity quantity_of_milli(int64_t milli)
{
    return (struct quantity){.nano = (__int128)milli * 1000000};
}

struct quantity quantity_of_double(double v)
{
    char text[400];
    struct quantity q = {0};
    struct err err;

    if (!isfinite(v) || v <= 0)
        return q;
    snprintf(text, sizeof(text), "%.3f", v);
    if (quantity_parse(str_of(text), &q, &err) < 0)
        return (struct quantity){0};
    return q;
}

struct quantity quantity_of_double_cut(double v)
{
    v *= 1000;
    return quantity_of_milli(!isfinite(v)  ? 0
                             : v >= 0x1p63 ? INT64_MAX
                             : v < -0x1p63 ? INT64_MIN
                                           : (int64_t)v);
}
