/* SPDX-License-Identifier: Apache-2.0
 *
 * A keyed work queue with a reconcile function: level-triggered, one pass per key at a time,
 * de-duplicated. It starts no pass for a key while a write that this key issued is unanswered, or
 * its result is not yet in the cache (deletions count when seen; 30 s without: the key runs anyway
 * and says so). So no controller ever acts on its own past. Failed passes and failed writes are
 * retried with back-off 5 ms doubling to 60 s (jitter-free: the loop may be simulated); a conflict
 * is retried at once. */
#ifndef FB_KUBE_RECONCILER_H
#define FB_KUBE_RECONCILER_H

#include "kube/cluster.h"
#include "kube/events.h"

struct reconciler;
struct pass; /* one run for one key */

struct reconciler_options {
    const char
        *name; /* "deployment": manager of its writes, component of its events and log lines */
    struct cluster *cluster;
    void (*reconcile)(void *ctx, struct pass *p);
    void *ctx;
};

struct reconciler *reconciler_new(const struct reconciler_options *o);
void reconciler_free(struct reconciler *r);
void reconciler_wake(struct reconciler *r, struct str ns, struct str name);
/* Wakes on every change of the kind: by the object's own name... */
void reconciler_watch(struct reconciler *r, enum kind_id kind);
/* ...or by the name of its controlling owner of that kind. */
void reconciler_watch_owned(struct reconciler *r, enum kind_id kind, enum kind_id owner);
/* ...or as fn says (it calls reconciler_wake itself). */
void reconciler_watch_fn(struct reconciler *r, enum kind_id kind,
                         void (*fn)(void *ctx, struct reconciler *r, const struct object *was,
                                    const struct object *now));
/* No key waits, runs or has writes outstanding (timers of requeue_after do not count). */
bool reconciler_is_idle(const struct reconciler *r);

/* Inside reconcile: */
struct str pass_ns(const struct pass *p);
struct str pass_name(const struct pass *p);
struct cluster *pass_cluster(const struct pass *p);
int64_t pass_now_ms(const struct pass *p); /* wall */
/* Issues a write tied to this key. */
void pass_write(struct pass *p, const struct cluster_write *w);
/* The same with a look at the result before the key may run again; done may be NULL. */
void pass_write_done(struct pass *p, const struct cluster_write *w, cluster_done_fn *done,
                     void *arg);
/* What the first refused write of the pass before was answered (conflicts do not count), or NULL. A
 * controller that shows it in a status needs no own book-keeping: the key runs again after a
 * failure. */
const char *pass_failure(const struct pass *p);
void pass_requeue_after(struct pass *p, int64_t ms); /* the earliest of several counts */
/* The pass failed: log once, back off, run again. */
__attribute__((format(printf, 2, 3))) void pass_fail(struct pass *p, const char *fmt, ...);

#endif
