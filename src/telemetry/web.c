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

#define QUERY_MAX 65536

struct web {
    struct loop *loop;
    struct web_options o;
    struct http_server *http;
};

/* One request with its parameters, from the query string or a form body. */
struct ask {
    struct web *w;
    struct http_x *x;
    struct str form;
};

static void reply(struct http_x *x, int status, struct buf *b)
{
    http_x_reply(x, status, "application/json", NULL, buf_str(b));
    buf_done(b);
}

static void fail(struct http_x *x, int status, const char *type, const char *message)
{
    struct buf b = BUF_INIT;

    buf_printf(&b, "{\"status\":\"error\",\"errorType\":\"%s\",\"error\":", type);
    json_write_str(&b, str_of(message));
    buf_add_char(&b, '}');
    reply(x, status, &b);
}

static bool param(const struct ask *a, const char *key, char *out, size_t cap, size_t *ret_n)
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

/* A time parameter; false after an answer of 400. */
static bool time_param(const struct ask *a, const char *key, int64_t def, bool required,
                       int64_t *ret)
{
    char text[64], why[160];

    *ret = def;
    if (!param(a, key, text, sizeof(text), NULL)) {
        if (!required)
            return true;
        text[0] = '\0';
    }
    if (parse_time(str_of(text), ret))
        return true;
    snprintf(why, sizeof(why), "invalid parameter \"%s\": cannot parse \"%s\" to a valid timestamp",
             key, text);
    fail(a->x, 400, "bad_data", why);
    return false;
}

static void answer_query(const struct ask *a, struct promql_result *r)
{
    struct buf b = BUF_INIT_MAX((size_t)256 << 20);
    struct str rest = buf_str(&r->warnings), line;
    bool warned = false, informed = false;

    buf_add_cstr(&b, "{\"status\":\"success\",\"data\":");
    promql_write_json(&b, r);
    for (int info = 0; info < 2; info++) {
        rest = buf_str(&r->warnings);
        while (str_split(&rest, '\n', &line)) {
            bool is_info = str_starts(line, STR("PromQL info"));

            if (line.n == 0 || is_info != info)
                continue;
            buf_add_cstr(&b, info ? (informed ? "," : ",\"infos\":[")
                                  : (warned ? "," : ",\"warnings\":["));
            json_write_str(&b, line);
            warned |= !info;
            informed |= info;
        }
        if (info ? informed : warned)
            buf_add_char(&b, ']');
    }
    buf_add_char(&b, '}');
    reply(a->x, 200, &b);
}

static void failed_query(const struct ask *a, const struct err *err)
{
    bool bad = err->code == ERR_BAD_INPUT;

    fail(a->x, bad ? 400 : 422, bad ? "bad_data" : "execution", err->msg);
}

static bool read_expr(const struct ask *a, struct promql **ret)
{
    char *text = mem_alloc(QUERY_MAX);
    struct err err = ERR_INIT;
    char why[1100];
    size_t n = 0;
    int r;

    param(a, "query", text, QUERY_MAX, &n);
    r = promql_parse(str_n(text, n), ret, &err);
    free(text);
    if (r < 0) {
        snprintf(why, sizeof(why), "invalid parameter \"query\": %s", err.msg);
        fail(a->x, 400, "bad_data", why);
    }
    return r == 0;
}

static void get_query(const struct ask *a)
{
    struct promql *q;
    struct promql_result r;
    struct err err = ERR_INIT;
    int64_t t;

    if (!time_param(a, "time", loop_wall_ms(a->w->loop), false, &t) || !read_expr(a, &q))
        return;
    if (promql_instant(a->w->o.db, q, t, NULL, &r, &err) < 0) {
        failed_query(a, &err);
    } else {
        answer_query(a, &r);
        promql_result_done(&r);
    }
    promql_free(q);
}

static void get_query_range(const struct ask *a)
{
    struct promql *q;
    struct promql_result r;
    struct err err = ERR_INIT;
    int64_t start, end, step = 0;
    char text[64] = "";

    if (!time_param(a, "start", 0, true, &start) || !time_param(a, "end", 0, true, &end))
        return;
    if (end < start) {
        fail(a->x, 400, "bad_data",
             "invalid parameter \"end\": end timestamp must not be before start time");
        return;
    }
    param(a, "step", text, sizeof(text), NULL);
    if (!promql_parse_duration(str_of(text), &step)) {
        fail(a->x, 400, "bad_data",
             "invalid parameter \"step\": cannot parse it to a valid duration");
        return;
    }
    if (step <= 0) {
        fail(a->x, 400, "bad_data",
             "invalid parameter \"step\": zero or negative query resolution step widths are not "
             "accepted. Try a positive integer");
        return;
    }
    if ((end - start) / step > 11000) {
        fail(a->x, 400, "bad_data",
             "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the "
             "query resolution (?step=XX)");
        return;
    }
    if (!read_expr(a, &q))
        return;
    if (promql_type_of(q) != PROMQL_SCALAR && promql_type_of(q) != PROMQL_VECTOR) {
        fail(a->x, 400, "bad_data",
             "invalid parameter \"query\": invalid expression type for range query, must be Scalar "
             "or "
             "instant Vector");
    } else if (promql_range(a->w->o.db, q, start, end, step, NULL, &r, &err) < 0) {
        failed_query(a, &err);
    } else {
        answer_query(a, &r);
        promql_result_done(&r);
    }
    promql_free(q);
}

/* --- series and labels --- */

struct collect {
    struct buf *b;
    struct table names;
    const char *label; /* values of it; NULL: names */
    size_t n;
    int64_t start, end;
};

static void add_series(void *arg, struct series *s)
{
    struct collect *c = arg;

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

    for (size_t i = 0; i < series_n_labels(s); i++) {
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
            fail(a->x, 400, "bad_data", why);
            return false;
        }
        tsdb_select(a->w->o.db, m, count, fn, arg);
        promql_free(q);
    }
    if (i == 0 && required) {
        fail(a->x, 400, "bad_data", "no match[] parameter provided");
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
    if (!each_match(a, true, add_series, &c)) {
        buf_done(&b);
        return;
    }
    buf_add_cstr(&b, "]}");
    reply(a->x, 200, &b);
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void get_names(const struct ask *a, const char *label)
{
    struct buf b = BUF_INIT;
    struct collect c = {.label = label};
    struct str *all;
    size_t i = 0, n = 0;

    if (each_match(a, false, add_names, &c)) {
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
        reply(a->x, 200, &b);
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
    reply(a->x, 200, &b);
}

static void get_buildinfo(const struct ask *a)
{
    struct buf b = BUF_INIT;

    buf_add_cstr(&b,
                 "{\"status\":\"success\",\"data\":{\"version\":\"3.5.0\",\"revision\":"
                 "\"flyball-" FLYBALL_VERSION
                 "\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\"}}");
    reply(a->x, 200, &b);
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
    reply(a->x, 200, &b);
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

    if (a->w->o.explain)
        a->w->o.explain(a->w->o.ctx, &b);
    http_x_reply(a->x, 200, "text/plain; charset=utf-8", NULL, buf_str(&b));
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
    {"/api/v1/query", get_query},
    {"/api/v1/query_range", get_query_range},
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
    char name[256];

    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        if (str_is(path, routes[i].path)) {
            routes[i].fn(a);
            return;
        }
    if (str_is(path, "/api/v1/labels")) {
        get_names(a, NULL);
    } else if (str_starts(path, STR("/api/v1/label/")) && str_ends(path, STR("/values")) &&
               path.n < sizeof(name)) {
        snprintf(name, sizeof(name), "%.*s", (int)(path.n - 14 - 7), path.p + 14);
        get_names(a, name);
    } else {
        fail(a->x, 404, "not_found", "no such path; the API is at /api/v1/query");
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
        fail(x, 404, "not_found",
             "remote write is off: start flyball up with --enable-remote-write");
}

static void on_request(void *ctx, struct http_x *x)
{
    struct web *w = ctx;
    const struct http_request *req = http_x_request(x);
    struct ask a = {w, x, STR("")};

    if (!host_is_ours(req))
        fail(x, 421, "bad_data", "this name does not belong to flyball: use its address");
    else if (w->o.take && w->o.take(w->o.take_ctx, x))
        return;
    else if (str_is(req->method, "POST") && str_is(req->path, "/api/v1/write"))
        post_write(w, x);
    else if (str_is(req->method, "POST"))
        http_x_read_all(x, QUERY_MAX * 4, on_form, w);
    else if (str_is(req->method, "GET") || str_is(req->method, "HEAD"))
        route(&a);
    else
        fail(x, 405, "bad_data", "only GET and POST");
}

int web_new(struct loop *l, const struct web_options *o, struct web **ret, struct err *err)
{
    struct web *w = mem_zalloc(sizeof(*w));
    struct http_server_options so = {
        .addr = o->listen, .on_request = on_request, .ctx = w, .server_name = "web"};
    int r;

    w->loop = l;
    w->o = *o;
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
    http_server_free(w->http);
    free(w);
}
