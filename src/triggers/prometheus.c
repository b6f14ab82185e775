/* SPDX-License-Identifier: Apache-2.0
 *
 * prometheus (keda.md 5.1): on the built-in store where serverAddress leads to our own Prometheus
 * API, else over HTTP. */
#include "triggers/prometheus.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kube/names.h"
#include "triggers/trigger_int.h"

#define TIMEOUT_MS 3000
#define REDIRECTS_MAX 10 /* as Go's client */
#define HEADERS_MAX 32
#define STALE_MS 10000

struct prometheus {
    struct trigger t;
    char *address, *parse_error;
    bool ignore_null;
    struct promql *parsed; /* NULL: not by us; another server may know more */
    char *extra;           /* "&namespace=..&k=v" */
    struct http_header headers[HEADERS_MAX];
    size_t n_headers;
    int64_t timeout_ms;
    struct tls_client *tls;
    /* polling */
    struct loop_timer timer;
    struct http_call *call;
    int64_t got_ms; /* mono */
    enum metric_state state;
    double value;
    char why[240];
    bool has_answer;
};

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

/* A line break would begin another header. */
static bool is_header(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return false;
    return true;
}

static int parse_headers(struct prometheus *p, const json_t *meta, struct err *err)
{
    AUTO_FREE char *text = meta_text(&p->t, meta, "customHeaders");
    struct str rest = str_of(text), part, k, v;
    bool ok;

    while (text && next_pair(&rest, &part, &k, &v, &ok)) {
        if (!ok || !is_header(k) || !is_header(v) || str_chr(k, ':') >= 0 || str_chr(k, ' ') >= 0)
            return meta_wrong(&p->t, err, "customHeaders: '%.*s' is not key=value", STR_ARG(part));
        if (p->n_headers == HEADERS_MAX)
            return meta_wrong(&p->t, err, "more than %d customHeaders", HEADERS_MAX);
        p->headers[p->n_headers++] = (struct http_header){str_of(str_dup(k)), str_of(str_dup(v))};
    }
    return 0;
}

static int check_auth_modes(const struct trigger *t, const json_t *meta, struct err *err)
{
    AUTO_FREE char *many = meta_text(t, meta, "authModes");
    AUTO_FREE char *one = meta_text(t, meta, "authMode");

    if (!many && !one)
        return 0;
    return meta_wrong(t, err,
                      "authModes '%s' is not used by this version; put what is no secret into "
                      "customHeaders",
                      many ? many : one);
}

static int parse(struct trigger *t, const json_t *meta, struct err *err)
{
    struct prometheus *p = (struct prometheus *)t;
    AUTO_FREE char *ns = meta_text(t, meta, "namespace");
    struct buf extra = BUF_INIT;
    struct err bad = ERR_INIT;
    bool insecure = false;

    meta_required(t, meta, "serverAddress", &p->address, err);
    meta_required(t, meta, "query", &t->query, err);
    meta_threshold(t, meta, "threshold", false, err);
    meta_number(t, meta, "activationThreshold", false, 0, &t->activation, err);
    meta_flag(t, meta, "ignoreNullValues", true, &p->ignore_null, err);
    meta_flag(t, meta, "unsafeSsl", false, &insecure, err);
    meta_duration(t, meta, "timeout", TIMEOUT_MS, &p->timeout_ms, err);
    check_auth_modes(t, meta, err);
    parse_headers(p, meta, err);
    if (ns)
        buf_printf(&extra, "&namespace=%s", ns);
    parse_parameters(t, meta, &extra, err);
    p->extra = buf_take(&extra, NULL);
    if (err->code)
        return err->code;
    if (promql_parse(str_of(t->query), &p->parsed, &bad) < 0)
        p->parse_error = mem_strdup(bad.msg);
    return insecure ? tls_client_new(&(struct tls_client_options){.insecure = true}, &p->tls, err)
                    : 0;
}

/* --- where the query goes --- */

static bool same_addr(const struct net_addr *a, const struct net_addr *b)
{
    char x[64], y[64];

    return strcmp(net_addr_text(a, x), net_addr_text(b, y)) == 0;
}

static bool is_builtin(const struct trigger *t)
{
    const struct prometheus *p = (const struct prometheus *)t;
    struct net_addr a = {0};
    struct http_url u;
    char ip[64];

    /* with a path of its own it is not our API */
    if (!t->w->db || !http_url_split(str_of(p->address), &u) || u.is_tls ||
        (u.target.n && !str_is(u.target, "/")))
        return false;
    snprintf(ip, sizeof(ip), "%.*s", (int)(u.host.n < 60 ? u.host.n : 60), u.host.p);
    if (net_addr_set(&a, ip, u.port) < 0 &&
        names_resolve(t->w->cluster, u.host, u.port, &a, NULL) < 0)
        return false;
    return same_addr(&a, &t->w->web);
}

/* --- on the built-in store --- */

static bool is_of_target(void *ctx, const struct series *s)
{
    const struct trigger_target *t = ctx;

    return str_eq(series_label(s, "namespace"), t->ns) &&
           str_eq(series_label(s, "deployment"), t->name);
}

struct spanning {
    const struct trigger_target *target;
    char other[120];
};

static void look_for_others(void *arg, struct series *s)
{
    struct spanning *x = arg;
    struct str d = series_label(s, "deployment");

    if (d.n && !x->other[0] && !is_of_target((void *)(uintptr_t)x->target, s))
        snprintf(x->other, sizeof(x->other), "%.*s/%.*s", STR_ARG(series_label(s, "namespace")),
                 STR_ARG(d));
}

static void sum_up(const struct prometheus *t, const struct promql_result *r,
                   const struct trigger_target *target, struct decision_metric *m)
{
    double sum = 0;

    if (r->type == PROMQL_SCALAR) {
        sum = r->scalar;
    } else if (r->type != PROMQL_VECTOR) {
        trigger_unknown(m, "the query yields neither a scalar nor an instant vector");
        return;
    } else if (r->n == 0) {
        if (promql_may_be_empty(t->parsed) || target->ready == 0) {
            m->state = METRIC_EMPTY;
            m->value = 0;
        } else {
            trigger_unknown(
                m, "the query finds no series, though pods are ready: is the metric's name "
                   "right, do the pods have "
                   "prometheus.io/scrape?");
        }
        return;
    } else if (r->n > 1 && !t->t.is_average) {
        snprintf(m->why, sizeof(m->why),
                 "the query returned %zu series, a Value target needs one: put sum() around it",
                 r->n);
        m->state = METRIC_UNKNOWN;
        return;
    } else {
        for (size_t i = 0; i < r->n; i++)
            sum += r->vector[i].v;
    }
    if (!isfinite(sum)) {
        trigger_unknown(m, isnan(sum) ? "the value is NaN" : "the value is infinite");
        return;
    }
    m->state = METRIC_VALUE;
    m->value = sum;
}

static void builtin_value(struct prometheus *t, int64_t now, const struct trigger_target *target,
                          struct decision_metric *m, char *warning, size_t cap)
{
    struct promql_options o = {.lookback_ms = 0};
    struct promql_result r;
    struct err err = ERR_INIT;
    struct spanning x = {.target = target};
    bool bare;

    if (!t->parsed) {
        trigger_unknown(m, t->parse_error);
        return;
    }
    bare = promql_is_bare_selector(t->parsed);
    if (bare && t->t.is_average) {
        o.filter = is_of_target;
        o.filter_ctx = (void *)(uintptr_t)target;
    }
    if (promql_instant(t->t.w->db, t->parsed, now, &o, &r, &err) < 0) {
        trigger_unknown(m, err.msg);
        return;
    }
    sum_up(t, &r, target, m);
    promql_result_done(&r);
    if (!bare) {
        promql_each_series(t->t.w->db, t->parsed, look_for_others, &x);
        if (x.other[0])
            snprintf(warning, cap,
                     "query '%.100s' counts pods of %s too: add {namespace=\"%.*s\", "
                     "deployment=\"%.*s\"}",
                     t->t.query, x.other, STR_ARG(target->ns), STR_ARG(target->name));
    }
}

/* --- over HTTP --- */

static int refused(int status, struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "it answered HTTP %d: %s", status,
                   status == 401 || status == 403 ? "check authModes and the credentials"
                   : status == 404 ? "check serverAddress; /api/v1/query is not there"
                   : status == 429 ? "it is asked too often; raise pollingInterval"
                   : status >= 500 ? "it is not well; see its log"
                   : status >= 300 && status < 400 ? "it redirects too often; check serverAddress"
                                                   : "it refuses the query; try it there by hand");
}

/* data.result -> its list; NULL with no error: there is none, which is an empty answer. */
static int read_result(const json_t *o, const json_t **ret, struct err *err)
{
    const json_t *result;

    *ret = NULL;
    if (!json_is_object(o))
        return err_set(err, ERR_BAD_INPUT, "the answer is no JSON object; is that a Prometheus?");
    if (strcmp(json_text(o, "status", "success"), "success") != 0)
        return err_set(err, ERR_BAD_INPUT, "it says %.60s: %.120s; try the query there by hand",
                       json_text(o, "errorType", "error"), json_text(o, "error", "?"));
    result = json_at(o, "data.result");
    if (!result || json_is_null(result))
        return 0;
    if (!json_is_array(result))
        return err_set(err, ERR_BAD_INPUT, "data.result is no list; is that a Prometheus?");
    if (json_array_size(result) > 0 && !json_is_object(json_array_get(result, 0)))
        return err_set(err, ERR_BAD_INPUT,
                       "the query yields a scalar or string: put vector() around it");
    *ret = result;
    return 0;
}

/* 1: a value; 0: the series has none; negative: an error. */
static int read_sample(const json_t *series, double *ret, struct err *err)
{
    const json_t *v = json_object_get(series, "value");
    const char *text;

    if (json_array_size(v) == 0)
        return 0;
    if (json_array_size(v) < 2)
        return err_set(err, ERR_BAD_INPUT, "a sample has no value; is that a Prometheus?");
    *ret = -1;
    if (json_is_null(json_array_get(v, 1)))
        return 1;
    text = json_string_value(json_array_get(v, 1));
    if (!text || !str_to_double(str_of(text), ret))
        return err_set(err, ERR_BAD_INPUT,
                       "a sample's value is not a number in quotes; is that a Prometheus?");
    return 1;
}

int prometheus_read_answer(int http_status, struct str body, bool ignore_null, bool is_average,
                           enum metric_state *state, double *value, struct err *err)
{
    AUTO_JSON json_t *o = NULL;
    const json_t *result, *e;
    double sum = 0, x;
    bool has_value = false;
    size_t i;
    int r;

    *state = METRIC_EMPTY;
    *value = 0;
    if (http_status < 200 || http_status > 299)
        return refused(http_status, err);
    if (json_parse(body, &o, NULL) < 0)
        return err_set(err, ERR_BAD_INPUT, "the answer is not JSON; is that a Prometheus?");
    if ((r = read_result(o, &result, err)) < 0)
        return r;
    if (json_array_size(result) > 1 && !is_average)
        return err_set(err, ERR_INVALID,
                       "the query returned %zu series, a Value target needs one: put sum() around "
                       "it",
                       json_array_size(result));
    json_array_foreach ((json_t *)(uintptr_t)result, i, e) {
        if ((r = read_sample(e, &x, err)) < 0)
            return r;
        if (r == 0 && !ignore_null)
            return err_set(err, ERR_NOT_FOUND, "a series has no value (ignoreNullValues is false)");
        if (r > 0) {
            sum += x;
            has_value = true;
        }
    }
    if (json_array_size(result) == 0 && !ignore_null)
        return err_set(err, ERR_NOT_FOUND, "the query found no series (ignoreNullValues is false)");
    if (!isfinite(sum))
        return err_set(err, ERR_INVALID,
                       "the value is %s, which says nothing of the load: look at "
                       "the query's divisions",
                       isnan(sum) ? "NaN" : "infinite");
    *state = has_value ? METRIC_VALUE : METRIC_EMPTY;
    *value = sum;
    return 0;
}

/* What to do about a call that brought no answer. */
static const char *advice(const struct err *err)
{
    if (strstr(err->msg, "certificate") || strstr(err->msg, "TLS"))
        return "unsafeSsl: \"true\" skips the check of its certificate";
    switch (err->code) {
    case ERR_TIMEOUT:
        return "set timeout, or make the query cheaper";
    case ERR_LIMIT:
        return strstr(err->msg, "redirect") ? "check serverAddress"
                                            : "narrow the query: put sum() around it";
    case ERR_BAD_INPUT:
        return "check serverAddress: is that a Prometheus?";
    default:
        return "check serverAddress, and whether it runs";
    }
}

static int64_t mono_ms(const struct prometheus *p)
{
    return loop_mono_ns(p->t.w->cluster->loop) / 1000000;
}

static void on_answer(void *arg, const struct http_response *r, struct str body,
                      const struct err *err)
{
    struct prometheus *p = arg;
    struct err bad = ERR_INIT;
    enum metric_state state;
    double value;

    p->call = NULL;
    p->got_ms = mono_ms(p);
    p->has_answer = true;
    p->state = METRIC_UNKNOWN;
    if (err) {
        snprintf(p->why, sizeof(p->why), "prometheus at %.70s: %.100s; %.60s", p->address, err->msg,
                 advice(err));
    } else if (prometheus_read_answer(r->status, body, p->ignore_null, p->t.is_average, &state,
                                      &value, &bad) < 0) {
        snprintf(p->why, sizeof(p->why), "prometheus at %.80s: %.140s", p->address, bad.msg);
    } else {
        p->state = state;
        p->value = value;
        p->why[0] = '\0';
    }
    if (p->t.changed)
        p->t.changed(p->t.changed_arg);
}

static void poll(void *arg)
{
    struct prometheus *p = arg;
    struct loop *loop = p->t.w->cluster->loop;
    struct http_headers headers = {p->headers, p->n_headers};
    struct buf url = BUF_INIT;
    char time[TIME_TEXT_MAX];

    loop_timer_start(&p->timer, p->t.poll_ms);
    if (is_builtin(&p->t)) { /* an answer of another time is none */
        p->has_answer = false;
        return;
    }
    if (p->call)
        return;
    buf_printf(&url, "%s/api/v1/query?query=", p->address);
    http_pct_encode(&url, str_of(p->t.query));
    buf_printf(&url, "&time=%s%s", time_rfc3339(loop_wall_ms(loop), time), p->extra);
    p->call = http_client_send(p->t.w->http,
                               &(struct http_call_options){.url = buf_cstr(&url),
                                                           .headers = &headers,
                                                           .timeout_ms = p->timeout_ms,
                                                           .max_body = PROMETHEUS_ANSWER_MAX,
                                                           .max_redirects = REDIRECTS_MAX,
                                                           .tls = p->tls,
                                                           .arg = p,
                                                           .on_all = on_answer});
    buf_done(&url);
}

/* An empty answer of somebody else's Prometheus: 0 only where that can be meant. */
static void polled_value(const struct prometheus *p, const struct trigger_target *target,
                         struct decision_metric *m)
{
    int64_t stale = p->t.poll_ms * 3 > STALE_MS ? p->t.poll_ms * 3 : STALE_MS;

    stale += p->timeout_ms;
    m->state = p->state;
    m->value = p->value;
    snprintf(m->why, sizeof(m->why), "%s", p->why);
    if (p->state == METRIC_EMPTY && target->ready > 0 &&
        !(p->parsed && promql_may_be_empty(p->parsed)))
        trigger_unknown(m, "the query finds no series there, though pods are ready: are they "
                           "scraped, is the metric's name right?");
    else if (mono_ms(p) - p->got_ms > stale)
        trigger_unknown(m, "the last answer is too old");
}

/* --- the type --- */

static void start(struct trigger *t)
{
    struct prometheus *p = (struct prometheus *)t;

    p->state = METRIC_UNKNOWN;
    loop_timer_init(&p->timer, t->w->cluster->loop, poll, p);
    loop_timer_start(&p->timer, 0);
}

static void done(struct trigger *t)
{
    struct prometheus *p = (struct prometheus *)t;

    if (p->timer.loop)
        loop_timer_stop(&p->timer);
    http_call_cancel(p->call);
    promql_free(p->parsed);
    tls_client_free(p->tls);
    for (size_t i = 0; i < p->n_headers; i++) {
        free((char *)(uintptr_t)p->headers[i].name.p);
        free((char *)(uintptr_t)p->headers[i].value.p);
    }
    free(p->address);
    free(p->parse_error);
    free(p->extra);
}

static bool is_waiting(const struct trigger *t)
{
    return !((const struct prometheus *)t)->has_answer && !is_builtin(t);
}

static void value(struct trigger *t, int64_t now, const struct trigger_target *target,
                  struct decision_metric *m, char *warning, size_t cap)
{
    struct prometheus *p = (struct prometheus *)t;

    if (is_builtin(t))
        builtin_value(p, now, target, m, warning, cap);
    else
        polled_value(p, target, m);
}

const struct trigger_type trigger_prometheus = {.name = "prometheus",
                                                .size = sizeof(struct prometheus),
                                                .is_external = true,
                                                .parse = parse,
                                                .start = start,
                                                .done = done,
                                                .value = value,
                                                .is_waiting = is_waiting,
                                                .is_builtin = is_builtin};
