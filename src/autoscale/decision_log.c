/* SPDX-License-Identifier: Apache-2.0 */
#include "autoscale/decision_log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "codec/json.h"

/* Names and queries of the metrics: the same for most entries of a log. */
struct names {
    size_t refs, n;
    char *texts[]; /* name, query, name, query, ... */
};

struct logged_metric {
    double value;
    int64_t target, proposal, average, value_milli, utilization, at_ms;
    char *why; /* NULL: none */
    uint8_t state, type, target_type;
};

struct logged {
    struct names *names;
    struct decision_span span;
    int64_t at_ms, next_ms, held_until_ms, current, ready, min, max, proposal, first_look,
        stabilized, desired;
    const char *stabilize_reason, *limit_reason; /* of the program */
    char *rescale_reason;
    bool is_rescale, held, has_failed, has_metrics;
    size_t bytes, n;
    struct logged_metric m[];
};

/* --- names --- */

static struct names *names_unref(struct names *x)
{
    if (x && --x->refs == 0) {
        for (size_t i = 0; i < 2 * x->n; i++)
            free(x->texts[i]);
        free(x);
    }
    return NULL;
}

static bool names_fit(const struct names *x, const struct decision *d)
{
    if (x->n != d->n)
        return false;
    for (size_t i = 0; i < d->n; i++)
        if (strcmp(x->texts[2 * i], d->metrics[i].name) != 0 ||
            strcmp(x->texts[2 * i + 1], d->metrics[i].query) != 0)
            return false;
    return true;
}

static struct names *names_of(const struct decision_log *l, const struct decision *d,
                              size_t *ret_bytes)
{
    struct names *x = l->n ? l->items[l->n - 1]->names : NULL;

    if (x && names_fit(x, d)) {
        x->refs++;
        return x;
    }
    x = mem_zalloc(sizeof(*x) + 2 * d->n * sizeof(*x->texts));
    x->refs = 1;
    x->n = d->n;
    *ret_bytes += sizeof(*x);
    for (size_t i = 0; i < d->n; i++) {
        x->texts[2 * i] = mem_strdup(d->metrics[i].name);
        x->texts[2 * i + 1] = mem_strdup(d->metrics[i].query);
        *ret_bytes += strlen(d->metrics[i].name) + strlen(d->metrics[i].query) + 64;
    }
    return x;
}

/* --- entries --- */

static void entry_free(struct logged *e)
{
    for (size_t i = 0; i < e->n; i++)
        free(e->m[i].why);
    names_unref(e->names);
    free(e->rescale_reason);
    free(e);
}

static void keep_metric(struct logged_metric *m, const struct decision_metric *from)
{
    *m = (struct logged_metric){
        .value = from->value,
        .target = from->target_type == HPA_UTILIZATION ? from->target_percent : from->target_milli,
        .proposal = from->proposal,
        .average = from->average_milli,
        .value_milli = from->value_milli,
        .utilization = from->utilization,
        .at_ms = from->at_ms,
        .why = from->why[0] ? mem_strdup(from->why) : NULL,
        .state = (uint8_t)from->state,
        .type = (uint8_t)from->type,
        .target_type = (uint8_t)from->target_type};
}

static struct logged *entry_new(const struct decision_log *l, const struct decision *d)
{
    struct logged *e = mem_zalloc(sizeof(*e) + d->n * sizeof(*e->m));

    e->bytes = sizeof(*e) + d->n * sizeof(*e->m) + 16;
    e->names = names_of(l, d, &e->bytes);
    e->span = (struct decision_span){d->at_ms, 1};
    e->at_ms = d->at_ms;
    e->next_ms = d->next_ms;
    e->held_until_ms = d->held_until_ms;
    e->current = d->current;
    e->ready = d->ready;
    e->min = d->min;
    e->max = d->max;
    e->proposal = d->proposal;
    e->first_look = d->first_look;
    e->stabilized = d->stabilized;
    e->desired = d->desired;
    e->stabilize_reason = d->stabilize_reason;
    e->limit_reason = d->limit_reason;
    e->is_rescale = d->is_rescale;
    e->held = d->held;
    e->has_failed = d->has_failed;
    e->has_metrics = d->has_metrics;
    if (d->rescale_reason && *d->rescale_reason) {
        e->rescale_reason = mem_strdup(d->rescale_reason);
        e->bytes += strlen(e->rescale_reason) + 16;
    }
    e->n = d->n;
    for (size_t i = 0; i < d->n; i++) {
        keep_metric(&e->m[i], &d->metrics[i]);
        e->bytes += e->m[i].why ? strlen(e->m[i].why) + 16 : 0;
    }
    return e;
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool says_the_same(const struct logged *a, const struct logged *b)
{
    if (a->is_rescale || b->is_rescale || a->names != b->names || a->current != b->current ||
        a->desired != b->desired || a->min != b->min || a->max != b->max ||
        a->proposal != b->proposal || a->stabilized != b->stabilized || a->held != b->held ||
        a->has_failed != b->has_failed || !same_text(a->stabilize_reason, b->stabilize_reason) ||
        !same_text(a->limit_reason, b->limit_reason))
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (a->m[i].state != b->m[i].state || a->m[i].proposal != b->m[i].proposal ||
            a->m[i].target != b->m[i].target || !same_text(a->m[i].why, b->m[i].why))
            return false;
    return true;
}

static void drop_oldest(struct decision_log *l)
{
    l->bytes -= l->items[0]->bytes;
    entry_free(l->items[0]);
    memmove(l->items, l->items + 1, --l->n * sizeof(*l->items));
}

void decision_log_add(struct decision_log *l, const struct decision *d)
{
    struct logged *e = entry_new(l, d), *last = l->n ? l->items[l->n - 1] : NULL;

    if (last && says_the_same(last, e)) {
        e->span.since_ms = last->span.since_ms;
        e->span.looks += last->span.looks;
        e->bytes = last->bytes > e->bytes ? last->bytes : e->bytes;
        l->bytes += e->bytes - last->bytes;
        entry_free(last);
        l->items[l->n - 1] = e;
        return;
    }
    if (l->n == DECISION_LOG_MAX)
        drop_oldest(l);
    if (!l->items)
        l->items = mem_array(DECISION_LOG_MAX, sizeof(*l->items));
    l->items[l->n++] = e;
    l->bytes += e->bytes;
    while (l->n > 1 && l->bytes > DECISION_LOG_BYTES)
        drop_oldest(l);
}

void decision_log_done(struct decision_log *l)
{
    for (size_t i = 0; i < l->n; i++)
        entry_free(l->items[i]);
    free(l->items);
    *l = (struct decision_log){0};
}

static void give_metric(const struct logged *e, size_t i, struct decision_metric *m)
{
    const struct logged_metric *from = &e->m[i];

    *m = (struct decision_metric){.state = (enum metric_state)from->state,
                                  .value = from->value,
                                  .proposal = from->proposal,
                                  .average_milli = from->average,
                                  .value_milli = from->value_milli,
                                  .utilization = from->utilization,
                                  .at_ms = from->at_ms,
                                  .type = (enum hpa_metric_type)from->type,
                                  .target_type = (enum hpa_target_type)from->target_type};
    m->is_average = m->target_type == HPA_AVERAGE_VALUE;
    if (m->target_type == HPA_UTILIZATION)
        m->target_percent = from->target;
    else
        m->target_milli = from->target;
    snprintf(m->name, sizeof(m->name), "%s", e->names->texts[2 * i]);
    snprintf(m->query, sizeof(m->query), "%s", e->names->texts[2 * i + 1]);
    snprintf(m->why, sizeof(m->why), "%s", from->why ? from->why : "");
}

bool decision_log_get(const struct decision_log *l, size_t i, struct decision *d,
                      struct decision_span *ret_span)
{
    const struct logged *e;

    if (i >= l->n)
        return false;
    e = l->items[l->n - 1 - i];
    *d = (struct decision){.at_ms = e->at_ms,
                           .next_ms = e->next_ms,
                           .held_until_ms = e->held_until_ms,
                           .current = e->current,
                           .ready = e->ready,
                           .min = e->min,
                           .max = e->max,
                           .proposal = e->proposal,
                           .first_look = e->first_look,
                           .stabilized = e->stabilized,
                           .desired = e->desired,
                           .stabilize_reason = e->stabilize_reason,
                           .limit_reason = e->limit_reason,
                           .is_rescale = e->is_rescale,
                           .held = e->held,
                           .has_failed = e->has_failed,
                           .has_metrics = e->has_metrics,
                           .n = e->n};
    d->rescale_reason = e->rescale_reason ? arena_strdup(&d->arena, str_of(e->rescale_reason)) : "";
    d->metrics = arena_alloc(&d->arena, (e->n + 1) * sizeof(*d->metrics));
    for (size_t k = 0; k < e->n; k++)
        give_metric(e, k, &d->metrics[k]);
    *ret_span = e->span;
    return true;
}

bool decision_log_desired(const struct decision_log *l, int64_t *ret)
{
    if (l->n == 0)
        return false;
    *ret = l->items[l->n - 1]->desired;
    return true;
}

/* --- JSON --- */

static void put_text(json_t *o, const char *key, const char *v)
{
    if (v && *v)
        json_object_set_new(o, key, json_str_new(str_of(v)));
}

static void put_time(json_t *o, const char *key, int64_t ms)
{
    char text[TIME_TEXT_MAX];

    if (ms)
        json_object_set_new(o, key, json_string(time_rfc3339_micro(ms * 1000, text)));
}

static json_t *number(double v)
{
    return isfinite(v) && v == floor(v) && fabs(v) < 0x1p53 ? json_integer((json_int_t)v)
                                                            : json_real(isfinite(v) ? v : 0);
}

static json_t *metric_json(const struct decision *d, const struct decision_metric *m)
{
    static const char *const types[] = {"Resource", "ContainerResource", "Pods", "Object",
                                        "External"},
                             *const states[] = {"value", "empty", "unknown"},
                             *const targets[] = {"Utilization", "AverageValue", "Value"};
    bool is_share = m->target_type == HPA_UTILIZATION,
         is_whole = m->type == HPA_OBJECT || m->type == HPA_EXTERNAL;
    json_t *o = json_pack("{s:s,s:s,s:s}", "name", m->name, "type", types[m->type], "state",
                          states[m->state]);

    put_text(o, "query", m->query);
    if (m->state != METRIC_UNKNOWN) {
        if (is_whole)
            json_object_set_new(o, "value", number(m->value));
        if (is_share)
            json_object_set_new(o, "utilization", json_integer(m->utilization));
        if (m->target_type == HPA_AVERAGE_VALUE && m->proposal >= 0)
            json_object_set_new(o, "average", number((double)m->average_milli / 1000));
    }
    if (m->at_ms) {
        put_time(o, "sampled", m->at_ms);
        json_object_set_new(o, "ageMs", json_integer(d->at_ms - m->at_ms));
    }
    json_object_set_new(o, "target",
                        json_pack("{s:s,s:o}", "type", targets[m->target_type], "value",
                                  is_share ? json_integer(m->target_percent)
                                           : number((double)m->target_milli / 1000)));
    if (m->proposal >= 0)
        json_object_set_new(o, "proposal", json_integer(m->proposal));
    put_text(o, "reason", m->why);
    return o;
}

void decision_json(const struct decision *d, const struct decision_span *span, struct buf *out)
{
    AUTO_JSON json_t *o = json_object();
    json_t *metrics = json_array();
    char text[DECISION_TEXT_MAX];

    decision_text(d, text, sizeof(text));
    put_time(o, "time", d->at_ms);
    put_time(o, "since", span->since_ms);
    json_object_set_new(o, "looks", json_integer(span->looks));
    json_object_set_new(o, "current", json_integer(d->current));
    json_object_set_new(o, "ready", json_integer(d->ready));
    json_object_set_new(o, "min", json_integer(d->min));
    json_object_set_new(o, "max", json_integer(d->max));
    for (size_t i = 0; i < d->n; i++)
        json_array_append_new(metrics, metric_json(d, &d->metrics[i]));
    json_object_set_new(o, "metrics", metrics);
    if (d->proposal >= 0)
        json_object_set_new(o, "proposal", json_integer(d->proposal));
    if (d->first_look > 0)
        json_object_set_new(o, "firstLook", json_integer(d->first_look));
    json_object_set_new(o, "stabilized", json_integer(d->stabilized));
    put_text(o, "stabilization", d->stabilize_reason);
    put_time(o, "heldUntil", d->held_until_ms);
    put_text(o, "limit", d->limit_reason);
    json_object_set_new(o, "desired", json_integer(d->desired));
    json_object_set_new(o, "rescale", json_boolean(d->is_rescale));
    json_object_set_new(o, "held", json_boolean(d->held));
    put_text(o, "reason", d->rescale_reason);
    put_time(o, "next", d->next_ms);
    put_text(o, "text", text);
    json_write(out, o);
}
