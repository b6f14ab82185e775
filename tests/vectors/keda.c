/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "codec/quantity.h"
#include "triggers/metric_name.h"
#include "triggers/prometheus.h"
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
