/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu and memory: nothing is fetched here. They become Resource or ContainerResource metrics of the
 * HPA, which looks for the usage itself. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "codec/quantity.h"
#include "triggers/trigger_int.h"

struct resource {
    struct trigger t;
    char *container;
    int64_t percent;
};

static int parse(struct trigger *t, const json_t *meta, struct err *err)
{
    struct resource *r = (struct resource *)t;
    bool is_percent = strcmp(t->metric_type, "Utilization") == 0;
    struct quantity q;

    if (!is_percent && strcmp(t->metric_type, "AverageValue") != 0)
        meta_wrong(t, err, "unsupported metricType '%s': it must be Utilization or AverageValue",
                   t->metric_type);
    if (json_object_get(meta, "type"))
        meta_wrong(t, err, "\"type\" is gone since KEDA 2.18: use metricType beside metadata");
    r->container = meta_text(t, meta, "containerName");
    if (meta_required(t, meta, "value", &t->query, err) < 0)
        return err->code;
    if (is_percent
            ? !str_to_i64(str_of(t->query), &r->percent) || r->percent < 1 || r->percent > INT32_MAX
            : quantity_parse(str_of(t->query), &q, NULL) < 0)
        meta_wrong(t, err, "unable to set param \"value\" value \"%s\": %s is expected", t->query,
                   is_percent ? "a percentage without the sign" : "a quantity");
    return err->code;
}

static void done(struct trigger *t)
{
    free(((struct resource *)t)->container);
}

static void value(struct trigger *t, int64_t now, const struct trigger_target *target,
                  struct decision_metric *m, char *warning, size_t cap)
{
    (void)t;
    (void)now;
    (void)target;
    (void)warning;
    (void)cap;
    trigger_unknown(m, "the HPA looks for the usage itself");
}

static json_t *metric_spec(const struct trigger *t)
{
    const struct resource *r = (const struct resource *)t;
    json_t *block = json_pack("{s:s}", "name", t->type->name);

    if (r->container)
        json_object_set_new(block, "container", json_string(r->container));
    json_object_set_new(
        block, "target",
        r->percent ? json_pack("{s:s,s:I}", "type", "Utilization", "averageUtilization",
                               (json_int_t)r->percent)
                   : json_pack("{s:s,s:s}", "type", "AverageValue", "averageValue", t->query));
    return json_pack("{s:s,s:o}", "type", r->container ? "ContainerResource" : "Resource",
                     r->container ? "containerResource" : "resource", block);
}

static const char *const keys[] = {"value", "type", "containerName", NULL};

#define RESOURCE                                                                                \
    .scaler = "cpuMemoryScaler", .keys = keys, .size = sizeof(struct resource), .parse = parse, \
    .done = done, .value = value, .metric_spec = metric_spec

const struct trigger_type trigger_cpu = {.name = "cpu", RESOURCE};
const struct trigger_type trigger_memory = {.name = "memory", RESOURCE};
