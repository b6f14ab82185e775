/* SPDX-License-Identifier: Apache-2.0
 *
 * spec.behavior with the defaults of the API (hpa.md 1). */
#include <string.h>

#include "autoscale/hpa.h"
#include "base/mem.h"
#include "codec/quantity.h"

#define DOWN_WINDOW_S 300
#define DEFAULT_POLICIES 2

static enum hpa_select read_select(const char *text)
{
    return strcmp(text, "Disabled") == 0 ? HPA_SELECT_DISABLED
           : strcmp(text, "Min") == 0    ? HPA_SELECT_MIN
                                         : HPA_SELECT_MAX;
}

static int32_t int32_at(const json_t *o, const char *key, int32_t def)
{
    int64_t v = json_int(o, key, def);

    return v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : (int32_t)v;
}

void hpa_rules_read(const json_t *json, enum hpa_direction way, struct arena *a,
                    struct hpa_rules *ret)
{
    const json_t *list = json_object_get(json, "policies"), *p;
    struct quantity q;
    size_t i;

    *ret = (struct hpa_rules){
        .window_s = json_int(json, "stabilizationWindowSeconds", way == HPA_UP ? 0 : DOWN_WINDOW_S),
        .select = read_select(json_text(json, "selectPolicy", "Max")),
        .tolerance = -1};
    ret->policies =
        arena_alloc(a, (json_array_size(list) + DEFAULT_POLICIES) * sizeof(*ret->policies));
    json_array_foreach ((json_t *)(uintptr_t)list, i, p)
        ret->policies[ret->n++] = (struct hpa_policy){
            strcmp(json_text(p, "type", ""), "Pods") == 0 ? HPA_POLICY_PODS : HPA_POLICY_PERCENT,
            int32_at(p, "value", 0), int32_at(p, "periodSeconds", 15)};
    if (ret->n == 0) {
        ret->policies[ret->n++] = (struct hpa_policy){HPA_POLICY_PERCENT, 100, 15};
        if (way == HPA_UP)
            ret->policies[ret->n++] = (struct hpa_policy){HPA_POLICY_PODS, 4, 15};
    }
    if (quantity_parse(str_of(json_text(json, "tolerance", "")), &q, NULL) == 0)
        ret->tolerance = quantity_double(&q);
}

int64_t hpa_rules_longest_period(const struct hpa_rules *r)
{
    int64_t s = 0;

    for (size_t i = 0; i < r->n; i++)
        s = r->policies[i].period_s > s ? r->policies[i].period_s : s;
    return s;
}
