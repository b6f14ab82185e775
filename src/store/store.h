/* SPDX-License-Identifier: Apache-2.0
 *
 * Durable, versioned objects. The loop thread owns the index; one writer thread owns SQLite. A
 * write is checked against what has been accepted (queued), answered after it has been committed,
 * and only then seen by reads, lists, watches and controllers. A commit that fails fails everything
 * queued behind it.
 *
 * Without a directory everything stays in memory and commits in the next turn of the loop: the same
 * order every time, for virtual time and for tests. */
#ifndef FB_STORE_STORE_H
#define FB_STORE_STORE_H

#include "base/rand.h"
#include "kube/cluster.h"
#include "kube/validate.h"

struct store;

struct store_options {
    struct loop *loop;
    const char *dir;        /* NULL: memory only; else an existing directory, 0700 */
    int64_t commit_ms;      /* in memory: what a commit takes, as one on disk would */
    uint64_t seed;          /* of uids and names; 0: from the kernel */
    uint32_t service_block; /* see struct cluster */
};

/* ERR_EXISTS: another instance holds the directory (the message names it). ERR_UNSUPPORTED: written
 * by a newer version. */
int store_open(const struct store_options *o, struct store **ret, struct err *err);
/* Commits and answers everything that is queued, before it returns: when those who are answered are
 * about to go. NULL is fine. */
void store_drain(struct store *s);
/* Drains, then closes. What was written after the last store_drain is committed without an answer.
 */
void store_close(struct store *s);
/* The same objects through kube/cluster.h. */
struct cluster *store_cluster(struct store *s);
/* Newest committed resourceVersion. */
uint64_t store_revision(const struct store *s);

/* --- writes --- */

enum store_patch { STORE_PATCH_MERGE, STORE_PATCH_STRATEGIC, STORE_PATCH_JSON };

struct store_request {
    enum cluster_verb verb; /* CLUSTER_MERGE_PATCH: any patch, see `patch` */
    enum store_patch patch;
    const struct kind *kind;
    struct str ns, name;
    const char *subresource;        /* NULL, "status", "scale" */
    const json_t *tree;             /* object or patch; borrowed */
    const struct kind_alias *alias; /* the version a patch was written for; NULL: the stored one */
    bool dry_run;
    bool create_if_missing; /* patches: apply */
    bool is_ours;           /* of a controller: its statuses have the shape of their kind */
    enum field_validation mode;
    struct str uid, rv;      /* preconditions of DELETE; empty: none */
    int64_t grace_s;         /* DELETE; -1: the object's own */
    const char *propagation; /* DELETE; NULL: Background */
};

struct store_result {
    int http;                 /* 200, 201, or an error's */
    const struct object *now; /* the stored object; NULL when gone or failed */
    const struct object *was; /* of a DELETE: what was removed */
    struct str status;        /* failed: the Status JSON */
    struct str warnings;      /* one per line */
    int err_code;             /* enum err_code, 0 on success */
    struct str message;       /* failed: plain text */
};

typedef void store_done_fn(void *arg, const struct store_result *r);
/* done is called once, in a later turn. */
void store_submit(struct store *s, const struct store_request *req, store_done_fn *done, void *arg);

/* --- reads (committed state) --- */

const struct object *store_get(struct store *s, enum kind_id kind, struct str ns, struct str name);
/* In order of namespace, name. */
void store_each(struct store *s, enum kind_id kind, struct str ns, const struct selector *sel,
                cluster_each_fn *fn, void *arg);

/* --- watches --- */

struct store_event {
    uint64_t rv; /* of the change; a DELETED object carries it as its own */
    enum kind_id kind;
    enum cluster_event event;
    const struct object *was, *now;
};
typedef void store_watch_fn(void *arg, const struct store_event *e);

/* Live changes of one kind, after they are committed and in order. */
void store_subscribe(struct store *s, enum kind_id kind, store_watch_fn *fn, void *arg);
void store_unsubscribe(struct store *s, enum kind_id kind, store_watch_fn *fn, void *arg);
/* Forgets all history that watches could begin in, as when nothing changes for minutes. */
void store_compact(struct store *s);
/* Replays what came after rv. ERR_GONE: rv is older than the kept history. */
int store_replay(struct store *s, enum kind_id kind, uint64_t rv, store_watch_fn *fn, void *arg);

#endif
