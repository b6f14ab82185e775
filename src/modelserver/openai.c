/* SPDX-License-Identifier: Apache-2.0 */
#include "modelserver/openai.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "modelserver/words.h"

/* Numbers that are only checked (there are no logits to apply them to), and the ranges vLLM takes.
 */
static const struct {
    const char *name;
    double min, max;
    bool min_open; /* min itself is refused */
    bool integer;
    bool chat_only;
} ranges[] = {
    {.name = "temperature", .min = 0, .max = INFINITY},
    {.name = "top_p", .min = 0, .max = 1, .min_open = true},
    {.name = "top_k", .min = -1, .max = INFINITY, .integer = true},
    {.name = "min_p", .min = 0, .max = 1},
    {.name = "presence_penalty", .min = -2, .max = 2},
    {.name = "frequency_penalty", .min = -2, .max = 2},
    {.name = "repetition_penalty", .min = 0, .max = INFINITY, .min_open = true},
    {.name = "top_logprobs", .min = 0, .max = 20, .integer = true, .chat_only = true},
};

static int check_ranges(const json_t *body, bool chat, const char **ret_param, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        const json_t *v = json_object_get(body, ranges[i].name);
        double d = json_number_value(v);

        if (!v || json_is_null(v) || (ranges[i].chat_only && !chat))
            continue;
        *ret_param = ranges[i].name;
        if (!json_is_number(v) || (ranges[i].integer && !json_is_integer(v)))
            return err_set(err, ERR_BAD_INPUT, "%s must be a%s", ranges[i].name,
                           ranges[i].integer ? "n integer" : " number");
        if (d < ranges[i].min || d > ranges[i].max || (ranges[i].min_open && d <= ranges[i].min))
            return err_set(err, ERR_BAD_INPUT, "%s must be in %c%g, %g], got %g", ranges[i].name,
                           ranges[i].min_open ? '(' : '[', ranges[i].min, ranges[i].max, d);
    }
    *ret_param = NULL;
    return 0;
}

/* An integer field inside [min, max]; absent or null: def. */
static int get_int(const json_t *body, const char *name, int64_t def, int64_t min, int64_t max,
                   int64_t *ret, const char **ret_param, struct err *err)
{
    const json_t *v = json_object_get(body, name);

    *ret = def;
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max) {
        *ret_param = name;
        return err_set(err, ERR_BAD_INPUT, "%s must be an integer from %lld to %lld", name,
                       (long long)min, (long long)max);
    }
    *ret = json_integer_value(v);
    return 0;
}

static int get_bool(const json_t *body, const char *name, bool *ret, const char **ret_param,
                    struct err *err)
{
    const json_t *v = json_object_get(body, name);

    if (!v || json_is_null(v))
        return 0;
    if (!json_is_boolean(v)) {
        *ret_param = name;
        return err_set(err, ERR_BAD_INPUT, "%s must be true or false", name);
    }
    *ret = json_is_true(v);
    return 0;
}

static int too_long(const struct openai_limits *l, int n, struct err *err)
{
    return err_set(
        err, ERR_BAD_INPUT,
        "this model's maximum context length is %d tokens, the prompt has %s%d: shorten it "
        "(one token is left for the answer)",
        l->max_model_len, n < 0 ? "more than " : "", n < 0 ? l->max_model_len : n);
}

static int add_text_prompt(struct openai_request *r, struct str text, const struct openai_limits *l,
                           struct err *err)
{
    struct openai_prompt *p = &r->prompts[r->n_prompts];

    if (text.n == 0)
        return err_set(err, ERR_BAD_INPUT, "prompt must not be empty");
    r->n_prompts++;
    p->text = str_dup(text);
    p->n = words_tokenize(text, &p->ids, l->max_model_len);
    return p->n < 0 || p->n >= l->max_model_len ? too_long(l, p->n, err) : 0;
}

static int add_id_prompt(struct openai_request *r, const json_t *ids, const struct openai_limits *l,
                         struct err *err)
{
    struct openai_prompt *p = &r->prompts[r->n_prompts];
    size_t n = json_array_size(ids);

    if (n == 0)
        return err_set(err, ERR_BAD_INPUT, "prompt must not be empty");
    if (n >= (size_t)l->max_model_len)
        return too_long(l, (int)(n > 1000000 ? 1000000 : n), err);
    r->n_prompts++;
    p->text = mem_strdup("");
    p->ids = mem_array(n, sizeof(*p->ids));
    p->n = (int)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_array_get(ids, i);

        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > 1000000)
            return err_set(err, ERR_BAD_INPUT, "prompt: token ids must be integers from 0 on");
        p->ids[i] = (int32_t)json_integer_value(id);
    }
    return 0;
}

static int parse_prompt(struct openai_request *r, const json_t *prompt,
                        const struct openai_limits *l, struct err *err)
{
    if (json_is_string(prompt))
        return add_text_prompt(r, json_strv(prompt), l, err);
    if (!json_is_array(prompt) || json_array_size(prompt) == 0)
        return err_set(
            err, ERR_BAD_INPUT,
            "prompt must be a string, a list of strings, a list of token ids or a list of "
            "such lists");
    if (json_is_integer(json_array_get(prompt, 0)))
        return add_id_prompt(r, prompt, l, err);
    if (json_array_size(prompt) > OPENAI_PROMPTS_MAX)
        return err_set(err, ERR_BAD_INPUT, "at most %d prompts in one request", OPENAI_PROMPTS_MAX);
    for (size_t i = 0; i < json_array_size(prompt); i++) {
        const json_t *one = json_array_get(prompt, i);
        int rc = json_is_string(one)  ? add_text_prompt(r, json_strv(one), l, err)
                 : json_is_array(one) ? add_id_prompt(r, one, l, err)
                                      : err_set(err, ERR_BAD_INPUT,
                                                "prompt[%zu] must be a string or "
                                                "a list of token ids",
                                                i);

        if (rc < 0)
            return rc;
    }
    return 0;
}

/* OPT has no chat template; this plain one ("role: content" lines) is our documented fallback. */
static int parse_messages(struct openai_request *r, const json_t *messages,
                          const struct openai_limits *l, struct err *err)
{
    struct buf text = BUF_INIT;
    int rc = 0;

    if (!json_is_array(messages) || json_array_size(messages) == 0)
        return err_set(err, ERR_BAD_INPUT, "messages must be a list with at least one message");
    for (size_t i = 0; i < json_array_size(messages) && rc == 0; i++) {
        const json_t *msg = json_array_get(messages, i), *content = json_object_get(msg, "content");
        const char *role = json_text(msg, "role", NULL);

        if (!role) {
            rc = err_set(err, ERR_BAD_INPUT, "messages[%zu].role is missing", i);
            break;
        }
        buf_printf(&text, "%s: ", role);
        if (json_is_string(content))
            buf_add_str(&text, json_strv(content));
        for (size_t k = 0; k < json_array_size(content); k++)
            buf_add_cstr(&text, json_text(json_array_get(content, k), "text", ""));
        buf_add_char(&text, '\n');
    }
    buf_add_cstr(&text, "assistant:");
    if (rc == 0)
        rc = add_text_prompt(r, buf_str(&text), l, err);
    buf_done(&text);
    return rc;
}

static int add_stop(struct openai_request *r, const json_t *v, struct err *err)
{
    if (!json_is_string(v) || json_string_length(v) == 0)
        return err_set(err, ERR_BAD_INPUT,
                       "stop must be a string or a list of strings, none empty");
    if (r->n_stops == OPENAI_STOPS_MAX)
        return err_set(err, ERR_BAD_INPUT, "at most %d stop strings", OPENAI_STOPS_MAX);
    r->stops[r->n_stops++] = str_dup(json_strv(v));
    return 0;
}

static int parse_stop(struct openai_request *r, const json_t *v, const char **ret_param,
                      struct err *err)
{
    int rc = 0;

    if (!v || json_is_null(v))
        return 0;
    *ret_param = "stop";
    if (!json_is_array(v)) {
        rc = add_stop(r, v, err);
    } else {
        for (size_t i = 0; i < json_array_size(v) && rc == 0; i++)
            rc = add_stop(r, json_array_get(v, i), err);
    }
    if (rc == 0)
        *ret_param = NULL;
    return rc;
}

static int parse_lengths(struct openai_request *r, const json_t *body,
                         const struct openai_limits *l, const char **ret_param, struct err *err)
{
    const char *name = "max_tokens";
    int64_t v, longest = 0;
    int rc;

    if (r->chat && json_is_integer(json_object_get(body, "max_completion_tokens")))
        name = "max_completion_tokens";
    for (int i = 0; i < r->n_prompts; i++)
        longest = r->prompts[i].n > longest ? r->prompts[i].n : longest;
    r->max_tokens_given = json_is_integer(json_object_get(body, name));
    rc = get_int(body, name, r->chat ? l->max_model_len - longest : 16, 1, INT32_MAX, &v, ret_param,
                 err);
    if (rc < 0)
        return rc;
    r->max_tokens = (int)(v < l->max_model_len - longest ? v : l->max_model_len - longest);
    rc = get_int(body, "min_tokens", 0, 0, r->max_tokens, &v, ret_param, err);
    r->min_tokens = (int)v;
    return rc;
}

static int parse_stream(struct openai_request *r, const json_t *body, const char **ret_param,
                        struct err *err)
{
    const json_t *o = json_object_get(body, "stream_options");
    int rc = get_bool(body, "stream", &r->stream, ret_param, err);

    if (rc < 0 || !o || json_is_null(o))
        return rc;
    *ret_param = "stream_options";
    if (!json_is_object(o) || !r->stream)
        return err_set(err, ERR_BAD_INPUT,
                       "stream_options must be an object and needs stream: true");
    *ret_param = NULL;
    rc = get_bool(o, "include_usage", &r->include_usage, ret_param, err);
    if (rc == 0)
        rc = get_bool(o, "continuous_usage_stats", &r->continuous_usage, ret_param, err);
    return rc;
}

static int parse_body(struct openai_request *r, const json_t *body, const struct openai_limits *l,
                      const char **ret_param, struct err *err)
{
    const json_t *model = json_object_get(body, "model"), *suffix = json_object_get(body, "suffix");
    int64_t v;
    int rc;

    if (model && !json_is_null(model)) {
        *ret_param = "model";
        if (!json_is_string(model))
            return err_set(err, ERR_BAD_INPUT, "model must be a string");
        r->model = str_dup(json_strv(model));
        if (strcmp(r->model, l->model_name) != 0)
            return err_set(err, ERR_NOT_FOUND, "Model with name %s does not exist.", r->model);
    }
    *ret_param = r->chat ? "messages" : "prompt";
    rc = r->chat ? parse_messages(r, json_object_get(body, "messages"), l, err)
                 : parse_prompt(r, json_object_get(body, "prompt"), l, err);
    if (rc < 0)
        return rc;
    *ret_param = NULL;
    if (suffix && !json_is_null(suffix)) {
        *ret_param = "suffix";
        return err_set(err, ERR_BAD_INPUT, "suffix is not supported");
    }
    if ((rc = parse_lengths(r, body, l, ret_param, err)) < 0 ||
        (rc = get_int(body, "n", 1, 1, OPENAI_N_MAX, &v, ret_param, err)) < 0)
        return rc;
    r->n = (int)v;
    if ((rc = get_int(body, "seed", -1, INT64_MIN, INT64_MAX, &v, ret_param, err)) < 0)
        return rc;
    r->has_seed = v != -1;
    r->seed = (uint64_t)v;
    if ((rc = parse_stream(r, body, ret_param, err)) < 0 ||
        (rc = get_bool(body, "echo", &r->echo, ret_param, err)) < 0 ||
        (rc = get_bool(body, "ignore_eos", &r->ignore_eos, ret_param, err)) < 0 ||
        (rc = get_bool(body, "include_stop_str_in_output", &r->include_stop, ret_param, err)) < 0 ||
        (rc = parse_stop(r, json_object_get(body, "stop"), ret_param, err)) < 0)
        return rc;
    return check_ranges(body, r->chat, ret_param, err);
}

int openai_request_parse(struct openai_request *r, bool chat, struct str text,
                         const struct openai_limits *limits, const char **ret_param,
                         struct err *err)
{
    json_t *body = NULL;
    int rc;

    *r = (struct openai_request){.chat = chat, .n = 1};
    *ret_param = NULL;
    rc = json_parse(text, &body, err);
    if (rc < 0) {
        err_wrap(err, "the body is not JSON");
        return ERR_BAD_INPUT;
    }
    rc = json_is_object(body) ? parse_body(r, body, limits, ret_param, err)
                              : err_set(err, ERR_BAD_INPUT, "the body must be a JSON object");
    json_decref(body);
    return rc;
}

void openai_request_done(struct openai_request *r)
{
    free(r->model);
    for (int i = 0; i < r->n_prompts; i++) {
        free(r->prompts[i].ids);
        free(r->prompts[i].text);
    }
    for (int i = 0; i < r->n_stops; i++)
        free(r->stops[i]);
    *r = (struct openai_request){0};
}

static void write_usage(struct buf *out, const struct openai_usage *u)
{
    buf_printf(out, "\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d}",
               u->prompt, u->completion, u->prompt + u->completion);
}

static void write_head(struct buf *out, const struct openai_answer *a, const char *object)
{
    buf_printf(out, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", a->id, object,
               (long long)a->created_s);
    json_write_str(out, str_of(a->model));
}

static void write_finish(struct buf *out, const struct openai_choice *c)
{
    buf_add_cstr(out, ",\"logprobs\":null,\"finish_reason\":");
    if (c->finish)
        json_write_str(out, str_of(c->finish));
    else
        buf_add_cstr(out, "null");
    buf_add_cstr(out, ",\"stop_reason\":");
    if (c->stop)
        json_write_str(out, str_of(c->stop));
    else
        buf_add_cstr(out, "null");
}

void openai_write_answer(struct buf *out, const struct openai_answer *a,
                         const struct openai_choice *choices, int n,
                         const struct openai_usage *usage)
{
    write_head(out, a, a->chat ? "chat.completion" : "text_completion");
    buf_add_cstr(out, ",\"choices\":[");
    for (int i = 0; i < n; i++) {
        buf_printf(out, "%s{\"index\":%d,", i ? "," : "", choices[i].index);
        buf_add_cstr(out,
                     a->chat ? "\"message\":{\"role\":\"assistant\",\"content\":" : "\"text\":");
        json_write_str(out, buf_str(&choices[i].text));
        if (a->chat)
            buf_add_char(out, '}');
        write_finish(out, &choices[i]);
        buf_add_char(out, '}');
    }
    buf_add_cstr(out, "],");
    write_usage(out, usage);
    buf_add_char(out, '}');
}

void openai_write_chunk(struct buf *out, const struct openai_answer *a,
                        const struct openai_choice *c, struct str text, bool first,
                        const struct openai_usage *usage, bool null_usage)
{
    buf_add_cstr(out, "data: ");
    write_head(out, a, a->chat ? "chat.completion.chunk" : "text_completion");
    buf_printf(out, ",\"choices\":[{\"index\":%d,", c->index);
    if (a->chat) {
        buf_printf(out, "\"delta\":{%s\"content\":", first ? "\"role\":\"assistant\"," : "");
        json_write_str(out, text);
        buf_add_char(out, '}');
    } else {
        buf_add_cstr(out, "\"text\":");
        json_write_str(out, text);
    }
    write_finish(out, c);
    buf_add_cstr(out, "}]");
    if (usage) {
        buf_add_char(out, ',');
        write_usage(out, usage);
    } else if (null_usage) {
        buf_add_cstr(out, ",\"usage\":null");
    }
    buf_add_cstr(out, "}\n\n");
}

void openai_write_usage_chunk(struct buf *out, const struct openai_answer *a,
                              const struct openai_usage *usage)
{
    buf_add_cstr(out, "data: ");
    write_head(out, a, a->chat ? "chat.completion.chunk" : "text_completion");
    buf_add_cstr(out, ",\"choices\":[],");
    write_usage(out, usage);
    buf_add_cstr(out, "}\n\n");
}

void openai_write_error(struct buf *out, int status, const char *type, const char *param,
                        const char *message)
{
    buf_add_cstr(out, "{\"error\":{\"message\":");
    json_write_str(out, str_of(message));
    buf_printf(out, ",\"type\":\"%s\",\"param\":", type);
    if (param)
        json_write_str(out, str_of(param));
    else
        buf_add_cstr(out, "null");
    buf_printf(out, ",\"code\":\"%d\"}}", status);
}

ptrdiff_t openai_find_stop(const struct openai_request *r, struct str text, size_t from,
                           const char **ret_which)
{
    ptrdiff_t best = -1;

    for (int i = 0; i < r->n_stops; i++) {
        ptrdiff_t at = str_find(str_skip(text, from), str_of(r->stops[i]));

        if (at >= 0 && (best < 0 || (ptrdiff_t)from + at < best)) {
            best = (ptrdiff_t)from + at;
            *ret_which = r->stops[i];
        }
    }
    return best;
}

size_t openai_hold_back(const struct openai_request *r, struct str text)
{
    size_t hold = 0;

    for (int i = 0; i < r->n_stops; i++) {
        size_t longest = strlen(r->stops[i]) - 1;

        for (size_t n = longest < text.n ? longest : text.n; n > hold; n--)
            if (memcmp(text.p + text.n - n, r->stops[i], n) == 0)
                hold = n;
    }
    return hold;
}
