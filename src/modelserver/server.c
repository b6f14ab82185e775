/* SPDX-License-Identifier: Apache-2.0 */
#include "modelserver/server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "modelserver/completion.h"
#include "modelserver/openai.h"
#include "net/http_server.h"

#define LOG_EVERY_MS 10000

struct model_server {
    struct loop *loop;
    struct http_server *http;
    struct engine *engine;
    struct vllm_metrics *metrics;
    struct completions completions;
    char *model_name, *model_id, *prefix, *profile;
    int64_t started_s;
    struct loop_timer log_timer;
    int64_t logged_prompt, logged_generated;
    void (*drained)(void *arg);
    void *drained_arg;
};

typedef void handler_fn(struct model_server *s, struct http_x *x);

static void reply_json(struct http_x *x, int status, struct buf *body)
{
    http_x_reply(x, status, "application/json", NULL, buf_str(body));
    buf_done(body);
}

static void get_alive(struct model_server *s, struct http_x *x)
{
    (void)s;
    http_x_reply(x, 200, "application/json", NULL, STR("{\"status\":\"alive\"}"));
}

static void get_live(struct model_server *s, struct http_x *x)
{
    (void)s;
    http_x_reply(x, 200, "application/json", NULL, STR("{\"live\":true}"));
}

static void get_ready(struct model_server *s, struct http_x *x)
{
    bool ok = engine_is_ready(s->engine) && !s->completions.is_draining;

    http_x_reply(x, ok ? 200 : 503, "application/json", NULL,
                 ok ? STR("{\"ready\":true}") : STR("{\"ready\":false}"));
}

static void get_health(struct model_server *s, struct http_x *x)
{
    http_x_reply(x, engine_is_ready(s->engine) ? 200 : 503, NULL, NULL, STR_NONE);
}

static void get_version(struct model_server *s, struct http_x *x)
{
    (void)s;
    http_x_reply(x, 200, "application/json", NULL,
                 STR("{\"version\":\"flyball-" FLYBALL_VERSION "\"}"));
}

static void get_load(struct model_server *s, struct http_x *x)
{
    struct buf out = BUF_INIT;

    buf_printf(&out, "{\"server_load\":%d}", s->completions.n_active);
    reply_json(x, 200, &out);
}

static void get_metrics(struct model_server *s, struct http_x *x)
{
    struct str accept = http_header_get(&http_x_request(x)->headers, "accept");
    bool om = str_find(accept, STR("application/openmetrics-text")) >= 0;

    http_x_reply(x, 200,
                 om ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                    : "text/plain; version=0.0.4; charset=utf-8",
                 NULL, vllm_metrics_page(s->metrics, om));
}

/* One answer for both families of clients: KServe reads "models", OpenAI's read "object" and
 * "data". */
static void get_models(struct model_server *s, struct http_x *x)
{
    struct buf out = BUF_INIT;

    buf_add_cstr(&out, "{\"object\":\"list\",\"data\":[{\"id\":");
    json_write_str(&out, str_of(s->model_name));
    buf_printf(&out,
               ",\"object\":\"model\",\"created\":%" PRId64 ",\"owned_by\":\"flyball\",\"root\":",
               s->started_s);
    json_write_str(&out, str_of(s->model_id ? s->model_id : s->model_name));
    buf_printf(&out, ",\"parent\":null,\"max_model_len\":%d,\"simulated\":true,\"step_times\":",
               s->completions.max_model_len);
    json_write_str(&out, str_of(s->profile));
    buf_add_cstr(&out, "}],\"models\":[");
    json_write_str(&out, str_of(s->model_name));
    buf_add_cstr(&out, "]}");
    reply_json(x, 200, &out);
}

static void get_v2(struct model_server *s, struct http_x *x)
{
    (void)s;
    http_x_reply(x, 200, "application/json", NULL,
                 STR("{\"name\":\"flyball-model-server\",\"version\":\"" FLYBALL_VERSION
                     "\",\"extensions\":[]}"));
}

static void get_v2_models(struct model_server *s, struct http_x *x)
{
    struct buf out = BUF_INIT;

    buf_add_cstr(&out, "{\"models\":[");
    json_write_str(&out, str_of(s->model_name));
    buf_add_cstr(&out, "]}");
    reply_json(x, 200, &out);
}

static void post_completions(struct model_server *s, struct http_x *x)
{
    completion_serve(&s->completions, x, false);
}

static void post_chat(struct model_server *s, struct http_x *x)
{
    completion_serve(&s->completions, x, true);
}

/* openai: the path stands behind the configurable prefix. */
static const struct route {
    const char *method, *path;
    handler_fn *fn;
    bool openai;
} routes[] = {
    {"GET", "/", get_alive, false},
    {"GET", "/metrics", get_metrics, false},
    {"GET", "/health", get_health, false},
    {"GET", "/ping", get_health, false},
    {"POST", "/ping", get_health, false},
    {"GET", "/version", get_version, false},
    {"GET", "/load", get_load, false},
    {"GET", "/v1/models", get_models, false},
    {"GET", "/v2", get_v2, false},
    {"GET", "/v2/health/live", get_live, false},
    {"GET", "/v2/health/ready", get_ready, false},
    {"GET", "/v2/models", get_v2_models, false},
    {"GET", "/v1/models", get_models, true},
    {"POST", "/v1/completions", post_completions, true},
    {"POST", "/v1/chat/completions", post_chat, true},
    {"POST", "/v1/completions", post_completions, false},
    {"POST", "/v1/chat/completions", post_chat, false},
};

static bool route_matches(const struct model_server *s, const struct route *r, struct str path)
{
    if (r->openai) {
        if (!str_starts(path, str_of(s->prefix)))
            return false;
        path = str_skip(path, strlen(s->prefix));
    }
    return str_is(path, r->path);
}

/* /v1/models/NAME, /openai/v1/models/NAME and /v2/models/NAME[/ready]. */
static bool serve_model_path(struct model_server *s, struct http_x *x, struct str path)
{
    static const char *const parents[] = {"/v1/models/", "/v2/models/"};
    struct buf out = BUF_INIT;

    if (str_starts(path, str_of(s->prefix)))
        path = str_skip(path, strlen(s->prefix));
    for (size_t i = 0; i < ARRAY_LEN(parents); i++) {
        struct str name = str_skip(path, strlen(parents[i]));
        bool ready = engine_is_ready(s->engine);

        if (!str_starts(path, str_of(parents[i])))
            continue;
        if (str_ends(name, STR("/ready")))
            name.n -= strlen("/ready");
        if (!str_is(name, s->model_name)) {
            buf_add_cstr(&out, "{\"error\":");
            AUTO_FREE char *text =
                mem_printf("Model with name %.*s does not exist.",
                           (int)(name.n < 200 ? name.n : 200), name.p ? name.p : "");
            json_write_str(&out, str_of(text));
            buf_add_char(&out, '}');
            reply_json(x, 404, &out);
            return true;
        }
        buf_add_cstr(&out, "{\"name\":");
        json_write_str(&out, str_of(s->model_name));
        buf_printf(&out, ",\"ready\":%s}", ready ? "true" : "false");
        reply_json(x, ready ? 200 : 503, &out);
        return true;
    }
    return false;
}

static void on_request(void *ctx, struct http_x *x)
{
    struct model_server *s = ctx;
    const struct http_request *r = http_x_request(x);
    bool path_exists = false;
    struct buf out = BUF_INIT;

    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (!route_matches(s, &routes[i], r->path))
            continue;
        path_exists = true;
        if (str_is(r->method, routes[i].method) ||
            (str_is(r->method, "HEAD") && strcmp(routes[i].method, "GET") == 0)) {
            routes[i].fn(s, x);
            return;
        }
    }
    if (!path_exists && str_is(r->method, "GET") && serve_model_path(s, x, r->path))
        return;
    openai_write_error(&out, path_exists ? 405 : 404,
                       path_exists ? "MethodNotAllowed" : "NotFoundError", NULL,
                       path_exists ? "this path does not take that method"
                                   : "no such path: completions are at /openai/v1/completions");
    reply_json(x, path_exists ? 405 : 404, &out);
}

/* The line that users of vLLM grep. */
static void on_log_timer(void *arg)
{
    struct model_server *s = arg;
    int64_t prompt, generated;

    vllm_metrics_totals(s->metrics, &prompt, &generated);
    if (prompt != s->logged_prompt || generated != s->logged_generated)
        log_info("engine",
                 "Avg prompt throughput: %.1f tokens/s, Avg generation throughput: %.1f tokens/s, "
                 "Requests in flight: %d (simulated)",
                 (double)(prompt - s->logged_prompt) * 1000 / LOG_EVERY_MS,
                 (double)(generated - s->logged_generated) * 1000 / LOG_EVERY_MS,
                 engine_in_flight(s->engine));
    s->logged_prompt = prompt;
    s->logged_generated = generated;
    loop_timer_start(&s->log_timer, LOG_EVERY_MS);
}

int model_server_new(struct loop *l, const struct model_server_config *c, struct model_server **ret,
                     struct err *err)
{
    struct model_server *s = mem_zalloc(sizeof(*s));
    struct http_server_options o = {
        .addr = c->listen, .on_request = on_request, .ctx = s, .server_name = "model-server"};
    const struct sched_config *sc = &c->engine.sched;
    int r;

    s->loop = l;
    s->model_name = mem_strdup(c->model_name);
    s->model_id = c->model_id ? mem_strdup(c->model_id) : NULL;
    s->prefix = mem_strdup(c->openai_prefix);
    s->profile = mem_strdup(c->engine.timing.name);
    s->started_s = loop_wall_ms(l) / 1000;
    loop_timer_init(&s->log_timer, l, on_log_timer, s);
    s->metrics = vllm_metrics_new(c->model_name, sc->max_model_len, sc->block_size, sc->num_blocks);
    s->engine = engine_new(l, &c->engine, s->metrics);
    s->completions = (struct completions){
        .loop = l,
        .engine = s->engine,
        .model_name = s->model_name,
        .max_model_len = sc->max_model_len,
        .max_in_flight = sc->max_num_seqs + (c->max_waiting ? c->max_waiting : 4096)};
    rng_seed(&s->completions.rng, c->engine.seed);
    r = http_server_new(l, &o, &s->http, err);
    if (r < 0) {
        model_server_free(s);
        return r;
    }
    loop_timer_start(&s->log_timer, LOG_EVERY_MS);
    *ret = s;
    return 0;
}

struct net_addr model_server_addr(const struct model_server *s)
{
    return http_server_addr(s->http);
}

static void on_idle(void *arg)
{
    struct model_server *s = arg;

    if (s->completions.is_draining && s->drained)
        loop_post(s->loop, s->drained, s->drained_arg);
}

void model_server_drain(struct model_server *s, void (*done)(void *arg), void *arg)
{
    s->completions.is_draining = true;
    s->drained = done;
    s->drained_arg = arg;
    s->completions.on_idle = on_idle;
    s->completions.on_idle_arg = s;
    if (s->completions.n_active == 0)
        on_idle(s);
}

void model_server_free(struct model_server *s)
{
    if (!s)
        return;
    s->completions.on_idle = NULL;
    loop_timer_stop(&s->log_timer);
    http_server_free(s->http); /* closes what runs, which aborts its generations */
    engine_free(s->engine);
    vllm_metrics_free(s->metrics);
    free(s->model_name);
    free(s->model_id);
    free(s->prefix);
    free(s->profile);
    free(s);
}
