/* SPDX-License-Identifier: Apache-2.0
 *
 * A sample older than its series' newest is refused, so a wall clock that was set back would stop
 * everything until it is where it was. Whoever writes samples of his own time says so before: where
 * the clock went back by more than 5 s, the store begins anew. Windows of decisions do not live in
 * the store. */
#ifndef FB_TELEMETRY_CLOCK_WATCH_H
#define FB_TELEMETRY_CLOCK_WATCH_H

#include "net/loop.h"
#include "tsdb/tsdb.h"

void clock_watch(struct tsdb *db, const struct loop *l);

#endif
