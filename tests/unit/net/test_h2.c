/* SPDX-License-Identifier: Apache-2.0
 *
 * The server's HTTP/2 over loopback sockets: with our own client's session, and with frames made
 * by hand where a client misbehaves. */
#include <stdio.h>
#include <stdlib.h>

#include "waiting.h"

#include "base/log.h"
#include "base/mem.h"
#include "net/conn.h"
#include "net/h2.h"
#include "net/http_server.h"

#define BODY_MAX ((size_t)3 << 20)

struct fixture {
    struct waiting w;
    struct http_server *server;
    struct conn *conn;
    struct h2 *h2; /* the client's */
    bool is_turn_posted, is_closed;
    uint32_t goaway;
    struct buf raw; /* without a session: what the server sent */
    /* server */
    struct http_x *held;
    int requests, closes, drains;
    size_t part_bytes, written;
    bool had_no_room;
};

/* One request of the client's. */
struct ask {
    struct h2_stream *stream;
    int status;
    struct buf body;
    char trailer[64];
    bool is_done;
    uint32_t code;
};

/* --- the server --- */

static void on_all(void *arg, struct http_x *x, struct str body)
{
    (void)arg;
    http_x_reply(x, 200, "text/plain", NULL, body);
}

static void on_part(void *arg, struct http_x *x, struct str part, bool end)
{
    struct fixture *f = arg;

    f->part_bytes += part.n;
    if (end)
        http_x_reply(x, 200, NULL, NULL, STR_NONE);
    else
        http_x_pause(x);
}

static void on_x_close(void *arg, struct http_x *x)
{
    struct fixture *f = arg;

    f->closes++;
    if (f->held == x)
        f->held = NULL;
}

static void on_x_drain(void *arg, struct http_x *x)
{
    struct fixture *f = arg;

    (void)x;
    f->drains++;
}

static void on_request(void *ctx, struct http_x *x)
{
    struct fixture *f = ctx;
    const struct http_request *r = http_x_request(x);
    struct http_header fields[] = {{STR("X-Mixed-Case"), STR("v")},
                                   {STR("Connection"), STR("close")}};
    struct http_headers extra = {fields, 2};
    struct http_header trailer = {STR("grpc-status"), STR("0")};
    struct http_headers trailers = {&trailer, 1};

    f->requests++;
    assert_true(r->is_h2);
    http_x_on_close(x, on_x_close, f);
    if (str_is(r->path, "/echo")) {
        http_x_read_all(x, BODY_MAX, on_all, f);
    } else if (str_is(r->path, "/hold")) {
        f->held = x;
    } else if (str_is(r->path, "/slow")) {
        f->held = x;
        http_x_read(x, on_part, f);
    } else if (str_is(r->path, "/trailers")) {
        http_x_start(x, 200, "application/grpc", NULL);
        http_x_write(x, STR("abc"));
        http_x_end(x, &trailers);
    } else if (str_is(r->path, "/host")) {
        http_x_reply(x, 200, "text/plain", &extra, r->host);
    } else {
        http_x_reply(x, 200, "text/plain", NULL, STR("hello"));
    }
}

/* --- the client --- */

static void on_head(void *arg, struct h2_stream *s, const struct h2_head *head)
{
    struct ask *a = h2_stream_data(s);

    (void)arg;
    a->status = head->status;
}

static void on_data(void *arg, struct h2_stream *s, struct str part)
{
    struct ask *a = h2_stream_data(s);

    (void)arg;
    buf_add_str(&a->body, part);
    h2_consume(s, part.n);
}

static void on_trailers(void *arg, struct h2_stream *s, const struct h2_head *head)
{
    struct ask *a = h2_stream_data(s);
    struct str v = http_header_get(&head->headers, "grpc-status");

    (void)arg;
    snprintf(a->trailer, sizeof(a->trailer), "%.*s", STR_ARG(v));
}

static void on_nothing(void *arg, struct h2_stream *s)
{
    (void)arg;
    (void)s;
}

static void on_stream_close(void *arg, struct h2_stream *s, uint32_t code)
{
    struct ask *a = h2_stream_data(s);

    (void)arg;
    a->is_done = true;
    a->code = code;
    a->stream = NULL;
}

static void on_goaway(void *arg, uint32_t code, struct str why)
{
    (void)why;
    ((struct fixture *)arg)->goaway = code + 1;
}

static bool on_bytes(void *arg, struct str bytes)
{
    struct fixture *f = arg;

    return !f->conn || conn_write(f->conn, bytes);
}

static void turn(void *arg)
{
    struct fixture *f = arg;

    f->is_turn_posted = false;
    if (f->h2)
        h2_flush(f->h2);
}

static void want_send(void *arg)
{
    struct fixture *f = arg;

    if (!f->is_turn_posted)
        loop_post(f->w.loop, turn, f);
    f->is_turn_posted = true;
}

static const struct h2_events client_events = {
    .on_head = on_head,
    .on_data = on_data,
    .on_trailers = on_trailers,
    .on_end = on_nothing,
    .on_drain = on_nothing,
    .on_close = on_stream_close,
    .on_goaway = on_goaway,
    .on_bytes = on_bytes,
    .want_send = want_send,
};

static void on_conn_data(void *arg, struct str bytes)
{
    struct fixture *f = arg;

    if (!f->h2) {
        buf_add_str(&f->raw, bytes);
        return;
    }
    h2_feed(f->h2, bytes, NULL);
    h2_flush(f->h2);
}

static void on_conn_drain(void *arg)
{
    struct fixture *f = arg;

    if (f->h2)
        h2_flush(f->h2);
}

static void on_conn_close(void *arg, const struct err *err)
{
    struct fixture *f = arg;

    (void)err;
    f->conn = NULL;
    f->is_closed = true;
}

static const struct conn_events conn_events = {
    .on_data = on_conn_data, .on_drain = on_conn_drain, .on_close = on_conn_close};

static int start_with(void **state, struct http_server_options o)
{
    struct fixture *f = mem_zalloc(sizeof(*f));

    o.on_request = on_request;
    o.ctx = f;
    o.server_name = "test";
    log_set_level(LOG_LEVEL_ERROR);
    waiting_init(&f->w);
    net_addr_set(&o.addr, "127.0.0.1", 0);
    if (http_server_new(f->w.loop, &o, &f->server, NULL) < 0)
        return -1;
    *state = f;
    return 0;
}

static int start(void **state)
{
    return start_with(state, (struct http_server_options){.fd = 0});
}

static int start_small(void **state)
{
    return start_with(state, (struct http_server_options){.max_held = (size_t)1 << 20});
}

static int start_impatient(void **state)
{
    return start_with(state, (struct http_server_options){
                                 .idle_ms = 300, .ping_after_ms = 30, .ping_wait_ms = 100});
}

static void leave(struct fixture *f)
{
    conn_close(f->conn);
    f->conn = NULL;
    h2_free(f->h2);
    f->h2 = NULL;
    f->is_closed = false;
    f->goaway = 0;
    buf_clear(&f->raw);
}

static int stop(void **state)
{
    struct fixture *f = *state;

    leave(f);
    http_server_free(f->server);
    waiting_done(&f->w);
    buf_done(&f->raw);
    free(f);
    return 0;
}

static void connect_raw(struct fixture *f)
{
    struct net_addr a = http_server_addr(f->server);

    leave(f);
    f->conn = conn_connect(f->w.loop, &a, NULL, NULL, &conn_events, f);
}

static void connect_h2(struct fixture *f)
{
    connect_raw(f);
    f->h2 = h2_new(false, loop_clock(f->w.loop), &client_events, f);
    h2_flush(f->h2);
}

static void ask(struct fixture *f, struct ask *a, const char *path, struct str body)
{
    struct http_header items[] = {{STR(":method"), body.n ? STR("POST") : STR("GET")},
                                  {STR(":scheme"), STR("http")},
                                  {STR(":authority"), STR("example.org:80")},
                                  {STR(":path"), str_of(path)}};
    struct http_headers h = {items, ARRAY_LEN(items)};

    *a = (struct ask){.body = BUF_INIT};
    a->stream = h2_request(f->h2, &h, body.n == 0);
    h2_stream_set_data(a->stream, a);
    h2_write(a->stream, body);
    if (body.n)
        h2_end(a->stream, NULL);
}

static void ask_and_wait(struct fixture *f, struct ask *a, const char *path, struct str body)
{
    ask(f, a, path, body);
    WAIT(f, a->is_done);
}

/* --- tests --- */

static void answers_come_with_bodies_headers_and_trailers(void **state)
{
    struct fixture *f = *state;
    struct ask a;

    connect_h2(f);
    ask_and_wait(f, &a, "/", STR_NONE);
    assert_int_equal(a.status, 200);
    assert_string_equal(buf_cstr(&a.body), "hello");
    assert_int_equal(a.code, 0);
    buf_done(&a.body);
    ask_and_wait(f, &a, "/trailers", STR_NONE);
    assert_string_equal(buf_cstr(&a.body), "abc");
    assert_string_equal(a.trailer, "0");
    buf_done(&a.body);
    ask_and_wait(f, &a, "/host", STR_NONE); /* :authority is the Host; field names are lowered */
    assert_string_equal(buf_cstr(&a.body), "example.org:80");
    assert_int_equal(a.code, 0);
    buf_done(&a.body);
    assert_int_equal(f->closes, 3);
    assert_int_equal(http_server_connections(f->server), 1);
}

static void bodies_pass_windows_both_ways_and_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct ask a;
    struct buf body = BUF_INIT;

    for (size_t i = 0; i < BODY_MAX; i++)
        buf_add_char(&body, (char)('a' + i % 23));
    connect_h2(f);
    ask_and_wait(f, &a, "/echo", buf_str(&body));
    assert_int_equal(a.status, 200);
    assert_true(str_eq(buf_str(&a.body), buf_str(&body)));
    buf_done(&a.body);
    buf_add_char(&body, 'x');
    ask_and_wait(f, &a, "/echo", buf_str(&body));
    assert_int_equal(a.status, 413);
    assert_int_equal(a.code, 0);
    buf_done(&a.body);
    buf_done(&body);
}

static void a_preface_cut_at_any_byte_is_one(void **state)
{
    static const char hello[] = H2_PREFACE "\0\0\0\4\0\0\0\0\0";
    struct fixture *f = *state;

    for (size_t n = 1; n < sizeof(hello) - 1; n++) {
        connect_raw(f);
        WAIT(f, http_server_connections(f->server) == 1);
        conn_write(f->conn, str_n(hello, n));
        waiting_run_for(&f->w, 1);
        conn_write(f->conn, str_n(hello + n, sizeof(hello) - 1 - n));
        WAIT(f, f->raw.n >= 9 + 18 + 9); /* its settings, and its acknowledgement */
        assert_int_equal(f->raw.p[3], 4);
        leave(f);
        WAIT(f, http_server_connections(f->server) == 0);
    }
    connect_raw(f);
    conn_write(f->conn, STR("PRI * HTTP/2.1\r\n\r\n"));
    WAIT(f, f->is_closed);
    assert_non_null(strstr(buf_cstr(&f->raw), "HTTP/1.1 "));
}

static void a_header_block_over_a_bound_is_431(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE char *big = mem_zalloc(60001);
    struct http_header items[120] = {{STR(":method"), STR("GET")},
                                     {STR(":scheme"), STR("http")},
                                     {STR(":authority"), STR("x")},
                                     {STR(":path"), STR("/")}};
    struct http_headers h = {items, 4};
    struct ask a = {.body = BUF_INIT};
    char name[120][8];

    memset(big, 'v', 60000);
    connect_h2(f);
    for (int extra = 0; extra < 2; extra++) { /* 64 KiB are the bound: one of 60,000, then two */
        items[h.n++] = (struct http_header){STR("x-big"), str_n(big, extra ? 6000 : 60000)};
        a.is_done = false;
        a.stream = h2_request(f->h2, &h, true);
        h2_stream_set_data(a.stream, &a);
        WAIT(f, a.is_done);
        assert_int_equal(a.status, extra ? 431 : 200);
    }
    h.n = 4;
    for (size_t i = 0; i < 97; i++) {
        snprintf(name[i], sizeof(name[i]), "x-%zu", i);
        items[h.n++] = (struct http_header){str_of(name[i]), STR("1")};
        if (i < 95)
            continue;
        a.is_done = false;
        a.stream = h2_request(f->h2, &h, true);
        h2_stream_set_data(a.stream, &a);
        WAIT(f, a.is_done);
        assert_int_equal(a.status, i == 95 ? 200 : 431);
    }
    buf_done(&a.body);
}

static void a_client_that_resets_or_leaves_ends_its_exchanges(void **state)
{
    struct fixture *f = *state;
    struct ask a;

    connect_h2(f);
    ask(f, &a, "/hold", STR_NONE);
    WAIT(f, f->held);
    h2_reset(a.stream, H2_CANCEL);
    WAIT(f, f->closes == 1);
    assert_null(f->held);
    ask(f, &a, "/hold", STR_NONE);
    WAIT(f, f->held);
    http_x_abort(f->held);
    WAIT(f, a.is_done);
    assert_int_equal(a.code, H2_INTERNAL_ERROR);
    ask(f, &a, "/hold", STR_NONE);
    WAIT(f, f->held);
    leave(f);
    WAIT(f, f->closes == 3);
}

static void a_paused_exchange_holds_its_sender_and_no_other(void **state)
{
    struct fixture *f = *state;
    struct ask slow, other;
    struct buf body = BUF_INIT;

    for (size_t i = 0; i < BODY_MAX; i++)
        buf_add_char(&body, 'x');
    connect_h2(f);
    ask(f, &slow, "/slow", buf_str(&body));
    WAIT(f, f->part_bytes > 0);
    for (int i = 0; i < 20; i++) { /* eight times the connection's window pass beside it */
        ask_and_wait(f, &other, "/echo", buf_str(&body));
        assert_int_equal(other.status, 200);
        buf_done(&other.body);
    }
    assert_true(f->part_bytes <= (size_t)H2_WINDOW);
    while (!slow.is_done) {
        size_t before = f->part_bytes;

        if (f->held)
            http_x_resume(f->held);
        WAIT(f, f->part_bytes > before || slow.is_done);
    }
    assert_int_equal(slow.status, 200);
    assert_int_equal(f->part_bytes, body.n);
    buf_done(&body);
    buf_done(&slow.body);
}

static void a_slow_reader_stops_the_writer(void **state)
{
    struct fixture *f = *state;
    static char block[16384];
    struct ask a;

    memset(block, 'y', sizeof(block));
    connect_h2(f);
    ask(f, &a, "/hold", STR_NONE);
    WAIT(f, f->held);
    http_x_on_drain(f->held, on_x_drain, f);
    http_x_start(f->held, 200, "text/plain", NULL);
    conn_pause(f->conn, true);
    for (int i = 0; i < 4096 && !f->had_no_room; i++) { /* at most 64 MiB */
        size_t before = f->written;

        while (f->written < before + 65536 && !f->had_no_room) {
            f->had_no_room = !http_x_write(f->held, str_n(block, sizeof(block)));
            f->written += sizeof(block);
        }
        waiting_run_for(&f->w, 1);
    }
    assert_true(f->had_no_room);
    conn_pause(f->conn, false);
    WAIT(f, f->drains == 1);
    http_x_end(f->held, NULL);
    WAIT(f, a.is_done);
    assert_int_equal(a.body.n, f->written);
    buf_done(&a.body);
}

static void streams_over_the_bound_are_refused(void **state)
{
    struct fixture *f = *state;
    struct ask *asks = mem_array(10000, sizeof(*asks));
    int done = 0;

    connect_h2(f);
    for (int i = 0; i < 10000; i++)
        ask(f, &asks[i], "/hold", STR_NONE);
    WAIT(f, f->requests == H2_STREAMS_MAX);
    waiting_run_for(&f->w, 50);
    assert_int_equal(f->requests, H2_STREAMS_MAX); /* the session keeps to what the server said */
    leave(f);
    WAIT(f, f->closes == H2_STREAMS_MAX);
    for (int i = 0; i < 10000; i++)
        done += asks[i].is_done;
    assert_int_equal(done, 10000);
    free(asks);
}

/* GET http / from static table entries, and x as authority. */
static void add_headers_frame(struct buf *b, uint32_t id)
{
    unsigned char frame[] = {0, 0, 6, 1, 5, 0, 0, 0, 0, 0x82, 0x86, 0x84, 0x01, 1, 'x'};

    for (int i = 0; i < 4; i++)
        frame[5 + i] = (unsigned char)(id >> (24 - 8 * i));
    buf_add(b, frame, sizeof(frame));
}

/* Sends the same frame again and again; the server must end the connection in time. */
static void flood(struct fixture *f, int kind)
{
    struct buf b = BUF_INIT;

    connect_raw(f);
    conn_write(f->conn, STR(H2_PREFACE "\0\0\0\4\0\0\0\0\0"));
    if (kind == 4) { /* a request with a body of empty frames */
        add_headers_frame(&b, 1);
        b.p[4] = 4;
    }
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t id = 2 * i + 1;

        switch (kind) {
        case 0:
            buf_add(&b, "\0\0\10\6\0\0\0\0\0abcdefgh", 17);
            break;
        case 1:
            buf_add(&b, "\0\0\0\4\0\0\0\0\0", 9);
            break;
        case 2: { /* rapid reset */
            const char reset[] = {
                0,        0, 4, 3, 0, (char)(id >> 24), (char)(id >> 16), (char)(id >> 8),
                (char)id, 0, 0, 0, 8};

            add_headers_frame(&b, id);
            buf_add(&b, reset, sizeof(reset));
            break;
        }
        case 3: /* streams beyond what was acknowledged */
            add_headers_frame(&b, id);
            break;
        default:
            buf_add(&b, "\0\0\0\0\0\0\0\0\1", 9);
            break;
        }
    }
    conn_write(f->conn, buf_str(&b));
    buf_done(&b);
}

static void floods_end_the_connection(void **state)
{
    struct fixture *f = *state;

    for (int kind = 0; kind < 5; kind++) {
        f->requests = f->closes = 0;
        flood(f, kind);
        if (kind == 3) { /* no connection error: each is refused, or answered */
            WAIT(f, f->requests > 100);
            waiting_run_for(&f->w, 50);
        } else {
            WAIT(f, f->is_closed);
            assert_true(f->requests <= 2000);
            assert_int_equal(f->requests > 0, kind == 2 || kind == 4);
        }
        leave(f);
        WAIT(f, f->closes == f->requests);
    }
}

static void a_server_that_ends_says_goaway(void **state)
{
    struct fixture *f = *state;
    struct ask a;

    connect_h2(f);
    ask(f, &a, "/hold", STR_NONE);
    WAIT(f, f->held);
    http_server_free(f->server);
    f->server = NULL;
    assert_int_equal(f->closes, 1);
    WAIT(f, f->is_closed);
    assert_int_equal(f->goaway, H2_NO_ERROR + 1);
    leave(f); /* while its ask is there */
}

static void unfinished_bodies_together_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct buf body = BUF_INIT;
    struct ask a[3];

    for (size_t i = 0; i < 400000; i++)
        buf_add_char(&body, 'x');
    connect_h2(f);
    for (int i = 0; i < 3; i++) {
        struct http_header items[] = {{STR(":method"), STR("POST")},
                                      {STR(":scheme"), STR("http")},
                                      {STR(":authority"), STR("x")},
                                      {STR(":path"), STR("/echo")}};
        struct http_headers h = {items, 4};

        a[i] = (struct ask){.body = BUF_INIT};
        a[i].stream = h2_request(f->h2, &h, false);
        h2_stream_set_data(a[i].stream, &a[i]);
        h2_write(a[i].stream, buf_str(&body)); /* and no end */
    }
    WAIT(f, a[0].is_done || a[1].is_done || a[2].is_done);
    for (int i = 0; i < 3; i++)
        if (a[i].is_done)
            assert_int_equal(a[i].status, 503);
    leave(f);
    for (int i = 0; i < 3; i++)
        buf_done(&a[i].body);
    buf_done(&body);
}

static void who_is_silent_is_asked_and_who_is_idle_leaves(void **state)
{
    struct fixture *f = *state;
    struct ask a;

    connect_raw(f); /* asks for /hold, and never answers the ping */
    conn_write(f->conn, STR(H2_PREFACE "\0\0\0\4\0\0\0\0\0"
                                       "\0\0\14\1\5\0\0\0\1\x82\x86\4\5/hold\1\1x"));
    WAIT(f, f->held);
    WAIT(f, f->is_closed);
    assert_int_equal(f->closes, 1);
    connect_h2(f); /* answers, for longer than the server waits */
    ask(f, &a, "/hold", STR_NONE);
    WAIT(f, f->held);
    waiting_run_for(&f->w, 400);
    assert_false(f->is_closed);
    http_x_reply(f->held, 200, NULL, NULL, STR_NONE);
    WAIT(f, a.is_done);
    WAIT(f, f->is_closed); /* idle */
    assert_int_equal(f->goaway, H2_NO_ERROR + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)
        T(answers_come_with_bodies_headers_and_trailers),
        T(bodies_pass_windows_both_ways_and_are_bounded),
        T(a_preface_cut_at_any_byte_is_one),
        T(a_header_block_over_a_bound_is_431),
        T(a_client_that_resets_or_leaves_ends_its_exchanges),
        T(a_paused_exchange_holds_its_sender_and_no_other),
        T(a_slow_reader_stops_the_writer),
        T(streams_over_the_bound_are_refused),
        T(floods_end_the_connection),
        T(a_server_that_ends_says_goaway),
        cmocka_unit_test_setup_teardown(who_is_silent_is_asked_and_who_is_idle_leaves,
                                        start_impatient, stop),
        cmocka_unit_test_setup_teardown(unfinished_bodies_together_are_bounded, start_small, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
