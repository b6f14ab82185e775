/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/otlp_grpc.h"

#include <stdlib.h>

#include "base/mem.h"
#include "codec/otlp.h"

#define RETRY_AFTER_S 5

static const int codes[] = {GRPC_OK, GRPC_INVALID_ARGUMENT, GRPC_UNAVAILABLE};

struct otlp_grpc {
    struct otlp *otlp;
    struct grpc_service service;
    uint64_t answers[ARRAY_LEN(codes)];
};

static void count(struct otlp_grpc *g, int code)
{
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        g->answers[i] += codes[i] == code;
}

static void on_export(void *ctx, struct grpc_x *x, struct str message)
{
    struct otlp_grpc *g = ctx;
    struct otlp_outcome out;
    struct err err = ERR_INIT;
    struct buf b = BUF_INIT;

    if (otlp_receive(g->otlp, message, &out, &err) == 0) {
        otlp_write_response(&b, false, out.rejected, str_of(out.message));
        count(g, GRPC_OK);
        grpc_x_reply(x, buf_str(&b));
    } else if (err.code == ERR_LIMIT) {
        otlp_write_status(&b, false, GRPC_UNAVAILABLE, str_of(err.msg), RETRY_AFTER_S);
        count(g, GRPC_UNAVAILABLE);
        grpc_x_end_with(x, GRPC_UNAVAILABLE, err.msg, buf_str(&b));
    } else {
        count(g, GRPC_INVALID_ARGUMENT);
        grpc_x_end(x, GRPC_INVALID_ARGUMENT, err.msg);
    }
    buf_done(&b);
}

static const struct grpc_method methods[] = {{.name = "Export", .on_request = on_export}};

struct otlp_grpc *otlp_grpc_new(struct otlp *otlp, size_t max_message)
{
    struct otlp_grpc *g = mem_zalloc(sizeof(*g));

    g->otlp = otlp;
    g->service = (struct grpc_service){
        .name = "opentelemetry.proto.collector.metrics.v1.MetricsService",
        .methods = methods,
        .n_methods = ARRAY_LEN(methods),
        .ctx = g,
        .max_message = max_message,
    };
    return g;
}

void otlp_grpc_free(struct otlp_grpc *g)
{
    free(g);
}

const struct grpc_service *otlp_grpc_service(const struct otlp_grpc *g)
{
    return &g->service;
}

void otlp_grpc_metrics(const struct otlp_grpc *g, struct buf *out)
{
    buf_add_cstr(out, "# HELP flyball_otlp_grpc_responses_total Answers to OTLP over gRPC.\n"
                      "# TYPE flyball_otlp_grpc_responses_total counter\n");
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        buf_printf(out, "flyball_otlp_grpc_responses_total{code=\"%s\"} %llu\n",
                   grpc_code_name(codes[i]), (unsigned long long)g->answers[i]);
}
