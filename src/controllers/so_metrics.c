/* SPDX-License-Identifier: Apache-2.0
 *
 * The series of keda.md 7.1 that are about ScaledObjects and what their triggers say; those about
 * asking are the triggers' own (triggers/hub.h). */
#include <string.h>

#include "base/mem.h"
#include "controllers/so_int.h"
#include "kube/validations.h"

#define KEDA_VERSION "2.18.0"

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: a trigger may be called anything. */
static void add_value(struct buf *out, const char *v)
{
    for (; *v; v++) {
        if (*v == '\n')
            buf_add_cstr(out, "\\n");
        else if (*v == '"' || *v == '\\')
            buf_printf(out, "\\%c", *v);
        else
            buf_add_char(out, *v);
    }
}

static void open_series(struct buf *out, const char *name, const struct scaler *s,
                        const char *metric, const char *scaler, size_t index)
{
    buf_printf(out, "%s{metric=\"", name);
    add_value(out, metric);
    buf_printf(out, "\",namespace=\"%s\",scaledObject=\"%s\",scaler=\"", s->ns, s->name);
    add_value(out, scaler);
    buf_printf(out, "\",triggerIndex=\"%zu\",type=\"scaledobject\"} ", index);
}

/* --- one series a trigger --- */

typedef void each_fn(struct buf *out, const struct scaler *s, size_t i);

static void add_metric_value(struct buf *out, const struct scaler *s, size_t i)
{
    const struct so_trigger *t = &s->triggers[i];
    bool has_fallback = t->fallen.has_value;

    if (!trigger_is_external(t->t) || (t->seen.state == METRIC_UNKNOWN && !has_fallback) ||
        !t->seen.is_asked)
        return;
    open_series(out, "keda_scaler_metrics_value", s, trigger_metric_name(t->t),
                trigger_scaler(t->t), i);
    buf_printf(out, "%.17g\n", has_fallback ? (double)t->fallen.milli / 1000 : t->seen.value);
}

/* With a formula only its result can be active; cpu and memory always are. */
static void add_active(struct buf *out, const struct scaler *s, size_t i)
{
    const struct so_trigger *t = &s->triggers[i];
    bool is_external = trigger_is_external(t->t);
    struct decision_metric m;

    if (s->formula || (is_external && !t->seen.is_asked))
        return;
    so_seen_metric(t, &m);
    open_series(out, "keda_scaler_active", s, trigger_metric_name(t->t), trigger_scaler(t->t), i);
    buf_printf(out, "%d\n", !is_external || trigger_is_active(t->t, &m));
}

static void add_errors(struct buf *out, const struct scaler *s, size_t i)
{
    const struct so_trigger *t = &s->triggers[i];

    if (!t->errors && (!trigger_is_external(t->t) || !t->seen.is_asked))
        return;
    open_series(out, "keda_scaler_detail_errors_total", s, trigger_metric_name(t->t),
                trigger_scaler(t->t), i);
    buf_printf(out, "%llu\n", (unsigned long long)t->errors);
}

static void each_trigger(const struct scaledobject_controller *c, struct buf *out, each_fn *fn)
{
    size_t i = 0;
    void *v;

    while (table_next(&c->scalers, &i, NULL, &v)) {
        const struct scaler *s = v;

        for (size_t k = 0; k < s->n; k++)
            fn(out, s, k);
    }
}

/* What a formula makes of them: one metric of its own. */
static void each_composite(const struct scaledobject_controller *c, struct buf *out, bool active)
{
    size_t i = 0;
    void *v;

    while (table_next(&c->scalers, &i, NULL, &v)) {
        const struct scaler *s = v;
        struct decision_span span;
        struct decision d;

        if (!s->formula || !decision_log_get(&s->run.log, 0, &d, &span))
            continue;
        for (size_t k = 0; k < d.n; k++) {
            const struct decision_metric *m = &d.metrics[k];

            if (strcmp(m->name, KEDA_COMPOSITE) != 0 || m->state == METRIC_UNKNOWN)
                continue;
            open_series(out, active ? "keda_scaler_active" : "keda_scaler_metrics_value", s,
                        KEDA_COMPOSITE, KEDA_COMPOSITE, 0);
            buf_printf(out, "%.17g\n",
                       active ? (double)(m->value > s->spec.modifiers.activation) : m->value);
        }
        decision_done(&d);
    }
}

/* --- one series an object --- */

static bool is_paused(struct scaler *s)
{
    const struct object *o =
        cluster_get(so_cluster(s->c), KIND_SCALEDOBJECT, str_of(s->ns), str_of(s->name));

    if (o)
        so_scaler_see(s, o);
    return o && s->pauses.full;
}

static void each_object(const struct scaledobject_controller *c, struct buf *out, bool paused)
{
    size_t i = 0;
    void *v;

    while (table_next(&c->scalers, &i, NULL, &v)) {
        struct scaler *s = v;
        uint64_t errors = s->errors;

        for (size_t k = 0; k < s->n; k++)
            errors += s->triggers[k].errors;
        buf_printf(out, "%s{namespace=\"%s\",scaledObject=\"%s\"} %llu\n",
                   paused ? "keda_scaled_object_paused" : "keda_scaled_object_errors_total", s->ns,
                   s->name, (unsigned long long)(paused ? is_paused(s) : errors));
    }
}

static void each_lateness(const struct scaledobject_controller *c, struct buf *out)
{
    size_t i = 0;
    void *v;

    while (table_next(&c->scalers, &i, NULL, &v)) {
        const struct scaler *s = v;

        if (s->is_running)
            buf_printf(out,
                       "keda_internal_scale_loop_latency_seconds{namespace=\"%s\",resource=\"%s\","
                       "type=\"scaledobject\"} %.9g\n",
                       s->ns, s->name, s->late_s > 0 ? s->late_s : 0);
    }
}

/* --- how many objects there are --- */

struct counts {
    struct str ns; /* of those that are counted now */
    size_t n;
    struct buf *out;
    const char *type;
};

static void write_count(const struct counts *c)
{
    if (c->n)
        buf_printf(c->out, "keda_resource_registered_total{namespace=\"%.*s\",type=\"%s\"} %zu\n",
                   STR_ARG(c->ns.n ? c->ns : STR("default")), c->type, c->n);
}

static void count(void *arg, const struct object *o)
{
    struct counts *c = arg;

    if (!str_eq(c->ns, o->ns)) { /* they come in order of namespace */
        write_count(c);
        c->ns = o->ns;
        c->n = 0;
    }
    c->n++;
}

static void count_kind(struct cluster *cluster, enum kind_id kind, const char *type,
                       struct buf *out)
{
    struct counts c = {.ns = STR(""), .out = out, .type = type};

    cluster_each(cluster, kind, STR(""), NULL, count, &c);
    write_count(&c);
}

void scaledobject_metrics(struct scaledobject_controller *c, struct buf *out)
{
    struct cluster *cluster = so_cluster(c);

    head(out, "keda_build_info", "gauge", "The version of KEDA that this behaves like.");
    buf_add_cstr(out, "keda_build_info{version=\"" KEDA_VERSION
                      "\",git_commit=\"\",goversion=\"\",goos=\"linux\",goarch=\"amd64\"} 1\n");
    head(out, "keda_scaler_metrics_value", "gauge", "Last value of a trigger.");
    each_trigger(c, out, add_metric_value);
    each_composite(c, out, false);
    head(out, "keda_scaler_active", "gauge", "Whether a trigger is active.");
    each_trigger(c, out, add_active);
    each_composite(c, out, true);
    head(out, "keda_scaler_detail_errors_total", "counter", "Failures of a trigger, one a poll.");
    each_trigger(c, out, add_errors);
    head(out, "keda_scaled_object_errors_total", "counter", "Failures of a ScaledObject.");
    each_object(c, out, false);
    head(out, "keda_scaled_object_paused", "gauge", "Whether a ScaledObject is paused.");
    each_object(c, out, true);
    head(out, "keda_internal_scale_loop_latency_seconds", "gauge",
         "How long after it was due the last look of a ScaledObject's loop was.");
    each_lateness(c, out);
    head(out, "keda_resource_registered_total", "gauge", "Objects there are.");
    count_kind(cluster, KIND_SCALEDOBJECT, "scaled_object", out);
    count_kind(cluster, KIND_TRIGGERAUTHENTICATION, "trigger_authentication", out);
    count_kind(cluster, KIND_CLUSTERTRIGGERAUTHENTICATION, "cluster_trigger_authentication", out);
    validations_metrics(cluster->validations, out);
}
