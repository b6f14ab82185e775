/* SPDX-License-Identifier: Apache-2.0
 *
 * The agent at work: scrapes every target at wall-clock multiples of its interval, so that the
 * sidecars of all pods of a workload look at the same instants, and hands a page on when something
 * that the filters let through has changed, a series has ended, a receiver has gone away, or
 * nothing was handed on for a heartbeat.
 *
 * A scrape that still runs at the next tick goes on; none is started beside it. `localhost` in a
 * target is the pod's own address where that is known (several pods share one machine); the
 * instance keeps the name that was configured. */
#ifndef FB_AGENT_COLLECTOR_H
#define FB_AGENT_COLLECTOR_H

#include "agent/config.h"
#include "net/http_client.h"
#include "net/loop.h"

struct collector;

struct collector_options {
    const struct agent_config *config;
    struct loop *loop;
    struct http_client *http;
    int64_t interval_ms;  /* for all jobs, instead of theirs; 0: theirs */
    int64_t heartbeat_ms; /* 0: every scrape is handed on */
    const char *pod_ip;   /* NULL: localhost is 127.0.0.1 */
    /* An ExportMetricsServiceRequest, borrowed. */
    void (*on_request)(void *arg, struct str request);
    bool (*is_lost)(void *arg); /* a receiver may have forgotten all; may be NULL */
    void *arg;
};

/* Config and strings are borrowed. ERR_BAD_INPUT: TLS settings or pod_ip that cannot be used. */
int collector_new(const struct collector_options *o, struct collector **ret, struct err *err);
/* No more scrapes; hands on the ends of all series. */
void collector_end(struct collector *c);
void collector_free(struct collector *c);

#endif
