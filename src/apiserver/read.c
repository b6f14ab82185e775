/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "apiserver/apiserver_int.h"
#include "kube/columns.h"
#include "kube/status.h"

static void write_metadata_only(struct buf *out, const struct object *o)
{
    AUTO_JSON json_t *tree = object_tree(o);

    buf_add_cstr(
        out, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":");
    json_write(out, json_object_get(tree, "metadata"));
    buf_add_char(out, '}');
}

void write_object(struct buf *out, const struct request *r, const struct object *o)
{
    AUTO_JSON json_t *tree = NULL;

    if (r->view == VIEW_METADATA) {
        write_metadata_only(out, o);
    } else if (r->alias) {
        tree = object_tree(o);
        json_object_set_new(tree, "apiVersion",
                            json_fmt("%s/%s", r->kind->group, r->alias->version));
        if (r->alias->from_stored)
            r->alias->from_stored(tree);
        json_write(out, tree);
    } else {
        buf_add_str(out, o->json);
    }
}

static void open_table(struct buf *b, const struct request *r, uint64_t rv)
{
    buf_printf(b,
               "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/"
               "v1\",\"metadata\":{\"resourceVersion\":\"%" PRIu64 "\"},",
               rv);
    columns_definitions(b, r->kind);
    buf_add_cstr(b, ",\"rows\":[");
}

void serve_get(struct request *r)
{
    const struct object *o = store_get(r->a->o.store, r->kind->id, r->ns, r->name);
    struct buf b = BUF_INIT;

    if (!o) {
        status_not_found(&b, r->kind, r->name);
        reply_body(r->x, 404, &b);
        return;
    }
    if (r->view == VIEW_TABLE) {
        open_table(&b, r, o->rv);
        columns_row(&b, o, loop_wall_ms(r->a->loop), r->include);
        buf_add_cstr(&b, "]}");
    } else {
        write_object(&b, r, o);
    }
    reply_body(r->x, 200, &b);
}

struct listing {
    struct request *r;
    struct buf *b;
    size_t n;
};

static void add_item(void *arg, const struct object *o)
{
    struct listing *l = arg;

    if (!field_selector_matches(l->r->fields, o))
        return;
    if (l->n++)
        buf_add_char(l->b, ',');
    if (l->r->view == VIEW_TABLE)
        columns_row(l->b, o, loop_wall_ms(l->r->a->loop), l->r->include);
    else
        write_object(l->b, l->r, o);
}

/* A list "not older than" a future revision can never be given: clients restart from a full list.
 */
static bool check_revision(struct request *r)
{
    char text[32];
    uint64_t rv;
    struct buf b = BUF_INIT;

    if (!http_query_get(http_x_request(r->x)->query, "resourceVersion", text, sizeof(text), NULL) ||
        !*text)
        return true;
    if (!str_to_u64(str_of(text), &rv)) {
        reply_bad_request(r->x, "invalid resource version \"%s\"", text);
        return false;
    }
    if (rv <= store_revision(r->a->o.store))
        return true;
    status_error(&b, 504, "Timeout", "Too large resource version: %s, current: %" PRIu64, text,
                 store_revision(r->a->o.store));
    reply_body(r->x, 504, &b);
    return false;
}

void serve_list(struct request *r)
{
    struct buf b = BUF_INIT_MAX((size_t)256 << 20);
    struct listing l = {r, &b, 0};
    struct str name = field_selector_name(r->fields);
    uint64_t rv = store_revision(r->a->o.store);
    char version[96];
    const struct object *o;

    if (query_flag(r->x, "sendInitialEvents")) {
        status_error(&b, 422, "Invalid",
                     "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: "
                     "sendInitialEvents is "
                     "forbidden for list");
        reply_body(r->x, 422, &b);
        return;
    }
    if (!check_revision(r))
        return;
    if (r->view == VIEW_TABLE) {
        open_table(&b, r, rv);
    } else if (r->view == VIEW_METADATA) {
        buf_printf(&b,
                   "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/"
                   "v1\",\"metadata\":{"
                   "\"resourceVersion\":\"%" PRIu64 "\"},\"items\":[",
                   rv);
    } else {
        if (r->alias)
            snprintf(version, sizeof(version), "%s/%s", r->kind->group, r->alias->version);
        else
            kind_api_version(r->kind, version);
        buf_printf(&b,
                   "{\"kind\":\"%sList\",\"apiVersion\":\"%s\",\"metadata\":{\"resourceVersion\":"
                   "\"%" PRIu64 "\"},\"items\":[",
                   r->kind->kind, version, rv);
    }
    if (name.p && r->ns.n) { /* one object by name: no walk */
        o = store_get(r->a->o.store, r->kind->id, r->ns, name);
        if (o && selector_matches(r->labels, o))
            add_item(&l, o);
    } else {
        store_each(r->a->o.store, r->kind->id, r->ns, r->labels, add_item, &l);
    }
    buf_add_cstr(&b, "]}");
    reply_body(r->x, 200, &b);
}

void write_scale(struct buf *out, const struct object *o)
{
    AUTO_JSON json_t *tree = object_tree(o);
    const json_t *sel = json_at(tree, o->kind->scale_selector);
    struct selector *s = NULL;
    struct buf text = BUF_INIT;
    char created[64];

    snprintf(created, sizeof(created), "%s", json_text(tree, "metadata.creationTimestamp", ""));
    if (sel && selector_from_json(sel, false, &s, NULL) == 0) {
        selector_text(s, &text);
        selector_free(s);
    }
    buf_printf(out,
               "{\"kind\":\"Scale\",\"apiVersion\":\"autoscaling/"
               "v1\",\"metadata\":{\"name\":\"%.*s\",\"namespace\":"
               "\"%.*s\",\"uid\":\"%.*s\",\"resourceVersion\":\"%" PRIu64
               "\",\"creationTimestamp\":\"%s\"},"
               "\"spec\":{\"replicas\":%lld},\"status\":{\"replicas\":%lld,\"selector\":",
               STR_ARG(o->name), STR_ARG(o->ns), STR_ARG(o->uid), o->rv, created,
               (long long)json_int(tree, o->kind->scale_spec, 0),
               (long long)json_int(tree, o->kind->scale_status, 0));
    json_write_str(out, buf_str(&text));
    buf_add_cstr(out, "}}");
    buf_done(&text);
}

void serve_scale_get(struct request *r)
{
    const struct object *o = store_get(r->a->o.store, r->kind->id, r->ns, r->name);
    struct buf b = BUF_INIT;

    if (o)
        write_scale(&b, o);
    else
        status_not_found(&b, r->kind, r->name);
    reply_body(r->x, o ? 200 : 404, &b);
}
