/* SPDX-License-Identifier: Apache-2.0
 *
 * OTLP over gRPC: MetricsService/Export. OK, with partial_success if points were left out;
 * INVALID_ARGUMENT: malformed; UNAVAILABLE with google.rpc.RetryInfo: the store is full.
 * RESOURCE_EXHAUSTED, UNIMPLEMENTED and the rest of gRPC: net/grpc_server.h. */
#ifndef FB_TELEMETRY_OTLP_GRPC_H
#define FB_TELEMETRY_OTLP_GRPC_H

#include "net/grpc_server.h"
#include "telemetry/otlp.h"

struct otlp_grpc;

/* max_message: 0: GRPC_MAX_MESSAGE_DEFAULT. */
struct otlp_grpc *otlp_grpc_new(struct otlp *otlp, size_t max_message);
void otlp_grpc_free(struct otlp_grpc *g); /* after the servers that have the service */
/* For grpc_server_add. */
const struct grpc_service *otlp_grpc_service(const struct otlp_grpc *g);
void otlp_grpc_metrics(const struct otlp_grpc *g, struct buf *out);

#endif
