/* SPDX-License-Identifier: Apache-2.0
 *
 * The seam between controllers and whatever holds the objects: our own store, or a real API server.
 * Controllers know only this, and may not ask which it is.
 *
 * Reads are look-ups in a cache: synchronous, cheap, showing committed state only. Writes are
 * asynchronous: done is called once, later, on the loop (never from inside the call). Watches call
 * back after the cache has changed. Objects given to callbacks are borrowed; object_ref keeps one.
 *
 * Optimistic locking: an update whose tree carries metadata.resourceVersion fails with ERR_CONFLICT
 * if the object changed; without it, it is unconditional (as for built-in kinds). Trees are
 * borrowed: the call copies what it needs. */
#ifndef FB_KUBE_CLUSTER_H
#define FB_KUBE_CLUSTER_H

#include "kube/kind.h"
#include "kube/object.h"
#include "kube/selector.h"
#include "net/loop.h"

struct cluster;
struct correlator;
struct validations;

enum cluster_event { CLUSTER_ADDED, CLUSTER_MODIFIED, CLUSTER_DELETED };

/* was is NULL for ADDED; for DELETED now is the last state. */
typedef void cluster_watch_fn(void *arg, enum cluster_event event, const struct object *was,
                              const struct object *now);
/* err is NULL on success; now is the stored result (NULL when the object is gone). */
typedef void cluster_done_fn(void *arg, const struct object *now, const struct err *err);
typedef void cluster_each_fn(void *arg, const struct object *o);

enum cluster_verb {
    CLUSTER_CREATE,
    CLUSTER_UPDATE,
    CLUSTER_MERGE_PATCH, /* tree is an RFC 7386 patch */
    CLUSTER_DELETE,
};

struct cluster_write {
    enum cluster_verb verb;
    enum kind_id kind;
    struct str ns, name;     /* of the object; for CREATE taken from the tree if empty */
    const char *subresource; /* NULL, "status" or "scale" */
    const json_t *tree;      /* CREATE, UPDATE, MERGE_PATCH */
    const char *manager;     /* who writes (fieldManager) */
    /* DELETE: */
    struct str uid;          /* precondition; empty: none */
    int64_t grace_s;         /* -1: the object's own */
    const char *propagation; /* NULL: Background; "Foreground", "Orphan" */
};

struct cluster_ops {
    const struct object *(*get)(struct cluster *c, enum kind_id kind, struct str ns,
                                struct str name);
    void (*each)(struct cluster *c, enum kind_id kind, struct str ns, const struct selector *sel,
                 cluster_each_fn *fn, void *arg);
    void (*watch)(struct cluster *c, enum kind_id kind, cluster_watch_fn *fn, void *arg);
    void (*unwatch)(struct cluster *c, enum kind_id kind, cluster_watch_fn *fn, void *arg);
    void (*write)(struct cluster *c, const struct cluster_write *w, cluster_done_fn *done,
                  void *arg);
};

struct cluster {
    const struct cluster_ops *ops;
    struct loop *loop;
    /* Embedded: first address (host order) of our /20 of Service addresses, from which admission
     * assigns clusterIP; 0 where the cluster does that itself. */
    uint32_t service_block;
    /* Made and freed by who makes the cluster, freed when no write is answered any more: what
     * event_emit remembers (correlator.h; NULL where nobody emits events), and what admission
     * counts (validations.h; NULL: nothing). */
    struct correlator *events;
    struct validations *validations;
};

/* Borrowed until the next turn of the loop, or NULL. */
const struct object *cluster_get(struct cluster *c, enum kind_id kind, struct str ns,
                                 struct str name);
/* ns empty: all namespaces; sel NULL: all. Order: namespace, name. fn may write but not look for
 * the results in this walk. */
void cluster_each(struct cluster *c, enum kind_id kind, struct str ns, const struct selector *sel,
                  cluster_each_fn *fn, void *arg);
/* First an ADDED for every present object (in later turns), then changes in order of
 * resourceVersion. */
void cluster_watch(struct cluster *c, enum kind_id kind, cluster_watch_fn *fn, void *arg);
void cluster_unwatch(struct cluster *c, enum kind_id kind, cluster_watch_fn *fn, void *arg);
/* done may be NULL: failures are then logged. */
void cluster_write(struct cluster *c, const struct cluster_write *w, cluster_done_fn *done,
                   void *arg);
/* The tree of an unconditional update of o's status, new; status is borrowed. */
json_t *cluster_status_body(const struct object *o, const json_t *status);
/* Writes that; done may be NULL. */
void cluster_write_status(struct cluster *c, const struct object *o, const json_t *status,
                          const char *manager, cluster_done_fn *done, void *arg);

#endif
