/* SPDX-License-Identifier: Apache-2.0
 *
 * The messages of externalscaler.ExternalScaler (keda.md 5.3), both ways: bytes of the wire to
 * structs and back. Texts of a decoded message are borrowed from its bytes, lists are in its arena.
 * Unknown fields are skipped; of a field that is there twice the last counts. */
#ifndef FB_TRIGGERS_SCALER_MESSAGES_H
#define FB_TRIGGERS_SCALER_MESSAGES_H

#include "base/arena.h"
#include "base/buf.h"
#include "codec/json.h"

#define SCALER_METHOD(name) "/externalscaler.ExternalScaler/" name
#define SCALER_LIST_MAX 1000 /* specs, values, metadata of one message */

struct scaler_ref { /* ScaledObjectRef */
    struct str name, ns;
    json_t *metadata; /* owned: an object of texts */
};
/* ERR_BAD_INPUT; on failure ret is empty. */
int scaler_ref_decode(struct str message, struct scaler_ref *ret, struct err *err);
void scaler_ref_done(struct scaler_ref *r);
void scaler_ref_encode(struct buf *out, const struct scaler_ref *r);

/* GetMetricsRequest; the reference as above. */
int scaler_request_decode(struct str message, struct scaler_ref *ret_ref, struct str *ret_metric,
                          struct err *err);
void scaler_request_encode(struct buf *out, const struct scaler_ref *r, struct str metric);

/* MetricSpec and MetricValue have one shape. */
struct scaler_number {
    struct str name;
    int64_t whole; /* field 2, deprecated */
    double real;   /* field 3, since KEDA 2.17 */
};
/* As KEDA reads it: the float where it is greater than 0, else the integer. */
double scaler_number_value(const struct scaler_number *n);
/* Both fields of a value: the integer is the next one up. */
struct scaler_number scaler_number_of(struct str name, double v);
/* GetMetricSpecResponse, GetMetricsResponse. */
int scaler_numbers_decode(struct str message, struct arena *arena, struct scaler_number **ret,
                          size_t *ret_n, struct err *err);
void scaler_numbers_encode(struct buf *out, const struct scaler_number *list, size_t n);

/* IsActiveResponse */
int scaler_active_decode(struct str message, bool *ret, struct err *err);
void scaler_active_encode(struct buf *out, bool is_active);

#endif
