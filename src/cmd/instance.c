/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/instance.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apiserver/apiserver.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/explain.h"
#include "controllers/controllers.h"
#include "controllers/isvc.h"
#include "gateway/gateway.h"
#include "kube/columns.h"
#include "kube/names.h"
#include "net/proxy.h"
#include "node/leftovers.h"
#include "node/node.h"
#include "telemetry/otlp_grpc.h"
#include "telemetry/otlp_http.h"
#include "telemetry/own_service.h"
#include "telemetry/push_port.h"
#include "telemetry/web.h"
#include "triggers/addon_metrics.h"
#include "triggers/memstore.h"
#include "triggers/scaler_face.h"

struct instance {
    struct loop *loop;
    struct addresses addresses;
    struct pki pki;
    struct tokens *tokens;
    struct tls_server *tls;
    struct store *store;
    struct apiserver *api;
    struct http_client *http;
    struct grpc_client *grpc; /* to external scalers of others */
    struct node *node;
    struct gateway *gateway;
    struct tsdb *db;
    struct rounds *rounds;
    struct web *web;
    struct tls_server *otlp_tls; /* NULL: clear text */
    bool otlp_wants_client_cert;
    struct otlp *otlp;
    struct otlp_http *otlp_http;
    struct otlp_grpc *otlp_grpc;
    struct grpc_server *otlp_methods, *scaler_methods; /* of the two ports */
    struct push_port *otlp_port, *scaler_port;
    struct proxies *proxies;
    struct trigger_world world;
    struct memstore memstore;
    struct addon_metrics *addon_metrics;
    struct scaler_face *scaler_face;
    bool takes_remote_write;
    const char *auth_file_root;
    struct controllers *controllers;
};

#define PORT_TRIES 50
#define SCALER_BACKOFF_MAX_MS 10000
#define SCALER_KEEPALIVE_MS 300000 /* servers turn away who pings more often */

/* A port given by option must be free; a default one gives way to the next free one. */
typedef int listen_fn(struct instance *i, const struct net_addr *addr, struct err *err);

static int listen_on(struct instance *i, const char *given, const char *option, uint16_t port,
                     listen_fn *fn, struct err *err)
{
    struct net_addr a;
    int r = ERR_EXISTS;

    if (given) {
        r = net_addr_parse(str_of(given), &a, err);
        if (r == 0)
            r = fn(i, &a, err);
        return r < 0 ? err_wrap(err, "%s", option) : 0;
    }
    for (int n = 0; r == ERR_EXISTS && n < PORT_TRIES; n++) {
        net_addr_set(&a, "127.0.0.1", (uint16_t)(port + n));
        r = fn(i, &a, err);
    }
    return r < 0 ? err_wrap(err, "no free port from %u on; choose one with %s", port, option) : 0;
}

static int open_api(struct instance *i, const struct net_addr *addr, struct err *err)
{
    struct apiserver_options o = {.store = i->store,
                                  .listen = *addr,
                                  .tls = i->tls,
                                  .token = i->pki.token,
                                  .tokens = i->tokens};

    return apiserver_new(i->loop, &o, &i->api, err);
}

static int open_state(struct instance *i, const struct instance_options *o, struct err *err)
{
    struct store_options so = {.loop = i->loop, .dir = o->data_dir};
    struct net_addr api;
    int r;

    /* the store's lock comes first: it keeps a second instance off the directory */
    if ((r = store_open(&so, &i->store, err)) < 0 ||
        (r = addresses_open(o->data_dir, node_has_live_pods(o->data_dir), &i->addresses, err)) < 0)
        return r;
    store_cluster(i->store)->service_block = i->addresses.services;
    if ((r = pki_open(o->data_dir, &i->pki, err)) < 0 ||
        (r = tokens_open(o->data_dir, &i->tokens, err)) < 0 ||
        (r = tls_server_new(str_of(i->pki.server.cert_pem), str_of(i->pki.server.key_pem),
                            str_of(i->pki.ca.cert_pem), &i->tls, err)) < 0 ||
        (r = listen_on(i, o->api_listen, "--api-listen", 6443, open_api, err)) < 0)
        return r;
    api = apiserver_addr(i->api);
    return pki_write_kubeconfig(&i->pki, o->data_dir, &api, err);
}

static int open_node(struct instance *i, const struct instance_options *o, struct err *err)
{
    struct node_options no = {.loop = i->loop,
                              .cluster = store_cluster(i->store),
                              .http = i->http,
                              .data_dir = o->data_dir,
                              .addresses = &i->addresses,
                              .pod_user = o->pod_user,
                              .image_map = o->image_maps,
                              .drain = gateway_drain,
                              .drain_ctx = i->gateway,
                              .db = i->db};
    int r = node_new(&no, &i->node, err);

    if (r == 0)
        apiserver_set_logs(i->api, node_log_source(i->node));
    return r;
}

/* Flyball's own series, on the control thread. */
static void own_metrics(void *ctx, struct buf *out)
{
    struct instance *i = ctx;

    gateway_metrics(i->gateway, out);
    otlp_metrics(i->otlp, out);
    otlp_http_metrics(i->otlp_http, out);
    otlp_grpc_metrics(i->otlp_grpc, out);
    if (i->controllers)
        controllers_metrics(i->controllers, out);
    addon_metrics_write(i->addon_metrics, loop_wall_ms(i->loop), out);
    if (i->world.hub)
        trigger_hub_metrics(i->world.hub, out);
}

static int explain(void *ctx, struct str query, struct buf *out)
{
    struct instance *i = ctx;

    if (i->controllers)
        return explain_answer(controllers_book(i->controllers), query, out);
    buf_add_cstr(out, "nothing has started yet\n");
    return 503;
}

/* An external metric as KEDA's adapter answers it. */
static int external_metric(void *ctx, struct str ns, struct str scaledobject, struct str metric,
                           double *ret_value, int64_t *ret_at_ms, struct err *err)
{
    struct instance *i = ctx;

    return hpa_book_external(controllers_book(i->controllers), ns, scaledobject, metric, ret_value,
                             ret_at_ms, err);
}

static int open_gateway(struct instance *i, const struct net_addr *addr, struct err *err)
{
    struct gateway_options o = {.cluster = store_cluster(i->store), .listen = *addr};

    return gateway_new(&o, &i->gateway, err);
}

static int open_web(struct instance *i, const struct net_addr *addr, struct err *err)
{
    struct web_options o = {.listen = *addr,
                            .db = i->db,
                            .rounds = i->rounds,
                            .takes_remote_write = i->takes_remote_write,
                            .own_metrics = own_metrics,
                            .explain = explain,
                            .ctx = i,
                            .take = memstore_take,
                            .take_ctx = &i->memstore};

    return web_new(i->loop, &o, &i->web, err);
}

static bool take_grpc(void *ctx, struct http_x *x)
{
    return grpc_server_take(ctx, x);
}

static int open_otlp(struct instance *i, const struct net_addr *addr, struct err *err)
{
    return push_port_new(i->loop,
                         &(struct push_port_options){.listen = *addr,
                                                     .tls = i->otlp_tls,
                                                     .wants_client_cert = i->otlp_wants_client_cert,
                                                     .name = "otlp",
                                                     .services = {{take_grpc, i->otlp_methods},
                                                                  {otlp_http_take, i->otlp_http}}},
                         &i->otlp_port, err);
}

static int open_scaler(struct instance *i, const struct net_addr *addr, struct err *err)
{
    return push_port_new(i->loop,
                         &(struct push_port_options){.listen = *addr,
                                                     .name = "scaler",
                                                     .services = {{take_grpc, i->scaler_methods},
                                                                  {otlp_http_take, i->otlp_http}}},
                         &i->scaler_port, err);
}

/* An option that names a PEM file. */
static int read_pem(const char *option, const char *path, struct buf *ret, struct err *err)
{
    FILE *f = fopen(path, "re");
    char part[4096];
    size_t n;

    if (!f)
        return err_set(err, ERR_IO, "%s: cannot read '%s': %s", option, path, strerror(errno));
    while ((n = fread(part, 1, sizeof(part), f)) > 0)
        buf_add(ret, part, n);
    fclose(f);
    return 0;
}

static int open_otlp_tls(struct instance *i, const struct instance_options *o, struct err *err)
{
    struct buf cert = BUF_INIT_MAX(1 << 20), key = BUF_INIT_MAX(1 << 20),
               ca = BUF_INIT_MAX(1 << 20);
    int r = 0;

    if (!o->otlp_tls_cert && !o->otlp_tls_key && !o->otlp_client_ca)
        return 0;
    if (!o->otlp_tls_cert || !o->otlp_tls_key)
        return err_set(err, ERR_BAD_INPUT, "--otlp-tls-cert and --otlp-tls-key go together%s",
                       o->otlp_client_ca ? ", and --otlp-client-ca needs both" : "");
    if ((r = read_pem("--otlp-tls-cert", o->otlp_tls_cert, &cert, err)) == 0 &&
        (r = read_pem("--otlp-tls-key", o->otlp_tls_key, &key, err)) == 0 &&
        (!o->otlp_client_ca ||
         (r = read_pem("--otlp-client-ca", o->otlp_client_ca, &ca, err)) == 0))
        r = tls_server_new(buf_str(&cert), buf_str(&key), buf_str(&ca), &i->otlp_tls, err);
    i->otlp_wants_client_cert = o->otlp_client_ca != NULL;
    buf_done(&cert);
    buf_done(&key);
    buf_done(&ca);
    return r < 0 ? err_wrap(err, "TLS of the OTLP port") : 0;
}

static int open_push_ports(struct instance *i, const struct instance_options *o, struct err *err)
{
    int r = open_otlp_tls(i, o, err);

    i->otlp = otlp_new(
        &(struct otlp_options){.loop = i->loop, .db = i->db, .cluster = store_cluster(i->store)});
    i->otlp_http = otlp_http_new(i->otlp, o->otlp_max_message);
    i->otlp_grpc = otlp_grpc_new(i->otlp, o->otlp_max_message);
    i->otlp_methods = grpc_server_new();
    i->scaler_methods = grpc_server_new();
    grpc_server_add(i->otlp_methods, otlp_grpc_service(i->otlp_grpc));
    grpc_server_add(i->scaler_methods, otlp_grpc_service(i->otlp_grpc));
    if (r == 0)
        r = listen_on(i, o->otlp_listen, "--otlp-listen", 4317, open_otlp, err);
    if (r == 0)
        r = scaler_face_new(&(struct scaler_service_options){.loop = i->loop,
                                                             .db = i->db,
                                                             .metrics = i->addon_metrics},
                            i->scaler_methods, &i->scaler_face, err);
    if (r == 0)
        r = listen_on(i, o->scaler_listen, "--scaler-listen", 4318, open_scaler, err);
    return r;
}

static int open_telemetry(struct instance *i, const struct instance_options *o, struct err *err)
{
    struct rounds_options ro = {
        .cluster = store_cluster(i->store), .http = i->http, .interval_ms = o->scrape_interval_ms};
    int r;

    i->db = tsdb_new(&(struct tsdb_options){.retention_ms = o->retention_ms,
                                            .max_bytes = o->max_samples_bytes,
                                            .max_series = o->max_series});
    i->takes_remote_write = o->takes_remote_write;
    i->auth_file_root = o->auth_file_root;
    ro.db = i->db;
    i->rounds = rounds_new(&ro);
    r = listen_on(i, o->gateway_listen, "--gateway-listen", 8080, open_gateway, err);
    if (r == 0)
        r = listen_on(i, o->web_listen, "--web-listen", 9090, open_web, err);
    return r < 0 ? r : open_push_ports(i, o, err);
}

/* Where processes of this machine reach a listener: every address is loopback too. */
static struct net_addr reachable(struct net_addr a)
{
    char ip[64];

    net_addr_ip(&a, ip);
    if (strcmp(ip, "0.0.0.0") == 0 || strcmp(ip, "::") == 0)
        net_addr_set(&a, "127.0.0.1", net_addr_port(&a));
    return a;
}

/* The names of the ecosystem's own services, and the addresses that pods are told. */
static void publish_ports(struct instance *i)
{
    struct cluster *c = store_cluster(i->store);
    struct net_addr web = reachable(web_addr(i->web)), otlp = reachable(instance_otlp_addr(i)),
                    scaler = reachable(instance_scaler_addr(i));
    char receiver_text[64], scaler_text[64];

    own_service_publish(
        c, &(struct own_service){"istio-system", "prometheus", {{"http", 9090, &web}}});
    own_service_publish(c, &(struct own_service){"keda",
                                                 "keda-otel-scaler",
                                                 {{"grpc-otlp-receiver", 4317, &otlp},
                                                  {"keda-external-scaler", 4318, &scaler}}});
    /* sidecars push in clear text: where the OTLP port wants TLS, the other one takes them too */
    net_addr_text(i->otlp_tls ? &scaler : &otlp, receiver_text);
    net_addr_text(&scaler, scaler_text);
    isvc_bootstrap(c, &(struct isvc_endpoints){receiver_text, scaler_text});
}

/* For boundServiceAccountToken of TriggerAuthentications. */
static int issue_token(void *ctx, struct str ns, struct str account, struct buf *token,
                       int64_t *ret_expires_ms, struct err *err)
{
    struct instance *i = ctx;
    int64_t now = loop_wall_ms(i->loop);
    const struct object *o = cluster_get(store_cluster(i->store), KIND_SERVICEACCOUNT, ns, account);

    if (!o)
        return err_set(err, ERR_NOT_FOUND, "it does not exist");
    *ret_expires_ms = now + TOKEN_SECONDS_DEFAULT * 1000;
    return tokens_issue(i->tokens, o, NULL, now, TOKEN_SECONDS_DEFAULT, token, err);
}

static const char *either(const char *upper, const char *lower)
{
    const char *text = getenv(upper);

    return text && *text ? text : getenv(lower);
}

static struct proxies *read_proxies(void)
{
    struct proxies *p = NULL;
    struct err err = ERR_INIT;

    if (proxies_new(&(struct proxy_settings){either("HTTP_PROXY", "http_proxy"),
                                             either("HTTPS_PROXY", "https_proxy"),
                                             either("NO_PROXY", "no_proxy")},
                    &p, &err) < 0)
        log_warn("up", "triggers ask without any proxy: %s", err.msg);
    return p;
}

static void start_controllers(struct instance *i, const struct instance_options *o)
{
    struct cluster *c = store_cluster(i->store);
    struct net_addr web = web_addr(i->web), otlp = push_port_addr(i->otlp_port),
                    scaler = reachable(instance_scaler_addr(i));

    if (o->has_new_columns)
        kind_set_columns(KIND_SCALEDOBJECT, scaledobject_columns_new);
    apiserver_bootstrap(i->store);
    publish_ports(i);
    i->memstore = (struct memstore){.loop = i->loop,
                                    .db = i->db,
                                    .token = i->pki.token,
                                    .otlp_port = net_addr_port(&otlp),
                                    .scaler_port = net_addr_port(&scaler),
                                    .web_port = net_addr_port(&web)};
    i->proxies = read_proxies();
    i->world = (struct trigger_world){.cluster = c,
                                      .http = i->http,
                                      .proxies = i->proxies,
                                      .db = i->db,
                                      .web = web,
                                      .scaler = scaler,
                                      .grpc = i->grpc,
                                      .addon_metrics = i->addon_metrics};
    i->world.samples = sample_hub_new(i->loop, i->db);
    i->world.hub = trigger_hub_new(c);
    i->world.tokens = (struct auth_tokens){issue_token, i};
    i->world.file_root = i->auth_file_root;
    i->controllers =
        controllers_new(&(struct scaledobject_deps){.world = &i->world,
                                                    .rounds = i->rounds,
                                                    .sync_period_ms = o->sync_period_ms,
                                                    .is_new_keda = o->has_new_columns,
                                                    .in_flight = gateway_in_flight_of,
                                                    .in_flight_ctx = i->gateway});
    apiserver_set_metrics(
        i->api, &(struct metrics_api){.db = i->db, .external = external_metric, .ctx = i});
}

int instance_new(struct loop *l, const struct instance_options *o, struct instance **ret,
                 struct err *err)
{
    struct instance *i = mem_zalloc(sizeof(*i));
    int r;

    i->loop = l;
    i->addon_metrics = addon_metrics_new();
    i->addresses.lock_fd = -1;
    i->http = http_client_new(l);
    r = open_state(i, o, err);
    if (r == 0) {
        i->http->resolve = names_hook;
        i->http->resolve_ctx = store_cluster(i->store);
        i->grpc = grpc_client_new(
            l, &(struct grpc_client_options){.resolve = names_hook,
                                             .resolve_ctx = store_cluster(i->store),
                                             .backoff_max_ms = SCALER_BACKOFF_MAX_MS,
                                             .keepalive_ms = SCALER_KEEPALIVE_MS});
        r = open_telemetry(i, o, err);
    }
    if (r == 0)
        r = open_node(i, o, err);
    if (r < 0) {
        instance_free(i);
        return r;
    }
    start_controllers(i, o);
    store_drain(i->store); /* who is told that it is ready finds the node, Services, namespaces */
    *ret = i;
    return 0;
}

struct net_addr instance_api_addr(const struct instance *i)
{
    return apiserver_addr(i->api);
}

struct net_addr instance_gateway_addr(const struct instance *i)
{
    return gateway_addr(i->gateway);
}

struct net_addr instance_web_addr(const struct instance *i)
{
    return web_addr(i->web);
}

struct net_addr instance_otlp_addr(const struct instance *i)
{
    return push_port_addr(i->otlp_port);
}

struct net_addr instance_scaler_addr(const struct instance *i)
{
    return push_port_addr(i->scaler_port);
}

void instance_stop(struct instance *i, void (*done)(void *arg), void *arg)
{
    scaler_face_close(i->scaler_face);
    node_stop_all(i->node, done, arg);
}

void instance_free(struct instance *i)
{
    if (!i)
        return;
    store_drain(i->store);
    apiserver_free(i->api);
    web_free(i->web);
    push_port_free(i->otlp_port);
    push_port_free(i->scaler_port);
    grpc_server_free(i->otlp_methods);
    grpc_server_free(i->scaler_methods);
    otlp_grpc_free(i->otlp_grpc);
    scaler_face_free(i->scaler_face);
    otlp_http_free(i->otlp_http);
    otlp_free(i->otlp);
    controllers_free(i->controllers);
    trigger_hub_free(i->world.hub);
    sample_hub_free(i->world.samples);
    rounds_free(i->rounds);
    node_free(i->node);
    gateway_free(i->gateway);
    http_client_free(i->http);
    proxies_free(i->proxies);
    grpc_client_free(i->grpc);
    addon_metrics_free(i->addon_metrics);
    tsdb_free(i->db);
    store_close(i->store);
    tls_server_free(i->tls);
    tls_server_free(i->otlp_tls);
    tokens_free(i->tokens);
    pki_done(&i->pki);
    addresses_close(&i->addresses);
    free(i);
}
