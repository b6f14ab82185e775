/* SPDX-License-Identifier: Apache-2.0
 *
 * graphite: KEDA's scaler of that name, as KServe writes it (kserve.md 6): serverAddress, query,
 * threshold, and authModes basic. KEDA also requires queryTime, which KServe cannot give; here the
 * last five minutes are asked for without it. */
#include "triggers/graphite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "triggers/poll.h"

#define QUERY_TIME "-5minutes"

struct graphite {
    struct polled p;
    char *text, *from;
};

static const struct polled_ops poll_ops;

static int parse(struct trigger *t, const json_t *meta, struct err *err)
{
    struct graphite *g = (struct graphite *)t;
    AUTO_FREE char *address = NULL;

    meta_required(t, meta, "serverAddress", &address, err);
    meta_required(t, meta, "query", &g->text, err);
    meta_threshold(t, meta, "threshold", t->has_modifiers, err);
    meta_number(t, meta, "activationThreshold", false, 0, &t->activation, err);
    g->from = meta_text(t, meta, "queryTime");
    polled_parse(t, &poll_ops, meta, address, HTTP_AUTH_BASIC, err);
    if (err->code)
        return err->code;
    t->query = mem_strdup(meta_is_hidden(t, meta, "query") ? "(from the environment)" : g->text);
    return 0;
}

/* --- asking --- */

static void make_url(struct trigger *t, struct buf *out)
{
    const struct graphite *g = (const struct graphite *)t;

    buf_printf(out, "%s/render?from=", g->p.address);
    http_pct_encode(out, str_of(g->from ? g->from : QUERY_TIME));
    buf_add_cstr(out, "&target=");
    http_pct_encode(out, str_of(g->text));
    buf_add_cstr(out, "&format=json");
}

int graphite_read_answer(struct str body, enum metric_state *state, double *value, struct err *err)
{
    AUTO_JSON json_t *o = NULL;
    const json_t *points, *v;

    *state = METRIC_EMPTY;
    *value = 0;
    if (json_parse(body, &o, NULL) < 0 || !json_is_array(o))
        return err_set(err, ERR_BAD_INPUT, "the answer is no JSON list; is that a Graphite?");
    if (json_array_size(o) > 1)
        return err_set(err, ERR_INVALID, "the query returned %zu series: put sumSeries() around it",
                       json_array_size(o));
    points = json_object_get(json_array_get(o, 0), "datapoints");
    if (json_array_size(o) == 1 && !json_is_array(points))
        return err_set(err, ERR_BAD_INPUT, "a series has no datapoints; is that a Graphite?");
    if (json_array_size(points) == 0)
        return 0;
    for (size_t i = json_array_size(points); i > 0; i--) {
        v = json_array_get(json_array_get(points, i - 1), 0);
        if (json_is_number(v) && isfinite(json_number_value(v))) {
            *state = METRIC_VALUE;
            *value = json_number_value(v);
            return 0;
        }
        if (!json_is_null(v))
            return err_set(err, ERR_BAD_INPUT, "a point is no number; is that a Graphite?");
    }
    return err_set(
        err, ERR_NOT_FOUND,
        "no point of the query has a value: give a longer queryTime, or check the query");
}

static int read_answer(struct trigger *t, struct str body, enum metric_state *state, double *value,
                       struct err *err)
{
    (void)t;
    return graphite_read_answer(body, state, value, err);
}

static const struct polled_ops poll_ops = {
    .peer = "graphite",
    .key = "serverAddress",
    .what = "a Graphite",
    .narrow = "give a shorter queryTime, or put sumSeries() around the query",
    .no_series = "the query finds no series there, though pods are ready: is the metric's name "
                 "right?",
    .url = make_url,
    .read = read_answer};

/* --- the type --- */

static void done(struct trigger *t)
{
    struct graphite *g = (struct graphite *)t;

    polled_done(t);
    free(g->text);
    free(g->from);
}

static const char *const keys[] = {
    "serverAddress", "query",      "threshold",     "activationThreshold",
    "queryTime",     "metricName", "authMode",      "authModes",
    "unsafeSsl",     "timeout",    "customHeaders", NULL};

const struct trigger_type trigger_graphite = {.name = "graphite",
                                              .scaler = "graphiteScaler",
                                              .size = sizeof(struct graphite),
                                              .keys = keys,
                                              .parse = parse,
                                              .done = done,
                                              .value = polled_value,
                                              POLLED_TRIGGER};
