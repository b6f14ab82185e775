/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/mem.h"
#include "triggers/hub_int.h"
#include "triggers/poll.h"

/* --- metrics (keda.md 7.1) --- */

static const struct polled *polled_of(const struct trigger *t)
{
    return t->type->is_polled ? (const struct polled *)t : NULL;
}

static struct poll_counts counts_of(const struct trigger *t)
{
    return polled_of(t) ? poll_counts(polled_of(t)) : (struct poll_counts){0};
}

static void add_label(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            buf_add_char(out, '\\');
        buf_add_char(out, *value == '\n' ? ' ' : *value);
    }
    buf_add_cstr(out, "\",");
}

static void add_status(struct buf *out, int status)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", status);
    add_label(out, "status_code", status ? text : "error");
}

/* In place of the last comma. */
static void end_labels(struct buf *out)
{
    out->p[out->n - 1] = '}';
}

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_requests(struct trigger_hub *h, struct buf *out)
{
    head(out, "keda_scaler_http_requests_total", "counter",
         "Requests of triggers to the servers they ask.");
    list_each (it, hub_triggers(h)) {
        const struct trigger *t = hub_trigger(it);
        struct poll_counts c = counts_of(t);

        for (size_t i = 0; i < c.n_statuses; i++) {
            buf_add_cstr(out, "keda_scaler_http_requests_total{");
            add_label(out, "namespace", t->ns);
            add_label(out, "scaled_resource", t->so_name);
            add_label(out, "scaler", t->type->name);
            add_label(out, "trigger_name", t->given_name);
            add_label(out, "metric_name", t->name);
            add_status(out, c.statuses[i].status);
            end_labels(out);
            buf_printf(out, " %llu\n", (unsigned long long)c.statuses[i].n);
        }
    }
}

/* One series a type of trigger and status: the sums of all triggers of that type. */
struct duration {
    const char *scaler;
    struct poll_status sum;
};

static struct duration *duration_of(struct duration *all, size_t *n, size_t max, const char *scaler,
                                    int status)
{
    for (size_t i = 0; i < *n; i++)
        if (all[i].scaler == scaler && all[i].sum.status == status)
            return &all[i];
    if (*n == max)
        return NULL;
    all[*n] = (struct duration){scaler, {.status = status}};
    return &all[(*n)++];
}

static void add_duration(struct buf *out, const struct duration *d)
{
    static const char name[] = "keda_scaler_http_request_duration_seconds";
    uint64_t total = 0;

    for (size_t b = 0; b < POLL_BUCKETS; b++) {
        total += d->sum.buckets[b];
        buf_printf(out, "%s_bucket{", name);
        add_label(out, "scaler", d->scaler);
        add_status(out, d->sum.status);
        if (b < POLL_BUCKETS - 1)
            buf_printf(out, "le=\"%g\"} %llu\n", poll_bounds[b], (unsigned long long)total);
        else
            buf_printf(out, "le=\"+Inf\"} %llu\n", (unsigned long long)total);
    }
    for (int i = 0; i < 2; i++) {
        buf_printf(out, "%s_%s{", name, i ? "count" : "sum");
        add_label(out, "scaler", d->scaler);
        add_status(out, d->sum.status);
        end_labels(out);
        if (i)
            buf_printf(out, " %llu\n", (unsigned long long)total);
        else
            buf_printf(out, " %.9g\n", d->sum.sum_s);
    }
}

static void add_durations(struct trigger_hub *h, struct buf *out)
{
    struct duration all[64];
    size_t n = 0;

    head(out, "keda_scaler_http_request_duration_seconds", "histogram",
         "How long these requests took.");
    list_each (it, hub_triggers(h)) {
        const struct trigger *t = hub_trigger(it);
        struct poll_counts c = counts_of(t);

        for (size_t i = 0; i < c.n_statuses; i++) {
            struct duration *d =
                duration_of(all, &n, ARRAY_LEN(all), t->type->name, c.statuses[i].status);

            for (size_t b = 0; d && b < POLL_BUCKETS; b++)
                d->sum.buckets[b] += c.statuses[i].buckets[b];
            if (d)
                d->sum.sum_s += c.statuses[i].sum_s;
        }
    }
    for (size_t i = 0; i < n; i++)
        add_duration(out, &all[i]);
}

static void add_empty(struct trigger_hub *h, struct buf *out)
{
    head(out, "keda_scaler_empty_upstream_responses_total", "counter",
         "Answers without any series.");
    list_each (it, hub_triggers(h)) {
        const struct trigger *t = hub_trigger(it);
        uint64_t n = t->n_empty + counts_of(t).n_empty;

        if (!n)
            continue;
        buf_add_cstr(out, "keda_scaler_empty_upstream_responses_total{");
        add_label(out, "namespace", t->ns);
        add_label(out, "scaledResource", t->so_name);
        add_label(out, "triggerName", t->given_name);
        add_label(out, "metricName", t->name);
        add_label(out, "resourceType", "scaledobject");
        add_label(out, "ignoreNullValues", polled_of(t)->ignores_null ? "true" : "false");
        end_labels(out);
        buf_printf(out, " %llu\n", (unsigned long long)n);
    }
}

/* Seconds; negative: none yet. Of cpu and memory nothing is fetched. */
static double latency_of(const struct trigger *t)
{
    struct poll_counts c = counts_of(t);

    if (t->type->is_polled && !trigger_is_builtin(t))
        return c.n_statuses ? c.latency_s : -1;
    if (t->type->latency)
        return t->type->latency(t);
    return t->type->is_external && t->took_ns ? (double)t->took_ns / 1e9 : -1;
}

static void add_latency(struct trigger_hub *h, struct buf *out)
{
    head(out, "keda_scaler_metrics_latency_seconds", "gauge",
         "How long the last fetch of a trigger took.");
    list_each (it, hub_triggers(h)) {
        const struct trigger *t = hub_trigger(it);
        double latency_s = latency_of(t);
        char index[16];

        if (latency_s < 0)
            continue;
        snprintf(index, sizeof(index), "%d", t->index);
        buf_add_cstr(out, "keda_scaler_metrics_latency_seconds{");
        add_label(out, "metric", t->name);
        add_label(out, "namespace", t->ns);
        add_label(out, "scaledObject", t->so_name);
        add_label(out, "scaler", trigger_scaler(t));
        add_label(out, "triggerIndex", index);
        add_label(out, "type", "scaledobject");
        end_labels(out);
        buf_printf(out, " %.9g\n", latency_s);
    }
}

static void add_registered(struct trigger_hub *h, struct buf *out)
{
    head(out, "keda_trigger_registered_total", "gauge", "Triggers, by type.");
    for (size_t i = 0; trigger_type_at(i); i++) {
        const struct trigger_type *type = trigger_type_at(i);
        size_t n = 0;

        list_each (it, hub_triggers(h))
            n += hub_trigger(it)->type == type;
        if (n)
            buf_printf(out, "keda_trigger_registered_total{type=\"%s\"} %zu\n", type->name, n);
    }
}

void trigger_hub_metrics(struct trigger_hub *h, struct buf *out)
{
    add_requests(h, out);
    add_durations(h, out);
    add_empty(h, out);
    add_latency(h, out);
    add_registered(h, out);
}
