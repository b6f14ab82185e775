/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "codec/quantity.h"
#include "triggers/cron.h"
#include "triggers/metric_name.h"
#include "triggers/prometheus.h"
#include "triggers/trigger.h"
#include "vectors.h"

/* The vectors have no metricType that several series could be summed under: target type Value. */
bool vector_prometheus_response(const json_t *v, struct buf *why)
{
    const json_t *given = json_object_get(v, "given"), *expect = json_object_get(v, "expect");
    double value = NAN, wanted = json_number_value(json_object_get(expect, "value"));
    enum metric_state state = METRIC_UNKNOWN;
    struct err err = ERR_INIT;
    struct quantity q;
    char text[64];
    int r = prometheus_read_answer(
        (int)json_int(given, "httpStatus", 0), json_strv(json_object_get(given, "body")),
        json_bool(given, "ignoreNullValues", true), false, &state, &value, &err);

    if (json_object_get(expect, "error")) { /* classes of errors, not texts */
        if (r == 0)
            buf_printf(why, "no error, expected %s", json_text(expect, "error", ""));
        return r < 0;
    }
    if (r < 0) {
        buf_printf(why, "error '%s'", err.msg);
        return false;
    }
    q = quantity_of_double(value);
    if (fabs(value - wanted) > 1e-9 * fmax(1, fabs(wanted))) {
        buf_printf(why, "value is %g, expected %g; ", value, wanted);
        return false;
    }
    return vector_same_text(why, "metric", quantity_text(&q, text),
                            json_text(expect, "metric", "")) &&
           vector_same_int(why, "active",
                           value > json_number_value(json_object_get(given, "activationThreshold")),
                           json_bool(expect, "active", false));
}

bool vector_quantity(const json_t *v, struct buf *why)
{
    const json_t *given = json_object_get(v, "given"), *value = json_object_get(given, "value");
    double x = json_is_string(value)
                   ? strcmp(json_string_value(value), "nan") == 0 ? (double)NAN : (double)INFINITY
                   : json_number_value(value);
    bool cut = strcmp(json_text(given, "conversion", ""), "trunc") == 0;
    struct quantity q = cut ? quantity_of_double_cut(x) : quantity_of_double(x);
    const json_t *expect = json_object_get(v, "expect");
    char text[64];

    return vector_same_text(why, "quantity", quantity_text(&q, text),
                            json_is_string(expect) ? json_string_value(expect)
                                                   : json_text(expect, "quantity", "?"));
}

bool vector_metric_name(const json_t *v, struct buf *why)
{
    const json_t *given = json_object_get(v, "given");
    AUTO_FREE char *name = trigger_metric_name_of(
        json_text(given, "type", ""), (int)json_int(given, "triggerIndex", -1), given,
        str_of(json_text(given, "namespace", "")), json_text(given, "specMetricName", NULL));

    return vector_same_text(why, "name", name ? name : "none",
                            json_text(v, "expect.metricName", ""));
}

/* --- values of triggers --- */

bool vector_cron_activity(const json_t *v, struct buf *why)
{
    const json_t *given = json_object_get(v, "given"), *expect = json_object_get(v, "expect");
    struct schedule start, end;
    struct zone *zone = NULL;
    struct err err = ERR_INIT;
    int64_t now = 0;
    bool active;

    if (!time_parse(str_of(json_text(given, "now", "")), &now) ||
        zone_load(str_of(json_text(given, "timezone", "")), &zone, &err) < 0 ||
        schedule_parse(str_of(json_text(given, "start", "")), &start, &err) < 0 ||
        schedule_parse(str_of(json_text(given, "end", "")), &end, &err) < 0) {
        buf_printf(why, "error '%s'", err.msg);
        zone_free(zone);
        return false;
    }
    active = cron_is_active(schedule_next(&start, zone, now / 1000),
                            schedule_next(&end, zone, now / 1000));
    zone_free(zone);
    return vector_same_int(why, "active", active, json_bool(expect, "active", false));
}

/* A cluster that has the vector's pods. */
struct pods {
    struct cluster cluster;
    const json_t *list;
};

static void each_pod(struct cluster *c, enum kind_id kind, struct str ns,
                     const struct selector *sel, cluster_each_fn *fn, void *arg)
{
    const json_t *p;
    size_t i;

    (void)ns;
    json_array_foreach ((json_t *)(uintptr_t)((struct pods *)c)->list, i, p) {
        AUTO_JSON json_t *tree =
            json_pack("{s:{s:s,s:s,s:{s:s}},s:{s:s},s:{s:s}}", "metadata", "name", "p", "namespace",
                      "default", "labels", "app", "x", "spec", "nodeName", json_text(p, "node", ""),
                      "status", "phase", json_text(p, "phase", ""));
        struct object *o = NULL;

        if (object_new(kind_of(kind), tree, &o, NULL) == 0 && selector_matches(sel, o))
            fn(arg, o);
        object_unref(o);
    }
}

bool vector_workload(const json_t *v, struct buf *why)
{
    static const struct cluster_ops ops = {.each = each_pod};
    const json_t *given = json_object_get(v, "given"), *expect = json_object_get(v, "expect");
    struct pods pods = {{.ops = &ops}, json_object_get(given, "matchingPods")};
    struct trigger_world world = {.cluster = &pods.cluster};
    AUTO_JSON json_t *spec =
        json_pack("{s:s,s:{s:s,s:s,s:s,s:o}}", "type", "kubernetes-workload", "metadata",
                  "podSelector", "app=x", "value", "1", "groupByNode",
                  json_bool(given, "groupByNode", false) ? "true" : "false", "activationValue",
                  json_fmt("%g", json_number_value(json_object_get(given, "activationValue"))));
    struct trigger_options options = {.world = &world, .ns = STR("default"), .spec = spec};
    struct decision_metric m;
    struct trigger *t;
    struct err err = ERR_INIT;
    char warning[10];
    bool ok;

    if (trigger_new(&options, &t, &err) < 0) {
        buf_printf(why, "error '%s'", err.msg);
        return false;
    }
    trigger_value(t, 0, &(struct trigger_target){0}, &m, warning, sizeof(warning));
    ok = vector_same_int(why, "value", (int64_t)m.value,
                         (int64_t)json_number_value(json_object_get(expect, "value"))) &&
         vector_same_int(why, "active", m.value > trigger_activation(t),
                         json_bool(expect, "active", false));
    trigger_free(t);
    return ok;
}
