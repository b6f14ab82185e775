/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/web_service.h"

#include "codec/json.h"

static void ignore_result(void *arg, const struct object *now, const struct err *err)
{
    (void)arg;
    (void)now;
    (void)err;
}

void web_publish_service(struct cluster *c, const struct net_addr *web)
{
    const struct object *eps =
        cluster_get(c, KIND_ENDPOINTS, STR("istio-system"), STR("prometheus"));
    char ip[64];
    AUTO_JSON json_t *service =
        json_pack("{s:s,s:s,s:{s:s,s:s},s:{s:[{s:s,s:i,s:i}]}}", "apiVersion", "v1", "kind",
                  "Service", "metadata", "name", "prometheus", "namespace", "istio-system", "spec",
                  "ports", "name", "http", "port", 9090, "targetPort", 9090);
    AUTO_JSON json_t *endpoints = json_pack(
        "{s:s,s:s,s:{s:s,s:s,s:{s:s}},s:[{s:[{s:s}],s:[{s:s,s:i}]}]}", "apiVersion", "v1", "kind",
        "Endpoints", "metadata", "name", "prometheus", "namespace", "istio-system", "labels",
        "flyball.dev/built-in", "true", "subsets", "addresses", "ip", net_addr_ip(web, ip), "ports",
        "name", "http", "port", (int)net_addr_port(web));

    cluster_write(c,
                  &(struct cluster_write){.verb = CLUSTER_CREATE,
                                          .kind = KIND_SERVICE,
                                          .ns = STR("istio-system"),
                                          .tree = service,
                                          .manager = "flyball"},
                  ignore_result, NULL);
    if (!eps || object_label(eps, "flyball.dev/built-in").n)
        cluster_write(c,
                      &(struct cluster_write){.verb = eps ? CLUSTER_UPDATE : CLUSTER_CREATE,
                                              .kind = KIND_ENDPOINTS,
                                              .ns = STR("istio-system"),
                                              .name = STR("prometheus"),
                                              .tree = endpoints,
                                              .manager = "flyball"},
                      ignore_result, NULL);
}
