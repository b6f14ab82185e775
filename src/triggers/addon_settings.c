/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/addon_settings.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static struct str text_at(const json_t *meta, const char *key)
{
    return str_trim(json_strv(json_object_get(meta, key)));
}

__attribute__((format(printf, 2, 3))) static void wrong(struct err *err, const char *fmt, ...)
{
    struct buf b = BUF_INIT;
    va_list ap;

    if (err->code)
        buf_printf(&b, "%s; ", err->msg);
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    err_set(err, ERR_INVALID, "%s", buf_cstr(&b));
    buf_done(&b);
}

static bool read_number(const json_t *meta, const char *key, double *ret, struct err *err)
{
    struct str s = text_at(meta, key);

    if (!s.n)
        return false;
    if (str_to_double(s, ret) && isfinite(*ret))
        return true;
    wrong(err, "%s '%.*s' is not a number", key, (int)(s.n < 80 ? s.n : 80), s.p);
    *ret = 0;
    return false;
}

static void read_target(const json_t *meta, bool is_needed, double *ret, struct err *err)
{
    struct str s = text_at(meta, "targetValue");

    if (!s.n && is_needed)
        wrong(err, "targetValue is missing: what one replica is to carry, such as \"4\"");
    if (read_number(meta, "targetValue", ret, err) &&
        !(*ret >= 0.0005)) { /* what is no milli is no target of an HPA */
        wrong(err, "targetValue '%.*s' must be greater than 0", STR_ARG(s));
        *ret = 0;
    }
}

static void read_query(const json_t *meta, struct addon_settings *s, struct err *err)
{
    struct str text = text_at(meta, "metricQuery");
    struct err bad = ERR_INIT;

    if (over_time_parse(text_at(meta, "operationOverTime"), &s->op, &bad) < 0) {
        wrong(err, "%s", bad.msg);
        return;
    }
    if (!text.n)
        wrong(err, "metricQuery is missing, such as \"sum(vllm:num_requests_running{"
                   "namespace=\\\"default\\\"})\"");
    else if (metric_query_parse(text, s->op, &s->query, &bad) < 0)
        wrong(err, "%s", bad.msg);
}

int addon_settings_read(const json_t *meta, bool needs_target, struct addon_settings *ret,
                        struct err *err)
{
    struct addon_settings s = {0};
    struct err bad = ERR_INIT;

    read_query(meta, &s, &bad);
    read_target(meta, needs_target, &s.target, &bad);
    s.has_min = read_number(meta, "clampMin", &s.clamp_min, &bad);
    s.has_max = read_number(meta, "clampMax", &s.clamp_max, &bad);
    s.has_not_found = read_number(meta, "valueIfNotFound", &s.not_found, &bad);
    if (s.has_min && s.has_max && s.clamp_min > s.clamp_max)
        wrong(&bad, "clampMin %g is greater than clampMax %g", s.clamp_min, s.clamp_max);
    if (bad.code) {
        addon_settings_done(&s);
        *ret = s;
        return err_set(err, bad.code, "%s", bad.msg);
    }
    *ret = s;
    return 0;
}

void addon_settings_done(struct addon_settings *s)
{
    metric_query_free(s->query);
    *s = (struct addon_settings){0};
}

static double clamp(const struct addon_settings *s, double v)
{
    if (s->has_min && v < s->clamp_min)
        v = s->clamp_min;
    if (s->has_max && v > s->clamp_max)
        v = s->clamp_max;
    return v;
}

static void tell_missing(const struct addon_settings *s, const struct metric_reading *r,
                         struct addon_value *v)
{
    struct str name = metric_query_name(s->query);

    v->state = r->is_known ? ADDON_GONE : ADDON_UNKNOWN;
    if (!r->is_known && name.n)
        snprintf(v->why, sizeof(v->why),
                 "no metric '%.80s' has arrived yet: is its name right, do the pods push it?",
                 name.p);
    else
        snprintf(v->why, sizeof(v->why),
                 "metricQuery '%.100s' finds no series with a sample of the last %d s: do its "
                 "labels fit, do the pods push?",
                 metric_query_text(s->query).p, METRIC_QUERY_WINDOW_MS / 1000);
}

void addon_settings_value(const struct addon_settings *s, struct tsdb *db, int64_t now_ms,
                          struct addon_value *ret)
{
    struct metric_reading r;
    struct err err = ERR_INIT;

    *ret = (struct addon_value){.state = ADDON_UNKNOWN};
    if (metric_query_read(s->query, db, now_ms, &r, &err) < 0) {
        snprintf(ret->why, sizeof(ret->why), "metricQuery '%.80s': %.140s",
                 metric_query_text(s->query).p, err.msg);
        return;
    }
    ret->n = r.n;
    ret->has_series = r.has_series;
    ret->newest_ms = r.newest_ms;
    ret->oldest_ms = r.oldest_ms;
    ret->is_empty_meant = r.is_empty_meant;
    ret->unclamped = r.value;
    if (!r.is_found) {
        tell_missing(s, &r, ret);
    } else if (!isfinite(r.value)) {
        snprintf(ret->why, sizeof(ret->why),
                 "metricQuery '%.120s' is %s, which says nothing of the load",
                 metric_query_text(s->query).p, isnan(r.value) ? "NaN" : "infinite");
    } else {
        ret->state = ADDON_FOUND;
        ret->value = clamp(s, r.value);
    }
    if (ret->state == ADDON_UNKNOWN && !r.is_known && s->has_not_found) {
        ret->state = ADDON_FOUND;
        ret->value = ret->unclamped = s->not_found;
    }
}
