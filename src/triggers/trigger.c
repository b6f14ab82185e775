/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/trigger.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "codec/quantity.h"
#include "kube/names.h"
#include "triggers/metric_name.h"

#define HTTP_TIMEOUT_MS 3000
#define ANSWER_MAX ((size_t)4 << 20)

enum type { TYPE_PROMETHEUS, TYPE_RESOURCE };

struct trigger {
    const struct trigger_world *w;
    enum type type;
    char *ns, *name, *address, *query, *resource, *metric_type;
    int64_t threshold_milli;
    double threshold, activation;
    bool is_average, ignore_null;
    struct promql *parsed;
    char *parse_error;
    char *extra; /* &namespace=..&k=v */
    char *bearer, *basic;
    struct http_header headers[16];
    size_t n_headers;
    int64_t timeout_ms;
    struct tls_client *tls;
    /* polling */
    struct loop_timer timer;
    struct http_call *call;
    int64_t poll_ms, got_ms; /* mono */
    enum metric_state state;
    double value;
    char why[240];
    bool has_answer;
};

static void poll(void *arg);

/* --- metadata --- */

static const char *text_at(const json_t *meta, const char *key)
{
    const char *s = json_string_value(json_object_get(meta, key));

    return s && *s ? s : NULL;
}

static int number_at(const json_t *meta, const char *key, bool required, double def, double *ret,
                     struct err *err)
{
    const char *s = text_at(meta, key);
    struct str t = str_trim(str_of(s ? s : ""));

    *ret = def;
    if (!s)
        return required ? err_set(err, ERR_INVALID,
                                  "error parsing prometheus metadata: missing required parameter "
                                  "\"%s\" in [triggerMetadata]",
                                  key)
                        : 0;
    if (t.n && (t.p[0] == '+' || t.p[0] == '.'))
        return err_set(err, ERR_INVALID,
                       "error parsing prometheus metadata: unable to set param \"%s\" value \"%s\"",
                       key, s);
    if (!str_to_double(t, ret)) {
        struct quantity q;

        if (quantity_parse(t, &q, NULL) < 0)
            return err_set(err, ERR_INVALID,
                           "error parsing prometheus metadata: unable to set param \"%s\" value "
                           "\"%s\": a number is expected",
                           key, s);
        *ret = quantity_double(&q);
    }
    return 0;
}

static bool flag_at(const json_t *meta, const char *key, bool def)
{
    const char *s = text_at(meta, key);

    return !s ? def
              : strcmp(s, "true") == 0 || strcmp(s, "True") == 0 || strcmp(s, "1") == 0 ||
                    strcmp(s, "t") == 0;
}

static void add_header(struct trigger *t, const char *name, const char *value)
{
    if (t->n_headers < ARRAY_LEN(t->headers))
        t->headers[t->n_headers++] =
            (struct http_header){str_of(mem_strdup(name)), str_of(mem_strdup(value))};
}

/* "k=v,k2=v2" */
static int parse_map(struct trigger *t, const char *text, bool headers, struct buf *query,
                     struct err *err)
{
    struct str rest = str_of(text), part;

    while (str_split(&rest, ',', &part)) {
        ptrdiff_t eq = str_chr(part, '=');
        struct str k, v;

        if (eq < 0)
            return err_set(err, ERR_INVALID,
                           "error parsing prometheus metadata: '%.*s' is not key=value",
                           STR_ARG(part));
        k = str_trim((struct str){part.p, (size_t)eq});
        v = str_trim(str_skip(part, (size_t)eq + 1));
        if (headers) {
            AUTO_FREE char *name = str_dup(k);
            AUTO_FREE char *value = str_dup(v);

            add_header(t, name, value);
        } else {
            buf_add_char(query, '&');
            http_pct_encode(query, k);
            buf_add_char(query, '=');
            http_pct_encode(query, v);
        }
    }
    return 0;
}

/* --- where the query goes --- */

static bool same_addr(const struct net_addr *a, const struct net_addr *b)
{
    char x[64], y[64];

    return strcmp(net_addr_text(a, x), net_addr_text(b, y)) == 0;
}

bool trigger_is_builtin(const struct trigger *t)
{
    struct str u, host;
    struct net_addr a = {0};
    ptrdiff_t slash, colon;
    uint64_t port = 80;
    char ip[64];

    if (t->type != TYPE_PROMETHEUS || !t->w->db)
        return false;
    u = str_of(t->address);
    if (!str_starts(u, STR("http://")))
        return false;
    u = str_skip(u, 7);
    slash = str_chr(u, '/');
    host = slash < 0 ? u : (struct str){u.p, (size_t)slash};
    colon = str_chr(host, ':');
    if (colon >= 0) {
        if (!str_to_u64(str_skip(host, (size_t)colon + 1), &port))
            return false;
        host.n = (size_t)colon;
    }
    snprintf(ip, sizeof(ip), "%.*s", (int)(host.n < 60 ? host.n : 60), host.p);
    if (net_addr_set(&a, ip, (uint16_t)port) < 0 &&
        names_resolve(t->w->cluster, host, (uint16_t)port, &a, NULL) < 0)
        return false;
    return same_addr(&a, &t->w->web);
}

/* --- making --- */

static int new_prometheus(struct trigger *t, const json_t *meta, int index, struct err *err)
{
    const char *address = text_at(meta, "serverAddress"), *query = text_at(meta, "query"), *more;
    struct err bad = ERR_INIT;
    struct buf extra = BUF_INIT;
    double threshold;
    int r = 0;

    if (!address)
        return err_set(err, ERR_INVALID,
                       "error parsing prometheus metadata: missing required parameter "
                       "\"serverAddress\" in [triggerMetadata]");
    if (!query)
        return err_set(err, ERR_INVALID,
                       "error parsing prometheus metadata: missing required parameter \"query\" in "
                       "[triggerMetadata]");
    if ((r = number_at(meta, "threshold", true, 0, &threshold, err)) < 0 ||
        (r = number_at(meta, "activationThreshold", false, 0, &t->activation, err)) < 0)
        return r;
    t->threshold = threshold;
    t->threshold_milli = llround(threshold * 1000);
    if (t->threshold_milli <= 0)
        return err_set(err, ERR_INVALID, "the threshold must be greater than 0, it is %g",
                       threshold);
    t->address = mem_strdup(address);
    t->query = mem_strdup(query);
    t->name = trigger_metric_name_of("prometheus", index, meta, str_of(t->ns), NULL);
    t->ignore_null = flag_at(meta, "ignoreNullValues", true);
    t->timeout_ms = HTTP_TIMEOUT_MS;
    if ((more = text_at(meta, "namespace")))
        buf_printf(&extra, "&namespace=%s", more);
    if ((more = text_at(meta, "queryParameters")))
        r = parse_map(t, more, false, &extra, err);
    if (r == 0 && (more = text_at(meta, "customHeaders")))
        r = parse_map(t, more, true, NULL, err);
    t->extra = buf_take(&extra, NULL);
    if (r < 0)
        return r;
    if (flag_at(meta, "unsafeSsl", false))
        tls_client_new(&(struct tls_client_options){.insecure = true}, &t->tls, NULL);
    if (promql_parse(str_of(query), &t->parsed, &bad) < 0)
        t->parse_error = mem_strdup(bad.msg);
    return 0;
}

static int new_resource(struct trigger *t, const json_t *meta, const char *type,
                        const char *metric_type, struct err *err)
{
    const char *value = text_at(meta, "value");

    if (!value)
        return err_set(
            err, ERR_INVALID,
            "error parsing %s metadata: missing required parameter \"value\" in [triggerMetadata]",
            type);
    if (!metric_type ||
        (strcmp(metric_type, "Utilization") != 0 && strcmp(metric_type, "AverageValue") != 0))
        return err_set(
            err, ERR_INVALID,
            "unsupported metric type for %s: metricType must be Utilization or AverageValue", type);
    t->type = TYPE_RESOURCE;
    t->resource = mem_strdup(type);
    t->query = mem_strdup(value);
    t->metric_type = mem_strdup(metric_type);
    t->name = mem_strdup(type);
    return 0;
}

int trigger_new(const struct trigger_world *w, struct str ns, const json_t *spec, int index,
                int64_t poll_ms, struct trigger **ret, struct err *err)
{
    const char *type = json_text(spec, "type", ""),
               *metric_type = json_text(spec, "metricType", NULL);
    const json_t *meta = json_object_get(spec, "metadata");
    struct trigger *t = mem_zalloc(sizeof(*t));
    int r;

    t->w = w;
    t->ns = str_dup(ns);
    t->poll_ms = poll_ms;
    t->is_average = !metric_type || !*metric_type || strcmp(metric_type, "AverageValue") == 0;
    t->state = METRIC_UNKNOWN;
    snprintf(t->why, sizeof(t->why), "no answer yet");
    loop_timer_init(&t->timer, w->cluster->loop, poll, t);
    if (strcmp(type, "prometheus") == 0)
        r = metric_type && strcmp(metric_type, "Utilization") == 0
                ? err_set(err, ERR_INVALID,
                          "error getting scaler metric type: metricType Utilization is only for "
                          "cpu and memory")
                : new_prometheus(t, meta, index, err);
    else if (strcmp(type, "cpu") == 0 || strcmp(type, "memory") == 0)
        r = new_resource(t, meta, type, metric_type, err);
    else
        r = err_set(err, ERR_INVALID,
                    "no scaler found for type: %s; those that exist here: prometheus, cpu, memory",
                    type);
    if (r < 0) {
        trigger_free(t);
        return r;
    }
    if (t->type == TYPE_PROMETHEUS)
        loop_timer_start(&t->timer, 0);
    *ret = t;
    return 0;
}

void trigger_free(struct trigger *t)
{
    if (!t)
        return;
    loop_timer_stop(&t->timer);
    http_call_cancel(t->call);
    promql_free(t->parsed);
    tls_client_free(t->tls);
    for (size_t i = 0; i < t->n_headers; i++) {
        free((char *)(uintptr_t)t->headers[i].name.p);
        free((char *)(uintptr_t)t->headers[i].value.p);
    }
    free(t->ns);
    free(t->name);
    free(t->address);
    free(t->query);
    free(t->resource);
    free(t->metric_type);
    free(t->parse_error);
    free(t->extra);
    free(t);
}

const char *trigger_metric_name(const struct trigger *t)
{
    return t->name;
}

int64_t trigger_threshold_milli(const struct trigger *t)
{
    return t->threshold_milli;
}

bool trigger_is_average(const struct trigger *t)
{
    return t->is_average;
}

bool trigger_is_external(const struct trigger *t)
{
    return t->type != TYPE_RESOURCE;
}

bool trigger_is_waiting(const struct trigger *t)
{
    return t->type == TYPE_PROMETHEUS && !t->has_answer && !trigger_is_builtin(t);
}

double trigger_activation(const struct trigger *t)
{
    return t->activation;
}

json_t *trigger_metric_spec(const struct trigger *t, const char *so_name)
{
    struct quantity q = quantity_of_double(t->threshold);
    char text[64];

    if (t->type == TYPE_RESOURCE) {
        int64_t n = 0;

        str_to_i64(str_of(t->query), &n);
        if (strcmp(t->metric_type, "Utilization") == 0)
            return json_pack("{s:s,s:{s:s,s:{s:s,s:I}}}", "type", "Resource", "resource", "name",
                             t->resource, "target", "type", "Utilization", "averageUtilization",
                             (json_int_t)n);
        return json_pack("{s:s,s:{s:s,s:{s:s,s:s}}}", "type", "Resource", "resource", "name",
                         t->resource, "target", "type", "AverageValue", "averageValue", t->query);
    }
    return json_pack("{s:s,s:{s:{s:s,s:{s:{s:s}}},s:{s:s,s:s}}}", "type", "External", "external",
                     "metric", "name", t->name, "selector", "matchLabels",
                     "scaledobject.keda.sh/name", so_name, "target", "type",
                     t->is_average ? "AverageValue" : "Value",
                     t->is_average ? "averageValue" : "value", quantity_text(&q, text));
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

static void unknown(struct decision_metric *m, const char *why)
{
    m->state = METRIC_UNKNOWN;
    snprintf(m->why, sizeof(m->why), "%s", why);
}

static void sum_up(const struct trigger *t, const struct promql_result *r,
                   const struct trigger_target *target, struct decision_metric *m)
{
    double sum = 0;

    if (r->type == PROMQL_SCALAR) {
        sum = r->scalar;
    } else if (r->type != PROMQL_VECTOR) {
        unknown(m, "the query yields neither a scalar nor an instant vector");
        return;
    } else if (r->n == 0) {
        if (promql_may_be_empty(t->parsed) || target->ready == 0) {
            m->state = METRIC_EMPTY;
            m->value = 0;
        } else {
            unknown(m, "the query finds no series, though pods are ready: is the metric's name "
                       "right, do the pods have "
                       "prometheus.io/scrape?");
        }
        return;
    } else if (r->n > 1 && !t->is_average) {
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
        unknown(m, isnan(sum) ? "the value is NaN" : "the value is infinite");
        return;
    }
    m->state = METRIC_VALUE;
    m->value = sum;
}

static void builtin_value(struct trigger *t, int64_t now, const struct trigger_target *target,
                          struct decision_metric *m, char *warning, size_t cap)
{
    struct promql_options o = {.lookback_ms = 0};
    struct promql_result r;
    struct err err = ERR_INIT;
    struct spanning x = {.target = target};
    bool bare;

    if (!t->parsed) {
        unknown(m, t->parse_error);
        return;
    }
    bare = promql_is_bare_selector(t->parsed);
    if (bare && t->is_average) {
        o.filter = is_of_target;
        o.filter_ctx = (void *)(uintptr_t)target;
    }
    if (promql_instant(t->w->db, t->parsed, now, &o, &r, &err) < 0) {
        unknown(m, err.msg);
        return;
    }
    sum_up(t, &r, target, m);
    promql_result_done(&r);
    if (!bare) {
        promql_each_series(t->w->db, t->parsed, look_for_others, &x);
        if (x.other[0])
            snprintf(warning, cap,
                     "query '%.100s' counts pods of %s too: add {namespace=\"%.*s\", "
                     "deployment=\"%.*s\"}",
                     t->query, x.other, STR_ARG(target->ns), STR_ARG(target->name));
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

int prometheus_read_answer(int http_status, struct str body, bool ignore_null, bool is_average,
                           enum metric_state *state, double *value, struct err *err)
{
    AUTO_JSON json_t *o = NULL;
    const json_t *result, *v, *e;
    double sum = 0;
    size_t i, n;

    *state = METRIC_VALUE;
    *value = 0;
    if (http_status < 200 || http_status > 299)
        return refused(http_status, err);
    if (json_parse(body, &o, err) < 0) {
        err_wrap(err, "the answer is not JSON; is that a Prometheus");
        return ERR_BAD_INPUT;
    }
    if (strcmp(json_text(o, "status", "success"), "success") != 0)
        return err_set(err, ERR_BAD_INPUT, "prometheus says %s: %s",
                       json_text(o, "errorType", "error"), json_text(o, "error", "?"));
    result = json_at(o, "data.result");
    if (result && !json_is_null(result) && !json_is_array(result))
        return err_set(err, ERR_BAD_INPUT, "data.result is no list");
    n = json_array_size(result);
    if (json_is_array(result) && n > 0 && !json_is_object(json_array_get(result, 0)))
        return err_set(err, ERR_BAD_INPUT,
                       "the query yields a scalar or string: wrap it in vector()");
    if (n == 0) {
        *state = METRIC_EMPTY;
        return ignore_null ? 0
                           : err_set(err, ERR_NOT_FOUND,
                                     "the query found no series (ignoreNullValues is false)");
    }
    if (n > 1 && !is_average)
        return err_set(err, ERR_INVALID,
                       "the query returned %zu series, one is needed: put sum() around it", n);
    json_array_foreach ((json_t *)result, i, e) {
        const char *text;
        double x;

        v = json_object_get(e, "value");
        if (json_array_size(v) == 0) {
            *state = METRIC_EMPTY;
            if (!ignore_null)
                return err_set(err, ERR_NOT_FOUND,
                               "a series has no value (ignoreNullValues is false)");
            continue;
        }
        if (json_array_size(v) < 2)
            return err_set(err, ERR_BAD_INPUT, "a sample has no value");
        if (json_is_null(json_array_get(v, 1))) {
            sum += -1;
            continue;
        }
        text = json_string_value(json_array_get(v, 1));
        if (!text || !str_to_double(str_of(text), &x))
            return err_set(err, ERR_BAD_INPUT, "a sample's value is not a number in quotes");
        sum += x;
    }
    if (!isfinite(sum))
        return err_set(err, ERR_INVALID, "the value is %s", isnan(sum) ? "NaN" : "infinite");
    *value = sum;
    return 0;
}

static int64_t mono_ms(const struct trigger *t)
{
    return loop_mono_ns(t->w->cluster->loop) / 1000000;
}

static void on_answer(void *arg, const struct http_response *r, struct str body,
                      const struct err *err)
{
    struct trigger *t = arg;
    struct err bad = ERR_INIT;
    enum metric_state state;
    double value;

    t->call = NULL;
    t->got_ms = mono_ms(t);
    t->has_answer = true;
    t->state = METRIC_UNKNOWN;
    if (err) {
        snprintf(t->why, sizeof(t->why), "prometheus at %.80s: %.140s", t->address, err->msg);
    } else if (prometheus_read_answer(r->status, body, t->ignore_null, t->is_average, &state,
                                      &value, &bad) < 0) {
        snprintf(t->why, sizeof(t->why), "prometheus at %.80s: %.140s", t->address, bad.msg);
    } else {
        t->state = state;
        t->value = value;
        t->why[0] = '\0';
    }
}

static void poll(void *arg)
{
    struct trigger *t = arg;
    struct http_headers headers = {t->headers, t->n_headers};
    struct buf url = BUF_INIT;

    loop_timer_start(&t->timer, t->poll_ms);
    if (trigger_is_builtin(t) || t->call)
        return;
    buf_printf(&url, "%s/api/v1/query?query=", t->address);
    http_pct_encode(&url, str_of(t->query));
    buf_printf(&url, "&time=%lld%s", (long long)(loop_wall_ms(t->w->cluster->loop) / 1000),
               t->extra);
    t->call = http_client_send(t->w->http, &(struct http_call_options){.url = buf_cstr(&url),
                                                                       .headers = &headers,
                                                                       .timeout_ms = t->timeout_ms,
                                                                       .max_body = ANSWER_MAX,
                                                                       .max_redirects = 10,
                                                                       .tls = t->tls,
                                                                       .arg = t,
                                                                       .on_all = on_answer});
    buf_done(&url);
}

/* An empty answer of somebody else's Prometheus: 0 only where that can be meant. */
static void polled_value(struct trigger *t, const struct trigger_target *target,
                         struct decision_metric *m)
{
    int64_t stale = t->poll_ms * 3 > 10000 ? t->poll_ms * 3 : 10000;

    m->state = t->state;
    m->value = t->value;
    snprintf(m->why, sizeof(m->why), "%s", t->why);
    if (t->state == METRIC_EMPTY && target->ready > 0 &&
        !(t->parsed && promql_may_be_empty(t->parsed)))
        unknown(m, "the query finds no series there, though pods are ready");
    else if (t->has_answer && mono_ms(t) - t->got_ms > stale)
        unknown(m, "the last answer is too old");
}

void trigger_value(struct trigger *t, int64_t now, const struct trigger_target *target,
                   struct decision_metric *m, char *warning, size_t cap)
{
    *m = (struct decision_metric){
        .state = METRIC_UNKNOWN, .target_milli = t->threshold_milli, .is_average = t->is_average};
    snprintf(m->name, sizeof(m->name), "%s", t->name);
    snprintf(m->query, sizeof(m->query), "%s", t->query);
    warning[0] = '\0';
    if (t->type == TYPE_RESOURCE)
        unknown(m, "resource metrics of pods are not collected by this version");
    else if (trigger_is_builtin(t))
        builtin_value(t, now, target, m, warning, cap);
    else
        polled_value(t, target, m);
}
