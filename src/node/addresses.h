/* SPDX-License-Identifier: Apache-2.0
 *
 * Loopback addresses of an instance: a /20 block for pods inside 127.64.0.0/10 and one for Services
 * inside 127.128.0.0/10. Which block is whose is decided by binding an abstract socket, which the
 * shims inherit: a block stays taken while any pod of it lives, and a restarted instance finds its
 * own in the data directory. */
#ifndef FB_NODE_ADDRESSES_H
#define FB_NODE_ADDRESSES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct addresses {
    int block;               /* 0..1023 */
    uint32_t pods, services; /* first address of each block, host order */
    int lock_fd;             /* -1: held by our own shims */
    uint32_t next;
    uint8_t used[4096 / 8];
};

int addresses_open(const char *data_dir, bool has_live_pods, struct addresses *ret,
                   struct err *err);
void addresses_close(struct addresses *a);
/* A free pod address, text into out. Freed ones are used again only after all others. */
bool addresses_take(struct addresses *a, char out[20]);
void addresses_mark(struct addresses *a, const char *ip);
void addresses_release(struct addresses *a, const char *ip);

#endif
