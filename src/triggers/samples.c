/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/samples.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"

#define GATHER_MS 2 /* a push is taken in within that */
#define SELECTORS_MAX 8

/* One selector of a query. */
struct reader {
    struct sample_watch *of;
    struct tsdb_watch *watch;
    const struct matcher *m; /* borrowed from the query */
    size_t n;
};

struct sample_watch {
    struct sample_hub *hub;
    struct list due; /* in the hub's, while a sample has come */
    char *own; /* "namespace", NUL, "deployment": behind the readers: only their series count; NULL:
                  all */
    void (*fn)(void *arg);
    void *arg;
    size_t n;
    struct reader readers[];
};

struct sample_hub {
    struct tsdb *db;
    struct loop_timer timer;
    struct list due;
};

/* --- samples come --- */

static bool is_own(const char *own, const struct series *s)
{
    const char *workload = own + strlen(own) + 1;

    return (str_is(series_label(s, "deployment"), workload) ||
            str_is(series_label(s, "statefulset"), workload)) &&
           str_is(series_label(s, "namespace"), own);
}

static bool reads(void *arg, const struct series *s)
{
    const struct reader *r = arg;

    return (!r->of->own || is_own(r->of->own, s)) &&
           !str_is(series_label(s, "job"), "pods") && /* those are of rounds */
           series_matches(s, r->m, r->n);
}

static void on_sample(void *arg, struct series *s, int64_t t, double v)
{
    struct sample_watch *w = ((struct reader *)arg)->of;

    (void)s;
    (void)t;
    (void)v;
    if (!list_is_empty(&w->due))
        return;
    list_add_tail(&w->hub->due, &w->due);
    if (!loop_timer_is_running(&w->hub->timer))
        loop_timer_start(&w->hub->timer, GATHER_MS);
}

static void on_timer(void *arg)
{
    struct sample_hub *h = arg;
    struct list now;

    list_init(&now);
    while (!list_is_empty(&h->due)) { /* what comes meanwhile is for the next time */
        struct list *l = h->due.next;

        list_del(l);
        list_add_tail(&now, l);
    }
    while (!list_is_empty(&now)) {
        struct sample_watch *w = container_of(now.next, struct sample_watch, due);

        list_del(&w->due);
        w->fn(w->arg);
    }
}

/* --- who reads what --- */

static void count_selector(void *arg, const struct matcher *m, size_t n)
{
    size_t *count = arg;

    *count += promql_metric_of(m, n).n > 0 && *count < SELECTORS_MAX;
}

static void add_selector(void *arg, const struct matcher *m, size_t n)
{
    struct sample_watch *w = arg;
    struct reader *r = &w->readers[w->n];
    struct str metric = promql_metric_of(m, n);

    if (!metric.n || w->n == SELECTORS_MAX)
        return;
    *r = (struct reader){.of = w, .m = m, .n = n};
    r->watch = tsdb_watch_some(w->hub->db, metric, reads, on_sample, r);
    w->n++;
}

struct sample_watch *sample_hub_watch(struct sample_hub *h, const struct promql *q, struct str ns,
                                      struct str workload, bool own_only, void (*fn)(void *arg),
                                      void *arg)
{
    size_t n = 0, own_n = own_only ? ns.n + 1 + workload.n + 1 : 0;
    struct sample_watch *w;

    promql_each_selector(q, count_selector, &n);
    w = mem_zalloc(sizeof(*w) + n * sizeof(w->readers[0]) + own_n);
    w->hub = h;
    list_init(&w->due);
    if (own_only) {
        w->own = (char *)&w->readers[n];
        memcpy(w->own, ns.p, ns.n);
        memcpy(w->own + ns.n + 1, workload.p, workload.n);
    }
    w->fn = fn;
    w->arg = arg;
    promql_each_selector(q, add_selector, w);
    return w;
}

void sample_watch_free(struct sample_watch *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n; i++)
        tsdb_unwatch(w->readers[i].watch);
    list_del(&w->due);
    free(w);
}

struct sample_hub *sample_hub_new(struct loop *l, struct tsdb *db)
{
    struct sample_hub *h = mem_zalloc(sizeof(*h));

    h->db = db;
    list_init(&h->due);
    loop_timer_init(&h->timer, l, on_timer, h);
    return h;
}

void sample_hub_free(struct sample_hub *h)
{
    if (!h)
        return;
    loop_timer_stop(&h->timer);
    free(h);
}
