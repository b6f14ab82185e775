/* SPDX-License-Identifier: Apache-2.0
 *
 * The ways out: OTLP over gRPC, and a line in the log. */
#include <stdlib.h>

#include "agent/exporter.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/protobuf.h"
#include "net/grpc_client.h"

#define EXPORT "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"

/* --- gRPC --- */

struct grpc_way {
    struct grpc_client *client;
    struct grpc_channel *channel;
    struct grpc_call *call;
    const struct agent_exporter *config;
    struct http_header *headers;
    struct exporter *exporter;
    struct buf answer;
    bool was_ready; /* the last call ended well */
};

static void on_message(void *arg, struct str message)
{
    struct grpc_way *w = arg;

    buf_clear(&w->answer);
    buf_add_str(&w->answer, message);
}

static void on_done(void *arg, const struct grpc_status *status)
{
    struct grpc_way *w = arg;

    w->call = NULL;
    w->was_ready = status->code == GRPC_OK;
    exporter_sent(w->exporter, status, buf_str(&w->answer));
}

static void grpc_send(void *ctx, struct exporter *e, struct str message)
{
    struct grpc_way *w = ctx;
    struct http_headers headers = {w->headers, w->config->n_headers};

    w->exporter = e;
    buf_clear(&w->answer);
    w->call = grpc_call_start(w->channel, &(struct grpc_call_options){
                                              .method = EXPORT,
                                              .message = message,
                                              .timeout_ms = w->config->timeout_ms,
                                              .metadata = &headers,
                                              .compression = w->config->compression,
                                              .arg = w,
                                              .on_message = on_message,
                                              .on_done = on_done,
                                          });
}

static void grpc_cancel(void *ctx)
{
    struct grpc_way *w = ctx;

    grpc_call_cancel(w->call);
    w->call = NULL;
}

static bool grpc_is_lost(void *ctx)
{
    struct grpc_way *w = ctx;

    return w->was_ready && !grpc_channel_is_ready(w->channel, NULL);
}

static void grpc_free(void *ctx)
{
    struct grpc_way *w = ctx;

    grpc_cancel(w);
    grpc_channel_release(w->channel);
    grpc_client_free(w->client);
    buf_done(&w->answer);
    free(w->headers);
    free(w);
}

int exporter_grpc(struct loop *l, const struct agent_exporter *config,
                  struct exporter_transport *ret, struct err *err)
{
    struct grpc_way *w = mem_zalloc(sizeof(*w));
    struct tls_client_options tls = {.ca_pem = config->tls.ca_pem,
                                     .cert_pem = config->tls.cert_pem,
                                     .key_pem = config->tls.key_pem,
                                     .insecure = config->tls.skip_verify,
                                     .server_name = config->tls.server_name};

    w->config = config;
    w->headers = mem_array(config->n_headers + 1, sizeof(*w->headers));
    for (size_t i = 0; i < config->n_headers; i++)
        w->headers[i] = (struct http_header){config->headers[i].name, config->headers[i].value};
    /* Retries are the exporter's: the connection itself need not wait long before the next. */
    w->client = grpc_client_new(
        l, &(struct grpc_client_options){.user_agent = "flyball-agent/" FLYBALL_VERSION,
                                         .backoff_min_ms = 50,
                                         .backoff_max_ms = 4000});
    if (grpc_channel_get(w->client,
                         &(struct grpc_channel_options){.target = config->endpoint,
                                                        .tls = config->tls.insecure ? NULL : &tls},
                         &w->channel, err) < 0) {
        grpc_client_free(w->client);
        free(w->headers);
        free(w);
        return err_wrap(err, "exporter '%.*s'", STR_ARG(config->name));
    }
    *ret = (struct exporter_transport){w, grpc_send, grpc_cancel, grpc_is_lost, grpc_free};
    return 0;
}

/* --- debug --- */

struct debug_way {
    struct loop *loop;
    struct exporter *exporter;
    bool is_canceled, is_posted, is_freed;
};

/* Messages at the end of a path of field numbers. */
static size_t count(struct str message, const unsigned *path, size_t depth)
{
    struct pb_field f;
    size_t n = 0;

    while (message.n && pb_next(&message, &f))
        if (f.number == path[0] && f.wire == PB_BYTES)
            n += depth == 1 ? 1 : count(f.bytes, path + 1, depth - 1);
    return n;
}

static void debug_done(void *arg)
{
    struct debug_way *w = arg;

    w->is_posted = false;
    if (w->is_freed)
        free(w);
    else if (!w->is_canceled)
        exporter_sent(w->exporter, &(struct grpc_status){.code = GRPC_OK}, STR_NONE);
}

static void debug_send(void *ctx, struct exporter *e, struct str message)
{
    static const unsigned metrics[] = {1, 2, 2};
    struct debug_way *w = ctx;

    log_info("agent", "%.*s: %zu metrics, %zu bytes", STR_ARG(exporter_config(e)->name),
             count(message, metrics, 3), message.n);
    w->exporter = e;
    w->is_canceled = false;
    w->is_posted = true;
    loop_post(w->loop, debug_done, w);
}

static void debug_cancel(void *ctx)
{
    struct debug_way *w = ctx;

    w->is_canceled = true;
}

static void debug_free(void *ctx)
{
    struct debug_way *w = ctx;

    w->is_freed = true;
    if (!w->is_posted)
        free(w);
}

void exporter_debug(struct loop *l, struct exporter_transport *ret)
{
    struct debug_way *w = mem_zalloc(sizeof(*w));

    w->loop = l;
    *ret = (struct exporter_transport){w, debug_send, debug_cancel, NULL, debug_free};
}
