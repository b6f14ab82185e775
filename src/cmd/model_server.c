/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "cmd/cmd.h"
#include "modelserver/server.h"

/* What can be set, with vLLM's and KServe's names ('-' and '_' are equal, the last occurrence
 * wins). */
struct settings {
    const char *host, *port, *model_name, *served_model_name, *model_id, *model_dir;
    const char *max_model_len, *max_num_seqs, *max_num_batched_tokens, *block_size, *kv_space;
    const char *prefix_caching, *step_times, *startup_ms, *seed, *shutdown_timeout, *max_waiting;
    const char *ignored;
};

static const struct option_row {
    const char *name; /* with '_' */
    size_t at;
    const char *help; /* NULL: taken for compatibility and ignored */
} options[] = {
#define AT(field) offsetof(struct settings, field)
    {"http_port", AT(port), "port, default 8080"},
    {"port", AT(port), "the same"},
    {"host", AT(host), "address, default $POD_IP, else 127.0.0.1"},
    {"model_name", AT(model_name), "name in the API and in the metrics, default 'model'"},
    {"served_model_name", AT(served_model_name), "the same, wins"},
    {"model_id", AT(model_id), "model that this server stands for"},
    {"model", AT(model_id), "the same"},
    {"model_dir", AT(model_dir), "directory of weights; not read yet"},
    {"max_model_len", AT(max_model_len), "prompt and answer together, default 2048 tokens"},
    {"max_length", AT(max_model_len), "the same"},
    {"max_num_seqs", AT(max_num_seqs), "sequences in one step, default 256"},
    {"max_num_batched_tokens", AT(max_num_batched_tokens),
     "token budget of one step, default 2048"},
    {"block_size", AT(block_size), "tokens in a KV-cache block, default 16"},
    {"kv_blocks", AT(kv_space), "KV-cache blocks, default 7281 (4 GiB for opt-125m in 16 bit)"},
    {"enable_prefix_caching", AT(prefix_caching), "true or false, default true"},
    {"step_times", AT(step_times),
     "profile (opt-125m-cpu, 8b-h100, instant) or a=..,b=..,c=.. in us"},
    {"startup_ms", AT(startup_ms), "not ready for that long, default 0"},
    {"seed", AT(seed), "of made-up text and jitter, default random"},
    {"max_waiting", AT(max_waiting), "waiting requests before 429, default 4096"},
    {"shutdown_timeout", AT(shutdown_timeout),
     "seconds to finish running requests at SIGTERM, default 30"},
    {"grpc_port", AT(ignored), NULL},
    {"enable_grpc", AT(ignored), NULL},
    {"workers", AT(ignored), NULL},
    {"max_threads", AT(ignored), NULL},
    {"max_asyncio_workers", AT(ignored), NULL},
    {"enable_docs_url", AT(ignored), NULL},
    {"enable_latency_logging", AT(ignored), NULL},
    {"model_revision", AT(ignored), NULL},
    {"tokenizer_revision", AT(ignored), NULL},
    {"backend", AT(ignored), NULL},
    {"dtype", AT(ignored), NULL},
    {"task", AT(ignored), NULL},
    {"trust_remote_code", AT(ignored), NULL},
    {"disable_log_requests", AT(ignored), NULL},
    {"gpu_memory_utilization", AT(ignored), NULL},
    {"tensor_parallel_size", AT(ignored), NULL},
    {"enable_chunked_prefill", AT(ignored), NULL},
    {"enforce_eager", AT(ignored), NULL},
#undef AT
};

static void usage(FILE *f)
{
    fprintf(
        f,
        "Usage: flyball model-server [--OPTION=VALUE]...\n\n"
        "OpenAI-compatible server with vllm:* metrics. Without weights its step times come from a\n"
        "model and its text is made up; it says so in every answer.\n\n");
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (options[i].help)
            fprintf(f, "  --%-24s %s\n", options[i].name, options[i].help);
}

static const struct option_row *find_option(const char *text, size_t n)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        const char *name = options[i].name;
        size_t k = 0;

        while (k < n && name[k] && (name[k] == text[k] || (name[k] == '_' && text[k] == '-')))
            k++;
        if (k == n && !name[k])
            return &options[i];
    }
    return NULL;
}

static int parse_args(int argc, char **argv, struct settings *s)
{
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *eq;
        const struct option_row *o;

        if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0) {
            usage(stdout);
            return 1;
        }
        if (strncmp(a, "--", 2) != 0) {
            fprintf(stderr, "flyball model-server: '%s' is not an option; see --help\n", a);
            return -1;
        }
        a += 2;
        eq = strchr(a, '=');
        o = find_option(a, eq ? (size_t)(eq - a) : strlen(a));
        if (!o) { /* the real server has hundreds of engine options: say it, go on */
            log_warn("model-server", "option '--%s' is not known here and is ignored", a);
            if (!eq && i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0)
                i++;
            continue;
        }
        if (!eq && i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0)
            eq = argv[++i] - 1;
        *(const char **)(void *)((char *)s + o->at) = eq ? eq + 1 : "true";
    }
    return 0;
}

static int number(const char *name, const char *text, int64_t def, int64_t min, int64_t max,
                  int64_t *ret)
{
    *ret = def;
    if (!text)
        return 0;
    if (!str_to_i64(str_of(text), ret) || *ret < min || *ret > max) {
        fprintf(stderr, "flyball model-server: --%s: '%s' is not a number from %lld to %lld\n",
                name, text, (long long)min, (long long)max);
        return -1;
    }
    return 0;
}

static int configure(const struct settings *s, struct model_server_config *c,
                     int64_t *ret_shutdown_s, struct err *err)
{
    struct sched_config *sc = &c->engine.sched;
    int64_t port, len, seqs, budget, block, blocks, startup, seed, waiting;
    const char *host = s->host ? s->host : getenv("POD_IP"), *prefix;

    if (number("port", s->port, 8080, 0, 65535, &port) < 0 ||
        number("max_model_len", s->max_model_len, 2048, 2, 10000000, &len) < 0 ||
        number("max_num_seqs", s->max_num_seqs, 256, 1, 65536, &seqs) < 0 ||
        number("max_num_batched_tokens", s->max_num_batched_tokens, 2048, 1, 10000000, &budget) <
            0 ||
        number("block_size", s->block_size, 16, 1, 1024, &block) < 0 ||
        number("kv_blocks", s->kv_space, 7281, 2, 10000000, &blocks) < 0 ||
        number("startup_ms", s->startup_ms, 0, 0, 3600000, &startup) < 0 ||
        number("seed", s->seed, 0, 0, INT64_MAX, &seed) < 0 ||
        number("max_waiting", s->max_waiting, 4096, 1, 1000000, &waiting) < 0 ||
        number("shutdown_timeout", s->shutdown_timeout, 30, 0, 3600, ret_shutdown_s) < 0)
        return err_set(err, ERR_BAD_INPUT, "bad option");
    if (budget < seqs)
        return err_set(err, ERR_BAD_INPUT,
                       "--max_num_batched_tokens (%lld) must not be below --max_num_seqs (%lld)",
                       (long long)budget, (long long)seqs);
    if (blocks <= (len + block - 1) / block)
        return err_set(
            err, ERR_BAD_INPUT,
            "--kv_blocks %lld cannot hold one sequence of --max_model_len %lld: give more than "
            "%lld",
            (long long)blocks, (long long)len, (long long)((len + block - 1) / block));
    if (net_addr_set(&c->listen, host && *host ? host : "127.0.0.1", (uint16_t)port) < 0)
        return err_set(err, ERR_BAD_INPUT, "--host '%s' is not an IP address", host);
    *sc = (struct sched_config){.block_size = (int)block,
                                .num_blocks = (int)blocks,
                                .max_num_seqs = (int)seqs,
                                .max_num_batched_tokens = (int)budget,
                                .max_model_len = (int)len,
                                .prefix_caching =
                                    !s->prefix_caching ||
                                    tolower((unsigned char)s->prefix_caching[0]) != 'f'};
    prefix = getenv("KSERVE_OPENAI_ROUTE_PREFIX");
    c->openai_prefix = prefix ? prefix : "/openai";
    c->model_name = s->served_model_name ? s->served_model_name
                    : s->model_name      ? s->model_name
                                         : "model";
    c->model_id = s->model_id;
    c->max_waiting = (int)waiting;
    c->engine.startup_ms = startup;
    c->engine.seed = (uint64_t)seed;
    if (!s->seed)
        rand_bytes(&c->engine.seed, sizeof(c->engine.seed));
    return timing_parse(str_of(s->step_times ? s->step_times : "opt-125m-cpu"), &c->engine.timing,
                        err);
}

struct running {
    struct loop *loop;
    struct model_server *server;
    struct loop_timer deadline;
    int64_t shutdown_ms;
    bool is_stopping;
};

static void stop_now(void *arg)
{
    struct running *r = arg;

    loop_stop(r->loop);
}

static void on_signal(void *arg, int signum)
{
    struct running *r = arg;

    if (r->is_stopping) {
        loop_stop(r->loop);
        return;
    }
    r->is_stopping = true;
    log_info("model-server", "signal %d: finishing running requests, at most %lld s", signum,
             (long long)r->shutdown_ms / 1000);
    loop_timer_start(&r->deadline, r->shutdown_ms);
    model_server_drain(r->server, stop_now, r);
}

int cmd_model_server(int argc, char **argv)
{
    struct settings s = {0};
    struct model_server_config c = {0};
    struct running r = {0};
    struct err err = ERR_INIT;
    struct net_addr addr;
    char text[64];
    int64_t shutdown_s;
    int rc = parse_args(argc, argv, &s);

    if (rc != 0)
        return rc > 0 ? 0 : 2;
    if (configure(&s, &c, &shutdown_s, &err) < 0) {
        fprintf(stderr, "flyball model-server: %s\n", err.msg);
        return 2;
    }
    r.loop = loop_new();
    r.shutdown_ms = shutdown_s * 1000;
    loop_timer_init(&r.deadline, r.loop, stop_now, &r);
    if (model_server_new(r.loop, &c, &r.server, &err) < 0) {
        fprintf(stderr, "flyball model-server: %s\n", err.msg);
        loop_free(r.loop);
        return 1;
    }
    loop_on_signal(r.loop, SIGTERM, on_signal, &r);
    loop_on_signal(r.loop, SIGINT, on_signal, &r);
    addr = model_server_addr(r.server);
    log_info("model-server",
             "model '%s' (%s) on http://%s: SIMULATED, no weights are loaded, step times from "
             "profile %s",
             c.model_name, c.model_id ? c.model_id : "no model id", net_addr_text(&addr, text),
             c.engine.timing.name);
    loop_run(r.loop);
    loop_timer_stop(&r.deadline);
    model_server_free(r.server);
    loop_free(r.loop);
    return 0;
}
