/* SPDX-License-Identifier: Apache-2.0 */
#include "autoscale/decision.h"

#include <string.h>

#include "base/buf.h"

static void add_metric(struct buf *b, const struct decision_metric *m)
{
    double target = (double)m->target_milli / 1000;

    if (m->state == METRIC_UNKNOWN) {
        buf_printf(b, "%s is unknown (%s), so the count may not fall", m->name, m->why);
        return;
    }
    buf_printf(b, "%s (%s) is %g%s", m->name, m->query, m->value,
               m->state == METRIC_EMPTY ? " (no series)" : "");
    if (m->is_average)
        buf_printf(b, ", target %g per replica: ceil(%g/%g) = %lld", target, m->value, target,
                   (long long)m->proposal);
    else
        buf_printf(b, ", target %g: %lld", target, (long long)m->proposal);
}

void decision_text(const struct decision *d, char *out, size_t cap)
{
    struct buf b = BUF_INIT;

    buf_printf(&b, "%lld replica%s: ", (long long)d->desired, d->desired == 1 ? "" : "s");
    for (size_t i = 0; i < d->n; i++) {
        buf_add_cstr(&b, i ? "; " : "");
        add_metric(&b, &d->metrics[i]);
    }
    if (strcmp(d->stabilize_reason, "ScaleDownStabilized") == 0)
        buf_printf(&b, "; held at %lld by the scale-down stabilization window",
                   (long long)d->stabilized);
    else if (strcmp(d->stabilize_reason, "ScaleUpStabilized") == 0)
        buf_printf(&b, "; held at %lld by the scale-up stabilization window",
                   (long long)d->stabilized);
    if (strcmp(d->limit_reason, "TooManyReplicas") == 0)
        buf_printf(&b, "; maxReplicas is %lld", (long long)d->max);
    else if (strcmp(d->limit_reason, "TooFewReplicas") == 0)
        buf_printf(&b, "; minReplicas is %lld", (long long)d->min);
    else if (strcmp(d->limit_reason, "ScaleUpLimit") == 0 ||
             strcmp(d->limit_reason, "ScaleDownLimit") == 0)
        buf_printf(&b, "; the rate policies allow no more at once");
    if (cap) {
        size_t n = b.n < cap - 1 ? b.n : cap - 1;

        memcpy(out, buf_cstr(&b), n);
        out[n] = '\0';
    }
    buf_done(&b);
}
