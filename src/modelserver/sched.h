/* SPDX-License-Identifier: Apache-2.0
 *
 * The step scheduler: continuous batching over a paged KV cache, as vLLM's current engine does it
 * (model-server.md 5.2). There is no prefill phase: a sequence wants `computed` to reach prompt +
 * output, in chunks that fit the step's token budget; when blocks run out the youngest running
 * sequence is preempted and computed anew later.
 *
 * It has no clock and does no work itself. The owner loops: sched_plan says what the next step
 * computes, the back end computes it (or the timing model says how long that would take),
 * sched_commit takes the sampled tokens. Gauges read between the two show the state after planning.
 * A sequence that token() aborts may be freed only after sched_commit has returned. */
#ifndef FB_MODELSERVER_SCHED_H
#define FB_MODELSERVER_SCHED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct sched_config {
    int block_size;                   /* tokens per block, 16 */
    int num_blocks;                   /* at least what one max_model_len sequence needs, + 1 */
    int max_num_seqs;                 /* 256 */
    int max_num_batched_tokens;       /* budget of a step, 2048 */
    int max_model_len;                /* prompt + output, 2048 */
    int long_prefill_token_threshold; /* 0: off */
    bool prefix_caching;
};

enum seq_state { SEQ_WAITING, SEQ_RUNNING, SEQ_PREEMPTED, SEQ_FINISHED };

/* One sequence (a request asks for prompts x n of them). Owned by the caller; in the scheduler from
 * sched_add until sched_commit reports it finished, or sched_abort. */
struct seq {
    struct list link;
    enum seq_state state;
    int32_t *tokens; /* prompt then output; owned, malloc */
    int n_prompt, n_tokens, cap_tokens;
    int max_tokens; /* of output; already cut to the model's length */
    int computed;   /* tokens whose keys and values are in the cache */
    int cached;     /* of these, found in the prefix cache at first admission */
    int planned;    /* tokens the step in progress computes */
    int *blocks;    /* owned */
    int n_blocks, cap_blocks, n_keyed;
    uint64_t last_key;
    int preemptions;
    bool was_scheduled;
    void *owner;
};

struct sched;

/* What one step computes; inputs of the timing model. */
struct sched_step {
    int prefill_tokens;      /* tokens of sequences that have not produced their newest token yet */
    int decode_seqs;         /* sequences that compute exactly their newest token */
    int64_t kv_tokens_read;  /* context read by the decoding sequences */
    int64_t prefill_context; /* sum over prefill tokens of their context */
    int admitted;            /* sequences scheduled for the first time */
    int preempted;
    int64_t cache_queries, cache_hits; /* prompt tokens looked up / found at first admission */
};

/* How a committed token ends its sequence. */
enum seq_finish { SEQ_GOES_ON, SEQ_STOP, SEQ_LENGTH };

struct sched_hooks {
    void *ctx;
    /* s has been admitted for the first time. */
    void (*admitted)(void *ctx, struct seq *s);
    /* The next token of s; *ret_stop: it is an end token (EOS or a stop id). */
    int32_t (*sample)(void *ctx, struct seq *s, bool *ret_stop);
    /* s got a token; with finish != SEQ_GOES_ON it has left the scheduler and may be freed. */
    void (*token)(void *ctx, struct seq *s, int32_t token, enum seq_finish finish);
};

struct sched *sched_new(const struct sched_config *c, const struct sched_hooks *h);
void sched_free(struct sched *s); /* sequences stay the caller's */
/* prompt ids are copied. The prompt must be shorter than max_model_len. */
void seq_init(struct seq *q, const int32_t *prompt, int n_prompt, int max_tokens, void *owner);
void seq_done(struct seq *q);
void sched_add(struct sched *s, struct seq *q);
/* Leaves at once: blocks and slot are free for the next plan, even in mid-step. */
void sched_abort(struct sched *s, struct seq *q);
/* false: nothing to compute. */
bool sched_plan(struct sched *s, struct sched_step *ret);
void sched_commit(struct sched *s);
int sched_running(const struct sched *s);
int sched_waiting(const struct sched *s);
double sched_kv_usage(const struct sched *s);

#endif
