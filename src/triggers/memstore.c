/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/memstore.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/table.h"
#include "codec/json.h"
#include "triggers/metric_query.h"

#define BODY_MAX ((size_t)256 << 10)
#define ANSWER_MAX ((size_t)256 << 20)

static void reply(struct http_x *x, int status, struct buf *b)
{
    if (b->overflow)
        http_x_reply(x, 413, "application/json", NULL,
                     STR("{\"error\":\"the store holds more than 256 MiB of text: ask "
                         "/api/v1/query for a part of it\"}"));
    else
        http_x_reply(x, status, "application/json", NULL, buf_str(b));
    buf_done(b);
}

static void fail(struct http_x *x, int status, const char *why)
{
    struct buf b = BUF_INIT;

    buf_add_cstr(&b, "{\"error\":");
    json_write_str(&b, str_of(why));
    buf_add_char(&b, '}');
    reply(x, status, &b);
}

/* --- what is in the store --- */

struct listing {
    struct table names; /* name -> struct buf of its series */
    int64_t now_ms;
    bool has_data;
};

static void write_labels(struct buf *b, const struct series *s)
{
    const char *comma = "";

    buf_add_char(b, '{');
    for (size_t i = 0; i < series_n_labels(s); i++) {
        const struct label *l = series_nth_label(s, i);

        if (str_is(l->name, "__name__"))
            continue;
        buf_add_cstr(b, comma);
        json_write_str(b, l->name);
        buf_add_char(b, ':');
        json_write_str(b, l->value);
        comma = ",";
    }
    buf_add_char(b, '}');
}

static void write_samples(struct buf *b, const struct series *s, int64_t now)
{
    struct series_iter it;
    const char *comma = "";
    int64_t t;
    double v;

    buf_add_char(b, '[');
    series_seek(&it, s, now - METRIC_QUERY_WINDOW_MS + 1);
    while (series_next(&it, &t, &v)) {
        if (tsdb_is_stale(v))
            continue;
        buf_printf(b, "%s{\"value\":", comma);
        json_write_double(b, v);
        buf_printf(b, ",\"time\":%lld}", (long long)(t / 1000));
        comma = ",";
    }
    buf_add_char(b, ']');
}

static void write_series(struct buf *b, const struct series *s, int64_t now)
{
    double over[OVER_TIMES];
    bool lives = metric_over_time(s, now, over);

    buf_add_cstr(b, b->n ? ",{\"labels\":" : "{\"labels\":");
    write_labels(b, s);
    buf_add_cstr(b, ",\"data\":");
    write_samples(b, s, now);
    buf_add_cstr(b, ",\"aggregatesOverTime\":{");
    for (enum over_time op = OVER_LAST; lives && op < OVER_TIMES; op++) {
        buf_printf(b, "%s\"%s\":", op ? "," : "", over_time_name(op));
        json_write_double(b, over[op]);
    }
    buf_printf(b, "},\"lastUpdate\":%lld}", (long long)(series_newest(s) / 1000));
}

static void list_series(void *arg, struct series *s)
{
    struct listing *x = arg;
    struct str name = series_label(s, "__name__");
    struct buf *b = table_get(&x->names, name);

    if (series_newest(s) <= x->now_ms - METRIC_QUERY_WINDOW_MS)
        return;
    if (!b) {
        b = mem_zalloc(sizeof(*b));
        b->max = ANSWER_MAX;
        table_set(&x->names, name, b);
    }
    if (x->has_data)
        write_series(b, s, x->now_ms);
}

static void write_listing(struct listing *x, struct buf *out)
{
    struct str name;
    size_t i = 0;
    void *v;

    buf_add_char(out, x->has_data ? '{' : '[');
    while (table_next(&x->names, &i, &name, &v)) {
        struct buf *b = v;

        if (out->n > 1)
            buf_add_char(out, ',');
        json_write_str(out, name);
        if (x->has_data) {
            buf_add_cstr(out, ":[");
            buf_add_str(out, buf_str(b));
            buf_add_char(out, ']');
            out->overflow |= b->overflow;
        }
        buf_done(b);
        free(b);
    }
    buf_add_char(out, x->has_data ? '}' : ']');
    table_done(&x->names);
}

static void list(struct memstore *m, struct http_x *x, bool has_data)
{
    struct listing l = {.now_ms = loop_wall_ms(m->loop), .has_data = has_data};
    struct buf b = BUF_INIT_MAX(ANSWER_MAX);

    tsdb_select(m->db, NULL, 0, list_series, &l);
    write_listing(&l, &b);
    reply(x, 200, &b);
}

static void get_names(struct memstore *m, struct http_x *x)
{
    list(m, x, false);
}

static void get_data(struct memstore *m, struct http_x *x)
{
    list(m, x, true);
}

/* --- queries --- */

/* A name that nobody has sent is no failure there: -1 with a text. */
static void answer(struct http_x *x, enum over_time op, const struct metric_reading *r)
{
    struct buf b = BUF_INIT;

    buf_printf(&b,
               "{\"ok\":true,\"operation\":\"%s\",\"error\":\"%s\",\"value\":", over_time_name(op),
               r->is_known ? "" : "not found");
    json_write_double(&b, r->is_known || r->is_found ? r->value : -1);
    buf_add_char(&b, '}');
    reply(x, 200, &b);
}

static void on_query(void *arg, struct http_x *x, struct str body)
{
    struct memstore *m = arg;
    AUTO_JSON json_t *o = NULL;
    struct metric_query *q = NULL;
    struct metric_reading r;
    enum over_time op = OVER_LAST;
    struct err err = ERR_INIT;
    int bad = json_parse(body, &o, &err);

    if (bad == 0 && !json_is_object(o))
        bad = err_set(&err, ERR_BAD_INPUT,
                      "an object is expected: {\"query\": \"sum(m)\", \"operationOverTime\": "
                      "\"last_one\"}");
    if (bad == 0)
        bad = over_time_parse(str_of(json_text(o, "operationOverTime", "")), &op, &err);
    if (bad == 0)
        bad = metric_query_parse(str_trim(str_of(json_text(o, "query", ""))), op, &q, &err);
    if (bad == 0)
        bad = metric_query_read(q, m->db, loop_wall_ms(m->loop), &r, &err);
    if (bad < 0)
        fail(x, 400, err.msg);
    else
        answer(x, op, &r);
    metric_query_free(q);
}

static void post_query(struct memstore *m, struct http_x *x)
{
    http_x_read_all(x, BODY_MAX, on_query, m);
}

/* --- the rest --- */

static bool same_secret(struct str a, struct str b)
{
    unsigned char differs = a.n != b.n;

    for (size_t i = 0; i < a.n && i < b.n; i++)
        differs |= (unsigned char)(a.p[i] ^ b.p[i]);
    return !differs;
}

static bool may_reset(const struct memstore *m, const struct http_x *x)
{
    struct str h = http_header_get(&http_x_request(x)->headers, "authorization");

    return m->token && str_starts(h, STR("Bearer ")) &&
           same_secret(str_skip(h, strlen("Bearer ")), str_of(m->token));
}

static void post_reset(struct memstore *m, struct http_x *x)
{
    if (!may_reset(m, x)) {
        fail(x, 401,
             "this drops all samples: send the token of the kubeconfig as Authorization: Bearer");
        return;
    }
    tsdb_forget(m->db);
    http_x_reply(x, 200, "application/json", NULL, STR("{\"ok\":true}"));
}

static void get_info(struct memstore *m, struct http_x *x)
{
    struct buf b = BUF_INIT;

    buf_printf(&b,
               "{\"version\":\"" FLYBALL_VERSION
               "\",\"otlpReceiverPort\":\"%u\",\"kedaExternalScalerPort\":\"%u\","
               "\"restApiPort\":\"%u\",\"metricStoreRetentionSeconds\":\"%d\","
               "\"isActivePollingIntervalMilliseconds\":\"0\"}",
               m->otlp_port, m->scaler_port, m->web_port, METRIC_QUERY_WINDOW_MS / 1000);
    reply(x, 200, &b);
}

static const struct {
    const char *path, *method;
    void (*fn)(struct memstore *m, struct http_x *x);
} routes[] = {
    {"/memstore/names", "GET", get_names},
    {"/memstore/data", "GET", get_data},
    {"/memstore/query", "POST", post_query},
    {"/memstore/reset", "POST", post_reset},
    {"/info", "GET", get_info},
};

bool memstore_take(void *ctx, struct http_x *x)
{
    const struct http_request *req = http_x_request(x);

    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (!str_is(req->path, routes[i].path))
            continue;
        if (str_is(req->method, routes[i].method) ||
            (str_is(req->method, "HEAD") && strcmp(routes[i].method, "GET") == 0))
            routes[i].fn(ctx, x);
        else
            fail(x, 405, strcmp(routes[i].method, "GET") == 0 ? "only GET" : "only POST");
        return true;
    }
    return false;
}
