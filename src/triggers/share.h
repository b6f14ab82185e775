/* SPDX-License-Identifier: Apache-2.0
 *
 * One request for all triggers that ask the same at the same time: same URL, headers, TLS settings
 * and timeout. The answer goes to each of them. */
#ifndef FB_TRIGGERS_SHARE_H
#define FB_TRIGGERS_SHARE_H

#include "base/list.h"
#include "net/http_client.h"
#include "triggers/hub.h"

struct shared_call;

struct share_waiter {
    struct list link;
    struct shared_call *of; /* NULL: waits for nothing */
    /* Once, and not before share_send returns; is_sender: the request was sent for this one. The
     * waiter may go. */
    void (*on_answer)(void *arg, bool is_sender, const struct http_response *r, struct str body,
                      const struct err *err);
    void *arg;
};

/* o without callbacks; its body is not used. Without a hub nothing is shared. */
void share_send(struct trigger_hub *h, struct http_client *c, const struct http_call_options *o,
                struct share_waiter *w);
/* Waits no longer; the last one calls the request off. */
void share_leave(struct share_waiter *w);

#endif
