/* SPDX-License-Identifier: Apache-2.0 */
#include "tsdb/usage.h"

bool series_rate(const struct series *s, int64_t now, int64_t window, double *ret_v, int64_t *ret_t,
                 int64_t *ret_window)
{
    struct series_iter it;
    int64_t t, t0 = 0, t1 = 0;
    double v, last = 0, sum = 0;
    size_t n = 0;

    series_seek(&it, s, now - window);
    while (series_next(&it, &t, &v) && t <= now) {
        if (tsdb_is_stale(v)) { /* it ended: what follows is another's */
            n = 0;
            continue;
        }
        if (n++ == 0) {
            t0 = t;
            sum = 0;
        } else {
            sum += v < last ? v : v - last;
        }
        last = v;
        t1 = t;
    }
    if (n < 2 || t1 == t0)
        return false;
    *ret_v = sum * 1000 / (double)(t1 - t0);
    *ret_t = t1;
    *ret_window = t1 - t0;
    return true;
}

struct reading {
    struct usage *u;
    int64_t now, window;
    bool has_cpu, has_memory;
};

static void read_cpu(void *arg, struct series *s)
{
    struct reading *r = arg;

    r->has_cpu |= series_rate(s, r->now, r->window, &r->u->cpu, &r->u->at_ms, &r->u->window_ms);
}

static void read_memory(void *arg, struct series *s)
{
    struct reading *r = arg;
    int64_t t;

    r->has_memory |=
        series_at(s, r->now, USAGE_WINDOW_MS, &t, &r->u->memory) && !tsdb_is_stale(r->u->memory);
}

/* m[0] is the name's place. */
static bool read_usage(struct tsdb *db, const char *cpu, const char *memory, struct matcher *m,
                       size_t n, int64_t now, int64_t window, struct usage *ret)
{
    struct usage u = {0};
    struct reading r = {.u = &u, .now = now, .window = window};

    m[0] = (struct matcher){.op = MATCH_EQ, .name = STR("__name__"), .value = str_of(cpu)};
    tsdb_select(db, m, n, read_cpu, &r);
    m[0].value = str_of(memory);
    tsdb_select(db, m, n, read_memory, &r);
    if (r.has_cpu && r.has_memory)
        *ret = u;
    return r.has_cpu && r.has_memory;
}

bool usage_of_container(struct tsdb *db, struct str ns, struct str pod, struct str container,
                        int64_t now, int64_t window, struct usage *ret)
{
    struct matcher m[] = {{0},
                          {.op = MATCH_EQ, .name = STR("pod"), .value = pod},
                          {.op = MATCH_EQ, .name = STR("container"), .value = container},
                          {.op = MATCH_EQ, .name = STR("namespace"), .value = ns}};

    return read_usage(db, USAGE_CPU, USAGE_MEMORY, m, 4, now, window, ret);
}

bool usage_of_node(struct tsdb *db, struct str node, int64_t now, struct usage *ret)
{
    struct matcher m[] = {{0}, {.op = MATCH_EQ, .name = STR("node"), .value = node}};

    return read_usage(db, USAGE_NODE_CPU, USAGE_NODE_MEMORY, m, 2, now, USAGE_WINDOW_MS, ret);
}
