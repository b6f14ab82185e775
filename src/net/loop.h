/* SPDX-License-Identifier: Apache-2.0
 *
 * The event loop everything runs on. Two back ends behind one interface: libuv (real time, sockets)
 * and simulated (virtual time, no sockets: time jumps to the next timer as soon as nothing is left
 * to do, so five minutes pass in microseconds and the same seed gives the same order).
 *
 * One thread owns a loop; only loop_post_threadsafe may be called from another one. No callback is
 * ever called from inside the call that registers it. */
#ifndef FB_NET_LOOP_H
#define FB_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/list.h"

struct loop;

struct loop *loop_new(void);                      /* libuv */
struct loop *loop_new_sim(int64_t start_wall_ms); /* virtual */
void loop_free(struct loop *l);                   /* closes what is left */
/* Until loop_stop, or (simulated) nothing is left to do. */
void loop_run(struct loop *l);
/* Simulated only: runs everything due within the next span and leaves time at its end. */
void loop_run_for(struct loop *l, int64_t ms);
/* Simulated only: the wall clock jumps, distances (mono) do not change. */
void loop_sim_jump_wall(struct loop *l, int64_t ms);
void loop_stop(struct loop *l);
/* The loop's own clock: read once per turn, cheap. Also as an injectable clock. */
int64_t loop_mono_ns(const struct loop *l);
int64_t loop_wall_ms(const struct loop *l);
const struct clock *loop_clock(const struct loop *l);
/* The uv_loop_t of a real loop (for net/ and for process supervision), NULL when simulated. */
void *loop_uv(struct loop *l);

/* A one-shot timer, embedded in its owner. Must be stopped before its memory goes; stopping one
 * that is not running is fine. Starting again moves it. A callback may start it again or free its
 * owner. */
struct loop_timer {
    struct loop *loop;
    void (*fn)(void *arg);
    void *arg;
    int64_t due_ns; /* mono; stays when it has fired */
    uint64_t seq;   /* ties go first come first served */
    size_t heap_at; /* 1-based place in the loop's heap; 0: not running */
};

void loop_timer_init(struct loop_timer *t, struct loop *l, void (*fn)(void *arg), void *arg);
void loop_timer_start_ns(struct loop_timer *t, int64_t delay_ns);
void loop_timer_start(struct loop_timer *t, int64_t delay_ms);
void loop_timer_stop(struct loop_timer *t);
static inline bool loop_timer_is_running(const struct loop_timer *t)
{
    return t->heap_at != 0;
}

/* Runs fn(arg) in the next turn of this loop, in order of posting. */
void loop_post(struct loop *l, void (*fn)(void *arg), void *arg);
/* The same from any thread (real loops only). */
void loop_post_threadsafe(struct loop *l, void (*fn)(void *arg), void *arg);
/* Blocking work on a pool thread, then done(arg) on the loop. Simulated: both at once, next turn.
 */
void loop_work(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg);
/* Readability of a descriptor (pidfd, inotify, socket): fn on every level-triggered readiness. */
struct loop_fd;
struct loop_fd *loop_fd_watch(struct loop *l, int fd, void (*fn)(void *arg), void *arg);
void loop_fd_stop(struct loop_fd *w); /* does not close fd */
/* SIGINT, SIGTERM, ...: real loops only. */
void loop_on_signal(struct loop *l, int signum, void (*fn)(void *arg, int signum), void *arg);

#endif
