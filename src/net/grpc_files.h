/* SPDX-License-Identifier: Apache-2.0
 *
 * Descriptors of the services in this room (grpc_files.c is made by tools/gen-descriptors). */
#ifndef FB_NET_GRPC_FILES_H
#define FB_NET_GRPC_FILES_H

#include "base/str.h"

extern const struct str grpc_file_health, grpc_file_reflection_v1, grpc_file_reflection_v1alpha;

#endif
