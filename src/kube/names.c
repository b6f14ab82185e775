/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/names.h"

#include "base/mem.h"

bool names_split(struct str host, struct str def_ns, struct str *ret_name, struct str *ret_ns)
{
    struct str part, rest = host;

    if (str_ends(rest, STR(".")))
        rest.n--;
    if (str_ends(rest, STR(".svc.cluster.local")))
        rest.n -= strlen(".svc.cluster.local");
    else if (str_ends(rest, STR(".svc")))
        rest.n -= strlen(".svc");
    if (!str_split(&rest, '.', &part) || part.n == 0)
        return false;
    *ret_name = part;
    *ret_ns = rest.p ? rest : def_ns;
    return ret_ns->n > 0 && str_chr(*ret_ns, '.') < 0;
}

/* The port of a Service by number: its name in Endpoints. */
static const json_t *service_port(const json_t *svc, uint16_t port)
{
    const json_t *p;
    size_t i;

    json_array_foreach (json_at(svc, "spec.ports"), i, p) {
        if (json_int(p, "port", 0) == port)
            return p;
    }
    return NULL;
}

static bool first_endpoint(const json_t *eps, const char *port_name, struct net_addr *ret)
{
    const json_t *subset, *p;
    size_t i, k;

    json_array_foreach (json_at(eps, "subsets"), i, subset) {
        const json_t *a = json_array_get(json_at(subset, "addresses"), 0);

        json_array_foreach (json_at(subset, "ports"), k, p) {
            const char *name = json_text(p, "name", "");
            bool is_only = json_array_size(json_at(subset, "ports")) == 1;

            if (a && (strcmp(name, port_name) == 0 || (is_only && (!*name || !*port_name))))
                return net_addr_set(ret, json_text(a, "ip", ""),
                                    (uint16_t)json_int(p, "port", 0)) == 0;
        }
    }
    return false;
}

/* POD.SERVICE.NAMESPACE[.svc...]: the pod that Endpoints know by that hostname, which is how those
 * of a StatefulSet find each other. The port is the pod's own: no Service is in between. */
static int resolve_pod(struct cluster *c, struct str host, uint16_t port, struct net_addr *ret,
                       struct err *err)
{
    struct str pod, rest = host, name, ns;
    AUTO_JSON json_t *endpoints = NULL;
    const struct object *eps;
    const json_t *subset, *a;
    size_t i, k;

    if (!str_split(&rest, '.', &pod) || !rest.p || !names_split(rest, STR_NONE, &name, &ns) ||
        !(eps = cluster_get(c, KIND_ENDPOINTS, ns, name)))
        return err_set(err, ERR_NOT_FOUND, "'%.*s' is not a name of this cluster", STR_ARG(host));
    endpoints = object_tree(eps);
    json_array_foreach (json_at(endpoints, "subsets"), i, subset)
        json_array_foreach (json_at(subset, "addresses"), k, a)
            if (str_eq(json_strv(json_object_get(a, "hostname")), pod))
                return net_addr_set(ret, json_text(a, "ip", ""), port);
    return err_set(err, ERR_UNAVAILABLE, "Service '%.*s/%.*s' has no ready pod '%.*s'", STR_ARG(ns),
                   STR_ARG(name), STR_ARG(pod));
}

int names_resolve(struct cluster *c, struct str host, uint16_t port, struct net_addr *ret,
                  struct err *err)
{
    struct str name, ns;
    const struct object *svc, *eps;
    AUTO_JSON json_t *tree = NULL, *endpoints = NULL;
    const json_t *p;

    if (!names_split(host, STR_NONE, &name, &ns))
        return resolve_pod(c, host, port, ret, err);
    svc = cluster_get(c, KIND_SERVICE, ns, name);
    if (!svc)
        return err_set(err, ERR_NOT_FOUND, "there is no Service '%.*s' in namespace '%.*s'",
                       STR_ARG(name), STR_ARG(ns));
    tree = object_tree(svc);
    p = service_port(tree, port);
    if (!p)
        return err_set(err, ERR_NOT_FOUND, "Service '%.*s/%.*s' has no port %u", STR_ARG(ns),
                       STR_ARG(name), port);
    eps = cluster_get(c, KIND_ENDPOINTS, ns, name);
    endpoints = eps ? object_tree(eps) : NULL;
    if (!first_endpoint(endpoints, json_text(p, "name", ""), ret))
        return err_set(err, ERR_UNAVAILABLE, "Service '%.*s/%.*s' has no ready endpoint",
                       STR_ARG(ns), STR_ARG(name));
    return 0;
}

bool names_hook(void *ctx, struct str host, uint16_t port, struct net_addr *ret)
{
    return names_resolve(ctx, host, port, ret, NULL) == 0;
}
