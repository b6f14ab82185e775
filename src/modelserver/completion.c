/* SPDX-License-Identifier: Apache-2.0 */
#include "modelserver/completion.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/rand.h"
#include "modelserver/openai.h"

#define BODY_MAX ((size_t)8 << 20)

/* One HTTP request being answered: prompts x n sequences, one choice each. */
struct completion {
    struct completions *owner;
    struct http_x *x;
    struct openai_request req;
    struct openai_answer answer;
    char id[32];
    int64_t arrival_ns;
    struct openai_usage usage;
    struct choice *choices;
    int n_choices, n_open;
    bool is_ended;
};

struct choice {
    struct openai_choice c;
    struct completion *owner;
    struct generation *generation; /* NULL when it has ended */
    size_t
        echoed; /* bytes of the prompt in front of the text: no stop string is looked for there */
    bool is_first;
};

static void fail(struct http_x *x, int status, const char *type, const char *param,
                 const char *message)
{
    struct http_header retry = {STR("retry-after"), STR("1")};
    struct http_headers extra = {&retry, status == 429 || status == 503 ? 1u : 0u};
    struct buf out = BUF_INIT;

    openai_write_error(&out, status, type, param, message);
    http_x_reply(x, status, "application/json", &extra, buf_str(&out));
    buf_done(&out);
}

static const struct http_headers *simulated_header(void)
{
    static struct http_header item = {{"x-flyball-simulated", 19},
                                      {"true; no weights loaded, step times from a model", 48}};
    static const struct http_headers list = {&item, 1};

    return &list;
}

static void free_completion(struct completion *q)
{
    for (int i = 0; i < q->n_choices; i++) {
        if (q->choices[i].generation)
            engine_abort(q->owner->engine, q->choices[i].generation, false);
        buf_done(&q->choices[i].c.text);
    }
    free(q->choices);
    openai_request_done(&q->req);
    q->owner->n_active--;
    if (q->owner->n_active == 0 && q->owner->on_idle)
        q->owner->on_idle(q->owner->on_idle_arg);
    free(q);
}

/* The answer is out, or the client left: what still runs is aborted in the engine at once. */
static void on_close(void *arg, struct http_x *x)
{
    (void)x;
    free_completion(arg);
}

static void end_whole(struct completion *q)
{
    struct openai_choice *flat = mem_array((size_t)q->n_choices, sizeof(*flat));
    struct buf out = BUF_INIT;

    for (int i = 0; i < q->n_choices; i++)
        flat[i] = q->choices[i].c;
    openai_write_answer(&out, &q->answer, flat, q->n_choices, &q->usage);
    http_x_reply(q->x, 200, "application/json", simulated_header(), buf_str(&out));
    buf_done(&out);
    free(flat);
}

static void end_stream(struct completion *q)
{
    struct buf out = BUF_INIT;

    if (q->req.include_usage)
        openai_write_usage_chunk(&out, &q->answer, &q->usage);
    buf_add_cstr(&out, "data: [DONE]\n\n");
    http_x_write(q->x, buf_str(&out));
    buf_done(&out);
    http_x_end(q->x, NULL);
}

/* Sends what may be sent of a choice's text. */
static void flush_choice(struct choice *c)
{
    struct completion *q = c->owner;
    struct str text = buf_str(&c->c.text);
    size_t hold = c->c.finish ? 0 : openai_hold_back(&q->req, text);
    struct str part = {text.p + c->c.sent, text.n - hold - c->c.sent};
    struct buf out = BUF_INIT;

    if (text.n < hold + c->c.sent)
        part.n = 0;
    if (part.n == 0 && !c->c.finish && !c->is_first)
        return;
    openai_write_chunk(&out, &q->answer, &c->c, part, c->is_first,
                       q->req.continuous_usage ? &q->usage : NULL, q->req.include_usage);
    c->is_first = false;
    c->c.sent += part.n;
    http_x_write(q->x, buf_str(&out));
    buf_done(&out);
}

static void finish_choice(struct choice *c, const char *reason, const char *stop)
{
    struct completion *q = c->owner;

    c->generation = NULL;
    c->c.finish = reason;
    c->c.stop = stop;
    q->n_open--;
    if (q->req.stream)
        flush_choice(c);
    if (q->n_open > 0 || q->is_ended)
        return;
    q->is_ended = true;
    if (q->req.stream)
        end_stream(q);
    else
        end_whole(q);
}

static void on_token(void *arg, struct generation *g, struct str text, enum seq_finish finish)
{
    struct choice *c = arg;
    struct completion *q = c->owner;
    size_t from = c->c.text.n, longest = 0;
    const char *stop = NULL;
    ptrdiff_t at;

    buf_add_str(&c->c.text, text);
    c->c.n_tokens++;
    q->usage.completion++;
    for (int i = 0; i < q->req.n_stops; i++)
        if (strlen(q->req.stops[i]) > longest)
            longest = strlen(q->req.stops[i]);
    /* a stop string may have begun in earlier tokens */
    from = from > c->echoed + longest ? from - longest : c->echoed;
    at = c->c.n_tokens <= q->req.min_tokens
             ? -1
             : openai_find_stop(&q->req, buf_str(&c->c.text), from, &stop);
    if (at >= 0) {
        if (finish == SEQ_GOES_ON)
            engine_abort(q->owner->engine, g, true);
        c->c.text.n = (size_t)at + (q->req.include_stop ? strlen(stop) : 0);
        finish_choice(c, "stop", stop);
    } else if (finish != SEQ_GOES_ON) {
        finish_choice(c, finish == SEQ_LENGTH ? "length" : "stop", NULL);
    } else if (q->req.stream) {
        flush_choice(c);
    }
}

static void start_choices(struct completion *q)
{
    uint64_t seed = q->req.has_seed ? q->req.seed : rng_u64(&q->owner->rng);

    q->n_choices = q->n_open = q->req.n_prompts * q->req.n;
    q->choices = mem_array((size_t)q->n_choices, sizeof(*q->choices));
    for (int i = 0; i < q->n_choices; i++) {
        const struct openai_prompt *p = &q->req.prompts[i / q->req.n];
        struct choice *c = &q->choices[i];
        struct generation_options o = {
            .prompt = p->ids,
            .n_prompt = p->n,
            .max_tokens = q->req.max_tokens,
            .min_tokens = q->req.min_tokens,
            .max_tokens_given = q->req.max_tokens_given,
            .params_n = i == 0 ? q->req.n : 0,
            .seed = seed + (uint64_t)i * 7919,
            .arrival_ns = q->arrival_ns,
            .arg = c,
            .on_token = on_token,
        };

        *c = (struct choice){.c = {.index = i}, .owner = q, .is_first = true};
        if (q->req.echo)
            buf_add_cstr(&c->c.text, p->text);
        c->echoed = c->c.text.n;
        if (i % q->req.n == 0)
            q->usage.prompt += p->n;
        c->generation = engine_generate(q->owner->engine, &o);
    }
}

static void on_body(void *arg, struct http_x *x, struct str body)
{
    struct completion *q = arg;
    struct completions *o = q->owner;
    struct openai_limits limits = {o->max_model_len, o->model_name};
    struct err err = ERR_INIT;
    const char *param;

    if (openai_request_parse(&q->req, q->answer.chat, body, &limits, &param, &err) < 0) {
        fail(x, err_http_status(err.code),
             err.code == ERR_NOT_FOUND ? "NotFoundError" : "BadRequestError", param, err.msg);
        return;
    }
    if (engine_in_flight(o->engine) + q->req.n_prompts * q->req.n > o->max_in_flight) {
        fail(x, 429, "TooManyRequests", NULL, "the waiting queue is full, try again later");
        return;
    }
    if (q->req.stream)
        http_x_start(x, 200, "text/event-stream; charset=utf-8", simulated_header());
    start_choices(q);
}

void completion_serve(struct completions *o, struct http_x *x, bool chat)
{
    struct completion *q;

    if (o->is_draining || !engine_is_ready(o->engine)) {
        struct buf why = BUF_INIT;

        buf_printf(&why,
                   o->is_draining ? "Model %s is shutting down."
                                  : "Model with name %s is not ready.",
                   o->model_name);
        fail(x, 503, "ServiceUnavailable", NULL, buf_cstr(&why));
        buf_done(&why);
        return;
    }
    q = mem_zalloc(sizeof(*q));
    q->owner = o;
    q->x = x;
    q->arrival_ns = loop_mono_ns(o->loop);
    snprintf(q->id, sizeof(q->id), "%s-%016llx", chat ? "chatcmpl" : "cmpl",
             (unsigned long long)rng_u64(&o->rng));
    q->answer = (struct openai_answer){.id = q->id,
                                       .chat = chat,
                                       .created_s = loop_wall_ms(o->loop) / 1000,
                                       .model = o->model_name};
    o->n_active++;
    http_x_on_close(x, on_close, q);
    http_x_read_all(x, BODY_MAX, on_body, q);
}
