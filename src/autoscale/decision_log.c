/* SPDX-License-Identifier: Apache-2.0 */
#include "autoscale/decision_log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "codec/json.h"

/* Names, queries and targets of the metrics: the same for most entries of a log. */
struct named {
    const char *name, *query; /* behind the list */
    int64_t target;
};
struct names {
    size_t refs, n, bytes;
    struct named m[];
};

/* Counts of replicas are 32 bits wide in the API, and times are kept as what they are apart. */
struct logged_metric {
    double value;
    int64_t average, value_milli;
    char *why; /* NULL: none */
    int32_t proposal, utilization;
    int32_t age_ms; /* AGE_UNKNOWN: at_ms is not known */
    uint8_t state, type, target_type;
};
#define AGE_UNKNOWN INT32_MIN

struct logged {
    struct names *names;
    const char *stabilize_reason, *limit_reason, *other_reason; /* of the program */
    char *rescale_reason;
    int64_t at_ms, since_ms;
    uint32_t looks, bytes;
    int32_t next_in_ms, held_for_ms; /* from at_ms; 0: not known, none */
    int32_t current, ready, min, max, proposal, first_look, stabilized, desired;
    uint16_t n;
    bool is_rescale, held, has_failed, has_metrics;
    struct logged_metric m[];
};

/* Arithmetic cuts to 32 bits as the original does; what is farther can only be a wrong clock. */
static int32_t cut(int64_t v)
{
    return v > INT32_MAX ? INT32_MAX : v < -INT32_MAX ? -INT32_MAX : (int32_t)v;
}

/* --- names --- */

static struct names *names_unref(struct names *x)
{
    if (x && --x->refs == 0)
        free(x);
    return NULL;
}

static int64_t target_of(const struct decision_metric *m)
{
    return m->target_type == HPA_UTILIZATION ? m->target_percent : m->target_milli;
}

static bool names_fit(const struct names *x, const struct decision *d)
{
    if (x->n != d->n)
        return false;
    for (size_t i = 0; i < d->n; i++)
        if (x->m[i].target != target_of(&d->metrics[i]) ||
            strcmp(x->m[i].name, d->metrics[i].name) != 0 ||
            strcmp(x->m[i].query, d->metrics[i].query) != 0)
            return false;
    return true;
}

static const char *put_name(char **at, const char *text)
{
    const char *p = strcpy(*at, text);

    *at += strlen(text) + 1;
    return p;
}

static struct names *names_of(const struct decision_log *l, const struct decision *d)
{
    struct names *x = l->n ? l->items[l->n - 1]->names : NULL;
    size_t bytes = sizeof(*x) + d->n * sizeof(*x->m);
    char *at;

    if (x && names_fit(x, d)) {
        x->refs++;
        return x;
    }
    for (size_t i = 0; i < d->n; i++)
        bytes += strlen(d->metrics[i].name) + strlen(d->metrics[i].query) + 2;
    x = mem_zalloc(bytes);
    x->refs = 1;
    x->n = d->n;
    x->bytes = bytes;
    at = (char *)&x->m[d->n];
    for (size_t i = 0; i < d->n; i++)
        x->m[i] = (struct named){put_name(&at, d->metrics[i].name),
                                 put_name(&at, d->metrics[i].query), target_of(&d->metrics[i])};
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

static void keep_metric(struct logged_metric *m, const struct decision *d,
                        const struct decision_metric *from)
{
    *m = (struct logged_metric){.value = from->value,
                                .proposal = cut(from->proposal),
                                .average = from->average_milli,
                                .value_milli = from->value_milli,
                                .utilization = cut(from->utilization),
                                .age_ms = from->at_ms ? cut(d->at_ms - from->at_ms) : AGE_UNKNOWN,
                                .why = from->why[0] ? mem_strdup(from->why) : NULL,
                                .state = (uint8_t)from->state,
                                .type = (uint8_t)from->type,
                                .target_type = (uint8_t)from->target_type};
}

static uint32_t entry_bytes(const struct logged *e)
{
    size_t bytes = sizeof(*e) + e->n * sizeof(*e->m) + 16;

    if (e->names->refs == 1)
        bytes += e->names->bytes + 16;
    if (e->rescale_reason)
        bytes += strlen(e->rescale_reason) + 16;
    for (size_t i = 0; i < e->n; i++)
        bytes += e->m[i].why ? strlen(e->m[i].why) + 16 : 0;
    return (uint32_t)bytes;
}

static struct logged *entry_new(const struct decision_log *l, const struct decision *d)
{
    size_t n = d->n < UINT16_MAX ? d->n : UINT16_MAX;
    struct logged *e = mem_zalloc(sizeof(*e) + n * sizeof(*e->m));

    *e = (struct logged){.names = names_of(l, d),
                         .at_ms = d->at_ms,
                         .since_ms = d->at_ms,
                         .looks = 1,
                         .next_in_ms = d->next_ms ? cut(d->next_ms - d->at_ms) : 0,
                         .held_for_ms = d->held_until_ms ? cut(d->held_until_ms - d->at_ms) : 0,
                         .current = cut(d->current),
                         .ready = cut(d->ready),
                         .min = cut(d->min),
                         .max = cut(d->max),
                         .proposal = cut(d->proposal),
                         .first_look = cut(d->first_look),
                         .stabilized = cut(d->stabilized),
                         .desired = cut(d->desired),
                         .stabilize_reason = d->stabilize_reason,
                         .limit_reason = d->limit_reason,
                         .other_reason = d->other_reason,
                         .is_rescale = d->is_rescale,
                         .held = d->held,
                         .has_failed = d->has_failed,
                         .has_metrics = d->has_metrics,
                         .n = (uint16_t)n};
    if (d->rescale_reason && *d->rescale_reason)
        e->rescale_reason = mem_strdup(d->rescale_reason);
    for (size_t i = 0; i < n; i++)
        keep_metric(&e->m[i], d, &d->metrics[i]);
    e->bytes = entry_bytes(e);
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
        !same_text(a->limit_reason, b->limit_reason) ||
        !same_text(a->other_reason, b->other_reason))
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (a->m[i].state != b->m[i].state || a->m[i].proposal != b->m[i].proposal ||
            !same_text(a->m[i].why, b->m[i].why))
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
        e->since_ms = last->since_ms;
        e->looks += last->looks;
        e->bytes = last->bytes > e->bytes ? last->bytes : e->bytes;
        l->bytes += e->bytes - last->bytes;
        entry_free(last);
        l->items[l->n - 1] = e;
        return;
    }
    if (l->n == DECISION_LOG_MAX)
        drop_oldest(l);
    mem_grow(&l->items, &l->cap, l->n);
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
    const struct named *named = &e->names->m[i];

    *m =
        (struct decision_metric){.state = (enum metric_state)from->state,
                                 .value = from->value,
                                 .proposal = from->proposal,
                                 .average_milli = from->average,
                                 .value_milli = from->value_milli,
                                 .utilization = from->utilization,
                                 .at_ms = from->age_ms == AGE_UNKNOWN ? 0 : e->at_ms - from->age_ms,
                                 .type = (enum hpa_metric_type)from->type,
                                 .target_type = (enum hpa_target_type)from->target_type};
    m->is_average = m->target_type == HPA_AVERAGE_VALUE;
    if (m->target_type == HPA_UTILIZATION)
        m->target_percent = named->target;
    else
        m->target_milli = named->target;
    snprintf(m->name, sizeof(m->name), "%s", named->name);
    snprintf(m->query, sizeof(m->query), "%s", named->query);
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
                           .next_ms = e->next_in_ms ? e->at_ms + e->next_in_ms : 0,
                           .held_until_ms = e->held_for_ms ? e->at_ms + e->held_for_ms : 0,
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
                           .other_reason = e->other_reason,
                           .is_rescale = e->is_rescale,
                           .held = e->held,
                           .has_failed = e->has_failed,
                           .has_metrics = e->has_metrics,
                           .n = e->n};
    d->arena.first = (e->n + 1) * sizeof(*d->metrics) + 256;
    d->rescale_reason = e->rescale_reason ? arena_strdup(&d->arena, str_of(e->rescale_reason)) : "";
    d->metrics = arena_alloc(&d->arena, (e->n + 1) * sizeof(*d->metrics));
    for (size_t k = 0; k < e->n; k++)
        give_metric(e, k, &d->metrics[k]);
    *ret_span = (struct decision_span){e->since_ms, e->looks};
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
    static const char *const states[] = {"value", "empty", "unknown"}, *const targets[] = {
                                                                           "Utilization",
                                                                           "AverageValue", "Value"};
    bool is_share = m->target_type == HPA_UTILIZATION,
         is_whole = m->type == HPA_OBJECT || m->type == HPA_EXTERNAL;
    json_t *o = json_pack("{s:s,s:s,s:s}", "name", m->name, "type", hpa_metric_names[m->type].type,
                          "state", states[m->state]);

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
    put_text(o, "other", d->other_reason);
    put_time(o, "next", d->next_ms);
    put_text(o, "text", text);
    json_write(out, o);
}
