/* SPDX-License-Identifier: Apache-2.0
 *
 * What has changed lately, for watches that begin at a revision in the past: a ring that grows with
 * use, bounded by number, age and bytes; the oldest goes. Whoever asks for what has gone is told so
 * and lists anew, as after etcd's compaction. */
#ifndef FB_STORE_HISTORY_H
#define FB_STORE_HISTORY_H

#include "store/store.h"

#define HISTORY_MAX 10000
#define HISTORY_MS 300000
/* Of the objects' JSON as they are after each change. About 1,500 objects of some 2.8 kB: minutes
 * at usual rates, and seconds where a thousand ScaledObjects change each second. A client's break
 * is shorter than that, or it lists once; more would only be memory. */
#define HISTORY_BYTES ((size_t)4 << 20)

struct history_item {
    struct store_event e; /* owns references to was and now */
    int64_t at_ms;
};

/* Zeroed, with oldest_rv set, is empty. */
struct history {
    struct history_item *items; /* ring of cap, n used from at on */
    size_t cap, at, n, bytes;
    uint64_t oldest_rv; /* what came after it is there */
};

void history_done(struct history *h);
void history_add(struct history *h, const struct store_event *e, int64_t now_ms);
/* Drops what is too old. */
void history_age(struct history *h, int64_t now_ms);
/* ERR_GONE: not everything after rv is there. */
int history_replay(const struct history *h, enum kind_id kind, uint64_t rv, store_watch_fn *fn,
                   void *arg);

#endif
