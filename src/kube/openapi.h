/* SPDX-License-Identifier: Apache-2.0
 *
 * The OpenAPI v2 document in its protobuf form (kube-api.md 5): what kubectl asks before apply,
 * dry-run and explain. Definitions come from the field tables of schema.h. */
#ifndef FB_KUBE_OPENAPI_H
#define FB_KUBE_OPENAPI_H

#include "base/buf.h"

#define OPENAPI_V2_TYPE "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

void openapi_v2(struct buf *out);

#endif
