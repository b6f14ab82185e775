/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/addon_metrics.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/table.h"
#include "promql/promql.h"

#define KEPT_MS 600000
#define READINGS_MAX 20000

struct reading {
    struct buf labels; /* name, labels, timeOp, aggregation as in the text */
    char *ns, *so;
    double value, clamped;
    int64_t at_ms;
};

struct addon_metrics {
    struct table readings; /* "ns/so/op query" -> struct reading */
    struct table points;   /* metric name -> uint64_t: series read for it since the start */
};

struct addon_metrics *addon_metrics_new(void)
{
    return mem_zalloc(sizeof(struct addon_metrics));
}

static void free_reading(struct reading *r)
{
    buf_done(&r->labels);
    free(r->ns);
    free(r->so);
    free(r);
}

void addon_metrics_free(struct addon_metrics *m)
{
    size_t i = 0;
    void *v;

    while (m && table_next(&m->readings, &i, NULL, &v))
        free_reading(v);
    i = 0;
    while (m && table_next(&m->points, &i, NULL, &v))
        free(v);
    if (m) {
        table_done(&m->readings);
        table_done(&m->points);
    }
    free(m);
}

/* A label's value in the exposition format. */
static void add_value(struct buf *b, struct str s)
{
    buf_add_char(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\n') {
            buf_add_cstr(b, "\\n");
            continue;
        }
        if (s.p[i] == '"' || s.p[i] == '\\')
            buf_add_char(b, '\\');
        buf_add_char(b, s.p[i]);
    }
    buf_add_char(b, '"');
}

/* PromQL has no name: its text. */
static struct str name_of(const struct addon_settings *s)
{
    struct str name = metric_query_name(s->query);

    return name.n ? name : metric_query_text(s->query);
}

static void add_labels(struct buf *b, const struct addon_settings *s)
{
    struct buf labels = BUF_INIT;

    metric_query_labels(s->query, &labels);
    buf_add_cstr(b, "name=");
    add_value(b, name_of(s));
    buf_add_cstr(b, ",labels=");
    add_value(b, buf_str(&labels));
    buf_printf(b, ",timeOp=\"%s\",aggregation=\"%s\"", over_time_name(s->op),
               metric_query_function(s->query));
    buf_done(&labels);
}

static struct reading *reading_of(struct addon_metrics *m, struct str ns, struct str so,
                                  const struct addon_settings *s)
{
    struct buf key = BUF_INIT;
    struct reading *r;

    buf_printf(&key, "%.*s/%.*s/%s %.*s", STR_ARG(ns), STR_ARG(so), over_time_name(s->op),
               STR_ARG(metric_query_text(s->query)));
    r = table_get(&m->readings, buf_str(&key));
    if (!r && m->readings.count < READINGS_MAX) {
        r = mem_zalloc(sizeof(*r));
        r->ns = str_dup(ns);
        r->so = str_dup(so);
        add_labels(&r->labels, s);
        table_set(&m->readings, buf_str(&key), r);
    }
    buf_done(&key);
    return r;
}

static void count(struct addon_metrics *m, const struct addon_settings *s, size_t n)
{
    uint64_t *points = table_get(&m->points, name_of(s));

    if (!points && m->points.count < READINGS_MAX) {
        points = mem_zalloc(sizeof(*points));
        table_set(&m->points, name_of(s), points);
    }
    if (points)
        *points += n;
}

void addon_metrics_note(struct addon_metrics *m, struct str ns, struct str so,
                        const struct addon_settings *s, const struct addon_value *v, int64_t now_ms)
{
    struct reading *r = m ? reading_of(m, ns, so, s) : NULL;

    if (!r)
        return;
    r->at_ms = now_ms;
    r->value = v->unclamped;
    r->clamped = v->value;
    count(m, s, v->n);
}

static void drop_old(struct addon_metrics *m, int64_t now)
{
    struct arena arena = ARENA_INIT;
    struct str key, *old = NULL;
    size_t i = 0, n = 0, cap = 0;
    void *v;

    while (table_next(&m->readings, &i, &key, &v)) {
        if (((struct reading *)v)->at_ms >= now - KEPT_MS)
            continue;
        old = arena_grow(&arena, old, &cap, n, sizeof(*old));
        old[n++] = arena_str(&arena, key);
    }
    for (i = 0; i < n; i++)
        free_reading(table_del(&m->readings, old[i]));
    arena_done(&arena);
}

static void write_family(struct addon_metrics *m, const char *name, const char *help,
                         bool is_clamped, struct buf *out)
{
    size_t i = 0;
    void *v;

    buf_printf(out, "# HELP keda_otel_scaler_%s %s\n# TYPE keda_otel_scaler_%s gauge\n", name, help,
               name);
    while (table_next(&m->readings, &i, NULL, &v)) {
        const struct reading *r = v;

        buf_printf(out, "keda_otel_scaler_%s{%s,scaledObject=", name, buf_cstr(&r->labels));
        add_value(out, str_of(r->so));
        buf_add_cstr(out, ",namespace=");
        add_value(out, str_of(r->ns));
        buf_add_cstr(out, "} ");
        promql_write_float(out, is_clamped ? r->clamped : r->value);
        buf_add_char(out, '\n');
    }
}

static void write_points(const struct addon_metrics *m, struct buf *out)
{
    struct str name;
    size_t i = 0;
    void *v;

    buf_add_cstr(out, "# HELP keda_otel_scaler_metric_points_read Series read for queries.\n"
                      "# TYPE keda_otel_scaler_metric_points_read counter\n");
    while (table_next(&m->points, &i, &name, &v)) {
        buf_add_cstr(out, "keda_otel_scaler_metric_points_read{name=");
        add_value(out, name);
        buf_printf(out, "} %llu\n", (unsigned long long)*(uint64_t *)v);
    }
}

void addon_metrics_write(struct addon_metrics *m, int64_t now_ms, struct buf *out)
{
    drop_old(m, now_ms);
    write_family(m, "metric_value", "Last value of a metricQuery.", false, out);
    write_family(m, "metric_value_clamped", "The same after clampMin and clampMax.", true, out);
    write_points(m, out);
    buf_add_cstr(out, "# HELP keda_otel_scaler_runtime_info What serves it.\n"
                      "# TYPE keda_otel_scaler_runtime_info gauge\n"
                      "keda_otel_scaler_runtime_info{version=\"flyball-" FLYBALL_VERSION "\"} 1\n");
}
