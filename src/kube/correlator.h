/* SPDX-License-Identifier: Apache-2.0
 *
 * What client-go's recorders remember between events, so that trouble that repeats makes few
 * Events. Equal events (same group and message) are one, with a count. Of a group (same source,
 * object, type and reason) the first nine messages are Events of their own; from the tenth on, as
 * long as no ten minutes pass without one, what is new is combined into one further Event.
 *
 * Pure memory: time comes in, nothing is written. Bounded: at most CORRELATOR_MAX groups and as
 * many Events; the longest unused go first, and what is unused for CORRELATOR_KEEP_MS goes
 * with the next observation. A message that was forgotten is new, which costs an Event, or is found
 * again by its id, which depends on nothing but group and message. */
#ifndef FB_KUBE_CORRELATOR_H
#define FB_KUBE_CORRELATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/str.h"

#define CORRELATOR_MAX 4096
#define CORRELATOR_MESSAGES 9               /* of a group, before they are combined */
#define CORRELATOR_WINDOW_MS (10 * 60000LL) /* without an event: the group begins anew */
#define CORRELATOR_KEEP_MS (60 * 60000LL)   /* as long as an Event lives */

struct correlator;

/* What is found by a hash and forgotten by age. */
struct remembered {
    struct list lru;
    uint64_t id;
    int64_t used_ms;
    bool is_pinned; /* kept whatever happens */
};

/* One Event. */
struct observed {
    struct remembered as; /* id names it; the caller pins it while it creates the Event */
    bool is_combined;
    /* The caller's, zero at first. */
    int64_t count;
    int64_t first_ms;
};

struct correlator *correlator_new(void);
void correlator_free(struct correlator *c); /* NULL is fine */
/* The Event that counts this one, borrowed until the next call, or as long as it is pinned. now_ms
 * is a distance (mono). */
struct observed *correlator_observe(struct correlator *c, struct str group, struct str message,
                                    int64_t now_ms);
size_t correlator_size(const struct correlator *c); /* groups and Events remembered */

#endif
