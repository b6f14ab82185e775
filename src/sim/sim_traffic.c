/* SPDX-License-Identifier: Apache-2.0
 *
 * Clients as hey's: each worker has one request out, to the ready pod with the fewest in flight
 * that the gateway's own routes lead to. */
#include <stdlib.h>

#include "base/mem.h"
#include "sim/sim_int.h"

#define PROMPT_TOKENS 8
#define RETRY_MS 10

struct worker {
    struct sim *sim;
    struct list link;
    char *host;
    int max_tokens;
    int64_t end_ns;
    uint64_t seed;
    struct loop_timer timer;
    /* the request in flight */
    struct sim_pod *pod; /* NULL: none */
    struct list in_pod;
    struct generation *generation;
};

static void on_routes_changed(void *arg, enum cluster_event event, const struct object *was,
                              const struct object *now)
{
    (void)event;
    (void)was;
    (void)now;
    ((struct sim *)arg)->routes_stale = true;
}

static struct sim_pod *pick(struct sim *s, const char *host)
{
    const struct backend *b;
    struct sim_pod *best = NULL;

    if (s->routes_stale) {
        routes_free(s->routes);
        s->routes = routes_build(s->cluster);
        s->routes_stale = false;
    }
    b = routes_find(s->routes, str_of(host));
    for (size_t i = 0; b && i < b->n; i++) {
        struct sim_pod *p = table_get(&s->pods, str_of(b->items[i].uid));

        if (p && p->is_ready && (!best || p->in_flight < best->in_flight))
            best = p;
    }
    return best;
}

static void leave(struct worker *w)
{
    w->pod->in_flight--;
    list_del(&w->in_pod);
    w->pod = NULL;
    w->generation = NULL;
    loop_timer_start(&w->timer, sim_between(w->sim, NULL, 0, 2));
}

static void on_token(void *arg, struct generation *g, struct str text, enum seq_finish finish)
{
    struct worker *w = arg;

    (void)g;
    (void)text;
    if (finish == SEQ_GOES_ON)
        return;
    w->sim->traffic.answered++;
    leave(w);
}

static void send_request(struct worker *w, struct sim_pod *p)
{
    int32_t prompt[PROMPT_TOKENS];

    for (int i = 0; i < PROMPT_TOKENS; i++)
        prompt[i] = (int32_t)rng_below(&w->sim->rng, 1000);
    w->pod = p;
    p->in_flight++;
    list_add_tail(&p->requests, &w->in_pod);
    w->generation = engine_generate(
        p->engine, &(struct generation_options){.prompt = prompt,
                                                .n_prompt = PROMPT_TOKENS,
                                                .max_tokens = w->max_tokens,
                                                .max_tokens_given = true,
                                                .params_n = 1,
                                                .seed = w->seed++,
                                                .arrival_ns = loop_mono_ns(w->sim->loop),
                                                .arg = w,
                                                .on_token = on_token});
}

static void free_worker(struct worker *w)
{
    loop_timer_stop(&w->timer);
    list_del(&w->link);
    free(w->host);
    free(w);
}

static void on_turn(void *arg)
{
    struct worker *w = arg;
    struct sim_pod *p;

    if (loop_mono_ns(w->sim->loop) >= w->end_ns) {
        free_worker(w);
        return;
    }
    p = pick(w->sim, w->host);
    if (p) {
        send_request(w, p);
    } else {
        w->sim->traffic.refused++;
        loop_timer_start(&w->timer, RETRY_MS);
    }
}

void sim_traffic_pod_gone(struct sim_pod *p)
{
    list_each (it, &p->requests) {
        struct worker *w = container_of(it, struct worker, in_pod);

        engine_abort(p->engine, w->generation, false);
        p->sim->traffic.broken++;
        leave(w);
    }
}

void sim_traffic_start(struct sim *s)
{
    list_init(&s->workers);
    s->routes_stale = true;
    cluster_watch(s->cluster, KIND_ENDPOINTS, on_routes_changed, s);
    cluster_watch(s->cluster, KIND_SERVICE, on_routes_changed, s);
    cluster_watch(s->cluster, KIND_INGRESS, on_routes_changed, s);
}

void sim_traffic_stop(struct sim *s)
{
    cluster_unwatch(s->cluster, KIND_ENDPOINTS, on_routes_changed, s);
    cluster_unwatch(s->cluster, KIND_SERVICE, on_routes_changed, s);
    cluster_unwatch(s->cluster, KIND_INGRESS, on_routes_changed, s);
    list_each (it, &s->workers) {
        struct worker *w = container_of(it, struct worker, link);

        if (w->pod) {
            engine_abort(w->pod->engine, w->generation, false);
            leave(w);
        }
        free_worker(w);
    }
    routes_free(s->routes);
}

void sim_start_load(struct sim *s, const struct sim_load *l)
{
    sim_say(s, "%s: %d workers for %lld ms", l->host, l->workers, (long long)l->for_ms);
    for (int i = 0; i < l->workers; i++) {
        struct worker *w = mem_zalloc(sizeof(*w));

        w->sim = s;
        w->host = mem_strdup(l->host);
        w->max_tokens = l->max_tokens;
        w->end_ns = loop_mono_ns(s->loop) + l->for_ms * 1000000;
        w->seed = rng_u64(&s->rng);
        loop_timer_init(&w->timer, s->loop, on_turn, w);
        list_add_tail(&s->workers, &w->link);
        loop_timer_start(&w->timer, sim_between(s, NULL, 0, 2));
    }
}

struct sim_traffic sim_traffic(const struct sim *s)
{
    return s->traffic;
}
