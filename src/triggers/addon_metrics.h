/* SPDX-License-Identifier: Apache-2.0
 *
 * The otel-add-on's series about itself (otel.md 4.7), for our /metrics: what was last read, for
 * whom. A reading that nobody has made again for ten minutes is forgotten. */
#ifndef FB_TRIGGERS_ADDON_METRICS_H
#define FB_TRIGGERS_ADDON_METRICS_H

#include "base/buf.h"
#include "triggers/addon_settings.h"

struct addon_metrics;

struct addon_metrics *addon_metrics_new(void);
void addon_metrics_free(struct addon_metrics *m); /* NULL is fine */
/* so: the ScaledObject that it was for. m NULL: not noted. */
void addon_metrics_note(struct addon_metrics *m, struct str ns, struct str so,
                        const struct addon_settings *s, const struct addon_value *v,
                        int64_t now_ms);
/* Exposition text. */
void addon_metrics_write(struct addon_metrics *m, int64_t now_ms, struct buf *out);

#endif
