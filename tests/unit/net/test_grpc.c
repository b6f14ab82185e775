/* SPDX-License-Identifier: Apache-2.0
 *
 * Framing and header values without sockets; then our client against our server over loopback. */
#include <stdio.h>
#include <stdlib.h>

#include "waiting.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "net/conn.h"
#include "net/grpc_client.h"
#include "net/grpc_server.h"

/* --- framing --- */

static void frame(struct buf *b, int flag, struct str message)
{
    char prefix[GRPC_PREFIX];

    grpc_prefix(prefix, flag != 0, message.n);
    prefix[0] = (char)flag;
    buf_add(b, prefix, sizeof(prefix));
    buf_add_str(b, message);
}

static void messages_are_found_however_they_are_cut(void **state)
{
    AUTO(buf_done) struct buf all = BUF_INIT;
    AUTO(buf_done) struct buf packed = BUF_INIT;

    (void)state;
    frame(&all, 0, STR("one"));
    frame(&all, 0, STR(""));
    assert_int_equal(compress_body(COMPRESSION_GZIP, STR("three"), &packed, NULL), 0);
    frame(&all, 1, buf_str(&packed));
    for (size_t step = 1; step <= all.n; step++) {
        struct grpc_reader r;
        AUTO(buf_done) struct buf got = BUF_INIT;
        struct str m;

        grpc_reader_init(&r, 100);
        r.encoding = COMPRESSION_GZIP;
        for (size_t at = 0; at < all.n; at += step) {
            grpc_reader_feed(&r, str_n(all.p + at, all.n - at < step ? all.n - at : step));
            while (grpc_reader_next(&r, &m, NULL) == 1)
                buf_printf(&got, "[%.*s]", STR_ARG(m));
        }
        assert_string_equal(buf_cstr(&got), "[one][][three]");
        assert_false(grpc_reader_is_inside(&r));
        grpc_reader_done(&r);
    }
}

static int read_one(int flag, struct str message, enum compression c, size_t max, struct err *err)
{
    struct grpc_reader r;
    AUTO(buf_done) struct buf all = BUF_INIT;
    struct str m;
    int got;

    frame(&all, flag, message);
    grpc_reader_init(&r, max);
    r.encoding = c;
    grpc_reader_feed(&r, buf_str(&all));
    got = grpc_reader_next(&r, &m, err);
    grpc_reader_done(&r);
    return got;
}

static void messages_over_the_bound_and_malformed_ones_are_refused(void **state)
{
    AUTO(buf_done) struct buf zeros = BUF_INIT;
    AUTO(buf_done) struct buf gz = BUF_INIT;
    AUTO(buf_done) struct buf zs = BUF_INIT;

    (void)state;
    for (int i = 0; i < 1000; i++)
        buf_add_char(&zeros, '\0');
    compress_body(COMPRESSION_GZIP, buf_str(&zeros), &gz, NULL);
    compress_body(COMPRESSION_ZSTD, buf_str(&zeros), &zs, NULL);
    assert_int_equal(read_one(0, buf_str(&zeros), COMPRESSION_NONE, 1000, NULL), 1);
    assert_int_equal(read_one(0, buf_str(&zeros), COMPRESSION_NONE, 999, NULL), ERR_LIMIT);
    assert_int_equal(read_one(1, buf_str(&gz), COMPRESSION_GZIP, 1000, NULL), 1);
    assert_int_equal(read_one(1, buf_str(&gz), COMPRESSION_GZIP, 999, NULL), ERR_LIMIT);
    assert_int_equal(read_one(1, buf_str(&zs), COMPRESSION_ZSTD, 1000, NULL), 1);
    assert_int_equal(read_one(1, buf_str(&zs), COMPRESSION_ZSTD, 999, NULL), ERR_LIMIT);
    assert_int_equal(read_one(1, buf_str(&gz), COMPRESSION_NONE, 1000, NULL), ERR_BAD_INPUT);
    assert_int_equal(read_one(1, buf_str(&gz), COMPRESSION_ZSTD, 1000, NULL), ERR_BAD_INPUT);
    assert_int_equal(read_one(2, STR("x"), COMPRESSION_NONE, 1000, NULL), ERR_BAD_INPUT);
    for (size_t n = 0; n < gz.n; n++)
        assert_int_equal(read_one(1, str_n(gz.p, n), COMPRESSION_GZIP, 1000, NULL), ERR_BAD_INPUT);
    for (size_t n = 0; n < zs.n; n++)
        assert_int_equal(read_one(1, str_n(zs.p, n), COMPRESSION_ZSTD, 1000, NULL), ERR_BAD_INPUT);
}

static void header_values_are_read_and_written(void **state)
{
    static const struct {
        const char *text;
        int64_t ns; /* -1: not one */
    } timeouts[] = {{"1n", 1},
                    {"20u", 20000},
                    {"100m", 100000000},
                    {"3S", 3000000000},
                    {"2M", 120000000000},
                    {"1H", 3600000000000},
                    {"99999999H", INT64_MAX / 4},
                    {"0m", 0},
                    {"", -1},
                    {"m", -1},
                    {"1", -1},
                    {"123456789m", -1},
                    {"-1m", -1},
                    {"1x", -1},
                    {"1.5S", -1}};
    AUTO(buf_done) struct buf b = BUF_INIT;
    char text[64];
    int64_t ns;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(timeouts); i++) {
        if (!grpc_timeout_parse(str_of(timeouts[i].text), &ns))
            ns = -1;
        assert_int_equal(ns, timeouts[i].ns);
    }
    grpc_timeout_text(99999999, text);
    assert_string_equal(text, "99999999n");
    grpc_timeout_text(100000000, text);
    assert_string_equal(text, "100000u");
    grpc_timeout_text(INT64_MAX, text);
    assert_true(grpc_timeout_parse(str_of(text), &ns) && ns > INT64_MAX / 8);
    grpc_message_encode(&b, STR("100% \xc2\xab"
                                "a\n"));
    assert_string_equal(buf_cstr(&b), "100%25 %C2%ABa%0A");
    grpc_message_decode(buf_str(&b), text, sizeof(text));
    assert_string_equal(text, "100% \xc2\xab"
                              "a\n");
    grpc_message_decode(STR("50% %zz %4"), text, sizeof(text));
    assert_string_equal(text, "50% %zz %4");
    assert_int_equal(/* a RetryInfo of 2.5 s */
                     grpc_retry_ms(
                         STR("CAgaNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5m"
                             "bxIKCggIAhCAyrXuAQ")),
                     2500);
    assert_int_equal(grpc_retry_ms(STR("CAg=")), 0);
    assert_int_equal(grpc_retry_ms(STR("%%%")), 0);
    assert_int_equal(grpc_retry_ms(STR_NONE), 0);
    grpc_message_decode(STR("ab%C2%AB"), text, 4); /* cut inside the character */
    assert_string_equal(text, "ab");
}

/* --- client and server --- */

struct fixture {
    struct waiting w;
    struct grpc_server *grpc;
    struct http_server *server;
    struct grpc_client *client;
    struct grpc_channel *channel;
    struct tls_pair ca, server_pair, client_pair;
    struct tls_server *tls;
    struct conn_listener *listener; /* of a server that is none */
    struct conn *silent[32];
    bool greets;
    uint16_t port;
    int open_calls, accepted;
    size_t got;
    struct grpc_x *held;
};

struct result {
    struct fixture *f;
    struct grpc_call *call;
    struct grpc_status status;
    struct buf last;
    int messages;
    size_t bytes;
    bool is_done, pauses;
};

static void on_x_close(void *arg, struct grpc_x *x)
{
    struct fixture *f = arg;

    f->open_calls--;
    if (f->held == x)
        f->held = NULL;
}

static void echo(void *ctx, struct grpc_x *x, struct str message)
{
    (void)ctx;
    grpc_x_reply(x, message);
}

static void hold(void *ctx, struct grpc_x *x, struct str message)
{
    struct fixture *f = ctx;

    (void)message;
    f->open_calls++;
    f->held = x;
    grpc_x_on_close(x, on_x_close, f);
}

static void refuse(void *ctx, struct grpc_x *x, struct str message)
{
    struct err err = ERR_INIT;

    (void)ctx;
    err_set(&err, ERR_NOT_FOUND, "no '%.*s' here", STR_ARG(message));
    grpc_x_fail(x, &err);
}

static void no_message(void *ctx, struct grpc_x *x, struct str message)
{
    (void)ctx;
    (void)message;
    grpc_x_start(x);
    grpc_x_end(x, GRPC_OK, NULL);
}

static void many(void *ctx, struct grpc_x *x, struct str message)
{
    static char block[10000];

    (void)ctx;
    (void)message;
    for (int i = 0; i < 300; i++) /* 3 MB, whether there is room or not */
        grpc_x_send(x, str_n(block, sizeof(block)));
    grpc_x_end(x, GRPC_OK, NULL);
}

static const struct grpc_method methods[] = {{"Echo", echo, NULL},
                                             {"Hold", hold, NULL},
                                             {"Fail", refuse, NULL},
                                             {"NoMessage", no_message, NULL},
                                             {"Many", many, NULL}};
static struct grpc_service service = {
    .name = "t.S", .methods = methods, .n_methods = ARRAY_LEN(methods)};

static void on_request(void *ctx, struct http_x *x)
{
    struct fixture *f = ctx;

    if (!grpc_server_take(f->grpc, x))
        http_x_reply(x, 404, "text/plain", NULL, STR("no"));
}

static void serve(struct fixture *f)
{
    struct http_server_options o = {.on_request = on_request, .ctx = f, .tls = f->tls};

    net_addr_set(&o.addr, "127.0.0.1", f->port);
    assert_int_equal(http_server_new(f->w.loop, &o, &f->server, NULL), 0);
    o.addr = http_server_addr(f->server);
    f->port = net_addr_port(&o.addr);
}

static void stop_serving(struct fixture *f)
{
    http_server_free(f->server);
    f->server = NULL;
}

static struct grpc_channel *channel_to(struct fixture *f, const struct tls_client_options *tls)
{
    AUTO_FREE char *target = mem_printf("localhost:%u", f->port);
    struct grpc_channel *ch;

    assert_int_equal(grpc_channel_get(f->client,
                                      &(struct grpc_channel_options){.target = target, .tls = tls},
                                      &ch, NULL),
                     0);
    return ch;
}

static int start(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));

    log_set_level(LOG_LEVEL_ERROR);
    waiting_init(&f->w);
    f->grpc = grpc_server_new();
    service.ctx = f;
    grpc_server_add(f->grpc, &service);
    f->client = grpc_client_new(f->w.loop, &(struct grpc_client_options){.backoff_min_ms = 20,
                                                                         .backoff_max_ms = 50,
                                                                         .connect_ms = 500,
                                                                         .keepalive_ms = 100,
                                                                         .keepalive_wait_ms = 100});
    serve(f);
    f->channel = channel_to(f, NULL);
    *state = f;
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;

    grpc_client_free(f->client);
    http_server_free(f->server);
    for (size_t i = 0; i < ARRAY_LEN(f->silent); i++)
        conn_close(f->silent[i]);
    if (f->listener)
        conn_listener_free(f->listener);
    waiting_done(&f->w);
    grpc_server_free(f->grpc);
    tls_server_free(f->tls);
    tls_pair_done(&f->ca);
    tls_pair_done(&f->server_pair);
    tls_pair_done(&f->client_pair);
    free(f);
    return 0;
}

static void on_message(void *arg, struct str message)
{
    struct result *r = arg;

    r->messages++;
    r->bytes += message.n;
    buf_clear(&r->last);
    buf_add_str(&r->last, message);
    if (r->pauses)
        grpc_call_pause(r->call, true);
}

static void on_done(void *arg, const struct grpc_status *status)
{
    struct result *r = arg;

    assert_false(r->is_done);
    r->is_done = true;
    r->status = *status;
    r->call = NULL;
}

static void call(struct grpc_channel *ch, struct result *r, struct grpc_call_options o)
{
    r->is_done = false;
    r->messages = 0;
    o.arg = r;
    o.on_message = on_message;
    o.on_done = on_done;
    r->call = grpc_call_start(ch, &o);
    assert_false(r->is_done); /* nothing from inside the call */
}

static void call_and_wait(struct fixture *f, struct result *r, struct grpc_call_options o)
{
    call(f->channel, r, o);
    WAIT(f, r->is_done);
}

static void unary_calls_bring_a_message_or_a_status(void **state)
{
    struct fixture *f = *state;
    struct result r = {.last = BUF_INIT};
    AUTO(buf_done) struct buf big = BUF_INIT;

    for (int c = COMPRESSION_NONE; c <= COMPRESSION_ZSTD; c++) {
        call_and_wait(f, &r,
                      (struct grpc_call_options){.method = "/t.S/Echo",
                                                 .message = STR("what I say"),
                                                 .compression = (enum compression)c});
        assert_int_equal(r.status.code, GRPC_OK);
        assert_string_equal(buf_cstr(&r.last), "what I say");
    }
    for (int i = 0; i < 3000000; i++)
        buf_add_char(&big, (char)i);
    call_and_wait(f, &r,
                  (struct grpc_call_options){.method = "/t.S/Echo", .message = buf_str(&big)});
    assert_true(str_eq(buf_str(&big), buf_str(&r.last)));
    call_and_wait(f, &r,
                  (struct grpc_call_options){
                      .method = "/t.S/Echo", .message = buf_str(&big), .max_message = big.n - 1});
    assert_int_equal(r.status.code, GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(r.messages, 0);
    call_and_wait(f, &r, (struct grpc_call_options){.method = "/t.S/Fail", .message = STR("100%")});
    assert_int_equal(r.status.code, GRPC_NOT_FOUND);
    assert_string_equal(r.status.message, "no '100%' here");
    call_and_wait(f, &r, (struct grpc_call_options){.method = "/t.S/Other"});
    assert_int_equal(r.status.code, GRPC_UNIMPLEMENTED);
    call_and_wait(f, &r, (struct grpc_call_options){.method = "/t.S/NoMessage"});
    assert_int_equal(r.status.code, GRPC_INTERNAL);
    assert_int_equal(http_server_connections(f->server), 1);
    buf_done(&r.last);
}

static void deadlines_and_cancellation_reach_the_server(void **state)
{
    struct fixture *f = *state;
    struct result r = {.last = BUF_INIT};

    call_and_wait(f, &r, (struct grpc_call_options){.method = "/t.S/Hold", .timeout_ms = 50});
    assert_int_equal(r.status.code, GRPC_DEADLINE_EXCEEDED);
    WAIT(f, f->open_calls == 0);
    call(f->channel, &r, (struct grpc_call_options){.method = "/t.S/Hold"});
    WAIT(f, f->open_calls == 1);
    grpc_call_cancel(r.call);
    WAIT(f, f->open_calls == 0);
    assert_false(r.is_done);
    call(f->channel, &r, (struct grpc_call_options){.method = "/t.S/Hold"});
    grpc_call_cancel(r.call); /* before anything was sent */
    call_and_wait(f, &r, (struct grpc_call_options){.method = "/t.S/Echo"});
    assert_int_equal(r.status.code, GRPC_OK);
    assert_int_equal(f->open_calls, 0);
    buf_done(&r.last);
}

static void a_paused_stream_stays_where_it_is(void **state)
{
    struct fixture *f = *state;
    struct result r = {.f = f, .pauses = true};

    call(f->channel, &r, (struct grpc_call_options){.method = "/t.S/Many", .is_stream = true});
    for (int i = 1; i <= 300; i++) {
        WAIT(f, r.messages == i);
        assert_false(r.is_done);
        if (i == 299) { /* the end of the connection is none of its business any more */
            waiting_run_for(&f->w, 50);
            stop_serving(f);
        }
        grpc_call_pause(r.call, false);
    }
    WAIT(f, r.is_done);
    assert_int_equal(r.status.code, GRPC_OK);
    assert_int_equal(r.bytes, 3000000);
    buf_done(&r.last);
}

static void more_calls_than_streams_wait_in_order(void **state)
{
    struct fixture *f = *state;
    struct result *r = mem_array(3000, sizeof(*r));

    for (int i = 0; i < 3000; i++)
        call(f->channel, &r[i],
             (struct grpc_call_options){.method = i < 1500 ? "/t.S/Hold" : "/t.S/Echo"});
    WAIT(f, f->open_calls == 1000);
    assert_false(r[1500].is_done);
    for (int i = 0; i < 1500; i++)
        grpc_call_cancel(r[i].call);
    for (int i = 1500; i < 3000; i++) {
        WAIT(f, r[i].is_done);
        assert_int_equal(r[i].status.code, GRPC_OK);
        buf_done(&r[i].last);
    }
    WAIT(f, f->open_calls == 0);
    free(r);
}

static void nobody_there_fails_at_once_or_waits(void **state)
{
    struct fixture *f = *state;
    struct result r = {.last = BUF_INIT}, waits = {.last = BUF_INIT};
    struct err err = ERR_INIT;

    stop_serving(f);
    call_and_wait(f, &r, (struct grpc_call_options){.method = "/t.S/Echo"});
    assert_int_equal(r.status.code, GRPC_UNAVAILABLE);
    assert_non_null(strstr(r.status.message, "connection refused"));
    assert_false(grpc_channel_is_ready(f->channel, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    call_and_wait(f, &r,
                  (struct grpc_call_options){
                      .method = "/t.S/Echo", .wait_for_ready = true, .timeout_ms = 100});
    assert_int_equal(r.status.code, GRPC_DEADLINE_EXCEEDED);
    assert_non_null(strstr(r.status.message, "connection refused"));
    call(f->channel, &waits,
         (struct grpc_call_options){.method = "/t.S/Echo", .wait_for_ready = true});
    call_and_wait(f, &r, (struct grpc_call_options){.method = "/t.S/Echo"});
    assert_int_equal(r.status.code, GRPC_UNAVAILABLE);
    serve(f); /* on the same port */
    WAIT(f, waits.is_done);
    assert_int_equal(waits.status.code, GRPC_OK);
    assert_true(grpc_channel_is_ready(f->channel, NULL));
    buf_done(&r.last);
    buf_done(&waits.last);
}

static void a_server_that_restarts_ends_calls_and_is_found_again(void **state)
{
    struct fixture *f = *state;
    struct result held = {.last = BUF_INIT}, r = {.last = BUF_INIT};

    for (int i = 0; i < 3; i++) {
        call(f->channel, &held, (struct grpc_call_options){.method = "/t.S/Hold"});
        WAIT(f, f->open_calls == 1);
        stop_serving(f);
        serve(f);
        WAIT(f, held.is_done);
        assert_int_equal(held.status.code, GRPC_UNAVAILABLE);
        call_and_wait(f, &r, (struct grpc_call_options){.method = "/t.S/Echo"});
        assert_int_equal(r.status.code, GRPC_OK);
    }
    buf_done(&r.last);
}

/* Listens, and says nothing, or nonsense. */
static void on_silent_data(void *arg, struct str bytes)
{
    (void)arg;
    (void)bytes;
}

static void on_silent_close(void *arg, const struct err *err)
{
    (void)err;
    *(struct conn **)arg = NULL;
}

static void on_silent_accept(void *arg, struct conn *c)
{
    static const struct conn_events events = {.on_data = on_silent_data,
                                              .on_close = on_silent_close};
    struct fixture *f = arg;

    assert_true(f->accepted < (int)ARRAY_LEN(f->silent));
    f->silent[f->accepted] = c;
    conn_start(c, &events, &f->silent[f->accepted]);
    if (f->greets)
        conn_write(c, STR("\0\0\0\4\0\0\0\0\0"));
    if (f->accepted++ == 1)
        conn_write(c, STR("HTTP/1.1 400 Bad Request\r\n\r\n"));
}

static void a_peer_that_does_not_speak_http2_is_given_up(void **state)
{
    struct fixture *f = *state;
    struct result r = {.last = BUF_INIT};
    struct net_addr a;

    stop_serving(f);
    net_addr_set(&a, "127.0.0.1", f->port);
    assert_int_equal(conn_listen(f->w.loop, &a, NULL, on_silent_accept, f, &f->listener, NULL), 0);
    call_and_wait(f, &r, (struct grpc_call_options){.method = "/t.S/Echo"});
    assert_int_equal(r.status.code, GRPC_UNAVAILABLE);
    assert_string_equal(r.status.message, "no HTTP/2 connection within 500 ms");
    call_and_wait(f, &r,
                  (struct grpc_call_options){
                      .method = "/t.S/Echo", .wait_for_ready = true, .timeout_ms = 300});
    assert_int_equal(r.status.code, GRPC_DEADLINE_EXCEEDED);
    assert_non_null(strstr(r.status.message, "HTTP/2"));
}

static void a_server_that_falls_silent_is_given_up(void **state)
{
    struct fixture *f = *state;
    struct result r = {.last = BUF_INIT};
    struct net_addr a;

    stop_serving(f);
    f->greets = true; /* with its settings, and nothing more */
    net_addr_set(&a, "127.0.0.1", f->port);
    assert_int_equal(conn_listen(f->w.loop, &a, NULL, on_silent_accept, f, &f->listener, NULL), 0);
    call_and_wait(f, &r, (struct grpc_call_options){.method = "/t.S/Echo"});
    assert_int_equal(r.status.code, GRPC_UNAVAILABLE);
    assert_string_equal(r.status.message,
                        "the connection was lost: the server does not answer pings");
}

/* A server that goes away without having looked at the call, and another one in its place. */
static void on_leaving_data(void *arg, struct str bytes)
{
    struct fixture *f = arg;

    f->got += bytes.n;
    if (f->got < 150 || !f->listener) /* preface and settings, and then the request */
        return;
    conn_write(f->silent[0], STR("\0\0\10\7\0\0\0\0\0\0\0\0\0\0\0\0\0"));
    conn_listener_free(f->listener);
    f->listener = NULL;
    serve(f);
}

static void on_leaving_close(void *arg, const struct err *err)
{
    struct fixture *f = arg;

    (void)err;
    f->silent[0] = NULL;
}

static void on_leaving_accept(void *arg, struct conn *c)
{
    static const struct conn_events events = {.on_data = on_leaving_data,
                                              .on_close = on_leaving_close};
    struct fixture *f = arg;

    f->silent[0] = c;
    f->accepted++;
    conn_start(c, &events, f);
    conn_write(c, STR("\0\0\0\4\0\0\0\0\0"));
}

static void a_call_that_goaway_left_out_is_sent_again(void **state)
{
    struct fixture *f = *state;
    struct result r = {.last = BUF_INIT};
    struct net_addr a;

    stop_serving(f);
    net_addr_set(&a, "127.0.0.1", f->port);
    assert_int_equal(conn_listen(f->w.loop, &a, NULL, on_leaving_accept, f, &f->listener, NULL), 0);
    call_and_wait(f, &r, (struct grpc_call_options){.method = "/t.S/Echo", .message = STR("x")});
    assert_int_equal(f->accepted, 1);
    assert_int_equal(r.status.code, GRPC_OK);
    assert_string_equal(buf_cstr(&r.last), "x");
    buf_done(&r.last);
}

static void channels_are_shared_by_target_and_tls(void **state)
{
    struct fixture *f = *state;
    struct grpc_channel *same = channel_to(f, NULL), *other;
    struct err err = ERR_INIT;

    assert_ptr_equal(same, f->channel);
    grpc_channel_release(same);
    other = channel_to(f, &(struct tls_client_options){.insecure = true});
    assert_ptr_not_equal(other, f->channel);
    grpc_channel_release(other);
    assert_int_equal(grpc_channel_get(f->client,
                                      &(struct grpc_channel_options){.target = "no:such:port"},
                                      &other, &err),
                     ERR_BAD_INPUT);
}

static void tls_and_client_certificates(void **state)
{
    struct fixture *f = *state;
    struct result r = {.last = BUF_INIT};
    struct tls_client_options tls = {.insecure = false};

    stop_serving(f);
    assert_int_equal(tls_make_ca("ca", 1, &f->ca, NULL), 0);
    assert_int_equal(
        tls_make_leaf(&f->ca, "server", NULL, "DNS:localhost", 1, &f->server_pair, NULL), 0);
    assert_int_equal(tls_make_leaf(&f->ca, "me", NULL, "DNS:me", 1, &f->client_pair, NULL), 0);
    assert_int_equal(tls_server_new(str_of(f->server_pair.cert_pem), str_of(f->server_pair.key_pem),
                                    str_of(f->ca.cert_pem), &f->tls, NULL),
                     0);
    tls_server_require_client(f->tls);
    serve(f);
    grpc_channel_release(f->channel);
    f->channel = channel_to(f, &tls); /* the system's roots do not know the CA */
    call_and_wait(f, &r, (struct grpc_call_options){.method = "/t.S/Echo"});
    assert_int_equal(r.status.code, GRPC_UNAVAILABLE);
    assert_non_null(strstr(r.status.message, "certificate"));
    grpc_channel_release(f->channel);
    tls.ca_pem = str_of(f->ca.cert_pem);
    f->channel = channel_to(f, &tls); /* and without a certificate the server lets nobody in */
    call_and_wait(f, &r, (struct grpc_call_options){.method = "/t.S/Echo"});
    assert_int_equal(r.status.code, GRPC_UNAVAILABLE);
    grpc_channel_release(f->channel);
    tls.cert_pem = str_of(f->client_pair.cert_pem);
    tls.key_pem = str_of(f->client_pair.key_pem);
    f->channel = channel_to(f, &tls);
    call_and_wait(f, &r, (struct grpc_call_options){.method = "/t.S/Echo", .message = STR("x")});
    assert_int_equal(r.status.code, GRPC_OK);
    assert_string_equal(buf_cstr(&r.last), "x");
    buf_done(&r.last);
}

/* What happens to the client from inside its callbacks. */
static void on_done_free(void *arg, const struct grpc_status *status)
{
    struct fixture *f = arg;

    (void)status;
    grpc_client_free(f->client);
    f->client = NULL;
}

static void on_message_free(void *arg, struct str message)
{
    (void)message;
    on_done_free(arg, NULL);
}

static void the_client_may_be_freed_in_a_callback(void **state)
{
    struct fixture *f = *state;
    struct grpc_client_options o = {.backoff_min_ms = 20};

    for (int i = 0; i < 3; i++) {
        grpc_call_start(f->channel, &(struct grpc_call_options){.method = "/t.S/Hold"});
        grpc_call_start(f->channel,
                        &(struct grpc_call_options){.method = i == 2 ? "/t.S/Many" : "/t.S/Echo",
                                                    .arg = f,
                                                    .is_stream = true,
                                                    .on_message = i > 0 ? on_message_free : NULL,
                                                    .on_done = on_done_free});
        WAIT(f, !f->client);
        WAIT(f, http_server_connections(f->server) == 0);
        f->client = grpc_client_new(f->w.loop, &o);
        f->channel = channel_to(f, NULL);
    }
}

/* Calls, cancellations, pauses and restarts in any order: each call ends once or was cancelled, and
 * nothing stays open. */
static void any_order_of_events_ends_every_call_once(void **state)
{
    static const char *const names[] = {"/t.S/Echo", "/t.S/Hold", "/t.S/Many", "/t.S/Fail"};
    struct fixture *f = *state;
    struct result *all = mem_array(400, sizeof(*all));
    bool *cancelled = mem_array(400, sizeof(*cancelled));
    uint64_t seed = (uint64_t)loop_wall_ms(f->w.loop);
    struct rng rng;
    int n = 0;

    print_message("seed %llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    for (int step = 0; step < 2000; step++) {
        int i = n ? (int)rng_below(&rng, (uint64_t)n) : 0;
        bool lives = n && all[i].call && !cancelled[i];

        switch (rng_below(&rng, 8)) {
        case 0:
        case 1: {
            struct grpc_call_options o = {.method = names[rng_below(&rng, 4)],
                                          .message = STR("x"),
                                          .is_stream = true,
                                          .wait_for_ready = rng_below(&rng, 2) == 0};

            if (n == 400)
                break;
            o.timeout_ms = o.wait_for_ready ? 500 : rng_below(&rng, 4) ? 0 : 20;
            all[n].f = f;
            call(f->channel, &all[n++], o);
            break;
        }
        case 2:
            if (lives) {
                cancelled[i] = true;
                grpc_call_cancel(all[i].call);
            }
            break;
        case 3:
            if (lives)
                grpc_call_pause(all[i].call, true);
            break;
        case 4:
        case 5:
            if (lives)
                grpc_call_pause(all[i].call, false);
            break;
        case 6:
            if (rng_below(&rng, 20) == 0) {
                stop_serving(f);
                serve(f);
            }
            break;
        default:
            loop_timer_start_ns(&f->w.poll, (int64_t)rng_below(&rng, 500000));
            loop_run(f->w.loop);
            break;
        }
    }
    for (int i = 0; i < n; i++) {
        if (all[i].call && !cancelled[i] && rng_below(&rng, 2)) {
            cancelled[i] = true;
            grpc_call_cancel(all[i].call);
        } else if (all[i].call && !cancelled[i]) {
            grpc_call_pause(all[i].call, false);
        }
    }
    stop_serving(f); /* those that are held end here */
    for (int i = 0; i < n; i++) {
        if (!cancelled[i])
            WAIT(f, all[i].is_done);
        assert_false(cancelled[i] && all[i].is_done);
    }
    assert_int_equal(f->open_calls, 0);
    grpc_client_free(f->client);
    f->client = NULL;
    for (int i = 0; i < n; i++)
        buf_done(&all[i].last);
    free(all);
    free(cancelled);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_found_however_they_are_cut),
        cmocka_unit_test(messages_over_the_bound_and_malformed_ones_are_refused),
        cmocka_unit_test(header_values_are_read_and_written),
#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)
        T(unary_calls_bring_a_message_or_a_status),
        T(deadlines_and_cancellation_reach_the_server),
        T(a_paused_stream_stays_where_it_is),
        T(more_calls_than_streams_wait_in_order),
        T(nobody_there_fails_at_once_or_waits),
        T(a_server_that_restarts_ends_calls_and_is_found_again),
        T(a_peer_that_does_not_speak_http2_is_given_up),
        T(a_server_that_falls_silent_is_given_up),
        T(a_call_that_goaway_left_out_is_sent_again),
        T(channels_are_shared_by_target_and_tls),
        T(tls_and_client_certificates),
        T(the_client_may_be_freed_in_a_callback),
        T(any_order_of_events_ends_every_call_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
