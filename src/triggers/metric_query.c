/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/metric_query.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "promql/promql.h"
#include "triggers/addon_query.h"

#define SKEW_MS 1000     /* a sample's clock may be ahead of ours by that much in PromQL */
#define RATE_MIN_MS 1000 /* below, a rate is noise: 0, as the add-on with its whole seconds */
#define SELECTORS_MAX 16 /* of one PromQL query that are watched */

/* The series that a query reads, kept until one is made or goes. */
struct chosen {
    const struct tsdb *db;
    uint64_t shape;
    struct series **items;
    size_t n, cap;
    struct series *exact; /* has the query's labels and no others: it alone counts, as there */
};

struct metric_query {
    char *text;
    enum over_time op;
    struct addon_query addon; /* name NULL: PromQL */
    struct promql *promql;
    const struct matcher *matchers; /* of a plain selector that an operation over time goes with */
    size_t n_matchers;
    struct chosen chosen; /* not of other PromQL */
};

static const char *const over_times[] = {
    [OVER_LAST] = "last_one", [OVER_RATE] = "rate", [OVER_COUNT] = "count",
    [OVER_AVG] = "avg",       [OVER_MIN] = "min",   [OVER_MAX] = "max"};

int over_time_parse(struct str text, enum over_time *ret, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(over_times); i++)
        if (str_is(text, over_times[i]) || !text.n) {
            *ret = (enum over_time)i;
            return 0;
        }
    return err_set(err, ERR_BAD_INPUT,
                   "unknown operationOverTime '%.*s': one of last_one, rate, count, avg, min, max "
                   "is expected",
                   (int)(text.n < 80 ? text.n : 80), text.p);
}

const char *over_time_name(enum over_time op)
{
    return over_times[op];
}

/* --- reading the text --- */

static int check_promql(struct metric_query *q, struct err *err)
{
    enum promql_type type = promql_type_of(q->promql);
    struct promql *again;

    if (type != PROMQL_VECTOR && type != PROMQL_SCALAR)
        return err_set(
            err, ERR_BAD_INPUT,
            "metricQuery '%.200s' yields %s: an instant vector or a scalar is expected%s", q->text,
            type == PROMQL_STRING ? "a text" : "a range of samples",
            type == PROMQL_STRING ? "" : "; put rate() or avg_over_time() around it");
    if (q->op == OVER_LAST)
        return 0;
    if (promql_parse_selector(str_of(q->text), &again, &q->matchers, &q->n_matchers, NULL) < 0)
        return err_set(err, ERR_BAD_INPUT,
                       "operationOverTime '%s' does not go with the PromQL expression '%.200s': "
                       "write it into the query, as in sum(rate(m[1m]))",
                       over_times[q->op], q->text);
    promql_free(q->promql);
    q->promql = again;
    return 0;
}

int metric_query_parse(struct str text, enum over_time op, struct metric_query **ret,
                       struct err *err)
{
    struct metric_query *q = mem_zalloc(sizeof(*q));
    struct err addon = ERR_INIT, promql = ERR_INIT;
    int r = 0;

    q->text = str_dup(text);
    q->op = op;
    if (addon_query_parse(text, &q->addon, &addon) < 0) {
        if (promql_parse(text, &q->promql, &promql) < 0)
            r = err_set(err, ERR_BAD_INPUT,
                        "metricQuery '%.200s' is neither of the add-on's form (%.200s) nor PromQL "
                        "(%.200s)",
                        q->text, addon.msg, promql.msg);
        else
            r = check_promql(q, err);
    }
    if (r < 0) {
        metric_query_free(q);
        return r;
    }
    *ret = q;
    return 0;
}

void metric_query_free(struct metric_query *q)
{
    if (!q)
        return;
    addon_query_done(&q->addon);
    promql_free(q->promql);
    free(q->chosen.items);
    free(q->text);
    free(q);
}

struct str metric_query_text(const struct metric_query *q)
{
    return str_of(q->text);
}

const char *metric_query_function(const struct metric_query *q)
{
    return q->addon.name ? addon_function_name(q->addon.function) : "promql";
}

struct str metric_query_name(const struct metric_query *q)
{
    return str_of(q->addon.name);
}

void metric_query_labels(const struct metric_query *q, struct buf *out)
{
    for (size_t i = 0; i < q->addon.n; i++)
        buf_printf(out, "%s%.*s=%.*s", i ? "," : "", STR_ARG(q->addon.items[i].name),
                   STR_ARG(q->addon.items[i].value));
}

/* --- over the series --- */

struct reading {
    const struct metric_query *q;
    int64_t now_ms;
    struct metric_reading *r;
    double sum, min, max;
};

static void see_series(struct metric_reading *r, int64_t newest)
{
    if (!r->n || newest > r->newest_ms)
        r->newest_ms = newest;
    if (!r->n || newest < r->oldest_ms)
        r->oldest_ms = newest;
    r->n++;
}

/* What a series' samples of the window come to; a marker ends what was before it. */
struct span {
    size_t n;
    int64_t first_ms, last_ms;
    double last, sum, min, max, increase;
};

static void add_sample(struct span *s, int64_t t, double v)
{
    if (tsdb_is_stale(v)) {
        *s = (struct span){0};
        return;
    }
    if (!s->n) {
        *s = (struct span){.first_ms = t, .min = v, .max = v};
    } else { /* a counter that falls began again at 0 */
        s->increase += v < s->last ? v : v - s->last;
        s->min = v < s->min ? v : s->min;
        s->max = v > s->max ? v : s->max;
    }
    s->n++;
    s->last_ms = t;
    s->last = v;
    s->sum += v;
}

static double over(const struct span *s, enum over_time op)
{
    int64_t ms = s->last_ms - s->first_ms;

    switch (op) {
    case OVER_RATE:
        return ms < RATE_MIN_MS ? 0 : s->increase * 1000 / (double)ms;
    case OVER_COUNT:
        return (double)s->n;
    case OVER_AVG:
        return s->sum / (double)s->n;
    case OVER_MIN:
        return s->min;
    case OVER_MAX:
        return s->max;
    default:
        return s->last;
    }
}

static bool span_of(const struct series *s, int64_t now, enum over_time op, struct span *ret)
{
    struct series_iter it;
    int64_t t, newest = series_newest(s);
    double v;

    *ret = (struct span){0};
    if (newest <= now - METRIC_QUERY_WINDOW_MS)
        return false;
    if (op == OVER_LAST) { /* the newest is at hand */
        if (series_at(s, newest, 1, &t, &v))
            add_sample(ret, t, v);
    } else {
        series_seek(&it, s, now - METRIC_QUERY_WINDOW_MS + 1);
        while (series_next(&it, &t, &v))
            add_sample(ret, t, v);
    }
    return ret->n > 0;
}

bool metric_over_time(const struct series *s, int64_t now, double ret[OVER_TIMES])
{
    struct span span;

    if (!span_of(s, now, OVER_AVG, &span))
        return false;
    for (enum over_time op = OVER_LAST; op < OVER_TIMES; op++)
        ret[op] = over(&span, op);
    return true;
}

static void choose(void *arg, struct series *s)
{
    struct metric_query *q = arg;
    struct chosen *c = &q->chosen;

    if (q->addon.name && !addon_query_matches(&q->addon, s))
        return;
    if (q->addon.name && addon_query_is_exact(&q->addon, s))
        c->exact = s;
    mem_grow(&c->items, &c->cap, c->n);
    c->items[c->n++] = s;
}

/* Calls fn for all series of the add-on query's name, escaped or not. */
static void each_of_name(const struct addon_query *q, struct tsdb *db,
                         void (*fn)(void *arg, struct series *s), void *arg)
{
    struct matcher m = {MATCH_EQ, STR("__name__"), str_of(q->name), NULL, NULL};

    tsdb_select(db, &m, 1, fn, arg);
    if (strcmp(q->name, q->stored_name) != 0) {
        m.value = str_of(q->stored_name);
        tsdb_select(db, &m, 1, fn, arg);
    }
}

static void choose_all(struct metric_query *q, struct tsdb *db)
{
    struct chosen *c = &q->chosen;

    if (c->db == db && c->shape == tsdb_shape(db))
        return;
    c->db = db;
    c->shape = tsdb_shape(db);
    c->n = 0;
    c->exact = NULL;
    if (q->addon.name)
        each_of_name(&q->addon, db, choose, q);
    else
        tsdb_select(db, q->matchers, q->n_matchers, choose, q);
}

/* Of a query that finds nothing: what there is under its name. */
static void see_any(void *arg, struct series *s)
{
    struct metric_reading *r = arg;

    r->has_series = true;
    r->is_known |= series_newest(s) != INT64_MIN;
}

static void look_for_any(const struct metric_query *q, struct tsdb *db, struct metric_reading *r)
{
    if (q->addon.name)
        each_of_name(&q->addon, db, see_any, r);
    else
        tsdb_select(db, q->matchers, q->n_matchers, see_any, r);
}

static bool add_series(struct reading *x, const struct series *s)
{
    struct span span;
    double v;

    if (!span_of(s, x->now_ms, x->q->op, &span))
        return false;
    v = over(&span, x->q->op);
    x->min = !x->r->n || v < x->min ? v : x->min;
    x->max = !x->r->n || v > x->max ? v : x->max;
    x->sum += v;
    see_series(x->r, span.last_ms);
    return true;
}

static double across(const struct reading *x)
{
    if (!x->r->n)
        return 0;
    switch (x->q->addon.function) {
    case ADDON_AVG:
        return x->sum / (double)x->r->n;
    case ADDON_MIN:
        return x->min;
    case ADDON_MAX:
        return x->max;
    case ADDON_COUNT:
        return (double)x->r->n;
    default:
        return x->sum;
    }
}

/* --- PromQL --- */

static void see_live(void *arg, struct series *s)
{
    struct reading *x = arg;
    struct span span;

    see_any(x->r, s);
    if (span_of(s, x->now_ms, OVER_LAST, &span))
        see_series(x->r, span.last_ms);
}

static int read_promql(const struct metric_query *q, struct tsdb *db, int64_t now,
                       struct metric_reading *ret, struct err *err)
{
    struct promql_options o = {.lookback_ms = METRIC_QUERY_WINDOW_MS};
    struct promql_result result;
    struct reading x = {.q = q, .now_ms = now, .r = ret};
    int r;

    promql_each_series(db, q->promql, see_live, &x);
    if (ret->n && ret->newest_ms > now && ret->newest_ms <= now + SKEW_MS)
        now = ret->newest_ms;
    r = promql_instant(db, q->promql, now, &o, &result, err);
    if (r < 0)
        return r;
    ret->is_empty_meant = promql_may_be_empty(q->promql);
    ret->is_found = result.type == PROMQL_SCALAR || result.n > 0;
    ret->value = result.type == PROMQL_SCALAR ? result.scalar : 0;
    for (size_t i = 0; result.type == PROMQL_VECTOR && i < result.n; i++)
        ret->value += result.vector[i].v;
    promql_result_done(&result);
    return 0;
}

int metric_query_read(struct metric_query *q, struct tsdb *db, int64_t now,
                      struct metric_reading *ret, struct err *err)
{
    struct reading x = {.q = q, .now_ms = now, .r = ret};

    *ret = (struct metric_reading){0};
    if (!q->addon.name && !q->matchers)
        return read_promql(q, db, now, ret, err);
    choose_all(q, db);
    if (!q->chosen.exact || !add_series(&x, q->chosen.exact))
        for (size_t i = 0; i < q->chosen.n; i++)
            add_series(&x, q->chosen.items[i]);
    ret->is_found = ret->is_known = ret->has_series = ret->n > 0;
    if (!ret->is_found)
        look_for_any(q, db, ret);
    ret->value = across(&x);
    return 0;
}

/* --- watching --- */

struct watch_part {
    struct metric_watch *of;
    struct tsdb_watch *watch;
    const struct matcher *matchers; /* PromQL: of one selector */
    size_t n;
};

struct metric_watch {
    const struct metric_query *q;
    struct tsdb *db;
    void (*fn)(void *arg, int64_t t_ms);
    void *arg;
    struct watch_part parts[SELECTORS_MAX];
    size_t n;
};

static bool part_wants(void *arg, const struct series *s)
{
    const struct watch_part *p = arg;

    if (p->of->q->addon.name)
        return addon_query_matches(&p->of->q->addon, s);
    return series_matches(s, p->matchers, p->n);
}

static void on_sample(void *arg, struct series *s, int64_t t, double v)
{
    struct watch_part *p = arg;

    (void)s;
    (void)v;
    p->of->fn(p->of->arg, t);
}

static void add_part(struct metric_watch *w, struct str name, const struct matcher *m, size_t n)
{
    struct watch_part *p;

    if (w->n == SELECTORS_MAX)
        return;
    p = &w->parts[w->n++];
    *p = (struct watch_part){w, NULL, m, n};
    p->watch = tsdb_watch_some(w->db, name, part_wants, on_sample, p);
}

/* A selector without a name is seen by whoever looks once a second. */
static void add_selector(void *arg, const struct matcher *m, size_t n)
{
    struct str name = promql_metric_of(m, n);

    if (name.n)
        add_part(arg, name, m, n);
}

struct metric_watch *metric_query_watch(const struct metric_query *q, struct tsdb *db,
                                        void (*fn)(void *arg, int64_t t_ms), void *arg)
{
    struct metric_watch *w = mem_zalloc(sizeof(*w));

    *w = (struct metric_watch){.q = q, .db = db, .fn = fn, .arg = arg};
    if (!q->addon.name) {
        promql_each_selector(q->promql, add_selector, w);
        return w;
    }
    add_part(w, str_of(q->addon.stored_name), NULL, 0);
    if (strcmp(q->addon.name, q->addon.stored_name) != 0)
        add_part(w, str_of(q->addon.name), NULL, 0);
    return w;
}

void metric_query_unwatch(struct metric_watch *w)
{
    for (size_t i = 0; w && i < w->n; i++)
        tsdb_unwatch(w->parts[i].watch);
    free(w);
}
