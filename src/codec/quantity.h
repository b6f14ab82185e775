/* SPDX-License-Identifier: Apache-2.0
 *
 * Kubernetes quantities ("500m", "4Gi", "1e3"): exact to 10^-9, canonical text as apimachinery
 * prints it. */
#ifndef FB_CODEC_QUANTITY_H
#define FB_CODEC_QUANTITY_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum quantity_format { QUANTITY_DECIMAL, QUANTITY_BINARY, QUANTITY_EXPONENT };

struct quantity {
    __int128 nano; /* value x 10^9; finer parts round up (away from zero) */
    enum quantity_format format;
};

int quantity_parse(struct str text, struct quantity *ret, struct err *err);
/* Canonical form; returns out. */
const char *quantity_text(const struct quantity *q, char out[64]);
/* Rounded up, as Quantity.MilliValue and Value do; clamped to 64 bit. */
int64_t quantity_milli(const struct quantity *q);
int64_t quantity_value(const struct quantity *q);
double quantity_double(const struct quantity *q);
struct quantity quantity_of_milli(int64_t milli); /* decimal */
/* KEDA's float to quantity (keda.md 4.3): three decimals, ties to even; NaN, Inf and negative give
 * 0. */
struct quantity quantity_of_double(double v);
/* The same for what a formula or a fallback yields: cut to three decimals toward zero, negative
 * stays. */
struct quantity quantity_of_double_cut(double v);

#endif
