/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FB_TRIGGERS_PROMETHEUS_INT_H
#define FB_TRIGGERS_PROMETHEUS_INT_H

#include "triggers/home.h"
#include "triggers/poll.h"
#include "triggers/prometheus.h"

struct prometheus {
    struct polled p;
    char *parse_error;
    struct promql *parsed; /* NULL: not by us; another server may know more. Else has t.query */
    char *hidden;          /* the query, where t.query may not show it; NULL: that is it */
    char *extra;           /* "&namespace=..&k=v"; NULL: none */
    struct sample_watch *watch; /* built in; NULL: not asked yet */
    struct home home;
};

/* prometheus_builtin.c */
void prometheus_builtin_value(struct prometheus *p, int64_t now_ms,
                              const struct trigger_target *target, struct decision_metric *m,
                              char *warning, size_t cap);

#endif
