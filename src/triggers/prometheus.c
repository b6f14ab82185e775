/* SPDX-License-Identifier: Apache-2.0
 *
 * prometheus (keda.md 5.1): on the built-in store where serverAddress leads to our own Prometheus
 * API, else over HTTP. */
#include "triggers/prometheus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kube/names.h"
#include "triggers/prometheus_int.h"

static const struct http_poll_ops poll_ops;

/* --- metadata --- */

/* "k=v,k2=v2": exactly one '=' in each. */
static bool next_pair(struct str *rest, struct str *part, struct str *k, struct str *v, bool *ok)
{
    ptrdiff_t eq;

    if (!str_split(rest, ',', part))
        return false;
    eq = str_chr(*part, '=');
    *ok = eq >= 0 && str_chr(str_skip(*part, (size_t)eq + 1), '=') < 0;
    if (*ok) {
        *k = str_trim((struct str){part->p, (size_t)eq});
        *v = str_trim(str_skip(*part, (size_t)eq + 1));
        *ok = k->n > 0;
    }
    return true;
}

static int parse_parameters(const struct trigger *t, const json_t *meta, struct buf *extra,
                            struct err *err)
{
    AUTO_FREE char *text = meta_text(t, meta, "queryParameters");
    struct str rest = str_of(text), part, k, v;
    bool ok;

    while (text && next_pair(&rest, &part, &k, &v, &ok)) {
        if (!ok)
            return meta_wrong(t, err, "queryParameters: '%.*s' is not key=value", STR_ARG(part));
        buf_add_char(extra, '&');
        http_pct_encode(extra, k);
        buf_add_char(extra, '=');
        http_pct_encode(extra, v);
    }
    return 0;
}

static int parse(struct trigger *t, const json_t *meta, struct err *err)
{
    struct prometheus *p = (struct prometheus *)t;
    AUTO_FREE char *ns = meta_text(t, meta, "namespace");
    AUTO_FREE char *address = NULL;
    struct buf extra = BUF_INIT;
    struct err bad = ERR_INIT;

    meta_required(t, meta, "serverAddress", &address, err);
    meta_required(t, meta, "query", &p->text, err);
    meta_threshold(t, meta, "threshold", false, err);
    meta_number(t, meta, "activationThreshold", false, 0, &t->activation, err);
    meta_flag(t, meta, "ignoreNullValues", true, &p->poll.ignores_null, err);
    poll_parse(&p->poll, t, &poll_ops, meta, address,
               HTTP_AUTH_API_KEY | HTTP_AUTH_BASIC | HTTP_AUTH_TLS | HTTP_AUTH_BEARER |
                   HTTP_AUTH_CUSTOM | HTTP_AUTH_OAUTH | HTTP_AUTH_KEY_IS_OPTIONAL,
               err);
    if (ns)
        buf_printf(&extra, "&namespace=%s", ns);
    parse_parameters(t, meta, &extra, err);
    p->extra = buf_take(&extra, NULL);
    if (err->code)
        return err->code;
    t->query = mem_strdup(meta_is_hidden(t, meta, "query") ? "(from the environment)" : p->text);
    if (promql_parse(str_of(p->text), &p->parsed, &bad) < 0)
        p->parse_error = mem_strdup(bad.msg);
    return 0;
}

/* --- where the query goes --- */

static bool same_addr(const struct net_addr *a, const struct net_addr *b)
{
    char x[64], y[64];

    return strcmp(net_addr_text(a, x), net_addr_text(b, y)) == 0;
}

/* Asked at every look, and nearly always answered as before: objects are read only when they have
 * changed. */
static bool resolve(struct prometheus *p, const struct http_url *u)
{
    struct names_seen now = names_now(p->t.w->cluster, u->host);
    char ip[64];

    if (p->is_resolved && now.service == p->seen.service && now.endpoints == p->seen.endpoints)
        return p->resolved.len > 0;
    p->resolved = (struct net_addr){0};
    snprintf(ip, sizeof(ip), "%.*s", (int)(u->host.n < 60 ? u->host.n : 60), u->host.p);
    if (net_addr_set(&p->resolved, ip, u->port) < 0 &&
        names_resolve(p->t.w->cluster, u->host, u->port, &p->resolved, NULL) < 0)
        p->resolved.len = 0;
    p->seen = now;
    p->is_resolved = true;
    return p->resolved.len > 0;
}

static bool is_builtin(const struct trigger *t)
{
    struct prometheus *p = (struct prometheus *)(uintptr_t)t;
    struct http_url u;

    /* with a path of its own it is not our API */
    if (!t->w->db || !http_url_split(str_of(p->poll.address), &u) || u.is_tls ||
        (u.target.n && !str_is(u.target, "/")))
        return false;
    return resolve(p, &u) && same_addr(&p->resolved, &t->w->web);
}

/* --- over HTTP --- */

static void make_url(struct trigger *t, struct buf *out)
{
    struct prometheus *p = (struct prometheus *)t;
    char time[TIME_TEXT_MAX];

    buf_printf(out, "%s/api/v1/query?query=", p->poll.address);
    http_pct_encode(out, str_of(p->text));
    buf_printf(out, "&time=%s%s", time_rfc3339(loop_wall_ms(t->w->cluster->loop), time), p->extra);
}

static int read_answer(struct trigger *t, struct str body, enum metric_state *state, double *value,
                       struct err *err)
{
    const struct prometheus *p = (const struct prometheus *)t;

    return prometheus_read_answer(200, body, p->poll.ignores_null, t->is_average, state, value,
                                  err);
}

static const struct http_poll_ops poll_ops = {.peer = "prometheus",
                                              .key = "serverAddress",
                                              .what = "a Prometheus",
                                              .narrow = "narrow the query: put sum() around it",
                                              .is_off = is_builtin,
                                              .url = make_url,
                                              .read = read_answer};

/* An empty answer of somebody else's Prometheus: 0 only where that can be meant. */
static void polled_value(const struct prometheus *p, const struct trigger_target *target,
                         struct decision_metric *m)
{
    poll_value(&p->poll, m);
    if (m->state == METRIC_EMPTY && target->ready > 0 &&
        !(p->parsed && promql_may_be_empty(p->parsed)))
        trigger_unknown(m, "the query finds no series there, though pods are ready: are they "
                           "scraped, is the metric's name right?");
}

/* --- the type --- */

static void start(struct trigger *t)
{
    poll_start(&((struct prometheus *)t)->poll);
}

static void done(struct trigger *t)
{
    struct prometheus *p = (struct prometheus *)t;

    sample_watch_free(p->watch);
    p->watch = NULL;
    poll_done(&p->poll);
    promql_free(p->parsed);
    free(p->text);
    free(p->parse_error);
    free(p->extra);
}

static bool is_waiting(const struct trigger *t)
{
    return poll_is_waiting(&((const struct prometheus *)t)->poll) && !is_builtin(t);
}

static const struct http_poll *poll_of(const struct trigger *t)
{
    return &((const struct prometheus *)t)->poll;
}

static void value(struct trigger *t, int64_t now, const struct trigger_target *target,
                  struct decision_metric *m, char *warning, size_t cap)
{
    struct prometheus *p = (struct prometheus *)t;

    if (is_builtin(t))
        prometheus_builtin_value(p, now, target, m, warning, cap);
    else
        polled_value(p, target, m);
}

static const char *const keys[] = {"serverAddress",
                                   "query",
                                   "threshold",
                                   "activationThreshold",
                                   "namespace",
                                   "queryParameters",
                                   "customHeaders",
                                   "ignoreNullValues",
                                   "unsafeSsl",
                                   "timeout",
                                   "authModes",
                                   "authMode",
                                   "method",
                                   "keyParamName",
                                   "awsRegion",
                                   "identityOwner",
                                   NULL};

const struct trigger_type trigger_prometheus = {.name = "prometheus",
                                                .scaler = "prometheusScaler",
                                                .size = sizeof(struct prometheus),
                                                .is_external = true,
                                                .keys = keys,
                                                .parse = parse,
                                                .start = start,
                                                .done = done,
                                                .value = value,
                                                .is_waiting = is_waiting,
                                                .is_builtin = is_builtin,
                                                .poll = poll_of};
