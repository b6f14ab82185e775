/* SPDX-License-Identifier: Apache-2.0 */
#include "modelserver/sched.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "modelserver/blocks.h"

struct sched {
    struct sched_config c;
    struct sched_hooks h;
    struct blocks *pool;
    struct list running; /* order of admission */
    struct list waiting; /* order of arrival, preempted ones in front */
    int n_running, n_waiting;
};

struct sched *sched_new(const struct sched_config *c, const struct sched_hooks *h)
{
    struct sched *s = mem_zalloc(sizeof(*s));

    FB_ASSERT(c->num_blocks > (c->max_model_len + c->block_size - 1) / c->block_size);
    s->c = *c;
    s->h = *h;
    s->pool = blocks_new(c->num_blocks);
    list_init(&s->running);
    list_init(&s->waiting);
    return s;
}

void sched_free(struct sched *s)
{
    if (!s)
        return;
    blocks_free(s->pool);
    free(s);
}

void seq_init(struct seq *q, const int32_t *prompt, int n_prompt, int max_tokens, void *owner)
{
    *q = (struct seq){.n_prompt = n_prompt,
                      .n_tokens = n_prompt,
                      .cap_tokens = n_prompt + max_tokens,
                      .max_tokens = max_tokens,
                      .owner = owner};
    list_init(&q->link);
    q->tokens = mem_array((size_t)q->cap_tokens, sizeof(*q->tokens));
    memcpy(q->tokens, prompt, sizeof(*prompt) * (size_t)n_prompt);
}

void seq_done(struct seq *q)
{
    free(q->tokens);
    free(q->blocks);
    q->tokens = NULL;
    q->blocks = NULL;
}

void sched_add(struct sched *s, struct seq *q)
{
    FB_ASSERT(q->n_prompt > 0 && q->n_prompt < s->c.max_model_len);
    q->state = SEQ_WAITING;
    list_add_tail(&s->waiting, &q->link);
    s->n_waiting++;
}

static int blocks_for(const struct sched *s, int tokens)
{
    return (tokens + s->c.block_size - 1) / s->c.block_size;
}

static void push_block(struct seq *q, int block)
{
    if (q->n_blocks == q->cap_blocks) {
        q->cap_blocks = q->cap_blocks ? q->cap_blocks * 2 : 8;
        q->blocks = mem_rearray(q->blocks, (size_t)q->cap_blocks, sizeof(*q->blocks));
    }
    q->blocks[q->n_blocks++] = block;
}

/* Tail first, so that the beginning of a prompt, the part worth sharing, is evicted last. */
static void drop_blocks(struct sched *s, struct seq *q)
{
    while (q->n_blocks > 0)
        blocks_release(s->pool, q->blocks[--q->n_blocks]);
    q->n_keyed = 0;
    q->last_key = 0;
    q->computed = 0;
}

/* Room for `tokens` tokens of q; all or nothing. */
static bool grow_to(struct sched *s, struct seq *q, int tokens)
{
    int want = blocks_for(s, tokens) - q->n_blocks;

    if (want > blocks_available(s->pool))
        return false;
    for (; want > 0; want--)
        push_block(q, blocks_take(s->pool));
    return true;
}

static void preempt(struct sched *s, struct seq *q)
{
    drop_blocks(s, q);
    q->planned = 0;
    q->state = SEQ_PREEMPTED;
    q->preemptions++;
    list_del(&q->link);
    q->link.next = s->waiting.next;
    q->link.prev = &s->waiting;
    s->waiting.next->prev = &q->link;
    s->waiting.next = &q->link;
    s->n_running--;
    s->n_waiting++;
}

static void unplan(struct sched_step *step, int *budget, const struct seq *q)
{
    if (q->planned == 0)
        return;
    *budget += q->planned;
    if (q->planned == 1 && q->computed == q->n_tokens - 1 && q->n_tokens > q->n_prompt) {
        step->decode_seqs--;
        step->kv_tokens_read -= q->computed + 1;
    } else {
        step->prefill_tokens -= q->planned;
        step->prefill_context -= (int64_t)q->planned * q->computed;
    }
}

static void plan_tokens(struct sched_step *step, int *budget, struct seq *q, int n)
{
    q->planned = n;
    *budget -= n;
    if (n == 1 && q->computed == q->n_tokens - 1 && q->n_tokens > q->n_prompt) {
        step->decode_seqs++;
        step->kv_tokens_read += q->computed + 1;
    } else {
        step->prefill_tokens += n;
        step->prefill_context += (int64_t)n * q->computed;
    }
}

static int chunk(const struct sched *s, int want, int budget)
{
    if (s->c.long_prefill_token_threshold > 0 && want > s->c.long_prefill_token_threshold)
        want = s->c.long_prefill_token_threshold;
    return want < budget ? want : budget;
}

static void plan_running(struct sched *s, struct sched_step *step, int *budget)
{
    list_each (it, &s->running) {
        struct seq *q = container_of(it, struct seq, link);
        int n = chunk(s, q->n_tokens - q->computed, *budget);

        if (n <= 0)
            break; /* budget used up */
        while (!grow_to(s, q, q->computed + n)) {
            struct seq *victim = container_of(s->running.prev, struct seq, link);

            unplan(step, budget, victim);
            preempt(s, victim);
            step->preempted++;
            if (victim == q)
                return;
        }
        plan_tokens(step, budget, q, n);
        it_next = it->next; /* the old successor may have been preempted */
    }
}

/* Takes the cached full blocks of q's prompt, at most all but its last token. */
static void take_prefix(struct sched *s, struct seq *q)
{
    int full = (q->n_tokens - 1) / s->c.block_size;
    uint64_t parent = 0;

    for (int i = 0; s->c.prefix_caching && i < full; i++) {
        uint64_t key = blocks_key(parent, q->tokens + i * s->c.block_size, s->c.block_size);
        int block = blocks_take_cached(s->pool, key);

        if (block < 0)
            break;
        push_block(q, block);
        parent = key;
    }
    q->n_keyed = q->n_blocks;
    q->last_key = parent;
    q->computed = q->n_blocks * s->c.block_size;
}

static void plan_waiting(struct sched *s, struct sched_step *step, int *budget)
{
    while (!list_is_empty(&s->waiting) && *budget > 0 && s->n_running < s->c.max_num_seqs) {
        struct seq *q = container_of(s->waiting.next, struct seq, link);
        int n;

        take_prefix(s, q);
        n = chunk(s, q->n_tokens - q->computed, *budget);
        /* the whole prompt is reserved before admission, so that an admitted prefill cannot starve
         */
        if (blocks_for(s, q->n_tokens) - q->n_blocks > blocks_available(s->pool) ||
            !grow_to(s, q, q->computed + n)) {
            drop_blocks(s, q);
            return; /* head of line blocks */
        }
        list_del(&q->link);
        list_add_tail(&s->running, &q->link);
        s->n_waiting--;
        s->n_running++;
        q->state = SEQ_RUNNING;
        if (!q->was_scheduled) {
            q->was_scheduled = true;
            q->cached = q->computed;
            step->admitted++;
            step->cache_queries += q->n_tokens;
            step->cache_hits += q->cached;
            if (s->h.admitted)
                s->h.admitted(s->h.ctx, q);
        }
        plan_tokens(step, budget, q, n);
    }
}

bool sched_plan(struct sched *s, struct sched_step *ret)
{
    int budget = s->c.max_num_batched_tokens;

    *ret = (struct sched_step){0};
    plan_running(s, ret, &budget);
    if (ret->preempted == 0)
        plan_waiting(s, ret, &budget);
    return budget < s->c.max_num_batched_tokens;
}

static void leave(struct sched *s, struct seq *q)
{
    if (q->state == SEQ_RUNNING)
        s->n_running--;
    else if (q->state != SEQ_FINISHED)
        s->n_waiting--;
    list_del(&q->link);
    drop_blocks(s, q);
    q->planned = 0;
    q->state = SEQ_FINISHED;
}

void sched_abort(struct sched *s, struct seq *q)
{
    leave(s, q);
}

/* Blocks that the step has filled can be shared from now on. */
static void key_full_blocks(struct sched *s, struct seq *q)
{
    while (s->c.prefix_caching && (q->n_keyed + 1) * s->c.block_size <= q->computed) {
        q->last_key =
            blocks_key(q->last_key, q->tokens + q->n_keyed * s->c.block_size, s->c.block_size);
        blocks_set_key(s->pool, q->blocks[q->n_keyed], q->last_key);
        q->n_keyed++;
    }
}

static void commit_one(struct sched *s, struct seq *q)
{
    enum seq_finish finish = SEQ_GOES_ON;
    bool stop = false;
    int32_t token;

    q->computed += q->planned;
    q->planned = 0;
    key_full_blocks(s, q);
    if (q->computed < q->n_tokens)
        return; /* a chunk: no token yet */
    token = s->h.sample(s->h.ctx, q, &stop);
    FB_ASSERT(q->n_tokens < q->cap_tokens);
    q->tokens[q->n_tokens++] = token;
    if (stop)
        finish = SEQ_STOP;
    else if (q->n_tokens - q->n_prompt >= q->max_tokens || q->n_tokens >= s->c.max_model_len)
        finish = SEQ_LENGTH;
    if (finish != SEQ_GOES_ON)
        leave(s, q);
    s->h.token(s->h.ctx, q, token, finish);
}

void sched_commit(struct sched *s)
{
    /* token() may abort other sequences, so a saved successor is not safe: first note the members
     */
    size_t n = 0, cap = (size_t)s->n_running;
    struct seq **members = mem_array(cap, sizeof(*members));

    list_each (it, &s->running) {
        struct seq *q = container_of(it, struct seq, link);

        if (q->planned > 0)
            members[n++] = q;
    }
    for (size_t i = 0; i < n; i++)
        if (members[i]->state == SEQ_RUNNING && members[i]->planned > 0)
            commit_one(s, members[i]);
    free(members);
}

int sched_running(const struct sched *s)
{
    return s->n_running;
}

int sched_waiting(const struct sched *s)
{
    return s->n_waiting;
}

double sched_kv_usage(const struct sched *s)
{
    return blocks_usage(s->pool);
}
