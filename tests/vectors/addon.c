/* SPDX-License-Identifier: Apache-2.0
 *
 * The otel-add-on's queries and store, by what its own code answered. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "triggers/addon_query.h"
#include "triggers/metric_query.h"
#include "vectors.h"

#define NOW_MS 1767268800000

static bool same_labels(struct buf *why, const struct addon_query *q, const json_t *expect)
{
    bool ok = vector_same_int(why, "labels", (int64_t)q->n, (int64_t)json_object_size(expect));

    for (size_t i = 0; i < q->n; i++) {
        struct str wanted = json_strv(json_get(expect, q->items[i].name));

        if (wanted.p && str_eq(wanted, q->items[i].value))
            continue;
        buf_printf(why, "%.*s is '%.*s'; ", STR_ARG(q->items[i].name), STR_ARG(q->items[i].value));
        ok = false;
    }
    return ok;
}

/* An error of the add-on (or its panic) is a refusal here; everything else is read as it does. */
bool vector_addon_query(const json_t *v, struct buf *why)
{
    struct str text = json_strv(json_object_get(v, "query"));
    struct metric_query *whole = NULL;
    struct addon_query q;
    struct err err = ERR_INIT;
    bool ok;

    if (json_object_get(v, "error") || json_object_get(v, "panic")) {
        ok = metric_query_parse(text, OVER_LAST, &whole, &err) < 0;
        if (!ok)
            buf_printf(why, "not refused, read as %s", metric_query_function(whole));
        metric_query_free(whole);
        return ok;
    }
    if (addon_query_parse(text, &q, &err) < 0) {
        buf_printf(why, "error '%s'", err.msg);
        return false;
    }
    ok = vector_same_text(why, "agg", addon_function_name(q.function), json_text(v, "agg", "")) &&
         vector_same_text(why, "name", q.name, json_text(v, "name", "")) &&
         same_labels(why, &q, json_object_get(v, "labels"));
    addon_query_done(&q);
    return ok;
}

/* --- the store --- */

/* As the receiver does: '.' and '/' of a name are '_'. */
static struct str stored_name(const char *name, char *out, size_t cap)
{
    size_t n = 0;

    for (; name[n] && n < cap; n++)
        out[n] = strchr("./", name[n]) ? '_' : name[n];
    return str_n(out, n);
}

static void put(struct tsdb *db, const json_t *put)
{
    char name[80];
    int64_t t = NOW_MS - json_int(put, "age_s", 0) * 1000;
    const json_t *labels = json_object_get(put, "labels"), *value;
    struct label list[8] = {
        {STR("__name__"), stored_name(json_text(put, "name", ""), name, sizeof(name))}};
    char texts[8][32];
    struct series *s;
    const char *key;
    size_t n = 1;

    json_members (labels, key, value) { /* every value is text here, whatever its type was */
        snprintf(texts[n], sizeof(texts[n]), "%lld", (long long)json_integer_value(value));
        list[n].name = str_of(key);
        list[n].value = json_is_string(value) ? json_strv(value) : str_of(texts[n]);
        n++;
    }
    s = tsdb_series(db, list, n);
    t += series_newest(s) == t; /* samples of one second came one after the other */
    tsdb_append(db, s, t, json_number_value(json_object_get(put, "value")));
    tsdb_release(s);
}

static bool same_get(struct buf *why, struct tsdb *db, const json_t *get, const json_t *expect)
{
    const char *text = json_text(get, "query", ""), *op_text = json_text(get, "op", "");
    struct metric_query *q = NULL;
    struct metric_reading r;
    struct err err = ERR_INIT;
    enum over_time op;
    int failed = op_text[0] ? over_time_parse(str_of(op_text), &op, &err) : ERR_BAD_INPUT;
    bool ok;

    if (failed == 0)
        failed = metric_query_parse(str_of(text), op, &q, &err);
    if (failed == 0)
        failed = metric_query_read(q, db, NOW_MS, &r, &err);
    metric_query_free(q);
    if (failed < 0 || json_object_get(expect, "error")) {
        ok = failed < 0 && json_object_get(expect, "error");
        if (!ok)
            buf_printf(why, "%s %s: %s; ", op_text, text, failed < 0 ? err.msg : "no error");
        return ok;
    }
    ok = r.is_known == json_bool(expect, "found", false) &&
         fabs(r.value - json_number_value(json_object_get(expect, "value"))) < 1e-9;
    if (!ok)
        buf_printf(why, "%s %s is %g (%s); ", op_text, text, r.value,
                   r.is_known ? "known" : "not known");
    return ok;
}

bool vector_addon_store(const json_t *v, struct buf *why)
{
    struct tsdb *db = tsdb_new(&(struct tsdb_options){0});
    const json_t *steps = json_object_get(v, "steps"), *step;
    size_t i, gets = 0;
    bool ok = true;

    json_array_foreach ((json_t *)(uintptr_t)steps, i, step) {
        if (json_object_get(step, "put"))
            put(db, json_object_get(step, "put"));
        else
            ok &= same_get(why, db, json_object_get(step, "get"),
                           json_array_get(json_object_get(v, "gets"), gets++));
    }
    tsdb_free(db);
    return ok;
}
