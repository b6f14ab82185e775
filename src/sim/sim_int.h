/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the simulation share. */
#ifndef FB_SIM_SIM_INT_H
#define FB_SIM_SIM_INT_H

#include "base/rand.h"
#include "base/table.h"
#include "controllers/controllers.h"
#include "gateway/routes.h"
#include "modelserver/engine.h"
#include "net/http_client.h"
#include "sim/sim.h"
#include "store/store.h"

struct sim_pod {
    struct sim *sim;
    char *uid, *ns, *name, *ip;
    struct engine *engine; /* NULL while the container does not run */
    struct vllm_metrics *metrics;
    struct loop_timer start; /* container start, then engine's readiness, then a restart */
    int restarts;
    int64_t drained_ms;
    bool is_ready, is_ending, has_crashed;
    struct list requests; /* in flight: struct request */
    int in_flight;
};

struct sim {
    struct sim_options o;
    struct loop *loop;
    struct rng rng;
    struct store *store;
    struct cluster *cluster;
    struct http_client http;
    struct tsdb *db;
    struct rounds *rounds;
    struct trigger_world world;
    struct controllers *controllers;
    struct buf log;
    int64_t start_ns;
    /* node */
    struct table pods; /* uid -> struct sim_pod */
    uint32_t next_ip;
    struct timing timing;
    enum sim_fault fault;
    struct list calls; /* scrapes in flight */
    struct table most; /* namespace -> (uintptr_t) most pods ever */
    /* traffic */
    struct routes *routes;
    bool routes_stale;
    struct list workers;
    struct sim_traffic traffic;
};

__attribute__((format(printf, 2, 3))) void sim_say(struct sim *s, const char *fmt, ...);
int64_t sim_between(struct sim *s, const int64_t range[2], int64_t from, int64_t to);

/* sim_node.c */
void sim_node_start(struct sim *s);
void sim_node_stop(struct sim *s);
struct sim_pod *sim_pod_at(struct sim *s, const struct net_addr *a);
/* sim_http.c */
void sim_http_start(struct sim *s);
void sim_http_stop(struct sim *s);
/* sim_traffic.c */
void sim_traffic_start(struct sim *s);
void sim_traffic_stop(struct sim *s);
/* The requests in flight to p are lost (it died) or end well (it was drained). */
void sim_traffic_pod_gone(struct sim_pod *p);

#endif
