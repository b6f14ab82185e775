/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/home.h"

#include <string.h>

#include "kube/names.h"
#include "triggers/hub_int.h"

bool home_is_known(const struct home *h, const struct trigger_world *w)
{
    return h->known == UINT64_MAX || (h->known && h->known == hub_names(w->hub));
}

bool home_is_fixed(struct home *h, bool is_ours)
{
    *h = (struct home){UINT64_MAX, is_ours};
    return is_ours;
}

static bool is_ip(struct str host, uint16_t port, struct net_addr *ret)
{
    char text[64] = "";

    if (host.n >= sizeof(text))
        return false;
    memcpy(text, host.p, host.n);
    return net_addr_set(ret, text, port) == 0;
}

bool home_look(struct home *h, const struct trigger_world *w, struct str host, uint16_t port,
               const struct net_addr *own)
{
    struct net_addr a = {0};

    if (is_ip(host, port, &a))
        return home_is_fixed(h, net_addr_eq(&a, own));
    h->known = w->hub ? hub_names(w->hub) : 0;
    h->is_ours = names_resolve(w->cluster, host, port, &a, NULL) == 0 && net_addr_eq(&a, own);
    return h->is_ours;
}
