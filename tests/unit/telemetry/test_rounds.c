/* SPDX-License-Identifier: Apache-2.0
 *
 * Scrape rounds in virtual time: one pod, whose page is what the test says. */
#include <stdlib.h>

#include "../cmocka_all.h"

#include "base/log.h"
#include "base/mem.h"
#include "codec/json.h"
#include "codec/yaml.h"
#include "store/store.h"
#include "telemetry/rounds.h"

#define START_MS 1767225600000
#define INTERVAL_MS 250

static const char POD[] =
    "{apiVersion: v1, kind: Pod,"
    " metadata: {name: p, namespace: default,"
    "  annotations: {prometheus.io/scrape: 'true', prometheus.io/port: '8080'}},"
    " spec: {containers: [{name: main, image: i}]}}";
static const char STATUS[] = "{status: {phase: Running, podIP: 127.64.0.2}}";

/* --- a client that always gets the page --- */

struct http_call {
    struct http_call_head head; /* first, as every implementation's */
    struct http_call_options o;
};

static struct {
    const char *page, *type;
    int status;
    struct http_call *running;
} server;

static void answer(void *arg)
{
    struct http_call *c = arg;
    struct http_header type = {STR("content-type"), str_of(server.type)};
    struct http_response r = {.status = server.status, .headers = {&type, 1}};

    if (c != server.running)
        return;
    server.running = NULL;
    c->o.on_all(c->o.arg, &r, str_of(server.page), NULL);
    free(c);
}

struct bench {
    struct loop *loop;
    struct store *store;
    struct tsdb *db;
    struct rounds *rounds;
    struct http_client http;
};

static struct http_call *send_page(struct http_client *client, const struct http_call_options *o)
{
    struct http_call *c = mem_zalloc(sizeof(*c));

    c->head.client = client;
    c->o = *o;
    server.running = c;
    loop_post(container_of(client, struct bench, http)->loop, answer, c);
    return c;
}

static void cancel(struct http_call *c)
{
    server.running = NULL;
    free(c);
}

static const char NAMESPACE[] = "{apiVersion: v1, kind: Namespace, metadata: {name: default}}";

static void created(void *arg, const struct store_result *r)
{
    *(bool *)arg = r->err_code == 0;
}

static void create(struct bench *b, enum kind_id kind, const json_t *tree, bool *ret_done)
{
    store_submit(b->store,
                 &(struct store_request){.verb = CLUSTER_CREATE,
                                         .kind = kind_of(kind),
                                         .ns = str_of(json_text(tree, "metadata.namespace", "")),
                                         .tree = tree},
                 created, ret_done);
    loop_run_for(b->loop, 100);
}

static int set_up(void **state)
{
    static const struct http_client_ops ops = {.send = send_page, .cancel = cancel};
    struct bench *b = mem_zalloc(sizeof(*b));
    AUTO_JSON json_t *ns = NULL, *pod = NULL, *status = NULL;
    struct err err = ERR_INIT;
    bool done = false;

    log_set_level(LOG_LEVEL_ERROR);
    b->loop = loop_new_sim(START_MS);
    b->http.ops = &ops;
    b->db = tsdb_new(&(struct tsdb_options){0});
    if (store_open(&(struct store_options){.loop = b->loop, .seed = 1}, &b->store, &err) < 0 ||
        yaml_parse(STR(NAMESPACE), &ns, &err) < 0 || yaml_parse(STR(POD), &pod, &err) < 0 ||
        yaml_parse(STR(STATUS), &status, &err) < 0)
        return -1;
    create(b, KIND_NAMESPACE, ns, &done);
    create(b, KIND_POD, pod, &done);
    if (!done)
        return -1;
    cluster_write_status(store_cluster(b->store),
                         cluster_get(store_cluster(b->store), KIND_POD, STR("default"), STR("p")),
                         json_object_get(status, "status"), "test", NULL, NULL);
    server.type = "text/plain; version=0.0.4";
    server.status = 200;
    server.page = "";
    b->rounds = rounds_new(&(struct rounds_options){.cluster = store_cluster(b->store),
                                                    .http = &b->http,
                                                    .db = b->db,
                                                    .interval_ms = INTERVAL_MS});
    loop_run_for(b->loop, 1000);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;

    rounds_free(b->rounds);
    tsdb_free(b->db);
    store_close(b->store);
    loop_free(b->loop);
    free(b);
    return 0;
}

/* --- looking --- */

static void take(void *arg, struct series *s)
{
    struct series **ret = arg;

    assert_null(*ret);
    *ret = s;
}

static struct series *series(struct bench *b, const char *name)
{
    struct matcher m = {.op = MATCH_EQ, .name = STR("__name__"), .value = str_of(name)};
    struct series *ret = NULL;

    tsdb_select(b->db, &m, 1, take, &ret);
    return ret;
}

/* The newest sample; its age has to be below one round. */
static double newest(struct bench *b, const char *name)
{
    struct series *s = series(b, name);
    int64_t t, now = loop_wall_ms(b->loop);
    double v = 0;

    assert_non_null(s);
    assert_true(series_at(s, now, INTERVAL_MS + 1, &t, &v));
    return v;
}

static size_t samples(struct bench *b, const char *name)
{
    struct series_iter it;
    int64_t t, was = INT64_MIN;
    double v;
    size_t n = 0;

    for (series_seek(&it, series(b, name), 0); series_next(&it, &t, &v); n++) {
        assert_true(t > was);
        was = t;
    }
    return n;
}

/* The page from the next round on, and the rounds of one second. */
static void serve(struct bench *b, const char *page)
{
    server.page = page;
    loop_run_for(b->loop, 4 * INTERVAL_MS);
}

/* --- tests --- */

static void a_page_that_does_not_change_is_stored_in_every_round(void **state)
{
    struct bench *b = *state;

    serve(b, "a 1\nb{x=\"1\"} 2\n");
    assert_int_equal(samples(b, "a"), 4);
    assert_int_equal(samples(b, "b"), 4);
    assert_true(newest(b, "scrape_samples_scraped") == 2);
    serve(b, "a 1\nb{x=\"1\"} 3\n");
    assert_true(newest(b, "a") == 1);
    assert_true(newest(b, "b") == 3);
    serve(b, "a 1\n");
    assert_true(newest(b, "a") == 1);
    assert_true(newest(b, "scrape_samples_scraped") == 1);
    assert_int_equal(samples(b, "a"), 12);
    assert_int_equal(samples(b, "b"), 9); /* the marker is its last */
    assert_int_equal(series_newest(series(b, "b")),
                     series_newest(series(b, "a")) - 3 * INTERVAL_MS);
}

static void a_page_with_one_bad_line_is_refused_whole(void **state)
{
    struct bench *b = *state;

    serve(b, "a 1\nb 2\n");
    serve(b, "a 7\n}{ 1\n");
    assert_true(tsdb_is_stale(newest(b, "up")) == false && newest(b, "up") == 0);
    assert_int_equal(samples(b, "a"), 5); /* four rounds and the marker */
    assert_int_equal(samples(b, "b"), 5);
    /* the page from before the fault is read again, not taken for known */
    serve(b, "a 1\nb 2\n");
    assert_true(newest(b, "up") == 1);
    assert_true(newest(b, "a") == 1);
    assert_true(newest(b, "b") == 2);
    server.status = 503;
    serve(b, "a 1\nb 2\n");
    assert_true(newest(b, "up") == 0);
    assert_true(newest(b, "scrape_samples_scraped") == 0);
    server.status = 200;
    serve(b, "a 1\nb 2\n");
    assert_true(newest(b, "a") == 1);
}

static void of_a_series_that_stands_there_twice_the_first_sample_counts(void **state)
{
    struct bench *b = *state;

    serve(b, "a 1\na 2\n");
    assert_true(newest(b, "a") == 1);
    assert_int_equal(samples(b, "a"), 4);
}

static void samples_with_times_of_their_own_keep_them(void **state)
{
    struct bench *b = *state;

    serve(b, "a 1 1767225601000\nb 2\n");
    assert_int_equal(series_newest(series(b, "a")), 1767225601000);
    assert_int_equal(samples(b, "a"), 1);
    assert_int_equal(samples(b, "b"), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_page_that_does_not_change_is_stored_in_every_round,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_page_with_one_bad_line_is_refused_whole, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(of_a_series_that_stands_there_twice_the_first_sample_counts,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(samples_with_times_of_their_own_keep_them, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
