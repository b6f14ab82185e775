/* SPDX-License-Identifier: Apache-2.0
 *
 * What a metrics adapter in front of Prometheus answers, from the built-in store: the metric NAME
 * is the series' name, its namespace the label `namespace`, labels of a selector are labels of the
 * series (with _ for what a label's name may not have), and a metric of an object is the series
 * whose label of the object's kind in lower case (service="web") has its name. The HPA controller
 * and the metrics APIs both read here. */
#ifndef FB_KUBE_ADAPTER_H
#define FB_KUBE_ADAPTER_H

#include "kube/selector.h"
#include "tsdb/usage.h"

#define ADAPTER_BACK_MS 300000 /* how old a value may be, as for an instant query */

struct adapter_query {
    struct tsdb *db;
    struct str ns, name;
    struct str kind, object;         /* "service", "web"; kind empty: of no object */
    const struct selector *selector; /* of series; NULL: all */
    int64_t now_ms;
};
/* fn for every series with a finite value. */
void adapter_each(const struct adapter_query *q,
                  void (*fn)(void *arg, const struct series *s, int64_t t_ms, double v), void *arg);
/* As milli, rounded away from zero like a quantity. */
int64_t adapter_milli(double v);

/* CPU (cores) or memory (bytes) of a pod's containers; container empty: of all of them, which must
 * all be known. False: no sample at present. pod: the object's tree. */
bool adapter_pod_usage(struct tsdb *db, const json_t *pod, struct str container, int64_t now_ms,
                       int64_t window_ms, struct usage *ret);
/* The same one by one: containers, and init containers that stay (restartPolicy Always). */
bool adapter_each_usage(struct tsdb *db, const json_t *pod, int64_t now_ms, int64_t window_ms,
                        void (*fn)(void *arg, struct str container, const struct usage *u),
                        void *arg);

#endif
