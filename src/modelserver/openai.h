/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenAI completion and chat requests: reading and checking the body (model-server.md 2.2), and the
 * JSON of answers, stream chunks and errors (2.4, 2.5). No sockets and no engine in here. */
#ifndef FB_MODELSERVER_OPENAI_H
#define FB_MODELSERVER_OPENAI_H

#include "base/buf.h"
#include "base/err.h"
#include "codec/json.h"

#define OPENAI_PROMPTS_MAX 128
#define OPENAI_N_MAX 64
#define OPENAI_STOPS_MAX 16

struct openai_prompt {
    int32_t *ids; /* owned; BOS included */
    int n;
    char *text; /* owned; what echo repeats */
};

struct openai_request {
    bool chat;
    char *model; /* owned; NULL: not given */
    struct openai_prompt prompts[OPENAI_PROMPTS_MAX];
    int n_prompts;
    int max_tokens;
    bool max_tokens_given;
    int min_tokens;
    int n;
    bool stream, include_usage, continuous_usage, echo, ignore_eos;
    bool has_seed;
    uint64_t seed;
    char *stops[OPENAI_STOPS_MAX]; /* owned */
    int n_stops;
    bool include_stop;
};

struct openai_limits {
    int max_model_len;
    const char *model_name;
};

/* 0, or an error whose code is ERR_BAD_INPUT (400) or ERR_NOT_FOUND (404, unknown model). r is to
 * be given to openai_request_done either way. param names the field at fault, or is NULL. */
int openai_request_parse(struct openai_request *r, bool chat, struct str body,
                         const struct openai_limits *limits, const char **ret_param,
                         struct err *err);
void openai_request_done(struct openai_request *r);

/* One choice as it grows. */
struct openai_choice {
    int index;
    struct buf text; /* all of it so far */
    size_t sent;     /* bytes already streamed */
    int n_tokens;
    const char *finish; /* NULL while it goes on */
    const char *stop;   /* the stop string that ended it, or NULL */
};

struct openai_usage {
    int prompt, completion, cached;
};

struct openai_answer {
    const char *id; /* "cmpl-..." */
    bool chat;
    int64_t created_s;
    const char *model;
};

/* The whole answer. */
void openai_write_answer(struct buf *out, const struct openai_answer *a,
                         const struct openai_choice *choices, int n,
                         const struct openai_usage *usage);
/* One "data: ...\n\n" event for new text of a choice (the first of a chat adds the role). usage
 * NULL: the field is left out; usage with null_usage: "usage":null. */
void openai_write_chunk(struct buf *out, const struct openai_answer *a,
                        const struct openai_choice *c, struct str text, bool first,
                        const struct openai_usage *usage, bool null_usage);
/* The extra chunk without choices that carries the usage. */
void openai_write_usage_chunk(struct buf *out, const struct openai_answer *a,
                              const struct openai_usage *usage);
/* KServe's shape: {"error":{"message","type","param","code":"400"}}. */
void openai_write_error(struct buf *out, int status, const char *type, const char *param,
                        const char *message);
/* Where the text must be cut: the first stop string in it from `from` on. Returns its index or -1;
 * *ret_which is the stop string. */
ptrdiff_t openai_find_stop(const struct openai_request *r, struct str text, size_t from,
                           const char **ret_which);
/* How many bytes at the end of text could be the beginning of a stop string and must be held back.
 */
size_t openai_hold_back(const struct openai_request *r, struct str text);

#endif
