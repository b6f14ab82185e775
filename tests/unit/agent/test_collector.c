/* SPDX-License-Identifier: Apache-2.0
 *
 * When the agent scrapes and when it pushes, in virtual time against a made-up target. */
#include <stdio.h>
#include <stdlib.h>

#include "../cmocka_all.h"

#include "agent/collector.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/otlp.h"

#define START 1788184200042 /* not at a multiple of anything */

struct fixture {
    struct http_client http; /* first: calls find the fixture by it */
    struct loop *loop;
    struct agent_config config;
    struct collector *c;
    const char *page; /* NULL: refuses connections */
    int64_t delay_ms;
    int n_scrapes, n_running, n_pushes;
    int64_t scrape_ms[200], first_off;
    char last_url[200], last_addr[64];
    struct buf pushed; /* "name=value@ms " of all points but up */
};

struct http_call {
    struct http_call_head head;
    struct fixture *f;
    struct http_call_options o;
    struct loop_timer timer;
};

static void on_due(void *arg)
{
    struct http_call *c = arg;
    struct fixture *f = c->f;
    struct http_header type = {STR("content-type"), STR("text/plain")};
    struct http_response r = {200, {&type, 1}};
    struct err err = {.code = ERR_UNAVAILABLE, .msg = "connection refused"};
    struct http_call_options o = c->o;

    f->n_running--;
    free(c);
    if (f->page)
        o.on_all(o.arg, &r, str_of(f->page), NULL);
    else
        o.on_all(o.arg, NULL, STR_NONE, &err);
}

static struct http_call *fake_send(struct http_client *client, const struct http_call_options *o)
{
    struct fixture *f = (struct fixture *)client;
    struct http_call *c = mem_zalloc(sizeof(*c));

    c->head.client = client;
    c->f = f;
    c->o = *o;
    snprintf(f->last_url, sizeof(f->last_url), "%s", o->url);
    if (o->addr)
        net_addr_text(o->addr, f->last_addr);
    assert_non_null(http_header_get(o->headers, "accept").p);
    if (f->n_scrapes < 200)
        f->scrape_ms[f->n_scrapes] = loop_wall_ms(f->loop);
    f->n_scrapes++;
    f->n_running++;
    loop_timer_init(&c->timer, f->loop, on_due, c);
    loop_timer_start(&c->timer, f->delay_ms);
    return c;
}

static void fake_cancel(struct http_call *c)
{
    c->f->n_running--;
    loop_timer_stop(&c->timer);
    free(c);
}

static const struct http_client_ops fake_ops = {.send = fake_send, .cancel = fake_cancel};

static void on_point(void *arg, const struct otlp_point *p)
{
    struct buf *b = arg;

    if (str_starts(p->name, STR("scrape_")) || str_is(p->name, "up"))
        return;
    buf_printf(b, "%.*s=", STR_ARG(p->name));
    if (p->is_absent)
        buf_add_cstr(b, "end");
    else
        buf_printf(b, "%g", p->value);
    buf_printf(b, "@%lld ", (long long)(p->time_ns / 1000000) - START / 1000 * 1000);
}

static void on_request(void *arg, struct str request)
{
    struct fixture *f = arg;
    struct err err = ERR_INIT;

    f->n_pushes++;
    assert_int_equal(otlp_check(request, &err), 0);
    otlp_walk(request, on_point, &f->pushed);
}

static const char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

static void begin(struct fixture *f, const char *target, const char *pod_ip, int64_t interval_ms,
                  int64_t heartbeat_ms)
{
    struct buf problems = BUF_INIT;
    struct err err = ERR_INIT;
    AUTO_FREE char *yaml = mem_printf(
        "receivers: {prometheus: {config: {scrape_configs: [{job_name: j, scrape_interval: 5s, "
        "static_configs: [{targets: ['%s']}]}]}}}\n"
        "processors: {filter: {metrics: {include: {match_type: strict, metric_names: [a, b]}}}}\n"
        "exporters: {debug: {}}\n"
        "service: {pipelines: {metrics: {receivers: [prometheus], processors: [filter], exporters: "
        "[debug]}}}\n",
        target);

    *f = (struct fixture){.http = {.ops = &fake_ops}, .page = "a 1\nnoise 1\n", .delay_ms = 3};
    log_set_level(LOG_LEVEL_ERROR + 1);
    f->loop = loop_new_sim(START);
    if (config_read(str_of(yaml), no_env, &f->config, &problems, &err) < 0)
        fail_msg("%s", buf_cstr(&problems));
    buf_done(&problems);
    assert_int_equal(collector_new(&(struct collector_options){.config = &f->config,
                                                               .loop = f->loop,
                                                               .http = &f->http,
                                                               .interval_ms = interval_ms,
                                                               .heartbeat_ms = heartbeat_ms,
                                                               .pod_ip = pod_ip,
                                                               .on_request = on_request,
                                                               .arg = f},
                                   &f->c, &err),
                     0);
}

static void end(struct fixture *f)
{
    collector_free(f->c);
    assert_int_equal(f->n_running, 0);
    loop_free(f->loop);
    config_done(&f->config);
    buf_done(&f->pushed);
}

static void ticks_are_wall_clock_multiples(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, "localhost:8080", NULL, 100, 0);
    loop_run_for(f.loop, 1000);
    assert_int_equal(f.n_scrapes, 10);
    for (int i = 0; i < f.n_scrapes; i++)
        assert_int_equal(f.scrape_ms[i] % 100, 0);
    assert_int_equal(f.n_pushes, 10); /* heartbeat 0: every scrape */
    end(&f);

    begin(&f, "localhost:8080", NULL, 0, 5000); /* the configuration's 5 s */
    loop_run_for(f.loop, 20000);
    assert_int_equal(f.n_scrapes, 4);
    assert_int_equal(f.scrape_ms[0] % 5000, 0);
    assert_int_equal(f.n_pushes, 4); /* like the collector */
    end(&f);
}

static void only_news_and_heartbeats_are_pushed(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, "localhost:8080", NULL, 100, 5000);
    loop_run_for(f.loop, 1000);
    assert_int_equal(f.n_pushes, 1);
    f.page = "a 1\nnoise 2\n"; /* of no interest */
    loop_run_for(f.loop, 1000);
    assert_int_equal(f.n_pushes, 1);
    f.page = "a 2\nnoise 2\n";
    loop_run_for(f.loop, 1000);
    assert_int_equal(f.n_pushes, 2);
    f.page = "noise 2\n";
    loop_run_for(f.loop, 1000);
    assert_int_equal(f.n_pushes, 3);
    assert_string_equal(buf_cstr(&f.pushed), "a=1@100 a=2@2100 a=end@3100 ");
    f.page = "a 3\n";
    loop_run_for(f.loop, 20000);
    assert_int_equal(f.n_pushes, 7); /* one, and one each 5 s */
    end(&f);
}

static void refused_scrapes_end_series_once(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, "localhost:8080", NULL, 100, 5000);
    loop_run_for(f.loop, 150);
    f.page = NULL;
    loop_run_for(f.loop, 1000);
    f.page = "a 7\n";
    loop_run_for(f.loop, 1000);
    assert_string_equal(buf_cstr(&f.pushed), "a=1@100 a=end@200 a=7@1200 ");
    end(&f);
}

static void slow_scrape_is_waited_for(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, "localhost:8080", NULL, 100, 5000);
    f.delay_ms = 250;
    loop_run_for(f.loop, 1000);
    assert_int_equal(f.n_scrapes, 4); /* at 100, 400, 700, 1000 */
    assert_string_equal(buf_cstr(&f.pushed), "a=1@100 ");
    end(&f);
}

static void localhost_is_the_pod(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, "localhost:8080", "127.64.0.9", 100, 0);
    loop_run_for(f.loop, 100);
    assert_string_equal(f.last_url, "http://localhost:8080/metrics");
    assert_string_equal(f.last_addr, "127.64.0.9:8080");
    end(&f);
    begin(&f, "localhost:8080", NULL, 100, 0);
    loop_run_for(f.loop, 100);
    assert_string_equal(f.last_addr, "127.0.0.1:8080");
    end(&f);
    begin(&f, "127.0.0.1:8080", "127.64.0.9", 100, 0);
    loop_run_for(f.loop, 100);
    assert_string_equal(f.last_addr, "127.0.0.1:8080");
    end(&f);
    begin(&f, "name:8080", "127.64.0.9", 100, 0);
    loop_run_for(f.loop, 100);
    assert_string_equal(f.last_addr, ""); /* by DNS */
    end(&f);
}

static void the_end_is_told(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, "localhost:8080", NULL, 100, 5000);
    loop_run_for(f.loop, 159);
    collector_end(f.c);
    assert_string_equal(buf_cstr(&f.pushed), "a=1@100 a=end@201 ");
    loop_run_for(f.loop, 1000);
    assert_int_equal(f.n_pushes, 2);
    end(&f);
}

static void wall_clock_jumps_are_survived(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, "localhost:8080", NULL, 100, 5000);
    loop_run_for(f.loop, 1000);
    loop_sim_jump_wall(f.loop, -3600000);
    loop_run_for(f.loop, 1000);
    loop_sim_jump_wall(f.loop, 7200033);
    loop_run_for(f.loop, 1000);
    assert_in_range(f.n_scrapes, 29, 31);
    for (int i = 11; i < f.n_scrapes; i++)
        if (i != 20 && i != 21 && i != 10)
            assert_int_equal(f.scrape_ms[i] % 100, 0);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_are_wall_clock_multiples),
        cmocka_unit_test(only_news_and_heartbeats_are_pushed),
        cmocka_unit_test(refused_scrapes_end_series_once),
        cmocka_unit_test(slow_scrape_is_waited_for),
        cmocka_unit_test(localhost_is_the_pod),
        cmocka_unit_test(the_end_is_told),
        cmocka_unit_test(wall_clock_jumps_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
