/* SPDX-License-Identifier: Apache-2.0
 *
 * Exponential histograms as classic ones. Index i of scale s covers (2^(i/2^s), 2^((i+1)/2^s)];
 * halving the resolution once is i -> i >> 1. All points of a series are folded onto one scale, at
 * most FINEST, so that the bounds a query sees do not move with each rescaling of the sender. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "telemetry/otlp_int.h"

#define FINEST 2       /* bounds a factor of 2^(1/4), 19 %, apart */
#define SIDE_MAX 160   /* buckets of one sign; wider ones become coarser */
#define COARSEST (-12) /* one bucket */

static int32_t shifted(int64_t index, int32_t by)
{
    return (int32_t)(by > 62 ? (index < 0 ? -1 : 0) : index >> by); /* rounds down */
}

/* The range of a side and of a point's buckets together, at a scale. */
static void span(const struct otlp_side *s, int32_t side_shift, const struct otlp_buckets *b,
                 int32_t shift, int32_t *ret_first, size_t *ret_n)
{
    int64_t lo = INT64_MAX, hi = INT64_MIN;

    if (s->n) {
        lo = shifted(s->first, side_shift);
        hi = shifted(s->first + (int64_t)s->n - 1, side_shift);
    }
    if (b->n) {
        int64_t from = shifted(b->offset, shift),
                to = shifted(b->offset + (int64_t)b->n - 1, shift);

        lo = from < lo ? from : lo;
        hi = to > hi ? to : hi;
    }
    *ret_first = lo <= hi ? (int32_t)lo : 0;
    *ret_n = lo <= hi ? (size_t)(hi - lo + 1) : 0;
}

static void refit(struct otlp_side *s, int32_t shift, int32_t first, size_t n)
{
    uint64_t *counts;

    if (shift == 0 && s->first == first && s->n == n)
        return;
    counts = mem_array(n, sizeof(*counts));
    for (size_t i = 0; i < s->n; i++)
        counts[shifted(s->first + (int64_t)i, shift) - first] += s->counts[i];
    free(s->counts);
    *s = (struct otlp_side){.first = first, .n = n, .cap = n, .counts = counts};
}

static void add(struct otlp_side *s, const struct otlp_buckets *b, int32_t shift)
{
    for (size_t i = 0; i < b->n; i++)
        s->counts[shifted(b->offset + (int64_t)i, shift) - s->first] += b->counts[i];
}

static void forget(struct otlp_side *s)
{
    if (s->n)
        memset(s->counts, 0, s->n * sizeof(*s->counts));
}

void otlp_fold_add(struct otlp_fold *f, const struct otlp_point *p, bool is_delta)
{
    int32_t scale = p->scale < FINEST ? p->scale : FINEST, first[2];
    size_t n[2];

    if (!f->is_open)
        f->scale = scale;
    else if (f->scale < scale)
        scale = f->scale;
    for (;; scale--) {
        span(&f->positive, f->scale - scale, &p->positive, p->scale - scale, &first[0], &n[0]);
        span(&f->negative, f->scale - scale, &p->negative, p->scale - scale, &first[1], &n[1]);
        if ((n[0] <= SIDE_MAX && n[1] <= SIDE_MAX) || scale <= COARSEST)
            break;
    }
    refit(&f->positive, f->scale - scale, first[0], n[0]);
    refit(&f->negative, f->scale - scale, first[1], n[1]);
    f->scale = scale;
    f->is_open = true;
    if (!is_delta) {
        forget(&f->positive);
        forget(&f->negative);
        f->zero = f->count = 0;
    }
    add(&f->positive, &p->positive, p->scale - scale);
    add(&f->negative, &p->negative, p->scale - scale);
    f->zero += p->zero_count;
    f->count += p->count;
    if (p->zero_threshold > f->threshold)
        f->threshold = p->zero_threshold;
}

static double bound(const struct otlp_fold *f, int64_t index)
{
    return exp2(ldexp((double)index, -f->scale));
}

size_t otlp_fold_size(const struct otlp_fold *f)
{
    return f->positive.n + f->negative.n + 2;
}

size_t otlp_fold_write(const struct otlp_fold *f, double *ret_bounds, uint64_t *ret_counts)
{
    uint64_t sum = 0;
    size_t n = 0;

    for (size_t i = f->negative.n; i-- > 0;) { /* the largest magnitude is the lowest value */
        sum += f->negative.counts[i];
        ret_bounds[n] = -bound(f, f->negative.first + (int64_t)i);
        ret_counts[n++] = sum;
    }
    sum += f->zero;
    ret_bounds[n] = f->threshold;
    ret_counts[n++] = sum;
    for (size_t i = 0; i < f->positive.n; i++) {
        double below = bound(f, f->positive.first + (int64_t)i),
               upper = bound(f, f->positive.first + (int64_t)i + 1);

        if (i == 0 && below > f->threshold) { /* so that quantiles do not reach down to zero */
            ret_bounds[n] = below;
            ret_counts[n++] = sum;
        }
        sum += f->positive.counts[i];
        if (isinf(upper) || upper <= ret_bounds[n - 1]) {
            ret_counts[n - 1] += isinf(upper) ? 0 : f->positive.counts[i];
            continue;
        }
        ret_bounds[n] = upper;
        ret_counts[n++] = sum;
    }
    return n;
}

uint64_t otlp_fold_shape(const struct otlp_fold *f)
{
    struct {
        double threshold;
        int64_t scale, firsts[2], ns[2];
    } key = {f->threshold,
             f->scale,
             {f->positive.first, f->negative.first},
             {(int64_t)f->positive.n, (int64_t)f->negative.n}};

    return str_hash(str_n(&key, sizeof(key)));
}

void otlp_fold_done(struct otlp_fold *f)
{
    free(f->positive.counts);
    free(f->negative.counts);
    *f = (struct otlp_fold){0};
}
