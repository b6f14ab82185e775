/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "apiserver/apiserver_int.h"
#include "base/clock.h"
#include "base/mem.h"
#include "kube/status.h"

struct log_reply {
    struct request *r;
    struct pod_log_stream *stream;
};

static void on_bytes(void *arg, struct str bytes)
{
    struct log_reply *l = arg;

    http_x_write(l->r->x, bytes);
}

static void on_end(void *arg)
{
    struct log_reply *l = arg;

    http_x_end(l->r->x, NULL);
}

static void on_close(void *arg, struct http_x *x)
{
    struct log_reply *l = arg;

    (void)x;
    l->r->a->o.logs->close(l->stream);
    request_free(l->r);
    free(l);
}

static int64_t query_int(const struct http_x *x, const char *key, int64_t def)
{
    char text[32];
    int64_t v;

    return http_query_get(http_x_request(x)->query, key, text, sizeof(text), NULL) &&
                   str_to_i64(str_of(text), &v)
               ? v
               : def;
}

/* The container asked for, or the only one; answers 400 itself. */
static bool pick_container(struct request *r, const json_t *pod, char out[256])
{
    const json_t *list = json_at(pod, "spec.containers"), *c;
    struct buf names = BUF_INIT;
    size_t i;
    bool found = false;

    if (!http_query_get(http_x_request(r->x)->query, "container", out, 256, NULL) || !*out) {
        snprintf(out, 256, "%s", json_text(json_array_get(list, 0), "name", ""));
        if (json_array_size(list) == 1)
            return true;
        json_array_foreach ((json_t *)list, i, c)
            buf_printf(&names, "%s%s", i ? " " : "", json_text(c, "name", ""));
        reply_bad_request(r->x,
                          "a container name must be specified for pod %.*s, choose one of: [%s]",
                          STR_ARG(r->name), buf_cstr(&names));
        buf_done(&names);
        return false;
    }
    json_array_foreach ((json_t *)list, i, c)
        found |= strcmp(json_text(c, "name", ""), out) == 0;
    json_array_foreach (json_at(pod, "spec.initContainers"), i, c)
        found |= strcmp(json_text(c, "name", ""), out) == 0;
    if (!found)
        reply_bad_request(r->x, "container %s is not valid for pod %.*s", out, STR_ARG(r->name));
    return found;
}

static const char *waiting_reason(const json_t *pod, const char *container)
{
    const json_t *c;
    size_t i;

    json_array_foreach (json_at(pod, "status.containerStatuses"), i, c) {
        if (strcmp(json_text(c, "name", ""), container) == 0)
            return json_text(c, "state.waiting.reason", "ContainerCreating");
    }
    return "ContainerCreating";
}

void serve_log(struct request *r)
{
    const struct object *o = store_get(r->a->o.store, KIND_POD, r->ns, r->name);
    AUTO_JSON json_t *pod = o ? object_tree(o) : NULL;
    struct pod_log_options opt = {.tail_lines = query_int(r->x, "tailLines", -1),
                                  .limit_bytes = query_int(r->x, "limitBytes", -1),
                                  .follow = query_flag(r->x, "follow"),
                                  .previous = query_flag(r->x, "previous"),
                                  .timestamps = query_flag(r->x, "timestamps")};
    int64_t since = query_int(r->x, "sinceSeconds", 0);
    struct buf b = BUF_INIT;
    struct log_reply *l;
    char container[256] = "", time[64];
    struct err err = ERR_INIT;

    if (!o) {
        status_not_found(&b, r->kind, r->name);
        reply_body(r->x, 404, &b);
        request_free(r);
        return;
    }
    if (!pick_container(r, pod, container)) {
        request_free(r);
        return;
    }
    if (since > 0)
        opt.since_ms = loop_wall_ms(r->a->loop) - since * 1000;
    if (http_query_get(http_x_request(r->x)->query, "sinceTime", time, sizeof(time), NULL))
        time_parse(str_of(time), &opt.since_ms);
    opt.uid = o->uid;
    opt.container = str_of(container);
    l = mem_zalloc(sizeof(*l));
    l->r = r;
    if (!r->a->o.logs ||
        r->a->o.logs->open(r->a->o.logs->ctx, &opt, on_bytes, on_end, l, &l->stream, &err) < 0) {
        if (opt.previous)
            reply_bad_request(r->x,
                              "previous terminated container \"%s\" in pod \"%.*s\" not found",
                              container, STR_ARG(r->name));
        else
            reply_bad_request(r->x, "container \"%s\" in pod \"%.*s\" is waiting to start: %s",
                              container, STR_ARG(r->name), waiting_reason(pod, container));
        request_free(r);
        free(l);
        return;
    }
    http_x_on_close(r->x, on_close, l);
    http_x_start(r->x, 200, "text/plain", NULL);
}
