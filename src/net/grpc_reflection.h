/* SPDX-License-Identifier: Apache-2.0
 *
 * grpc.reflection.v1.ServerReflection and v1alpha: the list of services, and the descriptors that
 * whoever wrote a service gives as bytes (serialized google.protobuf.FileDescriptorProto, which
 * `protoc --descriptor_set_out` makes or a table holds). A file is found by its name and by every
 * service, method, message, field, enum, value and extension it declares. */
#ifndef FB_NET_GRPC_REFLECTION_H
#define FB_NET_GRPC_REFLECTION_H

#include "net/grpc_server.h"

struct grpc_reflection;

/* Adds both versions to the server. Its own and health's files are built in. */
struct grpc_reflection *grpc_reflection_new(struct grpc_server *s);
void grpc_reflection_free(struct grpc_reflection *r); /* with the grpc_server; NULL is fine */
/* Borrowed; a file goes in after those it imports. ERR_BAD_INPUT: not a FileDescriptorProto. */
int grpc_reflection_add(struct grpc_reflection *r, struct str file_descriptor_proto,
                        struct err *err);

#endif
