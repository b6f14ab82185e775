/* SPDX-License-Identifier: Apache-2.0
 *
 * The status of one object that is written from more than one place and more often than writes are
 * answered: what is stored may be older than what was last said, so that is kept here. One write is
 * on its way at a time; what is said meanwhile goes out with the next one, as one. Between writes
 * nothing is kept but a reference to the object as it was answered. */
#ifndef FB_CONTROLLERS_STATUS_WRITER_H
#define FB_CONTROLLERS_STATUS_WRITER_H

#include "kube/cluster.h"

struct status_writer {
    struct cluster *cluster; /* set by the owner, with manager; the rest zeroed */
    const char *manager;
    char *newest;             /* as JSON, while a write is on its way; else NULL */
    struct status_call *call; /* that write, or NULL */
    bool waits;               /* newest is newer than it */
    struct object *answered;  /* by our newest write; NULL: others have written since */
};

void status_writer_done(struct status_writer *w);
/* The newest status of o, which is the object as the cluster has it: a new tree, NULL: it has none.
 */
json_t *status_newest(struct status_writer *w, const struct object *o);
/* Whether the newest status is what we said last. */
bool status_is_ours(struct status_writer *w, const struct object *o);
/* Says it, unless it is what was said last; takes the tree. False: nothing new. */
bool status_say(struct status_writer *w, const struct object *o, json_t *status);

#endif
