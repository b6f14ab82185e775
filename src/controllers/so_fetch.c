/* SPDX-License-Identifier: Apache-2.0
 *
 * One look at the triggers of a ScaledObject: values, what a failed one counts for instead, the
 * formula, and which of them the HPA is given. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "codec/quantity.h"
#include "controllers/hpa_values.h"
#include "controllers/so_int.h"

/* One failure more than once a poll would let a fallback take over within a second of rounds.
 * Without pollingInterval: KEDA polls every 30 s and its HPA asks every 15 s, which makes three
 * failures in about 30 s. */
#define COUNT_DEFAULT_MS 10000
#define CACHE_DEFAULT_MS 30000
#define BACK_DEFAULT_MS 1000

/* --- one trigger --- */

void so_seen_metric(const struct so_trigger *t, struct decision_metric *ret)
{
    const struct so_seen *s = &t->seen;

    *ret = (struct decision_metric){
        .state = s->state, .is_average = s->is_average, .value = s->value, .at_ms = s->at_ms};
    snprintf(ret->name, sizeof(ret->name), "%.79s", trigger_metric_name(t->t));
    snprintf(ret->query, sizeof(ret->query), "%.159s", trigger_query(t->t));
    snprintf(ret->why, sizeof(ret->why), "%s", s->why ? s->why : "");
}

static void keep(struct so_seen *s, const struct decision_metric *m)
{
    so_keep_text(&s->why, str_of(m->why));
    s->is_asked = true;
    s->is_average = m->is_average;
    s->state = m->state;
    s->value = m->value;
    s->at_ms = m->at_ms;
}

static bool is_counted(struct scaler *s, struct so_trigger *t)
{
    int64_t now = so_mono_ms(s);

    if (s->c->d.sync_period_ms == 0 && t->counted_ms &&
        now - t->counted_ms < so_period_ms(s, COUNT_DEFAULT_MS))
        return false;
    t->counted_ms = now;
    t->errors++;
    return true;
}

static void note_return(struct scaler *s, struct so_trigger *t, bool has_failed)
{
    bool has_rounds = trigger_is_builtin(t->t);
    int64_t now = so_mono_ms(s), round = has_rounds ? rounds_interval_ms(s->c->d.rounds)
                                                    : so_period_ms(s, BACK_DEFAULT_MS);

    if (has_failed) {
        t->is_back = false;
    } else if (t->has_failed) {
        t->is_back = true;
        t->back_ms = now;
    } else if (t->is_back && now - t->back_ms >= round && (s->is_complete || !has_rounds)) {
        t->is_back = false;
    }
    t->has_failed = has_failed;
}

static void fetch(struct scaler *s, struct hpa_look *l, struct so_trigger *t, struct so_look *x,
                  struct decision_metric *m)
{
    struct trigger_target target = {str_of(s->ns), str_of(s->target), l->ready,
                                    strcmp(s->target_kind, "StatefulSet") == 0};
    struct keda_fetch f = {.metric = trigger_metric_name(t->t),
                           .target = trigger_threshold(t->t),
                           .current = l->scene.scale_error ? -1 : l->scene.current,
                           .ready = l->scene.scale_error ? -1 : l->ready};
    char warning[300];

    trigger_value(t->t, l->scene.now_ms, &target, m, warning, sizeof(warning));
    keep(&t->seen, m);
    buf_add_cstr(&x->warnings, warning);
    f.is_value = !m->is_average;
    f.has_failed = m->state == METRIC_UNKNOWN;
    if (f.has_failed)
        f.is_counted = is_counted(s, t);
    else
        t->counted_ms = 0;
    note_return(s, t, f.has_failed);
    keda_fall_back(&s->spec, &f, s->health, &t->fallen);
}

static void ask(struct scaler *s, struct hpa_look *l, size_t i, struct so_look *x)
{
    struct so_trigger *t = &s->triggers[i];
    struct keda_trigger *k = &x->triggers[i];
    int64_t now = so_mono_ms(s);
    struct decision_metric m;

    *k = (struct keda_trigger){.metric = trigger_metric_name(t->t),
                               .name = t->name ? t->name : "",
                               .is_resource = !trigger_is_external(t->t)};
    if (k->is_resource)
        return;
    if (!t->is_cached || now >= t->next_ms) {
        fetch(s, l, t, x, &m);
        t->next_ms = now + so_period_ms(s, CACHE_DEFAULT_MS);
    } else {
        so_seen_metric(t, &m);
    }
    k->has_error = t->fallen.is_error;
    k->in_fallback = t->fallen.is_active;
    k->is_nil = t->fallen.is_nil;
    k->value = t->fallen.has_value ? (double)t->fallen.milli / 1000 : t->seen.value;
    k->is_active = trigger_is_active(t->t, &m);
    if (k->has_error && !x->why)
        x->why = t->seen.why ? t->seen.why : "";
    if (t->fallen.condition != KEDA_UNCHANGED && x->fallback != KEDA_TRUE)
        x->fallback = t->fallen.condition;
    x->is_held |= !k->has_error && (t->is_back || (trigger_is_builtin(t->t) && !s->is_complete));
}

/* --- the formula --- */

static void compute(struct scaler *s, struct hpa_look *l, struct so_look *x)
{
    struct err err = ERR_INIT;

    if (!s->formula)
        return;
    for (size_t i = 0; i < s->n; i++)
        if (x->triggers[i].has_error || x->triggers[i].in_fallback)
            return;
    x->has_composite =
        keda_composite(&s->spec, s->formula, x->triggers, s->n, &x->composite_milli, &err) == 0;
    if (!x->has_composite && !x->why)
        x->why = arena_strdup(&l->arena, str_of(err.msg));
}

static void aggregate(struct scaler *s, struct so_look *x)
{
    double composite = (double)x->composite_milli / 1000;

    keda_aggregate(&s->spec, x->triggers, s->n, x->has_composite ? &composite : NULL, &x->state);
    /* a formula without a value is a failure like that of a trigger: it must not end in zero */
    if (s->formula && !x->has_composite && !x->state.in_fallback) {
        x->state.is_error = true;
        x->state.is_active = x->state.is_composite = false;
    }
}

/* --- what the HPA is given --- */

static void give(struct hpa_look *l, struct hpa_input *in, int64_t milli,
                 const struct decision_metric *seen)
{
    int64_t *value = arena_alloc(&l->arena, sizeof(*value));

    *value = milli < 0 ? 0 : milli; /* as KEDA serves it */
    in->values = value;
    in->n_values = 1;
    in->seen = seen;
}

/* t NULL: of none. */
static struct decision_metric *seen_of(struct hpa_look *l, const struct so_trigger *t)
{
    struct decision_metric *m = arena_alloc(&l->arena, sizeof(*m));

    if (t)
        so_seen_metric(t, m);
    return m;
}

static void give_trigger(struct scaler *s, struct hpa_look *l, struct hpa_input *in,
                         const struct so_look *x, size_t i)
{
    const struct so_trigger *t = &s->triggers[i];
    struct decision_metric *m = seen_of(l, t);
    struct quantity q = quantity_of_double(x->triggers[i].value);

    if (t->fallen.has_value) {
        m->state = METRIC_VALUE;
        m->value = x->triggers[i].value;
        snprintf(m->query, sizeof(m->query), "fallback, as it is unknown: %.120s",
                 t->seen.why ? t->seen.why : "");
        snprintf(m->name, sizeof(m->name), "%.79s", in->name);
    }
    give(l, in, t->fallen.has_value ? t->fallen.milli : quantity_milli(&q), m);
}

static void give_composite(struct scaler *s, struct hpa_look *l, struct hpa_input *in,
                           const struct so_look *x)
{
    struct decision_metric *m = seen_of(l, NULL);

    snprintf(m->name, sizeof(m->name), "%s", KEDA_COMPOSITE);
    snprintf(m->query, sizeof(m->query), "%.159s", s->spec.modifiers.formula);
    m->state = METRIC_VALUE;
    m->value = (double)x->composite_milli / 1000;
    give(l, in, x->composite_milli, m);
}

static void give_failure(struct scaler *s, struct hpa_look *l, struct hpa_input *in,
                         const struct so_look *x)
{
    struct decision_metric *m = seen_of(l, NULL);
    const char *why = x->why;

    snprintf(m->name, sizeof(m->name), "%.79s", in->name);
    for (size_t i = 0; i < s->n && !s->formula; i++)
        if (str_eq_nocase(str_of(x->triggers[i].metric), str_of(in->name))) {
            so_seen_metric(&s->triggers[i], m);
            why = s->triggers[i].seen.why ? s->triggers[i].seen.why : "";
        }
    m->state = METRIC_UNKNOWN;
    in->error = why ? why : "no trigger of the ScaledObject has this name";
    snprintf(m->why, sizeof(m->why), "%.239s", in->error);
    in->seen = m;
}

static void answer(struct scaler *s, struct hpa_look *l, struct hpa_input *in,
                   const struct so_look *x)
{
    size_t i = 0;

    in->may_not_lower = x->is_held;
    switch (keda_request(&s->spec, x->triggers, s->n, in->name, x->has_composite, &i)) {
    case KEDA_TRIGGER:
        give_trigger(s, l, in, x, i);
        break;
    case KEDA_FORMULA:
        give_composite(s, l, in, x);
        break;
    case KEDA_NOTHING:
        give_failure(s, l, in, x);
        break;
    }
}

void so_fetch(struct scaler *s, struct hpa_look *l, struct so_look *x)
{
    x->triggers = arena_alloc(&l->arena, (s->n + 1) * sizeof(*x->triggers));
    for (size_t i = 0; i < s->n; i++)
        ask(s, l, i, x);
    compute(s, l, x);
    aggregate(s, x);
    for (size_t i = 0; i < l->spec.n; i++) {
        struct hpa_input *in = &l->spec.metrics[i];

        if (!in->is_unknown_type && in->metric.type == HPA_EXTERNAL)
            answer(s, l, in, x);
        else
            hpa_value_read(l, in, s->c->d.world->db);
    }
}
