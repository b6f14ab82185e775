/* SPDX-License-Identifier: Apache-2.0
 *
 * OTLP over HTTP: POST /v1/metrics in protobuf or JSON, plain, gzip or zstd. The answer is in the
 * request's encoding; errors are google.rpc.Status. 400: malformed, do not send again; 413: larger
 * than the maximum, before or after decompression; 429 with Retry-After: the store is full, or too
 * many bytes are on their way at once. */
#ifndef FB_TELEMETRY_OTLP_HTTP_H
#define FB_TELEMETRY_OTLP_HTTP_H

#include "net/http_server.h"
#include "telemetry/otlp.h"

#define OTLP_MESSAGE_MAX ((size_t)64 << 20)
#define OTLP_MESSAGE_MAX_LEAST ((size_t)4 << 20)

struct otlp_http;

/* max_message: bytes of a request, as sent and as unpacked; 0: OTLP_MESSAGE_MAX. */
struct otlp_http *otlp_http_new(struct otlp *otlp, size_t max_message);
void otlp_http_free(struct otlp_http *h); /* after the servers whose exchanges it took */
/* For push_port: true if the request was one of these. ctx: the struct otlp_http. */
bool otlp_http_take(void *ctx, struct http_x *x);
void otlp_http_metrics(const struct otlp_http *h, struct buf *out);

#endif
