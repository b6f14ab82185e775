/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/metrics_api.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>

#include "apiserver/apiserver_int.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/table.h"
#include "codec/quantity.h"
#include "kube/adapter.h"
#include "kube/status.h"

#define SCALEDOBJECT_LABEL "scaledobject.keda.sh/name="
#define PARTS_MAX 8

/* One request: the path behind /apis/GROUP/VERSION/ in parts, decoded. */
struct ask {
    struct apiserver *a;
    struct http_x *x;
    const struct metrics_group *group;
    struct str version;
    char path[1024];
    struct str parts[PARTS_MAX];
    size_t n;
    struct selector *labels, *metric_labels;
    struct field_selector *fields;
    int64_t now;
};

struct metrics_group {
    const char *name;
    const char *versions[3]; /* the preferred one first */
    void (*serve)(struct ask *q);
    void (*resources)(struct apiserver *a, struct buf *b);
};

static void fail(struct ask *q, int code, const char *reason, const char *text)
{
    struct buf b = BUF_INIT;

    status_error(&b, code, reason, "%s", text);
    reply_body(q->x, code, &b);
}

static void no_such_path(struct ask *q)
{
    struct buf b = BUF_INIT;

    status_no_such_path(&b);
    reply_body(q->x, 404, &b);
}

static void list_head(struct ask *q, struct buf *b, const char *kind)
{
    buf_printf(b, "{\"kind\":\"%s\",\"apiVersion\":\"%s/%.*s\",\"metadata\":{},\"items\":[", kind,
               q->group->name, STR_ARG(q->version));
}

/* --- metrics.k8s.io: pods and nodes --- */

static void write_usage(struct buf *b, const struct usage *u)
{
    buf_printf(b, "{\"cpu\":\"%lldn\",\"memory\":\"%lldKi\"}", (long long)ceil(u->cpu * 1e9),
               (long long)(u->memory / 1024));
}

static void write_meta(struct buf *b, const struct object *o, int64_t now)
{
    char time[TIME_TEXT_MAX];

    buf_add_cstr(b, "\"metadata\":{\"name\":");
    json_write_str(b, o->name);
    if (o->ns.n) {
        buf_add_cstr(b, ",\"namespace\":");
        json_write_str(b, o->ns);
    }
    buf_printf(b, ",\"creationTimestamp\":\"%s\"", time_rfc3339(now, time));
    for (size_t i = 0; i < o->n_labels; i++) {
        buf_add_cstr(b, i ? "," : ",\"labels\":{");
        json_write_str(b, o->labels[i].key);
        buf_add_char(b, ':');
        json_write_str(b, o->labels[i].value);
    }
    buf_add_cstr(b, o->n_labels ? "}}" : "}");
}

static void write_times(struct buf *b, int64_t at_ms, int64_t window_ms)
{
    char time[TIME_TEXT_MAX];

    buf_printf(b, ",\"timestamp\":\"%s\",\"window\":\"%gs\"", time_rfc3339(at_ms, time),
               (double)window_ms / 1000);
}

struct listing {
    struct ask *q;
    struct buf *b;
    bool is_one;        /* with kind and apiVersion */
    struct buf scratch; /* of one pod's containers */
    int64_t at_ms, window_ms;
    size_t n;
};

static void add_container(void *arg, struct str name, const struct usage *u)
{
    struct listing *l = arg;

    buf_add_cstr(&l->scratch, l->scratch.n ? ",{\"name\":" : "{\"name\":");
    json_write_str(&l->scratch, name);
    buf_add_cstr(&l->scratch, ",\"usage\":");
    write_usage(&l->scratch, u);
    buf_add_char(&l->scratch, '}');
    l->at_ms = u->at_ms;
    l->window_ms = u->window_ms;
}

static void open_item(struct listing *l, const char *kind)
{
    if (l->n++)
        buf_add_char(l->b, ',');
    buf_add_char(l->b, '{');
    if (l->is_one)
        buf_printf(l->b, "\"kind\":\"%s\",\"apiVersion\":\"metrics.k8s.io/v1beta1\",", kind);
}

/* As metrics-server: a pod is left out until all its containers have been sampled twice. */
static void add_pod(void *arg, const struct object *o)
{
    struct listing *l = arg;
    AUTO_JSON json_t *pod = NULL;

    if (!field_selector_matches(l->q->fields, o))
        return;
    pod = object_tree(o);
    buf_clear(&l->scratch);
    if (strcmp(json_text(pod, "status.phase", ""), "Running") != 0 ||
        !adapter_each_usage(l->q->a->metrics.db, pod, l->q->now, USAGE_WINDOW_MS, add_container, l))
        return;
    open_item(l, "PodMetrics");
    write_meta(l->b, o, l->q->now);
    write_times(l->b, l->at_ms, l->window_ms);
    buf_add_cstr(l->b, ",\"containers\":[");
    buf_add_str(l->b, buf_str(&l->scratch));
    buf_add_cstr(l->b, "]}");
}

static void add_node(void *arg, const struct object *o)
{
    struct listing *l = arg;
    struct usage u;

    if (!usage_of_node(l->q->a->metrics.db, o->name, l->q->now, &u))
        return;
    open_item(l, "NodeMetrics");
    write_meta(l->b, o, l->q->now);
    write_times(l->b, u.at_ms, u.window_ms);
    buf_add_cstr(l->b, ",\"usage\":");
    write_usage(l->b, &u);
    buf_add_char(l->b, '}');
}

static void serve_usage(struct ask *q, enum kind_id kind, struct str ns, struct str name)
{
    struct store *s = q->a->o.store;
    struct buf b = BUF_INIT_MAX((size_t)256 << 20);
    struct listing l = {.q = q, .b = &b, .is_one = name.n > 0};
    cluster_each_fn *add = kind == KIND_POD ? add_pod : add_node;
    const struct object *o = name.n ? store_get(s, kind, ns, name) : NULL;

    if (o)
        add(&l, o);
    if (name.n && l.n == 0) {
        buf_printf(&l.scratch, "%smetrics.metrics.k8s.io \"%.*s%s%.*s\" not found",
                   kind == KIND_POD ? "pod" : "node", STR_ARG(ns), ns.n ? "/" : "", STR_ARG(name));
        fail(q, 404, "NotFound", buf_cstr(&l.scratch));
        buf_done(&b);
    } else {
        if (!name.n) {
            list_head(q, &b, kind == KIND_POD ? "PodMetricsList" : "NodeMetricsList");
            store_each(s, kind, ns, q->labels, add, &l);
            buf_add_cstr(&b, "]}");
        }
        reply_body(q->x, 200, &b);
    }
    buf_done(&l.scratch);
}

/* nodes[/NAME], pods, namespaces/NS/pods[/NAME] */
static void serve_resource_metrics(struct ask *q)
{
    if (q->n <= 2 && str_is(q->parts[0], "nodes"))
        serve_usage(q, KIND_NODE, STR(""), q->n == 2 ? q->parts[1] : STR(""));
    else if (q->n == 1 && str_is(q->parts[0], "pods"))
        serve_usage(q, KIND_POD, STR(""), STR(""));
    else if ((q->n == 3 || q->n == 4) && str_is(q->parts[0], "namespaces") &&
             str_is(q->parts[2], "pods"))
        serve_usage(q, KIND_POD, q->parts[1], q->n == 4 ? q->parts[3] : STR(""));
    else
        no_such_path(q);
}

static void list_resource_metrics(struct apiserver *a, struct buf *b)
{
    (void)a;
    buf_add_cstr(b, "{\"name\":\"nodes\",\"singularName\":\"\",\"namespaced\":false,\"kind\":"
                    "\"NodeMetrics\",\"verbs\":[\"get\",\"list\"]},"
                    "{\"name\":\"pods\",\"singularName\":\"\",\"namespaced\":true,\"kind\":"
                    "\"PodMetrics\",\"verbs\":[\"get\",\"list\"]}");
}

/* --- external.metrics.k8s.io --- */

static void write_external(struct buf *b, struct str metric, const struct quantity *value,
                           int64_t at_ms, size_t n)
{
    char time[TIME_TEXT_MAX], text[64];

    buf_add_cstr(b, n ? ",{\"metricName\":" : "{\"metricName\":");
    json_write_str(b, metric);
    buf_printf(b, ",\"metricLabels\":null,\"timestamp\":\"%s\",\"value\":\"%s\"}",
               time_rfc3339(at_ms, time), quantity_text(value, text));
}

static void serve_keda(struct ask *q, struct str scaledobject)
{
    const struct metrics_api *m = &q->a->metrics;
    struct buf b = BUF_INIT;
    struct err err = ERR_INIT;
    struct quantity value;
    double v;
    int64_t at;

    if (!m->external)
        err_set(&err, ERR_UNAVAILABLE, "nothing scales yet");
    else
        m->external(m->ctx, q->parts[1], scaledobject, q->parts[2], &v, &at, &err);
    if (err.code) {
        fail(q, 500, "InternalError", err.msg);
        return;
    }
    value = quantity_of_double(v);
    list_head(q, &b, "ExternalMetricValueList");
    write_external(&b, q->parts[2], &value, at, 0);
    buf_add_cstr(&b, "]}");
    reply_body(q->x, 200, &b);
}

struct values {
    struct ask *q;
    struct buf *b;
    size_t n;
};

static void add_external(void *arg, const struct series *s, int64_t t, double v)
{
    struct values *x = arg;
    struct quantity value = quantity_of_milli(adapter_milli(v));

    (void)s;
    write_external(x->b, x->q->parts[2], &value, t, x->n++);
}

/* namespaces/NS/METRIC: with KEDA's selector the value of that ScaledObject's trigger, else series
 * by their name. */
static void serve_external(struct ask *q)
{
    struct buf text = BUF_INIT, b = BUF_INIT;
    struct values x = {.q = q, .b = &b};

    if (q->n != 3 || !str_is(q->parts[0], "namespaces")) {
        no_such_path(q);
        return;
    }
    if (q->labels)
        selector_text(q->labels, &text);
    if (str_starts(buf_str(&text), STR(SCALEDOBJECT_LABEL))) {
        serve_keda(q, str_skip(buf_str(&text), sizeof(SCALEDOBJECT_LABEL) - 1));
    } else {
        list_head(q, &b, "ExternalMetricValueList");
        adapter_each(&(struct adapter_query){.db = q->a->metrics.db,
                                             .ns = q->parts[1],
                                             .name = q->parts[2],
                                             .selector = q->labels,
                                             .now_ms = q->now},
                     add_external, &x);
        buf_add_cstr(&b, "]}");
        reply_body(q->x, 200, &b);
    }
    buf_done(&text);
}

static void list_external(struct apiserver *a, struct buf *b)
{
    (void)a;
    buf_add_cstr(b, "{\"name\":\"externalmetrics\",\"singularName\":\"\",\"namespaced\":true,"
                    "\"kind\":\"ExternalMetricValueList\",\"verbs\":[\"get\"]}");
}

/* --- custom.metrics.k8s.io --- */

struct of_object {
    struct values x;
    const char *kind, *api_version;
    struct str ns, object, metric;
    int64_t at_ms;
    double sum;
    size_t found;
};

static void add_custom(void *arg, const struct series *s, int64_t t, double v)
{
    struct of_object *o = arg;

    (void)s;
    o->at_ms = t;
    o->sum += v;
    o->found++;
}

/* v1beta1 has metricName, v1beta2 metric {name}. */
static void write_custom(struct of_object *o)
{
    struct quantity value = quantity_of_milli(adapter_milli(o->sum));
    struct buf *b = o->x.b;
    char time[TIME_TEXT_MAX], text[64];
    bool is_old = str_is(o->x.q->version, "v1beta1");

    buf_printf(b, "%s{\"describedObject\":{\"kind\":\"%s\",", o->x.n++ ? "," : "", o->kind);
    if (o->ns.n) {
        buf_add_cstr(b, "\"namespace\":");
        json_write_str(b, o->ns);
        buf_add_char(b, ',');
    }
    buf_add_cstr(b, "\"name\":");
    json_write_str(b, o->object);
    buf_printf(b, ",\"apiVersion\":\"%s\"},%s", o->api_version,
               is_old ? "\"metricName\":" : "\"metric\":{\"name\":");
    json_write_str(b, o->metric);
    buf_printf(b, "%s,\"timestamp\":\"%s\",\"value\":\"%s\"}", is_old ? "" : ",\"selector\":null}",
               time_rfc3339(o->at_ms, time), quantity_text(&value, text));
}

static void custom_of(struct of_object *o, struct str label)
{
    struct ask *q = o->x.q;

    o->sum = 0;
    o->found = 0;
    adapter_each(&(struct adapter_query){.db = q->a->metrics.db,
                                         .ns = o->ns,
                                         .name = o->metric,
                                         .kind = label,
                                         .object = o->object,
                                         .selector = q->metric_labels,
                                         .now_ms = q->now},
                 add_custom, o);
    if (o->found)
        write_custom(o);
}

static void add_custom_pod(void *arg, const struct object *pod)
{
    struct of_object *o = arg;

    o->object = pod->name;
    custom_of(o, STR("pod"));
}

/* RESOURCE[.GROUP] */
static const struct kind *kind_named(struct str resource)
{
    char text[128];

    for (int i = 0; i < KIND_COUNT; i++) {
        const struct kind *k = kind_of((enum kind_id)i);

        if (str_is(resource, kind_resource(k, text)) || str_is(resource, k->plural))
            return k;
    }
    return NULL;
}

/* namespaces/NS/RESOURCE/NAME/METRIC, NAME "*" for all pods of the selector; namespaces/NS/metrics/
 * METRIC of the namespace itself. */
static void serve_custom(struct ask *q)
{
    struct buf b = BUF_INIT_MAX((size_t)256 << 20);
    struct of_object o = {.x = {.q = q, .b = &b}};
    bool of_namespace = q->n == 4 && str_is(q->parts[2], "metrics");
    const struct kind *k = of_namespace ? kind_of(KIND_NAMESPACE)
                           : q->n == 5  ? kind_named(q->parts[2])
                                        : NULL;
    char version[96], label[64];

    if (!k || !str_is(q->parts[0], "namespaces")) {
        no_such_path(q);
        return;
    }
    o.ns = q->parts[1];
    o.kind = k->kind;
    o.api_version = kind_api_version(k, version);
    o.metric = q->parts[q->n - 1];
    list_head(q, &b, "MetricValueList");
    if (k->id == KIND_POD && str_is(q->parts[3], "*")) {
        store_each(q->a->o.store, KIND_POD, o.ns, q->labels, add_custom_pod, &o);
    } else {
        o.object = of_namespace ? o.ns : q->parts[3];
        snprintf(label, sizeof(label), "%s", k->singular);
        custom_of(&o, of_namespace ? STR("") : str_of(label));
    }
    buf_add_cstr(&b, "]}");
    if (o.x.n == 0 && !(k->id == KIND_POD && str_is(q->parts[3], "*"))) {
        buf_clear(&b);
        status_error(&b, 404, "NotFound", "the server could not find the metric %.*s for %s %.*s",
                     STR_ARG(o.metric), k->plural, STR_ARG(o.object));
        reply_body(q->x, 404, &b);
        return;
    }
    reply_body(q->x, 200, &b);
}

struct names {
    struct buf *b;
    struct table seen;
};

static void add_name(void *arg, struct series *s)
{
    struct names *n = arg;
    struct str name = series_label(s, "__name__");

    if (!series_label(s, "pod").n || table_set(&n->seen, name, n))
        return;
    buf_add_cstr(n->b, n->seen.count > 1 ? ",{\"name\":" : "{\"name\":");
    buf_printf(n->b, "\"pods/%.*s\"", STR_ARG(name));
    buf_add_cstr(n->b, ",\"singularName\":\"\",\"namespaced\":true,\"kind\":\"MetricValueList\","
                       "\"verbs\":[\"get\"]}");
}

static void list_custom(struct apiserver *a, struct buf *b)
{
    struct names n = {.b = b};

    tsdb_select(a->metrics.db, NULL, 0, add_name, &n);
    table_done(&n.seen);
}

/* --- all three --- */

static const struct metrics_group groups[] = {
    {"metrics.k8s.io", {"v1beta1"}, serve_resource_metrics, list_resource_metrics},
    {"custom.metrics.k8s.io", {"v1beta2", "v1beta1"}, serve_custom, list_custom},
    {"external.metrics.k8s.io", {"v1beta1"}, serve_external, list_external},
};

static const struct metrics_group *group_named(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(groups); i++)
        if (str_is(name, groups[i].name))
            return &groups[i];
    return NULL;
}

static bool has_version(const struct metrics_group *g, struct str version)
{
    for (size_t i = 0; i < ARRAY_LEN(g->versions) && g->versions[i]; i++)
        if (str_is(version, g->versions[i]))
            return true;
    return false;
}

static void write_group(struct buf *b, const struct metrics_group *g)
{
    buf_printf(b, "\"name\":\"%s\",\"versions\":[", g->name);
    for (size_t i = 0; i < ARRAY_LEN(g->versions) && g->versions[i]; i++)
        buf_printf(b, "%s{\"groupVersion\":\"%s/%s\",\"version\":\"%s\"}", i ? "," : "", g->name,
                   g->versions[i], g->versions[i]);
    buf_printf(b, "],\"preferredVersion\":{\"groupVersion\":\"%s/%s\",\"version\":\"%s\"}}",
               g->name, g->versions[0], g->versions[0]);
}

/* kubectl takes a group without resources for a broken one: no series yet, no custom metrics. */
static bool has_resources(struct apiserver *a, const struct metrics_group *g)
{
    struct buf b = BUF_INIT;
    bool has;

    g->resources(a, &b);
    has = b.n > 0;
    buf_done(&b);
    return has;
}

void metrics_api_groups(struct apiserver *a, struct buf *b)
{
    for (size_t i = 0; a->metrics.db && i < ARRAY_LEN(groups); i++) {
        if (!has_resources(a, &groups[i]))
            continue;
        buf_add_cstr(b, ",{");
        write_group(b, &groups[i]);
    }
}

bool metrics_api_discovery(struct apiserver *a, struct str group, struct str version, struct buf *b)
{
    const struct metrics_group *g = a->metrics.db ? group_named(group) : NULL;

    if (!g || (version.n && !has_version(g, version)))
        return false;
    if (version.n == 0) {
        buf_add_cstr(b, "{\"kind\":\"APIGroup\",\"apiVersion\":\"v1\",");
        write_group(b, g);
        return true;
    }
    buf_printf(b,
               "{\"kind\":\"APIResourceList\",\"apiVersion\":\"v1\",\"groupVersion\":\"%s/%.*s\","
               "\"resources\":[",
               g->name, STR_ARG(version));
    g->resources(a, b);
    buf_add_cstr(b, "]}");
    return true;
}

/* Splits what is behind /apis/GROUP/VERSION/; each part is decoded by itself, a metric's name may
 * hold a slash. */
static bool split_path(struct ask *q, struct str rest)
{
    struct str part;
    size_t at = 0;

    while (rest.p && str_split(&rest, '/', &part)) {
        ptrdiff_t n;

        if (q->n == PARTS_MAX || part.n == 0 || at + part.n > sizeof(q->path))
            return false;
        memcpy(q->path + at, part.p, part.n);
        n = http_pct_decode(q->path + at, part.n);
        if (n < 0)
            return false;
        q->parts[q->n++] = str_n(q->path + at, (size_t)n);
        at += part.n;
    }
    return q->n > 0;
}

static bool read_selector(struct ask *q, const char *key, struct selector **ret)
{
    char text[2048];
    struct err err = ERR_INIT;
    size_t n;

    if (!http_query_get(http_x_request(q->x)->query, key, text, sizeof(text), &n) || n == 0 ||
        selector_parse(str_n(text, n), ret, &err) == 0)
        return true;
    reply_bad_request(q->x, "%s: %s", key, err.msg);
    return false;
}

static bool read_fields(struct ask *q)
{
    char text[2048];
    struct err err = ERR_INIT;
    size_t n;

    if (!http_query_get(http_x_request(q->x)->query, "fieldSelector", text, sizeof(text), &n) ||
        n == 0 || field_selector_parse(kind_of(KIND_POD), str_n(text, n), &q->fields, &err) == 0)
        return true;
    reply_bad_request(q->x, "fieldSelector: %s", err.msg);
    return false;
}

bool serve_metrics(struct apiserver *a, struct http_x *x)
{
    const struct http_request *req = http_x_request(x);
    struct ask q = {.a = a, .x = x, .now = loop_wall_ms(a->loop)};
    struct str rest = req->path, group;

    if (!a->metrics.db || !str_starts(rest, STR("/apis/")))
        return false;
    rest = str_skip(rest, 6);
    if (!str_split(&rest, '/', &group) || !(q.group = group_named(group)))
        return false;
    if (!str_is(req->method, "GET") && !str_is(req->method, "HEAD"))
        fail(&q, 405, "MethodNotAllowed", "metrics can only be read");
    else if (!rest.p || !str_split(&rest, '/', &q.version) || !has_version(q.group, q.version) ||
             !split_path(&q, rest))
        no_such_path(&q);
    else if (read_selector(&q, "labelSelector", &q.labels) &&
             read_selector(&q, "metricLabelSelector", &q.metric_labels) && read_fields(&q))
        q.group->serve(&q);
    selector_free(q.labels);
    selector_free(q.metric_labels);
    field_selector_free(q.fields);
    return true;
}
