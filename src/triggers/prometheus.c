/* SPDX-License-Identifier: Apache-2.0
 *
 * prometheus (keda.md 5.1): on the built-in store where serverAddress leads to our own Prometheus
 * API, else over HTTP. */
#include "triggers/prometheus.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "triggers/prometheus_int.h"

static const struct polled_ops poll_ops;

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
    AUTO_FREE char *query = NULL;
    struct buf extra = BUF_INIT;
    struct err bad = ERR_INIT;

    meta_required(t, meta, "serverAddress", &address, err);
    meta_required(t, meta, "query", &query, err);
    meta_threshold(t, meta, "threshold", false, err);
    meta_number(t, meta, "activationThreshold", false, 0, &t->activation, err);
    meta_flag(t, meta, "ignoreNullValues", true, &p->p.ignores_null, err);
    polled_parse(t, &poll_ops, meta, address,
                 HTTP_AUTH_API_KEY | HTTP_AUTH_BASIC | HTTP_AUTH_TLS | HTTP_AUTH_BEARER |
                     HTTP_AUTH_CUSTOM | HTTP_AUTH_OAUTH | HTTP_AUTH_KEY_IS_OPTIONAL,
                 err);
    if (ns)
        buf_printf(&extra, "&namespace=%s", ns);
    parse_parameters(t, meta, &extra, err);
    p->extra = buf_take(&extra, NULL);
    if (err->code)
        return err->code;
    if (promql_parse(str_of(query), &p->parsed, &bad) < 0)
        p->parse_error = mem_strdup(bad.msg);
    if (meta_is_hidden(t, meta, "query")) {
        t->query = mem_strdup("(from the environment)");
        p->hidden = query;
        query = NULL;
    } else if (p->parsed) {
        t->query = (char *)(uintptr_t)promql_text(p->parsed);
    } else {
        t->query = query;
        query = NULL;
    }
    return 0;
}

/* --- where the query goes --- */

static bool is_builtin(const struct trigger *t)
{
    struct prometheus *p = (struct prometheus *)(uintptr_t)t;
    struct http_url u;

    if (home_is_known(&p->home, t->w))
        return p->home.is_ours;
    /* with a path of its own it is not our API */
    if (!t->w->db || !http_url_split(str_of(p->p.address), &u) || u.is_tls ||
        (u.target.n && !str_is(u.target, "/")))
        return home_is_fixed(&p->home, false);
    return home_look(&p->home, t->w, u.host, u.port, &t->w->web);
}

/* --- over HTTP --- */

static void make_url(struct trigger *t, struct buf *out)
{
    const struct prometheus *p = (const struct prometheus *)t;
    char time[TIME_TEXT_MAX];

    buf_printf(out, "%s/api/v1/query?query=", p->p.address);
    http_pct_encode(out, str_of(p->hidden ? p->hidden : t->query));
    buf_printf(out, "&time=%s%s", time_rfc3339(loop_wall_ms(t->w->cluster->loop), time),
               p->extra ? p->extra : "");
}

static int read_answer(struct trigger *t, struct str body, enum metric_state *state, double *value,
                       struct err *err)
{
    return prometheus_read_answer(200, body, ((const struct polled *)t)->ignores_null,
                                  t->is_average, state, value, err);
}

static bool may_be_empty(const struct trigger *t)
{
    const struct prometheus *p = (const struct prometheus *)t;

    return p->parsed && promql_may_be_empty(p->parsed);
}

static const struct polled_ops poll_ops = {
    .peer = "prometheus",
    .key = "serverAddress",
    .what = "a Prometheus",
    .narrow = "narrow the query: put sum() around it",
    .no_series = "the query finds no series there, though pods are ready: are they "
                 "scraped, is the metric's name right?",
    .is_off = is_builtin,
    .may_be_empty = may_be_empty,
    .url = make_url,
    .read = read_answer};

/* --- the type --- */

static void done(struct trigger *t)
{
    struct prometheus *p = (struct prometheus *)t;

    if (p->parsed && !p->hidden)
        t->query = NULL;
    sample_watch_free(p->watch);
    polled_done(t);
    promql_free(p->parsed);
    free(p->hidden);
    free(p->parse_error);
    free(p->extra);
}

static void value(struct trigger *t, int64_t now, const struct trigger_target *target,
                  struct decision_metric *m, char *warning, size_t cap)
{
    if (is_builtin(t))
        prometheus_builtin_value((struct prometheus *)t, now, target, m, warning, cap);
    else
        polled_value(t, now, target, m, warning, cap);
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
                                                .keys = keys,
                                                .parse = parse,
                                                .done = done,
                                                .value = value,
                                                .is_builtin = is_builtin,
                                                POLLED_TRIGGER};
