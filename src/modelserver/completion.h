/* SPDX-License-Identifier: Apache-2.0
 *
 * Serving one completion or chat request: body -> generations in the engine -> answer or stream. A
 * client that leaves takes its generations out of the engine in the same turn. */
#ifndef FB_MODELSERVER_COMPLETION_H
#define FB_MODELSERVER_COMPLETION_H

#include "base/rand.h"
#include "modelserver/engine.h"
#include "net/http_server.h"

/* What all requests share; owned by the server. */
struct completions {
    struct loop *loop;
    struct engine *engine;
    const char *model_name;
    int max_model_len;
    int max_in_flight; /* running and waiting sequences; beyond: 429 */
    struct rng rng;
    bool is_draining;
    int n_active;
    void (*on_idle)(void *arg); /* n_active has become 0; may be NULL */
    void *on_idle_arg;
};

/* Takes over the exchange. */
void completion_serve(struct completions *o, struct http_x *x, bool chat);

#endif
