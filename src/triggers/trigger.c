/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/trigger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "codec/quantity.h"
#include "triggers/metric_name.h"
#include "triggers/trigger_int.h"

static const struct trigger_type *const types[] = {
    &trigger_prometheus, &trigger_cron, &trigger_workload, &trigger_cpu, &trigger_memory};

static const struct trigger_type *type_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (strcmp(types[i]->name, name) == 0)
            return types[i];
    return NULL;
}

static int unknown_type(const char *name, struct err *err)
{
    struct buf known = BUF_INIT;

    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        buf_printf(&known, "%s%s", i ? ", " : "", types[i]->name);
    err_set(err, ERR_INVALID, "no scaler found for type: %s; those that exist here: %s", name,
            buf_cstr(&known));
    buf_done(&known);
    return ERR_INVALID;
}

static int check_metric_type(const struct trigger *t, struct err *err)
{
    static const char *const known[] = {"", "AverageValue", "Value"};

    if (!t->type->is_external)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(t->metric_type, known[i]) == 0)
            return 0;
    return err_set(err, ERR_INVALID,
                   "error getting scaler metric type: metricType '%s' is not AverageValue or "
                   "Value (Utilization is only for cpu and memory)",
                   t->metric_type);
}

/* What would be left out silently changes who is asked, and as whom. */
static int check_authentication(const json_t *spec, struct err *err)
{
    const char *name = json_text(spec, "authenticationRef.name", "");

    return *name ? err_set(err, ERR_UNSUPPORTED,
                           "authenticationRef '%s': TriggerAuthentications are not used by this "
                           "version; put what is no secret into customHeaders",
                           name)
                 : 0;
}

int trigger_new(const struct trigger_options *o, struct trigger **ret, struct err *err)
{
    const char *name = json_text(o->spec, "type", "");
    const json_t *meta = json_object_get(o->spec, "metadata");
    const struct trigger_type *type = type_of(name);
    struct err wrong = ERR_INIT;
    struct trigger *t;

    if (!type)
        return unknown_type(name, err);
    t = mem_zalloc(type->size);
    t->type = type;
    t->w = o->world;
    t->ns = str_dup(o->ns);
    t->index = o->index;
    t->poll_ms = o->poll_ms;
    t->metric_type = mem_strdup(json_text(o->spec, "metricType", ""));
    t->is_average = strcmp(t->metric_type, "Value") != 0;
    t->changed = o->changed;
    t->changed_arg = o->arg;
    t->name = type->is_external ? trigger_metric_name_of(name, o->index, meta, o->ns, NULL)
                                : mem_strdup(name);
    if (check_metric_type(t, &wrong) < 0 || check_authentication(o->spec, &wrong) < 0 ||
        type->parse(t, meta, &wrong) < 0) {
        trigger_free(t);
        return err_set(err, wrong.code, "%s", wrong.msg);
    }
    if (type->start)
        type->start(t);
    *ret = t;
    return 0;
}

void trigger_free(struct trigger *t)
{
    if (!t)
        return;
    if (t->type->done)
        t->type->done(t);
    free(t->ns);
    free(t->name);
    free(t->query);
    free(t->metric_type);
    free(t);
}

const char *trigger_metric_name(const struct trigger *t)
{
    return t->name;
}

bool trigger_is_external(const struct trigger *t)
{
    return t->type->is_external;
}

double trigger_activation(const struct trigger *t)
{
    return t->activation;
}

bool trigger_is_waiting(const struct trigger *t)
{
    return t->type->is_waiting && t->type->is_waiting(t);
}

bool trigger_is_builtin(const struct trigger *t)
{
    return t->type->is_builtin && t->type->is_builtin(t);
}

json_t *trigger_metric_spec(const struct trigger *t, const char *so_name)
{
    struct quantity q = quantity_of_double(t->threshold);
    char text[64];

    if (t->type->metric_spec)
        return t->type->metric_spec(t);
    return json_pack("{s:s,s:{s:{s:s,s:{s:{s:s}}},s:{s:s,s:s}}}", "type", "External", "external",
                     "metric", "name", t->name, "selector", "matchLabels",
                     "scaledobject.keda.sh/name", so_name, "target", "type",
                     t->is_average ? "AverageValue" : "Value",
                     t->is_average ? "averageValue" : "value", quantity_text(&q, text));
}

void trigger_unknown(struct decision_metric *m, const char *why)
{
    m->state = METRIC_UNKNOWN;
    snprintf(m->why, sizeof(m->why), "%.239s", why);
}

void trigger_value(struct trigger *t, int64_t now, const struct trigger_target *target,
                   struct decision_metric *m, char *warning, size_t cap)
{
    *m = (struct decision_metric){.state = METRIC_UNKNOWN, .is_average = t->is_average};
    snprintf(m->name, sizeof(m->name), "%.79s", t->name);
    snprintf(m->query, sizeof(m->query), "%.159s", t->query);
    warning[0] = '\0';
    t->type->value(t, now, target, m, warning, cap);
}
