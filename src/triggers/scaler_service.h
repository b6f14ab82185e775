/* SPDX-License-Identifier: Apache-2.0
 *
 * externalscaler.ExternalScaler as the otel-add-on serves it to KEDA (otel.md 4.6), over the
 * built-in store. Where it differs: StreamIsActive is pushed when it changes (the current state at
 * once, then again every 15 s), and what nobody has sent yet is an error instead of 0, so that KEDA
 * holds the count (valueIfNotFound in the trigger's metadata gives a value instead).
 *
 * A metric that was known once is never again an error: after its last pod it is 0. */
#ifndef FB_TRIGGERS_SCALER_SERVICE_H
#define FB_TRIGGERS_SCALER_SERVICE_H

#include "net/grpc_server.h"
#include "tsdb/tsdb.h"

struct addon_metrics;
struct scaler_service;

struct scaler_service_options {
    struct loop *loop;
    struct tsdb *db;               /* borrowed for life, as metrics */
    struct addon_metrics *metrics; /* may be NULL */
    int64_t heartbeat_ms;          /* of streams; 0: 15 s */
};

struct scaler_service *scaler_service_new(const struct scaler_service_options *o);
/* For grpc_server_add; lives as long as the service. */
const struct grpc_service *scaler_service_grpc(const struct scaler_service *s);
/* Ends all streams with OK, and new ones at once: the program ends. */
void scaler_service_close(struct scaler_service *s);
/* After the server has closed all calls. NULL is fine. */
void scaler_service_free(struct scaler_service *s);
size_t scaler_service_streams(const struct scaler_service *s);

#endif
