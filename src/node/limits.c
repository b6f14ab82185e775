/* SPDX-License-Identifier: Apache-2.0
 *
 * Limits without cgroups. Memory: a watch on what the container's processes hold privately, which
 * is what a cgroup could not reclaim either (mapped files, such as weights, do not count). CPU: as
 * many processors as the limit needs, the least used ones; the fraction as niceness, each step of
 * which gives a fifth less against others. Never RLIMIT_AS: it counts what is only reserved. */
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>

#include "base/mem.h"
#include "codec/quantity.h"
#include "node/node_int.h"

#define CPUS_MAX 64

void limits_check_memory(struct container *c)
{
    const char *limit = json_text(c->spec, "resources.limits.memory", NULL);
    struct quantity q;
    struct proc_usage now;

    if (c->state != C_RUNNING || c->was_oom || !limit ||
        quantity_parse(str_of(limit), &q, NULL) < 0)
        return;
    proc_tree_usage(&c->shim, &now);
    if (now.private_bytes <= quantity_value(&q))
        return;
    c->was_oom = true;
    container_say(c, EVENT_WARNING, "OOMKilling",
                  "Container %s holds %lld MiB, over its limit of %s: killed", c->name,
                  (long long)(now.private_bytes >> 20), limit);
    container_signal(c, SIGUSR1);
}

/* Processors by how many containers are bound to them. */
static void count_use(struct node *n, int use[CPUS_MAX])
{
    size_t i = 0;
    void *v;

    while (table_next(&n->pods, &i, NULL, &v)) {
        const struct npod *p = v;

        for (size_t k = 0; k < p->n; k++)
            for (int cpu = 0; cpu < CPUS_MAX && container_is_live(&p->containers[k]); cpu++)
                use[cpu] += (p->containers[k].cpus >> cpu) & 1;
    }
}

void limits_cpu(struct container *c, char text[256], int *ret_nice)
{
    const char *limit = json_text(c->spec, "resources.limits.cpu", NULL);
    int use[CPUS_MAX] = {0}, wanted, online = 0;
    struct quantity q;
    double cores;
    cpu_set_t set;
    size_t n = 0;

    text[0] = '\0';
    *ret_nice = 0;
    c->cpus = 0;
    if (!limit || quantity_parse(str_of(limit), &q, NULL) < 0 ||
        sched_getaffinity(0, sizeof(set), &set) < 0)
        return;
    cores = (double)quantity_milli(&q) / 1000;
    for (int cpu = 0; cpu < CPUS_MAX; cpu++)
        online += CPU_ISSET(cpu, &set) != 0;
    if (cores <= 0 || cores >= online)
        return;
    wanted = (int)ceil(cores);
    *ret_nice = (int)lround(log(cores / wanted) / log(0.8));
    if (*ret_nice > 19)
        *ret_nice = 19;
    if (wanted >= online)
        return;
    count_use(c->pod->node, use);
    while (wanted-- > 0) {
        int best = -1;

        for (int cpu = 0; cpu < CPUS_MAX; cpu++)
            if (CPU_ISSET(cpu, &set) && !((c->cpus >> cpu) & 1) &&
                (best < 0 || use[cpu] < use[best]))
                best = cpu;
        if (best < 0)
            break;
        c->cpus |= UINT64_C(1) << best;
        n += (size_t)snprintf(text + n, 256 - n, "%s%d", n ? "," : "", best);
    }
}
