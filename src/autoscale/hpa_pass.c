/* SPDX-License-Identifier: Apache-2.0 */
#include "autoscale/hpa_pass.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "codec/quantity.h"

const struct hpa_config HPA_CONFIG_DEFAULT = {.tolerance = 0.1,
                                              .downscale_window_ms = 300000,
                                              .cpu_initialization_ms = 300000,
                                              .initial_readiness_delay_ms = 30000,
                                              .configurable_tolerance = true,
                                              .scale_to_zero = true,
                                              .classic_period_s = 15,
                                              .coalesces = true};

/* reason -> text of its condition (hpa.md 15), for the reasons that carry no name or number */
static const struct {
    const char *type, *reason, *status, *message;
} conditions[] = {
    {"AbleToScale", "SucceededGetScale", "True",
     "the HPA controller was able to get the target's current scale"},
    {"AbleToScale", "ReadyForNewScale", "True", "recommended size matches current size"},
    {"AbleToScale", "ScaleDownStabilized", "True",
     "recent recommendations were higher than current one, applying the highest recent "
     "recommendation"},
    {"AbleToScale", "ScaleUpStabilized", "True",
     "recent recommendations were lower than current one, applying the lowest recent "
     "recommendation"},
    {"ScalingActive", "ScalingDisabled", "False",
     "scaling is disabled since the replica count of the target is zero"},
    {"ScalingLimited", "DesiredWithinRange", "False",
     "the desired count is within the acceptable range"},
    {"ScalingLimited", "ScaleUpLimit", "True",
     "the desired replica count is increasing faster than the maximum scale rate"},
    {"ScalingLimited", "ScaleDownLimit", "True",
     "the desired replica count is decreasing faster than the maximum scale rate"},
    {"ScalingLimited", "TooManyReplicas", "True",
     "the desired replica count is more than the maximum replica count"},
    {"ScalingLimited", "TooFewReplicas", "True",
     "the desired replica count is less than the minimum replica count"},
    {"ScaledToZero", "ScaledToZero", "True", "the target was scaled to zero by this HPA"},
    {"ScaledToZero", "NotScaledToZero", "False", "the target was not scaled to zero by this HPA"},
};

static void set(struct decision *d, const char *reason)
{
    for (size_t i = 0; i < ARRAY_LEN(conditions); i++)
        if (strcmp(conditions[i].reason, reason) == 0)
            decision_set(d, conditions[i].type, conditions[i].status, reason,
                         conditions[i].message);
}

void hpa_memory_done(struct hpa_memory *m)
{
    hpa_history_done(&m->recommendations);
    hpa_history_done(&m->ups);
    hpa_history_done(&m->downs);
    m->has_started = false;
}

/* What one pass carries from step to step. */
struct pass_state {
    const struct hpa_config *c;
    const struct hpa_spec *spec;
    const struct hpa_scene *scene;
    struct hpa_memory *memory;
    struct decision *d;
    int64_t highest;  /* proposal, raw */
    const char *best; /* text of its metric */
    size_t invalid;
    bool may_not_lower; /* some value is not believed that far */
    const char *first_reason, *first_error;
};

/* --- the metrics (9) --- */

static const char *failure_reason(const struct hpa_input *in)
{
    static const char *const reasons[] = {[HPA_RESOURCE] = "FailedGetResourceMetric",
                                          [HPA_CONTAINER_RESOURCE] =
                                              "FailedGetContainerResourceMetric",
                                          [HPA_PODS] = "FailedGetPodsMetric",
                                          [HPA_OBJECT] = "FailedGetObjectMetric",
                                          [HPA_EXTERNAL] = "FailedGetExternalMetric"};

    return in->is_unknown_type ? "InvalidMetricSourceType" : reasons[in->metric.type];
}

static struct hpa_tolerance tolerance_of(const struct pass_state *x)
{
    struct hpa_tolerance t = {x->c->tolerance, x->c->tolerance};

    if (!x->spec->has_behavior || !x->c->configurable_tolerance)
        return t;
    if (x->spec->down.tolerance >= 0)
        t.down = x->spec->down.tolerance;
    if (x->spec->up.tolerance >= 0)
        t.up = x->spec->up.tolerance;
    return t;
}

static int propose(const struct pass_state *x, const struct hpa_input *in, struct hpa_proposal *ret,
                   struct err *err)
{
    struct hpa_observed o = {
        .times = {x->scene->now_ms, x->c->cpu_initialization_ms, x->c->initial_readiness_delay_ms},
        .tolerance = tolerance_of(x),
        .current = x->scene->current,
        .status_replicas = x->scene->status_replicas,
        .pods = in->pods ? in->pods : x->scene->pods,
        .n_pods = x->scene->n_pods,
        .samples = in->samples,
        .n_samples = in->n_samples,
        .values = in->values,
        .n_values = in->n_values,
        .pod_level_requests = true,
        .settle_ms = x->scene->settle_ms};

    if (in->is_unknown_type)
        return err_set(err, ERR_INVALID, "unknown metric source type '%s'", in->name);
    if (in->error)
        return err_set(err, ERR_UNAVAILABLE, "%s", in->error);
    return hpa_propose(&in->metric, &o, ret, err);
}

/* What is shown of a metric, whether or not it is computed in this pass. */
static void show(const struct hpa_input *in, struct decision_metric *m)
{
    if (in->seen)
        *m = *in->seen;
    else
        snprintf(m->name, sizeof(m->name), "%.79s", in->name);
    m->proposal = -1;
    m->type = in->metric.type;
    m->target_type = in->metric.target_type;
    m->is_average = in->metric.target_type == HPA_AVERAGE_VALUE;
    if (m->target_type == HPA_UTILIZATION)
        m->target_percent = in->metric.target;
    else
        m->target_milli = in->metric.target;
    if (!in->seen)
        m->at_ms = in->at_ms;
    if (!in->seen && in->error) {
        m->state = METRIC_UNKNOWN;
        snprintf(m->why, sizeof(m->why), "%.239s", in->error);
    }
    if (!in->seen && in->n_values) {
        __int128 sum = 0;

        for (size_t i = 0; i < in->n_values; i++)
            sum += in->values[i];
        m->value = (double)sum / 1000;
    }
}

static void evaluate(struct pass_state *x, size_t i)
{
    const struct hpa_input *in = &x->spec->metrics[i];
    struct decision_metric *m = &x->d->metrics[i];
    struct err err = ERR_INIT;
    struct hpa_proposal p;

    if (propose(x, in, &p, &err) < 0) {
        m->state = METRIC_UNKNOWN;
        x->d->held = true;
        snprintf(m->why, sizeof(m->why), "%.239s", err.msg);
        decision_event(x->d, true, failure_reason(in), "%s", err.msg);
        if (x->invalid++ == 0) {
            x->first_reason = failure_reason(in);
            x->first_error = arena_strdup(&x->d->arena, str_of(err.msg));
        }
        return;
    }
    x->may_not_lower |= in->may_not_lower;
    m->average_milli = p.average_milli;
    m->value_milli = p.value_milli;
    m->utilization = p.utilization;
    m->proposal = p.replicas < 0 ? 0 : p.replicas;
    if (x->highest == 0 || p.replicas > x->highest) {
        x->highest = p.replicas;
        x->best = in->text;
    }
}

/* True: there is a proposal to go on with. */
static bool look_at_metrics(struct pass_state *x)
{
    struct decision *d = x->d;
    struct buf text = BUF_INIT;
    bool ok;

    d->has_metrics = true;
    for (size_t i = 0; i < x->spec->n; i++)
        evaluate(x, i);
    ok = x->invalid < x->spec->n && !(x->invalid > 0 && x->highest < x->scene->current);
    if (x->invalid < x->spec->n)
        d->proposal = x->highest < 0 ? 0 : x->highest;
    d->has_failed = x->invalid > 0;
    if (ok)
        buf_printf(&text, "the HPA was able to successfully calculate a replica count from %s",
                   x->best);
    else
        buf_printf(&text, "the HPA was unable to compute the replica count: %s",
                   x->first_error ? x->first_error : "it has no metrics");
    decision_set(d, "ScalingActive", ok ? "True" : "False",
                 ok                ? "ValidMetricFound"
                 : x->first_reason ? x->first_reason
                                   : "InvalidMetricSourceType",
                 buf_cstr(&text));
    buf_done(&text);
    if (!ok)
        decision_event(d, true, "FailedComputeMetricsReplicas",
                       "invalid metrics (%zu invalid out of %zu), first error is: %s", x->invalid,
                       x->spec->n, x->first_error ? x->first_error : "it has no metrics");
    d->has_failed |= !ok;
    return ok;
}

/* Nothing is decided, nothing remembered: as with a metric that failed, only without a failure. */
static bool is_held_back(struct pass_state *x)
{
    if (!x->may_not_lower || x->highest >= x->scene->current)
        return false;
    x->d->held = true;
    return true;
}

static bool check_selector(struct pass_state *x)
{
    const struct hpa_scene *s = x->scene;
    bool is_ambiguous;

    if (!s->selector_reason)
        return true;
    is_ambiguous = strcmp(s->selector_reason, "AmbiguousSelector") == 0;
    decision_event(x->d, true, s->selector_reason, "%s", s->selector_error);
    decision_set(x->d, "ScalingActive", "False",
                 is_ambiguous ? "AmbiguousSelector" : "InvalidSelector", s->selector_error);
    decision_event(x->d, true, "FailedComputeMetricsReplicas", "%s", s->selector_error);
    x->d->has_failed = true;
    return false;
}

/* --- from the proposal to a size (11, 12) --- */

/* For texts: until when the size is held, as long as nothing else is seen. */
static int64_t held_until(const struct pass_state *x)
{
    const struct decision *d = x->d;
    bool is_down = strcmp(d->stabilize_reason, "ScaleDownStabilized") == 0;
    int64_t window = !x->spec->has_behavior ? x->c->downscale_window_ms
                     : is_down              ? x->spec->down.window_s * 1000
                                            : x->spec->up.window_s * 1000,
            until = 0;

    if (is_down || strcmp(d->stabilize_reason, "ScaleUpStabilized") == 0)
        until =
            hpa_held_until(&x->memory->recommendations, d->mono_ms, d->stabilized, is_down, window);
    return until ? d->at_ms + until - d->mono_ms : 0;
}

static void normalise(struct pass_state *x, int64_t desired)
{
    const struct hpa_spec *s = x->spec;
    struct hpa_memory *m = x->memory;
    struct decision *d = x->d;

    if (s->has_behavior) {
        d->stabilized = hpa_stabilize(&m->recommendations, d->mono_ms, d->current, desired,
                                      s->up.window_s, s->down.window_s, &d->stabilize_reason);
        d->desired = hpa_limit_rate(d->mono_ms, d->current, d->stabilized, s->min, s->max, &s->up,
                                    &s->down, &m->ups, &m->downs, &d->limit_reason);
    } else {
        int64_t start = d->current;

        if (x->c->classic_period_s)
            start += hpa_history_sum(&m->downs, d->mono_ms, x->c->classic_period_s) -
                     hpa_history_sum(&m->ups, d->mono_ms, x->c->classic_period_s);
        d->stabilized = hpa_stabilize_classic(&m->recommendations, d->mono_ms, desired,
                                              x->c->downscale_window_ms, &d->stabilize_reason);
        d->desired =
            hpa_limit_classic(start, d->current, d->stabilized, s->min, s->max, &d->limit_reason);
    }
    d->held_until_ms = held_until(x);
    set(d, d->stabilize_reason);
    set(d, d->limit_reason);
}

static bool has_whole_metric(const struct hpa_spec *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (!s->metrics[i].is_unknown_type &&
            (s->metrics[i].metric.type == HPA_OBJECT || s->metrics[i].metric.type == HPA_EXTERNAL))
            return true;
    return false;
}

static bool wants_second_look(struct pass_state *x)
{
    struct decision *d = x->d;

    d->first_look = x->memory->first_look;
    x->memory->first_look = 0;
    if (!x->scene->may_look_again || d->first_look || d->proposal <= d->current)
        return false;
    x->memory->first_look = d->proposal;
    d->looks_again = true;
    return true;
}

static void compute(struct pass_state *x)
{
    struct decision *d = x->d;
    int64_t wanted;

    if (!check_selector(x) || !look_at_metrics(x) || is_held_back(x) || wants_second_look(x))
        return;
    wanted = d->first_look && d->first_look < d->proposal ? d->first_look : d->proposal;
    if (d->proposal > d->current)
        d->rescale_reason = arena_printf(&d->arena, "%s above target", x->best).p;
    else if (d->proposal < d->current)
        d->rescale_reason = "All metrics below target";
    normalise(x, wanted);
    if (d->current == 0 && x->spec->min != 0 && x->scene->was_scaled_to_zero &&
        x->c->scale_to_zero && d->desired < x->spec->min) {
        d->desired = x->spec->min;
        if (!*d->rescale_reason)
            d->rescale_reason = "Current number of replicas below Spec.MinReplicas";
    }
    d->is_rescale = d->desired != d->current;
}

void hpa_pass_begin(const struct hpa_spec *spec, const struct hpa_scene *scene, struct decision *d)
{
    d->at_ms = scene->now_ms;
    d->mono_ms = scene->mono_ms;
    d->min = spec->min;
    d->max = spec->max;
    d->current = d->desired = d->stabilized = scene->current;
    d->proposal = -1;
    d->stabilize_reason = d->limit_reason = d->rescale_reason = d->other_reason = "";
    d->n = spec->n;
    d->metrics = arena_alloc(&d->arena, (d->n + 1) * sizeof(*d->metrics));
    for (size_t i = 0; i < d->n; i++)
        show(&spec->metrics[i], &d->metrics[i]);
    for (size_t i = 0; i < scene->n_pods; i++)
        d->ready +=
            scene->pods[i].phase == HPA_PHASE_RUNNING && scene->pods[i].ready == HPA_READY_TRUE;
}

/* What was decided before a start may not be known, or not to its end: a size that nothing
 * remembered accounts for counts as a recommendation. */
static void remember_start(struct pass_state *x)
{
    struct hpa_memory *m = x->memory;
    bool is_known = false;

    m->recommendations.coalesces = x->c->coalesces;
    for (size_t i = 0; !m->has_started && i < m->recommendations.n; i++)
        is_known |= m->recommendations.items[i].replicas >= x->scene->current;
    if (!m->has_started && !is_known)
        hpa_history_add(&m->recommendations,
                        (struct hpa_entry){x->scene->current, x->scene->mono_ms, false});
    m->has_started = true;
}

static void jump(struct decision *d, int64_t to, const char *why)
{
    d->desired = d->stabilized = to;
    d->is_rescale = true;
    d->rescale_reason = why;
}

void hpa_pass(const struct hpa_config *c, const struct hpa_spec *spec,
              const struct hpa_scene *scene, struct hpa_memory *memory, struct decision *d)
{
    struct pass_state x = {.c = c, .spec = spec, .scene = scene, .memory = memory, .d = d};
    struct buf text = BUF_INIT;
    bool mark = c->scale_to_zero && scene->was_scaled_to_zero;

    *d = (struct decision){.arena = {.first = 1024}}; /* the last one of every HPA is kept */
    hpa_pass_begin(spec, scene, d);
    if (scene->scale_error) {
        buf_printf(&text, "the HPA controller was unable to get the target's current scale: %s",
                   scene->scale_error);
        decision_event(d, true, "FailedGetScale", "%s", scene->scale_error);
        decision_set(d, "AbleToScale", "False", "FailedGetScale", buf_cstr(&text));
        buf_done(&text);
        d->has_failed = true;
        return;
    }
    set(d, "SucceededGetScale");
    remember_start(&x);
    if (d->current == 0 && !(mark && (spec->min != 0 || has_whole_metric(spec)))) {
        set(d, "ScalingDisabled");
        if (!c->scale_to_zero)
            decision_set(d, "ScaledToZero", NULL, "", "");
    } else if (d->current > spec->max) {
        jump(d, spec->max, "Current number of replicas above Spec.MaxReplicas");
    } else if (d->current != 0 && d->current < spec->min) {
        jump(d, spec->min, "Current number of replicas below Spec.MinReplicas");
    } else {
        compute(&x);
    }
}

/* --- the outcome (13, 14) --- */

static void remember_change(const struct hpa_config *c, const struct hpa_spec *s,
                            struct hpa_memory *m, const struct decision *d)
{
    bool is_up = d->desired > d->current;
    int64_t period = s->has_behavior       ? hpa_rules_longest_period(is_up ? &s->up : &s->down)
                     : c->classic_period_s ? c->classic_period_s
                                           : -1;

    hpa_history_changed(is_up ? &m->ups : &m->downs,
                        is_up ? d->desired - d->current : d->current - d->desired, d->mono_ms,
                        period);
}

void hpa_pass_written(const struct hpa_config *c, const struct hpa_spec *spec,
                      struct hpa_memory *memory, struct decision *d, const char *error)
{
    struct buf text = BUF_INIT;

    if (error) {
        buf_printf(&text, "the HPA controller was unable to update the target scale: %s", error);
        decision_event(d, true, "FailedRescale", "New size: %lld; reason: %s; error: %s",
                       (long long)d->desired, d->rescale_reason, error);
        decision_set(d, "AbleToScale", "False", "FailedUpdateScale", buf_cstr(&text));
        d->has_failed = true;
        d->is_rescale = false;
        d->desired = d->current;
        buf_done(&text);
        return;
    }
    buf_printf(&text, "the HPA controller was able to update the target scale to %lld",
               (long long)d->desired);
    decision_set(d, "AbleToScale", "True", "SucceededRescale", buf_cstr(&text));
    buf_done(&text);
    decision_event(d, false, "SuccessfulRescale", "New size: %lld; reason: %s",
                   (long long)d->desired, d->rescale_reason);
    if (!c->scale_to_zero)
        decision_set(d, "ScaledToZero", NULL, "", "");
    else
        set(d, d->current > 0 && d->desired == 0 && spec->min == 0 && has_whole_metric(spec)
                   ? "ScaledToZero"
                   : "NotScaledToZero");
    remember_change(c, spec, memory, d);
}
