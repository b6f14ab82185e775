/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole control plane in virtual time: the real store, controllers, scrape rounds, tsdb, triggers
 * and arithmetic on a simulated loop; pods are simulated (with the real model server's engine in
 * each), and so is the traffic to them. Time stands still while anything runs and jumps when
 * nothing is left to do. The same seed gives the same event log to the byte. */
#ifndef FB_SIM_SIM_H
#define FB_SIM_SIM_H

#include "base/buf.h"
#include "kube/cluster.h"

struct sim;

struct sim_options {
    uint64_t seed;          /* of names, start-up delays, latencies, step times */
    int64_t wall_ms;        /* at the start; 0: 2026-01-01T00:00:00Z */
    int64_t interval_ms;    /* of scrape rounds; 0: as in `flyball up` */
    int64_t sync_period_ms; /* 0: a look with every round; else the originals' loops */
    int64_t commit_ms;      /* what it takes to store something; 0: no time */
    int64_t start_ms[2];    /* how long a container takes to be there: from, to; 0: 50 to 400 */
    int64_t scrape_ms[2];   /* how long a page takes: from, to; 0: 1 to 20 */
    const char *step_times; /* of the model server (timing.h); NULL: its default profile */
    void (*on_log)(void *arg, struct str line); /* each line of the event log; may be NULL */
    void *arg;
};

struct sim *sim_new(const struct sim_options *o, struct err *err);
void sim_free(struct sim *s);
struct cluster *sim_cluster(struct sim *s);
int64_t sim_now_ms(const struct sim *s); /* since the start */
void sim_run_for(struct sim *s, int64_t ms);
/* Advances until fn returns true, at most for ms; false: it did not. */
bool sim_run_until(struct sim *s, bool (*fn)(struct sim *s, void *arg), void *arg, int64_t ms);

/* What has happened, a line each: "+12.250 default/x: ...". Borrowed. */
struct str sim_log(const struct sim *s);

/* Creates the objects of a YAML stream, as kubectl would; ERR_INVALID with what admission says. */
int sim_apply(struct sim *s, struct str yaml, struct err *err);

/* --- pods --- */

/* Pods that exist and are not being deleted; the most there ever were; of them ready. */
int sim_pods(const struct sim *s, struct str ns);
int sim_most_pods(const struct sim *s, struct str ns);
int sim_ready_pods(const struct sim *s, struct str ns);
/* One pod (the first by name) dies with this exit code and is restarted. */
void sim_crash_pod(struct sim *s, struct str ns, int exit_code);

enum sim_fault {
    SIM_SCRAPES_WORK,
    SIM_SCRAPES_REFUSED, /* connection refused */
    SIM_SCRAPES_HANG,    /* until the scraper's timeout */
    SIM_SCRAPES_GARBAGE, /* an answer that is no exposition text */
};
void sim_set_scrapes(struct sim *s, enum sim_fault f);
/* The wall clock jumps; distances do not change. */
void sim_jump_wall(struct sim *s, int64_t ms);

/* --- traffic --- */

struct sim_load {
    const char *host; /* Host header */
    int workers;      /* each sends the next request when the last is answered, as hey does */
    int64_t for_ms;
    int max_tokens;
};
struct sim_traffic {
    int64_t answered, refused, broken; /* refused: no ready pod; broken: the pod died */
};
/* Starts now; two loads may run at once. */
void sim_start_load(struct sim *s, const struct sim_load *l);
struct sim_traffic sim_traffic(const struct sim *s);

#endif
