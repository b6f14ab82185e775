/* SPDX-License-Identifier: Apache-2.0
 *
 * From exposition text to OTLP: the vLLM pages against what the collector's rules make of them, and
 * what a page does over time: news, ends, failures. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "../cmocka_all.h"

#include "agent/page.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/table.h"
#include "codec/otlp.h"
#include "codec/otlp_json.h"
#include "codec/protobuf.h"

#define T0 1788184200123
#define ENV                                                                               \
    "k8s.deployment.name=huggingface-fbopt-predictor,"                                    \
    "k8s.deployment.uid=5e0c8b8e-6f0e-4a83-9f0e-0b1a6b6b9d11,k8s.namespace.name=default," \
    "k8s.node.name=node-a,k8s.pod.name=huggingface-fbopt-predictor-6c7f9b8d5c-x2k4q,"     \
    "k8s.pod.uid=0f5f3c7a-9f0b-4f2e-8a59-2f7c1d0e4b77,"                                   \
    "k8s.replicaset.name=huggingface-fbopt-predictor-6c7f9b8d5c,"                         \
    "k8s.replicaset.uid=b6a5f0b0-37a5-4b7b-8f5e-6d6f5a1e2c33"

static const char transform[] =
    "  resourcedetection/env: {detectors: [env], timeout: 2s, override: false}\n"
    "  transform:\n"
    "    metric_statements:\n"
    "    - context: datapoint\n"
    "      statements:\n"
    "      - set(attributes[\"namespace\"], resource.attributes[\"k8s.namespace.name\"])\n"
    "      - set(attributes[\"deployment\"], resource.attributes[\"k8s.deployment.name\"])\n"
    "      - set(attributes[\"pod\"], resource.attributes[\"k8s.pod.name\"])\n";

static const char *test_env(const char *name)
{
    return strcmp(name, "OTEL_RESOURCE_ATTRIBUTES") == 0 ? ENV : NULL;
}

struct fixture {
    struct agent_config config;
    struct page *page;
    struct buf out;
    int64_t t_ms;
};

/* extra: further keys of the scrape configuration; processors: their definitions; pipeline: which.
 */
static void begin(struct fixture *f, const char *extra, const char *processors,
                  const char *pipeline)
{
    struct buf yaml = BUF_INIT, problems = BUF_INIT;
    struct err err = ERR_INIT;

    buf_printf(
        &yaml,
        "receivers:\n  prometheus:\n    config:\n      scrape_configs:\n"
        "      - job_name: otel-collector\n        scrape_interval: 5s\n"
        "        static_configs: [{targets: ['localhost:8080']}]\n%s"
        "processors:\n%s"
        "exporters:\n  otlp: {endpoint: 'a:4317', compression: none, tls: {insecure: true}}\n"
        "service:\n  pipelines:\n    metrics:\n      receivers: [prometheus]\n"
        "      processors: [%s]\n      exporters: [otlp]\n",
        extra, processors, pipeline);
    *f = (struct fixture){.t_ms = T0};
    if (config_read(buf_str(&yaml), test_env, &f->config, &problems, &err) < 0)
        fail_msg("%s\n%s", err.msg, buf_cstr(&problems));
    f->page = page_new(&f->config, &f->config.jobs[0], &f->config.jobs[0].targets[0]);
    buf_done(&yaml);
    buf_done(&problems);
}

static void end(struct fixture *f)
{
    page_free(f->page);
    config_done(&f->config);
    buf_done(&f->out);
}

static int take(struct fixture *f, const char *text, enum promtext_format format)
{
    struct page_scrape s = {f->t_ms, 0.01187};
    struct err err = ERR_INIT;

    return page_take(f->page, str_of(text), format, &s, &err);
}

static char *read_file(const char *name, size_t *n)
{
    char path[500], part[8192];
    struct buf b = BUF_INIT;
    size_t got;
    FILE *f;

    snprintf(path, sizeof(path), "%s/otel/%s", FB_TEST_DATA, name);
    f = fopen(path, "re");
    assert_non_null(f);
    while ((got = fread(part, 1, sizeof(part), f)) > 0)
        buf_add(&b, part, got);
    fclose(f);
    return buf_take(&b, n);
}

/* --- a request as text: one line a message, whose fields are sorted; sorted lists are equal --- */

/* Which length-delimited fields are messages, by the path of field numbers from the request. */
static bool is_message(const char *path)
{
    static const char *const messages[] = {"1",
                                           "1.1",
                                           "1.1.1",
                                           "1.1.1.2",
                                           "1.2",
                                           "1.2.1",
                                           "1.2.2",
                                           "1.2.2.12",
                                           "1.2.2.12.2",
                                           "1.2.2.5",
                                           "1.2.2.7",
                                           "1.2.2.9",
                                           "1.2.2.11",
                                           "1.2.2.5.1",
                                           "1.2.2.7.1",
                                           "1.2.2.9.1",
                                           "1.2.2.11.1",
                                           "1.2.2.5.1.7",
                                           "1.2.2.7.1.7",
                                           "1.2.2.9.1.9",
                                           "1.2.2.11.1.7",
                                           "1.2.2.5.1.7.2",
                                           "1.2.2.7.1.7.2",
                                           "1.2.2.9.1.9.2",
                                           "1.2.2.11.1.7.2",
                                           "1.2.2.11.1.6",
                                           "1.2.2.7.1.5",
                                           "1.2.2.7.1.5.7",
                                           "1.2.2.7.1.5.7.2",
                                           "1.2.2.9.1.8",
                                           "1.2.2.9.1.8.7",
                                           "1.2.2.9.1.8.7.2"};

    for (size_t i = 0; i < ARRAY_LEN(messages); i++)
        if (strcmp(path, messages[i]) == 0)
            return true;
    return false;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *canonical(struct str m, const char *path)
{
    char *fields[4000];
    size_t n = 0;
    struct buf b = BUF_INIT, packed[2] = {BUF_INIT, BUF_INIT};
    struct pb_field f = {0};

    while (m.n && n < ARRAY_LEN(fields)) {
        char at[64];

        assert_true(pb_next(&m, &f));
        snprintf(at, sizeof(at), "%s%s%llu", path, *path ? "." : "", (unsigned long long)f.number);
        if (strcmp(at, "1.2.1.2") == 0)
            continue; /* the scope's version is our own */
        if (strcmp(path, "1.2.2.9.1") == 0 && (f.number == 6 || f.number == 7)) {
            /* packed or not */
            for (size_t i = 0; i < (f.wire == PB_BYTES ? f.bytes.n : 8); i++)
                buf_printf(&packed[f.number - 6], "%02x",
                           f.wire == PB_BYTES ? (unsigned char)f.bytes.p[i]
                                              : (unsigned char)(f.value >> (8 * i)));
        } else if (f.wire != PB_BYTES) {
            fields[n++] = mem_printf("%s=%llx", at, (unsigned long long)f.value);
        } else if (is_message(at)) {
            char *inner = canonical(f.bytes, at);

            fields[n++] = mem_printf("%s{%s}", at, inner);
            free(inner);
        } else {
            struct buf hex = BUF_INIT;
            bool is_text = str_is_utf8(f.bytes) && (f.bytes.n == 0 || f.bytes.p[0] >= ' ');

            for (size_t i = 0; i < f.bytes.n && !is_text; i++)
                buf_printf(&hex, "%02x", (unsigned char)f.bytes.p[i]);
            fields[n++] = is_text ? mem_printf("%s='%.*s'", at, STR_ARG(f.bytes))
                                  : mem_printf("%s=%s", at, buf_cstr(&hex));
            buf_done(&hex);
        }
    }
    qsort(fields, n, sizeof(*fields), by_text);
    buf_printf(&b, "%s %s ", buf_cstr(&packed[0]), buf_cstr(&packed[1]));
    buf_done(&packed[0]);
    buf_done(&packed[1]);
    for (size_t i = 0; i < n; i++) {
        buf_printf(&b, "%s%s", fields[i], strcmp(path, "1.2") == 0 ? "\n" : " ");
        free(fields[i]);
    }
    return buf_take(&b, NULL);
}

static void assert_same_request(struct str got, struct str want)
{
    AUTO_FREE char *a = canonical(got, ""), *b = canonical(want, "");
    struct str x = str_of(a), y = str_of(b), lx, ly;

    while (str_split(&x, '\n', &lx)) {
        assert_true(str_split(&y, '\n', &ly));
        if (!str_eq(lx, ly)) {
            size_t i = 0;

            while (i < lx.n && i < ly.n && lx.p[i] == ly.p[i])
                i++;
            i = i > 100 ? i - 100 : 0;
            fail_msg("%.60s\ngot  ...%.300s\nwant ...%.300s", lx.p, lx.p + i, ly.p + i);
        }
    }
    assert_null(y.p);
}

static void assert_like_file(struct fixture *f, const char *name)
{
    size_t n;
    AUTO_FREE char *json = read_file(name, &n);
    struct buf pb = BUF_INIT;
    struct err err = ERR_INIT;

    assert_int_equal(otlp_from_json(str_n(json, n), &pb, &err), 0);
    assert_int_equal(otlp_check(buf_str(&f->out), &err), 0);
    assert_same_request(buf_str(&f->out), buf_str(&pb));
    buf_done(&pb);
}

/* --- pages --- */

static void page_is_what_the_collector_exports(const char *page, enum promtext_format format,
                                               const char *processors, const char *expected,
                                               size_t points)
{
    size_t n;
    AUTO_FREE char *text = read_file(page, &n);
    struct fixture f;
    struct buf definitions = BUF_INIT;

    buf_printf(&definitions,
               "%s  filter/metrics: {metrics: {include: {match_type: strict, metric_names: "
               "['vllm:num_requests_running']}}}\n",
               transform);
    begin(&f, "", buf_cstr(&definitions), processors);
    buf_done(&definitions);
    assert_int_equal(take(&f, text, format), 0);
    assert_int_equal(page_samples(f.page), 328);
    assert_int_equal(page_write(f.page, &f.out), points);
    assert_like_file(&f, expected);
    end(&f);
}

static void openmetrics_page(void **state)
{
    (void)state;
    page_is_what_the_collector_exports("vllm_page1.openmetrics.txt", PROMTEXT_OPENMETRICS,
                                       "resourcedetection/env, transform", "vllm_page1.otlp.json",
                                       53);
}

static void text_page(void **state)
{
    (void)state;
    page_is_what_the_collector_exports("vllm_page1.prom", PROMTEXT_004,
                                       "resourcedetection/env, transform",
                                       "vllm_page1.from-text.otlp.json", 78);
}

static void filtered_page(void **state)
{
    (void)state;
    page_is_what_the_collector_exports("vllm_page1.openmetrics.txt", PROMTEXT_OPENMETRICS,
                                       "resourcedetection/env, transform, filter/metrics",
                                       "vllm_page1.filtered.otlp.json", 1);
}

static void second_page_takes_the_short_way_to_the_same(void **state)
{
    size_t n;
    AUTO_FREE char *one = read_file("vllm_page1.openmetrics.txt", &n),
                   *two = read_file("vllm_page2.openmetrics.txt", &n);
    struct fixture f;

    (void)state;
    begin(&f, "", transform, "resourcedetection/env, transform");
    assert_int_equal(take(&f, one, PROMTEXT_OPENMETRICS), 0);
    page_write(f.page, &f.out);
    buf_clear(&f.out);
    f.t_ms = T0 + 5000;
    assert_int_equal(take(&f, two, PROMTEXT_OPENMETRICS), 0);
    assert_true(page_has_news(f.page));
    assert_int_equal(page_write(f.page, &f.out), 53);
    assert_like_file(&f, "vllm_page2.otlp.json");
    end(&f);
}

/* --- over time --- */

static void on_point(void *arg, const struct otlp_point *p)
{
    struct buf *b = arg;
    bool stale = p->is_absent;

    if (str_starts(p->name, STR("scrape_")))
        return;
    buf_printf(b, "%.*s", STR_ARG(p->name));
    if (stale)
        buf_add_cstr(b, " stale");
    else if (p->kind == OTLP_GAUGE || p->kind == OTLP_SUM)
        buf_printf(b, " %g", p->value);
    else
        buf_printf(b, " n=%llu", (unsigned long long)p->count);
    buf_printf(b, " @%lld; ", (long long)(p->time_ns / 1000000) - T0);
}

static const char *pushed(struct fixture *f)
{
    static char text[4000];
    struct buf b = BUF_INIT;

    buf_clear(&f->out);
    page_write(f->page, &f->out);
    otlp_walk(buf_str(&f->out), on_point, &b);
    snprintf(text, sizeof(text), "%s", buf_cstr(&b));
    buf_done(&b);
    return text;
}

static void series_that_vanish_end_once(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, "", "", "");
    assert_int_equal(take(&f, "a 1\nb 2\n", PROMTEXT_004), 0);
    assert_true(page_has_news(f.page));
    assert_string_equal(pushed(&f), "up 1 @0; a 1 @0; b 2 @0; ");
    assert_false(page_has_news(f.page));
    f.t_ms += 100;
    assert_int_equal(take(&f, "a 1\n", PROMTEXT_004), 0);
    assert_true(page_has_news(f.page));
    assert_string_equal(pushed(&f), "up 1 @100; a 1 @100; b stale @100; ");
    f.t_ms += 100;
    assert_int_equal(take(&f, "a 1\n", PROMTEXT_004), 0);
    assert_false(page_has_news(f.page));
    assert_string_equal(pushed(&f), "up 1 @200; a 1 @200; ");
    f.t_ms += 100;
    assert_int_equal(take(&f, "a 1\nb 2\n", PROMTEXT_004), 0); /* and it may come again */
    assert_true(page_has_news(f.page));
    assert_string_equal(pushed(&f), "up 1 @300; a 1 @300; b 2 @300; ");
    end(&f);
}

static void failed_scrape_ends_all_series(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, "", "", "");
    assert_int_equal(take(&f, "a 1\n", PROMTEXT_004), 0);
    pushed(&f);
    f.t_ms += 100;
    assert_int_equal(take(&f, "a 2\nc 3\nthis is not a page\n", PROMTEXT_004), ERR_BAD_INPUT);
    assert_true(page_has_news(f.page));
    assert_string_equal(pushed(&f), "up 0 @100; a stale @100; "); /* nothing of the bad page */
    f.t_ms += 100;
    page_fail(f.page, &(struct page_scrape){f.t_ms, 1});
    assert_false(page_has_news(f.page));
    assert_string_equal(pushed(&f), "up 0 @200; ");
    f.t_ms += 100;
    assert_int_equal(take(&f, "a 1\n", PROMTEXT_004), 0);
    assert_string_equal(pushed(&f), "up 1 @300; a 1 @300; ");
    f.t_ms += 100;
    page_end(f.page, f.t_ms);
    assert_string_equal(pushed(&f), "up stale @400; a stale @400; ");
    assert_string_equal(pushed(&f), "");
    end(&f);
}

static void same_page_is_not_read_again(void **state)
{
    struct fixture f;
    struct page_scrape s;

    (void)state;
    begin(&f, "", "", "");
    assert_int_equal(take(&f, "a 1\n", PROMTEXT_004), 0);
    pushed(&f);
    s = (struct page_scrape){T0 + 100, 0.001};
    assert_false(page_repeat(f.page, STR("a 2\n"), &s));
    assert_true(page_repeat(f.page, STR("a 1\n"), &s));
    assert_false(page_has_news(f.page));
    assert_string_equal(pushed(&f), "up 1 @100; a 1 @100; ");
    end(&f);
}

static void own_times_are_kept_and_end_silently(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, "", "", "");
    assert_int_equal(take(&f, "a 1 1788184200000\nb 1\n", PROMTEXT_004), 0);
    assert_string_equal(pushed(&f), "up 1 @0; a 1 @-123; b 1 @0; ");
    assert_false(
        page_repeat(f.page, STR("a 1 1788184200000\nb 1\n"), &(struct page_scrape){T0, 0}));
    f.t_ms += 100;
    assert_int_equal(take(&f, "b 1\n", PROMTEXT_004), 0);
    assert_string_equal(pushed(&f), "up 1 @100; b 1 @100; ");
    end(&f);
}

static void filters_drop_news_too(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, "", "  filter/ottl: {error_mode: ignore, metrics: {metric: ['name != \"a\"']}}\n",
          "filter/ottl");
    assert_int_equal(take(&f, "a 1\nb 2\n", PROMTEXT_004), 0);
    assert_string_equal(pushed(&f), "a 1 @0; ");
    assert_int_equal(take(&f, "a 1\nb 3\n", PROMTEXT_004), 0);
    assert_false(page_has_news(f.page));
    assert_int_equal(take(&f, "a 1.5\nb 3\n", PROMTEXT_004), 0);
    assert_true(page_has_news(f.page));
    end(&f);
}

static void two_conditions_drop_everything(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, "", "  filter/ottl: {metrics: {metric: ['name != \"a\"', 'name != \"b\"']}}\n",
          "filter/ottl");
    assert_int_equal(take(&f, "a 1\nb 2\n", PROMTEXT_004), 0);
    assert_false(page_has_news(f.page));
    assert_int_equal(page_write(f.page, &f.out), 0);
    end(&f);
}

static void bad_histograms_are_left_out(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, "", "", "");
    assert_int_equal(
        take(&f,
             "# TYPE h histogram\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_sum "
             "1\n"
             "# TYPE n histogram\nn_bucket{le=\"1\"} 3\nn_bucket{le=\"+Inf\"} 3\n"
             "# TYPE ok histogram\nok_count 2\nok_bucket{le=\"+Inf\"} 2\nok_bucket{le=\"0.5\"} 1\n",
             PROMTEXT_004),
        0);
    assert_string_equal(pushed(&f), "up 1 @0; ok n=2 @0; ");
    f.t_ms += 1;
    assert_int_equal(take(&f, "# TYPE ok histogram\n", PROMTEXT_004), 0);
    assert_non_null(strstr(pushed(&f), "ok stale @1; "));
    end(&f);
}

static void a_changed_type_is_understood(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, "", "", "");
    assert_int_equal(take(&f, "# TYPE a gauge\na 1\nb 1\n", PROMTEXT_004), 0);
    pushed(&f);
    f.t_ms += 1;
    assert_int_equal(take(&f, "# TYPE a counter\na 2\nb 1\n", PROMTEXT_004), 0);
    assert_string_equal(pushed(&f), "up 1 @1; b 1 @1; a 2 @1; ");
    end(&f);
}

static void target_info_and_scope_leave_the_points(void **state)
{
    struct fixture f;
    AUTO_FREE char *text = NULL;

    (void)state;
    begin(&f, "", "", "");
    assert_int_equal(
        take(
            &f,
            "# TYPE a gauge\na{otel_scope_name=\"lib\",otel_scope_version=\"2\",x=\"\",y=\"z\"} 1\n"
            "# TYPE target info\ntarget_info{k=\"v\"} 1\n# EOF\n",
            PROMTEXT_OPENMETRICS),
        0);
    pushed(&f);
    text = canonical(buf_str(&f.out), "");
    assert_non_null(strstr(text, "1.1.1.1='k'"));
    assert_non_null(strstr(text, "1.2.1.1='lib'"));
    assert_non_null(strstr(text, "1.2.2.5.1.7.1='y'"));
    assert_null(strstr(text, "='x'"));
    assert_null(strstr(text, "target_info"));
    end(&f);
}

static void labels_of_the_target_win(void **state)
{
    struct fixture f;
    AUTO_FREE char *text = NULL;

    (void)state;
    begin(&f, "", "", "");
    assert_int_equal(take(&f, "a{job=\"mine\",exported_job=\"x\"} 1\n", PROMTEXT_004), 0);
    pushed(&f);
    text = canonical(buf_str(&f.out), "");
    assert_non_null(strstr(text, "='exported_job'"));
    assert_non_null(strstr(text, "='exported_exported_job'"));
    end(&f);
    begin(&f, "        honor_labels: true\n", "", "");
    free(text);
    assert_int_equal(take(&f, "a{job=\"mine\"} 1\n", PROMTEXT_004), 0);
    pushed(&f);
    text = canonical(buf_str(&f.out), "");
    assert_non_null(strstr(text, "1.1.1.2.1='mine'")); /* service.name of a resource of its own */
    end(&f);
}

static void sample_limit_fails_the_scrape(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, "        sample_limit: 2\n", "", "");
    assert_int_equal(take(&f, "a 1\nb 1\n", PROMTEXT_004), 0);
    assert_int_equal(take(&f, "a 1\nb 1\nc 1\n", PROMTEXT_004), ERR_LIMIT);
    end(&f);
}

static void all_kinds_of_openmetrics(void **state)
{
    size_t n;
    AUTO_FREE char *page = read_file("odd_legal.openmetrics.txt", &n), *text = NULL;
    struct fixture f;
    static const char *const parts[] = {
        /* an exemplar with both ids; one whose trace_id is none; one with ids of zeros */
        "1.2.2.7.1.5.5=4bf92f3577b34da6a3ce929d0e0e4736",
        "1.2.2.7.1.5.4=00f067aa0ba902b7",
        "1.2.2.9.1.8.7.2.1='not-hex'",
        "1.2.2.9.1.8.7.2.1='00000000000000000000000000000000'",
        "'stateset'",
        "'info'",
        "1.1.1.1='k8s_pod_name'",
    };

    (void)state;
    begin(&f, "", "", "");
    f.t_ms = T0;
    assert_int_equal(take(&f, page, PROMTEXT_OPENMETRICS), 0);
    assert_string_equal(
        pushed(&f),
        "lat_seconds n=0 @0; sum_only n=2 @0; odd -0 @0; odd inf @0; odd nan @0; odd 1 @0; odd 1 "
        "@0; "
        "odd 1 @0; no_metadata 3 @0; http.server.active_requests 2 @0; vllm:num_requests_running 8 "
        "@0; "
        "up 1 @0; reqs_total 17 @0; reqs_total 0 @0; ttft_seconds n=4 @0; state 1 @0; state 0 @0; "
        "state 0 @0; build_info 1 @0; ");
    text = canonical(buf_str(&f.out), "");
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (!strstr(text, parts[i]))
            fail_msg("'%s' is not in: %s", parts[i], text);
    assert_null(strstr(text, "queue")); /* gaugehistograms have no form in OTLP */
    assert_null(strstr(text, "target_info"));
    end(&f);
}

/* --- properties --- */

/* What a receiver knows: name and labels -> value as text. */
struct receiver {
    struct table series;
};

static void receive(void *arg, const struct otlp_point *p)
{
    struct receiver *r = arg;
    struct otlp_attributes a = p->attributes;
    struct buf key = BUF_INIT, text = BUF_INIT;
    struct str name;

    if (str_starts(p->name, STR("scrape_")) || str_is(p->name, "up"))
        return;
    buf_printf(&key, "%.*s", STR_ARG(p->name));
    while (otlp_attribute(&a, &name, &text))
        buf_printf(&key, ",%.*s=%s", STR_ARG(name), buf_cstr(&text));
    free(table_del(&r->series, buf_str(&key)));
    if (!p->is_absent && p->kind == OTLP_HISTOGRAM)
        table_set(&r->series, buf_str(&key), mem_printf("%llu", (unsigned long long)p->count));
    else if (!p->is_absent)
        table_set(&r->series, buf_str(&key), mem_printf("%g", p->value));
    buf_done(&key);
    buf_done(&text);
}

/* A page of random series, and what a receiver must know when it has got it. */
static void random_page(struct rng *rng, struct buf *page, struct table *want)
{
    for (unsigned i = 0; i < 12; i++) {
        unsigned value = (unsigned)rng_below(rng, 3), label = (unsigned)rng_below(rng, 3);
        AUTO_FREE char *key = mem_printf("m%u,l=%u", i, label);

        if (rng_below(rng, 3) == 0)
            continue;
        if (i < 8) { /* of a type that changes once in a while */
            if (rng_below(rng, 200) == 0)
                buf_printf(page, "# TYPE m%u %s\n", i, rng_below(rng, 2) ? "gauge" : "counter");
            buf_printf(page, "m%u{l=\"%u\"} %u\n", i, label, value);
        } else {
            buf_printf(page,
                       "# TYPE m%u histogram\nm%u_bucket{le=\"1\",l=\"%u\"} %u\n"
                       "m%u_bucket{le=\"+Inf\",l=\"%u\"} %u\nm%u_count{l=\"%u\"} %u\n",
                       i, i, label, value, i, label, value, i, label, value);
        }
        table_set(want, str_of(key), mem_printf("%u", value));
    }
}

static void drop_all(struct table *t)
{
    size_t i = 0;
    void *v;

    while (table_next(t, &i, NULL, &v))
        free(v);
    table_done(t);
}

static void assert_same_tables(const struct table *got, const struct table *want)
{
    size_t i = 0;
    struct str key;
    void *v;

    while (table_next(want, &i, &key, &v)) {
        const char *g = table_get(got, key);

        if (!g || strcmp(g, v) != 0)
            fail_msg("%.*s is %s, expected %s", STR_ARG(key), g ? g : "not there", (char *)v);
    }
    assert_int_equal(got->count, want->count);
}

/* Pushing only when there is news, a receiver always knows what the last page said, through failed
 * and malformed scrapes too; and never hears the same twice as news. */
static void receiver_knows_the_page_from_news_alone(void **state)
{
    struct receiver r = {.series = TABLE_INIT};
    struct fixture f;
    uint64_t seed;
    struct rng rng;
    size_t idle = 0;

    (void)state;
    rand_bytes(&seed, sizeof(seed));
    print_message("seed %llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    begin(&f, "", "", "");
    for (int i = 0; i < 3000; i++) {
        struct buf page = BUF_INIT;
        struct table want = TABLE_INIT;
        unsigned what = (unsigned)rng_below(&rng, 10);
        int repeats = (int)rng_below(&rng, 3);

        f.t_ms += 100;
        random_page(&rng, &page, &want);
        if (what == 0) {
            page_fail(f.page, &(struct page_scrape){f.t_ms, 1});
        } else if (what == 1) {
            buf_add_cstr(&page, "}\n");
            assert_int_equal(take(&f, buf_cstr(&page), PROMTEXT_004), ERR_BAD_INPUT);
        } else {
            for (int k = 0; k <= repeats; k++)
                assert_int_equal(take(&f, buf_cstr(&page), PROMTEXT_004), 0);
        }
        if (what <= 1)
            drop_all(&want);
        idle += !page_has_news(f.page);
        if (page_has_news(f.page)) {
            buf_clear(&f.out);
            page_write(f.page, &f.out);
            assert_int_equal(otlp_check(buf_str(&f.out), NULL), 0);
            otlp_walk(buf_str(&f.out), receive, &r);
        }
        assert_same_tables(&r.series, &want);
        if (what > 1) { /* once more the same is no news */
            assert_int_equal(take(&f, buf_cstr(&page), PROMTEXT_004), 0);
            assert_false(page_has_news(f.page));
        }
        drop_all(&want);
        buf_done(&page);
    }
    page_end(f.page, f.t_ms + 1);
    buf_clear(&f.out);
    page_write(f.page, &f.out);
    otlp_walk(buf_str(&f.out), receive, &r);
    assert_int_equal(r.series.count, 0);
    drop_all(&r.series);
    print_message("%zu of 3000 pages were no news\n", idle);
    end(&f);
}

/* Series and families that are never the same twice. */
static void churn_does_not_grow(void **state)
{
    struct fixture f;
    struct mallinfo2 before = {0};

    (void)state;
    begin(&f, "", "", "");
    for (int i = 0; i < 60000; i++) {
        AUTO_FREE char *page =
            mem_printf("# TYPE f%d gauge\n# HELP f%d A text.\nf%d{l=\"%d\"} 1\n", i, i, i, i);

        if (i == 25000)
            before = mallinfo2();
        f.t_ms += 100;
        assert_int_equal(take(&f, page, PROMTEXT_004), 0);
        buf_clear(&f.out);
        assert_true(page_write(f.page, &f.out) >= 6);
    }
    assert_true(mallinfo2().uordblks < before.uordblks + (8 << 20)); /* under ASan: nothing */
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openmetrics_page),
        cmocka_unit_test(text_page),
        cmocka_unit_test(filtered_page),
        cmocka_unit_test(second_page_takes_the_short_way_to_the_same),
        cmocka_unit_test(series_that_vanish_end_once),
        cmocka_unit_test(failed_scrape_ends_all_series),
        cmocka_unit_test(same_page_is_not_read_again),
        cmocka_unit_test(own_times_are_kept_and_end_silently),
        cmocka_unit_test(filters_drop_news_too),
        cmocka_unit_test(two_conditions_drop_everything),
        cmocka_unit_test(bad_histograms_are_left_out),
        cmocka_unit_test(a_changed_type_is_understood),
        cmocka_unit_test(target_info_and_scope_leave_the_points),
        cmocka_unit_test(labels_of_the_target_win),
        cmocka_unit_test(sample_limit_fails_the_scrape),
        cmocka_unit_test(all_kinds_of_openmetrics),
        cmocka_unit_test(receiver_knows_the_page_from_news_alone),
        cmocka_unit_test(churn_does_not_grow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
