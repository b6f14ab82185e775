/* SPDX-License-Identifier: Apache-2.0
 *
 * Server and client over loopback sockets: what a peer may do to them. */
#include <stdio.h>
#include <stdlib.h>

#include "../cmocka_all.h"

#include "base/log.h"
#include "base/mem.h"
#include "net/conn.h"
#include "net/http_client.h"
#include "net/http_server.h"

#define BODY_MAX 1000
#define DEADLINE_MS 5000

/* One server with a few paths, and one raw connection that sends and collects bytes. */
struct fixture {
    struct loop *loop;
    struct http_server *server;
    struct http_client *client;
    struct conn *conn;
    struct loop_timer deadline;
    struct buf got;
    size_t want; /* stop when that many bytes came; 0: when the peer closes */
    bool is_closed, is_late;
    int closes; /* exchanges that ended */
    struct http_x *held;
    /* client */
    int status, err_code, answers;
    struct buf body;
};

static void on_body(void *arg, struct http_x *x, struct str body)
{
    (void)arg;
    http_x_reply(x, 200, "text/plain", NULL, body);
}

static void on_exchange_closed(void *arg, struct http_x *x)
{
    struct fixture *f = arg;

    f->closes++;
    if (f->held == x)
        f->held = NULL;
    if (f->want == SIZE_MAX)
        loop_stop(f->loop);
}

static void on_request(void *ctx, struct http_x *x)
{
    struct fixture *f = ctx;
    const struct http_request *r = http_x_request(x);
    struct http_header to[] = {{STR("location"), STR("/hello")}};
    struct http_headers headers = {to, 1};

    http_x_on_close(x, on_exchange_closed, f);
    if (str_is(r->path, "/echo")) {
        http_x_read_all(x, BODY_MAX, on_body, f);
    } else if (str_is(r->path, "/hold")) {
        f->held = x;
    } else if (str_is(r->path, "/parts")) {
        http_x_start(x, 200, "text/plain", NULL);
        http_x_write(x, STR("one "));
        http_x_write(x, STR("two"));
        http_x_end(x, NULL);
    } else if (str_is(r->path, "/cut")) {
        http_x_start(x, 200, "text/plain", NULL);
        http_x_write(x, STR("half"));
        http_x_abort(x);
    } else if (str_is(r->path, "/moved")) {
        http_x_reply(x, 302, NULL, &headers, STR_NONE);
    } else if (str_is(r->path, "/away")) { /* the same server by another name */
        struct net_addr a = http_server_addr(f->server);
        char url[80];

        snprintf(url, sizeof(url), "http://[::ffff:127.0.0.1]:%u/who", net_addr_port(&a));
        to[0].value = str_of(url);
        http_x_reply(x, 302, NULL, &headers, STR_NONE);
    } else if (str_is(r->path, "/near") || str_is(r->path, "/who")) {
        struct buf who = BUF_INIT;

        to[0].value = STR("/who");
        buf_printf(&who, "%.*s %.*s %.*s", STR_ARG(http_header_get(&r->headers, "authorization")),
                   STR_ARG(http_header_get(&r->headers, "x-key")),
                   STR_ARG(http_header_get(&r->headers, "x-plain")));
        http_x_reply(x, str_is(r->path, "/near") ? 302 : 200, NULL, &headers, buf_str(&who));
        buf_done(&who);
    } else {
        http_x_reply(x, 200, "text/plain", NULL, STR("hello"));
    }
}

static void on_deadline(void *arg)
{
    struct fixture *f = arg;

    f->is_late = true;
    loop_stop(f->loop);
}

static int start(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    struct http_server_options o = {.on_request = on_request, .ctx = f, .server_name = "test"};

    log_set_level(LOG_LEVEL_ERROR);
    f->loop = loop_new();
    loop_timer_init(&f->deadline, f->loop, on_deadline, f);
    net_addr_set(&o.addr, "127.0.0.1", 0);
    if (http_server_new(f->loop, &o, &f->server, NULL) < 0)
        return -1;
    f->client = http_client_new(f->loop);
    *state = f;
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;

    conn_close(f->conn);
    http_client_free(f->client);
    http_server_free(f->server);
    loop_timer_stop(&f->deadline);
    loop_free(f->loop);
    buf_done(&f->got);
    buf_done(&f->body);
    free(f);
    return 0;
}

static void run(struct fixture *f)
{
    f->is_late = false;
    loop_timer_start(&f->deadline, DEADLINE_MS);
    loop_run(f->loop);
    loop_timer_stop(&f->deadline);
    assert_false(f->is_late);
}

/* --- the server, byte by byte --- */

static void on_data(void *arg, struct str bytes)
{
    struct fixture *f = arg;

    buf_add_str(&f->got, bytes);
    if (f->want && f->got.n >= f->want)
        loop_stop(f->loop);
}

static void on_close(void *arg, const struct err *err)
{
    struct fixture *f = arg;

    (void)err;
    f->conn = NULL;
    f->is_closed = true;
    loop_stop(f->loop);
}

static void on_connect(void *arg)
{
    loop_stop(((struct fixture *)arg)->loop);
}

static const struct conn_events events = {on_connect, on_data, NULL, on_close};

static void connect_raw(struct fixture *f)
{
    struct net_addr a = http_server_addr(f->server);

    conn_close(f->conn);
    buf_clear(&f->got);
    f->is_closed = false;
    f->conn = conn_connect(f->loop, &a, NULL, NULL, &events, f);
    run(f);
    assert_false(f->is_closed);
}

static void stop_turn(void *arg)
{
    loop_stop(arg);
}

/* Sends and lets the server see it before anything else is sent. */
static void send_raw(struct fixture *f, struct str bytes)
{
    struct loop_timer t;

    conn_write(f->conn, bytes);
    loop_timer_init(&t, f->loop, stop_turn, f->loop);
    loop_timer_start(&t, 1);
    run(f);
    loop_timer_stop(&t);
}

static void wait_bytes(struct fixture *f, size_t n)
{
    f->want = n;
    while (!f->is_closed && (n == 0 || f->got.n < n))
        run(f);
}

static int status_of(const struct buf *b)
{
    return b->n > 12 ? atoi(b->p + 9) : 0;
}

/* The whole answer to one request on a fresh connection that the server closes. */
static int answer_to(struct fixture *f, const char *request)
{
    connect_raw(f);
    conn_write(f->conn, str_of(request));
    wait_bytes(f, 0);
    return status_of(&f->got);
}

static void a_request_cut_at_any_byte_is_answered_the_same(void **state)
{
    static const char text[] = "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    struct fixture *f = *state;
    AUTO_FREE char *whole = NULL;

    assert_int_equal(answer_to(f, text), 200);
    assert_non_null(strstr(buf_cstr(&f->got), "\r\n\r\nabcde"));
    whole = mem_strdup(strstr(buf_cstr(&f->got), "\r\n\r\n"));
    for (size_t n = 1; n < sizeof(text) - 1; n++) {
        connect_raw(f);
        send_raw(f, str_n(text, n));
        conn_write(f->conn, str_of(text + n));
        wait_bytes(f, 0);
        assert_int_equal(status_of(&f->got), 200);
        assert_string_equal(strstr(buf_cstr(&f->got), "\r\n\r\n"), whole);
    }
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct fixture *f = *state;
    const char *one, *two;

    answer_to(f, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nfirst"
                 "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nConnection: close\r\n\r\n"
                 "second");
    one = strstr(buf_cstr(&f->got), "first");
    two = strstr(buf_cstr(&f->got), "second");
    assert_true(one && two && one < two);
}

static void a_body_at_the_bound_is_taken_and_one_byte_more_is_413(void **state)
{
    struct fixture *f = *state;

    for (int extra = 0; extra < 2; extra++) {
        struct buf b = BUF_INIT;

        buf_printf(&b,
                   "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: "
                   "%d\r\n\r\n",
                   BODY_MAX + extra);
        for (int i = 0; i < BODY_MAX + extra; i++)
            buf_add_char(&b, 'x');
        assert_int_equal(answer_to(f, buf_cstr(&b)), extra ? 413 : 200);
        buf_done(&b);
    }
}

static void a_header_block_over_the_bound_is_431(void **state)
{
    struct fixture *f = *state;
    struct buf b = BUF_INIT;

    buf_add_cstr(&b, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    for (int i = 0; i < 90; i++)
        buf_printf(&b, "A%d: %0600d\r\n", i, i);
    buf_add_cstr(&b, "\r\n");
    assert_int_equal(answer_to(f, buf_cstr(&b)), 200);
    buf_clear(&b);
    buf_add_cstr(&b, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 90; i++)
        buf_printf(&b, "A%d: %0800d\r\n", i, i);
    buf_add_cstr(&b, "\r\n");
    assert_int_equal(answer_to(f, buf_cstr(&b)), 431);
    buf_done(&b);
}

static void what_proxies_disagree_about_is_refused(void **state)
{
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        /* both ways to tell the length */
        ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        "GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01",
    };

    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        int status = answer_to(*state, requests[i]);

        if (status != 400)
            fail_msg("request %zu: %d", i, status);
    }
}

static void a_client_that_leaves_ends_its_exchange(void **state)
{
    struct fixture *f = *state;

    connect_raw(f);
    send_raw(f, STR("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"));
    while (!f->held)
        send_raw(f, STR(""));
    conn_close(f->conn);
    f->conn = NULL;
    f->want = SIZE_MAX; /* stop at the close */
    run(f);
    assert_int_equal(f->closes, 1);
    assert_null(f->held);
}

/* --- the client --- */

static void on_answer(void *arg, const struct http_response *r, struct str body,
                      const struct err *err)
{
    struct fixture *f = arg;

    f->status = err ? 0 : r->status;
    f->err_code = err ? err->code : 0;
    buf_clear(&f->body);
    buf_add_str(&f->body, body);
    f->answers++;
    loop_stop(f->loop);
}

static void ask(struct fixture *f, struct http_call_options o)
{
    struct net_addr a = http_server_addr(f->server);

    if (!o.addr && !o.url)
        o.addr = &a;
    o.arg = f;
    o.on_all = on_answer;
    f->answers = 0;
    http_client_send(f->client, &o);
    while (f->answers == 0)
        run(f);
}

static void a_whole_answer_and_one_in_parts_come_whole(void **state)
{
    struct fixture *f = *state;

    ask(f, (struct http_call_options){.target = STR("/hello")});
    assert_int_equal(f->status, 200);
    assert_string_equal(buf_cstr(&f->body), "hello");
    ask(f, (struct http_call_options){.target = STR("/parts")});
    assert_string_equal(buf_cstr(&f->body), "one two");
    ask(f, (struct http_call_options){
               .method = "POST", .target = STR("/echo"), .body = STR("what I say")});
    assert_string_equal(buf_cstr(&f->body), "what I say");
    assert_int_equal(http_server_connections(f->server), 1); /* kept alive, and used again */
}

static void every_way_to_fail_has_its_own_error(void **state)
{
    struct fixture *f = *state;
    struct net_addr nobody;

    ask(f, (struct http_call_options){.target = STR("/cut")});
    assert_int_equal(f->err_code, ERR_UNAVAILABLE);
    ask(f, (struct http_call_options){.target = STR("/hold"), .timeout_ms = 50});
    assert_int_equal(f->err_code, ERR_TIMEOUT);
    ask(f, (struct http_call_options){.target = STR("/hello"), .max_body = 4});
    assert_int_equal(f->err_code, ERR_LIMIT);
    ask(f, (struct http_call_options){.target = STR("/hello"), .max_body = 5});
    assert_int_equal(f->status, 200);
    net_addr_set(&nobody, "127.0.0.1", 1);
    ask(f, (struct http_call_options){.target = STR("/"), .addr = &nobody});
    assert_int_equal(f->err_code, ERR_UNAVAILABLE);
    ask(f, (struct http_call_options){.url = "nonsense"});
    assert_true(f->err_code < 0);
}

static void redirects_are_followed_only_where_wished(void **state)
{
    struct fixture *f = *state;

    ask(f, (struct http_call_options){.target = STR("/moved")});
    assert_int_equal(f->status, 302);
    ask(f, (struct http_call_options){.target = STR("/moved"), .max_redirects = 1});
    assert_int_equal(f->status, 200);
    assert_string_equal(buf_cstr(&f->body), "hello");
}

static void secrets_stay_with_the_server_they_are_for(void **state)
{
    struct fixture *f = *state;
    struct http_header plain[] = {{STR("authorization"), STR("A")}, {STR("x-plain"), STR("P")}},
                       secret[] = {{STR("x-key"), STR("K")}};
    const struct http_headers headers = {plain, 2}, secrets = {secret, 1};
    struct http_call_options o = {.headers = &headers, .secrets = &secrets, .max_redirects = 2};

    o.target = STR("/who");
    ask(f, o);
    assert_string_equal(buf_cstr(&f->body), "A K P");
    o.target = STR("/near");
    ask(f, o);
    assert_string_equal(buf_cstr(&f->body), "A K P");
    o.target = STR("/away");
    ask(f, o);
    assert_string_equal(buf_cstr(&f->body), "  P");
}

static void a_cancelled_call_is_silent_and_the_server_sees_the_client_leave(void **state)
{
    struct fixture *f = *state;
    struct net_addr a = http_server_addr(f->server);
    struct http_call *call = http_client_send(
        f->client, &(struct http_call_options){
                       .addr = &a, .target = STR("/hold"), .arg = f, .on_all = on_answer});

    connect_raw(f); /* a few turns */
    while (!f->held)
        send_raw(f, STR(""));
    http_call_cancel(call);
    f->want = SIZE_MAX;
    run(f);
    assert_int_equal(f->closes, 1);
    assert_int_equal(f->answers, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)
        T(a_request_cut_at_any_byte_is_answered_the_same),
        T(pipelined_requests_are_answered_in_order),
        T(a_body_at_the_bound_is_taken_and_one_byte_more_is_413),
        T(a_header_block_over_the_bound_is_431),
        T(what_proxies_disagree_about_is_refused),
        T(a_client_that_leaves_ends_its_exchange),
        T(a_whole_answer_and_one_in_parts_come_whole),
        T(every_way_to_fail_has_its_own_error),
        T(redirects_are_followed_only_where_wished),
        T(secrets_stay_with_the_server_they_are_for),
        T(a_cancelled_call_is_silent_and_the_server_sees_the_client_leave),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
