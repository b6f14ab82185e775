/* SPDX-License-Identifier: Apache-2.0
 *
 * Our gRPC as a program for tests with foreign peers (tests/system/test_grpc.py). With `serve
 * [CERT KEY CA]` it serves test.Echo, health and reflection, prints its port, and ends with
 * its standard input. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/grpc_health.h"
#include "net/grpc_reflection.h"

static struct grpc_server *grpc;
static struct grpc_health *health;
static int open_calls;

static void on_close(void *arg, struct grpc_x *x)
{
    (void)arg;
    (void)x;
    open_calls--;
}

static void count(struct grpc_x *x)
{
    open_calls++;
    grpc_x_on_close(x, on_close, NULL);
}

static void unary(void *ctx, struct grpc_x *x, struct str message)
{
    (void)ctx;
    count(x);
    grpc_x_reply(x, message);
}

/* How many calls are open, as text. */
static void how_many(void *ctx, struct grpc_x *x, struct str message)
{
    char text[16];

    (void)ctx;
    (void)message;
    snprintf(text, sizeof(text), "%d", open_calls);
    grpc_x_reply(x, str_of(text));
}

static void fail(void *ctx, struct grpc_x *x, struct str message)
{
    AUTO_FREE char *text = str_dup(message);

    (void)ctx;
    count(x);
    grpc_x_end(x, GRPC_FAILED_PRECONDITION, text);
}

/* Never answers. */
static void hang(void *ctx, struct grpc_x *x, struct str message)
{
    (void)ctx;
    (void)message;
    count(x);
    grpc_x_start(x);
}

/* Repeats the message as often as its first four digits say, as fast as the client reads. */
struct repeat {
    struct buf message;
    int left;
};

static void repeat_more(void *arg, struct grpc_x *x)
{
    struct repeat *r = arg;

    while (r->left-- > 0)
        if (!grpc_x_send(x, buf_str(&r->message)))
            return;
    grpc_x_end(x, GRPC_OK, NULL);
}

static void on_repeat_close(void *arg, struct grpc_x *x)
{
    struct repeat *r = arg;

    (void)x;
    open_calls--;
    buf_done(&r->message);
    free(r);
}

static void repeat(void *ctx, struct grpc_x *x, struct str message)
{
    struct repeat *r = mem_zalloc(sizeof(*r));
    AUTO_FREE char *text = str_dup(message);

    (void)ctx;
    open_calls++;
    r->left = (int)strtol(text, NULL, 10);
    buf_add_str(&r->message, message);
    grpc_x_on_close(x, on_repeat_close, r);
    grpc_x_on_drain(x, repeat_more, r);
    repeat_more(r, x);
}

static void on_chat(void *arg, struct grpc_x *x, struct str message, bool end)
{
    (void)arg;
    if (end)
        grpc_x_end(x, GRPC_OK, NULL);
    else
        grpc_x_send(x, message);
}

static void chat(void *ctx, struct grpc_x *x)
{
    (void)ctx;
    count(x);
    grpc_x_read(x, on_chat, NULL);
}

/* Sets test.Echo's health: "1" serving, "2" not. */
static void set_health(void *ctx, struct grpc_x *x, struct str message)
{
    (void)ctx;
    grpc_health_set(health, "test.Echo",
                    message.n && message.p[0] == '2' ? GRPC_NOT_SERVING : GRPC_SERVING);
    grpc_x_reply(x, STR_NONE);
}

static const struct grpc_method methods[] = {
    {"Unary", unary, NULL},        {"Fail", fail, NULL}, {"Hang", hang, NULL},
    {"Repeat", repeat, NULL},      {"Chat", NULL, chat}, {"SetHealth", set_health, NULL},
    {"OpenCalls", how_many, NULL},
};
static const struct grpc_service echo = {.name = "test.Echo",
                                         .methods = methods,
                                         .n_methods = ARRAY_LEN(methods),
                                         .max_message = (size_t)1 << 20};

static void on_request(void *ctx, struct http_x *x)
{
    (void)ctx;
    if (!grpc_server_take(grpc, x))
        http_x_reply(x, 200, "text/plain", NULL, STR("plain http\n"));
}

static struct str file(const char *path)
{
    static struct buf texts[3];
    static size_t n;
    struct buf *b = &texts[n++];
    FILE *f = fopen(path, "rb");
    char part[4096];
    size_t got;

    if (!f) {
        perror(path);
        exit(1);
    }
    while ((got = fread(part, 1, sizeof(part), f)) > 0)
        buf_add(b, part, got);
    fclose(f);
    return buf_str(b);
}

static void on_stdin(void *arg)
{
    char part[64];

    if (read(0, part, sizeof(part)) <= 0)
        loop_stop(arg);
}

int main(int argc, char **argv)
{
    struct http_server_options o = {.on_request = on_request, .server_name = "echo"};
    struct loop *l = loop_new();
    struct err err = ERR_INIT;
    struct http_server *s;
    struct grpc_reflection *reflection;
    struct net_addr a;
    struct loop_fd *in;

    if (argc != 2 && argc != 5) {
        fprintf(stderr, "usage: grpc_peer serve [CERT KEY CA]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    grpc = grpc_server_new();
    grpc_server_add(grpc, &echo);
    health = grpc_health_new(grpc);
    reflection = grpc_reflection_new(grpc);
    net_addr_set(&o.addr, "127.0.0.1", 0);
    if (argc == 5 &&
        tls_server_new(file(argv[2]), file(argv[3]), file(argv[4]), &o.tls, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    if (o.tls)
        tls_server_require_client(o.tls);
    if (http_server_new(l, &o, &s, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    a = http_server_addr(s);
    printf("%u\n", net_addr_port(&a));
    fflush(stdout);
    in = loop_fd_watch(l, 0, on_stdin, l);
    loop_run(l);
    loop_fd_stop(in);
    http_server_free(s);
    loop_free(l);
    grpc_reflection_free(reflection);
    grpc_health_free(health);
    grpc_server_free(grpc);
    tls_server_free(o.tls);
    return 0;
}
