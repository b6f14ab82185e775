/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "codec/json.h"
#include "triggers/poll.h"
#include "triggers/prometheus.h"

/* data.result -> its list; NULL with no error: there is none, which is an empty answer. */
static int read_result(const json_t *o, const json_t **ret, struct err *err)
{
    const json_t *result;

    *ret = NULL;
    if (!json_is_object(o))
        return err_set(err, ERR_BAD_INPUT, "the answer is no JSON object; is that a Prometheus?");
    if (strcmp(json_text(o, "status", "success"), "success") != 0)
        return err_set(err, ERR_BAD_INPUT, "it says %.60s: %.120s; try the query there by hand",
                       json_text(o, "errorType", "error"), json_text(o, "error", "?"));
    result = json_at(o, "data.result");
    if (!result || json_is_null(result))
        return 0;
    if (!json_is_array(result))
        return err_set(err, ERR_BAD_INPUT, "data.result is no list; is that a Prometheus?");
    if (json_array_size(result) > 0 && !json_is_object(json_array_get(result, 0)))
        return err_set(err, ERR_BAD_INPUT,
                       "the query yields a scalar or string: put vector() around it");
    *ret = result;
    return 0;
}

/* 1: a value; 0: the series has none; negative: an error. */
static int read_sample(const json_t *series, double *ret, struct err *err)
{
    const json_t *v = json_object_get(series, "value");
    const char *text;

    if (json_array_size(v) == 0)
        return 0;
    if (json_array_size(v) < 2)
        return err_set(err, ERR_BAD_INPUT, "a sample has no value; is that a Prometheus?");
    *ret = -1;
    if (json_is_null(json_array_get(v, 1)))
        return 1;
    text = json_string_value(json_array_get(v, 1));
    if (!text || !str_to_double(str_of(text), ret))
        return err_set(err, ERR_BAD_INPUT,
                       "a sample's value is not a number in quotes; is that a Prometheus?");
    return 1;
}

int prometheus_read_answer(int http_status, struct str body, bool ignore_null, bool is_average,
                           enum metric_state *state, double *value, struct err *err)
{
    AUTO_JSON json_t *o = NULL;
    const json_t *result, *e;
    double sum = 0, x;
    bool has_value = false;
    size_t i;
    int r;

    *state = METRIC_EMPTY;
    *value = 0;
    if ((r = poll_check_status(http_status, false, "serverAddress", err)) < 0)
        return r;
    if (json_parse(body, &o, NULL) < 0)
        return err_set(err, ERR_BAD_INPUT, "the answer is not JSON; is that a Prometheus?");
    if ((r = read_result(o, &result, err)) < 0)
        return r;
    if (json_array_size(result) > 1 && !is_average)
        return err_set(err, ERR_INVALID,
                       "the query returned %zu series, a Value target needs one: put sum() around "
                       "it",
                       json_array_size(result));
    json_array_foreach ((json_t *)(uintptr_t)result, i, e) {
        if ((r = read_sample(e, &x, err)) < 0)
            return r;
        if (r == 0 && !ignore_null)
            return err_set(err, ERR_NOT_FOUND, "a series has no value (ignoreNullValues is false)");
        if (r > 0) {
            sum += x;
            has_value = true;
        }
    }
    if (json_array_size(result) == 0 && !ignore_null)
        return err_set(err, ERR_NOT_FOUND, "the query found no series (ignoreNullValues is false)");
    if (!isfinite(sum))
        return err_set(err, ERR_INVALID,
                       "the value is %s, which says nothing of the load: look at "
                       "the query's divisions",
                       isnan(sum) ? "NaN" : "infinite");
    *state = has_value ? METRIC_VALUE : METRIC_EMPTY;
    *value = sum;
    return 0;
}
