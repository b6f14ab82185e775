/* SPDX-License-Identifier: Apache-2.0
 *
 * The model server's HTTP side: KServe's and vLLM's paths on one port (model-server.md 2.1), the
 * engine behind it. Without weights every answer carries the header X-Flyball-Simulated, /v1/models
 * says "simulated": true, and the start-up log line says so. */
#ifndef FB_MODELSERVER_SERVER_H
#define FB_MODELSERVER_SERVER_H

#include "modelserver/engine.h"
#include "net/http.h"

struct model_server;

struct model_server_config {
    struct net_addr listen;
    const char *model_name;
    const char *model_id;      /* what it stands for; may be NULL */
    const char *openai_prefix; /* "/openai"; may be "" */
    struct engine_config engine;
    int max_waiting; /* beyond: 429 with Retry-After; 0: 4096 */
};

int model_server_new(struct loop *l, const struct model_server_config *c, struct model_server **ret,
                     struct err *err);
struct net_addr model_server_addr(const struct model_server *s);
/* No new requests (503); done when the last running one has been answered. */
void model_server_drain(struct model_server *s, void (*done)(void *arg), void *arg);
void model_server_free(struct model_server *s);

#endif
