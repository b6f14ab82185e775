/* SPDX-License-Identifier: Apache-2.0
 *
 * The real back end: one uv_timer armed for the earliest of our timers, one idle handle while
 * posted calls wait, one async handle for other threads. */
#include <stdlib.h>

#include "base/mem.h"
#include "net/loop_int.h"

static void on_uv_timer(uv_timer_t *h)
{
    struct loop *l = h->data;

    loop_run_timers(l, loop_mono_ns(l));
    if (!l->is_stopped) /* else what is due stays so until loop_run arms again */
        loop_uv_arm(l);
}

void loop_uv_arm(struct loop *l)
{
    int64_t in_ns;

    if (l->n_heap == 0) {
        uv_timer_stop(&l->uv_timer);
        return;
    }
    in_ns = l->heap[1]->due_ns - loop_mono_ns(l);
    uv_update_time(&l->uv);
    /* libuv counts whole milliseconds: round up, or it would wake too early and spin */
    uv_timer_start(&l->uv_timer, on_uv_timer,
                   in_ns > 0 ? (uint64_t)((in_ns + 999999) / 1000000) : 0, 0);
}

static void on_uv_idle(uv_idle_t *h)
{
    struct loop *l = h->data;

    loop_run_posts(l);
    if (l->posts.n == 0)
        uv_idle_stop(&l->uv_idle);
}

void loop_uv_wake_posts(struct loop *l)
{
    uv_idle_start(&l->uv_idle, on_uv_idle);
}

static void run_foreign(struct loop *l)
{
    struct post_queue got;

    pthread_mutex_lock(&l->mutex);
    got = l->foreign;
    l->foreign = (struct post_queue){0};
    pthread_mutex_unlock(&l->mutex);
    for (size_t i = 0; i < got.n; i++)
        got.items[i].fn(got.items[i].arg);
    free(got.items);
}

static void on_uv_async(uv_async_t *h)
{
    run_foreign(h->data);
}

void loop_post_threadsafe(struct loop *l, void (*fn)(void *arg), void *arg)
{
    FB_ASSERT(!l->is_sim);
    pthread_mutex_lock(&l->mutex);
    loop_push(&l->foreign, fn, arg);
    pthread_mutex_unlock(&l->mutex);
    uv_async_send(&l->uv_async);
}

void loop_uv_init(struct loop *l)
{
    FB_ASSERT(uv_loop_init(&l->uv) == 0);
    uv_timer_init(&l->uv, &l->uv_timer);
    uv_idle_init(&l->uv, &l->uv_idle);
    uv_async_init(&l->uv, &l->uv_async, on_uv_async);
    pthread_mutex_init(&l->mutex, NULL);
    l->uv_timer.data = l->uv_idle.data = l->uv_async.data = l;
}

void loop_uv_run(struct loop *l)
{
    loop_uv_arm(l);
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

void *loop_uv(struct loop *l)
{
    return l->is_sim ? NULL : &l->uv;
}

/* --- work on pool threads --- */

struct work {
    uv_work_t req;
    struct loop *loop;
    void (*work)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

static void on_work(uv_work_t *req)
{
    struct work *w = req->data;

    w->work(w->arg);
}

static void on_work_done(uv_work_t *req, int status)
{
    struct work *w = req->data;

    (void)status;
    w->done(w->arg);
    free(w);
}

static void on_sim_work(void *arg)
{
    struct work *w = arg;

    w->work(w->arg);
    w->done(w->arg);
    free(w);
}

void loop_work(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
    struct work *w = mem_zalloc(sizeof(*w));

    *w = (struct work){.loop = l, .work = work, .done = done, .arg = arg};
    w->req.data = w;
    if (l->is_sim)
        loop_post(l, on_sim_work, w);
    else
        uv_queue_work(&l->uv, &w->req, on_work, on_work_done);
}

/* --- descriptors and signals --- */

struct loop_fd {
    uv_poll_t poll;
    struct list link;
    void (*fn)(void *arg);
    void *arg;
};

static void on_fd(uv_poll_t *h, int status, int events)
{
    struct loop_fd *w = h->data;

    (void)status;
    (void)events;
    w->fn(w->arg);
}

struct loop_fd *loop_fd_watch(struct loop *l, int fd, void (*fn)(void *arg), void *arg)
{
    struct loop_fd *w = mem_zalloc(sizeof(*w));

    w->fn = fn;
    w->arg = arg;
    FB_ASSERT(uv_poll_init(&l->uv, &w->poll, fd) == 0);
    w->poll.data = w;
    uv_poll_start(&w->poll, UV_READABLE, on_fd);
    list_add_tail(&l->fds, &w->link);
    return w;
}

static void on_fd_closed(uv_handle_t *h)
{
    free(h->data);
}

void loop_fd_stop(struct loop_fd *w)
{
    if (!w)
        return;
    list_del(&w->link);
    uv_close((uv_handle_t *)&w->poll, on_fd_closed);
}

struct loop_signal {
    uv_signal_t handle;
    struct list link;
    void (*fn)(void *arg, int signum);
    void *arg;
};

static void on_signal(uv_signal_t *h, int signum)
{
    struct loop_signal *s = h->data;

    s->fn(s->arg, signum);
}

void loop_on_signal(struct loop *l, int signum, void (*fn)(void *arg, int signum), void *arg)
{
    struct loop_signal *s = mem_zalloc(sizeof(*s));

    s->fn = fn;
    s->arg = arg;
    uv_signal_init(&l->uv, &s->handle);
    s->handle.data = s;
    uv_signal_start(&s->handle, on_signal, signum);
    list_add_tail(&l->signals, &s->link);
}

static void close_any(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL); /* a socket somebody forgot: its memory is that owner's */
}

static void run_last_posts(struct loop *l)
{
    for (int turns = 0; (l->posts.n || l->foreign.n) && turns < 10; turns++) {
        run_foreign(l); /* of threads that have ended */
        loop_run_posts(l);
    }
}

void loop_uv_done(struct loop *l)
{
    list_each (it, &l->fds)
        loop_fd_stop(container_of(it, struct loop_fd, link));
    list_each (it, &l->signals) {
        struct loop_signal *s = container_of(it, struct loop_signal, link);

        list_del(it);
        uv_close((uv_handle_t *)&s->handle, on_fd_closed);
    }
    run_last_posts(l);
    list_each (it, &l->orphans) {
        struct loop_orphan *o = container_of(it, struct loop_orphan, link);

        o->end(o);
    }
    run_last_posts(l);
    uv_close((uv_handle_t *)&l->uv_timer, NULL);
    uv_close((uv_handle_t *)&l->uv_idle, NULL);
    uv_close((uv_handle_t *)&l->uv_async, NULL);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    if (uv_loop_close(&l->uv) == UV_EBUSY) {
        uv_walk(&l->uv, close_any, NULL);
        uv_run(&l->uv, UV_RUN_DEFAULT);
        uv_loop_close(&l->uv);
    }
    pthread_mutex_destroy(&l->mutex);
    free(l->foreign.items);
}
