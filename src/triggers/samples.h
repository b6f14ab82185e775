/* SPDX-License-Identifier: Apache-2.0
 *
 * Samples that are pushed (OTLP, remote write) wake the triggers whose queries read them, a moment
 * after the first one of a push, so that one push makes one look. Samples of scrape rounds do not:
 * the end of their round wakes whoever scales by them, and in its midst half of them are old.
 *
 * It stands on the store's watches (tsdb_watch_some), so a changed sample costs what its own
 * readers cost, however many triggers there are. Queries without a metric's name are looked at by
 * the clock. */
#ifndef FB_TRIGGERS_SAMPLES_H
#define FB_TRIGGERS_SAMPLES_H

#include "net/loop.h"
#include "promql/promql.h"
#include "tsdb/tsdb.h"

struct sample_hub;
struct sample_watch;

struct sample_hub *sample_hub_new(struct loop *l, struct tsdb *db);
void sample_hub_free(struct sample_hub *h); /* after the last watch; NULL is fine */

/* fn(arg) when the answer to q may be another. ns, workload: of what is scaled; a bare selector
 * counts only its series (own_only). q is borrowed until the end. fn may end watches. */
struct sample_watch *sample_hub_watch(struct sample_hub *h, const struct promql *q, struct str ns,
                                      struct str workload, bool own_only, void (*fn)(void *arg),
                                      void *arg);
void sample_watch_free(struct sample_watch *w); /* NULL is fine */

#endif
