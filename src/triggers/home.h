/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether an address leads to a port of our own. Asked at every look, so it is kept until a name of
 * the cluster may lead elsewhere; without a hub, who would tell, names are looked up each time. */
#ifndef FB_TRIGGERS_HOME_H
#define FB_TRIGGERS_HOME_H

#include "triggers/trigger.h"

/* Zeroed: not known. */
struct home {
    uint64_t known; /* hub_names as of then; UINT64_MAX: for good; 0: not known */
    bool is_ours;
};

/* is_ours holds. */
bool home_is_known(const struct home *h, const struct trigger_world *w);
bool home_look(struct home *h, const struct trigger_world *w, struct str host, uint16_t port,
               const struct net_addr *own);
/* Whatever names lead to. */
bool home_is_fixed(struct home *h, bool is_ours);

#endif
