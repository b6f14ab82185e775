/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine: one step loop over the scheduler, on the event loop. A step is planned, takes the
 * time the back end needs (today the timing model; inference with weights goes behind the same two
 * calls), and is committed: tokens go out, gauges are published. An aborted sequence is out of the
 * books at once. */
#ifndef FB_MODELSERVER_ENGINE_H
#define FB_MODELSERVER_ENGINE_H

#include "base/buf.h"
#include "modelserver/sched.h"
#include "modelserver/timing.h"
#include "modelserver/vllm_metrics.h"
#include "net/loop.h"

struct engine_config {
    struct sched_config sched;
    struct timing timing;
    uint64_t seed;
    int64_t startup_ms; /* how long loading "takes": not ready before */
};

/* One sequence being answered. */
struct generation;

struct generation_options {
    const int32_t *prompt;
    int n_prompt;
    int max_tokens, min_tokens;
    bool max_tokens_given; /* for request_params_max_tokens */
    int params_n;          /* n of the whole request; 0 in all but its first generation */
    uint64_t seed;         /* picks the text */
    int64_t arrival_ns;    /* loop mono time of the request's arrival */
    void *arg;
    /* text: of the new token (may be held back in parts by the receiver). finish: SEQ_GOES_ON, or
     * how it ended; the generation is gone then. */
    void (*on_token)(void *arg, struct generation *g, struct str text, enum seq_finish finish);
};

struct engine;

struct engine *engine_new(struct loop *l, const struct engine_config *c, struct vllm_metrics *m);
void engine_free(struct engine *e); /* silently ends what runs */
bool engine_is_ready(const struct engine *e);
int engine_in_flight(const struct engine *e); /* generations not finished */
/* The prompt must be shorter than the model's length. */
struct generation *engine_generate(struct engine *e, const struct generation_options *o);
/* The asker left, or a stop string was found (stopped: counts as finished by "stop", not "abort").
 * No more callbacks. */
void engine_abort(struct engine *e, struct generation *g, bool stopped);
int generation_cached_tokens(const struct generation *g);

#endif
