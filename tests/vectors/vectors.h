/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs the copied vectors against the program's own functions. A case function returns true when
 * the result is what the vector expects, and otherwise prints the difference into `why`. */
#ifndef FB_TESTS_VECTORS_H
#define FB_TESTS_VECTORS_H

#include "base/buf.h"
#include "codec/json.h"

typedef bool vector_case(const json_t *vector, struct buf *why);

/* true if equal; else says what was expected. */
bool vector_same_json(struct buf *why, const char *what, const json_t *got, const json_t *expected);
/* A number that may be written as a decimal string (beyond 2^53). */
int64_t vector_int(const json_t *o, const char *key, int64_t def);
/* true if equal; else says what was expected. */
bool vector_same_int(struct buf *why, const char *what, int64_t got, int64_t expected);
bool vector_same_text(struct buf *why, const char *what, const char *got, const char *expected);
/* An error: expect.error is a fragment of its text. */
bool vector_same_error(struct buf *why, int r, const char *msg, const json_t *expect);

vector_case vector_calc, vector_group_pods, vector_requests, vector_limit_classic,
    vector_stabilize_classic, vector_stabilize, vector_rate, vector_store_event, vector_sync,
    vector_sequence, vector_prometheus_response, vector_quantity, vector_metric_name,
    vector_trigger_metadata, vector_metrics_api, vector_cron_activity, vector_workload,
    vector_addon_query, vector_addon_store, vector_annotations, vector_executor,
    vector_triggers_activity, vector_status_merge, vector_aggregate, vector_metric_request,
    vector_fallback, vector_formula, vector_hpa, vector_validation, vector_timeline, vector_stream,
    vector_external;
bool vector_is_external_rule(const json_t *vector);

/* Whether it is of a stream that outlives its object. */
bool vector_is_stream(const json_t *vector);

#endif
