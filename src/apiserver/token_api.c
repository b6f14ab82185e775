/* SPDX-License-Identifier: Apache-2.0
 *
 * serviceaccounts/NAME/token, TokenReview, and the key for those who check tokens themselves. */
#include <stdio.h>

#include "apiserver/apiserver_int.h"
#include "apiserver/tokens.h"
#include "base/clock.h"
#include "base/mem.h"
#include "codec/yaml.h"
#include "kube/status.h"

#define TOKEN_BODY_MAX ((size_t)64 << 10)

static json_t *read_body(struct http_x *x, struct str body)
{
    json_t *o = NULL;
    struct err err = ERR_INIT;

    /* JSON is YAML as well; an empty body asks for the defaults */
    if (body.n && yaml_parse(body, &o, &err) < 0)
        reply_bad_request(x, "the body cannot be read: %s", err.msg);
    else if (!body.n)
        o = json_object();
    return o;
}

static void bad_seconds(struct request *r, int64_t seconds)
{
    struct field_errors errors = {0};
    struct buf b = BUF_INIT;
    int http;

    field_error(&errors, "FieldValueInvalid", "spec.expirationSeconds",
                "Invalid value: %lld: may not specify a duration %s", (long long)seconds,
                seconds < TOKEN_SECONDS_MIN ? "less than 10 minutes" : "larger than 2^32 seconds");
    http = status_invalid(&b, r->kind, r->name, &errors);
    field_errors_done(&errors);
    reply_body(r->x, http, &b);
}

static void reply_token(struct request *r, const struct object *account, const json_t *asked)
{
    int64_t now = loop_wall_ms(r->a->loop),
            seconds = json_int(asked, "spec.expirationSeconds", TOKEN_SECONDS_DEFAULT);
    const json_t *audiences = json_at(asked, "spec.audiences");
    char created[TIME_TEXT_MAX], end[TIME_TEXT_MAX];
    struct buf token = BUF_INIT, b = BUF_INIT;
    struct err err = ERR_INIT;
    AUTO_JSON json_t *o = NULL;

    if (seconds < TOKEN_SECONDS_MIN || seconds > TOKEN_SECONDS_MAX) {
        bad_seconds(r, seconds);
        return;
    }
    if (tokens_issue(r->a->o.tokens, account, audiences, now, seconds, &token, &err) < 0) {
        status_error(&b, 500, "InternalError", "%s", err.msg);
        reply_body(r->x, 500, &b);
        return;
    }
    time_rfc3339(now, created);
    time_rfc3339(now + seconds * 1000, end);
    o = json_pack(
        "{s:s,s:s,s:{s:o,s:o,s:s},s:{s:o,s:I},s:{s:s,s:s}}", "kind", "TokenRequest", "apiVersion",
        "authentication.k8s.io/v1", "metadata", "name", json_str_new(account->name), "namespace",
        json_str_new(account->ns), "creationTimestamp", created, "spec", "audiences",
        json_array_size(audiences) ? json_deep_copy(audiences) : json_pack("[s]", TOKEN_ISSUER),
        "expirationSeconds", (json_int_t)seconds, "status", "token", buf_cstr(&token),
        "expirationTimestamp", end);
    json_write(&b, o);
    explicit_bzero(token.p, token.n);
    buf_done(&token);
    http_x_reply(r->x, 201, "application/json", NULL, buf_str(&b));
    explicit_bzero(b.p, b.n);
    buf_done(&b);
}

static void on_token_body(void *arg, struct http_x *x, struct str body)
{
    struct request *r = arg;
    const struct object *account = store_get(r->a->o.store, KIND_SERVICEACCOUNT, r->ns, r->name);
    AUTO_JSON json_t *asked = NULL;
    struct buf b = BUF_INIT;

    http_x_on_close(x, NULL, NULL);
    if (!account)
        reply_body(x, status_not_found(&b, r->kind, r->name), &b);
    else if ((asked = read_body(x, body)))
        reply_token(r, account, asked);
    request_free(r);
}

static void on_close(void *arg, struct http_x *x)
{
    (void)x;
    request_free(arg);
}

void serve_token(struct request *r)
{
    http_x_on_close(r->x, on_close, r);
    http_x_read_all(r->x, TOKEN_BODY_MAX, on_token_body, r);
}

/* --- who is that --- */

static bool shares_audience(const json_t *wanted, const json_t *has)
{
    const json_t *w, *h;
    size_t i, k;

    if (json_array_size(wanted) == 0)
        return true;
    json_array_foreach ((json_t *)(uintptr_t)wanted, i, w)
        json_array_foreach ((json_t *)(uintptr_t)has, k, h)
            if (json_equal(w, h))
                return true;
    return false;
}

static json_t *review(const struct apiserver *a, const json_t *asked)
{
    AUTO_JSON json_t *claims = tokens_verify(
        a->o.tokens, str_of(json_text(asked, "spec.token", "")), loop_wall_ms(a->loop));
    json_t *account = json_object_get(json_object_get(claims, "kubernetes.io"), "serviceaccount");
    const char *ns = json_text(json_object_get(claims, "kubernetes.io"), "namespace", "");
    json_t *aud = json_object_get(claims, "aud");

    /* the account may have gone, or be another one of that name */
    if (claims) {
        const struct object *o = store_get(a->o.store, KIND_SERVICEACCOUNT, str_of(ns),
                                           str_of(json_text(account, "name", "")));

        if (o && str_is(o->uid, json_text(account, "uid", "")) &&
            shares_audience(json_at(asked, "spec.audiences"), aud))
            return json_pack("{s:b,s:{s:O,s:O,s:[s,o,s]},s:O}", "authenticated", 1, "user",
                             "username", json_object_get(claims, "sub"), "uid",
                             json_object_get(account, "uid"), "groups", "system:serviceaccounts",
                             json_fmt("system:serviceaccounts:%s", ns), "system:authenticated",
                             "audiences", aud);
    }
    return json_pack("{s:b,s:s}", "authenticated", 0, "error", "the token is not valid");
}

static void on_review_body(void *arg, struct http_x *x, struct str body)
{
    struct apiserver *a = arg;
    AUTO_JSON json_t *asked = read_body(x, body), *o = NULL;
    struct buf b = BUF_INIT;

    if (!asked)
        return;
    o = json_pack("{s:s,s:s,s:{},s:o}", "kind", "TokenReview", "apiVersion",
                  "authentication.k8s.io/v1", "metadata", "status", review(a, asked));
    json_write(&b, o);
    reply_body(x, 201, &b);
}

bool serve_tokens(struct apiserver *a, struct http_x *x)
{
    const struct http_request *req = http_x_request(x);
    struct buf b = BUF_INIT;

    if (!a->o.tokens)
        return false;
    if (str_is(req->path, "/apis/authentication.k8s.io/v1/tokenreviews") &&
        str_is(req->method, "POST")) {
        http_x_read_all(x, TOKEN_BODY_MAX, on_review_body, a);
        return true;
    }
    if (str_is(req->path, "/openid/v1/jwks"))
        tokens_jwks(a->o.tokens, &b);
    else if (str_is(req->path, "/.well-known/openid-configuration"))
        buf_add_cstr(&b, "{\"issuer\":\"" TOKEN_ISSUER "\",\"jwks_uri\":\"" TOKEN_ISSUER
                         "/openid/v1/jwks\",\"response_types_supported\":[\"id_token\"],"
                         "\"subject_types_supported\":[\"public\"],"
                         "\"id_token_signing_alg_values_supported\":[\"ES256\"]}");
    else
        return false;
    reply_body(x, 200, &b);
    return true;
}

bool is_service_account(const struct apiserver *a, struct str token, char *out, size_t cap)
{
    AUTO_JSON json_t *claims =
        a->o.tokens ? tokens_verify(a->o.tokens, token, loop_wall_ms(a->loop)) : NULL;

    if (claims)
        snprintf(out, cap, "%s", json_text(claims, "sub", ""));
    return claims != NULL;
}
