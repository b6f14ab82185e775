/* SPDX-License-Identifier: Apache-2.0
 *
 * The status of one object that is written from more than one place and more often than writes are
 * answered: what is stored may be older than what was last said, so that is kept here. One write is
 * on its way at a time; what is said meanwhile goes out with the next one, as one. */
#ifndef FB_CONTROLLERS_STATUS_WRITER_H
#define FB_CONTROLLERS_STATUS_WRITER_H

#include "kube/cluster.h"

struct status_writer {
    struct cluster *cluster; /* set by the owner, with manager; the rest zeroed */
    const char *manager;
    json_t *newest;           /* NULL: as stored */
    struct status_call *call; /* the write on its way, or NULL */
    bool waits;               /* newest is newer than that write */
    uint64_t rv;              /* resourceVersion of our newest write that was answered */
};

void status_writer_done(struct status_writer *w);
/* The newest status; stored: the tree of o as it is stored. Borrowed until the next call; may be
 * NULL. */
const json_t *status_newest(struct status_writer *w, const struct object *o, const json_t *stored);
/* Says it, unless it is what was said last; takes the tree. False: nothing new. stored: as above.
 */
bool status_say(struct status_writer *w, const struct object *o, const json_t *stored,
                json_t *status);

#endif
