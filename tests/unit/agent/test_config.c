/* SPDX-License-Identifier: Apache-2.0
 *
 * What KServe generates is read whole; everything that is not supported is named, all at once. */
#include <stdio.h>
#include <stdlib.h>

#include "../cmocka_all.h"

#include "agent/config.h"
#include "agent/process.h"
#include "base/mem.h"

static const char *test_env(const char *name)
{
    static const struct {
        const char *name, *value;
    } vars[] = {{"HOST", "10.0.0.1"},
                {"EMPTY", ""},
                {"OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=p-1,a=%C3%A4%2C"}};

    for (size_t i = 0; i < ARRAY_LEN(vars); i++)
        if (strcmp(vars[i].name, name) == 0)
            return vars[i].value;
    return NULL;
}

static char *read_file(const char *name)
{
    char path[500], part[8192];
    struct buf b = BUF_INIT;
    size_t got;
    FILE *f;

    snprintf(path, sizeof(path), "%s/otel/collector/%s", FB_TEST_DATA, name);
    f = fopen(path, "re");
    assert_non_null(f);
    while ((got = fread(part, 1, sizeof(part), f)) > 0)
        buf_add(&b, part, got);
    fclose(f);
    return buf_take(&b, NULL);
}

static void read_ok(const char *yaml, struct agent_config *c)
{
    struct buf problems = BUF_INIT;
    struct err err = ERR_INIT;

    if (config_read(str_of(yaml), test_env, c, &problems, &err) < 0)
        fail_msg("%s\n%s", err.msg, buf_cstr(&problems));
    buf_done(&problems);
}

static void what_kserve_generates_is_read(void **state)
{
    static const struct {
        const char *file;
        int64_t interval_ms;
        const char *target, *endpoint, *names[3];
        size_t n_steps;
    } cases[] = {
        {"02-tutorial-otel.yaml",
         5000,
         "localhost:8080",
         "keda-otel-scaler.keda.svc:4317",
         {"vllm:num_requests_running"},
         5},
        {"08-keda-multi-metric.yaml",
         5000,
         "localhost:9400",
         "keda-otel-scaler.keda.svc:4317",
         {"vllm:num_requests_running", "vllm:kv_cache_usage_perc"},
         5},
        {"15-config-overrides.yaml", 15000, "localhost:8080", "otel-collector:4317", {"a", "b"}, 5},
        {"v0.15.yaml",
         5000,
         "localhost:8080",
         "keda-otel-scaler.keda.svc:4317",
         {"vllm:num_requests_running"},
         1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_FREE char *yaml = read_file(cases[i].file);
        struct agent_config c;
        struct attrs none = {0};

        read_ok(yaml, &c);
        assert_int_equal(c.n_jobs, 1);
        assert_true(str_is(c.jobs[0].name, "otel-collector"));
        assert_true(str_is(c.jobs[0].path, "/metrics"));
        assert_int_equal(c.jobs[0].interval_ms, cases[i].interval_ms);
        assert_int_equal(c.jobs[0].n_targets, 1);
        assert_true(str_is(c.jobs[0].targets[0].address, cases[i].target));
        assert_int_equal(c.n_exporters, 1);
        assert_string_equal(c.exporters[0].endpoint, cases[i].endpoint);
        assert_int_equal(c.exporters[0].compression, COMPRESSION_NONE);
        assert_true(c.exporters[0].tls.insecure);
        assert_int_equal(c.exporters[0].timeout_ms, 5000);
        assert_int_equal(c.exporters[0].retry.initial_ms, 5000);
        assert_int_equal(c.exporters[0].queue_size, 1000);
        assert_int_equal(c.n_steps, cases[i].n_steps);
        for (size_t k = 0; k < 3 && cases[i].names[k]; k++)
            assert_true(process_run(&c, &c.arena, str_of(cases[i].names[k]), &none, &none));
        assert_false(process_run(&c, &c.arena, STR("another"), &none, &none));
        config_done(&c);
    }
}

/* --- refusals --- */

#define TAIL                                                                                 \
    "service: {pipelines: {metrics: {receivers: [prometheus], processors: [%s], exporters: " \
    "[otlp]}}}\n"
#define RECEIVER                                                                             \
    "receivers: {prometheus: {config: {scrape_configs: [{job_name: j, scrape_interval: 1s, " \
    "static_configs: [{targets: ['a:1']}]%s}]}}}\n"
#define EXPORTER "exporters: {otlp: {endpoint: 'a:4317', tls: {insecure: true}%s}}\n"

/* The configuration with one thing added must be refused with these words. */
static void refused(const char *scrape, const char *processors, const char *used,
                    const char *exporter, const char *words)
{
    struct buf yaml = BUF_INIT, problems = BUF_INIT;
    struct agent_config c;
    struct err err = ERR_INIT;

    buf_printf(&yaml, RECEIVER, scrape);
    buf_printf(&yaml, "processors: {%s}\n" EXPORTER, processors, exporter);
    buf_printf(&yaml, TAIL, used);
    assert_int_equal(config_read(buf_str(&yaml), test_env, &c, &problems, &err), ERR_INVALID);
    if (!strstr(buf_cstr(&problems), words))
        fail_msg("'%s' is not in: %s", words, buf_cstr(&problems));
    config_done(&c);
    buf_done(&yaml);
    buf_done(&problems);
}

static void what_is_not_supported_is_named(void **state)
{
    static const struct {
        const char *scrape, *processors, *used, *exporter, *words;
    } cases[] = {
        {", relabel_configs: []", "", "", "",
         "receivers.prometheus.config.scrape_configs[0].relabel_configs (line 1): not supported "
         "here"},
        {", metric_relabel_configs: []", "", "", "", ".metric_relabel_configs"},
        {", kubernetes_sd_configs: []", "", "", "", ".kubernetes_sd_configs"},
        {", scrape_timeout: 2s", "", "", "", "must not be above scrape_interval"},
        {", scrape_timeout: soon", "", "", "", "a duration expected"},
        {", scheme: ftp", "", "", "", "http or https"},
        {", metrics_path: metrics", "", "", "", "begins with '/'"},
        {", honor_labels: maybe", "", "", "", "true or false"},
        {"", "memory_limiter: {}", "", "",
         "processors.memory_limiter (line 2): not supported here; processors that are: "},
        {"", "batch: {metadata_keys: [a]}", "batch", "", "processors.batch.metadata_keys"},
        {"", "", "batch", "",
         "service.pipelines.metrics.processors[0] (line 4): 'batch' is not defined under "
         "processors"},
        {"", "resourcedetection: {detectors: [env, gcp]}", "resourcedetection", "",
         "the detector 'gcp'"},
        {"", "resource: {attributes: [{key: a, action: hash}]}", "resource", "",
         "'hash' is not supported here: insert, update, upsert and delete are"},
        {"", "resource: {attributes: [{key: a, action: insert}]}", "resource", "",
         "either value or from_attribute"},
        {"", "transform: {metric_statements: ['limit(attributes, 1)']}", "transform", "",
         "the statement 'limit(attributes, 1)' is not supported here"},
        {"", "transform: {metric_statements: [{context: metric, statements: []}]}", "transform", "",
         "'metric' is not supported here: datapoint and resource are"},
        {"", "filter: {metrics: {include: {match_type: regexp, metric_names: [a]}}}", "filter", "",
         "'regexp' is not supported here: strict is"},
        {"", "filter: {metrics: {datapoint: ['a == 1']}}", "filter", "",
         "filter.metrics.datapoint"},
        {"", "filter: {metrics: {metric: ['IsMatch(name, \"a\")']}}", "filter", "",
         "the condition 'IsMatch"},
        {"", "", "", ", compression: snappy",
         "'snappy' is not supported here: none, gzip and zstd are"},
        {"", "", "", ", keepalive: {time: 1s}", "exporters.otlp.keepalive"},
        {"", "", "", ", auth: {authenticator: x}", "exporters.otlp.auth"},
        {"", "", "", ", sending_queue: {storage: x}", "exporters.otlp.sending_queue.storage"},
        {"", "", "", ", retry_on_failure: {multiplier: 0.5}", "multiplier from 1"},
        {"", "", "", ", headers: {a: \"x\\ny\"}", "a header is one line"},
        {"", "", "", "}, otlphttp: {endpoint: x",
         "exporters.otlphttp (line 3): not supported here; exporters that are: otlp, otlp_grpc, "
         "debug"},
        {"",
         "transform: {metric_statements: ['set(resource.attributes[\"a\"], "
         "datapoint.attributes[\"b\"])']}",
         "transform", "", "is not supported here"},
        {"", "filter: {metrics: {metric: ['name == \"${file:/etc/passwd}\"']}}", "filter", "",
         "'${file:/etc/passwd}' is not supported: write ${env:NAME}"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        refused(cases[i].scrape, cases[i].processors, cases[i].used, cases[i].exporter,
                cases[i].words);
}

static void all_problems_are_told_at_once(void **state)
{
    struct buf problems = BUF_INIT;
    struct agent_config c;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(
        config_read(
            STR("receivers:\n  kafka: {}\nextensions:\n  zpages: {}\nconnectors: {}\n"
                "service:\n  pipelines:\n    traces: {}\n    metrics:\n      receivers: [kafka]\n"),
            test_env, &c, &problems, &err),
        ERR_INVALID);
    assert_string_equal(err.msg, "invalid configuration: 5 problems");
    assert_non_null(strstr(buf_cstr(&problems), "connectors (line 5): not supported here"));
    assert_non_null(strstr(buf_cstr(&problems),
                           "extensions (line 4): not supported here: there are no extensions"));
    assert_non_null(strstr(buf_cstr(&problems), "receivers.kafka (line 2): not supported here"));
    assert_non_null(
        strstr(buf_cstr(&problems),
               "service.pipelines.traces (line 8): not supported here: only metrics are"));
    assert_non_null(
        strstr(buf_cstr(&problems),
               "service.pipelines.metrics (line 10): a pipeline needs receivers and exporters"));
    config_done(&c);
    buf_clear(&problems);
    assert_int_equal(config_read(STR("a: b\n c: ["), test_env, &c, &problems, &err), ERR_INVALID);
    assert_non_null(strstr(buf_cstr(&problems), "line 2: not YAML"));
    config_done(&c);
    buf_clear(&problems);
    assert_int_equal(config_read(STR(""), test_env, &c, &problems, &err), ERR_INVALID);
    assert_non_null(
        strstr(buf_cstr(&problems), "service.pipelines: a pipeline 'metrics' expected"));
    config_done(&c);
    buf_done(&problems);
}

/* --- values --- */

static void variables_are_expanded(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"${env:HOST}:1", "10.0.0.1:1"}, {"${HOST}:1", "10.0.0.1:1"}, {"$(HOST):1", "10.0.0.1:1"},
        {"${env:NONE:-b}:1", "b:1"},     {"${EMPTY:-c}:1", "c:1"},    {"a${env:NONE}b:1", "ab:1"},
        {"a$$(HOST):1", "a$(HOST):1"},   {"$(NONE):1", "$(NONE):1"},  {"a$b:1", "a$b:1"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a = ARENA_INIT;
        const struct node *root;
        AUTO_FREE char *yaml = mem_printf("x: '%s'", cases[i].in);

        assert_int_equal(node_read(&a, str_of(yaml), test_env, &root, NULL), 0);
        assert_true(str_is(node_get(root, "x")->text, cases[i].out));
        arena_done(&a);
    }
}

static void anchors_and_merge_keys(void **state)
{
    struct arena a = ARENA_INIT;
    const struct node *root;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(
        node_read(&a, STR("a: &x {k: 1, l: 2}\nb: {<<: *x, k: 3}\nc: *x\n"), test_env, &root, &err),
        0);
    assert_true(str_is(node_get(node_get(root, "b"), "k")->text, "3"));
    assert_true(str_is(node_get(node_get(root, "b"), "l")->text, "2"));
    assert_true(str_is(node_get(node_get(root, "c"), "k")->text, "1"));
    assert_int_equal(node_read(&a, STR("a: 1\na: 2\n"), test_env, &root, &err), ERR_BAD_INPUT);
    assert_string_equal(err.msg, "line 2: the key 'a' is there twice");
    arena_done(&a);
}

static void durations(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {{"5s", 5000}, {"100ms", 100}, {"1m30s", 90000},  {"1.5h", 5400000},
                 {"0", 0},     {"0s", 0},      {"2d", 172800000}, {"1500us", 1}};
    static const char *const bad[] = {"", "5", "s", "5 s", "1m30", "-5s", "5x", "1e9y"};
    int64_t ms;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_true(config_duration(str_of(cases[i].text), &ms));
        assert_int_equal(ms, cases[i].ms);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(config_duration(str_of(bad[i]), &ms));
}

static void resource_attributes_of_the_environment(void **state)
{
    struct arena a = ARENA_INIT;
    struct attrs l;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(attrs_parse_env(&a, STR(" a=1, b = x%20y ,c=,a=2,"), &l, &err), 0);
    assert_int_equal(l.n, 3);
    assert_true(str_is(attrs_get(&l, STR("a"))->text, "2"));
    assert_true(str_is(attrs_get(&l, STR("b"))->text, "x y"));
    assert_true(str_is(attrs_get(&l, STR("c"))->text, ""));
    assert_int_equal(attrs_parse_env(&a, STR(""), &l, &err), 0);
    assert_int_equal(l.n, 0);
    assert_int_equal(attrs_parse_env(&a, STR("a=1,b"), &l, &err), ERR_BAD_INPUT);
    assert_int_equal(attrs_parse_env(&a, STR("a=1,=b"), &l, &err), ERR_BAD_INPUT);
    assert_int_equal(attrs_parse_env(&a, STR("a=%zz"), &l, &err), ERR_BAD_INPUT);
    assert_int_equal(attrs_parse_env(&a, STR("a=%ff"), &l, &err), ERR_BAD_INPUT);
    arena_done(&a);
}

static void processors_run_in_their_order(void **state)
{
    struct agent_config c;
    struct attrs resource = {0}, point = {0};
    struct buf b = BUF_INIT;

    (void)state;
    buf_printf(&b, RECEIVER, "");
    buf_printf(&b, "processors:\n"
                   "  resourcedetection: {detectors: [env]}\n"
                   "  resource: {attributes: [{key: n, value: 5, action: insert}, {key: n, value: "
                   "6, action: insert}, "
                   "{key: none, value: x, action: update}, {key: copy, from_attribute: a, action: "
                   "upsert}, {key: a, action: delete}]}\n"
                   "  transform/1: {metric_statements: ['set(datapoint.attributes[\"pod\"], "
                   "resource.attributes[\"k8s.pod.name\"])', "
                   "'set(datapoint.attributes[\"none\"], resource.attributes[\"missing\"])', "
                   "'set(resource.attributes[\"lit\"], \"q\\\"\")']}\n");
    buf_printf(&b, EXPORTER, "");
    buf_printf(&b, TAIL, "resourcedetection, resource, transform/1");
    read_ok(buf_cstr(&b), &c);
    attrs_set(&c.arena, &resource, STR("k8s.pod.name"), otlpw_text(STR("before")));
    assert_true(process_run(&c, &c.arena, STR("m"), &resource, &point));
    assert_true(str_is(attrs_get(&resource, STR("k8s.pod.name"))->text,
                       "p-1")); /* override is the default */
    assert_null(attrs_get(&resource, STR("a")));
    assert_true(str_is(attrs_get(&resource, STR("copy"))->text, "\xc3\xa4,"));
    assert_true(str_is(attrs_get(&resource, STR("n"))->text, "5"));
    assert_int_equal(attrs_get(&resource, STR("n"))->kind, OTLPW_INT);
    assert_null(attrs_get(&resource, STR("none")));
    assert_true(str_is(attrs_get(&resource, STR("lit"))->text, "q\""));
    assert_int_equal(point.n, 1);
    assert_true(str_is(attrs_get(&point, STR("pod"))->text, "p-1"));
    config_done(&c);
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_kserve_generates_is_read),
        cmocka_unit_test(what_is_not_supported_is_named),
        cmocka_unit_test(all_problems_are_told_at_once),
        cmocka_unit_test(variables_are_expanded),
        cmocka_unit_test(anchors_and_merge_keys),
        cmocka_unit_test(durations),
        cmocka_unit_test(resource_attributes_of_the_environment),
        cmocka_unit_test(processors_run_in_their_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
