/* SPDX-License-Identifier: Apache-2.0
 *
 * Injected time. Two kinds never mix: `mono` only measures distances, `wall` is UTC since 1970 and
 * may jump. RFC 3339 text lives here because every object, event and condition carries it. */
#ifndef FB_BASE_CLOCK_H
#define FB_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct clock {
    int64_t (*mono_ns)(const struct clock *c);
    int64_t (*wall_ms)(const struct clock *c);
};

extern const struct clock clock_system;

static inline int64_t clock_mono_ns(const struct clock *c)
{
    return c->mono_ns(c);
}
static inline int64_t clock_wall_ms(const struct clock *c)
{
    return c->wall_ms(c);
}

#define TIME_TEXT_MAX 40
/* "2026-01-02T03:04:05Z" / with 6 digits of microseconds; returns out. */
const char *time_rfc3339(int64_t wall_ms, char out[TIME_TEXT_MAX]);
const char *time_rfc3339_micro(int64_t wall_us, char out[TIME_TEXT_MAX]);
/* RFC 3339 with any fraction and zone -> UTC milliseconds. */
bool time_parse(struct str s, int64_t *ret_wall_ms);

#endif
