/* SPDX-License-Identifier: Apache-2.0 */
#include "net/h1.h"

#include <stdlib.h>

#include "base/mem.h"

static struct h1_parser *parser_of(llhttp_t *p)
{
    return p->data;
}

static int refuse(struct h1_parser *h, int status, const char *why)
{
    h->refuse = status;
    h->refuse_why = why;
    return -1;
}

static int add(struct h1_parser *h, const char *at, size_t n)
{
    buf_add(&h->block, at, n);
    return h->block.overflow ? refuse(h, 431, "the header block is over 64 KiB") : 0;
}

static int on_begin(llhttp_t *p)
{
    struct h1_parser *h = parser_of(p);

    buf_clear(&h->block);
    h->n = 0;
    h->target_n = 0;
    h->in_value = false;
    return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t n)
{
    struct h1_parser *h = parser_of(p);

    h->target_n += n;
    return add(h, at, n);
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
    struct h1_parser *h = parser_of(p);

    if (h->n == 0 || h->in_value) {
        if (h->n == H1_FIELDS_MAX)
            return refuse(h, 431, "more than 100 header fields");
        h->at[h->n++] = (struct h1_offsets){.name = h->block.n};
        h->in_value = false;
    }
    h->at[h->n - 1].name_n += n;
    return add(h, at, n);
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct h1_parser *h = parser_of(p);

    if (!h->in_value) {
        h->in_value = true;
        h->at[h->n - 1].value = h->block.n;
    } else if (h->value_end ? at != h->value_end : !h->continues || at != h->feed) {
        return refuse(h, 400, "a header line is folded"); /* llhttp leaves the line's end out */
    }
    h->at[h->n - 1].value_n += n;
    h->value_end = at + n;
    return add(h, at, n);
}

/* A field that ends without any value has had no on_value. */
static int on_value_complete(llhttp_t *p)
{
    struct h1_parser *h = parser_of(p);

    h->in_value = true;
    return 0;
}

static int check_request(struct h1_parser *h)
{
    const struct http_headers *hs = &h->head.headers;
    size_t hosts = 0;

    for (size_t i = 0; i < hs->n; i++)
        hosts += str_eq_nocase(hs->items[i].name, STR("host"));
    if (hosts > 1)
        return refuse(h, 400, "more than one Host header");
    if (hosts == 0 && !h->head.is_http10)
        return refuse(h, 400, "the Host header is missing");
    if (h->head.target.n == 0 || (h->head.target.p[0] != '/' && !str_is(h->head.target, "*") &&
                                  !str_starts(h->head.target, STR("http://"))))
        return refuse(h, 400, "the request target must be a path");
    return 0;
}

/* Offsets become slices only now: the block moved while it grew. */
static int on_headers_complete(llhttp_t *p)
{
    struct h1_parser *h = parser_of(p);
    const char *base = buf_cstr(&h->block);

    for (size_t i = 0; i < h->n; i++)
        h->items[i] =
            (struct http_header){str_n(base + h->at[i].name, h->at[i].name_n),
                                 str_trim(str_n(base + h->at[i].value, h->at[i].value_n))};
    h->head = (struct h1_head){
        .target = str_n(base, h->target_n),
        .status = p->status_code,
        .headers = {h->items, h->n},
        .keep_alive = llhttp_should_keep_alive(p) != 0,
        .is_upgrade = p->upgrade != 0,
        .is_http10 = p->http_major == 1 && p->http_minor == 0,
        .has_body =
            (p->flags & F_CHUNKED) != 0 || ((p->flags & F_CONTENT_LENGTH) && p->content_length > 0),
    };
    if (p->http_major != 1)
        return refuse(h, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    if (h->is_response) {
        h->ev->on_head(h->arg, &h->head);
        return h->no_body ? 1 : 0;
    }
    h->head.method = str_of(llhttp_method_name((llhttp_method_t)p->method));
    h->head.expect_100 =
        str_eq_nocase(http_header_get(&h->head.headers, "expect"), STR("100-continue"));
    if (check_request(h) < 0)
        return -1;
    h->ev->on_head(h->arg, &h->head);
    return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    struct h1_parser *h = parser_of(p);

    h->ev->on_body(h->arg, str_n(at, n));
    return 0;
}

static int on_complete(llhttp_t *p)
{
    (void)p;
    return HPE_PAUSED;
}

static const llhttp_settings_t *settings(void)
{
    static llhttp_settings_t s;

    if (!s.on_message_begin) {
        llhttp_settings_init(&s);
        s.on_url = on_url;
        s.on_header_field = on_field;
        s.on_header_value = on_value;
        s.on_header_value_complete = on_value_complete;
        s.on_headers_complete = on_headers_complete;
        s.on_body = on_body;
        s.on_message_complete = on_complete;
        s.on_message_begin = on_begin;
    }
    return &s;
}

static void restart(struct h1_parser *h)
{
    llhttp_init(&h->p, h->is_response ? HTTP_RESPONSE : HTTP_REQUEST, settings());
    h->p.data = h;
    h->no_body = false;
}

void h1_init(struct h1_parser *h, bool is_response, const struct h1_events *ev, void *arg)
{
    h->ev = ev;
    h->arg = arg;
    h->is_response = is_response;
    h->block = BUF_INIT_MAX(H1_BLOCK_MAX);
    h->refuse = 0;
    restart(h);
}

void h1_done(struct h1_parser *h)
{
    buf_done(&h->block);
}

void h1_expect_no_body(struct h1_parser *h)
{
    h->no_body = true;
}

void h1_next(struct h1_parser *h)
{
    restart(h);
}

int h1_feed(struct h1_parser *h, struct str bytes, size_t *ret_used, int *ret_status,
            struct err *err)
{
    llhttp_errno_t e;
    const char *stop;

    h->continues = h->value_end && h->value_end == h->feed_end;
    h->feed = bytes.p;
    h->feed_end = bytes.p + bytes.n;
    h->value_end = NULL;
    e = llhttp_execute(&h->p, bytes.p, bytes.n);
    stop = llhttp_get_error_pos(&h->p);
    *ret_used = bytes.n;
    if (e == HPE_OK)
        return 0;
    if (stop >= bytes.p && stop <= bytes.p + bytes.n)
        *ret_used = (size_t)(stop - bytes.p);
    if (e == HPE_PAUSED || e == HPE_PAUSED_UPGRADE) {
        h->ev->on_end(h->arg);
        return 1;
    }
    *ret_status = h->refuse ? h->refuse : 400;
    return err_set(err, ERR_BAD_INPUT, "%s",
                   h->refuse_why ? h->refuse_why : llhttp_get_error_reason(&h->p));
}

int h1_eof(struct h1_parser *h)
{
    if (!llhttp_message_needs_eof(&h->p) || h->p.finish != HTTP_FINISH_SAFE_WITH_CB)
        return h->p.finish == HTTP_FINISH_SAFE ? 0 : -1;
    h->ev->on_end(h->arg);
    return 1;
}
