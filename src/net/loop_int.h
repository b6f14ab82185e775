/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two back ends of the loop share: timers in a binary heap and the queue of posted calls.
 */
#ifndef FB_NET_LOOP_INT_H
#define FB_NET_LOOP_INT_H

#include <pthread.h>
#include <uv.h>

#include "net/loop.h"

struct posted {
    void (*fn)(void *arg);
    void *arg;
};

struct post_queue {
    struct posted *items;
    size_t n, cap;
};

struct loop {
    struct clock clock; /* first: a clock_* call gets back to its loop */
    bool is_sim, is_stopped;
    struct loop_timer **heap; /* 1-based: heap[1] is the earliest */
    size_t n_heap, cap_heap;
    uint64_t next_seq;
    struct post_queue posts;

    int64_t sim_mono_ns, sim_wall_ms0; /* simulated time; wall at mono 0 */

    uv_loop_t uv;
    uv_timer_t uv_timer;
    uv_idle_t uv_idle;   /* runs while posts wait, so that the poll does not block */
    uv_async_t uv_async; /* keeps the loop alive; wakes it for calls from other threads */
    pthread_mutex_t mutex;
    struct post_queue foreign; /* under mutex */
    struct list fds, signals;
    struct list orphans;
};

/* Something that nobody owns any more and that ends by itself, or with the loop. */
struct loop_orphan {
    struct list link; /* in loop->orphans */
    void (*end)(struct loop_orphan *o);
};

void loop_push(struct post_queue *q, void (*fn)(void *arg), void *arg);
/* Runs what was queued when it was called; calls posted meanwhile wait for the next turn. */
void loop_run_posts(struct loop *l);
/* Calls every timer due at now_ns, earliest first; those started meanwhile wait for the next turn.
 */
void loop_run_timers(struct loop *l, int64_t now_ns);
/* Tells libuv when to wake. */
void loop_uv_arm(struct loop *l);
void loop_uv_wake_posts(struct loop *l);
void loop_uv_init(struct loop *l);
void loop_uv_run(struct loop *l);
void loop_uv_done(struct loop *l);

#endif
