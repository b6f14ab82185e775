/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/otlp.h"

#include <math.h>

static bool is_increasing(const double *v, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (!(v[i] > v[i - 1]))
            return false;
    return true;
}

static bool adds_up(const struct otlp_buckets *b, uint64_t *sum)
{
    for (size_t i = 0; i < b->n; i++)
        if (__builtin_add_overflow(*sum, b->counts[i], sum))
            return false;
    return true;
}

static const char *histogram_fault(const struct otlp_point *p)
{
    struct otlp_buckets all = {0, p->counts, p->n_counts};
    uint64_t sum = 0;

    if (p->n_counts > OTLP_BUCKETS_MAX || p->n_bounds > OTLP_BUCKETS_MAX)
        return "a histogram has too many buckets";
    if (p->n_counts + p->n_bounds > 0 && p->n_counts != p->n_bounds + 1)
        return "a histogram must have one bucket more than bounds";
    for (size_t i = 0; i < p->n_bounds; i++)
        if (!isfinite(p->bounds[i]))
            return "a bound of a histogram is not finite";
    if (!is_increasing(p->bounds, p->n_bounds))
        return "the bounds of a histogram are not strictly increasing";
    if (p->n_counts && (!adds_up(&all, &sum) || sum != p->count))
        return "the bucket counts of a histogram do not add up to its count";
    return NULL;
}

/* Whether every index of the buckets has bounds that a double can hold. */
static bool in_range(const struct otlp_buckets *b, int32_t scale)
{
    double first = ldexp((double)b->offset, -scale),
           last = ldexp((double)b->offset + (double)b->n - 1, -scale);

    return b->n == 0 || (first >= -1075 && last < 1024);
}

static const char *exponential_fault(const struct otlp_point *p)
{
    uint64_t sum = p->zero_count;

    if (p->positive.n > OTLP_BUCKETS_MAX || p->negative.n > OTLP_BUCKETS_MAX)
        return "a histogram has too many buckets";
    if (p->scale < -12 || p->scale > 40 || !in_range(&p->positive, p->scale) ||
        !in_range(&p->negative, p->scale))
        return "scale and index of an exponential histogram leave the range of a double";
    if (!(p->zero_threshold >= 0) || isinf(p->zero_threshold))
        return "the zero threshold of an exponential histogram is not a positive number";
    if (p->positive.n + p->negative.n > 0 &&
        (!adds_up(&p->positive, &sum) || !adds_up(&p->negative, &sum) || sum != p->count))
        return "the bucket counts of a histogram do not add up to its count";
    return NULL;
}

static const char *summary_fault(const struct otlp_point *p)
{
    if (p->n_bounds > OTLP_BUCKETS_MAX)
        return "a summary has too many quantiles";
    for (size_t i = 0; i < p->n_bounds; i++)
        if (!(p->bounds[i] >= 0 && p->bounds[i] <= 1))
            return "a quantile of a summary is not between 0 and 1";
    if (!is_increasing(p->bounds, p->n_bounds))
        return "the quantiles of a summary are not in ascending order";
    return NULL;
}

const char *otlp_fault(const struct otlp_point *p)
{
    if (p->name.n == 0)
        return "a metric has no name";
    if (p->time_ns == 0)
        return "a point has no time_unix_nano";
    if (p->kind != OTLP_GAUGE && p->kind != OTLP_SUMMARY && p->temporality != OTLP_DELTA &&
        p->temporality != OTLP_CUMULATIVE)
        return "the aggregation temporality is neither delta nor cumulative";
    if (p->is_absent)
        return NULL; /* the rest is to be ignored */
    switch (p->kind) {
    case OTLP_GAUGE:
    case OTLP_SUM:
        return p->has_value ? NULL : "a point has neither a value nor the no-recorded-value flag";
    case OTLP_HISTOGRAM:
        return histogram_fault(p);
    case OTLP_EXPONENTIAL:
        return exponential_fault(p);
    case OTLP_SUMMARY:
        return summary_fault(p);
    }
    return NULL;
}
