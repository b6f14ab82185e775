/* SPDX-License-Identifier: Apache-2.0
 *
 * Watches (kube-api.md 8): one JSON object a line. An object that begins or ceases to match the
 * selectors is ADDED or DELETED. A client that reads too slowly is cut off and lists again. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "apiserver/apiserver_int.h"
#include "base/mem.h"
#include "kube/columns.h"
#include "kube/status.h"

#define BOOKMARK_MS 60000
#define TIMEOUT_MS_DEFAULT 1800000

struct watch {
    struct request *r;
    struct loop_timer bookmark, timeout;
    bool has_definitions; /* a table's first event carries them */
    bool bookmarks, is_ended;
};

static bool matches(const struct watch *w, const struct object *o)
{
    const struct request *r = w->r;

    return o && (r->ns.n == 0 || str_eq(r->ns, o->ns)) &&
           (r->name.n == 0 || str_eq(r->name, o->name)) && selector_matches(r->labels, o) &&
           field_selector_matches(r->fields, o);
}

static void end_watch(struct watch *w)
{
    if (w->is_ended)
        return;
    w->is_ended = true;
    http_x_end(w->r->x, NULL);
}

static void send_line(struct watch *w, struct buf *line)
{
    buf_add_char(line, '\n');
    if (!w->is_ended)
        http_x_write(
            w->r->x,
            buf_str(line)); /* the connection's hard limit cuts off a client that never reads */
    buf_done(line);
}

/* rv: a DELETED object shows the revision of its deletion. */
static void send_object(struct watch *w, const char *type, const struct object *o)
{
    struct buf b = BUF_INIT;

    buf_printf(&b, "{\"type\":\"%s\",\"object\":", type);
    if (w->r->view == VIEW_TABLE) {
        buf_printf(&b,
                   "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/"
                   "v1\",\"metadata\":{\"resourceVersion\":\"%" PRIu64 "\"},",
                   o->rv);
        if (!w->has_definitions) {
            columns_definitions(&b, w->r->kind);
            buf_add_char(&b, ',');
            w->has_definitions = true;
        }
        buf_add_cstr(&b, "\"rows\":[");
        columns_row(&b, o, loop_wall_ms(w->r->a->loop), w->r->include);
        buf_add_cstr(&b, "]}");
    } else {
        write_object(&b, w->r, o);
    }
    buf_add_char(&b, '}');
    send_line(w, &b);
}

static void send_bookmark(struct watch *w, bool initial_end)
{
    struct buf b = BUF_INIT;
    uint64_t rv = store_revision(w->r->a->o.store);
    const char *end =
        initial_end ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "";
    char version[96];

    if (w->r->view == VIEW_TABLE)
        buf_printf(&b,
                   "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Table\",\"apiVersion\":\"meta."
                   "k8s.io/v1\","
                   "\"metadata\":{\"resourceVersion\":\"%" PRIu64 "\"%s},\"rows\":[]}}",
                   rv, end);
    else
        buf_printf(&b,
                   "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"%s\",\"apiVersion\":\"%s\","
                   "\"metadata\":{"
                   "\"resourceVersion\":\"%" PRIu64 "\"%s}}}",
                   w->r->kind->kind, kind_api_version(w->r->kind, version), rv, end);
    send_line(w, &b);
}

static void on_event(void *arg, const struct store_event *e)
{
    struct watch *w = arg;
    bool did = matches(w, e->was), does = e->event != CLUSTER_DELETED && matches(w, e->now);

    if (w->is_ended)
        return;
    if (does)
        send_object(w, did ? "MODIFIED" : "ADDED", e->now);
    else if (did)
        send_object(w, "DELETED", e->now);
}

static void on_close(void *arg, struct http_x *x)
{
    struct watch *w = arg;

    (void)x;
    store_unsubscribe(w->r->a->o.store, w->r->kind->id, on_event, w);
    loop_timer_stop(&w->bookmark);
    loop_timer_stop(&w->timeout);
    request_free(w->r);
    free(w);
}

static void on_bookmark(void *arg)
{
    struct watch *w = arg;

    send_bookmark(w, false);
    loop_timer_start(&w->bookmark, BOOKMARK_MS);
}

static void on_timeout(void *arg)
{
    end_watch(arg);
}

static void send_initial(void *arg, const struct object *o)
{
    struct watch *w = arg;

    if (matches(w, o))
        send_object(w, "ADDED", o);
}

static void expired(struct watch *w, const char *rv)
{
    struct buf b = BUF_INIT;

    buf_add_cstr(&b, "{\"type\":\"ERROR\",\"object\":");
    status_error(&b, 410, "Expired", "too old resource version: %s (%" PRIu64 ")", rv,
                 store_revision(w->r->a->o.store));
    buf_add_char(&b, '}');
    send_line(w, &b);
    end_watch(w);
}

void serve_watch(struct request *r)
{
    struct str q = http_x_request(r->x)->query;
    struct watch *w = mem_zalloc(sizeof(*w));
    struct store *s = r->a->o.store;
    char rv_text[32] = "", text[32];
    int64_t timeout_s = 0;
    uint64_t rv = 0;
    bool initial = query_flag(r->x, "sendInitialEvents");

    w->r = r;
    w->bookmarks = query_flag(r->x, "allowWatchBookmarks");
    http_query_get(q, "resourceVersion", rv_text, sizeof(rv_text), NULL);
    if (*rv_text && !str_to_u64(str_of(rv_text), &rv)) {
        reply_bad_request(r->x, "invalid resource version \"%s\"", rv_text);
        request_free(r);
        free(w);
        return;
    }
    if (http_query_get(q, "timeoutSeconds", text, sizeof(text), NULL))
        str_to_i64(str_of(text), &timeout_s);
    loop_timer_init(&w->bookmark, r->a->loop, on_bookmark, w);
    loop_timer_init(&w->timeout, r->a->loop, on_timeout, w);
    loop_timer_start(&w->timeout,
                     timeout_s > 0 && timeout_s < 86400 ? timeout_s * 1000 : TIMEOUT_MS_DEFAULT);
    if (w->bookmarks)
        loop_timer_start(&w->bookmark, BOOKMARK_MS);
    http_x_on_close(r->x, on_close, w);
    http_x_start(r->x, 200, "application/json", NULL);
    if (initial || rv == 0) {
        store_each(s, r->kind->id, r->ns, NULL, send_initial, w);
        if (initial)
            send_bookmark(w, true);
    } else if (store_replay(s, r->kind->id, rv, on_event, w) < 0) {
        expired(w, rv_text);
        return;
    }
    store_subscribe(s, r->kind->id, on_event, w);
}
