/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of Services and of single pods behind them. */
#include "../cmocka_all.h"

#include "base/mem.h"
#include "codec/yaml.h"
#include "kube/names.h"

struct fake {
    struct cluster cluster;
    struct object *service, *endpoints;
};

static const struct object *fake_get(struct cluster *c, enum kind_id kind, struct str ns,
                                     struct str name)
{
    struct fake *f = (struct fake *)c;

    if (!str_is(ns, "team") || !str_is(name, "web"))
        return NULL;
    return kind == KIND_SERVICE ? f->service : kind == KIND_ENDPOINTS ? f->endpoints : NULL;
}

static const struct cluster_ops fake_ops = {.get = fake_get};

static struct object *object(enum kind_id kind, const char *text)
{
    AUTO_JSON json_t *tree = NULL;
    struct object *o = NULL;
    struct err err = ERR_INIT;

    if (yaml_parse(str_of(text), &tree, &err) < 0 || object_new(kind_of(kind), tree, &o, &err) < 0)
        fail_msg("%s", err.msg);
    return o;
}

static const struct {
    const char *host, *where; /* "ip:port", or what the error says */
} rows[] = {
    {"web.team.svc", "127.64.0.1:8080"},
    {"web.team", "127.64.0.1:8080"},
    {"web.team.svc.cluster.local.", "127.64.0.1:8080"},
    {"web-1.web.team.svc", "127.64.0.2:80"},
    {"web-1.web.team", "127.64.0.2:80"},
    {"web-0.web.team.svc.cluster.local", "127.64.0.1:80"},
    {"web-2.web.team.svc", "Service 'team/web' has no ready pod 'web-2'"},
    {"web-7.web.team.svc", "Service 'team/web' has no ready pod 'web-7'"},
    {"web-0.other.team.svc", "'web-0.other.team.svc' is not a name of this cluster"},
    {"api.example.com", "'api.example.com' is not a name of this cluster"},
    {"a.b.web.team", "'a.b.web.team' is not a name of this cluster"},
    {"other.team.svc", "there is no Service 'other' in namespace 'team'"},
    {"web", "'web' is not a name of this cluster"},
    {"", "'' is not a name of this cluster"},
    {".", "'.' is not a name of this cluster"},
};

static void names_lead_to_endpoints_and_to_single_pods(void **state)
{
    struct fake f = {{.ops = &fake_ops}, NULL, NULL};

    (void)state;
    f.service = object(KIND_SERVICE, "{apiVersion: v1, kind: Service, metadata: {name: web, "
                                     "namespace: team}, spec: {clusterIP: None, ports: [{port: "
                                     "80, targetPort: 8080}]}}");
    f.endpoints =
        object(KIND_ENDPOINTS,
               "{apiVersion: v1, kind: Endpoints, metadata: {name: web, namespace: team}, subsets: "
               "[{ports: [{port: 8080}], addresses: [{ip: 127.64.0.1, hostname: web-0}, {ip: "
               "127.64.0.2, hostname: web-1}], notReadyAddresses: [{ip: 127.64.0.3, hostname: "
               "web-2}]}]}");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct net_addr a = {0};
        struct err err = ERR_INIT;
        char text[64];
        int r = names_resolve(&f.cluster, str_of(rows[i].host), 80, &a, &err);

        assert_string_equal(r == 0 ? net_addr_text(&a, text) : err.msg, rows[i].where);
    }
    object_unref(f.service);
    object_unref(f.endpoints);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_lead_to_endpoints_and_to_single_pods),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
