/* SPDX-License-Identifier: Apache-2.0
 *
 * Every vector of tests/data/vectors; those we deviate from on purpose stand, with a reason, in
 * tests/data/deviations.json. One that stands there and does not deviate fails too. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../unit/cmocka_all.h"

#include "base/mem.h"
#include "vectors.h"

static struct {
    const char *file, *kind; /* kind NULL: the whole file */
    vector_case *run;
    bool (*concerns)(const json_t *vector); /* NULL: all of them */
} suites[] = {
    {"hpa/calc", "calc", vector_calc},
    {"hpa/pods", "groupPods", vector_group_pods},
    {"hpa/requests", "requests", vector_requests},
    {"hpa/classic", "limitClassic", vector_limit_classic},
    {"hpa/classic", "stabilizeClassic", vector_stabilize_classic},
    {"hpa/stabilize", "stabilizeBehavior", vector_stabilize},
    {"hpa/rate", "rateBehavior", vector_rate},
    {"hpa/events", "storeEvent", vector_store_event},
    {"hpa/sync", "sync", vector_sync},
    {"hpa/sequence", "sequence", vector_sequence},
    {"keda/prometheus_response", NULL, vector_prometheus_response},
    {"keda/quantity", NULL, vector_quantity},
    {"keda/metric_name", NULL, vector_metric_name, NULL},
    {"keda/cron_activity", NULL, vector_cron_activity, NULL},
    {"keda/workload", NULL, vector_workload, NULL},
    {"keda/annotations", NULL, vector_annotations, NULL},
    {"keda/executor", NULL, vector_executor, NULL},
    {"keda/triggers_activity", NULL, vector_triggers_activity, NULL},
    {"keda/status_merge", NULL, vector_status_merge, NULL},
    {"keda/aggregate", NULL, vector_aggregate, NULL},
    {"keda/metric_request", NULL, vector_metric_request, NULL},
    {"keda/fallback", NULL, vector_fallback, NULL},
    {"keda/formula", NULL, vector_formula, NULL},
    {"keda/hpa", NULL, vector_hpa, NULL},
    {"keda/validation", NULL, vector_validation, NULL},
    {"keda/timeline", NULL, vector_timeline, NULL},
    {"keda/trigger_metadata", NULL, vector_trigger_metadata},
    {"keda/metrics_api", NULL, vector_metrics_api},
    {"keda/external", NULL, vector_external, vector_is_external_rule},
    {"keda/external", NULL, vector_stream, vector_is_stream},
    {"otel/addon_query", NULL, vector_addon_query, NULL},
    {"otel/addon_store", NULL, vector_addon_store, NULL},
};

/* Those of the autoscaling rules (hpa, keda), and the others'. */
static struct counts {
    size_t run, deviations;
} rules, others;
static size_t n_bad;

int64_t vector_int(const json_t *o, const char *key, int64_t def)
{
    const json_t *v = json_object_get(o, key);
    int64_t n;

    if (json_is_string(v) && str_to_i64(json_strv(v), &n))
        return n;
    return json_is_integer(v) ? json_integer_value(v) : def;
}

bool vector_same_int(struct buf *why, const char *what, int64_t got, int64_t expected)
{
    if (got == expected)
        return true;
    buf_printf(why, "%s is %lld, expected %lld; ", what, (long long)got, (long long)expected);
    return false;
}

bool vector_same_text(struct buf *why, const char *what, const char *got, const char *expected)
{
    if (strcmp(got, expected) == 0)
        return true;
    buf_printf(why, "%s is '%s', expected '%s'; ", what, got, expected);
    return false;
}

bool vector_same_json(struct buf *why, const char *what, const json_t *got, const json_t *expected)
{
    if (json_equal(got, expected))
        return true;
    buf_printf(why, "%s is ", what);
    json_write(why, got);
    buf_add_cstr(why, ", expected ");
    json_write(why, expected);
    buf_add_cstr(why, "; ");
    return false;
}

bool vector_same_error(struct buf *why, int r, const char *msg, const json_t *expect)
{
    const char *fragment = json_text(expect, "error", NULL);

    if (r < 0 && fragment && strstr(msg, fragment))
        return true;
    if (r < 0)
        buf_printf(why, "error '%s', expected %s; ", msg, fragment ? fragment : "none");
    else
        buf_printf(why, "no error, expected '%s'; ", fragment ? fragment : "?");
    return false;
}

/* One vector a line, without an id: "addon_query:12" is the one of line 12. */
static json_t *load_lines(const char *name)
{
    char path[300], line[65536];
    json_t *list = json_array(), *v;
    FILE *f;

    snprintf(path, sizeof(path), FB_TEST_DATA "/%s.jsonl", name);
    f = fopen(path, "r");
    for (int n = 1; f && fgets(line, sizeof(line), f); n++) {
        v = json_loads(line, 0, NULL);
        json_object_set_new(v, "id", json_fmt("%s:%d", strrchr(name, '/') + 1, n));
        json_array_append_new(list, v);
    }
    if (f)
        fclose(f);
    return json_pack("{s:o}", "vectors", list);
}

static json_t *load(const char *name)
{
    char path[300];
    json_t *o;
    json_error_t e;

    snprintf(path, sizeof(path), FB_TEST_DATA "/%s.json", name);
    if (access(path, F_OK) != 0)
        return load_lines(name);
    o = json_load_file(path, 0, &e);
    if (!o)
        fail_msg("%s: %s", path, e.text);
    return o;
}

static void run_one(const char *file, vector_case *run, const json_t *v, json_t *deviations)
{
    const char *id = json_text(v, "id", "?");
    json_t *reason = json_object_get(deviations, id);
    struct buf why = BUF_INIT;
    bool ok = run(v, &why);
    struct counts *counts = strncmp(file, "otel/", 5) == 0 ? &others : &rules;

    counts->run++;
    if (ok && reason) {
        print_error("%s %s: stands in deviations.json and does not deviate\n", file, id);
        n_bad++;
    } else if (!ok && reason) {
        counts->deviations++;
        json_object_del(deviations, id);
    } else if (!ok) {
        print_error("%s %s: %s\n", file, id, buf_cstr(&why));
        n_bad++;
    }
    buf_done(&why);
}

static void every_vector_holds_or_is_a_listed_deviation(void **state)
{
    AUTO_JSON json_t *deviations = load("deviations");
    const char *left;
    json_t *reason;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(suites); i++) {
        char name[100];
        AUTO_JSON json_t *doc = NULL;
        const json_t *v;
        size_t k, before = rules.run + others.run;

        snprintf(name, sizeof(name), "vectors/%s", suites[i].file);
        doc = load(name);
        json_array_foreach (json_object_get(doc, "vectors"), k, v)
            if ((!suites[i].kind || strcmp(json_text(v, "kind", ""), suites[i].kind) == 0) &&
                (!suites[i].concerns || suites[i].concerns(v)))
                run_one(suites[i].file, suites[i].run, v, deviations);
        assert_true(rules.run + others.run > before);
    }
    json_members (deviations, left, reason) {
        print_error("deviations.json names '%s', which no vector has\n", left);
        n_bad++;
    }
    printf("vectors run=%zu deviations=%zu\n", rules.run, rules.deviations);
    printf("otel vectors run=%zu deviations=%zu\n", others.run, others.deviations);
    assert_int_equal(n_bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_vector_holds_or_is_a_listed_deviation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
