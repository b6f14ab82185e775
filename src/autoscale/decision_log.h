/* SPDX-License-Identifier: Apache-2.0
 *
 * The last decisions on one object, kept small: looks that say the same (only numbers moved) are
 * one entry, which says since when and how many. Bounded by entries and by bytes; the oldest go.
 * An entry is given back as a decision, so that all texts are made in one place. */
#ifndef FB_AUTOSCALE_DECISION_LOG_H
#define FB_AUTOSCALE_DECISION_LOG_H

#include "autoscale/decision.h"
#include "base/buf.h"

#define DECISION_LOG_MAX 20
#define DECISION_LOG_BYTES 4096 /* about 14 decisions with three metrics */

struct decision_log {      /* zeroed is empty */
    struct logged **items; /* oldest first */
    size_t n, cap;
    size_t bytes;
};
void decision_log_done(struct decision_log *l);
void decision_log_add(struct decision_log *l, const struct decision *d);

struct decision_span {
    int64_t since_ms; /* the first look that said so */
    int64_t looks;
};
/* The i-th newest (0: the last); end it with decision_done. false: there are not so many. */
bool decision_log_get(const struct decision_log *l, size_t i, struct decision *ret,
                      struct decision_span *ret_span);
/* What the newest one wants; false: there is none. */
bool decision_log_desired(const struct decision_log *l, int64_t *ret);
/* One JSON object with all of it, the sentence as "text". */
void decision_json(const struct decision *d, const struct decision_span *span, struct buf *out);

#endif
