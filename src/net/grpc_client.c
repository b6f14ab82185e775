/* SPDX-License-Identifier: Apache-2.0 */
#include "net/grpc_client.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "net/grpc_client_int.h"

#define MAX_MESSAGE_DEFAULT ((size_t)4 << 20) /* what other clients take */
#define TRIES_MAX 5                           /* of a call that servers refuse unseen */

/* --- the end of a call --- */

static void free_call(void *arg)
{
    struct grpc_call *c = arg;

    grpc_reader_done(&c->reader);
    buf_done(&c->metadata);
    buf_done(&c->request);
    free(c->method);
    free(c);
}

/* No more callbacks; the stream, if there is one, ends by itself or by the caller's reset. */
static void retire(struct grpc_call *c)
{
    c->is_gone = true;
    loop_timer_stop(&c->deadline);
    loop_timer_stop(&c->resume);
    list_del(&c->at);
    if (c->stream)
        h2_stream_set_data(c->stream, NULL);
    c->stream = NULL;
    if (c->link)
        link_check(c->link);
    else
        channel_post(c->ch);
    loop_post(c->ch->client->loop, free_call, c);
}

static void finish(struct grpc_call *c)
{
    if (c->is_gone)
        return;
    retire(c);
    if (c->o.on_done)
        c->o.on_done(c->o.arg, &c->status);
}

static void set_status(struct grpc_call *c, int code, const char *message)
{
    c->has_status = true;
    c->status.code = code;
    snprintf(c->status.message, sizeof(c->status.message), "%s", message);
}

void call_fail(struct grpc_call *c, int code, const char *fmt, ...)
{
    va_list ap;

    if (c->is_gone)
        return;
    c->has_status = true;
    c->status.code = code;
    va_start(ap, fmt);
    vsnprintf(c->status.message, sizeof(c->status.message), fmt, ap);
    va_end(ap);
    if (c->stream)
        h2_reset(c->stream, H2_CANCEL);
    finish(c);
}

void grpc_call_cancel(struct grpc_call *c)
{
    if (!c || c->is_gone)
        return;
    if (c->stream)
        h2_reset(c->stream, H2_CANCEL);
    retire(c);
}

static void on_deadline(void *arg)
{
    struct grpc_call *c = arg;
    struct err *last = &c->ch->last;

    if (!c->stream && last->code)
        call_fail(c, GRPC_DEADLINE_EXCEEDED, "no connection within %lld ms: %s",
                  (long long)c->o.timeout_ms, last->msg);
    else
        call_fail(c, GRPC_DEADLINE_EXCEEDED, "no whole answer within %lld ms",
                  (long long)c->o.timeout_ms);
}

/* --- the answer --- */

static void read_status(struct grpc_call *c, const struct http_headers *h)
{
    struct str code = http_header_get(h, "grpc-status");
    char text[sizeof(c->status.message)];
    uint64_t n;

    if (!code.p)
        return;
    grpc_message_decode(http_header_get(h, "grpc-message"), text, sizeof(text));
    set_status(c, str_to_u64(code, &n) && n <= 1000 ? (int)n : GRPC_UNKNOWN, text);
    c->status.retry_ms = grpc_retry_ms(http_header_get(h, "grpc-status-details-bin"));
}

/* False: the call is gone. */
static bool take_messages(struct grpc_call *c)
{
    struct err err = ERR_INIT;
    struct str message;
    int r;

    while (!c->is_paused && (r = grpc_reader_next(&c->reader, &message, &err)) != 0) {
        if (r < 0) {
            call_fail(c, err.code == ERR_LIMIT ? GRPC_RESOURCE_EXHAUSTED : GRPC_INTERNAL,
                      "the answer: %s", err.msg);
            return false;
        }
        if (!c->o.is_stream) {
            c->message = message;
            c->has_message = true;
            if (grpc_reader_is_inside(&c->reader)) {
                call_fail(c, GRPC_INTERNAL, "more than one message came as a unary answer");
                return false;
            }
            break;
        }
        if (c->o.on_message)
            c->o.on_message(c->o.arg, message);
        if (c->is_gone)
            return false;
    }
    return true;
}

static void pump(struct grpc_call *c)
{
    struct h2_stream *stream = c->stream;

    if (c->is_gone || c->in_pump)
        return;
    c->in_pump = true;
    if (take_messages(c) && !c->is_paused && stream && c->unused) {
        h2_consume(stream, c->unused);
        c->unused = 0;
    }
    c->in_pump = false;
}

/* The stream is no more and everything it brought was taken. */
static void conclude(struct grpc_call *c)
{
    pump(c);
    if (c->is_gone)
        return;
    if (c->is_paused) { /* nothing that happens to the connection concerns it any more */
        list_del(&c->at);
        list_add_tail(&c->ch->finishing, &c->at);
        c->link = NULL;
        return;
    }
    if (c->status.code == GRPC_OK && grpc_reader_is_inside(&c->reader))
        set_status(c, GRPC_INTERNAL, "the last message of the answer is cut off");
    if (c->status.code == GRPC_OK && !c->o.is_stream && !c->has_message)
        set_status(c, GRPC_INTERNAL, "a unary answer without a message");
    if (c->status.code == GRPC_OK && !c->o.is_stream && c->o.on_message)
        c->o.on_message(c->o.arg, c->message);
    finish(c);
}

static void on_resume(void *arg)
{
    struct grpc_call *c = arg;

    if (c->has_status && !c->stream)
        conclude(c);
    else
        pump(c);
}

void grpc_call_pause(struct grpc_call *c, bool paused)
{
    if (c->is_gone || c->is_paused == paused)
        return;
    c->is_paused = paused;
    if (!paused)
        loop_timer_start(&c->resume, 0);
}

static void on_head(void *arg, struct h2_stream *s, const struct h2_head *head)
{
    struct grpc_call *c = h2_stream_data(s);
    struct str type = http_header_get(&head->headers, "content-type");
    struct str encoding = http_header_get(&head->headers, "grpc-encoding");

    (void)arg;
    if (!c)
        return;
    c->has_head = true;
    buf_done(&c->request);
    read_status(c, &head->headers);
    if (head->is_too_large)
        call_fail(c, GRPC_INTERNAL, "the header of the answer is too large");
    else if (head->status != 200 && !c->has_status)
        call_fail(c, grpc_code_of_http(head->status), "the server answered with HTTP status %d",
                  head->status);
    else if (!str_starts(type, STR("application/grpc")))
        call_fail(c, GRPC_UNKNOWN, "the answer's content type is '%.*s': expected application/grpc",
                  STR_ARG(type));
    else if (!compression_named(encoding, &c->reader.encoding))
        call_fail(c, GRPC_INTERNAL, "the encoding '%.*s' of the answer is not known here",
                  STR_ARG(encoding));
}

static void on_data(void *arg, struct h2_stream *s, struct str part)
{
    struct grpc_call *c = h2_stream_data(s);

    (void)arg;
    if (!c) {
        h2_consume(s, part.n);
        return;
    }
    if (c->has_message) { /* feeding would move it */
        call_fail(c, GRPC_INTERNAL, "more than one message came as a unary answer");
        return;
    }
    grpc_reader_feed(&c->reader, part);
    c->unused += part.n;
    pump(c);
}

static void on_trailers(void *arg, struct h2_stream *s, const struct h2_head *head)
{
    struct grpc_call *c = h2_stream_data(s);

    (void)arg;
    if (c)
        read_status(c, &head->headers);
}

static void on_nothing(void *arg, struct h2_stream *s)
{
    (void)arg;
    (void)s;
}

static int code_of_reset(uint32_t code)
{
    switch (code) {
    case H2_REFUSED_STREAM:
        return GRPC_UNAVAILABLE;
    case H2_CANCEL:
        return GRPC_CANCELLED;
    case H2_ENHANCE_YOUR_CALM:
        return GRPC_RESOURCE_EXHAUSTED;
    case H2_INADEQUATE_SECURITY:
        return GRPC_PERMISSION_DENIED;
    default:
        return GRPC_INTERNAL;
    }
}

static void on_stream_close(void *arg, struct h2_stream *s, uint32_t code)
{
    struct grpc_call *c = h2_stream_data(s);
    struct grpc_link *link = arg;

    if (!c) {
        link_check(link);
        return;
    }
    h2_stream_set_data(s, NULL);
    c->stream = NULL;
    if (code == H2_REFUSED_STREAM && !c->has_head && ++c->tries < TRIES_MAX) {
        /* the server promises that it has not looked at it */
        list_del(&c->at);
        c->link = NULL;
        list_add_tail(&c->ch->waiting, &c->at);
        channel_post(c->ch);
        return;
    }
    if (!c->has_status) {
        char text[80];

        snprintf(text, sizeof(text), "the stream was closed without a status (HTTP/2 error %u)",
                 code);
        set_status(c, code_of_reset(code), text);
    }
    conclude(c);
}

const struct h2_events grpc_link_events = {
    .on_head = on_head,
    .on_data = on_data,
    .on_trailers = on_trailers,
    .on_end = on_nothing,
    .on_drain = on_nothing,
    .on_close = on_stream_close,
    .on_settings = link_on_settings,
    .on_goaway = link_on_goaway,
    .on_bytes = link_on_bytes,
    .want_send = link_want_send,
};

/* --- the request --- */

static void add(struct http_headers *h, struct str name, struct str value)
{
    h->items[h->n++] = (struct http_header){name, value};
}

static size_t count_zeros(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == '\0';
    return n;
}

void call_send(struct grpc_call *c, struct grpc_link *link)
{
    struct str rest = buf_str(&c->metadata), name, value;
    struct http_headers h = {mem_array(11 + count_zeros(rest) / 2, sizeof(*h.items)), 0};
    char timeout[16];

    add(&h, STR(":method"), STR("POST"));
    add(&h, STR(":scheme"), c->ch->tls ? STR("https") : STR("http"));
    add(&h, STR(":path"), str_of(c->method));
    add(&h, STR(":authority"), str_of(c->ch->authority));
    add(&h, STR("te"), STR("trailers"));
    add(&h, STR("content-type"), STR("application/grpc"));
    add(&h, STR("user-agent"), str_of(c->ch->client->user_agent));
    add(&h, STR("grpc-accept-encoding"), STR("identity,gzip,zstd"));
    if (c->o.compression != COMPRESSION_NONE)
        add(&h, STR("grpc-encoding"), str_of(compression_name(c->o.compression)));
    if (c->o.timeout_ms) {
        grpc_timeout_text(c->deadline.due_ns - loop_mono_ns(c->ch->client->loop), timeout);
        add(&h, STR("grpc-timeout"), str_of(timeout));
    }
    while (str_split(&rest, '\0', &name) && str_split(&rest, '\0', &value))
        add(&h, name, value);
    list_del(&c->at);
    list_add_tail(&link->calls, &c->at);
    c->link = link;
    c->stream = h2_request(link->h2, &h, false);
    h2_stream_set_data(c->stream, c);
    h2_write(c->stream, buf_str(&c->request));
    h2_end(c->stream, NULL);
    free(h.items);
}

static void frame_request(struct grpc_call *c, struct str message)
{
    char prefix[GRPC_PREFIX];

    c->request.max = message.n + message.n / 8 + 4096;
    buf_add(&c->request, "\0\0\0\0", GRPC_PREFIX);
    if (c->o.compression != COMPRESSION_NONE &&
        compress_body(c->o.compression, message, &c->request, NULL) < 0)
        c->o.compression = COMPRESSION_NONE;
    if (c->o.compression == COMPRESSION_NONE) {
        c->request.n = GRPC_PREFIX;
        c->request.overflow = false;
        buf_add_str(&c->request, message);
    }
    grpc_prefix(prefix, c->o.compression != COMPRESSION_NONE, c->request.n - GRPC_PREFIX);
    memcpy(c->request.p, prefix, sizeof(prefix));
}

struct grpc_call *grpc_call_start(struct grpc_channel *ch, const struct grpc_call_options *o)
{
    struct grpc_call *c = mem_zalloc(sizeof(*c));
    struct loop *l = ch->client->loop;

    c->ch = ch;
    c->o = *o;
    c->method = mem_strdup(o->method);
    for (size_t i = 0; o->metadata && i < o->metadata->n; i++) {
        buf_add_str(&c->metadata, o->metadata->items[i].name);
        buf_add_char(&c->metadata, '\0');
        buf_add_str(&c->metadata, o->metadata->items[i].value);
        buf_add_char(&c->metadata, '\0');
    }
    frame_request(c, o->message);
    grpc_reader_init(&c->reader, o->max_message ? o->max_message : MAX_MESSAGE_DEFAULT);
    loop_timer_init(&c->deadline, l, on_deadline, c);
    loop_timer_init(&c->resume, l, on_resume, c);
    if (o->timeout_ms)
        loop_timer_start(&c->deadline, o->timeout_ms);
    list_add_tail(&ch->waiting, &c->at);
    channel_post(ch);
    return c;
}

/* --- the client --- */

struct grpc_client *grpc_client_new(struct loop *l, const struct grpc_client_options *o)
{
    struct grpc_client *c = mem_zalloc(sizeof(*c));

    c->loop = l;
    c->o = *o;
    c->user_agent = mem_strdup(o->user_agent ? o->user_agent : "flyball/" FLYBALL_VERSION);
    list_init(&c->channels);
    rng_seed_random(&c->rng);
    return c;
}

static void free_client(void *arg)
{
    struct grpc_client *c = arg;

    free(c->user_agent);
    free(c);
}

static void cancel_all(struct list *calls)
{
    while (!list_is_empty(calls))
        grpc_call_cancel(container_of(calls->next, struct grpc_call, at));
}

void grpc_client_free(struct grpc_client *c)
{
    if (!c)
        return;
    while (!list_is_empty(&c->channels)) {
        struct grpc_channel *ch = container_of(c->channels.next, struct grpc_channel, at);

        cancel_all(&ch->waiting);
        cancel_all(&ch->finishing);
        list_each (it, &ch->links)
            cancel_all(&container_of(it, struct grpc_link, at)->calls);
        channel_drop(ch);
    }
    loop_post(c->loop, free_client, c);
}
