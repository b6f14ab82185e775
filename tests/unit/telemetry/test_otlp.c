/* SPDX-License-Identifier: Apache-2.0
 *
 * The receiver, from requests (in JSON, for reading) to what PromQL answers, in virtual time. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../cmocka_all.h"

#include "base/log.h"
#include "base/mem.h"
#include "codec/otlp_json.h"
#include "codec/promtext.h"
#include "codec/yaml.h"
#include "promql/promql.h"
#include "store/store.h"
#include "telemetry/otlp.h"

#define NOW_MS 1788184200123 /* the time of the samples in tests/data/otlp */
#define POINTS_AT(ms) (unsigned long long)(ms)*1000000ULL

struct bench {
    struct loop *loop;
    struct store *store;
    struct tsdb *db;
    struct otlp *otlp;
    struct otlp_outcome out;
    struct buf answer;
};

static int set_up(void **state)
{
    struct bench *b = mem_zalloc(sizeof(*b));

    log_set_level(LOG_LEVEL_ERROR);
    b->loop = loop_new_sim(NOW_MS);
    b->db = tsdb_new(&(struct tsdb_options){0});
    if (store_open(&(struct store_options){.loop = b->loop, .seed = 1}, &b->store, NULL) < 0)
        return -1;
    b->otlp = otlp_new(
        &(struct otlp_options){.loop = b->loop, .db = b->db, .cluster = store_cluster(b->store)});
    loop_run_for(b->loop, 1);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;

    otlp_free(b->otlp);
    tsdb_free(b->db);
    store_close(b->store);
    loop_free(b->loop);
    buf_done(&b->answer);
    free(b);
    return 0;
}

static struct str load(const char *name, struct buf *b)
{
    char path[300], part[65536];
    size_t n;
    FILE *f;

    snprintf(path, sizeof(path), FB_TEST_DATA "/otlp/%s", name);
    f = fopen(path, "re");
    assert_non_null(f);
    while ((n = fread(part, 1, sizeof(part), f)) > 0)
        buf_add(b, part, n);
    fclose(f);
    return b->p ? buf_str(b) : STR("");
}

static int push(struct bench *b, struct str json)
{
    struct buf pb = BUF_INIT;
    struct err err = ERR_INIT;
    int r = otlp_from_json(json, &pb, &err);

    if (r == 0)
        r = otlp_receive(b->otlp, buf_str(&pb), &b->out, &err);
    if (r < 0)
        printf("%s\n", err.msg);
    buf_done(&pb);
    return r;
}

/* One metric of one resource; attributes and metric are the insides of JSON objects. */
__attribute__((format(printf, 3, 4))) static void push_metric(struct bench *b, const char *resource,
                                                              const char *fmt, ...)
{
    struct buf json = BUF_INIT;
    va_list ap;

    buf_printf(&json,
               "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[%s]},"
               "\"scopeMetrics\":[{\"metrics\":[{",
               resource);
    va_start(ap, fmt);
    buf_vprintf(&json, fmt, ap);
    va_end(ap);
    buf_add_cstr(&json, "}]}]}]}");
    assert_int_equal(push(b, buf_str(&json)), 0);
    buf_done(&json);
}

#define ATTR(k, v) "{\"key\":\"" k "\",\"value\":{\"stringValue\":\"" v "\"}}"

static void push_gauge(struct bench *b, const char *resource, const char *name, int64_t t, double v)
{
    push_metric(b, resource,
                "\"name\":\"%s\",\"gauge\":{\"dataPoints\":[{\"timeUnixNano\":\"%llu\","
                "\"asDouble\":%.17g}]}",
                name, POINTS_AT(t), v);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "{a="1"} 2; {a="2"} 3", sorted. */
static const char *ask_at(struct bench *b, const char *expr, int64_t t)
{
    struct promql_result r;
    struct promql *q;
    struct err err = ERR_INIT;
    char **lines;

    assert_int_equal(promql_parse(str_of(expr), &q, &err), 0);
    assert_int_equal(promql_instant(b->db, q, t, NULL, &r, &err), 0);
    promql_free(q);
    lines = mem_array(r.n, sizeof(*lines));
    for (size_t i = 0; i < r.n; i++) {
        struct buf line = BUF_INIT;

        buf_add_char(&line, '{');
        for (size_t k = 0; k < r.vector[i].labels.n; k++)
            buf_printf(&line, "%s%.*s=%.*s", k ? "," : "",
                       STR_ARG(r.vector[i].labels.items[k].name),
                       STR_ARG(r.vector[i].labels.items[k].value));
        buf_printf(&line, "} %.12g", r.vector[i].v);
        lines[i] = buf_take(&line, NULL);
    }
    qsort(lines, r.n, sizeof(*lines), by_text);
    buf_clear(&b->answer);
    for (size_t i = 0; i < r.n; i++) {
        buf_printf(&b->answer, "%s%s", i ? "; " : "", lines[i]);
        free(lines[i]);
    }
    free(lines);
    promql_result_done(&r);
    return buf_cstr(&b->answer);
}

static const char *ask(struct bench *b, const char *expr)
{
    return ask_at(b, expr, loop_wall_ms(b->loop));
}

/* --- kinds of points --- */

static void every_kind_is_stored_under_the_names_prometheus_gives(void **state)
{
    struct bench *b = *state;
    struct buf file = BUF_INIT;

    assert_int_equal(push(b, load("all_point_kinds.json", &file)), 0);
    assert_int_equal(b->out.accepted, 15);
    assert_int_equal(b->out.rejected, 0);
    assert_string_equal(b->out.message, "");
    assert_string_equal(ask(b, "{\"gauge.double\"}"),
                        "{__name__=gauge.double,arr=[\"a\",1,null],engine=0,job=fbopt,"
                        "kv={\"x\":\"y\"},n=-5,ok=true,r=0.5,raw=AP8Q} 0.25");
    assert_string_equal(ask(b, "{\"gauge.int.negative\"}"),
                        "{__name__=gauge.int.negative,engine=0,job=fbopt} -42");
    assert_string_equal(ask(b, "{\"sum.delta.monotonic\"}"),
                        "{__name__=sum.delta.monotonic,job=fbopt} 12.5");
    assert_string_equal(ask(b, "{\"histogram.cumulative_bucket\"}"),
                        "{__name__=histogram.cumulative_bucket,job=fbopt,le=+Inf} 10; "
                        "{__name__=histogram.cumulative_bucket,job=fbopt,le=0.1} 1; "
                        "{__name__=histogram.cumulative_bucket,job=fbopt,le=0.5} 3; "
                        "{__name__=histogram.cumulative_bucket,job=fbopt,le=1.0} 6");
    assert_string_equal(ask(b, "{\"histogram.cumulative_sum\"}"),
                        "{__name__=histogram.cumulative_sum,job=fbopt} 4.5");
    assert_string_equal(ask(b, "{\"histogram.delta.nobuckets_bucket\"}"),
                        "{__name__=histogram.delta.nobuckets_bucket,job=fbopt,le=+Inf} 3");
    assert_string_equal(ask(b, "{\"histogram.delta.nobuckets_sum\"}"), ""); /* none was sent */
    assert_string_equal(ask(b, "summary"), "{__name__=summary,job=fbopt,quantile=0.0} 0.1; "
                                           "{__name__=summary,job=fbopt,quantile=0.5} 0.4; "
                                           "{__name__=summary,job=fbopt,quantile=1.0} 1.1");
    assert_string_equal(ask(b, "summary_count"), "{__name__=summary_count,job=fbopt} 4");
    assert_string_equal(ask(b, "{\"two.points\"}"), "{__name__=two.points,job=fbopt,pod=a} 1; "
                                                    "{__name__=two.points,job=fbopt,pod=b} 2");
    assert_string_equal(ask(b, "{\"stale.gauge\"}"), "");
    assert_string_equal(ask(b, "target_info"),
                        "{__name__=target_info,host_name=pod-a,job=fbopt} 1");
    buf_done(&file);
}

static void an_exponential_histogram_answers_histogram_quantile(void **state)
{
    struct bench *b = *state;

    /* scale 1: bounds sqrt(2) apart; folded, the negative one on top of the zero bucket */
    push_metric(b, "",
                "\"name\":\"e\",\"exponentialHistogram\":{\"aggregationTemporality\":2,"
                "\"dataPoints\":[{\"timeUnixNano\":\"%llu\",\"count\":\"12\",\"sum\":30,"
                "\"scale\":1,\"zeroCount\":\"2\",\"zeroThreshold\":0.001,"
                "\"positive\":{\"offset\":0,\"bucketCounts\":[\"1\",\"0\",\"4\"]},"
                "\"negative\":{\"offset\":3,\"bucketCounts\":[\"5\"]}}]}",
                POINTS_AT(NOW_MS));
    assert_int_equal(b->out.accepted, 1);
    assert_string_equal(
        ask(b, "e_bucket"),
        "{__name__=e_bucket,le=+Inf} 12; {__name__=e_bucket,le=-2.8284271247461903} 5; "
        "{__name__=e_bucket,le=0.001} 7; {__name__=e_bucket,le=1.0} 7; "
        "{__name__=e_bucket,le=1.4142135623730951} 8; {__name__=e_bucket,le=2.0} 8; "
        "{__name__=e_bucket,le=2.8284271247461903} 12");
    assert_string_equal(ask(b, "e_count"), "{__name__=e_count} 12");
    assert_string_equal(ask(b, "histogram_quantile(0.75, e_bucket) > 2 < 2.83"),
                        "{} 2.20710678119");
}

/* A finer point first, then a coarser one: the grid gets coarser once, what is known is kept. */
static void an_exponential_histogram_survives_rescaling(void **state)
{
    struct bench *b = *state;

    for (int i = 0; i < 2; i++)
        push_metric(b, "",
                    "\"name\":\"e\",\"exponentialHistogram\":{\"aggregationTemporality\":1,"
                    "\"dataPoints\":[{\"startTimeUnixNano\":\"%llu\",\"timeUnixNano\":\"%llu\","
                    "\"count\":\"4\",\"sum\":6,\"scale\":%d,"
                    "\"positive\":{\"offset\":0,\"bucketCounts\":[\"1\",\"1\",\"1\",\"1\"]}}]}",
                    POINTS_AT(NOW_MS - 2000 + i * 1000), POINTS_AT(NOW_MS - 1000 + i * 1000),
                    2 - 2 * i);
    assert_int_equal(b->out.accepted, 1);
    assert_string_equal(ask(b, "e_bucket"),
                        "{__name__=e_bucket,le=+Inf} 8; {__name__=e_bucket,le=0.0} 0; "
                        "{__name__=e_bucket,le=1.0} 0; {__name__=e_bucket,le=16.0} 8; "
                        "{__name__=e_bucket,le=2.0} 5; {__name__=e_bucket,le=4.0} 6; "
                        "{__name__=e_bucket,le=8.0} 7");
    assert_string_equal(ask(b, "e_sum"), "{__name__=e_sum} 12");
}

static void push_delta(struct bench *b, int64_t start, int64_t t, double v)
{
    push_metric(b, "",
                "\"name\":\"d\",\"sum\":{\"aggregationTemporality\":1,\"isMonotonic\":true,"
                "\"dataPoints\":[{\"startTimeUnixNano\":\"%llu\",\"timeUnixNano\":\"%llu\","
                "\"asDouble\":%g}]}",
                POINTS_AT(start), POINTS_AT(t), v);
}

static void delta_is_added_up_and_overlaps_are_refused(void **state)
{
    struct bench *b = *state;
    int64_t t = NOW_MS - 10000;

    push_delta(b, t, t + 1000, 2);
    push_delta(b, t + 1000, t + 2000, 3);
    assert_string_equal(ask(b, "d"), "{__name__=d} 5");
    push_delta(b, t + 1500, t + 2500, 100); /* overlaps */
    assert_int_equal(b->out.rejected, 1);
    assert_non_null(strstr(b->out.message, "overlaps"));
    push_delta(b, t + 1000, t + 2000, 100); /* again */
    assert_int_equal(b->out.rejected, 1);
    push_delta(b, t + 4000, t + 5000, 4); /* a gap: something was lost, this was not */
    assert_string_equal(ask(b, "d"), "{__name__=d} 9");
}

static void push_sum(struct bench *b, int64_t start, int64_t t, double v)
{
    push_metric(b, "",
                "\"name\":\"c_total\",\"sum\":{\"aggregationTemporality\":2,\"isMonotonic\":true,"
                "\"dataPoints\":[{\"startTimeUnixNano\":\"%llu\",\"timeUnixNano\":\"%llu\","
                "\"asDouble\":%g}]}",
                POINTS_AT(start), POINTS_AT(t), v);
}

static void a_counter_that_began_anew_is_seen_even_if_it_did_not_fall(void **state)
{
    struct bench *b = *state;

    push_sum(b, NOW_MS - 60000, NOW_MS - 20000, 10);
    push_sum(b, NOW_MS - 15000, NOW_MS - 10000, 12); /* a new process that was quick */
    push_sum(b, NOW_MS - 15000, NOW_MS - 5000, 13);
    assert_string_equal(ask(b, "resets(c_total[1m])"), "{} 1");
    assert_string_equal(ask(b, "c_total"), "{__name__=c_total} 13");
}

static void the_flag_ends_a_series_and_a_value_revives_it(void **state)
{
    struct bench *b = *state;

    push_gauge(b, "", "g", NOW_MS - 3000, 5);
    assert_string_equal(ask(b, "g"), "{__name__=g} 5");
    push_metric(
        b, "",
        "\"name\":\"g\",\"gauge\":{\"dataPoints\":[{\"timeUnixNano\":\"%llu\",\"flags\":1}]}",
        POINTS_AT(NOW_MS - 2000));
    assert_int_equal(b->out.accepted, 1);
    assert_string_equal(ask(b, "g"), "");
    push_gauge(b, "", "g", NOW_MS - 1000, 6);
    assert_string_equal(ask(b, "g"), "{__name__=g} 6");
}

/* --- what is refused --- */

static void bad_points_are_counted_with_reasons_and_the_rest_is_stored(void **state)
{
    struct bench *b = *state;
    struct buf file = BUF_INIT;

    assert_int_equal(push(b, load("bad_13_bounds_not_increasing.json", &file)), 0);
    assert_int_equal(b->out.accepted, 1);
    assert_int_equal(b->out.rejected, 1);
    assert_non_null(strstr(b->out.message, "1 of 2 points were left out, the first in '"));
    assert_non_null(strstr(b->out.message, "not strictly increasing (1)"));
    buf_done(&file);
    push_gauge(b, "", "g", NOW_MS, 1);
    push_gauge(b, "", "g", NOW_MS - 1, 2);
    assert_non_null(strstr(b->out.message, "older than the newest"));
    push_gauge(b, "", "g", NOW_MS, 3); /* the same time: the last one counts */
    assert_int_equal(b->out.accepted, 1);
    assert_string_equal(ask(b, "g"), "{__name__=g} 3");
    push_gauge(b, "", "later", NOW_MS + 700000, 3);
    assert_non_null(strstr(b->out.message, "in the future"));
    buf_clear(&b->answer);
    otlp_metrics(b->otlp, &b->answer);
    assert_non_null(strstr(buf_cstr(&b->answer), "flyball_otlp_accepted_points_total 3\n"));
    assert_non_null(strstr(buf_cstr(&b->answer),
                           "flyball_otlp_refused_points_total{reason=\"a point lies more than 10 "
                           "minutes in the future\"} 1\n"));
}

static void a_malformed_request_stores_nothing(void **state)
{
    struct bench *b = *state;
    struct buf file = BUF_INIT;
    struct str good = load("all_point_kinds.pb", &file);

    for (size_t n = 1; n < good.n; n++)
        assert_int_equal(otlp_receive(b->otlp, str_n(good.p, n), &b->out, NULL) == 0, false);
    assert_int_equal(tsdb_series_count(b->db), 0);
    buf_done(&file);
}

static void a_full_store_says_so(void **state)
{
    struct bench *b = *state;
    struct tsdb *db = tsdb_new(&(struct tsdb_options){.max_series = 2});
    struct otlp *small = otlp_new(&(struct otlp_options){.loop = b->loop, .db = db});
    struct otlp *before = b->otlp;

    b->otlp = small;
    push_gauge(b, "", "a", NOW_MS - 1, 1);
    push_gauge(b, "", "b", NOW_MS - 1, 1);
    push_gauge(b, "", "c", NOW_MS - 1, 1);
    assert_int_equal(b->out.rejected, 1);
    assert_non_null(strstr(b->out.message, "the store is full"));
    push_gauge(b, "", "a", NOW_MS, 2); /* known ones go on */
    assert_int_equal(b->out.accepted, 1);
    b->otlp = before;
    otlp_free(small);
    tsdb_free(db);

    db = tsdb_new(&(struct tsdb_options){.max_bytes = 1});
    small = otlp_new(&(struct otlp_options){.loop = b->loop, .db = db});
    assert_int_equal(otlp_receive(small, STR(""), &b->out, NULL), 0);
    b->otlp = small;
    push_gauge(b, "", "a", NOW_MS, 1);
    b->otlp = before;
    assert_int_equal(otlp_receive(small, STR(""), &b->out, NULL), ERR_LIMIT);
    otlp_free(small);
    tsdb_free(db);
}

/* --- labels, and pods --- */

static void attributes_stand_beside_the_targets_labels(void **state)
{
    struct bench *b = *state;

    push_metric(b,
                ATTR("service.namespace", "shop") "," ATTR("service.name", "cart") "," ATTR(
                    "service.instance.id", "i1") "," ATTR("k8s.namespace.name", "default"),
                "\"name\":\"m\",\"gauge\":{\"dataPoints\":[{\"timeUnixNano\":\"%llu\",\"asInt\":1,"
                "\"attributes\":[%s,%s,%s,%s,%s]}]}",
                POINTS_AT(NOW_MS), ATTR("namespace", "default"), ATTR("job", "other"),
                ATTR("k", "first"), ATTR("k", "second"), ATTR("empty", ""));
    assert_string_equal(ask(b, "m"), "{__name__=m,exported_job=other,instance=i1,job=shop/cart,"
                                     "k=first,namespace=default} 1");
}

static void created(void *arg, const struct store_result *r)
{
    if (r->err_code)
        printf("%.*s\n", STR_ARG(r->message));
    assert_int_equal(r->err_code, 0);
    (void)arg;
}

static void apply(struct bench *b, enum kind_id kind, const char *yaml)
{
    AUTO_JSON json_t *tree = NULL;

    assert_int_equal(yaml_parse(str_of(yaml), &tree, NULL), 0);
    store_submit(b->store,
                 &(struct store_request){.verb = CLUSTER_CREATE,
                                         .kind = kind_of(kind),
                                         .ns = str_of(json_text(tree, "metadata.namespace", "")),
                                         .tree = tree},
                 created, NULL);
    loop_run_for(b->loop, 100);
}

#define POD_P ATTR("k8s.namespace.name", "default") "," ATTR("k8s.pod.name", "p")

static void a_pods_series_carry_its_labels_and_end_with_it(void **state)
{
    struct bench *b = *state;
    struct cluster *c = store_cluster(b->store);
    int64_t t;

    apply(b, KIND_NAMESPACE, "{apiVersion: v1, kind: Namespace, metadata: {name: default}}");
    push_gauge(b, POD_P, "g", loop_wall_ms(b->loop), 1); /* the pod is not known yet */
    assert_string_equal(ask(b, "g"), "{__name__=g,namespace=default,pod=p} 1");
    apply(b, KIND_POD,
          "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: default, labels: {app: a-b, "
          "x.y: z}}, spec: {nodeName: n1, containers: [{name: c, image: i}]}}");
    assert_string_equal(ask(b, "g"), ""); /* those were not its true labels */
    push_gauge(b, POD_P, "g", loop_wall_ms(b->loop), 2);
    push_gauge(b, ATTR("k8s.namespace.name", "default") "," ATTR("k8s.pod.name", "q"), "g",
               loop_wall_ms(b->loop), 7);
    assert_string_equal(
        ask(b, "g"), "{__name__=g,app=a-b,deployment=p,namespace=default,node=n1,pod=p,x_y=z} 2; "
                     "{__name__=g,namespace=default,pod=q} 7");
    cluster_write(c,
                  &(struct cluster_write){.verb = CLUSTER_DELETE,
                                          .kind = KIND_POD,
                                          .ns = STR("default"),
                                          .name = STR("p"),
                                          .grace_s = 0},
                  NULL, NULL);
    loop_run_for(b->loop, 100);
    assert_string_equal(ask(b, "g"), "{__name__=g,namespace=default,pod=q} 7");
    loop_run_for(b->loop, 100);
    t = loop_wall_ms(b->loop);
    push_gauge(b, POD_P, "g", t, 3); /* what was still on its way */
    assert_int_equal(b->out.rejected, 1);
    assert_non_null(strstr(b->out.message, "the pod that sent it has ended"));
    assert_string_equal(ask(b, "g"), "{__name__=g,namespace=default,pod=q} 7");
    apply(
        b, KIND_POD, /* another one by that name */
        "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: default}, spec: {nodeName: n1, "
        "containers: [{name: c, image: i}]}}");
    push_gauge(b, POD_P, "g", loop_wall_ms(b->loop), 4);
    assert_string_equal(ask(b, "g{pod=\"p\"}"),
                        "{__name__=g,deployment=p,namespace=default,node=n1,pod=p} 4");
    push_gauge(b, POD_P "," ATTR("k8s.pod.uid", "of-the-first"), "g", loop_wall_ms(b->loop), 5);
    assert_int_equal(b->out.rejected, 1);
}

static void a_pod_of_a_statefulset_is_known_by_that(void **state)
{
    struct bench *b = *state;

    apply(b, KIND_NAMESPACE, "{apiVersion: v1, kind: Namespace, metadata: {name: default}}");
    push_gauge(b, POD_P "," ATTR("k8s.statefulset.name", "web"), "g", loop_wall_ms(b->loop), 1);
    assert_string_equal(ask(b, "g"), "{__name__=g,namespace=default,pod=p,statefulset=web} 1");
    apply(b, KIND_POD,
          "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: default, ownerReferences: "
          "[{apiVersion: apps/v1, kind: StatefulSet, name: own, uid: u, controller: true}]}, spec: "
          "{nodeName: n1, containers: [{name: c, image: i}]}}");
    push_gauge(b, POD_P, "g", loop_wall_ms(b->loop), 2);
    assert_string_equal(ask(b, "g{node=\"n1\"}"),
                        "{__name__=g,namespace=default,node=n1,pod=p,statefulset=own} 2");
}

/* --- pushed and scraped are one --- */

struct scraped {
    struct tsdb *db;
    const struct label *target;
    size_t n;
};

static bool on_sample(void *arg, const struct promtext_sample *s)
{
    struct scraped *x = arg;
    struct label l[80];
    struct series *series;
    size_t n = 0;

    l[n++] = (struct label){STR("__name__"), s->name};
    for (size_t i = 0; i < x->n; i++)
        l[n++] = x->target[i];
    for (size_t i = 0; i < s->n_labels; i++)
        l[n++] = (struct label){s->labels[i].name, s->labels[i].value};
    series = tsdb_series(x->db, l, n);
    tsdb_append(x->db, series, NOW_MS, s->value);
    tsdb_release(series);
    return true;
}

static void a_pushed_page_answers_as_the_scraped_one(void **state)
{
    static const struct label target[] = {
        {STR("job"), STR("otel-collector")},
        {STR("instance"), STR("localhost:8080")},
        {STR("namespace"), STR("default")},
        {STR("deployment"), STR("huggingface-fbopt-predictor")},
        {STR("pod"), STR("huggingface-fbopt-predictor-6c7f9b8d5c-x2k4q")},
        {STR("node"), STR("node-a")}};
    static const char *const queries[] = {
        "{job=\"otel-collector\",__name__!~\"up|scrape_.*|target_info\"}",
        "sum(vllm:num_requests_running)",
        "sum by (model_name) (vllm:num_requests_waiting{engine=\"0\"})",
        "histogram_quantile(0.9, vllm:time_to_first_token_seconds_bucket)",
        "histogram_quantile(0.5, sum by (le) (vllm:e2e_request_latency_seconds_bucket))",
        "vllm:prompt_tokens_total{namespace=\"default\"}",
        "vllm:iteration_tokens_total_sum / vllm:iteration_tokens_total_count",
        "count by (__name__) ({__name__=~\"vllm:.*\"})",
        "vllm:time_to_first_token_seconds_bucket{le=\"0.005\"}",
    };
    struct bench *b = *state, other = {.db = tsdb_new(&(struct tsdb_options){0}), .loop = b->loop};
    struct scraped x = {other.db, target, ARRAY_LEN(target)};
    struct buf page = BUF_INIT, pushed = BUF_INIT;

    assert_int_equal(
        promtext_parse(load("vllm_page1.prom", &page), PROMTEXT_004, on_sample, NULL, &x, NULL), 0);
    assert_int_equal(push(b, load("vllm_page1.from-text.otlp.json", &pushed)), 0);
    assert_int_equal(b->out.accepted, 78);
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        assert_true(strlen(ask(&other, queries[i])) > 0);
        assert_string_equal(ask(b, queries[i]), ask(&other, queries[i]));
    }
    buf_done(&page);
    buf_done(&pushed);
    buf_done(&other.answer);
    tsdb_free(other.db);
}

/* --- time --- */

static void what_is_no_longer_pushed_is_forgotten(void **state)
{
    struct bench *b = *state;

    for (int i = 0; i < 100; i++) {
        char name[16];

        snprintf(name, sizeof(name), "g%d", i);
        push_gauge(b, ATTR("host.name", "h"), name, loop_wall_ms(b->loop), i);
    }
    loop_run_for(b->loop, 20 * 60 * 1000);
    tsdb_sweep(b->db, loop_wall_ms(b->loop));
    assert_int_equal(tsdb_series_count(b->db), 0); /* the receiver holds none of them */
    buf_clear(&b->answer);
    otlp_metrics(b->otlp, &b->answer);
    assert_non_null(strstr(buf_cstr(&b->answer), "flyball_otlp_known_points 0\n"));
}

static void a_wall_clock_set_back_does_not_stop_pushes(void **state)
{
    struct bench *b = *state;

    push_gauge(b, "", "g", loop_wall_ms(b->loop), 1);
    loop_sim_jump_wall(b->loop, -3600000);
    push_gauge(b, "", "g", loop_wall_ms(b->loop), 2);
    assert_int_equal(b->out.accepted, 1);
    assert_string_equal(ask(b, "g"), "{__name__=g} 2");
    loop_run_for(b->loop, 1000);
    push_gauge(b, "", "g", loop_wall_ms(b->loop), 3);
    assert_string_equal(ask(b, "count_over_time(g[1m])"), "{} 2"); /* forgotten once */
}

/* Ten generations of a thousand series, each gone when the next comes. */
static void the_memory_of_series_that_went_is_used_again(void **state)
{
    struct bench *b = *state;
    size_t first = 0;

    for (int generation = 0; generation < 10; generation++) {
        for (int i = 0; i < 1000; i++) {
            char name[32];

            snprintf(name, sizeof(name), "g%d_%d", generation, i);
            push_gauge(b, ATTR("host.name", "h"), name, loop_wall_ms(b->loop), i);
        }
        if (generation == 1)
            first = tsdb_bytes(b->db);
        loop_run_for(b->loop, 20 * 60 * 1000);
        tsdb_sweep(b->db, loop_wall_ms(b->loop));
    }
    assert_int_equal(tsdb_series_count(b->db), 0);
    assert_true(tsdb_bytes(b->db) <= first);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(every_kind_is_stored_under_the_names_prometheus_gives),
        T(an_exponential_histogram_answers_histogram_quantile),
        T(an_exponential_histogram_survives_rescaling),
        T(delta_is_added_up_and_overlaps_are_refused),
        T(a_counter_that_began_anew_is_seen_even_if_it_did_not_fall),
        T(the_flag_ends_a_series_and_a_value_revives_it),
        T(bad_points_are_counted_with_reasons_and_the_rest_is_stored),
        T(a_malformed_request_stores_nothing),
        T(a_full_store_says_so),
        T(attributes_stand_beside_the_targets_labels),
        T(a_pods_series_carry_its_labels_and_end_with_it),
        T(a_pod_of_a_statefulset_is_known_by_that),
        T(a_pushed_page_answers_as_the_scraped_one),
        T(what_is_no_longer_pushed_is_forgotten),
        T(a_wall_clock_set_back_does_not_stop_pushes),
        T(the_memory_of_series_that_went_is_used_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
