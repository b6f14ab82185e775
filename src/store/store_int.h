/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared inside the room: the index, the queue of commits, and the database thread's interface. */
#ifndef FB_STORE_STORE_INT_H
#define FB_STORE_STORE_INT_H

#include "base/table.h"
#include "store/history.h"
#include "store/store.h"

struct entry {
    struct object *committed; /* NULL: not there */
    struct object *accepted;  /* newest queued state; NULL: queued for removal, or never there */
    int queued;               /* commits of it under way */
    const char *ns, *name;    /* in text */
    char text[];
};

struct index {
    struct entry **items; /* by namespace, name */
    size_t n, cap;
};

struct change {
    struct entry *entry;
    const struct kind *kind;
    struct object *now;  /* NULL: removed */
    struct object *last; /* removed: its last state with the new revision */
    uint64_t rv;
    store_done_fn *done;
    void *arg;
    int http;
    char *warnings;
    struct change *next;
};

struct subscriber {
    struct list link;
    store_watch_fn *fn;
    cluster_watch_fn *cluster_fn;
    void *arg;
    struct store *s;
    enum kind_id kind;
    bool is_synced, is_removed;
};

struct db;

struct store {
    struct cluster cluster; /* first */
    struct store_options o;
    struct rng rng;
    struct index kinds[KIND_COUNT];
    uint64_t accepted_rv, committed_rv;
    struct change *first, *last; /* queued, not given to the database yet */
    struct change *flying;       /* given to it */
    struct list replies;         /* answers that need no commit */
    bool is_commit_posted, is_reply_posted, is_closing, is_dispatching;
    struct list subscribers[KIND_COUNT];
    struct history history;
    struct loop_timer commit; /* in memory, with commit_ms */
    struct loop_timer sweep;
    struct db *db;
};

#define EVENT_TTL_MS 3600000

struct entry *index_find(struct store *s, enum kind_id kind, struct str ns, struct str name,
                         bool make);
/* What a request leads to; see rules.c. */
struct outcome {
    int http;
    bool is_change; /* now / removed is to be committed; else now is the answer as it is */
    bool removed;
    struct object *now; /* new reference */
    struct buf status;  /* failed */
    struct buf warnings;
    int err_code;
    char message[600];
};
void store_decide(struct store *s, const struct store_request *req, struct entry **ret_entry,
                  struct outcome *out);

/* --- db.c --- */
int db_open(struct store *s, struct db **ret, struct err *err);
/* Every stored object through fn; sets the revision. */
int db_load(struct db *d, struct store *s, struct err *err);
/* Commits the list on the writer thread; then store_committed on the loop. */
void db_commit(struct db *d, struct change *list);
void db_drain(struct db *d); /* commits and answers what is queued; waits for it */
void db_close(struct db *d); /* drains */
void store_committed(struct store *s, struct change *list, const struct err *err);

#endif
