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
    struct quantity q;

    if (strcmp(t->metric_type, "Utilization") != 0 && strcmp(t->metric_type, "AverageValue") != 0)
        return err_set(
            err, ERR_INVALID,
            "unsupported metric type for %s: metricType must be Utilization or AverageValue",
            t->type->name);
    if (json_object_get(meta, "type"))
        return err_set(
            err, ERR_INVALID,
            "error parsing %s metadata: \"type\" is gone since KEDA 2.18: use metricType "
            "beside metadata",
            t->type->name);
    if (meta_required(t, meta, "value", &t->query, err) < 0)
        return ERR_INVALID;
    r->container = meta_text(meta, "containerName");
    if (strcmp(t->metric_type, "Utilization") == 0
            ? !str_to_i64(str_of(t->query), &r->percent) || r->percent < 1 || r->percent > INT32_MAX
            : quantity_parse(str_of(t->query), &q, NULL) < 0)
        return err_set(
            err, ERR_INVALID,
            "error parsing %s metadata: unable to set param \"value\" value \"%s\": %s is "
            "expected",
            t->type->name, t->query,
            strcmp(t->metric_type, "Utilization") == 0 ? "a percentage without %" : "a quantity");
    return 0;
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

#define RESOURCE                                                                   \
    .size = sizeof(struct resource), .parse = parse, .done = done, .value = value, \
    .metric_spec = metric_spec

const struct trigger_type trigger_cpu = {.name = "cpu", RESOURCE};
const struct trigger_type trigger_memory = {.name = "memory", RESOURCE};
