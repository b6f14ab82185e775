/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exporter.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "codec/protobuf.h"

#define QUEUE_BYTES ((size_t)1 << 20)   /* of all requests that wait */
#define REQUEST_BYTES ((size_t)2 << 20) /* sent together; receivers take 4 MiB or more */
#define QUICK_MS 100                    /* back-off while the receiver is unreachable */
#define QUICK_MAX_MS 5000
#define RETRY_MAX_MS 300000 /* of what a receiver asks for */
#define SAY_AGAIN_NS (30 * (int64_t)1000000000)

struct request {
    struct list link;
    struct str bytes;  /* owned */
    int64_t pushed_ns; /* mono */
};

struct exporter {
    struct loop *loop;
    const struct agent_exporter *config;
    struct exporter_transport transport;
    struct list queue; /* the first n_sending are under way */
    size_t n, bytes, n_sending;
    size_t alone; /* so many are sent one by one: together they were refused */
    struct loop_timer timer, deadline;
    struct rng rng;
    int64_t interval_ms; /* of the next retry */
    int64_t failing_ns;  /* mono, since when what is at the head fails; 0: it does not */
    int64_t said_ns;     /* when that was logged last */
    uint64_t dropped, said_dropped;
    void (*drained)(void *arg);
    void *drained_arg;
    bool is_draining;
};

static int64_t now_ns(const struct exporter *e)
{
    return loop_mono_ns(e->loop);
}

/* --- the queue --- */

static void drop(struct exporter *e, struct request *r)
{
    list_del(&r->link);
    e->n--;
    e->bytes -= r->bytes.n;
    free((char *)(uintptr_t)r->bytes.p);
    free(r);
}

static struct request *request_at(struct exporter *e, size_t i)
{
    struct list *l = e->queue.next;

    while (i-- > 0)
        l = l->next;
    return container_of(l, struct request, link);
}

static void drop_first(struct exporter *e, size_t n)
{
    while (n-- > 0 && e->n > 0)
        drop(e, request_at(e, 0));
}

static void make_room(struct exporter *e, size_t bytes)
{
    size_t max = e->config->has_queue ? (size_t)e->config->queue_size : 1;

    while (e->n > e->n_sending && (e->n - e->n_sending >= max || e->bytes + bytes > QUEUE_BYTES)) {
        drop(e, request_at(e, e->n_sending));
        e->dropped++;
    }
}

/* --- sending --- */

static void end_drain(struct exporter *e)
{
    void (*fn)(void *arg) = e->drained;

    loop_timer_stop(&e->deadline);
    e->drained = NULL;
    if (fn)
        fn(e->drained_arg);
}

static void send_next(void *arg)
{
    struct exporter *e = arg;
    struct buf all = BUF_INIT;

    if (e->n_sending || loop_timer_is_running(&e->timer))
        return;
    if (e->n == 0) {
        end_drain(e);
        return;
    }
    list_each (it, &e->queue) {
        struct request *r = container_of(it, struct request, link);

        if (e->n_sending && (e->alone || all.n + r->bytes.n > REQUEST_BYTES))
            break;
        buf_add_str(&all, r->bytes);
        e->n_sending++;
    }
    e->transport.send(e->transport.ctx, e, buf_str(&all));
    buf_done(&all);
}

void exporter_push(struct exporter *e, struct str request)
{
    struct request *r = mem_zalloc(sizeof(*r));

    make_room(e, request.n);
    r->bytes = str_n(str_dup(request), request.n);
    r->pushed_ns = now_ns(e);
    list_add_tail(&e->queue, &r->link);
    e->n++;
    e->bytes += request.n;
    send_next(e);
}

/* --- answers --- */

static bool is_retryable(const struct grpc_status *s)
{
    switch (s->code) {
    case GRPC_CANCELLED:
    case GRPC_DEADLINE_EXCEEDED:
    case GRPC_ABORTED:
    case GRPC_OUT_OF_RANGE:
    case GRPC_UNAVAILABLE:
    case GRPC_DATA_LOSS:
        return true;
    case GRPC_RESOURCE_EXHAUSTED: /* for a while, or for good */
        return s->retry_ms > 0;
    default:
        return false;
    }
}

static int64_t next_delay_ms(struct exporter *e, const struct grpc_status *s)
{
    const struct agent_retry *r = &e->config->retry;
    bool quick = s->code == GRPC_UNAVAILABLE && !r->is_explicit;
    int64_t first = quick ? QUICK_MS : r->initial_ms, max = r->max_interval_ms, delay;

    if (quick && max > QUICK_MAX_MS)
        max = QUICK_MAX_MS;
    if (e->interval_ms == 0)
        e->interval_ms = first;
    delay =
        (int64_t)((double)e->interval_ms * (1 + r->randomization * (2 * rng_double(&e->rng) - 1)));
    e->interval_ms = (int64_t)((double)e->interval_ms * r->multiplier);
    if (e->interval_ms > max)
        e->interval_ms = max;
    if (delay < s->retry_ms)
        delay = s->retry_ms < RETRY_MAX_MS ? s->retry_ms : RETRY_MAX_MS;
    return delay > 1 ? delay : 1;
}

/* ExportMetricsServiceResponse: partial_success {rejected_data_points, error_message}. */
static void look_at_answer(struct exporter *e, struct str answer)
{
    struct str partial = STR_NONE, why = STR_NONE;
    uint64_t rejected = 0;
    struct pb_field f;

    while (answer.n && pb_next(&answer, &f))
        if (f.number == 1 && f.wire == PB_BYTES)
            partial = f.bytes;
    while (partial.n && pb_next(&partial, &f)) {
        if (f.number == 1 && f.wire == PB_VARINT)
            rejected = f.value;
        else if (f.number == 2 && f.wire == PB_BYTES)
            why = f.bytes;
    }
    if ((rejected || why.n) && now_ns(e) - e->said_ns > SAY_AGAIN_NS) {
        e->said_ns = now_ns(e);
        log_warn("agent", "%s refused %llu data points: %.*s", e->config->endpoint,
                 (unsigned long long)rejected, STR_ARG(why));
    }
}

static void say_works(struct exporter *e)
{
    if (!e->failing_ns)
        return;
    log_info("agent", "%s takes metrics again, after %.1f s; %llu requests were dropped",
             e->config->endpoint, (double)(now_ns(e) - e->failing_ns) / 1e9,
             (unsigned long long)(e->dropped - e->said_dropped));
    e->said_dropped = e->dropped;
    e->said_ns = e->failing_ns = 0;
}

static void say_fails(struct exporter *e, const struct grpc_status *s, int64_t delay_ms)
{
    if (!e->failing_ns)
        e->failing_ns = now_ns(e);
    if (e->said_ns && now_ns(e) - e->said_ns < SAY_AGAIN_NS)
        return;
    e->said_ns = now_ns(e);
    log_warn("agent", "cannot push to %s: %s: %s; %zu requests wait, next try in %lld ms",
             e->config->endpoint, grpc_code_name(s->code), s->message, e->n, (long long)delay_ms);
}

static void give_up(struct exporter *e, size_t n, const char *why, const struct grpc_status *s)
{
    log_error("agent", "%s: %zu request%s dropped, %s: %s: %s", e->config->endpoint, n,
              n > 1 ? "s" : "", why, grpc_code_name(s->code), s->message);
    e->dropped += n;
    e->said_dropped = e->dropped;
    drop_first(e, n);
}

/* How many of the first n wait for longer than max_elapsed_time. */
static size_t expired(struct exporter *e, size_t n)
{
    int64_t max_ns = e->config->retry.max_elapsed_ms * 1000000;
    size_t i = 0;

    while (max_ns && i < n && now_ns(e) - request_at(e, i)->pushed_ns > max_ns)
        i++;
    return i;
}

static void failed(struct exporter *e, size_t n, const struct grpc_status *s)
{
    const struct agent_retry *r = &e->config->retry;
    int64_t delay_ms;
    size_t old;

    if (!is_retryable(s) && n > 1) {
        e->alone = n;
    } else if (!is_retryable(s)) {
        give_up(e, n, "the receiver refuses it", s);
        e->interval_ms = 0;
    } else if (!r->is_enabled || e->is_draining) {
        give_up(e, n, e->is_draining ? "the agent ends" : "retry_on_failure is off", s);
    } else {
        delay_ms = next_delay_ms(e, s);
        old = expired(e, n);
        if (old)
            give_up(e, old, "retried for too long", s);
        say_fails(e, s, delay_ms);
        loop_timer_start(&e->timer, delay_ms);
    }
}

void exporter_sent(struct exporter *e, const struct grpc_status *s, struct str answer)
{
    bool ok = s->code == GRPC_OK;
    size_t n = e->n_sending;

    e->n_sending = 0;
    if (ok) {
        drop_first(e, n);
        e->interval_ms = 0;
        say_works(e);
        look_at_answer(e, answer);
    } else {
        failed(e, n, s);
    }
    if (e->alone > 0 && (ok || !is_retryable(s)) && n == 1)
        e->alone--;
    send_next(e);
}

/* --- life --- */

static void on_deadline(void *arg)
{
    struct exporter *e = arg;

    if (e->n_sending)
        e->transport.cancel(e->transport.ctx);
    e->n_sending = 0;
    loop_timer_stop(&e->timer);
    if (e->n)
        log_warn("agent", "%zu requests for %s were not taken in time", e->n, e->config->endpoint);
    drop_first(e, e->n);
    end_drain(e);
}

void exporter_drain(struct exporter *e, int64_t timeout_ms, void (*fn)(void *arg), void *arg)
{
    e->is_draining = true;
    e->drained = fn;
    e->drained_arg = arg;
    loop_timer_start(&e->deadline, timeout_ms);
    loop_timer_stop(&e->timer); /* one try now instead of one later */
    loop_post(e->loop, send_next, e);
}

struct exporter *exporter_new(struct loop *l, const struct agent_exporter *config,
                              const struct exporter_transport *transport)
{
    struct exporter *e = mem_zalloc(sizeof(*e));

    e->loop = l;
    e->config = config;
    e->transport = *transport;
    list_init(&e->queue);
    rng_seed_random(&e->rng);
    loop_timer_init(&e->timer, l, send_next, e);
    loop_timer_init(&e->deadline, l, on_deadline, e);
    return e;
}

void exporter_free(struct exporter *e)
{
    if (!e)
        return;
    if (e->n_sending)
        e->transport.cancel(e->transport.ctx);
    e->n_sending = 0;
    e->transport.free(e->transport.ctx);
    loop_timer_stop(&e->timer);
    loop_timer_stop(&e->deadline);
    drop_first(e, e->n);
    free(e);
}

bool exporter_is_lost(const struct exporter *e)
{
    return e->n == 0 && e->transport.is_lost && e->transport.is_lost(e->transport.ctx);
}

size_t exporter_waiting(const struct exporter *e)
{
    return e->n;
}

uint64_t exporter_dropped(const struct exporter *e)
{
    return e->dropped;
}

const struct agent_exporter *exporter_config(const struct exporter *e)
{
    return e->config;
}
