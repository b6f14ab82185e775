/* SPDX-License-Identifier: Apache-2.0
 *
 * Patches (kube-api.md 11): strategic merge for built-in kinds and JSON patch. Merge patch is in
 * codec/json.h. Each returns a new tree and leaves its inputs alone. */
#ifndef FB_KUBE_PATCH_H
#define FB_KUBE_PATCH_H

#include "codec/json.h"

int patch_strategic(const json_t *target, const json_t *patch, json_t **ret, struct err *err);
/* RFC 6902. A failed test or path: ERR_INVALID. */
int patch_json(const json_t *target, const json_t *ops, json_t **ret, struct err *err);

#endif
