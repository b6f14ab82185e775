/* SPDX-License-Identifier: Apache-2.0 */
#include "net/grpc_health.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/table.h"
#include "codec/protobuf.h"
#include "codec/protobuf_write.h"

#define NAME_MAX_BYTES 500

struct grpc_health {
    struct table status; /* name + "." -> status + 1 (a table holds no empty key) */
    struct list watchers;
    struct grpc_service service;
};

struct watcher {
    struct list link;
    struct grpc_x *x;
    char *key;
    int told; /* -1: nothing yet */
};

static char *key_of(struct str service)
{
    return mem_printf("%.*s.", STR_ARG(service));
}

static int status_of(const struct grpc_health *h, const char *key)
{
    uintptr_t v = (uintptr_t)table_get(&h->status, str_of(key));

    return v ? (int)v - 1 : GRPC_SERVICE_UNKNOWN;
}

static void put_status(struct buf *out, int status)
{
    pb_put_varint_if(out, 1, (uint64_t)status);
}

/* The name in a HealthCheckRequest; false: malformed, and the call is ended. */
static bool read_name(struct grpc_x *x, struct str message, struct str *ret)
{
    struct pb_field f;

    *ret = STR_NONE;
    while (message.n) {
        if (!pb_next(&message, &f)) {
            grpc_x_end(x, GRPC_INTERNAL, "the request is not a HealthCheckRequest");
            return false;
        }
        if (f.number == 1 && f.wire == PB_BYTES)
            *ret = f.bytes;
    }
    if (ret->n > NAME_MAX_BYTES) {
        grpc_x_end(x, GRPC_INVALID_ARGUMENT, "the service's name is too long");
        return false;
    }
    return true;
}

static void check(void *ctx, struct grpc_x *x, struct str message)
{
    struct grpc_health *h = ctx;
    struct buf out = BUF_INIT;
    struct str name;
    int status;

    if (!read_name(x, message, &name))
        return;
    {
        AUTO_FREE char *key = key_of(name);

        status = status_of(h, key);
    }
    if (status == GRPC_SERVICE_UNKNOWN) {
        grpc_x_end(x, GRPC_NOT_FOUND, "unknown service");
        return;
    }
    put_status(&out, status);
    grpc_x_reply(x, buf_str(&out));
    buf_done(&out);
}

static void tell(struct grpc_health *h, struct watcher *w)
{
    struct buf out = BUF_INIT;
    int status = status_of(h, w->key);

    if (status == w->told)
        return;
    w->told = status;
    put_status(&out, status);
    grpc_x_send(w->x, buf_str(&out));
    buf_done(&out);
}

static void on_watcher_close(void *arg, struct grpc_x *x)
{
    struct watcher *w = arg;

    (void)x;
    list_del(&w->link);
    free(w->key);
    free(w);
}

static void watch(void *ctx, struct grpc_x *x, struct str message)
{
    struct grpc_health *h = ctx;
    struct watcher *w;
    struct str name;

    if (!read_name(x, message, &name))
        return;
    w = mem_zalloc(sizeof(*w));
    w->x = x;
    w->key = key_of(name);
    w->told = -1;
    list_add_tail(&h->watchers, &w->link);
    grpc_x_on_close(x, on_watcher_close, w);
    tell(h, w);
}

static const struct grpc_method methods[] = {{"Check", check, NULL}, {"Watch", watch, NULL}};

struct grpc_health *grpc_health_new(struct grpc_server *s)
{
    struct grpc_health *h = mem_zalloc(sizeof(*h));
    const struct grpc_service *other;

    list_init(&h->watchers);
    h->service = (struct grpc_service){.name = "grpc.health.v1.Health",
                                       .methods = methods,
                                       .n_methods = ARRAY_LEN(methods),
                                       .ctx = h,
                                       .max_message = 1024};
    grpc_health_set(h, "", GRPC_SERVING);
    for (size_t i = 0; (other = grpc_server_service(s, i)); i++)
        grpc_health_set(h, other->name, GRPC_SERVING);
    grpc_server_add(s, &h->service);
    return h;
}

void grpc_health_free(struct grpc_health *h)
{
    if (!h)
        return;
    table_done(&h->status);
    free(h);
}

void grpc_health_set(struct grpc_health *h, const char *service, enum grpc_serving status)
{
    AUTO_FREE char *key = key_of(str_of(service));

    table_set(&h->status, str_of(key), (void *)((uintptr_t)status + 1));
    list_each (it, &h->watchers) {
        struct watcher *w = container_of(it, struct watcher, link);

        if (strcmp(w->key, key) == 0)
            tell(h, w);
    }
}
