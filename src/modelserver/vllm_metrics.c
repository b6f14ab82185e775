/* SPDX-License-Identifier: Apache-2.0 */
#include "modelserver/vllm_metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#define MAX_EDGES 24

/* Bucket edges in seconds, or in tokens where the table below says so. Each list ends with 0. */
static const double edges_ttft[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                    0.25,  0.5,   0.75, 1,    2.5,  5,    7.5,  10,
                                    20,    40,    80,   160,  640,  2560, 0};
static const double edges_itl[] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                                   0.75, 1,     2.5,  5,     7.5, 10,   20,  40,  80,  0};
static const double edges_req[] = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,   20,
                                   30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680, 0};
static const double edges_iter[] = {1,   8,    16,   32,   64,   128,   256,
                                    512, 1024, 2048, 4096, 8192, 16384, 0};
static const double edges_n[] = {1, 2, 5, 10, 20, 0};

enum histogram_id {
    H_TTFT,
    H_ITL,
    H_TPOT_OLD, /* time_per_output_token_seconds, the old name of H_ITL */
    H_REQ_TPOT,
    H_E2E,
    H_QUEUE,
    H_PREFILL,
    H_DECODE,
    H_INFERENCE,
    H_PROMPT,
    H_GENERATION,
    H_KV_COMPUTED,
    H_MAX_GENERATION,
    H_N,
    H_MAX_TOKENS,
    H_ITERATION,
    H_COUNT
};

static const struct {
    const char *name, *help;
    const double *edges; /* NULL: 1-2-5 up to the model's length */
} histograms[H_COUNT] = {
    [H_TTFT] = {"time_to_first_token_seconds", "Time from arrival to the first token.", edges_ttft},
    [H_ITL] = {"inter_token_latency_seconds", "Time between two successive tokens.", edges_itl},
    [H_TPOT_OLD] = {"time_per_output_token_seconds",
                    "Old name of vllm:inter_token_latency_seconds.", edges_itl},
    [H_REQ_TPOT] = {"request_time_per_output_token_seconds",
                    "Mean time per output token of a request.", edges_itl},
    [H_E2E] = {"e2e_request_latency_seconds", "Time from arrival to the end of a request.",
               edges_req},
    [H_QUEUE] = {"request_queue_time_seconds", "Time in the waiting queue.", edges_req},
    [H_PREFILL] = {"request_prefill_time_seconds", "Time from first scheduled to the first token.",
                   edges_req},
    [H_DECODE] = {"request_decode_time_seconds", "Time from the first to the last token.",
                  edges_req},
    [H_INFERENCE] = {"request_inference_time_seconds",
                     "Time from first scheduled to the last token.", edges_req},
    [H_PROMPT] = {"request_prompt_tokens", "Prompt tokens of a request.", NULL},
    [H_GENERATION] = {"request_generation_tokens", "Output tokens of a request.", NULL},
    [H_KV_COMPUTED] = {"request_prefill_kv_computed_tokens",
                       "Prompt tokens of a request that were computed.", NULL},
    [H_MAX_GENERATION] = {"request_max_num_generation_tokens",
                          "Output tokens of the longest sample of a request.", NULL},
    [H_N] = {"request_params_n", "Parameter n.", edges_n},
    [H_MAX_TOKENS] = {"request_params_max_tokens", "Parameter max_tokens.", NULL},
    [H_ITERATION] = {"iteration_tokens_total", "Tokens of one engine step.", edges_iter},
};

enum counter_id {
    C_PREEMPTIONS,
    C_PROMPT,
    C_PROMPT_CACHED,
    C_GENERATION,
    C_CACHE_QUERIES,
    C_CACHE_HITS,
    C_GPU_CACHE_QUERIES,
    C_GPU_CACHE_HITS,
    C_COUNT
};

static const struct {
    const char *name, *help;
} counters[C_COUNT] = {
    [C_PREEMPTIONS] = {"num_preemptions", "Preemptions."},
    [C_PROMPT] = {"prompt_tokens", "Prompt tokens of requests whose prefill has ended."},
    [C_PROMPT_CACHED] = {"prompt_tokens_cached", "Prompt tokens that were not computed."},
    [C_GENERATION] = {"generation_tokens", "Output tokens."},
    [C_CACHE_QUERIES] = {"prefix_cache_queries", "Tokens looked up in the prefix cache."},
    [C_CACHE_HITS] = {"prefix_cache_hits", "Tokens found in the prefix cache."},
    [C_GPU_CACHE_QUERIES] = {"gpu_prefix_cache_queries", "Old name of vllm:prefix_cache_queries."},
    [C_GPU_CACHE_HITS] = {"gpu_prefix_cache_hits", "Old name of vllm:prefix_cache_hits."},
};

struct histogram {
    double edges[MAX_EDGES];
    int n_edges;
    uint64_t counts[MAX_EDGES + 1];
    double sum;
};

struct vllm_metrics {
    char *labels; /* engine="0",model_name="..." */
    struct histogram h[H_COUNT];
    double c[C_COUNT];
    uint64_t finished[FINISH_COUNT];
    double running, waiting, kv_usage;
    int max_model_len, block_size, num_blocks;
    int step_tokens;     /* of the step being committed */
    struct buf pages[2]; /* as last written, text and OpenMetrics; empty: something has changed */
};

/* An idle server is scraped four times a second: the page is made only when a number is new. */
static void changed(struct vllm_metrics *m)
{
    buf_clear(&m->pages[0]);
    buf_clear(&m->pages[1]);
}

static void add_escaped(struct buf *out, const char *s)
{
    for (; *s; s++) {
        if (*s == '\\' || *s == '"')
            buf_add_char(out, '\\');
        if (*s == '\n')
            buf_add_cstr(out, "\\n");
        else
            buf_add_char(out, *s);
    }
}

static void edges_125(struct histogram *h, int max)
{
    static const int steps[] = {1, 2, 5};

    for (int64_t scale = 1; h->n_edges < MAX_EDGES; scale *= 10) {
        for (int i = 0; i < 3; i++) {
            if (steps[i] * scale > max || h->n_edges >= MAX_EDGES)
                return;
            h->edges[h->n_edges++] = (double)(steps[i] * scale);
        }
    }
}

struct vllm_metrics *vllm_metrics_new(const char *model_name, int max_model_len, int block_size,
                                      int num_blocks)
{
    struct vllm_metrics *m = mem_zalloc(sizeof(*m));
    struct buf labels = BUF_INIT;

    buf_add_cstr(&labels, "engine=\"0\",model_name=\"");
    add_escaped(&labels, model_name);
    buf_add_char(&labels, '"');
    m->labels = buf_take(&labels, NULL);
    m->max_model_len = max_model_len;
    m->block_size = block_size;
    m->num_blocks = num_blocks;
    for (int i = 0; i < H_COUNT; i++) {
        struct histogram *h = &m->h[i];

        if (!histograms[i].edges)
            edges_125(h, max_model_len);
        else
            while (histograms[i].edges[h->n_edges] > 0) {
                h->edges[h->n_edges] = histograms[i].edges[h->n_edges];
                h->n_edges++;
            }
    }
    return m;
}

void vllm_metrics_free(struct vllm_metrics *m)
{
    if (!m)
        return;
    free(m->labels);
    buf_done(&m->pages[0]);
    buf_done(&m->pages[1]);
    free(m);
}

static void observe(struct vllm_metrics *m, enum histogram_id id, double v)
{
    struct histogram *h = &m->h[id];
    int i = 0;

    while (i < h->n_edges && v > h->edges[i])
        i++;
    h->counts[i]++;
    h->sum += v;
    changed(m);
}

static double seconds(int64_t from_ns, int64_t to_ns)
{
    return (double)(to_ns - from_ns) / 1e9;
}

void vllm_metrics_gauges(struct vllm_metrics *m, int running, int waiting, double kv_usage)
{
    if (m->running != running || m->waiting != waiting || m->kv_usage != kv_usage)
        changed(m);
    m->running = running;
    m->waiting = waiting;
    m->kv_usage = kv_usage;
}

void vllm_metrics_planned(struct vllm_metrics *m, const struct sched_step *step)
{
    changed(m);
    m->c[C_PREEMPTIONS] += step->preempted;
    m->c[C_CACHE_QUERIES] += (double)step->cache_queries;
    m->c[C_CACHE_HITS] += (double)step->cache_hits;
    m->c[C_GPU_CACHE_QUERIES] = m->c[C_CACHE_QUERIES];
    m->c[C_GPU_CACHE_HITS] = m->c[C_CACHE_HITS];
}

void vllm_metrics_step_begins(struct vllm_metrics *m)
{
    m->step_tokens = 0;
}

void vllm_metrics_step_ends(struct vllm_metrics *m)
{
    observe(m, H_ITERATION, m->step_tokens);
}

void vllm_metrics_token(struct vllm_metrics *m, struct generation_times *t, int n_prompt,
                        int cached, int64_t now_ns)
{
    changed(m);
    m->c[C_GENERATION]++;
    m->step_tokens++;
    if (t->first_token_ns == 0) {
        t->first_token_ns = now_ns;
        m->c[C_PROMPT] += n_prompt;
        m->c[C_PROMPT_CACHED] += cached;
        m->step_tokens += n_prompt - cached;
        observe(m, H_TTFT, seconds(t->arrival_ns, now_ns));
    } else {
        observe(m, H_ITL, seconds(t->last_token_ns, now_ns));
        observe(m, H_TPOT_OLD, seconds(t->last_token_ns, now_ns));
    }
    t->last_token_ns = now_ns;
}

void vllm_metrics_finish(struct vllm_metrics *m, const struct generation_times *t, int n_prompt,
                         int cached, int n_output, enum finish_reason reason, int64_t now_ns)
{
    changed(m);
    m->finished[reason]++;
    observe(m, H_E2E, seconds(t->arrival_ns, now_ns));
    if (t->params_n)
        observe(m, H_N, t->params_n);
    if (t->params_max_tokens)
        observe(m, H_MAX_TOKENS, t->params_max_tokens);
    if (t->scheduled_ns == 0)
        return; /* never scheduled: no times to tell */
    observe(m, H_QUEUE, seconds(t->queued_ns, t->scheduled_ns));
    if (t->first_token_ns == 0)
        return;
    observe(m, H_PREFILL, seconds(t->scheduled_ns, t->first_token_ns));
    observe(m, H_DECODE, seconds(t->first_token_ns, t->last_token_ns));
    observe(m, H_INFERENCE, seconds(t->scheduled_ns, t->last_token_ns));
    if (n_output > 1)
        observe(m, H_REQ_TPOT, seconds(t->first_token_ns, t->last_token_ns) / (n_output - 1));
    observe(m, H_PROMPT, n_prompt);
    observe(m, H_GENERATION, n_output);
    observe(m, H_MAX_GENERATION, n_output);
    observe(m, H_KV_COMPUTED, n_prompt - cached);
}

/* Python's client prints every number as a float: 3.0, 0.25, 1e-05. */
static void add_number(struct buf *out, double v)
{
    char t[40];

    if (fabs(v) < 1e15 && v == (double)(int64_t)v) { /* nearly every number of a page */
        buf_add_i64(out, (int64_t)v);
        buf_add_cstr(out, ".0");
        return;
    }
    for (int prec = 15; prec <= 17; prec++) {
        snprintf(t, sizeof(t), "%.*g", prec, v);
        if (strtod(t, NULL) == v)
            break;
    }
    buf_add_cstr(out, t);
    if (!strpbrk(t, ".en"))
        buf_add_cstr(out, ".0");
}

static void head(struct buf *out, const char *name, const char *suffix, const char *type,
                 const char *help)
{
    buf_printf(out, "# HELP vllm:%s%s %s\n# TYPE vllm:%s%s %s\n", name, suffix, help, name, suffix,
               type);
}

static void sample(const struct vllm_metrics *m, struct buf *out, const char *name,
                   const char *suffix, const char *extra, double v)
{
    buf_printf(out, "vllm:%s%s{%s%s} ", name, suffix, m->labels, extra);
    add_number(out, v);
    buf_add_char(out, '\n');
}

static void write_gauges(const struct vllm_metrics *m, struct buf *out)
{
    static const struct {
        const char *name, *help;
        size_t at;
    } gauges[] = {
        {"num_requests_running", "Requests in the running batch.",
         offsetof(struct vllm_metrics, running)},
        {"num_requests_waiting", "Requests waiting to be scheduled.",
         offsetof(struct vllm_metrics, waiting)},
        {"kv_cache_usage_perc", "Share of the KV cache in use, 0 to 1.",
         offsetof(struct vllm_metrics, kv_usage)},
        {"gpu_cache_usage_perc", "Old name of vllm:kv_cache_usage_perc.",
         offsetof(struct vllm_metrics, kv_usage)},
    };

    for (size_t i = 0; i < ARRAY_LEN(gauges); i++) {
        head(out, gauges[i].name, "", "gauge", gauges[i].help);
        sample(m, out, gauges[i].name, "", "",
               *(const double *)(const void *)((const char *)m + gauges[i].at));
    }
    head(out, "num_requests_waiting_by_reason", "", "gauge", "Requests waiting, by reason.");
    sample(m, out, "num_requests_waiting_by_reason", "", ",reason=\"capacity\"", m->waiting);
    sample(m, out, "num_requests_waiting_by_reason", "", ",reason=\"deferred\"", 0);
    head(out, "engine_sleep_state", "", "gauge", "1 for the engine's present sleep state.");
    sample(m, out, "engine_sleep_state", "", ",sleep_state=\"awake\"", 1);
    sample(m, out, "engine_sleep_state", "", ",sleep_state=\"weights_offloaded\"", 0);
    sample(m, out, "engine_sleep_state", "", ",sleep_state=\"discard_all\"", 0);
    head(out, "cache_config_info", "", "gauge", "Settings of the KV cache, as labels.");
    buf_printf(
        out,
        "vllm:cache_config_info{block_size=\"%d\",cache_dtype=\"auto\",enable_prefix_caching="
        "\"True\",engine=\"0\",num_cpu_blocks=\"0\",num_gpu_blocks=\"%d\"} 1.0\n",
        m->block_size, m->num_blocks);
}

static void write_histogram(const struct vllm_metrics *m, struct buf *out, enum histogram_id id)
{
    const struct histogram *h = &m->h[id];
    uint64_t total = 0;

    head(out, histograms[id].name, "", "histogram", histograms[id].help);
    for (int i = 0; i <= h->n_edges; i++) {
        total += h->counts[i];
        buf_add_cstr(out, "vllm:");
        buf_add_cstr(out, histograms[id].name);
        buf_add_cstr(out, "_bucket{engine=\"0\",le=\"");
        if (i < h->n_edges)
            add_number(out, h->edges[i]);
        else
            buf_add_cstr(out, "+Inf");
        /* labels are in alphabetical order: engine, le, model_name */
        buf_add_cstr(out, "\",");
        buf_add_cstr(out, m->labels + sizeof("engine=\"0\",") - 1);
        buf_add_cstr(out, "} ");
        add_number(out, (double)total);
        buf_add_char(out, '\n');
    }
    sample(m, out, histograms[id].name, "_count", "", (double)total);
    sample(m, out, histograms[id].name, "_sum", "", h->sum);
}

static void write_page(const struct vllm_metrics *m, bool openmetrics, struct buf *out)
{
    static const char *const reasons[FINISH_COUNT] = {"stop", "length", "abort"};
    /* OpenMetrics names a counter's family without _total */
    const char *suffix = openmetrics ? "" : "_total";
    const char *model = m->labels + sizeof("engine=\"0\",") - 1;

    write_gauges(m, out);
    for (int i = 0; i < C_COUNT; i++) {
        head(out, counters[i].name, suffix, "counter", counters[i].help);
        sample(m, out, counters[i].name, "_total", "", m->c[i]);
    }
    head(out, "prompt_tokens_by_source", suffix, "counter",
         "Prompt tokens by where they came from.");
    sample(m, out, "prompt_tokens_by_source", "_total", ",source=\"local_compute\"",
           m->c[C_PROMPT] - m->c[C_PROMPT_CACHED]);
    sample(m, out, "prompt_tokens_by_source", "_total", ",source=\"local_cache_hit\"",
           m->c[C_PROMPT_CACHED]);
    sample(m, out, "prompt_tokens_by_source", "_total", ",source=\"external_kv_transfer\"", 0);
    head(out, "request_success", suffix, "counter", "Finished requests, by reason.");
    for (int i = 0; i < FINISH_COUNT; i++)
        buf_printf(out,
                   "vllm:request_success_total{engine=\"0\",finished_reason=\"%s\",%s} %llu.0\n",
                   reasons[i], model, (unsigned long long)m->finished[i]);
    for (int i = 0; i < H_COUNT; i++)
        write_histogram(m, out, (enum histogram_id)i);
    if (openmetrics)
        buf_add_cstr(out, "# EOF\n");
}

struct str vllm_metrics_page(struct vllm_metrics *m, bool openmetrics)
{
    struct buf *page = &m->pages[openmetrics];

    if (page->n == 0)
        write_page(m, openmetrics, page);
    return buf_str(page);
}

void vllm_metrics_totals(const struct vllm_metrics *m, int64_t *ret_prompt, int64_t *ret_generated)
{
    *ret_prompt = (int64_t)m->c[C_PROMPT];
    *ret_generated = (int64_t)m->c[C_GENERATION];
}
