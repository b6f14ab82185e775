/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics-api (keda.md 5.6): a value in a page of any server, or of every endpoint of a Service. */
#include "triggers/metrics_api.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kube/names.h"
#include "triggers/poll.h"

struct metrics_api {
    struct polled p;
    char *location;
    int format, aggregation; /* index of the words below */
    bool all_endpoints;
};

static const char *const formats[] = {"prometheus", "json", "xml", "yaml", NULL};
static const char *const aggregations[] = {"average", "sum", "max", "min", NULL};
static const struct polled_ops poll_ops, poll_all_ops;

static int parse(struct trigger *t, const json_t *meta, struct err *err)
{
    struct metrics_api *m = (struct metrics_api *)t;
    AUTO_FREE char *url = NULL;

    meta_required(t, meta, "url", &url, err);
    meta_required(t, meta, "valueLocation", &m->location, err);
    meta_threshold(t, meta, "targetValue", t->has_modifiers, err);
    meta_number(t, meta, "activationTargetValue", false, 0, &t->activation, err);
    meta_word(t, meta, "format", formats, METRICS_API_JSON, &m->format, err);
    meta_word(t, meta, "aggregationType", aggregations, 0, &m->aggregation, err);
    meta_flag(t, meta, "aggregateFromKubeServiceEndpoints", false, &m->all_endpoints, err);
    polled_parse(t, m->all_endpoints ? &poll_all_ops : &poll_ops, meta, url,
                 HTTP_AUTH_API_KEY | HTTP_AUTH_BASIC | HTTP_AUTH_TLS | HTTP_AUTH_BEARER, err);
    if (err->code)
        return err->code;
    t->query = meta_is_hidden(t, meta, "valueLocation") ? mem_strdup("(from the environment)")
                                                        : mem_strdup(m->location);
    return 0;
}

static void metric_name(struct buf *b, const json_t *meta, struct str ns)
{
    (void)ns;
    buf_printf(b, "metric-api-%s", json_text(meta, "valueLocation", ""));
}

/* --- asking --- */

static void make_url(struct trigger *t, struct buf *out)
{
    buf_add_cstr(out, ((struct polled *)t)->address);
}

/* The port of the pods behind a port of the Service; the URL may name either. */
static uint16_t port_of_pods(const json_t *svc, const json_t *subset, uint16_t port)
{
    const json_t *p, *sp;
    size_t i, k;

    json_array_foreach (json_at(svc, "spec.ports"), k, sp)
        json_array_foreach (json_at(subset, "ports"), i, p)
            if (json_int(sp, "port", 0) == port &&
                strcmp(json_text(sp, "name", ""), json_text(p, "name", "")) == 0)
                return (uint16_t)json_int(p, "port", 0);
    return port;
}

static bool add_endpoints(struct trigger *t, struct buf *out, struct err *err)
{
    struct cluster *c = t->w->cluster;
    const struct object *svc, *eps;
    AUTO_JSON json_t *service = NULL, *endpoints = NULL;
    const json_t *subset, *a;
    struct str name, ns;
    struct http_url u;
    size_t i, k;

    if (!http_url_split(str_of(((struct polled *)t)->address), &u) ||
        !names_split(u.host, STR_NONE, &name, &ns)) {
        err_set(
            err, ERR_INVALID,
            "aggregateFromKubeServiceEndpoints needs a url like http://SERVICE.NAMESPACE:PORT/");
        return false;
    }
    svc = cluster_get(c, KIND_SERVICE, ns, name);
    eps = cluster_get(c, KIND_ENDPOINTS, ns, name);
    service = svc ? object_tree(svc) : NULL;
    endpoints = eps ? object_tree(eps) : NULL;
    json_array_foreach (json_at(endpoints, "subsets"), i, subset) {
        uint16_t port = port_of_pods(service, subset, u.port);

        json_array_foreach (json_at(subset, "addresses"), k, a) {
            struct net_addr addr = {0};

            if (net_addr_set(&addr, json_text(a, "ip", ""), port) == 0)
                buf_add(out, &addr, sizeof(addr));
        }
    }
    if (out->n == 0)
        err_set(err, ERR_UNAVAILABLE, "Service '%.*s/%.*s' has no ready endpoint", STR_ARG(ns),
                STR_ARG(name));
    return out->n > 0;
}

static int read_answer(struct trigger *t, struct str body, enum metric_state *state, double *value,
                       struct err *err)
{
    const struct metrics_api *m = (const struct metrics_api *)t;

    *state = METRIC_VALUE;
    return metrics_api_read((enum metrics_api_format)m->format, body, str_of(m->location), value,
                            err);
}

static double combine(struct trigger *t, const double *values, size_t n)
{
    int how = ((const struct metrics_api *)t)->aggregation;
    double x = values[0];

    for (size_t i = 1; i < n; i++) {
        if (how <= 1)
            x += values[i];
        else if (how == 2 ? values[i] > x : values[i] < x)
            x = values[i];
    }
    return how == 0 ? x / (double)n : x;
}

#define POLL_OPS                                                     \
    .peer = "metrics-api", .key = "url", .what = "the right server", \
    .narrow = "ask for a shorter page", .only_200 = true, .url = make_url, .read = read_answer

static const struct polled_ops poll_ops = {POLL_OPS};
static const struct polled_ops poll_all_ops = {POLL_OPS, .addresses = add_endpoints,
                                               .combine = combine};

/* --- the type --- */

static void done(struct trigger *t)
{
    polled_done(t);
    free(((struct metrics_api *)t)->location);
}

static const char *const keys[] = {"url",
                                   "valueLocation",
                                   "targetValue",
                                   "activationTargetValue",
                                   "format",
                                   "unsafeSsl",
                                   "timeout",
                                   "aggregateFromKubeServiceEndpoints",
                                   "aggregationType",
                                   "authMode",
                                   "authModes",
                                   "method",
                                   "keyParamName",
                                   "customHeaders",
                                   NULL};

const struct trigger_type trigger_metrics_api = {.name = "metrics-api",
                                                 .scaler = "metricsAPIScaler",
                                                 .size = sizeof(struct metrics_api),
                                                 .metric_name = metric_name,
                                                 .keys = keys,
                                                 .parse = parse,
                                                 .done = done,
                                                 .value = polled_value,
                                                 POLLED_TRIGGER};
