/* SPDX-License-Identifier: Apache-2.0
 *
 * A call lives exactly as long as its exchange, which the HTTP server ends only between events: so
 * whatever a handler does in a callback, the call is still there when it returns. */
#include "net/grpc_server.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/table.h"
#include "codec/base64.h"

/* Readers of headers bound a block to 8 KiB or so; encoded a message may be three times as long. */
#define MESSAGE_MAX 1000
#define KEEP_BUFFER ((size_t)64 << 10)

struct entry {
    const struct grpc_service *service;
    const struct grpc_method *method;
};

struct grpc_server {
    const struct grpc_service **services;
    size_t n_services, cap_services;
    struct table methods; /* "/package.Service/Method" -> struct entry */
    struct table names;   /* "package.Service" */
};

struct grpc_x {
    struct http_x *x;
    const struct entry *entry;
    struct grpc_reader reader;
    struct loop_timer deadline;
    struct loop_timer resume; /* due at once: messages that waited for a resume */
    void *data;
    void (*on_close)(void *arg, struct grpc_x *x);
    void *on_close_arg;
    void (*on_message)(void *arg, struct grpc_x *x, struct str message, bool end);
    void *on_message_arg;
    void (*on_drain)(void *arg, struct grpc_x *x);
    void *on_drain_arg;
    struct str request; /* of a unary call, in the reader, until the client has half-closed */
    bool has_request, half_closed, is_paused, is_started, is_ended, in_pump;
};

/* --- the table --- */

struct grpc_server *grpc_server_new(void)
{
    return mem_zalloc(sizeof(struct grpc_server));
}

void grpc_server_free(struct grpc_server *s)
{
    size_t i = 0;
    void *value;

    if (!s)
        return;
    while (table_next(&s->methods, &i, NULL, &value))
        free(value);
    table_done(&s->methods);
    table_done(&s->names);
    free(s->services);
    free(s);
}

void grpc_server_add(struct grpc_server *s, const struct grpc_service *service)
{
    mem_grow(&s->services, &s->cap_services, s->n_services);
    s->services[s->n_services++] = service;
    table_set(&s->names, str_of(service->name), (void *)(uintptr_t)service);
    for (size_t i = 0; i < service->n_methods; i++) {
        AUTO_FREE char *path = mem_printf("/%s/%s", service->name, service->methods[i].name);
        struct entry *e = mem_zalloc(sizeof(*e));

        *e = (struct entry){service, &service->methods[i]};
        free(table_set(&s->methods, str_of(path), e));
    }
}

const struct grpc_service *grpc_server_service(const struct grpc_server *s, size_t i)
{
    return i < s->n_services ? s->services[i] : NULL;
}

/* --- the answer --- */

static struct str cut(const char *message)
{
    struct str s = str_of(message);

    if (s.n > MESSAGE_MAX) {
        s.n = MESSAGE_MAX;
        while (s.n > 0 && ((unsigned char)s.p[s.n] & 0xc0) == 0x80)
            s.n--;
    }
    return s;
}

/* Trailers, or an answer of trailers only where nothing was sent yet. */
static void send_status(struct http_x *x, bool is_started, int code, const char *message,
                        const char *accept, struct str details)
{
    struct http_header items[4];
    struct http_headers h = {items, 0};
    struct buf text = BUF_INIT, bin = BUF_INIT;
    char number[16];

    snprintf(number, sizeof(number), "%d", code);
    items[h.n++] = (struct http_header){STR("grpc-status"), str_of(number)};
    grpc_message_encode(&text, cut(message));
    if (text.n)
        items[h.n++] = (struct http_header){STR("grpc-message"), buf_str(&text)};
    if (accept)
        items[h.n++] = (struct http_header){STR("grpc-accept-encoding"), str_of(accept)};
    if (details.n) {
        base64_encode(&bin, details);
        items[h.n++] = (struct http_header){STR("grpc-status-details-bin"), buf_str(&bin)};
    }
    if (is_started)
        http_x_end(x, &h);
    else
        http_x_reply(x, 200, "application/grpc", &h, STR_NONE);
    buf_done(&text);
    buf_done(&bin);
}

void grpc_x_end_with(struct grpc_x *x, int code, const char *message, struct str details)
{
    if (x->is_ended)
        return;
    x->is_ended = true;
    loop_timer_stop(&x->deadline);
    loop_timer_stop(&x->resume);
    send_status(x->x, x->is_started, code, message, NULL, details);
}

void grpc_x_end(struct grpc_x *x, int code, const char *message)
{
    grpc_x_end_with(x, code, message, STR_NONE);
}

void grpc_x_start(struct grpc_x *x)
{
    if (x->is_started || x->is_ended)
        return;
    x->is_started = true;
    http_x_start(x->x, 200, "application/grpc", NULL);
}

bool grpc_x_send(struct grpc_x *x, struct str message)
{
    char prefix[GRPC_PREFIX];
    bool room;

    if (x->is_ended)
        return true;
    grpc_x_start(x);
    grpc_prefix(prefix, false, message.n);
    room = http_x_write(x->x, str_n(prefix, sizeof(prefix)));
    return message.n ? http_x_write(x->x, message) : room;
}

void grpc_x_reply(struct grpc_x *x, struct str message)
{
    grpc_x_send(x, message);
    grpc_x_end(x, GRPC_OK, NULL);
}

void grpc_x_fail(struct grpc_x *x, const struct err *err)
{
    grpc_x_end(x, err_grpc_code(err->code), err->msg);
}

static void on_deadline(void *arg)
{
    grpc_x_end(arg, GRPC_DEADLINE_EXCEEDED, "the deadline of the call has passed");
}

/* --- the request --- */

static void refuse_messages(struct grpc_x *x, const struct err *err)
{
    grpc_x_end(x, err->code == ERR_LIMIT ? GRPC_RESOURCE_EXHAUSTED : GRPC_INTERNAL, err->msg);
}

/* The buffers of large messages do not stay with a call that goes on. */
static void shrink(struct grpc_x *x)
{
    if (!x->has_request && grpc_reader_size(&x->reader) > KEEP_BUFFER &&
        !grpc_reader_is_inside(&x->reader)) {
        buf_done(&x->reader.in);
        buf_done(&x->reader.plain);
        x->reader.at = 0;
    }
    if (!http_x_hold(x->x, grpc_reader_size(&x->reader)))
        grpc_x_end(x, GRPC_RESOURCE_EXHAUSTED,
                   "too many unfinished requests are in memory; try again");
}

static void take_unary(struct grpc_x *x)
{
    const struct entry *e = x->entry;
    struct err err = ERR_INIT;
    int r;

    if (!x->has_request) {
        r = grpc_reader_next(&x->reader, &x->request, &err);
        if (r < 0) {
            refuse_messages(x, &err);
            return;
        }
        x->has_request = r == 1;
    }
    if (x->has_request && grpc_reader_is_inside(&x->reader)) {
        grpc_x_end(x, GRPC_INTERNAL, "more than one message came for a unary request");
        return;
    }
    if (!x->half_closed)
        return;
    if (!x->has_request) {
        grpc_x_end(x, GRPC_INTERNAL,
                   grpc_reader_is_inside(&x->reader) ? "the request message is cut off"
                                                     : "no message came for a unary request");
        return;
    }
    x->half_closed = false; /* once */
    e->method->on_request(e->service->ctx, x, x->request);
    x->has_request = false;
}

static void take_stream(struct grpc_x *x)
{
    struct err err = ERR_INIT;
    struct str message;
    int r = 0;

    while (!x->is_ended && !x->is_paused && (r = grpc_reader_next(&x->reader, &message, &err)) == 1)
        x->on_message(x->on_message_arg, x, message, false);
    if (x->is_ended || x->is_paused)
        return;
    if (r < 0) {
        refuse_messages(x, &err);
    } else if (x->half_closed && grpc_reader_is_inside(&x->reader)) {
        grpc_x_end(x, GRPC_INTERNAL, "the last request message is cut off");
    } else if (x->half_closed) {
        x->half_closed = false;
        x->on_message(x->on_message_arg, x, STR_NONE, true);
    }
}

static void pump(struct grpc_x *x)
{
    if (x->is_ended || x->in_pump)
        return;
    x->in_pump = true;
    if (x->entry->method->on_request)
        take_unary(x);
    else
        take_stream(x);
    x->in_pump = false;
    if (!x->is_ended)
        shrink(x);
    else
        grpc_reader_done(&x->reader);
}

static void on_part(void *arg, struct http_x *hx, struct str part, bool end)
{
    struct grpc_x *x = arg;

    (void)hx;
    if (x->is_ended)
        return;
    if (part.n && x->has_request) { /* feeding would move it */
        grpc_x_end(x, GRPC_INTERNAL, "more than one message came for a unary request");
        return;
    }
    if (part.n)
        grpc_reader_feed(&x->reader, part);
    x->half_closed = end;
    pump(x);
}

static void on_resume(void *arg)
{
    pump(arg);
}

void grpc_x_read(struct grpc_x *x,
                 void (*fn)(void *arg, struct grpc_x *x, struct str message, bool end), void *arg)
{
    x->on_message = fn;
    x->on_message_arg = arg;
}

void grpc_x_pause(struct grpc_x *x, bool paused)
{
    if (x->is_ended || x->is_paused == paused)
        return;
    x->is_paused = paused;
    if (paused) {
        http_x_pause(x->x);
        return;
    }
    http_x_resume(x->x);
    loop_timer_start(&x->resume, 0);
}

/* --- the call --- */

static void on_x_close(void *arg, struct http_x *hx)
{
    struct grpc_x *x = arg;

    (void)hx;
    x->is_ended = true;
    loop_timer_stop(&x->deadline);
    loop_timer_stop(&x->resume);
    if (x->on_close)
        x->on_close(x->on_close_arg, x);
    grpc_reader_done(&x->reader);
    free(x);
}

static void on_x_drain(void *arg, struct http_x *hx)
{
    struct grpc_x *x = arg;

    (void)hx;
    if (x->on_drain && !x->is_ended)
        x->on_drain(x->on_drain_arg, x);
}

static bool is_grpc(struct str type, struct str *ret_format)
{
    struct str name = STR("application/grpc");

    if (type.n < name.n || !str_eq_nocase((struct str){type.p, name.n}, name))
        return false;
    *ret_format = str_skip(type, name.n);
    return ret_format->n == 0 || ret_format->p[0] == '+' || ret_format->p[0] == ';';
}

static const struct entry *find(struct grpc_server *s, struct http_x *x)
{
    struct str path = http_x_request(x)->path, service = str_skip(path, 1);
    const struct entry *e = table_get(&s->methods, path);
    ptrdiff_t slash = str_chr(service, '/');
    AUTO_FREE char *text = NULL;

    if (e)
        return e;
    if (slash >= 0)
        service.n = (size_t)slash;
    if (slash >= 0 && table_get(&s->names, service))
        text = mem_printf("unknown method %.*s for service %.*s",
                          STR_ARG(str_skip(path, (size_t)slash + 2)), STR_ARG(service));
    else
        text = mem_printf("unknown service %.*s", STR_ARG(service));
    send_status(x, false, GRPC_UNIMPLEMENTED, text, NULL, STR_NONE);
    return NULL;
}

static void begin(struct grpc_server *s, struct http_x *hx)
{
    const struct http_request *r = http_x_request(hx);
    struct str encoding = http_header_get(&r->headers, "grpc-encoding");
    struct str timeout = http_header_get(&r->headers, "grpc-timeout");
    const struct entry *e = find(s, hx);
    enum compression c;
    int64_t ns = 0;
    struct grpc_x *x;

    if (!e)
        return;
    if (!compression_named(encoding, &c)) {
        AUTO_FREE char *text = mem_printf(
            "the message encoding '%.*s' is not known here: expected identity, gzip or zstd",
            STR_ARG(encoding));

        send_status(hx, false, GRPC_UNIMPLEMENTED, text, "identity,gzip,zstd", STR_NONE);
        return;
    }
    if (timeout.p && !grpc_timeout_parse(timeout, &ns)) {
        send_status(hx, false, GRPC_INTERNAL, "grpc-timeout is malformed", NULL, STR_NONE);
        return;
    }
    x = mem_zalloc(sizeof(*x));
    x->x = hx;
    x->entry = e;
    grpc_reader_init(&x->reader,
                     e->service->max_message ? e->service->max_message : GRPC_MAX_MESSAGE_DEFAULT);
    x->reader.encoding = c;
    loop_timer_init(&x->deadline, http_x_loop(hx), on_deadline, x);
    loop_timer_init(&x->resume, http_x_loop(hx), on_resume, x);
    http_x_on_close(hx, on_x_close, x);
    http_x_on_drain(hx, on_x_drain, x);
    if (timeout.p)
        loop_timer_start_ns(&x->deadline, ns);
    if (e->method->on_stream)
        e->method->on_stream(e->service->ctx, x);
    if (x->is_ended)
        return;
    FB_ASSERT(e->method->on_request || x->on_message);
    http_x_read(hx, on_part, x);
}

bool grpc_server_take(struct grpc_server *s, struct http_x *x)
{
    const struct http_request *r = http_x_request(x);
    struct str format;

    if (!is_grpc(http_header_get(&r->headers, "content-type"), &format))
        return false;
    if (!r->is_h2)
        http_x_reply(x, 505, "text/plain", NULL, STR("gRPC needs HTTP/2\n"));
    else if (!str_is(r->method, "POST"))
        http_x_reply(x, 405, "text/plain", NULL, STR("a gRPC call is a POST\n"));
    else if (format.n && format.p[0] == '+' && !str_eq_nocase(format, STR("+proto")) &&
             !str_starts(format, STR("+proto;")))
        http_x_reply(x, 415, "text/plain", NULL,
                     STR("of gRPC's formats application/grpc+proto is spoken here\n"));
    else
        begin(s, x);
    return true;
}

/* --- what handlers ask --- */

const struct http_request *grpc_x_request(const struct grpc_x *x)
{
    return http_x_request(x->x);
}

struct loop *grpc_x_loop(const struct grpc_x *x)
{
    return http_x_loop(x->x);
}

void grpc_x_set_data(struct grpc_x *x, void *data)
{
    x->data = data;
}

void *grpc_x_data(const struct grpc_x *x)
{
    return x->data;
}

void grpc_x_on_close(struct grpc_x *x, void (*fn)(void *arg, struct grpc_x *x), void *arg)
{
    x->on_close = fn;
    x->on_close_arg = arg;
}

void grpc_x_on_drain(struct grpc_x *x, void (*fn)(void *arg, struct grpc_x *x), void *arg)
{
    x->on_drain = fn;
    x->on_drain_arg = arg;
}

int64_t grpc_x_deadline_ns(const struct grpc_x *x)
{
    return loop_timer_is_running(&x->deadline) ? x->deadline.due_ns : 0;
}
