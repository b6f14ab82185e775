/* SPDX-License-Identifier: Apache-2.0 */
#include "net/loop.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/loop_int.h"

static int64_t loop_clock_mono(const struct clock *c)
{
    return loop_mono_ns((const struct loop *)(const void *)c);
}

static int64_t loop_clock_wall(const struct clock *c)
{
    return loop_wall_ms((const struct loop *)(const void *)c);
}

static struct loop *loop_common(void)
{
    struct loop *l = mem_zalloc(sizeof(*l));

    l->clock = (struct clock){loop_clock_mono, loop_clock_wall};
    list_init(&l->fds);
    list_init(&l->signals);
    list_init(&l->orphans);
    return l;
}

struct loop *loop_new(void)
{
    struct loop *l = loop_common();

    loop_uv_init(l);
    return l;
}

struct loop *loop_new_sim(int64_t start_wall_ms)
{
    struct loop *l = loop_common();

    l->is_sim = true;
    l->sim_wall_ms0 = start_wall_ms;
    return l;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    if (!l->is_sim)
        loop_uv_done(l);
    free(l->heap);
    free(l->posts.items);
    free(l);
}

int64_t loop_mono_ns(const struct loop *l)
{
    return l->is_sim ? l->sim_mono_ns : clock_mono_ns(&clock_system);
}

int64_t loop_wall_ms(const struct loop *l)
{
    return l->is_sim ? l->sim_wall_ms0 + l->sim_mono_ns / 1000000 : clock_wall_ms(&clock_system);
}

const struct clock *loop_clock(const struct loop *l)
{
    return &l->clock;
}

void loop_sim_jump_wall(struct loop *l, int64_t ms)
{
    l->sim_wall_ms0 += ms;
}

/* --- timers --- */

static bool is_earlier(const struct loop_timer *a, const struct loop_timer *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->seq < b->seq;
}

static void heap_put(struct loop *l, size_t at, struct loop_timer *t)
{
    l->heap[at] = t;
    t->heap_at = at;
}

static void heap_up(struct loop *l, struct loop_timer *t, size_t at)
{
    while (at > 1 && is_earlier(t, l->heap[at / 2])) {
        heap_put(l, at, l->heap[at / 2]);
        at /= 2;
    }
    heap_put(l, at, t);
}

static void heap_down(struct loop *l, struct loop_timer *t, size_t at)
{
    for (;;) {
        size_t child = at * 2;

        if (child > l->n_heap)
            break;
        if (child < l->n_heap && is_earlier(l->heap[child + 1], l->heap[child]))
            child++;
        if (!is_earlier(l->heap[child], t))
            break;
        heap_put(l, at, l->heap[child]);
        at = child;
    }
    heap_put(l, at, t);
}

void loop_timer_init(struct loop_timer *t, struct loop *l, void (*fn)(void *arg), void *arg)
{
    *t = (struct loop_timer){.loop = l, .fn = fn, .arg = arg};
}

void loop_timer_stop(struct loop_timer *t)
{
    struct loop *l = t->loop;
    size_t at = t->heap_at;
    struct loop_timer *last;

    if (at == 0)
        return;
    t->heap_at = 0;
    last = l->heap[l->n_heap--];
    if (last == t)
        return;
    if (at > 1 && is_earlier(last, l->heap[at / 2]))
        heap_up(l, last, at);
    else
        heap_down(l, last, at);
}

void loop_timer_start_ns(struct loop_timer *t, int64_t delay_ns)
{
    struct loop *l = t->loop;

    loop_timer_stop(t);
    t->due_ns = loop_mono_ns(l) + (delay_ns > 0 ? delay_ns : 0);
    t->seq = l->next_seq++;
    mem_grow(&l->heap, &l->cap_heap, l->n_heap + 1);
    heap_up(l, t, ++l->n_heap);
    if (!l->is_sim && t->heap_at == 1)
        loop_uv_arm(l);
}

void loop_timer_start(struct loop_timer *t, int64_t delay_ms)
{
    loop_timer_start_ns(t, delay_ms * 1000000);
}

void loop_run_timers(struct loop *l, int64_t now_ns)
{
    uint64_t limit = l->next_seq;

    while (l->n_heap > 0 && l->heap[1]->due_ns <= now_ns && l->heap[1]->seq < limit &&
           !l->is_stopped) {
        struct loop_timer *t = l->heap[1];

        loop_timer_stop(t);
        t->fn(t->arg);
    }
}

/* --- posted calls --- */

void loop_push(struct post_queue *q, void (*fn)(void *arg), void *arg)
{
    mem_grow(&q->items, &q->cap, q->n);
    q->items[q->n++] = (struct posted){fn, arg};
}

void loop_post(struct loop *l, void (*fn)(void *arg), void *arg)
{
    loop_push(&l->posts, fn, arg);
    if (!l->is_sim)
        loop_uv_wake_posts(l);
}

void loop_run_posts(struct loop *l)
{
    struct post_queue now = l->posts;

    l->posts = (struct post_queue){0};
    for (size_t i = 0; i < now.n; i++)
        now.items[i].fn(now.items[i].arg);
    if (l->posts.cap == 0) { /* keep the memory for the next turn */
        now.n = 0;
        l->posts = now;
    } else {
        free(now.items);
    }
}

/* --- running --- */

static void sim_run(struct loop *l, int64_t until_ns)
{
    while (!l->is_stopped) {
        if (l->posts.n > 0) {
            loop_run_posts(l);
        } else if (l->n_heap > 0 && l->heap[1]->due_ns <= until_ns) {
            if (l->heap[1]->due_ns > l->sim_mono_ns)
                l->sim_mono_ns = l->heap[1]->due_ns;
            loop_run_timers(l, l->sim_mono_ns);
        } else {
            return;
        }
    }
}

void loop_run(struct loop *l)
{
    l->is_stopped = false;
    if (l->is_sim)
        sim_run(l, INT64_MAX);
    else
        loop_uv_run(l);
}

void loop_run_for(struct loop *l, int64_t ms)
{
    int64_t until = l->sim_mono_ns + ms * 1000000;

    FB_ASSERT(l->is_sim);
    l->is_stopped = false;
    sim_run(l, until);
    if (l->sim_mono_ns < until && !l->is_stopped)
        l->sim_mono_ns = until;
}

void loop_stop(struct loop *l)
{
    l->is_stopped = true;
    if (!l->is_sim)
        uv_stop(&l->uv);
}
