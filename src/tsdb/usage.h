/* SPDX-License-Identifier: Apache-2.0
 *
 * What pods and the node use, as series that cAdvisor and the kubelet name so: whoever samples
 * usage appends to them, whoever serves or scales by it reads them here. CPU is a counter of
 * seconds, read as its rate over a window (less while there is less, as with a metrics-server);
 * memory is the newest sample. */
#ifndef FB_TSDB_USAGE_H
#define FB_TSDB_USAGE_H

#include "tsdb/tsdb.h"

#define USAGE_CPU "container_cpu_usage_seconds_total"
#define USAGE_MEMORY "container_memory_working_set_bytes"
#define USAGE_NODE_CPU "node_cpu_usage_seconds_total"
#define USAGE_NODE_MEMORY "node_memory_working_set_bytes"
#define USAGE_WINDOW_MS 15000 /* usual; a sample older than this is none */

/* Increase per second of a counter over the samples of the window, a fall being a restart from
 * zero; false where there are not two. *ret_t: time of the newest; *ret_window_ms: what they span.
 */
bool series_rate(const struct series *s, int64_t now_ms, int64_t window_ms, double *ret_v,
                 int64_t *ret_t, int64_t *ret_window_ms);

struct usage {
    int64_t at_ms, window_ms;
    double cpu;    /* cores */
    double memory; /* bytes */
};
/* False: not both are known at present. window_ms: of the rate. */
bool usage_of_container(struct tsdb *db, struct str ns, struct str pod, struct str container,
                        int64_t now_ms, int64_t window_ms, struct usage *ret);
bool usage_of_node(struct tsdb *db, struct str node, int64_t now_ms, struct usage *ret);

#endif
