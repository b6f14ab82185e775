/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FB_TRIGGERS_PROMETHEUS_INT_H
#define FB_TRIGGERS_PROMETHEUS_INT_H

#include "kube/names.h"
#include "triggers/poll.h"
#include "triggers/prometheus.h"

struct prometheus {
    struct trigger t;
    struct http_poll poll;
    char *parse_error;
    struct promql *parsed;      /* NULL: not by us; another server may know more */
    char *text;                 /* of the query */
    char *extra;                /* "&namespace=..&k=v" */
    struct sample_watch *watch; /* built in; NULL: not asked yet */
    struct net_addr resolved;   /* of the address, as of `seen` */
    struct names_seen seen;
    bool is_resolved;
};

/* prometheus_builtin.c */
void prometheus_builtin_value(struct prometheus *p, int64_t now_ms,
                              const struct trigger_target *target, struct decision_metric *m,
                              char *warning, size_t cap);

#endif
