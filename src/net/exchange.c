/* SPDX-License-Identifier: Apache-2.0
 *
 * What exchanges of both protocols have in common: the request's copy, the ways to read its body,
 * and the order in which an answer may be given. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "net/server_int.h"

/* --- life --- */

/* Bytes in memory for this exchange; false: all exchanges together hold too many. */
static bool account(struct http_x *x)
{
    struct http_server *s = x->hc->s;
    size_t now = x->body.cap + x->held_by_user;
    bool grows = now > x->held;

    s->held = s->held - x->held + now;
    x->held = now;
    return !grows || s->held <= s->o.max_held;
}

static struct str copy_into(struct buf *b, struct str s)
{
    size_t at = b->n;

    buf_add_str(b, s);
    return str_n(b->p + at, s.n);
}

struct http_x *x_new(struct hconn *hc, const struct x_ops *ops, struct str method,
                     struct str target, struct str host, const struct http_headers *headers)
{
    struct http_x *x = mem_zalloc(sizeof(*x));
    struct http_header *items = mem_array(headers->n + 1, sizeof(*items));
    size_t total = method.n + target.n + host.n, n = 0;
    const char *p;
    ptrdiff_t q;

    for (size_t i = 0; i < headers->n; i++)
        total += headers->items[i].name.n + headers->items[i].value.n;
    x->kept.max = total + 1;
    buf_room(&x->kept, total);
    p = x->kept.p;
    x->ops = ops;
    x->hc = hc;
    list_init(&x->resume);
    x->req.method = copy_into(&x->kept, method);
    x->req.target = copy_into(&x->kept, target);
    if (host.n) /* so that whoever reads headers finds it where HTTP/1.1 has it */
        items[n++] = (struct http_header){STR("host"), copy_into(&x->kept, host)};
    for (size_t i = 0; i < headers->n; i++) {
        if (host.n && str_is(headers->items[i].name, "host"))
            continue;
        items[n++] = (struct http_header){copy_into(&x->kept, headers->items[i].name),
                                          copy_into(&x->kept, headers->items[i].value)};
    }
    FB_ASSERT(p == x->kept.p); /* one allocation: the slices stay */
    x->req.headers = (struct http_headers){items, n};
    x->req.host = http_header_get(&x->req.headers, "host");
    x->req.path = x->req.target;
    if (str_starts(x->req.path,
                   STR("http://"))) { /* absolute form: the path behind the authority */
        struct str rest = str_skip(x->req.path, 7);
        ptrdiff_t slash = str_chr(rest, '/');

        x->req.path = slash < 0 ? STR("/") : str_skip(rest, (size_t)slash);
    }
    q = str_chr(x->req.path, '?');
    if (q >= 0) {
        x->req.query = str_skip(x->req.path, (size_t)q + 1);
        x->req.path.n = (size_t)q;
    }
    x->is_head = str_is(method, "HEAD");
    x->req.peer = *conn_peer(hc->c);
    x->req.local = *conn_local(hc->c);
    x->req.is_tls = conn_is_tls(hc->c);
    x->req.tls_cn = conn_tls_cn(hc->c);
    x->req.tls_o = conn_tls_o(hc->c);
    return x;
}

void x_close(struct http_x *x)
{
    if (x->on_close)
        x->on_close(x->on_close_arg, x);
    x->hc->s->held -= x->held;
    list_del(&x->resume);
    buf_done(&x->kept);
    buf_done(&x->body);
    free(x->req.headers.items);
    free(x);
}

/* --- the request's body --- */

static void refuse_body(struct http_x *x, int status, const char *text)
{
    struct http_header retry = {STR("retry-after"), STR("1")};
    struct http_headers extra = {&retry, status == 503};

    x->on_all = NULL;
    x->keep_alive = false;
    buf_done(&x->body);
    account(x);
    http_x_reply(x, status, "text/plain; charset=utf-8", &extra, str_of(text));
}

static void too_large(struct http_x *x)
{
    AUTO_FREE char *text = mem_printf("the body is over the limit of %zu bytes\n", x->body_max);

    refuse_body(x, 413, text);
}

static void keep_part(struct http_x *x, struct str part)
{
    buf_add_str(&x->body, part);
    if (account(x))
        return;
    if (x->on_all)
        refuse_body(x, 503, "too many unfinished requests are in memory; try again\n");
    else
        http_x_abort(x);
}

void x_body(struct http_x *x, struct str part)
{
    if (x->is_ended) { /* answered already: the rest is read and dropped */
        x->ops->used(x, part.n);
    } else if (x->on_part && !x->is_paused) {
        x->on_part(x->body_arg, x, part, false);
        x->ops->used(x, part.n);
    } else if (x->on_all) {
        x->ops->used(x, part.n);
        if (x->body.n + part.n > x->body_max)
            too_large(x);
        else
            keep_part(x, part);
    } else {
        x->unused += part.n; /* nobody asked for it yet */
        keep_part(x, part);
        if (x->body.n > CONN_HIGH_WATER)
            x->ops->hold(x, true);
    }
}

static void deliver_end(struct http_x *x)
{
    if (x->on_part && !x->is_paused) {
        void (*fn)(void *, struct http_x *, struct str, bool) = x->on_part;

        x->on_part = NULL;
        fn(x->body_arg, x, STR_NONE, true);
    } else if (x->on_all) {
        void (*fn)(void *, struct http_x *, struct str) = x->on_all;

        x->on_all = NULL;
        fn(x->body_arg, x, buf_str(&x->body));
    }
}

void x_request_end(struct http_x *x)
{
    x->request_ended = true;
    if (!x->is_ended)
        deliver_end(x);
}

void x_drain(struct http_x *x)
{
    if (x->on_drain && !x->is_ended)
        x->on_drain(x->on_drain_arg, x);
}

/* Gives what waits, and the end if it has come. */
void x_resume(struct http_x *x)
{
    if (x->is_paused || x->is_ended)
        return;
    if (x->on_part && x->body.n) {
        struct buf parts = x->body;

        x->body = BUF_INIT;
        account(x);
        x->on_part(x->body_arg, x, buf_str(&parts), false);
        buf_done(&parts);
    }
    x->ops->used(x, x->unused);
    x->unused = 0;
    if (x->is_paused)
        return;
    x->ops->hold(x, false);
    if (x->request_ended && !x->is_ended)
        deliver_end(x);
}

void http_x_read_all(struct http_x *x, size_t max,
                     void (*fn)(void *arg, struct http_x *x, struct str body), void *arg)
{
    struct str length = http_header_get(&x->req.headers, "content-length");
    uint64_t n;

    x->on_all = fn;
    x->body_arg = arg;
    x->body_max = max;
    x->body.max = max ? max : 1;
    if ((length.p && str_to_u64(length, &n) && n > max) || x->body.n > max) {
        too_large(x);
        return;
    }
    x->ops->say_continue(x);
    x->ops->resume_later(x);
}

void http_x_read(struct http_x *x,
                 void (*fn)(void *arg, struct http_x *x, struct str part, bool end), void *arg)
{
    x->on_part = fn;
    x->body_arg = arg;
    x->ops->say_continue(x);
    x->ops->resume_later(x);
}

void http_x_pause(struct http_x *x)
{
    x->is_paused = true;
    x->ops->hold(x, true);
}

void http_x_resume(struct http_x *x)
{
    x->is_paused = false;
    x->ops->resume_later(x);
}

bool http_x_hold(struct http_x *x, size_t bytes)
{
    x->held_by_user = bytes;
    return account(x);
}

/* --- the answer --- */

const struct http_request *http_x_request(const struct http_x *x)
{
    return &x->req;
}

struct loop *http_x_loop(const struct http_x *x)
{
    return x->hc->s->loop;
}

void http_x_set_data(struct http_x *x, void *data)
{
    x->data = data;
}

void *http_x_data(const struct http_x *x)
{
    return x->data;
}

void http_x_on_close(struct http_x *x, void (*fn)(void *arg, struct http_x *x), void *arg)
{
    x->on_close = fn;
    x->on_close_arg = arg;
}

void http_x_on_drain(struct http_x *x, void (*fn)(void *arg, struct http_x *x), void *arg)
{
    x->on_drain = fn;
    x->on_drain_arg = arg;
}

void http_x_reply(struct http_x *x, int status, const char *type, const struct http_headers *extra,
                  struct str body)
{
    bool is_end = x->is_head || body.n == 0;

    if (x->is_started || x->is_ended)
        return;
    x->is_started = true;
    x->ops->start(x, status, type, extra, (ptrdiff_t)body.n, is_end);
    if (!is_end)
        x->ops->write(x, body);
    x->is_ended = true;
    x->ops->end(x, NULL);
}

void http_x_start(struct http_x *x, int status, const char *type, const struct http_headers *extra)
{
    if (x->is_started || x->is_ended)
        return;
    x->is_started = true;
    x->ops->start(x, status, type, extra, -1, false);
}

bool http_x_write(struct http_x *x, struct str bytes)
{
    if (x->is_ended || x->is_head || bytes.n == 0)
        return true;
    return x->ops->write(x, bytes);
}

void http_x_end(struct http_x *x, const struct http_headers *trailers)
{
    if (x->is_ended)
        return;
    if (!x->is_started) {
        http_x_reply(x, 200, NULL, NULL, STR_NONE);
        return;
    }
    x->is_ended = true;
    x->ops->end(x, trailers);
}

void http_x_abort(struct http_x *x)
{
    if (x->is_ended)
        return;
    x->is_ended = true;
    x->ops->abort(x);
}

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Entity"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };

    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Status";
}
