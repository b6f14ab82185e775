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

json_t *cluster_status_body(const struct object *o, const json_t *status)
{
    json_t *body =
        json_pack("{s:{s:o},s:O}", "metadata", "name", json_str_new(o->name), "status", status);

    if (o->ns.n)
        json_put(body, "metadata.namespace", json_str_new(o->ns));
    return body;
}

void cluster_write_status(struct cluster *c, const struct object *o, const json_t *status,
                          const char *manager, cluster_done_fn *done, void *arg)
{
    AUTO_JSON json_t *body = cluster_status_body(o, status);

    cluster_write(c,
                  &(struct cluster_write){.verb = CLUSTER_UPDATE,
                                          .kind = o->kind->id,
                                          .ns = o->ns,
                                          .name = o->name,
                                          .subresource = "status",
                                          .tree = body,
                                          .manager = manager},
                  done, arg);
}
