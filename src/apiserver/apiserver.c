/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/apiserver.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "apiserver/apiserver_int.h"
#include "base/mem.h"
#include "kube/status.h"

void reply_body(struct http_x *x, int http, struct buf *body)
{
    http_x_reply(x, http, "application/json", NULL, buf_str(body));
    buf_done(body);
}

void reply_bad_request(struct http_x *x, const char *fmt, ...)
{
    struct buf body = BUF_INIT, text = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    status_error(&body, 400, "BadRequest", "%s", buf_cstr(&text));
    buf_done(&text);
    reply_body(x, 400, &body);
}

void request_free(struct request *r)
{
    if (!r)
        return;
    selector_free(r->labels);
    field_selector_free(r->fields);
    free(r);
}

bool query_flag(const struct http_x *x, const char *key)
{
    char v[16];

    if (!http_query_get(http_x_request(x)->query, key, v, sizeof(v), NULL))
        return false;
    return strcasecmp(v, "false") != 0 && strcmp(v, "0") != 0;
}

/* --- who asks --- */

/* The same time for every wrong token of that length. */
static bool token_matches(struct str given, const char *token)
{
    unsigned char diff = given.n != strlen(token);

    for (size_t i = 0; i < given.n && token[i]; i++)
        diff |= (unsigned char)(given.p[i] ^ token[i]);
    return diff == 0;
}

static bool is_admin(const struct apiserver *a, const struct http_request *req)
{
    struct str auth = http_header_get(&req->headers, "authorization");

    if (req->tls_o && strcmp(req->tls_o, "system:masters") == 0)
        return true;
    return str_starts(auth, STR("Bearer ")) && token_matches(str_skip(auth, 7), a->o.token);
}

/* --- what is asked --- */

static bool next_part(struct str *rest, struct str *ret)
{
    if (!str_split(rest, '/', ret))
        return false;
    return ret->n > 0;
}

/* /api/v1/... or /apis/GROUP/VERSION/..., then [namespaces/NS/]RESOURCE[/NAME[/SUB]]. */
static bool parse_path(struct request *r, struct str path)
{
    struct str rest, group = STR(""), version, res;
    ptrdiff_t n;

    if (path.n >= sizeof(r->path))
        return false;
    memcpy(r->path, path.p, path.n);
    n = http_pct_decode(r->path, path.n);
    if (n < 0)
        return false;
    rest = str_n(r->path, (size_t)n);
    if (str_starts(rest, STR("/api/"))) {
        rest = str_skip(rest, 5);
    } else if (str_starts(rest, STR("/apis/"))) {
        rest = str_skip(rest, 6);
        if (!next_part(&rest, &group))
            return false;
    } else {
        return false;
    }
    if (!next_part(&rest, &version) || !next_part(&rest, &res))
        return false;
    if (str_is(res, "namespaces") && rest.p) {
        struct str ns, again = rest;

        if (!next_part(&again, &ns))
            return false;
        if (again.p && !str_is(again, "status") && !str_is(again, "finalize")) {
            r->ns = ns;
            rest = again;
            if (!next_part(&rest, &res))
                return false;
        }
    }
    if (rest.p && !next_part(&rest, &r->name))
        return false;
    if (rest.p && (!next_part(&rest, &r->sub) || rest.p))
        return false;
    r->kind = kind_by_path(group, version, res, &r->alias);
    return r->kind && (r->kind->namespaced || r->ns.n == 0);
}

static void read_accept(struct request *r)
{
    struct str accept = http_header_get(&http_x_request(r->x)->headers, "accept"), part;
    char include[16] = "";

    while (str_split(&accept, ',', &part)) {
        if (str_find(part, STR("json")) < 0 && str_find(part, STR("*/*")) < 0)
            continue;
        if (str_find(part, STR("as=Table")) >= 0)
            r->view = VIEW_TABLE;
        else if (str_find(part, STR("as=PartialObjectMetadata")) >= 0)
            r->view = VIEW_METADATA;
        break;
    }
    http_query_get(http_x_request(r->x)->query, "includeObject", include, sizeof(include), NULL);
    r->include = include[0] == 'N' || include[0] == 'O' ? include[0] : 'M';
}

static bool read_selectors(struct request *r)
{
    struct str q = http_x_request(r->x)->query;
    char text[2048];
    struct err err = ERR_INIT;
    size_t n;

    if (http_query_get(q, "labelSelector", text, sizeof(text), &n) && n &&
        selector_parse(str_n(text, n), &r->labels, &err) < 0) {
        reply_bad_request(r->x, "%s", err.msg);
        return false;
    }
    if (http_query_get(q, "fieldSelector", text, sizeof(text), &n) && n &&
        field_selector_parse(r->kind, str_n(text, n), &r->fields, &err) < 0) {
        reply_bad_request(r->x, "%s", err.msg);
        return false;
    }
    return true;
}

static void method_not_allowed(struct request *r)
{
    struct buf b = BUF_INIT;

    status_error(&b, 405, "MethodNotAllowed", "%.*s is not supported on resources of kind \"%s\"",
                 STR_ARG(http_x_request(r->x)->method), r->kind->plural);
    reply_body(r->x, 405, &b);
}

static bool is_known_sub(const struct request *r)
{
    return r->sub.n == 0 || (str_is(r->sub, "status") && r->kind->has_status) ||
           (str_is(r->sub, "scale") && r->kind->scale_spec) ||
           (str_is(r->sub, "log") && r->kind->id == KIND_POD) ||
           (str_is(r->sub, "token") && r->kind->id == KIND_SERVICEACCOUNT && r->a->o.tokens);
}

static void serve_resource(struct apiserver *a, struct http_x *x)
{
    struct request *r = mem_zalloc(sizeof(*r));
    const struct http_request *req = http_x_request(x);
    struct buf b = BUF_INIT;
    bool reads = str_is(req->method, "GET") || str_is(req->method, "HEAD");

    r->a = a;
    r->x = x;
    if (!parse_path(r, req->path) || !is_known_sub(r)) {
        status_no_such_path(&b);
        reply_body(x, 404, &b);
        request_free(r);
        return;
    }
    read_accept(r);
    if (!read_selectors(r)) {
        request_free(r);
        return;
    }
    if (str_is(r->sub, "log") && reads) {
        serve_log(r);
        return;
    }
    if (str_is(r->sub, "token")) {
        if (str_is(req->method, "POST")) {
            serve_token(r);
            return;
        }
        method_not_allowed(r);
        request_free(r);
        return;
    }
    if (!reads && (r->name.n || str_is(req->method, "POST") || str_is(req->method, "DELETE"))) {
        serve_write(r);
        return;
    }
    if (reads && !r->name.n && query_flag(x, "watch")) {
        serve_watch(r);
        return;
    }
    if (reads && str_is(r->sub, "scale"))
        serve_scale_get(r);
    else if (reads && r->name.n)
        serve_get(r);
    else if (reads)
        serve_list(r);
    else
        method_not_allowed(r);
    request_free(r);
}

/* ServiceAccounts are known, but there are no roles: here only the administrator may anything. */
static void turn_away(struct apiserver *a, struct http_x *x)
{
    struct str auth = http_header_get(&http_x_request(x)->headers, "authorization");
    struct buf b = BUF_INIT;
    char user[300];

    if (str_starts(auth, STR("Bearer ")) &&
        is_service_account(a, str_skip(auth, 7), user, sizeof(user))) {
        status_error(&b, 403, "Forbidden",
                     "forbidden: User \"%s\" cannot access this API server: only its administrator "
                     "can",
                     user);
        reply_body(x, 403, &b);
        return;
    }
    status_error(&b, 401, "Unauthorized", "Unauthorized");
    reply_body(x, 401, &b);
}

static void on_request(void *ctx, struct http_x *x)
{
    struct apiserver *a = ctx;
    const struct http_request *req = http_x_request(x);

    if (str_is(req->path, "/healthz") || str_is(req->path, "/livez") ||
        str_is(req->path, "/readyz")) {
        http_x_reply(x, 200, "text/plain; charset=utf-8", NULL, STR("ok"));
    } else if (!is_admin(a, req)) {
        turn_away(a, x);
    } else if (is_discovery(req->path)) {
        serve_discovery(a, x, req->path);
    } else if (!serve_review(a, x, req->path) && !serve_tokens(a, x) && !serve_metrics(a, x)) {
        serve_resource(a, x);
    }
}

int apiserver_new(struct loop *l, const struct apiserver_options *o, struct apiserver **ret,
                  struct err *err)
{
    struct apiserver *a = mem_zalloc(sizeof(*a));
    struct http_server_options so = {.addr = o->listen,
                                     .tls = o->tls,
                                     .on_request = on_request,
                                     .ctx = a,
                                     .server_name = "apiserver"};
    int r;

    a->loop = l;
    a->o = *o;
    list_init(&a->watches);
    r = http_server_new(l, &so, &a->http, err);
    if (r < 0) {
        free(a);
        return r;
    }
    *ret = a;
    return 0;
}

struct net_addr apiserver_addr(const struct apiserver *a)
{
    return http_server_addr(a->http);
}

void apiserver_set_logs(struct apiserver *a, const struct pod_log_source *logs)
{
    a->o.logs = logs;
}

void apiserver_set_metrics(struct apiserver *a, const struct metrics_api *m)
{
    a->metrics = *m;
}

void apiserver_free(struct apiserver *a)
{
    if (!a)
        return;
    http_server_free(a->http); /* ends every exchange, and with it every watch */
    free(a);
}

void apiserver_bootstrap(struct store *s)
{
    static const char *const namespaces[] = {
        "default", "kube-system",  "kube-public", "kube-node-lease",
        "kserve",  "istio-system", "keda"};

    for (size_t i = 0; i < ARRAY_LEN(namespaces); i++) {
        AUTO_JSON json_t *o = json_pack("{s:{s:s}}", "metadata", "name", namespaces[i]);

        if (!store_get(s, KIND_NAMESPACE, STR_NONE, str_of(namespaces[i])))
            store_submit(s,
                         &(struct store_request){
                             .verb = CLUSTER_CREATE, .kind = kind_of(KIND_NAMESPACE), .tree = o},
                         NULL, NULL);
    }
}
