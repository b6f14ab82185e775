/* SPDX-License-Identifier: Apache-2.0
 *
 * One evaluation: trigger values -> the HPA's arithmetic -> a size, with its reason into event,
 * condition, log and status. The limits come from the HPA object, so that what is written there
 * counts. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/quantity.h"
#include "controllers/so_int.h"

#define STATUS_MS 15000
#define CLASSIC_DOWN_MS 300000

/* spec.behavior of the HPA; without one the classic rules hold. */
struct behavior {
    bool is_set;
    struct hpa_rules up, down;
    struct hpa_tolerance tolerance;
};

static void read_behavior(const json_t *hpa, struct behavior *b)
{
    const json_t *json = json_at(hpa, "spec.behavior");

    b->is_set = json_is_object(json);
    hpa_rules_read(json_object_get(json, "scaleUp"), HPA_UP, &b->up);
    hpa_rules_read(json_object_get(json, "scaleDown"), HPA_DOWN, &b->down);
    b->tolerance = (struct hpa_tolerance){.down = b->down.tolerance >= 0 ? b->down.tolerance : 0.1,
                                          .up = b->up.tolerance >= 0 ? b->up.tolerance : 0.1};
}

/* --- deciding --- */

static void propose(struct scaler *s, struct decision *d, const struct trigger_target *target,
                    struct hpa_tolerance tolerance, int64_t status_replicas, struct buf *warnings)
{
    d->proposal = -1;
    for (size_t i = 0; i < s->n && d->n < DECISION_METRICS_MAX; i++) {
        struct decision_metric *m = &d->metrics[d->n++];
        char warning[300];
        int64_t milli;

        trigger_value(s->triggers[i], d->at_ms, target, m, warning, sizeof(warning));
        if (*warning)
            buf_add_cstr(warnings, warning);
        if (m->state == METRIC_UNKNOWN) {
            d->held = true;
            continue;
        }
        milli = quantity_milli(&(struct quantity){.nano = quantity_of_double(m->value).nano});
        if (m->is_average)
            m->proposal = hpa_average_value(status_replicas, milli, m->target_milli, tolerance,
                                            &m->average_milli);
        else
            m->proposal = hpa_value(d->current, d->ready, milli, m->target_milli, tolerance);
        m->proposal = m->proposal < 0 ? 0 : m->proposal;
        d->proposal = m->proposal > d->proposal ? m->proposal : d->proposal;
    }
}

static bool is_active(const struct scaler *s, const struct decision *d)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->metrics[i].state != METRIC_UNKNOWN &&
            d->metrics[i].value > trigger_activation(s->triggers[i]))
            return true;
    return false;
}

/* From the proposal to a size the HPA's limits and windows allow. */
static void normalise(struct scaler *s, struct decision *d, const struct behavior *b,
                      int64_t wanted)
{
    const char *reason, *limit;

    if (s->recommendations.n == 0) /* what was decided before a restart is not known: be slow */
        hpa_history_add(&s->recommendations, (struct hpa_entry){d->current, d->at_ms, false});
    if (b->is_set) {
        d->stabilized = hpa_stabilize(&s->recommendations, d->at_ms, d->current, wanted,
                                      b->up.window_s, b->down.window_s, &reason);
        d->desired = hpa_limit_rate(d->at_ms, d->current, d->stabilized, d->min, d->max, &b->up,
                                    &b->down, &s->ups, &s->downs, &limit);
    } else {
        d->stabilized = hpa_stabilize_classic(&s->recommendations, d->at_ms, wanted,
                                              CLASSIC_DOWN_MS, &reason);
        d->desired = hpa_limit_classic(d->current, d->stabilized, d->min, d->max, &limit);
    }
    if (d->desired > d->max) {
        d->desired = d->max;
        limit = "TooManyReplicas";
    } else if (d->desired < d->min) {
        d->desired = d->min;
        limit = "TooFewReplicas";
    }
    snprintf(d->stabilize_reason, sizeof(d->stabilize_reason), "%s", reason);
    snprintf(d->limit_reason, sizeof(d->limit_reason), "%s", limit);
}

static void decide(struct scaler *s, struct decision *d, const struct behavior *b,
                   struct buf *warnings, int64_t status_replicas)
{
    struct trigger_target target = {str_of(s->ns), str_of(s->target), d->ready};
    int64_t wanted;

    propose(s, d, &target, b->tolerance, status_replicas, warnings);
    wanted = d->proposal < 0 ? d->current : d->proposal;
    if (d->held && wanted < d->current)
        wanted = d->current; /* what is not known may be load */
    normalise(s, d, b, wanted);
}

/* --- telling --- */

/* The scaler may have gone before its write is answered: it is found again by uid. */
struct scale_call {
    struct scaledobject_controller *c;
    char uid[64];
};

static void on_scaled(void *arg, const struct object *now, const struct err *err)
{
    struct scale_call *call = arg;
    struct scaler *s = table_get(&call->c->scalers, str_of(call->uid));

    (void)now;
    if (err && err->code != ERR_NOT_FOUND)
        log_warn("autoscale", "the scale could not be written: %s", err->msg);
    if (s)
        s->write_open = false;
    free(call);
}

static void write_scale(struct scaler *s, const struct decision *d, const struct behavior *b,
                        const struct object *so, const struct object *hpa)
{
    struct cluster *c = so_cluster(s->c);
    AUTO_JSON json_t *patch = json_pack("{s:{s:I}}", "spec", "replicas", (json_int_t)d->desired);
    struct scale_call *call = mem_zalloc(sizeof(*call));
    char text[900];

    call->c = s->c;
    snprintf(call->uid, sizeof(call->uid), "%s", s->uid);
    decision_text(d, text, sizeof(text));
    s->write_open = true;
    cluster_write(c,
                  &(struct cluster_write){.verb = CLUSTER_MERGE_PATCH,
                                          .kind = KIND_DEPLOYMENT,
                                          .ns = str_of(s->ns),
                                          .name = str_of(s->target),
                                          .subresource = "scale",
                                          .tree = patch,
                                          .manager = HPA_COMPONENT},
                  on_scaled, call);
    if (d->desired > d->current)
        hpa_history_changed(&s->ups, d->desired - d->current, d->at_ms,
                            b->is_set ? hpa_rules_longest_period(&b->up) : -1);
    else
        hpa_history_changed(&s->downs, d->current - d->desired, d->at_ms,
                            b->is_set ? hpa_rules_longest_period(&b->down) : -1);
    log_info("autoscale", "%s/%s: %lld -> %s", s->ns, s->name, (long long)d->current, text);
    event_emit(c, SO_COMPONENT, so, EVENT_NORMAL, "ScalingDecision", "from %lld to %s",
               (long long)d->current, text);
    event_emit(c, HPA_COMPONENT, hpa, EVENT_NORMAL, "SuccessfulRescale",
               "New size: %lld; reason: %s", (long long)d->desired,
               d->desired > d->current ? "external metric above target"
                                       : "All metrics below target");
}

static void ignore(void *arg, const struct object *now, const struct err *err)
{
    (void)arg;
    (void)now;
    (void)err;
}

static json_t *current_metrics(const struct decision *d)
{
    json_t *list = json_array();

    for (size_t i = 0; i < d->n; i++) {
        const struct decision_metric *m = &d->metrics[i];
        struct quantity q =
            m->is_average ? quantity_of_milli(m->average_milli) : quantity_of_double(m->value);
        char text[64];

        if (m->state == METRIC_UNKNOWN)
            continue;
        json_array_append_new(list, json_pack("{s:s,s:{s:{s:s},s:{s:s}}}", "type", "External",
                                              "external", "metric", "name", m->name, "current",
                                              m->is_average ? "averageValue" : "value",
                                              quantity_text(&q, text)));
    }
    return list;
}

/* Status of the HPA: at once where replicas or a condition changed, else every 15 s. */
static void write_hpa_status(struct scaler *s, const struct decision *d, const struct object *o,
                             const json_t *hpa)
{
    json_t *status =
        json_at(hpa, "status") ? json_deep_copy(json_at(hpa, "status")) : json_object();
    json_t *list = json_object_get(status, "conditions");
    bool changed = false, known = d->proposal >= 0,
         limited = strcmp(d->limit_reason, "DesiredWithinRange") != 0;
    AUTO_JSON json_t *body = NULL;
    char time[TIME_TEXT_MAX], text[400];

    if (!list) {
        list = json_array();
        json_object_set_new(status, "conditions", list);
    }
    changed |= set_condition(list, "AbleToScale", "True", d->stabilize_reason,
                             strcmp(d->stabilize_reason, "ReadyForNewScale") == 0
                                 ? "recommended size matches current size"
                                 : "recent recommendations were higher than current one, applying "
                                   "the highest recent recommendation",
                             d->at_ms, "lastTransitionTime");
    if (known)
        snprintf(text, sizeof(text),
                 "the HPA was able to successfully calculate a replica count from external metric "
                 "%.80s(&LabelSelector{MatchLabels:map[string]string{scaledobject.keda.sh/name: "
                 "%.120s,},MatchExpressions:[]LabelSelectorRequirement{},})",
                 d->metrics[0].name, s->name);
    else
        snprintf(text, sizeof(text), "the HPA was unable to compute the replica count: %.300s",
                 d->n ? d->metrics[0].why : "no metrics");
    changed |= set_condition(list, "ScalingActive", known ? "True" : "False",
                             known ? "ValidMetricFound" : "FailedGetExternalMetric", text, d->at_ms,
                             "lastTransitionTime");
    changed |=
        set_condition(list, "ScalingLimited", limited ? "True" : "False", d->limit_reason,
                      strcmp(d->limit_reason, "TooFewReplicas") == 0
                          ? "the desired replica count is less than the minimum replica count"
                      : strcmp(d->limit_reason, "TooManyReplicas") == 0
                          ? "the desired replica count is more than the maximum replica count"
                      : limited ? "the desired replica count is increasing or decreasing faster "
                                  "than the maximum scale rate"
                                : "the desired count is within the acceptable range",
                      d->at_ms, "lastTransitionTime");
    changed |= json_int(status, "currentReplicas", -1) != d->current ||
               json_int(status, "desiredReplicas", -1) != d->desired;
    if (changed || d->at_ms - s->hpa_written_ms >= STATUS_MS) {
        json_object_set_new(status, "currentReplicas", json_integer(d->current));
        json_object_set_new(status, "desiredReplicas", json_integer(d->desired));
        json_object_set_new(status, "currentMetrics", current_metrics(d));
        if (d->desired != d->current)
            json_object_set_new(status, "lastScaleTime", json_string(time_rfc3339(d->at_ms, time)));
        body = json_pack("{s:{s:o,s:o},s:O}", "metadata", "name", json_str_new(o->name),
                         "namespace", json_str_new(o->ns), "status", status);
        s->hpa_written_ms = d->at_ms;
        cluster_write(so_cluster(s->c),
                      &(struct cluster_write){.verb = CLUSTER_UPDATE,
                                              .kind = KIND_HPA,
                                              .ns = o->ns,
                                              .name = o->name,
                                              .subresource = "status",
                                              .tree = body,
                                              .manager = HPA_COMPONENT},
                      ignore, NULL);
    }
    json_decref(status);
}

static void write_so_status(struct scaler *s, const struct decision *d, const struct object *o,
                            const json_t *so, bool active)
{
    json_t *status = json_at(so, "status") ? json_deep_copy(json_at(so, "status")) : NULL;
    json_t *list = json_object_get(status, "conditions");
    AUTO_JSON json_t *body = NULL;
    char time[TIME_TEXT_MAX];
    bool changed = false, failed = d->proposal < 0, any_failed = d->held;

    if (!list) { /* the reconciler makes the first one */
        json_decref(status);
        return;
    }
    changed |= set_condition(list, "Active", active ? "True" : "False",
                             active ? "ScalerActive" : "ScalerNotActive",
                             active ? "Scaling is performed because triggers are active"
                                    : "Scaling is not performed because triggers are not active",
                             d->at_ms, NULL);
    if (failed)
        changed |= set_condition(list, "Ready", "False", "TriggerError",
                                 d->n ? d->metrics[0].why : "no trigger", d->at_ms, NULL);
    else if (any_failed)
        changed |= set_condition(list, "Ready", "Unknown", "PartialTriggerError",
                                 "some triggers do not work; see the events", d->at_ms, NULL);
    else
        changed |= set_condition(list, "Ready", "True", "ScaledObjectReady",
                                 "ScaledObject is defined correctly and is ready for scaling",
                                 d->at_ms, NULL);
    if (changed || (active && d->at_ms - s->status_written_ms >= STATUS_MS)) {
        if (active)
            json_object_set_new(status, "lastActiveTime",
                                json_string(time_rfc3339(d->at_ms, time)));
        body = json_pack("{s:{s:o,s:o},s:O}", "metadata", "name", json_str_new(o->name),
                         "namespace", json_str_new(o->ns), "status", status);
        s->status_written_ms = d->at_ms;
        cluster_write(so_cluster(s->c),
                      &(struct cluster_write){.verb = CLUSTER_UPDATE,
                                              .kind = KIND_SCALEDOBJECT,
                                              .ns = o->ns,
                                              .name = o->name,
                                              .subresource = "status",
                                              .tree = body,
                                              .manager = SO_COMPONENT},
                      ignore, NULL);
    }
    json_decref(status);
}

static void warn_once(struct scaler *s, const struct object *so, const struct decision *d,
                      const struct buf *warnings)
{
    const char *why = "";

    for (size_t i = 0; i < d->n && !*why; i++)
        if (d->metrics[i].state == METRIC_UNKNOWN)
            why = d->metrics[i].why;
    if (*why && strcmp(why, s->unknown_why) != 0 && strcmp(why, "no answer yet") != 0 &&
        s->has_last)
        event_emit(so_cluster(s->c), SO_COMPONENT, so, EVENT_WARNING, "KEDAScalerFailed",
                   "the count is held: %s", why);
    snprintf(s->unknown_why, sizeof(s->unknown_why), "%s", why);
    if (warnings->n && strcmp(buf_cstr(warnings), s->last_warning) != 0)
        event_emit(so_cluster(s->c), SO_COMPONENT, so, EVENT_WARNING, "QuerySpansWorkloads", "%s",
                   buf_cstr(warnings));
    snprintf(s->last_warning, sizeof(s->last_warning), "%s", buf_cstr(warnings));
}

/* --- at and around zero (keda.md 3.3, 3.4): below one replica KEDA decides, not the HPA --- */

static bool from_or_to_zero(struct scaler *s, struct decision *d, const json_t *so, bool active)
{
    int64_t min = json_int(so, "spec.minReplicaCount", 0),
            cooldown = json_int(so, "spec.cooldownPeriod", 300) * 1000, last = 0;

    if (active && d->current == 0) {
        d->desired = min > 0 ? min : 1;
        return true;
    }
    if (active || d->held || min > 0 || d->current == 0)
        return d->current == 0 && !active ? (d->desired = 0, true) : false;
    if (!time_parse(str_of(json_text(so, "status.lastActiveTime", "")), &last)) {
        time_parse(str_of(json_text(so, "metadata.creationTimestamp", "")), &last);
        cooldown = json_int(so, "spec.initialCooldownPeriod", 0) * 1000;
    }
    if (last + cooldown >= d->at_ms)
        return false;
    d->desired = 0;
    snprintf(d->limit_reason, sizeof(d->limit_reason), "DesiredWithinRange");
    return true;
}

void scaler_evaluate(struct scaler *s, int64_t now)
{
    struct cluster *c = so_cluster(s->c);
    const struct object *so = cluster_get(c, KIND_SCALEDOBJECT, str_of(s->ns), str_of(s->name));
    const struct object *target = cluster_get(c, KIND_DEPLOYMENT, str_of(s->ns), str_of(s->target)),
                        *hpa;
    AUTO_JSON json_t *so_tree = NULL, *hpa_tree = NULL, *tree = NULL;
    struct decision d = {.at_ms = now};
    struct behavior behavior;
    struct buf warnings = BUF_INIT;
    char name[260];
    bool active;

    /* while our own write is not in the cache: never act on our own past */
    if (!so || !target || so->deleting_ms || s->n == 0 || s->write_open)
        return;
    so_tree = object_tree(so);
    so_hpa_name(so_tree, name);
    hpa = cluster_get(c, KIND_HPA, str_of(s->ns), str_of(name));
    if (!hpa)
        return;
    tree = object_tree(target);
    hpa_tree = object_tree(hpa);
    d.current = json_int(tree, "spec.replicas", 1);
    d.ready = json_int(tree, "status.readyReplicas", 0);
    d.min = json_int(hpa_tree, "spec.minReplicas", 1);
    d.max = json_int(hpa_tree, "spec.maxReplicas", d.min);
    read_behavior(hpa_tree, &behavior);
    decide(s, &d, &behavior, &warnings, json_int(tree, "status.replicas", 0));
    active = is_active(s, &d);
    from_or_to_zero(s, &d, so_tree, active);
    if (d.desired != d.current)
        write_scale(s, &d, &behavior, so, hpa);
    write_hpa_status(s, &d, hpa, hpa_tree);
    write_so_status(s, &d, so, so_tree, active);
    warn_once(s, so, &d, &warnings);
    s->last = d;
    s->has_last = true;
    buf_done(&warnings);
}
