/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FB_TRIGGERS_HUB_INT_H
#define FB_TRIGGERS_HUB_INT_H

#include "base/mem.h"
#include "triggers/trigger_int.h"

/* Both do nothing without a hub. */
void hub_add(struct trigger *t);
void hub_remove(struct trigger *t);
/* What the trigger depends on may be other objects now. */
void hub_update(struct trigger *t);
/* hub_tls.c: settings as others have them, shared; without a hub the caller's own. */
int hub_tls_get(struct trigger_hub *h, const struct tls_client_options *o, struct tls_client **ret,
                struct err *err);
void hub_tls_put(struct trigger_hub *h, struct tls_client *tls); /* NULL is fine */
struct list *hub_tls_list(struct trigger_hub *h);
struct list *hub_calls(struct trigger_hub *h); /* share.c */
struct list *hub_triggers(struct trigger_hub *h);
/* Another number, never 0, when a name of the cluster (kube/names.h) may lead elsewhere. */
uint64_t hub_names(struct trigger_hub *h);
static inline struct trigger *hub_trigger(struct list *it)
{
    return container_of(it, struct trigger, hub_link);
}
/* trigger.c: resolves authentication again, and makes the trigger anew if that gave another one. */
void trigger_refresh(struct trigger *t);

#endif
