/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers/controllers.h"

#include <stdlib.h>

#include "base/mem.h"
#include "controllers/deployment.h"
#include "controllers/gc.h"
#include "controllers/hpa.h"
#include "controllers/isvc.h"
#include "controllers/otelcollector.h"
#include "controllers/replicaset.h"
#include "controllers/service.h"
#include "controllers/statefulset.h"
#include "controllers/triggerauth.h"

struct controllers {
    struct isvc_controller *isvc;
    struct otelcollector_controller *otelcollector;
    struct deployment_controller *deployment;
    struct replicaset_controller *replicaset;
    struct statefulset_controller *statefulset;
    struct service_controller *service;
    struct gc *gc;
    struct scaledobject_controller *scaledobject;
    struct hpa_controller *hpa;
    struct triggerauth_controller *triggerauth;
    struct hpa_book *book;
};

struct controllers *controllers_new(const struct scaledobject_deps *deps)
{
    struct controllers *all = mem_zalloc(sizeof(*all));
    struct cluster *c = deps->world->cluster;
    struct scaledobject_deps so = *deps;

    all->isvc = isvc_controller_new(c);
    all->otelcollector = otelcollector_controller_new(c);
    all->deployment = deployment_controller_new(c);
    all->replicaset = replicaset_controller_new(c);
    all->statefulset = statefulset_controller_new(c);
    all->service = service_controller_new(c);
    all->gc = gc_new(c);
    all->book = so.book = hpa_book_new(
        c, &(struct work_source){deps->world->db, deps->in_flight, deps->in_flight_ctx});
    all->scaledobject = scaledobject_controller_new(&so);
    all->triggerauth = triggerauth_controller_new(c, all->scaledobject);
    all->hpa =
        hpa_controller_new(&(struct hpa_controller_deps){.cluster = c,
                                                         .rounds = deps->rounds,
                                                         .db = deps->world->db,
                                                         .book = all->book,
                                                         .sync_period_ms = deps->sync_period_ms});
    return all;
}

void controllers_free(struct controllers *all)
{
    if (!all)
        return;
    triggerauth_controller_free(all->triggerauth);
    hpa_book_flush(all->book);
    scaledobject_controller_free(all->scaledobject);
    hpa_controller_free(all->hpa);
    hpa_book_free(all->book);
    isvc_controller_free(all->isvc);
    otelcollector_controller_free(all->otelcollector);
    deployment_controller_free(all->deployment);
    replicaset_controller_free(all->replicaset);
    statefulset_controller_free(all->statefulset);
    service_controller_free(all->service);
    gc_free(all->gc);
    free(all);
}

struct hpa_book *controllers_book(struct controllers *all)
{
    return all->book;
}

void controllers_metrics(struct controllers *all, struct buf *out)
{
    scaledobject_metrics(all->scaledobject, out);
    hpa_book_metrics(all->book, out);
}
