/* SPDX-License-Identifier: Apache-2.0 */
#include "autoscale/decision.h"

#include <stdarg.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

void decision_done(struct decision *d)
{
    arena_done(&d->arena);
    *d = (struct decision){0};
}

void decision_set(struct decision *d, const char *type, const char *status, const char *reason,
                  const char *message)
{
    struct decision_condition *c = NULL;

    for (size_t i = 0; i < d->n_conditions && !c; i++)
        if (strcmp(d->conditions[i].type, type) == 0)
            c = &d->conditions[i];
    if (!c) {
        FB_ASSERT(d->n_conditions < DECISION_CONDITIONS_MAX);
        c = &d->conditions[d->n_conditions++];
    }
    *c =
        (struct decision_condition){type, status, reason, arena_strdup(&d->arena, str_of(message))};
}

void decision_event(struct decision *d, bool is_warning, const char *reason, const char *fmt, ...)
{
    struct buf b = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    d->events = arena_grow(&d->arena, d->events, &d->cap_events, d->n_events, sizeof(*d->events));
    d->events[d->n_events++] =
        (struct decision_event){is_warning, reason, arena_strdup(&d->arena, buf_str(&b))};
    buf_done(&b);
}

static void add_target(struct buf *b, const struct decision_metric *m)
{
    double target = (double)m->target_milli / 1000;

    if (m->target_type == HPA_UTILIZATION)
        buf_printf(b, "%s is at %lld %% of its request, target %lld %%: %lld", m->name,
                   (long long)m->utilization, (long long)m->target_percent, (long long)m->proposal);
    else if (m->type != HPA_EXTERNAL && m->type != HPA_OBJECT)
        buf_printf(b, "%s is %g per pod, target %g: %lld", m->name, (double)m->average_milli / 1000,
                   target, (long long)m->proposal);
    else if (m->is_average)
        buf_printf(b, ", target %g per replica: ceil(%g/%g) = %lld", target, m->value, target,
                   (long long)m->proposal);
    else
        buf_printf(b, ", target %g: %lld", target, (long long)m->proposal);
}

static void add_metric(struct buf *b, const struct decision_metric *m)
{
    if (m->state == METRIC_UNKNOWN) {
        buf_printf(b, "%s is unknown (%s), so the count may not fall", m->name, m->why);
        return;
    }
    if (m->type == HPA_EXTERNAL || m->type == HPA_OBJECT) {
        buf_add_cstr(b, m->name);
        if (m->query[0])
            buf_printf(b, " (%s)", m->query);
        buf_printf(b, " is %g%s", m->value, m->state == METRIC_EMPTY ? " (no series)" : "");
    }
    if (m->proposal >= 0)
        add_target(b, m);
}

static void add_window(struct buf *b, const struct decision *d, const char *which)
{
    char time[TIME_TEXT_MAX];

    buf_printf(b, "; held at %lld by the scale-%s stabilization window", (long long)d->stabilized,
               which);
    if (d->held_until_ms)
        buf_printf(b, " until %.8s UTC", time_rfc3339(d->held_until_ms + 999, time) + 11);
}

static void add_limit(struct buf *b, const struct decision *d)
{
    const char *reason = d->limit_reason ? d->limit_reason : "";

    if (strcmp(reason, "TooManyReplicas") == 0)
        buf_printf(b, "; maxReplicas is %lld", (long long)d->max);
    else if (strcmp(reason, "TooFewReplicas") == 0)
        buf_printf(b, "; minReplicas is %lld", (long long)d->min);
    else if (strcmp(reason, "ScaleUpLimit") == 0)
        buf_add_cstr(b, "; no more may be added at once");
    else if (strcmp(reason, "ScaleDownLimit") == 0)
        buf_add_cstr(b, "; no more may be removed at once");
}

void decision_text(const struct decision *d, char *out, size_t cap)
{
    const char *held = d->stabilize_reason ? d->stabilize_reason : "";
    struct buf b = BUF_INIT;

    buf_printf(&b, "%lld replica%s: ", (long long)d->desired, d->desired == 1 ? "" : "s");
    for (size_t i = 0; i < d->n; i++) {
        buf_add_cstr(&b, i ? "; " : "");
        add_metric(&b, &d->metrics[i]);
    }
    if (d->first_look > 0 && d->first_look != d->proposal)
        buf_printf(&b, "; a look just before gave %lld, the lower counts",
                   (long long)d->first_look);
    if (strcmp(held, "ScaleDownStabilized") == 0)
        add_window(&b, d, "down");
    else if (strcmp(held, "ScaleUpStabilized") == 0)
        add_window(&b, d, "up");
    add_limit(&b, d);
    if (d->other_reason && *d->other_reason)
        buf_printf(&b, "; %s", d->other_reason);
    if (cap) {
        size_t n = b.n < cap - 1 ? b.n : cap - 1;

        memcpy(out, buf_cstr(&b), n);
        out[n] = '\0';
    }
    buf_done(&b);
}
