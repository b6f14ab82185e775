/* SPDX-License-Identifier: Apache-2.0
 *
 * What tests over real sockets share: a loop that runs until a condition holds, with a deadline, or
 * for a while. Embedded in the fixture as `w`. */
#ifndef FB_TESTS_NET_WAITING_H
#define FB_TESTS_NET_WAITING_H

#include "../cmocka_all.h"

#include "net/loop.h"

#define DEADLINE_MS 20000

struct waiting {
    struct loop *loop;
    struct loop_timer deadline, poll;
    bool is_late;
};

static inline void waiting_late_(void *arg)
{
    struct waiting *w = arg;

    w->is_late = true;
    loop_stop(w->loop);
}

static inline void waiting_poll_(void *arg)
{
    loop_stop(((struct waiting *)arg)->loop);
}

static inline void waiting_init(struct waiting *w)
{
    w->loop = loop_new();
    loop_timer_init(&w->deadline, w->loop, waiting_late_, w);
    loop_timer_init(&w->poll, w->loop, waiting_poll_, w);
}

/* Frees the loop too: what stands on it has to be gone. */
static inline void waiting_done(struct waiting *w)
{
    loop_timer_stop(&w->deadline);
    loop_timer_stop(&w->poll);
    loop_free(w->loop);
}

static inline void waiting_run_for(struct waiting *w, int64_t ms)
{
    loop_timer_start(&w->poll, ms);
    loop_run(w->loop);
}

/* Runs the loop of fixture f until the condition holds. */
#define WAIT(f, condition)                               \
    do {                                                 \
        (f)->w.is_late = false;                          \
        loop_timer_start(&(f)->w.deadline, DEADLINE_MS); \
        while (!(condition) && !(f)->w.is_late) {        \
            loop_timer_start_ns(&(f)->w.poll, 200000);   \
            loop_run((f)->w.loop);                       \
        }                                                \
        loop_timer_stop(&(f)->w.poll);                   \
        loop_timer_stop(&(f)->w.deadline);               \
        if ((f)->w.is_late)                              \
            fail_msg("not in time: %s", #condition);     \
    } while (0)

#endif
