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
#include "controllers/triggerauth.h"

struct controllers {
    struct isvc_controller *isvc;
    struct otelcollector_controller *otelcollector;
    struct deployment_controller *deployment;
    struct replicaset_controller *replicaset;
    struct service_controller *service;
    struct gc *gc;
    struct scaledobject_controller *scaledobject;
    struct hpa_controller *hpa;
    struct triggerauth_controller *triggerauth;
};

struct controllers *controllers_new(const struct scaledobject_deps *deps)
{
    struct controllers *all = mem_zalloc(sizeof(*all));
    struct cluster *c = deps->world->cluster;

    all->isvc = isvc_controller_new(c);
    all->otelcollector = otelcollector_controller_new(c);
    all->deployment = deployment_controller_new(c);
    all->replicaset = replicaset_controller_new(c);
    all->service = service_controller_new(c);
    all->gc = gc_new(c);
    all->scaledobject = scaledobject_controller_new(deps);
    all->triggerauth = triggerauth_controller_new(c, all->scaledobject);
    all->hpa = hpa_controller_new(&(struct hpa_controller_deps){c, deps->rounds, deps->world->db});
    return all;
}

void controllers_free(struct controllers *all)
{
    if (!all)
        return;
    triggerauth_controller_free(all->triggerauth);
    scaledobject_controller_free(all->scaledobject);
    hpa_controller_free(all->hpa);
    isvc_controller_free(all->isvc);
    otelcollector_controller_free(all->otelcollector);
    deployment_controller_free(all->deployment);
    replicaset_controller_free(all->replicaset);
    service_controller_free(all->service);
    gc_free(all->gc);
    free(all);
}

struct scaledobject_controller *controllers_scaledobject(struct controllers *all)
{
    return all->scaledobject;
}

void controllers_explain(struct controllers *all, struct buf *out)
{
    scaledobject_explain(all->scaledobject, out);
    hpa_controller_explain(all->hpa, out);
}
