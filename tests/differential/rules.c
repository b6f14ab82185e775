/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of src/autoscale behind a pipe: a case a line in, its outcome a line out, in integers.
 * rules.py makes the cases and knows the outcomes from an implementation of its own; the forms of
 * the lines stand there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscale/formula.h"
#include "autoscale/hpa.h"
#include "autoscale/hpa_metric.h"
#include "autoscale/keda.h"
#include "base/buf.h"
#include "base/mem.h"
#include "codec/quantity.h"

#define PODS_MAX 64

static char *at; /* in the line */

static int64_t next(void)
{
    return strtoll(at, &at, 10);
}

static struct hpa_tolerance next_tolerance(void)
{
    struct hpa_tolerance t;

    t.down = (double)next() / 1000;
    t.up = (double)next() / 1000;
    return t;
}

static void average(struct buf *out)
{
    struct hpa_tolerance t = next_tolerance();
    int64_t status = next(), sum = next(), target = next(), average_milli,
            n = hpa_average_value(status, sum, target, t, &average_milli);

    buf_printf(out, "%lld %lld", (long long)n, (long long)average_milli);
}

static void whole(struct buf *out)
{
    struct hpa_tolerance t = next_tolerance();
    int64_t current = next(), ready = next(), sum = next(), target = next();

    buf_printf(out, "%lld", (long long)hpa_value(current, ready, sum, target, t));
}

/* Members one by one: the order of initialisers is the compiler's. */
static void next_pod(struct hpa_pod *p, struct hpa_container *c, const char *name)
{
    *p = (struct hpa_pod){.name = str_of(name), .containers = c, .n_containers = 1};
    *c = (struct hpa_container){.name = STR("c")};
    p->phase = (enum hpa_phase)next();
    p->is_deleting = next();
    p->ready = (enum hpa_ready)next();
    p->ready_since_ms = next();
    p->start_ms = next();
    c->has_request = next();
    c->request_milli = next();
}

static void next_sample(struct hpa_sample *s, struct str pod)
{
    s->pod = pod;
    s->at_ms = next();
    s->window_ms = next();
    s->milli = next();
}

static void per_pod(struct buf *out)
{
    static struct hpa_pod pods[PODS_MAX];
    static struct hpa_container containers[PODS_MAX];
    static struct hpa_sample samples[PODS_MAX];
    static char names[PODS_MAX][8];
    struct hpa_tolerance t = next_tolerance();
    int64_t kind = next(); /* 0: Pods, 1: cpu averageValue, 2: cpu utilization */
    struct hpa_metric m = {.type = kind ? HPA_RESOURCE : HPA_PODS,
                           .target_type = kind == 2 ? HPA_UTILIZATION : HPA_AVERAGE_VALUE,
                           .resource = kind ? STR("cpu") : STR_NONE};
    struct hpa_observed o = {.tolerance = t, .pods = pods, .samples = samples};
    struct hpa_proposal p;
    struct err err = ERR_INIT;

    m.target = next();
    o.current = o.status_replicas = next();
    o.times =
        (struct hpa_times){.cpu_initialization_ms = 120000, .initial_readiness_delay_ms = 10000};
    o.times.now_ms = next();
    o.n_pods = (size_t)next();
    for (size_t i = 0; i < o.n_pods; i++) {
        snprintf(names[i], sizeof(names[i]), "p%zu", i);
        next_pod(&pods[i], &containers[i], names[i]);
        if (next())
            next_sample(&samples[o.n_samples++], pods[i].name);
    }
    if (hpa_propose(&m, &o, &p, &err) < 0)
        buf_add_cstr(out, "E");
    else
        buf_printf(out, "%lld %lld %lld", (long long)p.replicas, (long long)p.utilization,
                   (long long)p.average_milli);
}

static void next_history(struct hpa_history *h)
{
    int64_t n = next();

    for (int64_t i = 0; i < n; i++) {
        struct hpa_entry e = {.replicas = next()};

        e.at_ms = next();
        hpa_history_add(h, e);
    }
}

static void add_history(struct buf *out, const struct hpa_history *h)
{
    for (size_t i = 0; i < h->n; i++)
        buf_printf(out, " %lld@%lld", (long long)h->items[i].replicas,
                   (long long)h->items[i].at_ms);
}

static void classic(struct buf *out)
{
    int64_t now = next(), window = next(), current = next(), desired = next(), min = next(),
            max = next(), stabilized, n;
    struct hpa_history h = {0};
    const char *held, *limit;

    next_history(&h);
    stabilized = hpa_stabilize_classic(&h, now, desired, window, &held);
    n = hpa_limit_classic(current, current, stabilized, min, max, &limit);
    buf_printf(out, "%lld %lld %s %s", (long long)stabilized, (long long)n, held, limit);
    add_history(out, &h);
    hpa_history_done(&h);
}

static void next_rules(struct hpa_rules *r)
{
    *r = (struct hpa_rules){.window_s = next()};
    r->select = (enum hpa_select)next();
    r->n = (size_t)next();
    r->policies = mem_array(r->n, sizeof(*r->policies));
    for (size_t i = 0; i < r->n; i++) {
        r->policies[i].type = (enum hpa_policy_type)next();
        r->policies[i].value = (int32_t)next();
        r->policies[i].period_s = (int32_t)next();
    }
}

static void behavior(struct buf *out)
{
    int64_t now = next(), current = next(), desired = next(), min = next(), max = next(),
            stabilized, n;
    struct hpa_history h = {0}, ups = {0}, downs = {0};
    struct hpa_rules up, down;
    const char *held, *limit;

    next_rules(&up);
    next_rules(&down);
    next_history(&h);
    next_history(&ups);
    next_history(&downs);
    stabilized = hpa_stabilize(&h, now, current, desired, up.window_s, down.window_s, &held);
    n = hpa_limit_rate(now, current, stabilized, min, max, &up, &down, &ups, &downs, &limit);
    buf_printf(out, "%lld %lld %s %s", (long long)stabilized, (long long)n, held, limit);
    if (n != current)
        hpa_history_changed(n > current ? &ups : &downs, n > current ? n - current : current - n,
                            now, hpa_rules_longest_period(n > current ? &up : &down));
    add_history(out, &h);
    buf_add_cstr(out, " |");
    add_history(out, &ups);
    buf_add_cstr(out, " |");
    add_history(out, &downs);
    free(up.policies);
    free(down.policies);
    hpa_history_done(&h);
    hpa_history_done(&ups);
    hpa_history_done(&downs);
}

static void decide(struct buf *out)
{
    static const char *const acts[] = {"stay", "activate", "deactivate", "raise"};
    struct keda_spec spec = {.min = next()};
    struct keda_pauses pauses = {0};
    struct keda_scene s = {.spec = &spec, .pauses = &pauses};
    struct keda_verdict v;

    spec.has_idle = next();
    spec.idle = next();
    spec.cooldown_s = next();
    spec.initial_cooldown_s = next();
    spec.fallback.is_set = next();
    spec.fallback.replicas = next();
    pauses.full = next();
    pauses.scale_in = next();
    pauses.scale_out = next();
    pauses.forced = next();
    s.now_ms = next();
    s.created_ms = next();
    s.last_active_ms = next();
    s.is_unreadable = next();
    s.current = next();
    s.is_active = next();
    s.is_error = next();
    keda_decide(&s, &v);
    buf_printf(out, "%s %lld %d %s %s %s", acts[v.act], (long long)v.to, v.touches, v.ready.reason,
               v.active.status ? v.active.reason : "-", v.paused.status ? v.paused.reason : "-");
}

static void fall_back(struct buf *out)
{
    struct keda_spec s = {0};
    struct keda_fetch f = {.metric = "m"};
    struct keda_fallen x;
    int64_t had;
    AUTO_JSON json_t *health = NULL;

    s.fallback.is_set = next();
    s.fallback.threshold = next();
    s.fallback.replicas = next();
    s.fallback.behavior = (enum keda_behavior)next();
    s.modifiers.is_used = next();
    s.modifiers.target = (double)next() / 1000;
    s.modifiers.is_value = next();
    f.target = (double)next() / 1000;
    f.is_value = next();
    f.has_failed = next();
    f.is_counted = next();
    f.current = next();
    f.ready = next();
    had = next();
    health = had < 0 ? json_object()
                     : json_pack("{s:{s:I,s:s}}", "m", "numberOfFailures", (json_int_t)had,
                                 "status", had ? "Failing" : "Happy");
    keda_fall_back(&s, &f, health, &x);
    buf_printf(out, "%d %lld %d %d %d %d %lld", x.has_value, (long long)(x.has_value ? x.milli : 0),
               x.is_active, x.is_nil, x.is_error, x.condition,
               (long long)json_int(json_object_get(health, "m"), "numberOfFailures", -1));
}

/* Three values in milli, then the text. */
static void formula(struct buf *out)
{
    static const struct str names[] = {{"a", 1}, {"b", 1}, {"c", 1}};
    struct formula_variable v[3];
    struct formula *f = NULL;
    bool is_nil = false;
    struct quantity q;
    double value = 0;

    for (size_t i = 0; i < 3; i++) {
        v[i] = (struct formula_variable){.name = names[i]};
        v[i].value = (double)next() / 1000;
    }
    if (formula_new(str_of(at), names, 3, &f, NULL) < 0 ||
        formula_eval(f, v, 3, &is_nil, &value, NULL) < 0) {
        buf_add_cstr(out, "E");
    } else {
        q = quantity_of_double_cut(value);
        buf_printf(out, "%lld", (long long)quantity_milli(&q));
    }
    formula_free(f);
}

static const struct {
    char letter;
    void (*run)(struct buf *out);
} kinds[] = {{'A', average},  {'V', whole},  {'P', per_pod},   {'C', classic},
             {'B', behavior}, {'K', decide}, {'F', fall_back}, {'X', formula}};

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    struct buf out = BUF_INIT;

    while ((n = getline(&line, &cap, stdin)) > 0) {
        line[n - 1] = '\0';
        at = line + 1;
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
            if (kinds[i].letter == line[0])
                kinds[i].run(&out);
        buf_add_char(&out, '\n');
        if (out.n > 1 << 16) {
            fwrite(out.p, 1, out.n, stdout);
            buf_clear(&out);
        }
    }
    fwrite(out.p, 1, out.n, stdout);
    buf_done(&out);
    free(line);
    return 0;
}
