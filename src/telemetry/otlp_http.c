/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/otlp_http.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "codec/compress.h"
#include "codec/otlp.h"
#include "codec/otlp_json.h"
#include "net/grpc.h"

#define HELD_MAX ((size_t)192 << 20) /* bodies of all requests that are being received */
#define RETRY_AFTER "5"
#define RETRY_AFTER_S 5

static const int statuses[] = {200, 400, 405, 413, 415, 429};

struct otlp_http {
    struct otlp *otlp;
    size_t max, held;
    uint64_t answers[ARRAY_LEN(statuses)];
    uint64_t received; /* bytes, as sent */
};

/* A request whose body is coming in. */
struct upload {
    struct otlp_http *h;
    bool is_json, is_answered;
    enum compression encoding;
    struct buf body;
};

struct otlp_http *otlp_http_new(struct otlp *otlp, size_t max)
{
    struct otlp_http *h = mem_zalloc(sizeof(*h));

    h->otlp = otlp;
    h->max = max ? max : OTLP_MESSAGE_MAX;
    return h;
}

void otlp_http_free(struct otlp_http *h)
{
    free(h);
}

/* --- answers --- */

static void answer(struct otlp_http *h, struct http_x *x, int status, const char *type,
                   const struct http_headers *extra, struct str body)
{
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        h->answers[i] += statuses[i] == status;
    http_x_reply(x, status, type, extra, body);
}

static const char *type_of(bool is_json)
{
    return is_json ? "application/json" : "application/x-protobuf";
}

static void fail(struct otlp_http *h, struct http_x *x, bool is_json, int status, int code,
                 const char *message)
{
    static struct http_header later = {{"retry-after", 11}, {RETRY_AFTER, 1}};
    struct http_headers extra = {&later, 1};
    struct buf b = BUF_INIT;

    otlp_write_status(&b, is_json, code, str_of(message), status == 429 ? RETRY_AFTER_S : 0);
    answer(h, x, status, type_of(is_json), status == 429 ? &extra : NULL, buf_str(&b));
    buf_done(&b);
}

static void refuse(struct otlp_http *h, struct http_x *x, int status, const char *text)
{
    static struct http_header allow = {{"allow", 5}, {"POST", 4}};
    struct http_headers extra = {&allow, 1};

    answer(h, x, status, "text/plain; charset=utf-8", status == 405 ? &extra : NULL, str_of(text));
}

/* --- bodies --- */

/* The body as a request in protobuf: itself, or unpacked into *plain and *pb. */
static int unpack(struct upload *u, struct buf *plain, struct buf *pb, struct str *ret,
                  struct err *err)
{
    int r;

    *ret = buf_str(&u->body);
    if (u->encoding != COMPRESSION_NONE) {
        if ((r = decompress_body(u->encoding, *ret, plain, err)) < 0)
            return r;
        *ret = buf_str(plain);
    }
    if (!u->is_json)
        return 0;
    r = otlp_from_json(*ret, pb, err);
    *ret = buf_str(pb);
    return r;
}

static void receive(struct upload *u, struct http_x *x)
{
    struct buf plain = BUF_INIT_MAX(u->h->max), pb = BUF_INIT_MAX(u->h->max), b = BUF_INIT;
    struct otlp_outcome out;
    struct err err = ERR_INIT;
    struct str request;

    if (unpack(u, &plain, &pb, &request, &err) < 0) {
        bool is_large = err.code == ERR_LIMIT;

        fail(u->h, x, u->is_json, is_large ? 413 : 400,
             is_large ? GRPC_RESOURCE_EXHAUSTED : GRPC_INVALID_ARGUMENT, err.msg);
    } else if (otlp_receive(u->h->otlp, request, &out, &err) < 0) {
        bool is_full = err.code == ERR_LIMIT;

        fail(u->h, x, u->is_json, is_full ? 429 : 400,
             is_full ? GRPC_UNAVAILABLE : GRPC_INVALID_ARGUMENT, err.msg);
    } else {
        otlp_write_response(&b, u->is_json, out.rejected, str_of(out.message));
        answer(u->h, x, 200, type_of(u->is_json), NULL, buf_str(&b));
    }
    buf_done(&b);
    buf_done(&plain);
    buf_done(&pb);
}

static void let_go(struct upload *u)
{
    u->h->held -= u->body.n;
    buf_done(&u->body);
}

static void on_part(void *arg, struct http_x *x, struct str part, bool end)
{
    struct upload *u = arg;

    if (u->is_answered)
        return;
    u->h->received += part.n;
    if (u->body.n + part.n > u->h->max) {
        u->is_answered = true;
        let_go(u);
        fail(u->h, x, u->is_json, 413, GRPC_RESOURCE_EXHAUSTED,
             "the request is larger than --otlp-max-message: send fewer points at once");
    } else if (u->h->held + part.n > HELD_MAX) {
        u->is_answered = true;
        let_go(u);
        fail(u->h, x, u->is_json, 429, GRPC_UNAVAILABLE,
             "too many requests are being received at once: send again later");
    } else {
        buf_add_str(&u->body, part);
        u->h->held += part.n;
        if (end) {
            u->is_answered = true;
            receive(u, x);
        }
    }
}

static void on_close(void *arg, struct http_x *x)
{
    struct upload *u = arg;

    (void)x;
    let_go(u);
    free(u);
}

/* --- requests --- */

static struct str media_type(const struct http_request *req)
{
    struct str s = http_header_get(&req->headers, "content-type"), type = s;

    str_split(&s, ';', &type);
    return str_trim(type);
}

bool otlp_http_take(void *ctx, struct http_x *x)
{
    struct otlp_http *h = ctx;
    const struct http_request *req = http_x_request(x);
    struct str type = media_type(req);
    bool is_json = str_eq_nocase(type, STR("application/json"));
    enum compression encoding;
    struct upload *u;

    if (!str_is(req->path, "/v1/metrics"))
        return false;
    if (!str_is(req->method, "POST")) {
        refuse(h, x, 405, "metrics are sent by POST\n");
    } else if (!is_json && !str_eq_nocase(type, STR("application/x-protobuf"))) {
        refuse(h, x, 415, "the content type must be application/x-protobuf or application/json\n");
    } else if (!compression_named(http_header_get(&req->headers, "content-encoding"), &encoding)) {
        refuse(h, x, 415, "the content encoding must be identity, gzip or zstd\n");
    } else {
        u = mem_zalloc(sizeof(*u));
        *u = (struct upload){
            .h = h, .is_json = is_json, .encoding = encoding, .body = BUF_INIT_MAX(h->max)};
        http_x_on_close(x, on_close, u);
        http_x_read(x, on_part, u);
    }
    return true;
}

void otlp_http_metrics(const struct otlp_http *h, struct buf *out)
{
    buf_add_cstr(out, "# HELP flyball_otlp_http_responses_total Answers to OTLP over HTTP.\n"
                      "# TYPE flyball_otlp_http_responses_total counter\n");
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        buf_printf(out, "flyball_otlp_http_responses_total{code=\"%d\"} %llu\n", statuses[i],
                   (unsigned long long)h->answers[i]);
    buf_printf(out,
               "# HELP flyball_otlp_http_received_bytes_total Bytes of bodies, as sent.\n"
               "# TYPE flyball_otlp_http_received_bytes_total counter\n"
               "flyball_otlp_http_received_bytes_total %llu\n",
               (unsigned long long)h->received);
}
