/* SPDX-License-Identifier: Apache-2.0
 *
 * An external scaler of somebody else. A poll asks GetMetricSpec, then GetMetrics and IsActive,
 * each within 3 s; what fails makes the metric unknown and says why. Of external-push two streams
 * are held open beside that: a true on StreamIsActive counts at once and brings the next poll
 * forward, a message on StreamMetricSpec replaces name and target. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "triggers/external.h"
#include "triggers/trigger_int.h"

#define CALL_MS 3000
#define TARGET_MIN 0.0005 /* what is no milli is no target of an HPA */

/* One of the two streams. */
struct flow {
    struct external_remote *r;
    const char *method;
    void (*on_message)(struct external_remote *r, struct str message);
    struct grpc_call *call;
    struct loop_timer again;
    struct external_backoff backoff;
    bool had_message;
};

/* One metric that the scaler names. */
struct metric {
    struct external_remote *r;
    char *name;
    double target, value;
    bool is_known;
    struct grpc_call *call;
};

struct external_remote {
    struct external_remote_options o;
    struct grpc_channel *channel;
    struct buf ref; /* the encoded ScaledObjectRef */
    struct loop_timer poll;
    struct grpc_call *spec_call, *active_call;
    bool is_polling, polls_again, has_polled;
    int64_t asked_ns;  /* mono: the poll that runs began */
    double latency_s;  /* of the last one */
    struct err failed; /* of the poll that runs: the first failure */
    bool new_active;
    struct metric metrics[EXTERNAL_METRICS_MAX];
    size_t n;
    bool is_active;
    char why[240];       /* of the last poll; empty: all went well */
    struct buf streamed; /* what StreamMetricSpec told last; counts more than GetMetricSpec */
    struct flow actives, specs;
};

/* --- what goes wrong, in words --- */

static const char *advice(int code)
{
    switch (code) {
    case GRPC_UNAVAILABLE:
        return "check scalerAddress, and whether it runs";
    case GRPC_DEADLINE_EXCEEDED:
        return "it has 3 s";
    case GRPC_UNIMPLEMENTED:
        return "is that an external scaler of KEDA?";
    case GRPC_UNAUTHENTICATED:
    case GRPC_PERMISSION_DENIED:
        return "check tlsClientCert and tlsClientKey of the TriggerAuthentication";
    default:
        return "see its log";
    }
}

static void fail(struct external_remote *r, const char *method, const char *what, const char *hint)
{
    if (!r->failed.code)
        err_set(&r->failed, ERR_UNAVAILABLE, "external scaler at %.80s: %s: %.100s; %s",
                r->o.address, method, what, hint);
}

static void fail_status(struct external_remote *r, const char *method, const struct grpc_status *s)
{
    char what[140];

    snprintf(what, sizeof(what), "%s %.100s", grpc_code_name(s->code), s->message);
    fail(r, method, what, advice(s->code));
}

/* --- a poll --- */

static struct grpc_call *call(struct external_remote *r, const char *method, struct str message,
                              void (*on_message)(void *arg, struct str message),
                              void (*on_done)(void *arg, const struct grpc_status *status),
                              void *arg)
{
    return grpc_call_start(r->channel, &(struct grpc_call_options){.method = method,
                                                                   .message = message,
                                                                   .timeout_ms = CALL_MS,
                                                                   .on_message = on_message,
                                                                   .on_done = on_done,
                                                                   .arg = arg});
}

static void end_poll(struct external_remote *r)
{
    r->is_polling = false;
    r->has_polled = true;
    r->latency_s = (double)(loop_mono_ns(r->poll.loop) - r->asked_ns) / 1e9;
    snprintf(r->why, sizeof(r->why), "%.239s", r->failed.msg);
    r->is_active = !r->failed.code && r->new_active;
    if (r->polls_again)
        loop_timer_start(&r->poll, 0);
    r->o.changed(r->o.arg);
}

static void end_part(struct external_remote *r)
{
    bool runs = r->active_call != NULL;

    for (size_t i = 0; i < r->n; i++)
        runs |= r->metrics[i].call != NULL;
    if (!runs)
        end_poll(r);
}

static void on_values(void *arg, struct str message)
{
    struct metric *m = arg;
    struct arena arena = ARENA_INIT;
    struct scaler_number *list;
    struct err err = ERR_INIT;
    size_t n;

    m->is_known = scaler_numbers_decode(message, &arena, &list, &n, &err) == 0 &&
                  external_sum(list, n, &m->value, &err) == 0;
    if (!m->is_known)
        fail(m->r, "GetMetrics", err.msg, "see its log");
    arena_done(&arena);
}

static void on_values_done(void *arg, const struct grpc_status *status)
{
    struct metric *m = arg;

    m->call = NULL;
    if (status->code != GRPC_OK)
        fail_status(m->r, "GetMetrics", status);
    end_part(m->r);
}

static void on_active(void *arg, struct str message)
{
    struct external_remote *r = arg;
    struct err err = ERR_INIT;

    if (scaler_active_decode(message, &r->new_active, &err) < 0)
        fail(r, "IsActive", err.msg, "see its log");
}

static void on_active_done(void *arg, const struct grpc_status *status)
{
    struct external_remote *r = arg;

    r->active_call = NULL;
    if (status->code != GRPC_OK)
        fail_status(r, "IsActive", status);
    end_part(r);
}

static int check_specs(const struct scaler_number *list, size_t n, struct err *err)
{
    if (n == 0)
        return err_set(err, ERR_INVALID, "it names no metric");
    if (n > EXTERNAL_METRICS_MAX)
        return err_set(err, ERR_LIMIT, "it names %zu metrics, at most %d are taken", n,
                       EXTERNAL_METRICS_MAX);
    for (size_t i = 0; i < n; i++) {
        if (!list[i].name.n)
            return err_set(err, ERR_INVALID, "a metric of it has no name");
        if (!(scaler_number_value(&list[i]) >= TARGET_MIN))
            return err_set(err, ERR_INVALID, "its target of '%.*s' must be greater than 0",
                           (int)(list[i].name.n < 60 ? list[i].name.n : 60), list[i].name.p);
        for (size_t k = 0; k < i; k++)
            if (str_eq(list[i].name, list[k].name))
                return err_set(err, ERR_INVALID, "it names the metric '%.*s' twice",
                               (int)(list[i].name.n < 60 ? list[i].name.n : 60), list[i].name.p);
    }
    return 0;
}

/* Names and targets of what GetMetricSpec or its stream told. No call for a value may run. */
static int take_specs(struct external_remote *r, struct str message, struct err *err)
{
    struct arena arena = ARENA_INIT;
    struct scaler_number *list;
    bool is_new = false;
    size_t n = 0;
    int bad = scaler_numbers_decode(message, &arena, &list, &n, err);

    if (bad == 0)
        bad = check_specs(list, n, err);
    for (size_t i = 0; bad == 0 && i < n; i++) {
        struct metric *m = &r->metrics[i];
        double target = scaler_number_value(&list[i]);

        if (i < r->n && str_is(list[i].name, m->name) && m->target == target)
            continue;
        is_new = true;
        free(m->name);
        *m = (struct metric){.r = r, .name = str_dup(list[i].name), .target = target};
    }
    if (bad == 0) {
        is_new |= n != r->n;
        for (size_t i = n; i < r->n; i++) {
            free(r->metrics[i].name);
            r->metrics[i] = (struct metric){0};
        }
        r->n = n;
        if (is_new)
            r->o.respec(r->o.arg);
    }
    arena_done(&arena);
    return bad;
}

static void on_spec(void *arg, struct str message)
{
    struct external_remote *r = arg;
    struct err err = ERR_INIT;

    if (take_specs(r, message, &err) < 0)
        fail(r, "GetMetricSpec", err.msg, "see its log");
}

/* Names and targets are known, or not to be had. */
static void ask_values(struct external_remote *r)
{
    for (size_t i = 0; i < r->n; i++)
        r->metrics[i].is_known = false;
    if (r->failed.code) {
        end_poll(r);
        return;
    }
    for (size_t i = 0; i < r->n; i++) {
        struct buf request = BUF_INIT;

        scaler_request_encode(&request, &r->o.ref, str_of(r->metrics[i].name));
        r->metrics[i].call = call(r, SCALER_METHOD("GetMetrics"), buf_str(&request), on_values,
                                  on_values_done, &r->metrics[i]);
        buf_done(&request);
    }
    r->active_call =
        call(r, SCALER_METHOD("IsActive"), buf_str(&r->ref), on_active, on_active_done, r);
}

static void on_spec_done(void *arg, const struct grpc_status *status)
{
    struct external_remote *r = arg;

    r->spec_call = NULL;
    if (status->code != GRPC_OK)
        fail_status(r, "GetMetricSpec", status);
    ask_values(r);
}

static void start_poll(void *arg)
{
    struct external_remote *r = arg;
    struct err err = ERR_INIT;

    loop_timer_start(&r->poll, r->o.poll_ms);
    if (r->is_polling) {
        r->polls_again = true;
        return;
    }
    r->is_polling = true;
    r->polls_again = false;
    r->asked_ns = loop_mono_ns(r->poll.loop);
    r->failed = ERR_INIT;
    r->new_active = false;
    if (!r->streamed.n) {
        r->spec_call =
            call(r, SCALER_METHOD("GetMetricSpec"), buf_str(&r->ref), on_spec, on_spec_done, r);
        return;
    }
    if (take_specs(r, buf_str(&r->streamed), &err) < 0)
        fail(r, "StreamMetricSpec", err.msg, "see its log");
    ask_values(r);
}

/* --- streams --- */

static void on_flow_message(void *arg, struct str message)
{
    struct flow *f = arg;

    f->had_message = true;
    f->on_message(f->r, message);
}

static void on_flow_done(void *arg, const struct grpc_status *status)
{
    struct flow *f = arg;
    int64_t wait =
        external_backoff(&f->backoff, status->code == GRPC_OK              ? EXTERNAL_ENDED
                                      : status->code == GRPC_UNIMPLEMENTED ? EXTERNAL_UNIMPLEMENTED
                                      : f->had_message                     ? EXTERNAL_FAILED_LATER
                                                                           : EXTERNAL_FAILED);

    f->call = NULL;
    if (wait >= 0)
        loop_timer_start(&f->again, wait);
}

static void open_flow(void *arg)
{
    struct flow *f = arg;

    f->had_message = false;
    f->call =
        grpc_call_start(f->r->channel, &(struct grpc_call_options){.method = f->method,
                                                                   .message = buf_str(&f->r->ref),
                                                                   .is_stream = true,
                                                                   .on_message = on_flow_message,
                                                                   .on_done = on_flow_done,
                                                                   .arg = f});
}

static void start_flow(struct external_remote *r, struct flow *f, const char *method,
                       void (*on_message)(struct external_remote *r, struct str message))
{
    *f = (struct flow){.r = r, .method = method, .on_message = on_message};
    loop_timer_init(&f->again, r->o.loop, open_flow, f);
    loop_timer_start(&f->again, 0);
}

/* Only a true counts: to zero it goes by polls. */
static void on_pushed_active(struct external_remote *r, struct str message)
{
    bool is_active = false;

    if (scaler_active_decode(message, &is_active, NULL) < 0 || !is_active)
        return;
    r->is_active = true;
    loop_timer_start(&r->poll, 0);
    r->o.changed(r->o.arg);
}

static void on_pushed_specs(struct external_remote *r, struct str message)
{
    buf_clear(&r->streamed);
    buf_add_str(&r->streamed, message);
    loop_timer_start(&r->poll, 0);
}

/* --- life --- */

static char *dup(struct str s)
{
    return str_dup(s.p ? s : STR(""));
}

int external_remote_new(const struct external_remote_options *o, struct external_remote **ret,
                        struct err *err)
{
    struct external_remote *r = mem_zalloc(sizeof(*r));
    int failed;

    failed = grpc_channel_get(o->grpc,
                              &(struct grpc_channel_options){.target = o->address, .tls = o->tls},
                              &r->channel, err);
    if (failed < 0) {
        free(r);
        return failed;
    }
    r->o = *o;
    r->o.address = mem_strdup(o->address);
    r->o.tls = NULL;
    r->o.ref = (struct scaler_ref){str_of(dup(o->ref.name)), str_of(dup(o->ref.ns)),
                                   json_deep_copy(o->ref.metadata)};
    scaler_ref_encode(&r->ref, &r->o.ref);
    loop_timer_init(&r->poll, o->loop, start_poll, r);
    loop_timer_start(&r->poll, 0);
    if (o->is_push) {
        start_flow(r, &r->actives, SCALER_METHOD("StreamIsActive"), on_pushed_active);
        start_flow(r, &r->specs, SCALER_METHOD("StreamMetricSpec"), on_pushed_specs);
    }
    *ret = r;
    return 0;
}

static void end_flow(struct flow *f)
{
    if (!f->r)
        return;
    loop_timer_stop(&f->again);
    grpc_call_cancel(f->call);
}

void external_remote_free(struct external_remote *r)
{
    if (!r)
        return;
    loop_timer_stop(&r->poll);
    end_flow(&r->actives);
    end_flow(&r->specs);
    grpc_call_cancel(r->spec_call);
    grpc_call_cancel(r->active_call);
    for (size_t i = 0; i < r->n; i++) {
        grpc_call_cancel(r->metrics[i].call);
        free(r->metrics[i].name);
    }
    grpc_channel_release(r->channel);
    buf_done(&r->ref);
    free((char *)(uintptr_t)r->o.address);
    free((char *)(uintptr_t)r->o.ref.name.p);
    free((char *)(uintptr_t)r->o.ref.ns.p);
    json_decref(r->o.ref.metadata);
    buf_done(&r->streamed);
    free(r);
}

size_t external_remote_count(const struct external_remote *r)
{
    return r->n;
}

const char *external_remote_metric(const struct external_remote *r, size_t i)
{
    return r->metrics[i].name;
}

double external_remote_target(const struct external_remote *r, size_t i)
{
    return r->metrics[i].target;
}

double external_remote_latency(const struct external_remote *r)
{
    return r->has_polled ? r->latency_s : -1;
}

const char *external_remote_why(const struct external_remote *r)
{
    return r->has_polled && *r->why ? r->why : NULL;
}

bool external_remote_is_waiting(const struct external_remote *r)
{
    return !r->has_polled;
}

void external_remote_value(const struct external_remote *r, size_t i, struct decision_metric *m)
{
    if (i >= r->n || !r->metrics[i].is_known || *r->why) {
        trigger_unknown(m, *r->why ? r->why : "the external scaler has not answered yet");
        return;
    }
    m->state = METRIC_VALUE;
    m->value = r->metrics[i].value;
}

bool external_remote_is_active(const struct external_remote *r)
{
    return r->is_active;
}
