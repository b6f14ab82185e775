/* SPDX-License-Identifier: Apache-2.0
 *
 * Prometheus remote write 1.0, the receiving side: a snappy block with a WriteRequest. Samples of
 * floats are stored; exemplars, metadata and native histograms are passed over. */
#ifndef FB_TELEMETRY_REMOTE_WRITE_H
#define FB_TELEMETRY_REMOTE_WRITE_H

#include "base/err.h"
#include "tsdb/tsdb.h"

#define REMOTE_WRITE_MAX ((size_t)32 << 20) /* bytes, compressed and not */

struct remote_write_stats {
    size_t series, samples; /* stored */
    size_t duplicates, out_of_order;
};

/* body: as sent. ERR_BAD_INPUT: not a WriteRequest, or labels that no series can have; series
 * before the bad one are stored then. */
int remote_write(struct tsdb *db, struct str body, struct remote_write_stats *ret, struct err *err);
/* The same without the compression. */
int remote_write_message(struct tsdb *db, struct str message, struct remote_write_stats *ret,
                         struct err *err);

#endif
