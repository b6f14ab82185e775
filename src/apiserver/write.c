/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "apiserver/apiserver_int.h"
#include "base/mem.h"
#include "codec/yaml.h"
#include "kube/kpb.h"
#include "kube/status.h"

/* --- answers --- */

struct pending {
    struct request *r;
    bool is_closed; /* the client left; the write goes on */
    bool is_delete;
};

static void on_close(void *arg, struct http_x *x)
{
    struct pending *p = arg;

    (void)x;
    p->is_closed = true;
}

/* Warning headers, one per line of text. */
static size_t warning_headers(struct str warnings, struct http_header *out, size_t max)
{
    struct str line;
    size_t n = 0;

    while (n < max && str_split(&warnings, '\n', &line)) {
        struct buf b = BUF_INIT, quoted = BUF_INIT;

        if (line.n == 0)
            continue;
        json_write_str(&quoted, line);
        buf_printf(&b, "299 - %s", buf_cstr(&quoted));
        buf_done(&quoted);
        out[n].name = STR("warning");
        out[n].value.p = buf_take(&b, &out[n].value.n);
        n++;
    }
    return n;
}

static void on_stored(void *arg, const struct store_result *res)
{
    struct pending *p = arg;
    struct request *r = p->r;
    struct http_header warnings[8];
    struct http_headers extra = {warnings, warning_headers(res->warnings, warnings, 8)};
    struct buf b = BUF_INIT;

    if (!p->is_closed) {
        if (res->err_code)
            buf_add_str(&b, res->status);
        else if (str_is(r->sub, "scale") && res->now)
            write_scale(&b, res->now);
        else if (res->now)
            write_object(&b, r, res->now);
        else
            status_success(&b, r->kind, r->name, res->was ? res->was->uid : STR(""));
        http_x_on_close(r->x, NULL, NULL);
        http_x_reply(r->x, res->http, "application/json", &extra, buf_str(&b));
    }
    for (size_t i = 0; i < extra.n; i++)
        free((char *)(uintptr_t)warnings[i].value.p);
    buf_done(&b);
    request_free(r);
    free(p);
}

/* --- bodies --- */

static bool media_is(struct str type, const char *want)
{
    ptrdiff_t semi = str_chr(type, ';');

    if (semi >= 0)
        type.n = (size_t)semi;
    return str_eq_nocase(str_trim(type), str_of(want));
}

static void unsupported(struct request *r)
{
    struct buf b = BUF_INIT;

    status_error(&b, 415, "UnsupportedMediaType",
                 "the body of the request was in an unknown format - accepted media types include: "
                 "application/json, application/yaml, application/json-patch+json, "
                 "application/merge-patch+json%s",
                 r->kind->is_custom ? "" : ", application/strategic-merge-patch+json");
    reply_body(r->x, 415, &b);
}

static enum field_validation field_mode(const struct http_x *x)
{
    char v[16] = "";

    http_query_get(http_x_request(x)->query, "fieldValidation", v, sizeof(v), NULL);
    return strcmp(v, "Strict") == 0   ? FIELDS_STRICT
           : strcmp(v, "Ignore") == 0 ? FIELDS_IGNORE
                                      : FIELDS_WARN;
}

/* JSON or YAML into a tree; answers 400 and 415 itself. */
static bool parse_body(struct request *r, struct str body, json_t **ret)
{
    struct str type = http_header_get(&http_x_request(r->x)->headers, "content-type");
    struct err err = ERR_INIT;
    struct buf dups = BUF_INIT;
    int rc;

    if (media_is(type, "application/yaml")) {
        rc = yaml_parse(body, ret, &err);
    } else if (media_is(type, "application/vnd.kubernetes.protobuf")) {
        rc = kpb_decode(body, ret, &err);
        if (rc == ERR_UNSUPPORTED) {
            unsupported(r);
            return false;
        }
    } else {
        rc = json_parse_strict(body, ret, &dups, &err);
    }
    if (rc == 0 && dups.n && field_mode(r->x) == FIELDS_STRICT) {
        json_decref(*ret);
        reply_bad_request(r->x, "strict decoding error: duplicate field \"%.*s\"",
                          (int)(dups.n - 1), dups.p);
        rc = ERR_BAD_INPUT;
    } else if (rc < 0) {
        reply_bad_request(r->x, "the body cannot be read: %s", err.msg);
    }
    buf_done(&dups);
    return rc == 0;
}

static bool is_dry_run(struct request *r, bool *ret)
{
    char v[16] = "";

    *ret = http_query_get(http_x_request(r->x)->query, "dryRun", v, sizeof(v), NULL) && *v;
    if (!*ret || strcmp(v, "All") == 0)
        return true;
    reply_bad_request(r->x, "dryRun: Unsupported value: \"%s\": supported values: \"All\"", v);
    return false;
}

static bool patch_kind(struct request *r, enum store_patch *ret)
{
    struct str type = http_header_get(&http_x_request(r->x)->headers, "content-type");

    if (media_is(type, "application/merge-patch+json"))
        *ret = STORE_PATCH_MERGE;
    else if (media_is(type, "application/json-patch+json"))
        *ret = STORE_PATCH_JSON;
    else if (media_is(type, "application/strategic-merge-patch+json") && !r->kind->is_custom)
        *ret = STORE_PATCH_STRATEGIC;
    else
        return false;
    return true;
}

static void submit(struct request *r, struct store_request *req, bool is_delete)
{
    struct pending *p = mem_zalloc(sizeof(*p));

    p->r = r;
    p->is_delete = is_delete;
    http_x_on_close(r->x, on_close, p);
    store_submit(r->a->o.store, req, on_stored, p);
}

/* A body in another served version becomes the stored one. */
static void from_alias(struct request *r, json_t *tree)
{
    char version[96];

    if (!r->alias)
        return;
    if (r->alias->to_stored)
        r->alias->to_stored(tree);
    json_object_set_new(tree, "apiVersion", json_string(kind_api_version(r->kind, version)));
}

static void free_early(struct request *r)
{
    http_x_on_close(r->x, NULL, NULL);
    request_free(r);
}

static void on_write_body(void *arg, struct http_x *x, struct str body)
{
    struct request *r = arg;
    struct str method = http_x_request(x)->method;
    struct store_request req = {
        .kind = r->kind, .ns = r->ns, .name = r->name, .mode = field_mode(x), .grace_s = -1};
    AUTO_FREE char *sub = r->sub.n ? str_dup(r->sub) : NULL;
    json_t *tree = NULL;

    req.subresource = sub;
    req.verb = str_is(method, "POST")  ? CLUSTER_CREATE
               : str_is(method, "PUT") ? CLUSTER_UPDATE
                                       : CLUSTER_MERGE_PATCH;
    if (req.verb == CLUSTER_MERGE_PATCH && !patch_kind(r, &req.patch)) {
        unsupported(r);
        free_early(r);
        return;
    }
    if (!is_dry_run(r, &req.dry_run) || !parse_body(r, body, &tree)) {
        free_early(r);
        return;
    }
    if (req.verb != CLUSTER_MERGE_PATCH && !str_is(r->sub, "scale"))
        from_alias(r, tree);
    req.alias = r->alias; /* the store converts what is patched */
    req.tree = tree;
    submit(r, &req, false);
    json_decref(tree);
}

/* --- delete --- */

static void read_delete_options(struct request *r, const json_t *o, struct store_request *req,
                                char propagation[16])
{
    char text[32];

    req->grace_s = json_int(o, "gracePeriodSeconds", -1);
    if (http_query_get(http_x_request(r->x)->query, "gracePeriodSeconds", text, sizeof(text), NULL))
        str_to_i64(str_of(text), &req->grace_s);
    snprintf(propagation, 16, "%s", json_text(o, "propagationPolicy", ""));
    if (!*propagation)
        http_query_get(http_x_request(r->x)->query, "propagationPolicy", propagation, 16, NULL);
    if (json_bool(o, "orphanDependents", false))
        snprintf(propagation, 16, "Orphan");
    req->propagation = *propagation ? propagation : NULL;
    req->uid = str_of(json_text(o, "preconditions.uid", ""));
    req->rv = str_of(json_text(o, "preconditions.resourceVersion", ""));
}

struct doomed {
    struct request *r;
    struct store_request *req;
    struct buf *b;
    size_t n;
};

static void delete_one(void *arg, const struct object *o)
{
    struct doomed *d = arg;

    if (!field_selector_matches(d->r->fields, o))
        return;
    if (d->n++)
        buf_add_char(d->b, ',');
    buf_add_str(d->b, o->json);
    d->req->ns = o->ns;
    d->req->name = o->name;
    store_submit(d->r->a->o.store, d->req, NULL, NULL);
}

static void delete_collection(struct request *r, struct store_request *req)
{
    struct buf b = BUF_INIT;
    struct doomed d = {r, req, &b, 0};
    char version[96];

    buf_printf(&b, "{\"kind\":\"%sList\",\"apiVersion\":\"%s\",\"metadata\":{},\"items\":[",
               r->kind->kind, kind_api_version(r->kind, version));
    store_each(r->a->o.store, r->kind->id, r->ns, r->labels, delete_one, &d);
    buf_add_cstr(&b, "]}");
    http_x_on_close(r->x, NULL, NULL);
    reply_body(r->x, 200, &b);
    request_free(r);
}

static void on_delete_body(void *arg, struct http_x *x, struct str body)
{
    struct request *r = arg;
    struct store_request req = {
        .verb = CLUSTER_DELETE, .kind = r->kind, .ns = r->ns, .name = r->name, .grace_s = -1};
    json_t *options = NULL;
    char propagation[16] = "";

    if (!is_dry_run(r, &req.dry_run)) {
        free_early(r);
        return;
    }
    if (body.n && !parse_body(r, body, &options)) {
        free_early(r);
        return;
    }
    read_delete_options(r, options, &req, propagation);
    if (r->name.n)
        submit(r, &req, true);
    else
        delete_collection(r, &req);
    json_decref(options);
}

static void on_early_close(void *arg, struct http_x *x)
{
    (void)x;
    request_free(arg);
}

void serve_write(struct request *r)
{
    struct str method = http_x_request(r->x)->method;

    http_x_on_close(r->x, on_early_close, r);
    if (str_is(method, "DELETE"))
        http_x_read_all(r->x, BODY_MAX, on_delete_body, r);
    else
        http_x_read_all(r->x, BODY_MAX, on_write_body, r);
}
