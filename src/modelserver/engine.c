/* SPDX-License-Identifier: Apache-2.0 */
#include "modelserver/engine.h"

#include <stdlib.h>

#include "base/mem.h"
#include "modelserver/words.h"

struct generation {
    struct seq seq; /* first: the scheduler's view */
    struct engine *engine;
    struct list link; /* engine's list of all, or of those to be freed */
    struct generation_options o;
    struct generation_times t;
    const char *text; /* of the token just sampled */
};

struct engine {
    struct loop *loop;
    struct sched *sched;
    struct timing timing;
    struct vllm_metrics *metrics;
    struct rng rng;
    struct loop_timer step_timer, ready_timer;
    struct sched_step step;
    struct list all, dead;
    int n_all;
    bool is_ready, in_step, in_commit;
};

static int64_t now_ns(const struct engine *e)
{
    return loop_mono_ns(e->loop);
}

static void publish(struct engine *e)
{
    vllm_metrics_gauges(e->metrics, sched_running(e->sched), sched_waiting(e->sched),
                        sched_kv_usage(e->sched));
}

static void reap(struct engine *e)
{
    list_each (it, &e->dead) {
        struct generation *g = container_of(it, struct generation, link);

        list_del(it);
        seq_done(&g->seq);
        free(g);
    }
}

/* Leaves the books now; memory goes when no commit can still look at it. */
static void bury(struct engine *e, struct generation *g)
{
    list_del(&g->link);
    list_add_tail(&e->dead, &g->link);
    e->n_all--;
    if (!e->in_commit)
        reap(e);
}

static void on_admitted(void *ctx, struct seq *s)
{
    struct engine *e = ctx;
    struct generation *g = s->owner;

    g->t.scheduled_ns = now_ns(e);
}

static int32_t on_sample(void *ctx, struct seq *s, bool *ret_stop)
{
    struct generation *g = s->owner;
    int32_t id;

    (void)ctx;
    *ret_stop = false; /* made-up text never ends by itself: max_tokens or a stop string does it */
    g->text = words_pick(g->o.seed, s->n_tokens - s->n_prompt, &id);
    return id;
}

static void on_token(void *ctx, struct seq *s, int32_t token, enum seq_finish finish)
{
    struct engine *e = ctx;
    struct generation *g = s->owner;

    (void)token;
    vllm_metrics_token(e->metrics, &g->t, s->n_prompt, s->cached, now_ns(e));
    if (finish != SEQ_GOES_ON) {
        vllm_metrics_finish(e->metrics, &g->t, s->n_prompt, s->cached, s->n_tokens - s->n_prompt,
                            finish == SEQ_LENGTH ? FINISH_LENGTH : FINISH_STOP, now_ns(e));
        bury(e, g);
    }
    g->o.on_token(g->o.arg, g, str_of(g->text), finish);
}

static void start_step(struct engine *e)
{
    if (e->in_step || !e->is_ready)
        return;
    if (!sched_plan(e->sched, &e->step)) {
        publish(e);
        return;
    }
    e->in_step = true;
    vllm_metrics_planned(e->metrics, &e->step);
    publish(e);
    loop_timer_start_ns(&e->step_timer, timing_step_ns(&e->timing, &e->step, &e->rng));
}

static void on_step_done(void *arg)
{
    struct engine *e = arg;

    e->in_step = false;
    e->in_commit = true;
    vllm_metrics_step_begins(e->metrics);
    sched_commit(e->sched);
    vllm_metrics_step_ends(e->metrics);
    e->in_commit = false;
    reap(e);
    start_step(e);
}

static void on_ready(void *arg)
{
    struct engine *e = arg;

    e->is_ready = true;
    start_step(e);
}

struct engine *engine_new(struct loop *l, const struct engine_config *c, struct vllm_metrics *m)
{
    struct engine *e = mem_zalloc(sizeof(*e));
    struct sched_hooks hooks = {e, on_admitted, on_sample, on_token};

    e->loop = l;
    e->timing = c->timing;
    e->metrics = m;
    e->sched = sched_new(&c->sched, &hooks);
    rng_seed(&e->rng, c->seed);
    list_init(&e->all);
    list_init(&e->dead);
    loop_timer_init(&e->step_timer, l, on_step_done, e);
    loop_timer_init(&e->ready_timer, l, on_ready, e);
    loop_timer_start(&e->ready_timer, c->startup_ms);
    publish(e);
    return e;
}

void engine_free(struct engine *e)
{
    if (!e)
        return;
    loop_timer_stop(&e->step_timer);
    loop_timer_stop(&e->ready_timer);
    list_each (it, &e->all) {
        struct generation *g = container_of(it, struct generation, link);

        sched_abort(e->sched, &g->seq);
        list_del(it);
        list_add_tail(&e->dead, it);
    }
    reap(e);
    sched_free(e->sched);
    free(e);
}

bool engine_is_ready(const struct engine *e)
{
    return e->is_ready;
}

int engine_in_flight(const struct engine *e)
{
    return e->n_all;
}

struct generation *engine_generate(struct engine *e, const struct generation_options *o)
{
    struct generation *g = mem_zalloc(sizeof(*g));

    g->engine = e;
    g->o = *o;
    g->o.prompt = NULL;
    g->t.arrival_ns = o->arrival_ns;
    g->t.queued_ns = now_ns(e);
    g->t.params_n = o->params_n;
    g->t.params_max_tokens = o->max_tokens_given ? o->max_tokens : 0;
    seq_init(&g->seq, o->prompt, o->n_prompt, o->max_tokens, g);
    list_add_tail(&e->all, &g->link);
    e->n_all++;
    sched_add(e->sched, &g->seq);
    start_step(e);
    if (e->in_step)
        publish(e); /* it waits for the step in progress: say so now */
    return g;
}

void engine_abort(struct engine *e, struct generation *g, bool stopped)
{
    vllm_metrics_finish(e->metrics, &g->t, g->seq.n_prompt, g->seq.cached,
                        g->seq.n_tokens - g->seq.n_prompt, stopped ? FINISH_STOP : FINISH_ABORT,
                        now_ns(e));
    sched_abort(e->sched, &g->seq);
    bury(e, g);
    publish(e);
}

int generation_cached_tokens(const struct generation *g)
{
    return g->seq.cached;
}
