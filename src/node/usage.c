/* SPDX-License-Identifier: Apache-2.0
 *
 * Once a second: what every container and the machine use, as series of the built-in store
 * (tsdb/usage.h). From there kubectl top, the HPA's Resource metrics and anybody's PromQL read
 * them. Memory is what the container's limit is held against: what its processes hold privately.
 */
#include "tsdb/usage.h"
#include "base/clock.h"
#include "base/mem.h"
#include "node/node_int.h"

#define SAMPLE_MS 1000
#define FALLS_MAX 3

static struct series *series_of(const struct container *c, const char *name)
{
    const struct npod *p = c->pod;
    struct label l[] = {{STR("__name__"), str_of(name)},
                        {STR("container"), str_of(c->name)},
                        {STR("namespace"), str_of(p->ns)},
                        {STR("node"), str_of(p->node->hostname)},
                        {STR("pod"), str_of(p->name)}};

    return tsdb_series(p->node->o.db, l, ARRAY_LEN(l));
}

/* The time of processes that nobody waited for is lost, and a walk can miss one that is just
 * ending: the counter never falls, and goes on from the lower sum only when that stays. */
static void count(struct usage_track *u, int64_t total)
{
    if (total >= u->seen_ns) {
        u->cpu_ns += total - u->seen_ns;
    } else if (++u->falls < FALLS_MAX) {
        return;
    }
    u->seen_ns = total;
    u->falls = 0;
}

static void sample(struct container *c, int64_t now)
{
    struct usage_track *u = &c->usage;
    struct tsdb *db = c->pod->node->o.db;
    struct proc_usage now_used;

    proc_tree_usage(&c->shim, &now_used);
    if (now_used.processes == 0)
        return;
    if (!u->cpu) {
        u->cpu = series_of(c, USAGE_CPU);
        u->memory = series_of(c, USAGE_MEMORY);
    }
    if (u->attempt != c->attempt) {
        u->attempt = c->attempt;
        u->seen_ns = u->cpu_ns = u->falls = 0;
    }
    count(u, now_used.cpu_ns);
    tsdb_append(db, u->cpu, now, (double)u->cpu_ns / 1e9);
    tsdb_append(db, u->memory, now, (double)now_used.private_bytes);
}

void usage_end(struct container *c)
{
    struct usage_track *u = &c->usage;
    int64_t now = loop_wall_ms(c->pod->node->o.loop);

    if (!u->cpu)
        return;
    tsdb_append(c->pod->node->o.db, u->cpu, now, tsdb_stale());
    tsdb_append(c->pod->node->o.db, u->memory, now, tsdb_stale());
    tsdb_release(u->cpu);
    tsdb_release(u->memory);
    *u = (struct usage_track){0};
}

static void sample_machine(struct node *n, int64_t now)
{
    struct label l[] = {{STR("__name__"), STR(USAGE_NODE_CPU)}, {STR("node"), str_of(n->hostname)}};
    struct proc_usage u;

    if (!proc_machine_usage(&u))
        return;
    if (!n->cpu_series) {
        n->cpu_series = tsdb_series(n->o.db, l, 2);
        l[0].value = STR(USAGE_NODE_MEMORY);
        n->memory_series = tsdb_series(n->o.db, l, 2);
    }
    tsdb_append(n->o.db, n->cpu_series, now, (double)u.cpu_ns / 1e9);
    tsdb_append(n->o.db, n->memory_series, now, (double)u.private_bytes);
}

static void on_sample(void *arg)
{
    struct node *n = arg;
    int64_t now = loop_wall_ms(n->o.loop);
    size_t i = 0;
    void *v;

    while (table_next(&n->pods, &i, NULL, &v)) {
        struct npod *p = v;

        for (size_t k = 0; k < p->n; k++) {
            if (p->containers[k].state == C_RUNNING)
                sample(&p->containers[k], now);
            else
                usage_end(&p->containers[k]);
        }
    }
    sample_machine(n, now);
    loop_timer_start(&n->usage_timer, SAMPLE_MS);
}

void usage_start(struct node *n)
{
    loop_timer_init(&n->usage_timer, n->o.loop, on_sample, n);
    if (n->o.db)
        loop_timer_start(&n->usage_timer, 0);
}

void usage_stop(struct node *n)
{
    loop_timer_stop(&n->usage_timer);
    if (n->cpu_series) {
        tsdb_release(n->cpu_series);
        tsdb_release(n->memory_series);
    }
}
