/* SPDX-License-Identifier: Apache-2.0
 *
 * The query on the built-in store. */
#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "triggers/prometheus_int.h"

static const char *workload_label(const struct trigger_target *t)
{
    return t->is_set ? "statefulset" : "deployment";
}

static bool is_of_target(const struct trigger_target *t, const struct series *s)
{
    return str_eq(series_label(s, "namespace"), t->ns) &&
           str_eq(series_label(s, workload_label(t)), t->name);
}

struct spanning {
    const struct trigger_target *target;
    char other[120];
};

static void look_for_others(void *arg, struct series *s)
{
    struct spanning *x = arg;
    struct str d = series_label(s, "deployment");

    if (!d.n)
        d = series_label(s, "statefulset");
    if (d.n && !x->other[0] && !is_of_target(x->target, s))
        snprintf(x->other, sizeof(x->other), "%.*s/%.*s", STR_ARG(series_label(s, "namespace")),
                 STR_ARG(d));
}

static void sum_up(struct prometheus *p, const struct promql_result *r,
                   const struct trigger_target *target, struct decision_metric *m)
{
    double sum = 0;

    if (r->type == PROMQL_SCALAR) {
        sum = r->scalar;
    } else if (r->type != PROMQL_VECTOR) {
        trigger_unknown(m, "the query yields neither a scalar nor an instant vector");
        return;
    } else if (r->n == 0) {
        p->p.t.n_empty++;
        if (promql_may_be_empty(p->parsed) || target->ready == 0) {
            m->state = METRIC_EMPTY;
            m->value = 0;
        } else {
            trigger_unknown(
                m, "the query finds no series, though pods are ready: is the metric's name "
                   "right, do the pods have "
                   "prometheus.io/scrape?");
        }
        return;
    } else if (r->n > 1 && !p->p.t.is_average) {
        snprintf(m->why, sizeof(m->why),
                 "the query returned %zu series, a Value target needs one: put sum() around it",
                 r->n);
        m->state = METRIC_UNKNOWN;
        return;
    } else {
        for (size_t i = 0; i < r->n; i++)
            sum += r->vector[i].v;
    }
    if (!isfinite(sum)) {
        trigger_unknown(m, isnan(sum) ? "the value is NaN" : "the value is infinite");
        return;
    }
    m->state = METRIC_VALUE;
    m->value = sum;
}

static void on_push(void *arg)
{
    trigger_tell(arg);
}

void prometheus_builtin_value(struct prometheus *p, int64_t now,
                              const struct trigger_target *target, struct decision_metric *m,
                              char *warning, size_t cap)
{
    struct matcher of_target[] = {
        {MATCH_EQ, STR("namespace"), target->ns, NULL, NULL},
        {MATCH_EQ, str_of(workload_label(target)), target->name, NULL, NULL}};
    struct promql_options o = {.lookback_ms = 0};
    struct promql_result r;
    struct err err = ERR_INIT;
    struct spanning x = {.target = target};
    bool bare;

    if (!p->parsed) {
        trigger_unknown(m, p->parse_error);
        return;
    }
    bare = promql_is_bare_selector(p->parsed);
    if (!p->watch && p->p.t.w->samples)
        p->watch = sample_hub_watch(p->p.t.w->samples, p->parsed, target->ns, target->name,
                                    bare && p->p.t.is_average, on_push, &p->p.t);
    if (bare && p->p.t.is_average) {
        o.matchers = of_target;
        o.n_matchers = ARRAY_LEN(of_target);
    }
    if (promql_instant(p->p.t.w->db, p->parsed, now, &o, &r, &err) < 0) {
        trigger_unknown(m, err.msg);
        return;
    }
    sum_up(p, &r, target, m);
    promql_result_done(&r);
    if (!bare) {
        promql_each_series(p->p.t.w->db, p->parsed, look_for_others, &x);
        if (x.other[0])
            snprintf(warning, cap,
                     "query '%.100s' counts pods of %s too: add {namespace=\"%.*s\", "
                     "%s=\"%.*s\"}",
                     p->p.t.query, x.other, STR_ARG(target->ns), workload_label(target),
                     STR_ARG(target->name));
    }
}
