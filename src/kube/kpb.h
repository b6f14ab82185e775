/* SPDX-License-Identifier: Apache-2.0
 *
 * Kubernetes' protobuf bodies (kube-api.md 4) into trees, driven by the field tables of schema.h:
 * Go's typed clients and kubectl >= 1.32 send built-in kinds that way. Reading only: every client
 * that writes protobuf takes JSON back. */
#ifndef FB_KUBE_KPB_H
#define FB_KUBE_KPB_H

#include "codec/json.h"

#define KPB_DEPTH_MAX 64

/* An envelope ("k8s\0", then message Unknown) -> new tree with apiVersion and kind. ERR_BAD_INPUT
 * if it is cut or broken, ERR_UNSUPPORTED for a type without a table. Unknown field numbers are
 * skipped, as protobuf wants. */
int kpb_decode(struct str body, json_t **ret, struct err *err);

#endif
