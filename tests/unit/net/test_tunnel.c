/* SPDX-License-Identifier: Apache-2.0
 *
 * What a proxy may answer to CONNECT, over loopback sockets. That a tunnel works is shown with a
 * real proxy (tests/system/test_proxy.py). */
#include <stdlib.h>
#include <string.h>

#include "../cmocka_all.h"

#include "base/log.h"
#include "base/mem.h"
#include "net/conn.h"
#include "net/http_client.h"
#include "net/proxy.h"

#define DEADLINE_MS 5000

struct fixture {
    struct loop *loop;
    struct conn_listener *listener;
    struct http_client *client;
    struct proxies *proxies;
    struct loop_timer deadline;
    /* the proxy */
    struct conn *conn;
    struct buf got;
    const char *answer; /* what is left of it; NULL: closes at once */
    bool is_slow;       /* byte by byte */
    bool has_answered;
    /* the client */
    struct err err;
    int answers;
};

/* --- a proxy that says what it is told to --- */

static void say(void *arg)
{
    struct fixture *f = arg;
    size_t n = f->is_slow ? 1 : strlen(f->answer);

    if (!f->conn || !*f->answer)
        return;
    conn_write(f->conn, str_n(f->answer, n));
    f->answer += n;
    loop_post(f->loop, say, f);
}

static void on_data(void *arg, struct str bytes)
{
    struct fixture *f = arg;

    buf_add_str(&f->got, bytes);
    if (f->has_answered || str_find(buf_str(&f->got), STR("\r\n\r\n")) < 0) {
        if (f->has_answered) { /* what comes through the tunnel ends it */
            conn_close(f->conn);
            f->conn = NULL;
        }
        return;
    }
    f->has_answered = true;
    if (f->answer) {
        say(f);
    } else {
        conn_close(f->conn);
        f->conn = NULL;
    }
}

static void on_close(void *arg, const struct err *err)
{
    (void)err;
    ((struct fixture *)arg)->conn = NULL;
}

static const struct conn_events proxy_events = {NULL, on_data, NULL, on_close, NULL};

static void on_accept(void *arg, struct conn *c)
{
    struct fixture *f = arg;

    conn_start(c, &proxy_events, f);
    f->conn = c;
}

/* --- the client --- */

static void on_deadline(void *arg)
{
    loop_stop(((struct fixture *)arg)->loop);
}

static void on_answer(void *arg, const struct http_response *r, struct str body,
                      const struct err *err)
{
    struct fixture *f = arg;

    (void)r;
    (void)body;
    f->answers++;
    if (err)
        f->err = *err;
    loop_stop(f->loop);
}

static int start(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    struct net_addr addr;
    AUTO_FREE char *url = NULL;
    char text[64];

    log_set_level(LOG_LEVEL_ERROR);
    f->loop = loop_new();
    loop_timer_init(&f->deadline, f->loop, on_deadline, f);
    net_addr_set(&addr, "127.0.0.1", 0);
    if (conn_listen(f->loop, &addr, NULL, on_accept, f, &f->listener, NULL) < 0)
        return -1;
    addr = conn_listener_addr(f->listener);
    url = mem_printf("http://me:pass@%s", net_addr_text(&addr, text));
    if (proxies_new(&(struct proxy_settings){.https = url}, &f->proxies, NULL) < 0)
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
    conn_listener_free(f->listener);
    proxies_free(f->proxies);
    loop_timer_stop(&f->deadline);
    loop_free(f->loop);
    buf_done(&f->got);
    free(f);
    return 0;
}

static void ask(struct fixture *f, const char *answer, bool is_slow)
{
    buf_clear(&f->got);
    f->answer = answer;
    f->is_slow = is_slow;
    f->has_answered = false;
    f->answers = 0;
    f->err = ERR_INIT;
    http_client_send(f->client, &(struct http_call_options){.url = "https://server.test:8443/x",
                                                            .proxies = f->proxies,
                                                            .arg = f,
                                                            .on_all = on_answer});
    loop_timer_start(&f->deadline, DEADLINE_MS);
    loop_run(f->loop);
    loop_timer_stop(&f->deadline);
    assert_int_equal(f->answers, 1);
    conn_close(f->conn);
    f->conn = NULL;
}

/* --- the tests --- */

static void every_answer_but_a_good_one_is_told(void **state)
{
    static const struct {
        const char *answer, *says;
    } cases[] = {
        {"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nhello",
         "the proxy: it answered HTTP 403 to CONNECT"},
        {"HTTP/1.0 407 Proxy Authentication Required\r\n\r\n",
         "the proxy: it answered HTTP 407 to CONNECT"},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
         "the proxy: it answered HTTP 502 to CONNECT"},
        {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "the proxy: its answer is not HTTP"},
        {"HTTP/1.1 200 OK\r\n\r\nwelcome", "the peer spoke before it was asked"},
        {NULL, "the connection was closed without an answer"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (int slow = 0; slow < 2; slow++) {
            ask(f, cases[i].answer, slow);
            assert_int_equal(f->err.code, ERR_UNAVAILABLE);
            if (slow && strstr(cases[i].says, "spoke"))
                continue; /* byte by byte it is the TLS handshake that is spoken into */
            if (strncmp(f->err.msg, cases[i].says, strlen(cases[i].says)) != 0)
                fail_msg("%s, not: %s", f->err.msg, cases[i].says);
            assert_string_equal(buf_cstr(&f->got),
                                "CONNECT server.test:8443 HTTP/1.1\r\nhost: server.test:8443\r\n"
                                "proxy-authorization: Basic bWU6cGFzcw==\r\n\r\n");
        }
}

static void behind_a_good_answer_tls_begins(void **state)
{
    struct fixture *f = *state;
    static const char *const good[] = {"HTTP/1.1 200 Connection established\r\n\r\n",
                                       "HTTP/1.0 200 OK\r\n\r\n",
                                       "HTTP/1.1 204 No Content\r\nProxy-agent: x\r\n\r\n",
                                       "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"};

    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        for (int slow = 0; slow < 2; slow++) {
            ptrdiff_t at;

            ask(f, good[i], slow);
            at = str_find(buf_str(&f->got), STR("\r\n\r\n"));
            if ((size_t)at + 5 >= f->got.n)
                fail_msg("%s", f->err.msg);
            assert_int_equal(f->got.p[at + 4], 22); /* a handshake's record */
            assert_true(f->err.code < 0);           /* which this proxy does not answer */
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_answer_but_a_good_one_is_told, start, stop),
        cmocka_unit_test_setup_teardown(behind_a_good_answer_tls_begins, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
