/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/own_service.h"

#include "codec/json.h"

#define OURS "flyball.dev/built-in"

static void ignore_result(void *arg, const struct object *now, const struct err *err)
{
    (void)arg;
    (void)now;
    (void)err;
}

static json_t *service_tree(const struct own_service *s)
{
    json_t *ports = json_array();

    for (size_t i = 0; i < OWN_SERVICE_PORTS_MAX && s->ports[i].name; i++)
        json_array_append_new(ports, json_pack("{s:s,s:i,s:i}", "name", s->ports[i].name, "port",
                                               s->ports[i].port, "targetPort", s->ports[i].port));
    return json_pack("{s:s,s:s,s:{s:s,s:s},s:{s:o}}", "apiVersion", "v1", "kind", "Service",
                     "metadata", "name", s->name, "namespace", s->ns, "spec", "ports", ports);
}

/* A subset for each port: they may be of different addresses. */
static json_t *endpoints_tree(const struct own_service *s)
{
    json_t *subsets = json_array();
    char ip[64];

    for (size_t i = 0; i < OWN_SERVICE_PORTS_MAX && s->ports[i].name; i++)
        json_array_append_new(subsets, json_pack("{s:[{s:s}],s:[{s:s,s:i}]}", "addresses", "ip",
                                                 net_addr_ip(s->ports[i].own, ip), "ports", "name",
                                                 s->ports[i].name, "port",
                                                 (int)net_addr_port(s->ports[i].own)));
    return json_pack("{s:s,s:s,s:{s:s,s:s,s:{s:s}},s:o}", "apiVersion", "v1", "kind", "Endpoints",
                     "metadata", "name", s->name, "namespace", s->ns, "labels", OURS, "true",
                     "subsets", subsets);
}

void own_service_publish(struct cluster *c, const struct own_service *s)
{
    const struct object *eps = cluster_get(c, KIND_ENDPOINTS, str_of(s->ns), str_of(s->name));
    AUTO_JSON json_t *service = service_tree(s), *endpoints = endpoints_tree(s);

    cluster_write(c,
                  &(struct cluster_write){.verb = CLUSTER_CREATE,
                                          .kind = KIND_SERVICE,
                                          .ns = str_of(s->ns),
                                          .tree = service,
                                          .manager = "flyball"},
                  ignore_result, NULL);
    if (!eps || object_label(eps, OURS).n)
        cluster_write(c,
                      &(struct cluster_write){.verb = eps ? CLUSTER_UPDATE : CLUSTER_CREATE,
                                              .kind = KIND_ENDPOINTS,
                                              .ns = str_of(s->ns),
                                              .name = str_of(s->name),
                                              .tree = endpoints,
                                              .manager = "flyball"},
                      ignore_result, NULL);
}
