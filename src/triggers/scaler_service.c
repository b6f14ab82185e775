/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/scaler_service.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/table.h"
#include "triggers/addon_metrics.h"
#include "triggers/scaler_messages.h"

#define HEARTBEAT_MS 15000
#define LOOK_MS 1000 /* what goes without a sample: a window that ends, a rate that falls */
#define KNOWN_MAX 100000
#define STREAMS_MAX 20000
#define MESSAGE_MAX ((size_t)1 << 20)

/* One StreamIsActive. */
struct stream {
    struct list link, dirty; /* dirty: to be looked at in the next turn */
    struct scaler_service *s;
    struct grpc_x *x; /* NULL: ended, on_close is to come */
    struct addon_settings settings;
    char *ns, *so;
    struct metric_watch *watch;
    int64_t sent_ms; /* mono */
    bool has_sent, was_active, is_full;
};

struct scaler_service {
    struct scaler_service_options o;
    struct grpc_service grpc;
    struct list streams, dirty;
    size_t n_streams;
    struct loop_timer look, soon;
    struct table known; /* metric names that had series once */
    bool is_closing;
};

static int64_t mono_ms(const struct scaler_service *s)
{
    return loop_mono_ns(s->o.loop) / 1000000;
}

/* --- values --- */

/* ns, so: of the ScaledObject that asks. */
static void ask(struct scaler_service *s, const struct addon_settings *settings, struct str ns,
                struct str so, struct addon_value *v)
{
    struct str name = metric_query_name(settings->query);
    int64_t now = loop_wall_ms(s->o.loop);

    addon_settings_value(settings, s->o.db, now, v);
    addon_metrics_note(s->o.metrics, ns, so, settings, v, now);
    if (!name.n)
        return;
    if (v->n > 0 || v->state == ADDON_GONE) {
        if (s->known.count < KNOWN_MAX)
            table_set(&s->known, name, s);
    } else if (v->state == ADDON_UNKNOWN && !v->has_series && table_get(&s->known, name)) {
        v->state = ADDON_GONE; /* its last series have been swept away meanwhile */
    }
}

/* False after an answer with the error. */
static bool ask_or_fail(struct scaler_service *s, struct grpc_x *x, const struct scaler_ref *ref,
                        const struct addon_settings *settings, struct addon_value *v)
{
    struct err err = ERR_INIT;

    ask(s, settings, ref->ns, ref->name, v);
    if (v->state != ADDON_UNKNOWN)
        return true;
    err_set(&err, v->n ? ERR_INVALID : ERR_NOT_FOUND, "%s", v->why);
    grpc_x_fail(x, &err);
    return false;
}

/* --- unary calls --- */

static void reply(struct grpc_x *x, struct buf *b)
{
    grpc_x_reply(x, buf_str(b));
    buf_done(b);
}

/* False after an answer with the error. */
static bool read_ref(struct grpc_x *x, struct str message, bool needs_target,
                     struct scaler_ref *ref, struct addon_settings *settings)
{
    struct err err = ERR_INIT;

    if (scaler_ref_decode(message, ref, &err) < 0) {
        grpc_x_fail(x, &err);
        return false;
    }
    if (addon_settings_read(ref->metadata, needs_target, settings, &err) < 0) {
        scaler_ref_done(ref);
        err_wrap(&err, "the trigger's metadata");
        grpc_x_fail(x, &err);
        return false;
    }
    return true;
}

static void is_active(void *ctx, struct grpc_x *x, struct str message)
{
    struct scaler_service *s = ctx;
    struct addon_settings settings;
    struct addon_value v;
    struct scaler_ref ref;
    struct buf b = BUF_INIT;

    if (!read_ref(x, message, false, &ref, &settings))
        return;
    if (ask_or_fail(s, x, &ref, &settings, &v)) {
        scaler_active_encode(&b, v.value > 0);
        reply(x, &b);
    }
    addon_settings_done(&settings);
    scaler_ref_done(&ref);
}

static void get_metric_spec(void *ctx, struct grpc_x *x, struct str message)
{
    struct addon_settings settings;
    struct scaler_ref ref;
    struct scaler_number spec;
    struct buf name = BUF_INIT, b = BUF_INIT;

    (void)ctx;
    if (!read_ref(x, message, true, &ref, &settings))
        return;
    buf_printf(&name, "%.*s-%.*s", STR_ARG(ref.ns), STR_ARG(ref.name));
    spec = scaler_number_of(buf_str(&name), settings.target);
    scaler_numbers_encode(&b, &spec, 1);
    reply(x, &b);
    buf_done(&name);
    addon_settings_done(&settings);
    scaler_ref_done(&ref);
}

static void get_metrics(void *ctx, struct grpc_x *x, struct str message)
{
    struct scaler_service *s = ctx;
    struct addon_settings settings;
    struct addon_value v;
    struct scaler_ref ref;
    struct scaler_number number;
    struct str metric;
    struct err err = ERR_INIT;
    struct buf b = BUF_INIT;

    if (scaler_request_decode(message, &ref, &metric, &err) < 0) {
        grpc_x_fail(x, &err);
        return;
    }
    if (addon_settings_read(ref.metadata, false, &settings, &err) < 0) {
        err_wrap(&err, "the trigger's metadata");
        grpc_x_fail(x, &err);
    } else {
        if (ask_or_fail(s, x, &ref, &settings, &v)) {
            number = scaler_number_of(metric, v.value);
            scaler_numbers_encode(&b, &number, 1);
            reply(x, &b);
        }
        addon_settings_done(&settings);
    }
    scaler_ref_done(&ref);
}

static void stream_metric_spec(void *ctx, struct grpc_x *x, struct str message)
{
    (void)ctx;
    (void)message;
    grpc_x_end(x, GRPC_UNIMPLEMENTED,
               "targets are part of the ScaledObject here: ask GetMetricSpec");
}

/* --- streams --- */

static void stream_send(struct stream *st, bool is_active_now)
{
    struct buf b = BUF_INIT;

    scaler_active_encode(&b, is_active_now);
    st->was_active = is_active_now;
    st->has_sent = true;
    st->sent_ms = mono_ms(st->s);
    st->is_full = !grpc_x_send(st->x, buf_str(&b));
    buf_done(&b);
}

static void stream_look(struct stream *st)
{
    struct addon_value v;
    bool active;

    if (!st->x || st->is_full) /* a slow reader gets the state that there is then */
        return;
    ask(st->s, &st->settings, str_of(st->ns), str_of(st->so), &v);
    active = v.value > 0;
    if (!st->has_sent || active != st->was_active ||
        mono_ms(st->s) - st->sent_ms >= st->s->o.heartbeat_ms)
        stream_send(st, active);
}

static void stream_dirty(struct stream *st)
{
    if (!list_is_empty(&st->dirty))
        return;
    list_add_tail(&st->s->dirty, &st->dirty);
    if (!loop_timer_is_running(&st->s->soon))
        loop_timer_start(&st->s->soon, 0);
}

static void on_sample(void *arg, int64_t t_ms)
{
    (void)t_ms;
    stream_dirty(arg);
}

/* Once a turn, after all samples of a request are in. */
static void on_soon(void *arg)
{
    struct scaler_service *s = arg;

    while (!list_is_empty(&s->dirty)) {
        struct stream *st = container_of(s->dirty.next, struct stream, dirty);

        list_del(&st->dirty);
        stream_look(st);
    }
}

static void on_look(void *arg)
{
    struct scaler_service *s = arg;

    loop_timer_start(&s->look, LOOK_MS);
    list_each (it, &s->streams)
        stream_look(container_of(it, struct stream, link));
}

static void on_drain(void *arg, struct grpc_x *x)
{
    struct stream *st = arg;

    (void)x;
    st->is_full = false;
    stream_dirty(st);
}

static void on_stream_close(void *arg, struct grpc_x *x)
{
    struct stream *st = arg;

    (void)x;
    list_del(&st->link);
    list_del(&st->dirty);
    st->s->n_streams--;
    metric_query_unwatch(st->watch);
    addon_settings_done(&st->settings);
    free(st->ns);
    free(st->so);
    free(st);
}

static void stream_is_active(void *ctx, struct grpc_x *x, struct str message)
{
    struct scaler_service *s = ctx;
    struct addon_settings settings;
    struct scaler_ref ref;
    struct stream *st;

    if (s->is_closing) {
        grpc_x_end(x, GRPC_OK, NULL);
        return;
    }
    if (s->n_streams >= STREAMS_MAX) {
        grpc_x_end(x, GRPC_RESOURCE_EXHAUSTED, "20000 streams are open: close some first");
        return;
    }
    if (!read_ref(x, message, false, &ref, &settings))
        return;
    st = mem_zalloc(sizeof(*st));
    st->s = s;
    st->ns = str_dup(ref.ns);
    st->so = str_dup(ref.name);
    scaler_ref_done(&ref);
    st->x = x;
    st->settings = settings;
    list_init(&st->dirty);
    list_add_tail(&s->streams, &st->link);
    s->n_streams++;
    st->watch = metric_query_watch(st->settings.query, s->o.db, on_sample, st);
    grpc_x_on_close(x, on_stream_close, st);
    grpc_x_on_drain(x, on_drain, st);
    stream_look(st);
}

/* --- life --- */

static const struct grpc_method methods[] = {
    {"IsActive", is_active, NULL},
    {"StreamIsActive", stream_is_active, NULL},
    {"GetMetricSpec", get_metric_spec, NULL},
    {"GetMetrics", get_metrics, NULL},
    {"StreamMetricSpec", stream_metric_spec, NULL},
};

struct scaler_service *scaler_service_new(const struct scaler_service_options *o)
{
    struct scaler_service *s = mem_zalloc(sizeof(*s));

    s->o = *o;
    if (s->o.heartbeat_ms == 0)
        s->o.heartbeat_ms = HEARTBEAT_MS;
    s->grpc = (struct grpc_service){.name = "externalscaler.ExternalScaler",
                                    .methods = methods,
                                    .n_methods = ARRAY_LEN(methods),
                                    .ctx = s,
                                    .max_message = MESSAGE_MAX};
    list_init(&s->streams);
    list_init(&s->dirty);
    loop_timer_init(&s->look, o->loop, on_look, s);
    loop_timer_init(&s->soon, o->loop, on_soon, s);
    loop_timer_start(&s->look, LOOK_MS);
    return s;
}

const struct grpc_service *scaler_service_grpc(const struct scaler_service *s)
{
    return &s->grpc;
}

void scaler_service_close(struct scaler_service *s)
{
    s->is_closing = true;
    list_each (it, &s->streams) {
        struct stream *st = container_of(it, struct stream, link);
        struct grpc_x *x = st->x;

        st->x = NULL;
        if (x)
            grpc_x_end(x, GRPC_OK, NULL);
    }
}

void scaler_service_free(struct scaler_service *s)
{
    if (!s)
        return;
    FB_ASSERT(s->n_streams == 0);
    loop_timer_stop(&s->look);
    loop_timer_stop(&s->soon);
    table_done(&s->known);
    free(s);
}

size_t scaler_service_streams(const struct scaler_service *s)
{
    return s->n_streams;
}
