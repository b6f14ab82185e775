/* SPDX-License-Identifier: Apache-2.0
 *
 * externalscaler.proto as a descriptor, for gRPC reflection. */
#ifndef FB_TRIGGERS_SCALER_DESCRIPTOR_H
#define FB_TRIGGERS_SCALER_DESCRIPTOR_H

#include "base/buf.h"

/* Appends a serialized google.protobuf.FileDescriptorProto. */
void scaler_descriptor_write(struct buf *out);

#endif
