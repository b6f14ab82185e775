/* SPDX-License-Identifier: Apache-2.0
 *
 * The OTLP receiver by itself: data points per second and core, decoded and stored, and the heap
 * that an active series takes. One number a line; bench/otlp runs it.
 *
 *   otlp_bench [SECONDS]      per throughput line, default 2 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "codec/otlp_json.h"
#include "codec/protobuf.h"
#include "codec/protobuf_write.h"
#include "telemetry/otlp.h"

#define START_MS 1788184200000

enum shape { GAUGE, COUNTER, HISTOGRAM };

struct plan {
    enum shape shape;
    size_t pods, metrics, engines; /* points of a request: the product */
};

static void attribute(struct buf *out, unsigned number, const char *key, const char *value)
{
    struct buf any = BUF_INIT, kv = BUF_INIT;

    pb_put_bytes(&any, 1, str_of(value));
    pb_put_bytes(&kv, 1, str_of(key));
    pb_put_bytes(&kv, 2, buf_str(&any));
    pb_put_bytes(out, number, buf_str(&kv));
    buf_done(&any);
    buf_done(&kv);
}

static void put_fixed(struct buf *out, unsigned number, uint64_t v)
{
    pb_put_double(out, number, pb_double(v));
}

static void put_point(struct buf *out, enum shape shape, const char *engine, int64_t t, size_t n)
{
    struct buf p = BUF_INIT;

    put_fixed(&p, 2, (uint64_t)START_MS * 1000000);
    put_fixed(&p, 3, (uint64_t)t * 1000000);
    if (shape == HISTOGRAM) {
        put_fixed(&p, 4, n * 11);
        pb_put_double(&p, 5, (double)n * 0.7);
        for (int i = 0; i < 11; i++)
            put_fixed(&p, 6, n);
        for (int i = 0; i < 10; i++)
            pb_put_double(&p, 7, 0.01 * (1 << i));
    } else if (shape == GAUGE) {
        pb_put_double(&p, 4, (double)(n % 13));
    } else {
        put_fixed(&p, 6, n);
    }
    attribute(&p, shape == HISTOGRAM ? 9 : 7, "engine", engine);
    attribute(&p, shape == HISTOGRAM ? 9 : 7, "model_name", "fbopt");
    pb_put_bytes(out, 1, buf_str(&p));
    buf_done(&p);
}

static void put_metric(struct buf *out, const struct plan *o, size_t m, int64_t t, size_t n)
{
    struct buf data = BUF_INIT, metric = BUF_INIT;
    char name[64], engine[16];

    snprintf(name, sizeof(name), "vllm:bench_metric_number_%zu", m);
    for (size_t e = 0; e < o->engines; e++) {
        snprintf(engine, sizeof(engine), "%zu", e);
        put_point(&data, o->shape, engine, t, n + m + e);
    }
    if (o->shape != GAUGE)
        pb_put_varint(&data, 2, 2);
    if (o->shape == COUNTER)
        pb_put_varint(&data, 3, 1);
    pb_put_bytes(&metric, 1, str_of(name));
    pb_put_bytes(&metric, 2, STR("a metric of the benchmark"));
    pb_put_bytes(&metric, o->shape == GAUGE ? 5 : o->shape == COUNTER ? 7 : 9, buf_str(&data));
    pb_put_bytes(out, 2, buf_str(&metric));
    buf_done(&data);
    buf_done(&metric);
}

/* One push of all pods at time t, the n-th. */
static void put_request(struct buf *out, const struct plan *o, int64_t t, size_t n)
{
    buf_clear(out);
    for (size_t p = 0; p < o->pods; p++) {
        struct buf resource = BUF_INIT, scope = BUF_INIT, rm = BUF_INIT;
        char pod[64], instance[64];

        snprintf(pod, sizeof(pod), "huggingface-fbopt-predictor-6c7f9b8d5c-%05zu", p);
        snprintf(instance, sizeof(instance), "10.0.%zu.%zu:8080", p / 256, p % 256);
        attribute(&resource, 1, "service.name", "otel-collector");
        attribute(&resource, 1, "service.instance.id", instance);
        attribute(&resource, 1, "k8s.namespace.name", "default");
        attribute(&resource, 1, "k8s.pod.name", pod);
        attribute(&resource, 1, "k8s.deployment.name", "huggingface-fbopt-predictor");
        attribute(&resource, 1, "k8s.node.name", "node-a");
        for (size_t m = 0; m < o->metrics; m++)
            put_metric(&scope, o, m, t, n);
        pb_put_bytes(&rm, 1, buf_str(&resource));
        pb_put_bytes(&rm, 2, buf_str(&scope));
        pb_put_bytes(out, 1, buf_str(&rm));
        buf_done(&resource);
        buf_done(&scope);
        buf_done(&rm);
    }
}

static double cpu_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct store {
    struct loop *loop;
    struct tsdb *db;
    struct otlp *otlp;
};

static void open_store(struct store *s)
{
    s->loop = loop_new_sim(START_MS);
    s->db = tsdb_new(&(struct tsdb_options){0});
    s->otlp = otlp_new(&(struct otlp_options){.loop = s->loop, .db = s->db});
}

static void close_store(struct store *s)
{
    otlp_free(s->otlp);
    tsdb_free(s->db);
    loop_free(s->loop);
}

static size_t receive(struct store *s, struct str request)
{
    struct otlp_outcome out;
    struct err err;

    if (otlp_receive(s->otlp, request, &out, &err) < 0 || out.rejected) {
        fprintf(stderr, "otlp_bench: %s\n", out.rejected ? out.message : err.msg);
        exit(1);
    }
    return out.accepted;
}

/* Requests are made between the timed spans; each carries newer samples. */
static void throughput(const char *what, struct plan o, double seconds)
{
    struct buf request = BUF_INIT_MAX((size_t)1 << 30);
    struct store s;
    double spent = 0;
    size_t points = 0, bytes = 0;
    int64_t t = START_MS;

    open_store(&s);
    for (size_t n = 0; spent < seconds; n++) {
        double from;
        size_t got;

        t += 250;
        loop_run_for(s.loop, 250);
        put_request(&request, &o, t, n);
        from = cpu_s();
        got = receive(&s, buf_str(&request));
        if (n == 0)
            continue; /* all series are new in that one */
        spent += cpu_s() - from;
        points += got;
        bytes += request.n;
    }
    printf("%s: %.2f million points per second and core (%.0f ns, %zu bytes a point)\n", what,
           (double)points / spent / 1e6, spent / (double)points * 1e9, bytes / points);
    fflush(stdout);
    buf_done(&request);
    close_store(&s);
}

/* The text of labels as the store keeps it: each name=value pair once. */
static size_t text_bytes(const struct plan *o)
{
    return o->pods * strlen("huggingface-fbopt-predictor-6c7f9b8d5c-0000010.0.0.00:8080") +
           o->metrics * strlen("vllm:bench_metric_number_00") + o->engines * 2;
}

static void memory(size_t pods, size_t samples)
{
    struct plan o = {GAUGE, pods, 50, 10};
    struct buf request = BUF_INIT_MAX((size_t)1 << 30);
    size_t n_series, before = mallinfo2().uordblks, heap;
    struct store s;

    open_store(&s);
    for (size_t n = 0; n < samples; n++) {
        loop_run_for(s.loop, 5000);
        put_request(&request, &o, START_MS + 5000 * (int64_t)n, n);
        receive(&s, buf_str(&request));
    }
    n_series = tsdb_series_count(s.db);
    buf_done(&request);
    heap = mallinfo2().uordblks - before;
    printf(
        "%zu series with 9 labels and %zu samples: %.0f bytes each (%.0f of them labels' text; the "
        "store counts %.0f)\n",
        n_series, samples, (double)heap / (double)n_series,
        (double)text_bytes(&o) / (double)n_series, (double)tsdb_bytes(s.db) / (double)n_series);
    fflush(stdout);
    close_store(&s);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 2;

    mallopt(M_MMAP_THRESHOLD, 1 << 30); /* so that all of the heap is counted in one place */
    throughput("gauges, 10,000 a request", (struct plan){GAUGE, 20, 50, 10}, seconds);
    throughput("counters, 10,000 a request", (struct plan){COUNTER, 20, 50, 10}, seconds);
    throughput("gauges, 100,000 series", (struct plan){GAUGE, 200, 50, 10}, seconds);
    throughput("gauges, 50 a request", (struct plan){GAUGE, 1, 50, 1}, seconds);
    throughput("histograms of 11 buckets, 1,000 a request", (struct plan){HISTOGRAM, 2, 50, 10},
               seconds);
    memory(20, 24);
    memory(200, 24);
    memory(200, 120);
    return 0;
}
