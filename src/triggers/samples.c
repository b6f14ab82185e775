/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/samples.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/table.h"

#define GATHER_MS 2 /* a push is taken in within that */
#define SELECTORS_MAX 8

/* Everybody who reads one metric. */
struct metric {
    struct sample_hub *hub;
    char *name;
    struct tsdb_watch *watch;
    struct table keys; /* "label=value", or "" -> struct list of struct reader */
    size_t readers;
};

/* One selector of a watch. */
struct reader {
    struct list link; /* in its key's list */
    struct sample_watch *of;
    struct metric *metric;
    char *key;
    const struct matcher *m; /* borrowed from the query */
    size_t n;
};

struct sample_watch {
    struct sample_hub *hub;
    struct list due; /* in the hub's, while a sample has come */
    char *ns, *workload;
    bool own_only;
    void (*fn)(void *arg);
    void *arg;
    struct reader readers[SELECTORS_MAX];
    size_t n;
};

struct sample_hub {
    struct tsdb *db;
    struct loop_timer timer;
    struct list due;
    struct table metrics; /* name -> struct metric */
};

/* --- samples come --- */

static bool reads(const struct reader *r, const struct series *s)
{
    const struct sample_watch *w = r->of;

    if (w->own_only && (!str_is(series_label(s, "namespace"), w->ns) ||
                        !str_is(series_label(s, "deployment"), w->workload)))
        return false;
    for (size_t i = 0; i < r->n; i++) {
        char name[256];

        if (r->m[i].name.n >= sizeof(name))
            return false;
        memcpy(name, r->m[i].name.p, r->m[i].name.n);
        name[r->m[i].name.n] = '\0';
        if (!matcher_matches(&r->m[i], series_label(s, name)))
            return false;
    }
    return true;
}

static void wake(struct sample_hub *h, struct list *readers, const struct series *s)
{
    if (!readers)
        return;
    list_each (l, readers) {
        struct reader *r = container_of(l, struct reader, link);

        if (!list_is_empty(&r->of->due) || !reads(r, s))
            continue;
        list_add_tail(&h->due, &r->of->due);
        if (!loop_timer_is_running(&h->timer))
            loop_timer_start(&h->timer, GATHER_MS);
    }
}

static void on_sample(void *arg, struct series *s, int64_t t, double v)
{
    struct metric *m = arg;
    struct arena arena = ARENA_INIT;
    struct labels labels;
    struct buf key = BUF_INIT;

    (void)t;
    (void)v;
    if (str_is(series_label(s, "job"), "pods")) /* of a round */
        return;
    wake(m->hub, table_get(&m->keys, STR("")), s);
    labels = series_labels(s, &arena);
    for (size_t i = 0; i < labels.n; i++) {
        buf_clear(&key);
        buf_add_str(&key, labels.items[i].name);
        buf_add_char(&key, '=');
        buf_add_str(&key, labels.items[i].value);
        wake(m->hub, table_get(&m->keys, buf_str(&key)), s);
    }
    buf_done(&key);
    arena_done(&arena);
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

static struct metric *metric_of(struct sample_hub *h, struct str name)
{
    struct metric *m = table_get(&h->metrics, name);

    if (m)
        return m;
    m = mem_zalloc(sizeof(*m));
    m->hub = h;
    m->name = str_dup(name);
    m->watch = tsdb_watch(h->db, name, on_sample, m);
    table_set(&h->metrics, name, m);
    return m;
}

static void metric_unref(struct metric *m)
{
    if (--m->readers > 0)
        return;
    tsdb_unwatch(m->watch);
    table_del(&m->hub->metrics, str_of(m->name));
    table_done(&m->keys);
    free(m->name);
    free(m);
}

/* The label that narrows most, which nobody knows: the longest value is the best guess. */
static char *key_of(const struct sample_watch *w, const struct matcher *m, size_t n)
{
    const struct matcher *best = NULL;

    for (size_t i = 0; i < n; i++)
        if (m[i].op == MATCH_EQ && m[i].value.n && !str_is(m[i].name, "__name__") &&
            (!best || m[i].value.n > best->value.n))
            best = &m[i];
    if (best)
        return mem_printf("%.*s=%.*s", STR_ARG(best->name), STR_ARG(best->value));
    return w->own_only ? mem_printf("deployment=%s", w->workload) : mem_strdup("");
}

static void add_selector(void *arg, const struct matcher *m, size_t n)
{
    struct sample_watch *w = arg;
    struct reader *r = &w->readers[w->n];
    struct list *all;

    for (size_t i = 0; i < n; i++) {
        if (m[i].op != MATCH_EQ || !m[i].value.n || !str_is(m[i].name, "__name__") ||
            w->n == SELECTORS_MAX)
            continue;
        *r = (struct reader){.of = w, .m = m, .n = n};
        r->metric = metric_of(w->hub, m[i].value);
        r->metric->readers++;
        r->key = key_of(w, m, n);
        all = table_get(&r->metric->keys, str_of(r->key));
        if (!all) {
            all = mem_alloc(sizeof(*all));
            list_init(all);
            table_set(&r->metric->keys, str_of(r->key), all);
        }
        list_add_tail(all, &r->link);
        w->n++;
        return;
    }
}

struct sample_watch *sample_hub_watch(struct sample_hub *h, const struct promql *q, struct str ns,
                                      struct str workload, bool own_only, void (*fn)(void *arg),
                                      void *arg)
{
    struct sample_watch *w = mem_zalloc(sizeof(*w));

    w->hub = h;
    list_init(&w->due);
    w->ns = str_dup(ns);
    w->workload = str_dup(workload);
    w->own_only = own_only;
    w->fn = fn;
    w->arg = arg;
    promql_each_selector(q, add_selector, w);
    return w;
}

static void drop_reader(struct reader *r)
{
    struct list *all = table_get(&r->metric->keys, str_of(r->key));

    list_del(&r->link);
    if (list_is_empty(all)) {
        table_del(&r->metric->keys, str_of(r->key));
        free(all);
    }
    metric_unref(r->metric);
    free(r->key);
}

void sample_watch_free(struct sample_watch *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n; i++)
        drop_reader(&w->readers[i]);
    list_del(&w->due);
    free(w->ns);
    free(w->workload);
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
    table_done(&h->metrics);
    free(h);
}
