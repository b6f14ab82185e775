/* SPDX-License-Identifier: Apache-2.0
 *
 * Autoscaling rules of InferenceServices (kserve.md 7.2, rule 12). */
#include "base/mem.h"
#include "codec/quantity.h"
#include "kube/webhook_isvc_int.h"

static int check_utilization(const json_t *target, struct denial *d)
{
    const json_t *v = json_object_get(target, "averageUtilization");

    if (!v || json_is_null(v))
        return webhook_deny(d, ISVC_HOOK
                            "averageUtilization should be set when the target type is Utilization");
    if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > 100)
        return webhook_deny(d, ISVC_HOOK
                            "the target utilization percentage should be a [1-100] integer");
    return 0;
}

static int check_resource(const json_t *r, struct denial *d)
{
    const json_t *target = json_object_get(r, "target");
    const char *type = json_text(target, "type", "");
    struct quantity q = {0};

    if (strcmp(json_text(r, "name", ""), "cpu") == 0 && strcmp(type, "Utilization") != 0)
        return webhook_deny(d, ISVC_HOOK "the cpu target value type should be Utilization");
    if (strcmp(json_text(r, "name", ""), "memory") == 0) {
        if (strcmp(type, "Utilization") != 0 && strcmp(type, "AverageValue") != 0)
            return webhook_deny(
                d, ISVC_HOOK "the memory target value type should be AverageValue or Utilization");
        quantity_parse(str_of(json_text(target, "averageValue", "0")), &q, NULL);
        if (strcmp(type, "AverageValue") == 0 && quantity_value(&q) < 1 << 20)
            return webhook_deny(d,
                                ISVC_HOOK "the memory target value should be greater than 1 MiB");
    }
    return strcmp(type, "Utilization") == 0 ? check_utilization(target, d) : 0;
}

static int check_query(const json_t *block, struct denial *d)
{
    const json_t *target = json_object_get(block, "target");

    if (!*json_text(block, "metric.query", ""))
        return webhook_deny(d, ISVC_HOOK "the query should not be empty");
    if (strcmp(json_text(target, "type", ""), "Utilization") == 0) {
        int r = check_utilization(target, d);

        if (r < 0)
            return r;
    }
    if (!*json_text(target, "value", ""))
        return webhook_deny(d, ISVC_HOOK "the target threshold value should not be empty");
    if (strcmp(json_text(target, "type", ""), "AverageValue") == 0 &&
        !*json_text(target, "averageValue", ""))
        return webhook_deny(d, ISVC_HOOK "AverageValue should be set");
    return 0;
}

int isvc_check_keda(const json_t *component, struct denial *d)
{
    static const struct {
        const char *type, *block;
    } blocks[] = {{"Resource", "resource"}, {"External", "external"}, {"PodMetric", "podmetric"}};
    const json_t *m;
    size_t i;

    if (json_object_get(component, "scaleMetric"))
        return webhook_deny(d, ISVC_HOOK "ScaleMetric is not supported for KEDA");
    json_array_foreach (json_at(component, "autoScaling.metrics"), i, m) {
        for (size_t k = 0; k < ARRAY_LEN(blocks); k++) {
            const json_t *block = json_object_get(m, blocks[k].block);
            int r;

            if (strcmp(json_text(m, "type", ""), blocks[k].type) != 0)
                continue;
            if (!json_is_object(block))
                return webhook_deny(d, ISVC_HOOK "metric type %s, but the %s block is not set",
                                    blocks[k].type, blocks[k].block);
            r = k == 0 ? check_resource(block, d) : check_query(block, d);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

int isvc_check_hpa(const json_t *component, struct denial *d)
{
    const char *metric = json_text(component, "scaleMetric", "cpu");
    const json_t *target = json_object_get(component, "scaleTarget"), *m;
    int64_t v = json_integer_value(target);
    size_t i;

    if (strcmp(metric, "cpu") != 0 && strcmp(metric, "memory") != 0)
        return webhook_deny(d, ISVC_HOOK "[%s] is not a supported metric", metric);
    if (target && (v > 100 || (v < 1 && strcmp(metric, "cpu") == 0)))
        return webhook_deny(d, ISVC_HOOK
                            "the target utilization percentage should be a [1-100] integer");
    if (target && v < 1)
        return webhook_deny(d, ISVC_HOOK "the target memory should be greater than 1 MiB");
    json_array_foreach (json_at(component, "autoScaling.metrics"), i, m) {
        if (strcmp(json_text(m, "type", ""), "Resource") != 0 ||
            !json_is_object(json_object_get(m, "resource")))
            return webhook_deny(d, ISVC_HOOK "invalid HPA metric type [%s]: only Resource is valid",
                                json_text(m, "type", ""));
    }
    return 0;
}
