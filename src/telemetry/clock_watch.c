/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/clock_watch.h"

#include "base/log.h"

void clock_watch(struct tsdb *db, const struct loop *l)
{
    int64_t back = tsdb_clock(db, loop_wall_ms(l), loop_mono_ns(l) / 1000000);

    if (back)
        log_warn("telemetry",
                 "the wall clock went back by %lld s: recent samples are dropped, and collected "
                 "anew",
                 (long long)(back / 1000));
}
