/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

#include "apiserver/apiserver.h"
#include "base/mem.h"
#include "codec/yaml.h"
#include "controllers/isvc.h"
#include "kube/names.h"
#include "sim/sim_int.h"
#include "telemetry/own_service.h"

#define WALL_2026 1767225600000
#define SETTLE_MAX 20 /* an answer leads to the next write */

void sim_say(struct sim *s, const char *fmt, ...)
{
    int64_t ms = sim_now_ms(s);
    size_t from = s->log.n;
    va_list ap;

    buf_printf(&s->log, "+%lld.%03d ", (long long)(ms / 1000), (int)(ms % 1000));
    va_start(ap, fmt);
    buf_vprintf(&s->log, fmt, ap);
    va_end(ap);
    if (s->o.on_log)
        s->o.on_log(s->o.arg, str_skip(buf_str(&s->log), from));
    buf_add_char(&s->log, '\n');
}

int64_t sim_between(struct sim *s, const int64_t range[2], int64_t from, int64_t to)
{
    if (range && range[1] > 0) {
        from = range[0];
        to = range[1];
    }
    return from + (int64_t)rng_below(&s->rng, (uint64_t)(to - from + 1));
}

/* --- the log: what users would see of it --- */

static void on_deployment(void *arg, enum cluster_event event, const struct object *was,
                          const struct object *now)
{
    AUTO_JSON json_t *a = was ? object_tree(was) : NULL, *b = object_tree(now);
    int64_t from = json_int(a, "spec.replicas", 0), to = json_int(b, "spec.replicas", 1);

    if (event == CLUSTER_DELETED)
        sim_say(arg, "%.*s/%.*s: deployment deleted", STR_ARG(now->ns), STR_ARG(now->name));
    else if (from != to)
        sim_say(arg, "%.*s/%.*s: %lld -> %lld replicas", STR_ARG(now->ns), STR_ARG(now->name),
                (long long)from, (long long)to);
}

static void on_event(void *arg, enum cluster_event event, const struct object *was,
                     const struct object *now)
{
    AUTO_JSON json_t *e = object_tree(now);

    (void)was;
    if (event != CLUSTER_DELETED)
        sim_say(arg, "%.*s/%s: %s %s x%lld: %s", STR_ARG(now->ns),
                json_text(e, "involvedObject.name", ""), json_text(e, "type", ""),
                json_text(e, "reason", ""), (long long)json_int(e, "count", 1),
                json_text(e, "message", ""));
}

/* --- life --- */

static int start(struct sim *s, struct err *err)
{
    struct net_addr web;
    int r;

    r = store_open(&(struct store_options){.loop = s->loop,
                                           .commit_ms = s->o.commit_ms,
                                           .seed = s->o.seed + 1,
                                           .service_block = 0x7f800000},
                   &s->store, err);
    if (r < 0)
        return r;
    s->cluster = store_cluster(s->store);
    if ((r = net_addr_parse(STR("127.0.0.1:9090"), &web, err)) < 0)
        return r;
    if ((r = timing_parse(str_of(s->o.step_times ? s->o.step_times : "opt-125m-cpu"), &s->timing,
                          err)) < 0)
        return r;
    cluster_watch(s->cluster, KIND_DEPLOYMENT, on_deployment, s);
    cluster_watch(s->cluster, KIND_EVENT, on_event, s);
    sim_http_start(s);
    s->http.resolve = names_hook;
    s->http.resolve_ctx = s->cluster;
    s->db = tsdb_new(&(struct tsdb_options){0});
    s->rounds = rounds_new(&(struct rounds_options){
        .cluster = s->cluster, .http = &s->http, .db = s->db, .interval_ms = s->o.interval_ms});
    s->world =
        (struct trigger_world){.cluster = s->cluster, .http = &s->http, .db = s->db, .web = web};
    apiserver_bootstrap(s->store);
    own_service_publish(
        s->cluster, &(struct own_service){"istio-system", "prometheus", {{"http", 9090, &web}}});
    sim_node_start(s);
    sim_traffic_start(s);
    isvc_bootstrap(s->cluster, NULL);
    s->controllers = controllers_new(&(struct scaledobject_deps){
        .world = &s->world, .rounds = s->rounds, .sync_period_ms = s->o.sync_period_ms});
    return 0;
}

struct sim *sim_new(const struct sim_options *o, struct err *err)
{
    struct sim *s = mem_zalloc(sizeof(*s));

    s->o = *o;
    s->loop = loop_new_sim(o->wall_ms ? o->wall_ms : WALL_2026);
    rng_seed(&s->rng, o->seed);
    s->start_ns = loop_mono_ns(s->loop);
    if (start(s, err) < 0) {
        sim_free(s);
        return NULL;
    }
    sim_run_for(s, 1000); /* what every start creates is there */
    return s;
}

void sim_free(struct sim *s)
{
    if (!s)
        return;
    if (s->controllers) {
        for (int i = 0; i < SETTLE_MAX; i++) { /* who waits for an answer has it before it goes */
            store_drain(s->store);
            loop_run_for(s->loop, 0);
        }
        controllers_free(s->controllers);
        rounds_free(s->rounds);
        sim_traffic_stop(s);
        sim_node_stop(s);
        sim_http_stop(s);
        tsdb_free(s->db);
    }
    if (s->store)
        store_close(s->store);
    loop_free(s->loop);
    buf_done(&s->log);
    free(s);
}

struct cluster *sim_cluster(struct sim *s)
{
    return s->cluster;
}

int64_t sim_now_ms(const struct sim *s)
{
    return (loop_mono_ns(s->loop) - s->start_ns) / 1000000;
}

void sim_run_for(struct sim *s, int64_t ms)
{
    loop_run_for(s->loop, ms);
}

bool sim_run_until(struct sim *s, bool (*fn)(struct sim *s, void *arg), void *arg, int64_t ms)
{
    for (int64_t at = 0; at < ms; at += 10) {
        if (fn(s, arg))
            return true;
        sim_run_for(s, 10);
    }
    return fn(s, arg);
}

struct str sim_log(const struct sim *s)
{
    return buf_str(&s->log);
}

void sim_jump_wall(struct sim *s, int64_t ms)
{
    loop_sim_jump_wall(s->loop, ms);
    sim_say(s, "the wall clock jumps by %lld ms", (long long)ms);
}

/* --- apply --- */

struct applying {
    struct sim *sim;
    bool is_done;
    int code;
    struct err *err;
};

static void on_applied(void *arg, const struct store_result *r)
{
    struct applying *a = arg;

    a->is_done = true;
    if (r->err_code < 0)
        a->code = err_set(a->err, r->err_code, "%.*s", STR_ARG(r->message));
}

static bool is_applied(struct sim *s, void *arg)
{
    (void)s;
    return ((struct applying *)arg)->is_done;
}

int sim_apply(struct sim *s, struct str yaml, struct err *err)
{
    AUTO_JSON json_t *docs = NULL;
    const json_t *doc;
    size_t i;
    int r = yaml_parse_all(yaml, &docs, err);

    if (r < 0)
        return r;
    json_array_foreach (docs, i, doc) {
        struct applying a = {.sim = s, .err = err};
        const struct kind *k = kind_by_type(str_of(json_text(doc, "apiVersion", "")),
                                            str_of(json_text(doc, "kind", "")), NULL);

        if (!k)
            return err_set(err, ERR_INVALID, "no kind '%s' in '%s'", json_text(doc, "kind", ""),
                           json_text(doc, "apiVersion", ""));
        store_submit(
            s->store,
            &(struct store_request){.verb = CLUSTER_CREATE,
                                    .kind = k,
                                    .ns = str_of(json_text(doc, "metadata.namespace", "default")),
                                    .tree = doc},
            on_applied, &a);
        if (!sim_run_until(s, is_applied, &a, 5000))
            return err_set(err, ERR_INTERNAL, "the store does not answer");
        if (a.code < 0)
            return a.code;
    }
    return 0;
}
