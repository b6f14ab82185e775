/* SPDX-License-Identifier: Apache-2.0
 *
 * The gRPC services of the scaler port (4318): KEDA's external scaler, and health and reflection
 * for whoever looks what is there. */
#ifndef FB_TRIGGERS_SCALER_FACE_H
#define FB_TRIGGERS_SCALER_FACE_H

#include "triggers/scaler_service.h"

struct scaler_face;

/* Adds them to the port's gRPC server, behind those that it has already. */
int scaler_face_new(const struct scaler_service_options *o, struct grpc_server *grpc,
                    struct scaler_face **ret, struct err *err);
/* The program ends: streams end with OK, health says so. NULL is fine. */
void scaler_face_close(struct scaler_face *f);
void scaler_face_free(struct scaler_face *f); /* after port and server; NULL is fine */

#endif
