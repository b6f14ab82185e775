/* SPDX-License-Identifier: Apache-2.0
 *
 * Our own store as an external scaler. A changed sample leads to a decision in the next turn of the
 * loop. Pods whose agents tick together send the samples of one tick some milliseconds apart, and a
 * sum over half of them is a load that never was: while a series of theirs is behind, the decision
 * waits, at most SETTLE_MS. Agents tick on multiples of the wall clock, so their times are round;
 * others come when they come, and are not waited for. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "triggers/addon_metrics.h"
#include "triggers/addon_settings.h"
#include "triggers/external.h"
#include "triggers/trigger_int.h"

#define SETTLE_MS 20
#define SETTLE_LOOK_MS 2
#define TICK_MS 10 /* times of agents are multiples of that */
#define WAITING_MS 5000

struct external_own {
    struct external_own_options o;
    char *ns, *so_name;
    struct addon_settings settings;
    struct metric_watch *watch;
    struct loop_timer settle;
    int64_t settle_since_ns, started_ns;
    int64_t tick_ms; /* newest sample that is not decided on yet */
    bool has_found;
};

static void on_sample(void *arg, int64_t t_ms)
{
    struct external_own *x = arg;

    if (!loop_timer_is_running(&x->settle)) {
        x->settle_since_ns = loop_mono_ns(x->o.loop);
        x->tick_ms = t_ms;
        loop_timer_start(&x->settle, 0);
    } else if (t_ms > x->tick_ms) {
        x->tick_ms = t_ms;
    }
}

/* Some series of the tick is still to come. */
static bool is_half(const struct external_own *x)
{
    struct addon_value v;

    if (x->tick_ms % TICK_MS != 0 ||
        loop_mono_ns(x->o.loop) - x->settle_since_ns >= SETTLE_MS * INT64_C(1000000))
        return false;
    addon_settings_value(&x->settings, x->o.db, loop_wall_ms(x->o.loop), &v);
    return v.n > 1 && v.oldest_ms < x->tick_ms && v.oldest_ms % TICK_MS == 0;
}

static void on_settle(void *arg)
{
    struct external_own *x = arg;

    if (is_half(x))
        loop_timer_start(&x->settle, SETTLE_LOOK_MS);
    else
        x->o.changed(x->o.arg);
}

int external_own_new(const struct external_own_options *o, struct external_own **ret,
                     struct err *err)
{
    struct external_own *x = mem_zalloc(sizeof(*x));
    int r = addon_settings_read(o->metadata, true, &x->settings, err);

    if (r < 0) {
        free(x);
        return r;
    }
    x->o = *o;
    x->o.metadata = NULL;
    x->ns = str_dup(o->ns);
    x->so_name = str_dup(o->so_name);
    x->started_ns = loop_mono_ns(o->loop);
    loop_timer_init(&x->settle, o->loop, on_settle, x);
    x->watch = metric_query_watch(x->settings.query, o->db, on_sample, x);
    *ret = x;
    return 0;
}

void external_own_free(struct external_own *x)
{
    if (!x)
        return;
    loop_timer_stop(&x->settle);
    metric_query_unwatch(x->watch);
    addon_settings_done(&x->settings);
    free(x->ns);
    free(x->so_name);
    free(x);
}

double external_own_target(const struct external_own *x)
{
    return x->settings.target;
}

void external_own_value(struct external_own *x, int64_t now_ms, int64_t ready,
                        struct decision_metric *m)
{
    struct addon_value v;

    addon_settings_value(&x->settings, x->o.db, now_ms, &v);
    addon_metrics_note(x->o.metrics, str_of(x->ns), str_of(x->so_name), &x->settings, &v, now_ms);
    if (v.state == ADDON_FOUND) {
        x->has_found = true;
        m->state = METRIC_VALUE;
        m->value = v.value;
    } else if (v.n == 0 && (ready == 0 || v.is_empty_meant)) {
        m->state = METRIC_EMPTY;
        m->value = 0;
        snprintf(m->why, sizeof(m->why), "%s", v.why);
    } else {
        trigger_unknown(m, v.why);
    }
}

bool external_own_is_waiting(const struct external_own *x)
{
    struct addon_value v;

    if (x->has_found || loop_mono_ns(x->o.loop) - x->started_ns >= WAITING_MS * INT64_C(1000000))
        return false;
    addon_settings_value(&x->settings, x->o.db, loop_wall_ms(x->o.loop), &v);
    return v.state != ADDON_FOUND;
}
