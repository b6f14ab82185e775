/* SPDX-License-Identifier: Apache-2.0
 *
 * What deciding costs with many objects: the real store, triggers, ScaledObject controller and HPA
 * passes; targets are Deployments that nobody reconciles, so that there are scales and no processes
 * (a change of spec.replicas becomes status.replicas at once). Samples are pushed into the built-in
 * store as the OTLP receiver does it.
 *
 *   scale_bench [--objects N] [--seconds S] [--memory]     --memory: objects in memory, no SQLite
 *
 * Prints, for DOCS: CPU of one evaluation of a query and of one whole look, memory per object, and
 * the delay from a changed sample to the committed count, with every object changing once a second
 * and with all changing at the same instant. */
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "controllers/hpa_book.h"
#include "controllers/scaledobject.h"
#include "store/store.h"
#include "telemetry/rounds.h"

#define NS "default"
#define STEP_MS 10
#define QUERY_RUNS 20000

static const char *const metrics[] = {"vllm:num_requests_running", "vllm:num_requests_waiting",
                                      "vllm:kv_cache_usage_perc"};

struct thing {
    struct series *s[3];
    int64_t replicas;   /* as committed */
    int64_t want;       /* after the newest sample */
    int64_t changed_ns; /* of the sample that is not answered yet; 0: none */
};

struct bench {
    struct loop *loop;
    struct store *store;
    struct cluster *cluster;
    struct tsdb *db;
    struct thing *things;
    size_t n, seconds;
    struct loop_timer timer;
    size_t next, steps;
    double *delays_ms;
    size_t n_delays, cap_delays, wrong;
    bool is_burst;
    struct hpa_book *book;
};

static int64_t now_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static double cpu_s(void)
{
    struct rusage r;

    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static double memory(void)
{
    struct mallinfo2 m = mallinfo2();

    return (double)(m.uordblks + m.hblkhd);
}

static double resident(void)
{
    long long size, pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (f && fscanf(f, "%lld %lld", &size, &pages) != 2)
        pages = 0;
    if (f)
        fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* --- objects --- */

static void on_written(void *arg, const struct object *now, const struct err *err)
{
    (void)arg;
    (void)now;
    if (err) {
        fprintf(stderr, "scale_bench: %s\n", err->msg);
        exit(1);
    }
}

static void create(struct bench *b, enum kind_id kind, json_t *tree)
{
    cluster_write(b->cluster,
                  &(struct cluster_write){.verb = CLUSTER_CREATE,
                                          .kind = kind,
                                          .ns = kind == KIND_NAMESPACE ? STR("") : STR(NS),
                                          .tree = tree,
                                          .manager = "bench"},
                  on_written, b);
    json_decref(tree);
}

static json_t *trigger(const char *metric, const char *threshold)
{
    return json_pack("{s:s,s:{s:s,s:s,s:s}}", "type", "prometheus", "metadata", "serverAddress",
                     "http://127.0.0.1:9090", "query", metric, "threshold", threshold);
}

static void create_thing(struct bench *b, size_t i)
{
    char name[32];
    json_t *rules = json_pack("{s:i,s:[{s:s,s:i,s:i}]}", "stabilizationWindowSeconds", 0,
                              "policies", "type", "Pods", "value", 1000, "periodSeconds", 1);

    snprintf(name, sizeof(name), "model-%zu", i);
    create(b, KIND_DEPLOYMENT,
           json_pack("{s:s,s:s,s:{s:s,s:s},s:{s:i,s:{s:{s:s}},s:{s:{s:{s:s}},s:{s:[{s:s,s:s}]}}}}",
                     "apiVersion", "apps/v1", "kind", "Deployment", "metadata", "name", name,
                     "namespace", NS, "spec", "replicas", 1, "selector", "matchLabels", "app", name,
                     "template", "metadata", "labels", "app", name, "spec", "containers", "name",
                     "c", "image", "none"));
    create(b, KIND_SCALEDOBJECT,
           json_pack("{s:s,s:s,s:{s:s,s:s},s:{s:{s:s},s:i,s:i,s:{s:{s:{s:O,s:o}}},s:[o,o,o]}}",
                     "apiVersion", "keda.sh/v1alpha1", "kind", "ScaledObject", "metadata", "name",
                     name, "namespace", NS, "spec", "scaleTargetRef", "name", name,
                     "minReplicaCount", 1, "maxReplicaCount", 100, "advanced",
                     "horizontalPodAutoscalerConfig", "behavior", "scaleUp", rules, "scaleDown",
                     rules, "triggers", trigger(metrics[0], "2"), trigger(metrics[1], "2"),
                     trigger(metrics[2], "0.9")));
    for (size_t k = 0; k < 3; k++) {
        char pod[48];
        struct label l[] = {{STR("__name__"), str_of(metrics[k])},
                            {STR("namespace"), STR(NS)},
                            {STR("deployment"), str_of(name)},
                            {STR("pod"), str_of(pod)},
                            {STR("engine"), STR("0")},
                            {STR("model_name"), STR("bench")}};

        snprintf(pod, sizeof(pod), "%s-0", name);
        b->things[i].s[k] = tsdb_series(b->db, l, ARRAY_LEN(l));
    }
}

/* --- the scale, and what is measured at it --- */

static void add_delay(struct bench *b, double ms)
{
    mem_grow(&b->delays_ms, &b->cap_delays, b->n_delays);
    b->delays_ms[b->n_delays++] = ms;
}

static void on_deployment(void *arg, enum cluster_event event, const struct object *was,
                          const struct object *o)
{
    struct bench *b = arg;
    AUTO_JSON json_t *tree = object_tree(o);
    AUTO_JSON json_t *status = NULL;
    int64_t replicas = json_int(tree, "spec.replicas", 0), i;
    struct thing *t;

    (void)was;
    if (event == CLUSTER_DELETED || !str_to_i64(str_skip(o->name, 6), &i) || i >= (int64_t)b->n)
        return;
    t = &b->things[i];
    t->replicas = replicas;
    if (t->changed_ns && replicas == t->want) {
        add_delay(b, (double)(now_ns(CLOCK_MONOTONIC) - t->changed_ns) / 1e6);
        t->changed_ns = 0;
    }
    if (json_int(tree, "status.replicas", 0) == replicas)
        return;
    status = json_pack("{s:I,s:I,s:I}", "replicas", (json_int_t)replicas, "readyReplicas",
                       (json_int_t)replicas, "observedGeneration", (json_int_t)o->generation);
    cluster_write_status(b->cluster, o, status, "bench", on_written, b);
}

/* The first metric asks for `size` replicas, the others for fewer. */
static void push(struct bench *b, size_t i, int64_t size, double jitter)
{
    struct thing *t = &b->things[i];
    int64_t now = loop_wall_ms(b->loop);

    if (t->changed_ns && t->replicas != t->want)
        b->wrong++; /* more than a second without an answer */
    t->want = size;
    t->changed_ns = size == t->replicas ? 0 : now_ns(CLOCK_MONOTONIC);
    tsdb_append(b->db, t->s[0], now, (double)size * 2 - 0.5 + jitter);
    tsdb_append(b->db, t->s[1], now, (double)size - 0.9 + jitter);
    tsdb_append(b->db, t->s[2], now, 0.3 + jitter / 10);
}

static void spin(struct bench *b, int64_t ms)
{
    (void)b;
    struct loop_timer t;

    loop_timer_init(&t, b->loop, (void (*)(void *))loop_stop, b->loop);
    loop_timer_start(&t, ms);
    loop_run(b->loop);
    loop_timer_stop(&t);
}

static bool all_have(const struct bench *b, int64_t replicas)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->things[i].replicas != replicas)
            return false;
    return true;
}

static void until_all_have(struct bench *b, int64_t replicas)
{
    for (int i = 0; i < 600 && !all_have(b, replicas); i++)
        spin(b, 100);
    if (!all_have(b, replicas)) {
        fprintf(stderr, "scale_bench: not all objects came to %lld replicas\n",
                (long long)replicas);
        exit(1);
    }
}

/* --- phases --- */

/* Its part of the objects every STEP_MS, each object once a second; changes: to another size. */
static void on_step(void *arg)
{
    struct bench *b = arg;
    size_t upto = ++b->steps * b->n * STEP_MS / 1000;
    bool changes = b->is_burst;

    loop_timer_start(&b->timer, STEP_MS);
    for (; b->next < upto; b->next++) {
        size_t i = b->next % b->n;

        push(b, i, changes ? (b->things[i].want == 2 ? 5 : 2) : b->things[i].want,
             changes ? 0 : 0.1 + 0.001 * (double)(b->next / b->n % 90));
    }
}

static uint64_t looks(const struct bench *b)
{
    struct buf text = BUF_INIT;
    uint64_t sum = 0;
    const char *p;

    hpa_book_metrics(b->book, &text);
    p = buf_cstr(&text);
    while ((p = strstr(p, "\nhorizontal_pod_autoscaler_controller_reconciliations_total{"))) {
        p = strchr(p + 1, '}');
        sum += strtoull(p + 1, NULL, 10);
    }
    buf_done(&text);
    return sum;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void print_delays(struct bench *b, const char *what)
{
    size_t n = b->n_delays;

    qsort(b->delays_ms, n, sizeof(*b->delays_ms), by_value);
    if (n)
        printf("%s: delay p50 %.1f ms, p99 %.1f ms, worst %.1f ms of %zu changes, %zu not within a "
               "second\n",
               what, b->delays_ms[n / 2], b->delays_ms[n * 99 / 100], b->delays_ms[n - 1], n,
               b->wrong);
    b->n_delays = b->wrong = 0;
}

static void run_steps(struct bench *b, bool changes, const char *what)
{
    double cpu = cpu_s();
    int64_t began = now_ns(CLOCK_MONOTONIC);
    uint64_t before = looks(b), n;

    b->is_burst = changes;
    b->next = b->steps = 0;
    loop_timer_start(&b->timer, STEP_MS);
    spin(b, (int64_t)b->seconds * 1000);
    loop_timer_stop(&b->timer);
    n = looks(b) - before;
    cpu = cpu_s() - cpu;
    printf("%s: %.1f %% of a core, %llu looks, %.1f us CPU a look (all of the process)\n", what,
           cpu * 1e11 / (double)(now_ns(CLOCK_MONOTONIC) - began), (unsigned long long)n,
           cpu * 1e6 / (double)(n ? n : 1));
    if (changes)
        print_delays(b, what);
}

static void run_burst(struct bench *b)
{
    for (size_t i = 0; i < b->n; i++)
        push(b, i, 2, 0);
    until_all_have(b, 2);
    spin(b, 2000);
    b->n_delays = b->wrong = 0;
    for (size_t i = 0; i < b->n; i++)
        push(b, i, 5, 0);
    until_all_have(b, 5);
    print_delays(b, "all at the same instant");
}

static void measure_query(struct bench *b, const char *what, const char *query, bool own_only)
{
    struct matcher of_target[] = {{MATCH_EQ, STR("namespace"), STR(NS), NULL, NULL},
                                  {MATCH_EQ, STR("deployment"), STR("model-7"), NULL, NULL}};
    struct promql_options o = {.matchers = own_only ? of_target : NULL,
                               .n_matchers = own_only ? 2 : 0};
    int64_t now = loop_wall_ms(b->loop), t;
    struct err err = ERR_INIT;
    struct promql_result r;
    struct promql *q;
    size_t found = 0;

    if (promql_parse(str_of(query), &q, &err) < 0) {
        fprintf(stderr, "scale_bench: %s\n", err.msg);
        exit(1);
    }
    t = now_ns(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < QUERY_RUNS; i++) {
        if (promql_instant(b->db, q, now, &o, &r, &err) < 0)
            exit(1);
        found += r.n;
        promql_result_done(&r);
    }
    printf("%s: %.2f us CPU an evaluation (%zu series each)\n", what,
           (double)(now_ns(CLOCK_THREAD_CPUTIME_ID) - t) / 1e3 / QUERY_RUNS, found / QUERY_RUNS);
    promql_free(q);
}

static void add_histogram(struct bench *b)
{
    static const char *const ends[] = {"0.001", "0.005", "0.01",  "0.02",   "0.04", "0.06",
                                       "0.08",  "0.1",   "0.25",  "0.5",    "0.75", "1.0",
                                       "2.5",   "5.0",   "7.5",   "10.0",   "20.0", "40.0",
                                       "80.0",  "160.0", "640.0", "2560.0", "+Inf"};
    int64_t now = loop_wall_ms(b->loop);

    for (size_t k = 0; k < ARRAY_LEN(ends); k++) {
        struct label l[] = {{STR("__name__"), STR("vllm:time_to_first_token_seconds_bucket")},
                            {STR("namespace"), STR(NS)},
                            {STR("deployment"), STR("model-7")},
                            {STR("pod"), STR("model-7-0")},
                            {STR("le"), str_of(ends[k])}};
        struct series *s = tsdb_series(b->db, l, ARRAY_LEN(l));

        for (int i = 60; i >= 0; i--) /* a minute at 1 s */
            tsdb_append(b->db, s, now - i * 1000, (double)((60 - i) * (int)k));
        tsdb_release(s);
    }
}

static void remove_event(void *arg, const struct object *o)
{
    struct bench *b = arg;

    cluster_write(b->cluster,
                  &(struct cluster_write){.verb = CLUSTER_DELETE,
                                          .kind = KIND_EVENT,
                                          .ns = o->ns,
                                          .name = o->name,
                                          .grace_s = -1},
                  on_written, b);
}

/* All of the heap: ScaledObject, HPA, Deployment, their events, series, and what the controller
 * keeps of them. What goes by itself is told apart: the watch history after five quiet minutes (it
 * is bounded for all objects together), events after an hour. */
static void print_memory(struct bench *b, const char *what, double used, double rss)
{
    double n = 1e3 * (double)b->n, all, without_history;

    malloc_trim(0);
    all = memory() - used;
    printf("%s: %.1f kB resident an object; heap %.1f kB", what, (resident() - rss) / n, all / n);
    store_compact(b->store);
    without_history = memory() - used;
    cluster_each(b->cluster, KIND_EVENT, STR(NS), NULL, remove_event, b);
    spin(b, 2000);
    store_compact(b->store);
    printf(", of it watch history %.1f kB, events %.1f kB, all else %.1f kB\n",
           (all - without_history) / n, (without_history - (memory() - used)) / n,
           (memory() - used) / n);
}

static char *make_dir(void)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = mem_printf("%s/scale_bench.XXXXXX", tmp && *tmp ? tmp : "/tmp");

    if (!mkdtemp(dir)) {
        perror(dir);
        exit(1);
    }
    return dir;
}

static void remove_dir(const char *dir)
{
    AUTO_FREE char *command = mem_printf("rm -rf '%s'", dir);

    if (system(command) != 0)
        fprintf(stderr, "scale_bench: '%s' stays\n", dir);
}

static void parse(int argc, char **argv, struct bench *b, bool *in_memory)
{
    static const struct option longs[] = {{"objects", required_argument, NULL, 'n'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"memory", no_argument, NULL, 'm'},
                                          {0}};
    int c;

    b->n = 1000;
    b->seconds = 20;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'n')
            b->n = strtoul(optarg, NULL, 10);
        else if (c == 's')
            b->seconds = strtoul(optarg, NULL, 10);
        else if (c == 'm')
            *in_memory = true;
        else
            exit(2);
    }
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    bool in_memory = false;
    struct trigger_world world = {0};
    struct rounds_options ro = {0};
    struct scaledobject_deps deps = {.world = &world};
    struct scaledobject_controller *so;
    struct err err = ERR_INIT;
    char *dir = NULL;
    double used, rss;

    setvbuf(stdout, NULL, _IOLBF, 0);
    log_init();
    parse(argc, argv, &b, &in_memory);
    b.loop = loop_new();
    dir = in_memory ? NULL : make_dir();
    if (store_open(&(struct store_options){.loop = b.loop, .dir = dir}, &b.store, &err) < 0) {
        fprintf(stderr, "scale_bench: %s\n", err.msg);
        return 1;
    }
    b.cluster = store_cluster(b.store);
    b.db = tsdb_new(&(struct tsdb_options){0});
    b.things = mem_array(b.n, sizeof(*b.things));
    loop_timer_init(&b.timer, b.loop, on_step, &b);
    ro.cluster = world.cluster = b.cluster;
    ro.http = world.http = http_client_new(b.loop);
    ro.db = world.db = b.db;
    net_addr_set(&world.web, "127.0.0.1", 9090);
    world.samples = sample_hub_new(b.loop, b.db);
    deps.rounds = rounds_new(&ro);
    deps.book = b.book = hpa_book_new(b.cluster, &(struct work_source){b.db, NULL, NULL});
    so = scaledobject_controller_new(&deps);
    create(&b, KIND_NAMESPACE, json_pack("{s:{s:s}}", "metadata", "name", NS));
    spin(&b, 100);
    used = memory();
    rss = resident();
    for (size_t i = 0; i < b.n; i++) {
        create_thing(&b, i);
        b.things[i].want = 2;
        push(&b, i, 2, 0);
    }
    cluster_watch(b.cluster, KIND_DEPLOYMENT, on_deployment, &b);
    until_all_have(&b, 2);
    b.n_delays = b.wrong = 0;
    spin(&b, 3000);
    printf("%zu ScaledObjects with 3 triggers each, objects %s\n", b.n,
           in_memory ? "in memory" : "in SQLite");
    print_memory(&b, "memory at rest", used, rss);
    run_steps(&b, false, "every object has new values once a second, the same count");
    run_steps(&b, true, "every object changes its count once a second");
    spin(&b, 1000);
    run_burst(&b);
    spin(&b, 1000);
    print_memory(&b, "memory at the end, with a history of changes and decisions", used, rss);
    measure_query(&b, "bare selector", metrics[0], true);
    measure_query(&b, "sum over one target's series",
                  "sum(vllm:num_requests_running{deployment=\"model-7\"})", false);
    add_histogram(&b);
    measure_query(
        &b, "histogram_quantile of a minute's rate, 23 buckets",
        "histogram_quantile(0.95, sum by (le) (rate(vllm:time_to_first_token_seconds_bucket{"
        "deployment=\"model-7\"}[1m])))",
        false);
    cluster_unwatch(b.cluster, KIND_DEPLOYMENT, on_deployment, &b);
    scaledobject_controller_free(so);
    hpa_book_free(b.book);
    rounds_free(deps.rounds);
    sample_hub_free(world.samples);
    http_client_free(ro.http);
    for (size_t i = 0; i < b.n; i++)
        for (size_t k = 0; k < 3; k++)
            tsdb_release(b.things[i].s[k]);
    tsdb_free(b.db);
    store_close(b.store);
    loop_free(b.loop);
    free(b.things);
    free(b.delays_ms);
    if (dir)
        remove_dir(dir);
    free(dir);
    return 0;
}
