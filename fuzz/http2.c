/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames into a session. However they are cut, it must tell the same; and whatever its owner does
 * in between, memory stays whole. The first byte: 'c' a client's session (with three requests
 * open), anything else a server's, which has had the preface. The second: how the owner behaves. */
#include <stdint.h>

#include "base/mem.h"
#include "net/h2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct owner {
    struct buf said, bodies; /* what it told, if it is only listened to */
    struct h2_stream *streams[8];
    size_t n;
    bool acts;
    unsigned choice;
};

static void act(struct owner *o, struct h2_stream *s)
{
    struct http_header field = {STR("Grpc-Status"), STR("0")};
    struct http_headers h = {&field, 1};

    if (!o->acts)
        return;
    o->choice = o->choice * 1103515245 + 12345;
    switch (o->choice >> 16 & 7) {
    case 0:
        h2_respond(s, 200, &h, true);
        break;
    case 1:
        h2_respond(s, 200, &h, false);
        h2_write(s, STR("some bytes of an answer"));
        h2_end(s, &h);
        break;
    case 2:
        h2_reset(s, H2_CANCEL);
        break;
    case 3:
        h2_end(s, &h);
        break;
    case 4:
        h2_respond(s, 404, NULL, false);
        break;
    default:
        h2_write(s, STR("more"));
        break;
    }
}

static void on_head(void *arg, struct h2_stream *s, const struct h2_head *head)
{
    struct owner *o = arg;

    buf_printf(&o->said, "head %.*s %.*s %.*s %d %d%d", STR_ARG(head->method), STR_ARG(head->path),
               STR_ARG(head->authority), head->status, head->is_end, head->is_too_large);
    for (size_t i = 0; i < head->headers.n; i++)
        buf_printf(&o->said, " %.*s=%.*s", STR_ARG(head->headers.items[i].name),
                   STR_ARG(head->headers.items[i].value));
    buf_add_char(&o->said, '\n');
    act(o, s);
}

static void on_trailers(void *arg, struct h2_stream *s, const struct h2_head *head)
{
    on_head(arg, s, head);
}

static void on_data(void *arg, struct h2_stream *s, struct str part)
{
    struct owner *o = arg;

    buf_add_str(&o->bodies, part);
    act(o, s);
    h2_consume(s, part.n);
}

static void on_end(void *arg, struct h2_stream *s)
{
    struct owner *o = arg;

    buf_add_cstr(&o->said, "end\n");
    act(o, s);
}

static void on_drain(void *arg, struct h2_stream *s)
{
    act(arg, s);
}

static void on_close(void *arg, struct h2_stream *s, uint32_t code)
{
    struct owner *o = arg;

    (void)code;
    for (size_t i = 0; i < o->n; i++)
        if (o->streams[i] == s)
            o->streams[i] = o->streams[--o->n];
}

static void on_goaway(void *arg, uint32_t code, struct str why)
{
    struct owner *o = arg;

    buf_printf(&o->said, "goaway %u %.*s\n", code, STR_ARG(why));
}

static bool on_bytes(void *arg, struct str bytes)
{
    (void)arg;
    (void)bytes;
    return true;
}

static void want_send(void *arg)
{
    (void)arg;
}

static int64_t no_time(const struct clock *c)
{
    (void)c;
    return 0;
}

static void run(struct str all, bool is_client, size_t step, struct owner *o)
{
    static const struct h2_events events = {.on_head = on_head,
                                            .on_data = on_data,
                                            .on_trailers = on_trailers,
                                            .on_end = on_end,
                                            .on_drain = on_drain,
                                            .on_close = on_close,
                                            .on_goaway = on_goaway,
                                            .on_bytes = on_bytes,
                                            .want_send = want_send};
    static const struct clock clock = {no_time, no_time};
    struct h2 *h = h2_new(!is_client, &clock, &events, o);
    int r = 0;

    if (is_client) {
        struct http_header items[] = {{STR(":method"), STR("POST")},
                                      {STR(":scheme"), STR("http")},
                                      {STR(":authority"), STR("x")},
                                      {STR(":path"), STR("/")}};
        struct http_headers headers = {items, ARRAY_LEN(items)};

        for (int i = 0; i < 3; i++)
            o->streams[o->n++] = h2_request(h, &headers, i == 0);
        h2_flush(h);
    } else {
        r = h2_feed(h, STR(H2_PREFACE), NULL);
    }
    for (size_t at = 0; at < all.n && r == 0; at += step) {
        r = h2_feed(h, str_n(all.p + at, all.n - at < step ? all.n - at : step), NULL);
        if (o->acts)
            h2_flush(h);
    }
    h2_flush(h);
    h2_free(h);
}

/* nghttp2's bound on CONTINUATION frames counts reads, not frames: there cuts do matter. */
static bool has_continuation(struct str all)
{
    while (all.n >= 9) {
        const unsigned char *p = (const unsigned char *)all.p;

        if (p[3] == 9 || ((p[3] == 1 || p[3] == 5) && !(p[4] & 4)))
            return true;
        all = str_skip(all, 9 + ((size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2]));
    }
    return false;
}

/* A session that has ended takes no further feed, but goes on to the end of the one it is in: so
 * one may have said more than the other, but nothing else. */
static bool agree(const struct buf *a, const struct buf *b)
{
    return str_starts(buf_str(a), buf_str(b)) || str_starts(buf_str(b), buf_str(a));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t steps[] = {4096, 1, 7};
    struct owner o[ARRAY_LEN(steps) + 1] = {{.said = BUF_INIT}};
    struct str all;

    if (size < 2 || size > 65536)
        return 0;
    all = str_n((const char *)data + 2, size - 2);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        run(all, data[0] == 'c', steps[i], &o[i]);
    o[ARRAY_LEN(steps)].acts = true;
    o[ARRAY_LEN(steps)].choice = data[1];
    run(all, data[0] == 'c', 1 + data[1] % 64, &o[ARRAY_LEN(steps)]);
    for (size_t i = 1; i < ARRAY_LEN(steps) && !has_continuation(all); i++)
        if (!agree(&o[0].said, &o[i].said) || !agree(&o[0].bodies, &o[i].bodies))
            __builtin_trap();
    for (size_t i = 0; i < ARRAY_LEN(o); i++) {
        buf_done(&o[i].said);
        buf_done(&o[i].bodies);
    }
    return 0;
}
