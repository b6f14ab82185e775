/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of KEDA's metrics (keda.md 4.2): "s<index>-<name>", one rule a trigger type. */
#ifndef FB_TRIGGERS_METRIC_NAME_H
#define FB_TRIGGERS_METRIC_NAME_H

#include "base/str.h"
#include "codec/json.h"

/* The metric name of a trigger of this type, new; NULL: the type has none (cpu, memory). meta: the
 * trigger's metadata; ns: the ScaledObject's; remote: the name an external scaler gives, which
 * stands as it is; else may be NULL. */
char *trigger_metric_name_of(const char *type, int index, const json_t *meta, struct str ns,
                             const char *remote);

#endif
