/* SPDX-License-Identifier: Apache-2.0
 *
 * Simulated pods: what the node room does, without processes. A pod gets an address, its container
 * is there after a seeded delay, it is ready when its engine is; a deleted pod finishes what it is
 * answering, then goes. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "sim/sim_int.h"

#define FIRST_IP 0x7f400001u
#define GRACE_MS 30000
#define BACKOFF_MS 10000

static void ignore(void *arg, const struct object *now, const struct err *err)
{
    (void)arg;
    (void)now;
    (void)err;
}

static json_t *condition(const char *type, bool on, int64_t now)
{
    char t[TIME_TEXT_MAX];

    return json_pack("{s:s,s:s,s:s}", "type", type, "status", on ? "True" : "False",
                     "lastTransitionTime", time_rfc3339(now, t));
}

static json_t *container_state(const struct sim_pod *p)
{
    if (p->engine)
        return json_pack("{s:{}}", "running");
    return json_pack("{s:{s:s}}", "waiting", "reason",
                     p->has_crashed ? "CrashLoopBackOff" : "ContainerCreating");
}

static void write_status(struct sim_pod *p, const json_t *pod)
{
    struct sim *s = p->sim;
    int64_t now = loop_wall_ms(s->loop);
    const json_t *spec = json_at(pod, "spec.containers"), *c;
    json_t *list = json_array(), *status;
    AUTO_JSON json_t *body = NULL;
    char t[TIME_TEXT_MAX];
    size_t i;

    json_array_foreach ((json_t *)spec, i, c)
        json_array_append_new(list, json_pack("{s:s,s:o,s:b,s:i,s:s,s:s}", "name",
                                              json_text(c, "name", ""), "state", container_state(p),
                                              "ready", p->is_ready, "restartCount", p->restarts,
                                              "image", json_text(c, "image", ""), "imageID", ""));
    status = json_pack("{s:s,s:[o,o,o,o],s:s,s:s,s:s,s:o}", "phase",
                       p->engine || p->restarts ? "Running" : "Pending", "conditions",
                       condition("Initialized", true, now), condition("Ready", p->is_ready, now),
                       condition("ContainersReady", p->is_ready, now),
                       condition("PodScheduled", true, now), "hostIP", "127.0.0.1", "podIP", p->ip,
                       "startTime", time_rfc3339(now, t), "containerStatuses", list);
    body = json_pack("{s:{s:s,s:s},s:o}", "metadata", "name", p->name, "namespace", p->ns, "status",
                     status);
    cluster_write(s->cluster,
                  &(struct cluster_write){.verb = CLUSTER_UPDATE,
                                          .kind = KIND_POD,
                                          .ns = str_of(p->ns),
                                          .name = str_of(p->name),
                                          .subresource = "status",
                                          .tree = body,
                                          .manager = "kubelet"},
                  ignore, NULL);
}

static void publish(struct sim_pod *p)
{
    const struct object *o = cluster_get(p->sim->cluster, KIND_POD, str_of(p->ns), str_of(p->name));
    AUTO_JSON json_t *tree = o && str_is(o->uid, p->uid) ? object_tree(o) : NULL;

    if (tree)
        write_status(p, tree);
}

static void stop_engine(struct sim_pod *p)
{
    sim_traffic_pod_gone(p);
    engine_free(p->engine);
    vllm_metrics_free(p->metrics);
    p->engine = NULL;
    p->metrics = NULL;
    p->is_ready = false;
}

/* Container there -> its engine loads -> ready: one timer, three moments. */
static void on_start(void *arg)
{
    struct sim_pod *p = arg;
    struct sim *s = p->sim;
    struct engine_config c = {.sched = {.block_size = 16,
                                        .num_blocks = 2048,
                                        .max_num_seqs = 256,
                                        .max_num_batched_tokens = 2048,
                                        .max_model_len = 2048,
                                        .prefix_caching = true},
                              .timing = s->timing};

    if (p->is_ending)
        return;
    if (p->engine) {
        p->is_ready = true;
        sim_say(s, "%s/%s: ready", p->ns, p->name);
    } else {
        c.seed = rng_u64(&s->rng);
        p->metrics = vllm_metrics_new("fbopt", c.sched.max_model_len, c.sched.block_size,
                                      c.sched.num_blocks);
        p->engine = engine_new(s->loop, &c, p->metrics);
        p->restarts += p->has_crashed;
        sim_say(s, "%s/%s: started", p->ns, p->name);
        loop_timer_start(&p->start, sim_between(s, NULL, 1, 20));
    }
    publish(p);
}

static void add_pod(struct sim *s, const struct object *o)
{
    AUTO_JSON json_t *bind = json_pack("{s:{s:s}}", "spec", "nodeName", "sim");
    struct sim_pod *p = mem_zalloc(sizeof(*p));
    uint32_t ip = s->next_ip++;
    int now;

    p->sim = s;
    p->uid = str_dup(o->uid);
    p->ns = str_dup(o->ns);
    p->name = str_dup(o->name);
    p->ip = mem_printf("%u.%u.%u.%u", ip >> 24, (ip >> 16) & 255, (ip >> 8) & 255, ip & 255);
    list_init(&p->requests);
    loop_timer_init(&p->start, s->loop, on_start, p);
    table_set(&s->pods, o->uid, p);
    now = sim_pods(s, o->ns);
    if (now > sim_most_pods(s, o->ns))
        table_set(&s->most, o->ns, (void *)(uintptr_t)now);
    sim_say(s, "%s/%s: created, %d now", p->ns, p->name, now);
    cluster_write(s->cluster,
                  &(struct cluster_write){.verb = CLUSTER_MERGE_PATCH,
                                          .kind = KIND_POD,
                                          .ns = o->ns,
                                          .name = o->name,
                                          .tree = bind,
                                          .manager = "sim-scheduler"},
                  ignore, NULL);
    publish(p);
    loop_timer_start(&p->start, sim_between(s, s->o.start_ms, 50, 400));
}

static void free_pod(struct sim_pod *p)
{
    loop_timer_stop(&p->start);
    stop_engine(p);
    free(p->uid);
    free(p->ns);
    free(p->name);
    free(p->ip);
    free(p);
}

static void finish(struct sim_pod *p)
{
    cluster_write(p->sim->cluster,
                  &(struct cluster_write){.verb = CLUSTER_DELETE,
                                          .kind = KIND_POD,
                                          .ns = str_of(p->ns),
                                          .name = str_of(p->name),
                                          .uid = str_of(p->uid),
                                          .grace_s = 0,
                                          .manager = "kubelet"},
                  ignore, NULL);
}

/* Deleted pods drain: looked at every 50 ms, at most for the grace period. */
static void on_draining(void *arg)
{
    struct sim_pod *p = arg;

    if (p->in_flight == 0 || (p->drained_ms += 50) > GRACE_MS)
        finish(p);
    else
        loop_timer_start(&p->start, 50);
}

static void end_pod(struct sim_pod *p)
{
    if (p->is_ending)
        return;
    p->is_ending = true;
    p->is_ready = false;
    sim_say(p->sim, "%s/%s: ending, %d in flight", p->ns, p->name, p->in_flight);
    loop_timer_stop(&p->start);
    loop_timer_init(&p->start, p->sim->loop, on_draining, p);
    loop_timer_start(&p->start, 0);
}

static void on_pod(void *arg, enum cluster_event event, const struct object *was,
                   const struct object *now)
{
    struct sim *s = arg;
    struct sim_pod *p = table_get(&s->pods, now->uid);

    (void)was;
    if (event == CLUSTER_DELETED) {
        if (!p)
            return;
        sim_say(s, "%s/%s: gone", p->ns, p->name);
        table_del(&s->pods, now->uid);
        free_pod(p);
    } else if (!p && !now->deleting_ms) {
        add_pod(s, now);
    } else if (p && now->deleting_ms) {
        end_pod(p);
    }
}

void sim_node_start(struct sim *s)
{
    s->next_ip = FIRST_IP;
    cluster_watch(s->cluster, KIND_POD, on_pod, s);
}

void sim_node_stop(struct sim *s)
{
    size_t i = 0;
    void *v;

    cluster_unwatch(s->cluster, KIND_POD, on_pod, s);
    while (table_next(&s->pods, &i, NULL, &v))
        free_pod(v);
    table_done(&s->pods);
    table_done(&s->most);
}

/* --- looks at it --- */

struct sim_pod *sim_pod_at(struct sim *s, const struct net_addr *a)
{
    char ip[64];
    size_t i = 0;
    void *v;

    net_addr_ip(a, ip);
    while (table_next(&s->pods, &i, NULL, &v)) {
        struct sim_pod *p = v;

        if (strcmp(p->ip, ip) == 0)
            return p;
    }
    return NULL;
}

static int count(const struct sim *s, struct str ns, bool only_ready)
{
    size_t i = 0;
    int n = 0;
    void *v;

    while (table_next(&s->pods, &i, NULL, &v)) {
        const struct sim_pod *p = v;

        n += str_is(ns, p->ns) && !p->is_ending && (p->is_ready || !only_ready);
    }
    return n;
}

int sim_pods(const struct sim *s, struct str ns)
{
    return count(s, ns, false);
}

int sim_ready_pods(const struct sim *s, struct str ns)
{
    return count(s, ns, true);
}

int sim_most_pods(const struct sim *s, struct str ns)
{
    return (int)(uintptr_t)table_get(&s->most, ns);
}

void sim_crash_pod(struct sim *s, struct str ns, int exit_code)
{
    struct sim_pod *first = NULL;
    size_t i = 0;
    void *v;

    while (table_next(&s->pods, &i, NULL, &v)) {
        struct sim_pod *p = v;

        if (str_is(ns, p->ns) && p->engine && !p->is_ending &&
            (!first || strcmp(p->name, first->name) < 0))
            first = p;
    }
    if (!first)
        return;
    sim_say(s, "%s/%s: dies with exit code %d", first->ns, first->name, exit_code);
    stop_engine(first);
    first->has_crashed = true;
    publish(first);
    loop_timer_start(&first->start, BACKOFF_MS);
}

void sim_set_scrapes(struct sim *s, enum sim_fault f)
{
    static const char *const names[] = {"work", "are refused", "hang", "bring garbage"};

    s->fault = f;
    sim_say(s, "scrapes %s", names[f]);
}
