/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers/victims.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "controllers/child.h"

/* Beside the cost, equal to it: we have set it. Another value there means that somebody has changed
 * the cost since. */
#define SET_BY_US "flyball.dev/deletion-cost"
#define FRESH_MS 5000

/* --- the order --- */

static int64_t cost_of(const json_t *pod)
{
    const json_t *a = json_object_get(json_at(pod, "metadata.annotations"), DELETION_COST);
    int64_t v;

    return str_to_i64(json_strv(a), &v) && v >= INT32_MIN && v <= INT32_MAX ? v : 0;
}

static int64_t restarts_of(const json_t *pod)
{
    const json_t *s;
    int64_t most = 0;
    size_t i;

    json_array_foreach (json_at(pod, "status.containerStatuses"), i, s) {
        if (json_int(s, "restartCount", 0) > most)
            most = json_int(s, "restartCount", 0);
    }
    return most;
}

void victim_read(const struct object *o, const json_t *pod, int64_t now, struct victim *ret)
{
    const json_t *ready = find_condition(pod, "Ready");
    const char *phase = json_text(pod, "status.phase", "");

    *ret = (struct victim){.o = o,
                           .is_assigned = *json_text(pod, "spec.nodeName", "") != '\0',
                           .is_ready = strcmp(json_text(ready, "status", ""), "True") == 0,
                           .phase = strcmp(phase, "Running") == 0   ? 2
                                    : strcmp(phase, "Unknown") == 0 ? 1
                                                                    : 0,
                           .cost = cost_of(pod),
                           .restarts = restarts_of(pod),
                           .now_ms = now};
    time_parse(str_of(json_text(ready, "lastTransitionTime", "")), &ret->ready_ms);
}

static int rank(int64_t now, int64_t t)
{
    return now > t ? (int)log2((double)(now - t) * 1e6) : -1;
}

/* The younger first; of about the same age by uid, so that it is not always the newest rack. */
static int by_age(const struct victim *x, const struct victim *y, int64_t tx, int64_t ty)
{
    int d = rank(x->now_ms, tx) - rank(y->now_ms, ty);

    return d ? d : str_cmp(x->o->uid, y->o->uid);
}

static int by_number(int64_t x, int64_t y)
{
    return x < y ? -1 : x > y;
}

int victim_compare(const void *a, const void *b)
{
    const struct victim *x = a, *y = b;
    int c = by_number(x->is_assigned, y->is_assigned);

    if (!c)
        c = by_number(x->phase, y->phase);
    if (!c)
        c = by_number(x->is_ready, y->is_ready);
    if (!c)
        c = by_number(x->cost, y->cost);
    if (!c && x->is_ready && x->ready_ms != y->ready_ms)
        c = by_age(x, y, x->ready_ms, y->ready_ms);
    if (!c)
        c = by_number(y->restarts, x->restarts);
    if (!c && x->o->created_ms != y->o->created_ms)
        c = by_age(x, y, x->o->created_ms, y->o->created_ms);
    return c ? c : str_cmp(y->o->name, x->o->name);
}

/* --- running requests --- */

/* Gauges of model servers: what runs and what waits in front of it. */
static const char *const gauges[] = {
    "vllm:num_requests_running", "vllm:num_requests_waiting", "sglang:num_running_reqs",
    "sglang:num_queue_reqs",     "tgi_batch_current_size",    "tgi_queue_size",
};

struct sum {
    int64_t now;
    double total;
};

static void add_series(void *arg, struct series *s)
{
    struct sum *x = arg;
    int64_t t;
    double v;

    if (series_at(s, x->now, FRESH_MS, &t, &v) && isfinite(v) && v > 0)
        x->total += v;
}

int64_t work_of(const struct work_source *w, const struct object *pod, int64_t now)
{
    int64_t flying = w->in_flight ? w->in_flight(w->ctx, pod->uid) : 0;
    struct sum sum = {.now = now};

    for (size_t i = 0; w->db && i < ARRAY_LEN(gauges); i++) {
        struct matcher m[] = {{MATCH_EQ, STR("__name__"), str_of(gauges[i]), NULL, NULL},
                              {MATCH_EQ, STR("pod"), pod->name, NULL, NULL},
                              {MATCH_EQ, STR("namespace"), pod->ns, NULL, NULL}};

        tsdb_select(w->db, m, ARRAY_LEN(m), add_series, &sum);
    }
    if (sum.total > INT32_MAX)
        return INT32_MAX;
    return (int64_t)sum.total > flying ? (int64_t)sum.total : flying;
}

/* --- marking --- */

struct marking {
    struct cluster *cluster;
    const struct work_source *work;
    int64_t now;
    size_t pending; /* writes, and one for the walk itself */
    bool is_theirs; /* some cost was set by somebody else */
    struct mark {
        const struct object *o; /* own reference */
        int64_t cost;
    } * marks;
    size_t n, cap;
    void (*done)(void *arg);
    void *arg;
};

static void one_less(struct marking *m)
{
    if (--m->pending > 0)
        return;
    m->done(m->arg);
    free(m);
}

static void on_marked(void *arg, const struct object *now, const struct err *err)
{
    (void)now;
    if (err && err->code != ERR_NOT_FOUND)
        log_warn("autoscale", "a pod's deletion cost could not be set: %s", err->msg);
    one_less(arg);
}

static void look_at(void *arg, const struct object *o)
{
    struct marking *m = arg;
    AUTO_JSON json_t *pod = NULL;
    const json_t *annotations;
    struct str cost, ours;
    int64_t work, v;

    if (o->deleting_ms)
        return;
    pod = object_tree(o);
    annotations = json_at(pod, "metadata.annotations");
    cost = json_strv(json_object_get(annotations, DELETION_COST));
    ours = json_strv(json_object_get(annotations, SET_BY_US));
    m->is_theirs |= cost.p && (!ours.p || !str_eq(cost, ours));
    work = work_of(m->work, o, m->now);
    if (str_to_i64(cost, &v) ? v == work : work == 0)
        return;
    mem_grow(&m->marks, &m->cap, m->n);
    m->marks[m->n++] = (struct mark){object_ref(o), work};
}

static void write_mark(struct marking *m, const struct mark *k)
{
    AUTO_JSON json_t *patch = json_pack("{s:{s:{s:o,s:o}}}", "metadata", "annotations",
                                        DELETION_COST, json_fmt("%lld", (long long)k->cost),
                                        SET_BY_US, json_fmt("%lld", (long long)k->cost));

    m->pending++;
    cluster_write(m->cluster,
                  &(struct cluster_write){.verb = CLUSTER_MERGE_PATCH,
                                          .kind = KIND_POD,
                                          .ns = k->o->ns,
                                          .name = k->o->name,
                                          .tree = patch,
                                          .manager = "horizontal-pod-autoscaler"},
                  on_marked, m);
}

static void walk_is_over(void *arg)
{
    one_less(arg);
}

void victims_mark(struct cluster *c, const struct work_source *w, struct str ns,
                  const struct selector *sel, void (*done)(void *arg), void *arg)
{
    struct marking *m = mem_zalloc(sizeof(*m));

    m->cluster = c;
    m->work = w;
    m->now = loop_wall_ms(c->loop);
    m->pending = 1;
    m->done = done;
    m->arg = arg;
    cluster_each(c, KIND_POD, ns, sel, look_at, m);
    for (size_t i = 0; i < m->n; i++) {
        if (!m->is_theirs)
            write_mark(m, &m->marks[i]);
        object_unref(m->marks[i].o);
    }
    free(m->marks);
    m->marks = NULL;
    loop_post(c->loop, walk_is_over, m);
}
