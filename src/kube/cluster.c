/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/cluster.h"

#include "base/log.h"

const struct object *cluster_get(struct cluster *c, enum kind_id kind, struct str ns,
                                 struct str name)
{
    return c->ops->get(c, kind, ns, name);
}

void cluster_each(struct cluster *c, enum kind_id kind, struct str ns, const struct selector *sel,
                  cluster_each_fn *fn, void *arg)
{
    c->ops->each(c, kind, ns, sel, fn, arg);
}

void cluster_watch(struct cluster *c, enum kind_id kind, cluster_watch_fn *fn, void *arg)
{
    c->ops->watch(c, kind, fn, arg);
}

void cluster_unwatch(struct cluster *c, enum kind_id kind, cluster_watch_fn *fn, void *arg)
{
    c->ops->unwatch(c, kind, fn, arg);
}

static void log_failure(void *arg, const struct object *now, const struct err *err)
{
    (void)arg;
    (void)now;
    if (err && err->code != ERR_NOT_FOUND)
        log_warn("cluster", "a write failed: %s", err->msg);
}

void cluster_write(struct cluster *c, const struct cluster_write *w, cluster_done_fn *done,
                   void *arg)
{
    c->ops->write(c, w, done ? done : log_failure, arg);
}
