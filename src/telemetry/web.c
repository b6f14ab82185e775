/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/web.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/table.h"
#include "codec/json.h"
#include "promql/promql.h"
#include "telemetry/hosts.h"
#include "telemetry/remote_write.h"
#include "telemetry/web_int.h"

void web_reply(struct http_x *x, int status, struct buf *b)
{
    http_x_reply(x, status, "application/json", NULL, buf_str(b));
    buf_done(b);
}

void web_fail(struct http_x *x, int status, const char *type, const char *message)
{
    struct buf b = BUF_INIT;

    buf_printf(&b, "{\"status\":\"error\",\"errorType\":\"%s\",\"error\":", type);
    json_write_str(&b, str_of(message));
    buf_add_char(&b, '}');
    web_reply(x, status, &b);
}

bool web_param(const struct ask *a, const char *key, char *out, size_t cap, size_t *ret_n)
{
    return http_query_get(a->form, key, out, cap, ret_n) ||
           http_query_get(http_x_request(a->x)->query, key, out, cap, ret_n);
}

static bool parse_time(struct str s, int64_t *ret)
{
    double v;

    if (str_to_double(s, &v) && isfinite(v) && fabs(v) < 9e12) {
        *ret = (int64_t)llround(v * 1000);
        return true;
    }
    return time_parse(s, ret);
}

bool web_time_param(const struct ask *a, const char *key, int64_t def, bool required, int64_t *ret)
{
    char text[64], why[160];

    *ret = def;
    if (!web_param(a, key, text, sizeof(text), NULL)) {
        if (!required)
            return true;
        text[0] = '\0';
    }
    if (parse_time(str_of(text), ret))
        return true;
    snprintf(why, sizeof(why), "invalid parameter \"%s\": cannot parse \"%s\" to a valid timestamp",
             key, text);
    web_fail(a->x, 400, "bad_data", why);
    return false;
}

/* --- series and labels --- */

struct collect {
    struct buf *b;
    struct table names;
    const char *label; /* values of it; NULL: names */
    size_t n;
    int64_t start, end;
};

/* Optional start and end, with Prometheus' idea of "always". */
static bool read_range(const struct ask *a, struct collect *c)
{
    return web_time_param(a, "start", INT64_MIN, false, &c->start) &&
           web_time_param(a, "end", INT64_MAX, false, &c->end);
}

static bool is_in_range(const struct collect *c, const struct series *s)
{
    struct series_iter it;
    int64_t t;
    double v;

    if (c->start == INT64_MIN && c->end == INT64_MAX)
        return true;
    series_seek(&it, s, c->start);
    return series_next(&it, &t, &v) && t <= c->end;
}

static void add_series(void *arg, struct series *s)
{
    struct collect *c = arg;

    /* several match[] may meet in one series */
    if (!is_in_range(c, s) || table_set(&c->names, str_n(&s, sizeof(s)), c))
        return;
    buf_add_cstr(c->b, c->n++ ? ",{" : "{");
    for (size_t i = 0; i < series_n_labels(s); i++) {
        const struct label *l = series_nth_label(s, i);

        buf_add_cstr(c->b, i ? "," : "");
        json_write_str(c->b, l->name);
        buf_add_char(c->b, ':');
        json_write_str(c->b, l->value);
    }
    buf_add_char(c->b, '}');
}

static void add_names(void *arg, struct series *s)
{
    struct collect *c = arg;

    for (size_t i = 0; is_in_range(c, s) && i < series_n_labels(s); i++) {
        const struct label *l = series_nth_label(s, i);

        if (!c->label)
            table_set(&c->names, l->name, c);
        else if (str_is(l->name, c->label))
            table_set(&c->names, l->value, c);
    }
}

/* Every match[] parameter; all series where there is none. False after an answer of 400. */
static bool each_match(const struct ask *a, bool required, void (*fn)(void *arg, struct series *s),
                       void *arg)
{
    char text[4096], why[1200];
    size_t n, i;

    for (i = 0;
         http_query_get_nth(a->form, "match[]", i, text, sizeof(text), &n) ||
         http_query_get_nth(http_x_request(a->x)->query, "match[]", i, text, sizeof(text), &n);
         i++) {
        struct promql *q;
        const struct matcher *m;
        struct err err = ERR_INIT;
        size_t count;

        if (promql_parse_selector(str_n(text, n), &q, &m, &count, &err) < 0) {
            snprintf(why, sizeof(why), "invalid parameter \"match[]\": %s", err.msg);
            web_fail(a->x, 400, "bad_data", why);
            return false;
        }
        tsdb_select(a->w->o.db, m, count, fn, arg);
        promql_free(q);
    }
    if (i == 0 && required) {
        web_fail(a->x, 400, "bad_data", "no match[] parameter provided");
        return false;
    }
    if (i == 0)
        tsdb_select(a->w->o.db, NULL, 0, fn, arg);
    return true;
}

static void get_series(const struct ask *a)
{
    struct buf b = BUF_INIT_MAX((size_t)256 << 20);
    struct collect c = {.b = &b};

    buf_add_cstr(&b, "{\"status\":\"success\",\"data\":[");
    if (!read_range(a, &c) || !each_match(a, true, add_series, &c)) {
        buf_done(&b);
    } else {
        buf_add_cstr(&b, "]}");
        web_reply(a->x, 200, &b);
    }
    table_done(&c.names);
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static bool is_label_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (c != '_' && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') &&
            !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return s.n > 0;
}

static void get_names(const struct ask *a, const char *label)
{
    struct buf b = BUF_INIT;
    struct collect c = {.label = label};
    struct str *all;
    size_t i = 0, n = 0;

    if (read_range(a, &c) && each_match(a, false, add_names, &c)) {
        all = mem_array(c.names.count, sizeof(*all));
        while (table_next(&c.names, &i, &all[n], NULL))
            if (++n == c.names.count)
                break;
        if (n > 1)
            qsort(all, n, sizeof(*all), by_text);
        buf_add_cstr(&b, "{\"status\":\"success\",\"data\":[");
        for (i = 0; i < n; i++) {
            buf_add_cstr(&b, i ? "," : "");
            json_write_str(&b, all[i]);
        }
        buf_add_cstr(&b, "]}");
        free(all);
        web_reply(a->x, 200, &b);
    }
    table_done(&c.names);
}

/* --- the rest --- */

static void get_targets(const struct ask *a)
{
    struct buf b = BUF_INIT;

    buf_add_cstr(&b, "{\"status\":\"success\",\"data\":");
    if (a->w->o.rounds)
        rounds_write_targets(a->w->o.rounds, &b);
    else
        buf_add_cstr(&b, "{\"activeTargets\":[],\"droppedTargets\":[]}");
    buf_add_char(&b, '}');
    web_reply(a->x, 200, &b);
}

static void get_buildinfo(const struct ask *a)
{
    struct buf b = BUF_INIT;

    buf_add_cstr(&b,
                 "{\"status\":\"success\",\"data\":{\"version\":\"3.5.0\",\"revision\":"
                 "\"flyball-" FLYBALL_VERSION
                 "\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\"}}");
    web_reply(a->x, 200, &b);
}

static void get_metadata(const struct ask *a)
{
    http_x_reply(a->x, 200, "application/json", NULL, STR("{\"status\":\"success\",\"data\":{}}"));
}

static void get_sd(const struct ask *a)
{
    struct buf b = BUF_INIT;

    if (a->w->o.rounds)
        rounds_write_sd(a->w->o.rounds, &b);
    else
        buf_add_cstr(&b, "[]");
    web_reply(a->x, 200, &b);
}

static void get_own_metrics(const struct ask *a)
{
    struct buf b = BUF_INIT;

    buf_printf(&b,
               "# HELP flyball_tsdb_series Series in the built-in store.\n# TYPE "
               "flyball_tsdb_series gauge\nflyball_tsdb_series %zu\n"
               "# HELP flyball_tsdb_bytes Memory of the built-in store.\n# TYPE flyball_tsdb_bytes "
               "gauge\nflyball_tsdb_bytes %zu\n"
               "# HELP flyball_tsdb_samples_total Samples taken.\n# TYPE "
               "flyball_tsdb_samples_total counter\n"
               "flyball_tsdb_samples_total %llu\n",
               tsdb_series_count(a->w->o.db), tsdb_bytes(a->w->o.db),
               (unsigned long long)tsdb_samples_total(a->w->o.db));
    if (a->w->o.own_metrics)
        a->w->o.own_metrics(a->w->o.ctx, &b);
    http_x_reply(a->x, 200, "text/plain; version=0.0.4; charset=utf-8", NULL, buf_str(&b));
    buf_done(&b);
}

static void get_explain(const struct ask *a)
{
    struct buf b = BUF_INIT;
    int status = 200;

    if (a->w->o.explain)
        status = a->w->o.explain(a->w->o.ctx, http_x_request(a->x)->query, &b);
    http_x_reply(a->x, status,
                 b.n && b.p[0] == '[' ? "application/json" : "text/plain; charset=utf-8", NULL,
                 buf_str(&b));
    buf_done(&b);
}

static void get_healthy(const struct ask *a)
{
    http_x_reply(a->x, 200, "text/plain; charset=utf-8", NULL, STR("flyball is Healthy.\n"));
}

static void get_index(const struct ask *a)
{
    http_x_reply(a->x, 200, "text/plain; charset=utf-8", NULL,
                 STR("flyball " FLYBALL_VERSION
                     "\n\n/api/v1/query?query=...   PromQL, as Prometheus answers\n"
                     "/api/v1/targets           what is scraped\n/metrics                  "
                     "flyball's own series\n"
                     "/memstore/data            what the store holds, as the otel-add-on shows it\n"
                     "/explain                  why there are that many replicas\n/sd/pods         "
                     "         http_sd for a Prometheus of your own\n"));
}

static const struct {
    const char *path;
    void (*fn)(const struct ask *a);
} routes[] = {
    {"/api/v1/query", web_query},
    {"/api/v1/query_range", web_query_range},
    {"/api/v1/series", get_series},
    {"/api/v1/targets", get_targets},
    {"/api/v1/status/buildinfo", get_buildinfo},
    {"/api/v1/metadata", get_metadata},
    {"/explain", get_explain},
    {"/sd/pods", get_sd},
    {"/metrics", get_own_metrics},
    {"/-/healthy", get_healthy},
    {"/-/ready", get_healthy},
    {"/", get_index},
};

static void route(const struct ask *a)
{
    struct str path = http_x_request(a->x)->path;
    struct str label;
    char name[256], why[300];

    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        if (str_is(path, routes[i].path)) {
            routes[i].fn(a);
            return;
        }
    if (str_is(path, "/api/v1/labels")) {
        get_names(a, NULL);
    } else if (str_starts(path, STR("/api/v1/label/")) && str_ends(path, STR("/values")) &&
               path.n < sizeof(name)) {
        label = str_n(path.p + 14, path.n - 14 - 7);
        snprintf(name, sizeof(name), "%.*s", STR_ARG(label));
        if (is_label_name(label)) {
            get_names(a, name);
        } else {
            snprintf(why, sizeof(why), "invalid label name: \"%s\"", name);
            web_fail(a->x, 400, "bad_data", why);
        }
    } else {
        web_fail(a->x, 404, "not_found", "no such path; the API is at /api/v1/query");
    }
}

static void on_form(void *arg, struct http_x *x, struct str body)
{
    struct ask a = {arg, x, body};

    route(&a);
}

/* Prometheus' own status codes: 204 stored, 400 do not send again. */
static void on_written(void *arg, struct http_x *x, struct str body)
{
    struct web *w = arg;
    struct remote_write_stats st;
    struct err err = ERR_INIT;
    int r = remote_write(w->o.db, body, &st, &err);

    if (r == 0 && st.out_of_order)
        err_set(&err, ERR_BAD_INPUT,
                "%zu samples are older than the newest of their series and were left out",
                st.out_of_order);
    if (err.code)
        http_x_reply(x, err_http_status(err.code), "text/plain; charset=utf-8", NULL,
                     str_of(err.msg));
    else
        http_x_reply(x, 204, NULL, NULL, STR_NONE);
}

static void post_write(struct web *w, struct http_x *x)
{
    if (w->o.takes_remote_write)
        http_x_read_all(x, REMOTE_WRITE_MAX, on_written, w);
    else
        web_fail(x, 404, "not_found",
                 "remote write is off: start flyball up with --enable-remote-write");
}

static void on_request(void *ctx, struct http_x *x)
{
    struct web *w = ctx;
    const struct http_request *req = http_x_request(x);
    struct ask a = {w, x, STR("")};

    if (!host_is_ours(req))
        web_fail(x, 421, "bad_data", "this name does not belong to flyball: use its address");
    else if (w->o.take && w->o.take(w->o.take_ctx, x))
        return;
    else if (str_is(req->method, "POST") && str_is(req->path, "/api/v1/write"))
        post_write(w, x);
    else if (str_is(req->method, "POST"))
        http_x_read_all(x, QUERY_MAX * 4, on_form, w);
    else if (str_is(req->method, "GET") || str_is(req->method, "HEAD"))
        route(&a);
    else
        web_fail(x, 405, "bad_data", "only GET and POST");
}

int web_new(struct loop *l, const struct web_options *o, struct web **ret, struct err *err)
{
    struct web *w = mem_zalloc(sizeof(*w));
    struct http_server_options so = {
        .addr = o->listen, .on_request = on_request, .ctx = w, .server_name = "web"};
    int r;

    w->loop = l;
    w->o = *o;
    list_init(&w->queries);
    r = http_server_new(l, &so, &w->http, err);
    if (r < 0) {
        free(w);
        return r;
    }
    *ret = w;
    return 0;
}

struct net_addr web_addr(const struct web *w)
{
    return http_server_addr(w->http);
}

void web_free(struct web *w)
{
    if (!w)
        return;
    web_end_queries(w);
    http_server_free(w->http);
    free(w);
}
