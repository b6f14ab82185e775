/* SPDX-License-Identifier: Apache-2.0
 *
 * The walk over a request that otlp_check accepted, so nothing here can be cut or of a wrong wire
 * type; pb_next is asked all the same, for it is what keeps a read inside the bytes. */
#include "codec/otlp.h"

#include <math.h>

#include "base/mem.h"
#include "codec/protobuf.h"

/* A growing array of a point's numbers. Beyond OTLP_BUCKETS_MAX they are counted, not kept: packed
 * varints would take eight times the memory of their message. */
struct numbers {
    uint64_t *items; /* doubles as their bits */
    size_t n, cap;
};

struct walk {
    otlp_point_fn *fn;
    void *arg;
    struct otlp_point p;
    struct numbers counts, bounds, values, positive, negative;
    struct buf scattered; /* a point's attributes that are not in one piece */
    struct buf resource;  /* of several messages */
};

static void add_number(struct numbers *a, uint64_t v)
{
    if (a->n < OTLP_BUCKETS_MAX) {
        mem_grow(&a->items, &a->cap, a->n);
        a->items[a->n] = v;
    }
    a->n++;
}

/* One element, or a packed run of them. */
static void add_numbers(struct numbers *a, const struct pb_field *f, unsigned wire)
{
    struct str in = f->bytes;
    uint64_t v;

    if (f->wire != PB_BYTES)
        add_number(a, f->value);
    else
        while (in.n && (wire == PB_64 ? pb_fixed(&in, 8, &v) : pb_varint(&in, &v)))
            add_number(a, v);
}

static const double *doubles(const struct numbers *a)
{
    _Static_assert(sizeof(double) == sizeof(uint64_t), "a double is 64 bits");
    return (const double *)(const void *)a->items;
}

/* --- points --- */

/* Attributes nearly always stand in one run, whose bytes are taken as they are. at: where the
 * field's tag begins; end: behind the field. */
static void add_attribute(struct walk *w, const char *at, const char *end)
{
    struct str *run = &w->p.attributes.bytes;

    if (run->n == 0) {
        *run = str_n(at, (size_t)(end - at));
    } else if (run->p + run->n == at) {
        run->n += (size_t)(end - at);
    } else {
        if (run->p != w->scattered.p) {
            buf_clear(&w->scattered);
            buf_add_str(&w->scattered, *run);
        }
        buf_add(&w->scattered, at, (size_t)(end - at));
        *run = buf_str(&w->scattered);
    }
}

static void number_point(struct walk *w, struct str in)
{
    struct otlp_point *p = &w->p;
    struct pb_field f;

    for (const char *at = in.p; in.n && pb_next(&in, &f); at = in.p) {
        switch (f.number) {
        case 2:
            p->start_ns = f.value;
            break;
        case 3:
            p->time_ns = f.value;
            break;
        case 4:
            p->value = pb_double(f.value);
            p->has_value = true;
            p->is_int = false;
            break;
        case 6:
            p->as_int = (int64_t)f.value;
            p->value = (double)p->as_int;
            p->has_value = p->is_int = true;
            break;
        case 7:
            add_attribute(w, at, in.p);
            break;
        case 8:
            p->is_absent = f.value & 1;
            break;
        default:
            break;
        }
    }
}

static void histogram_point(struct walk *w, struct str in)
{
    struct otlp_point *p = &w->p;
    struct pb_field f;

    for (const char *at = in.p; in.n && pb_next(&in, &f); at = in.p) {
        switch (f.number) {
        case 2:
            p->start_ns = f.value;
            break;
        case 3:
            p->time_ns = f.value;
            break;
        case 4:
            p->count = f.value;
            break;
        case 5:
            p->sum = pb_double(f.value);
            p->has_sum = true;
            break;
        case 6:
            add_numbers(&w->counts, &f, PB_64);
            break;
        case 7:
            add_numbers(&w->bounds, &f, PB_64);
            break;
        case 9:
            add_attribute(w, at, in.p);
            break;
        case 10:
            p->is_absent = f.value & 1;
            break;
        default:
            break;
        }
    }
}

static void buckets(struct str in, struct otlp_buckets *b, struct numbers *counts)
{
    struct pb_field f;

    while (in.n && pb_next(&in, &f)) {
        if (f.number == 1)
            b->offset = (int32_t)pb_zigzag((uint32_t)f.value);
        else if (f.number == 2)
            add_numbers(counts, &f, PB_VARINT);
    }
}

static void exponential_point(struct walk *w, struct str in)
{
    struct otlp_point *p = &w->p;
    struct pb_field f;

    for (const char *at = in.p; in.n && pb_next(&in, &f); at = in.p) {
        switch (f.number) {
        case 1:
            add_attribute(w, at, in.p);
            break;
        case 2:
            p->start_ns = f.value;
            break;
        case 3:
            p->time_ns = f.value;
            break;
        case 4:
            p->count = f.value;
            break;
        case 5:
            p->sum = pb_double(f.value);
            p->has_sum = true;
            break;
        case 6:
            p->scale = (int32_t)pb_zigzag((uint32_t)f.value);
            break;
        case 7:
            p->zero_count = f.value;
            break;
        case 8:
            buckets(f.bytes, &p->positive, &w->positive);
            break;
        case 9:
            buckets(f.bytes, &p->negative, &w->negative);
            break;
        case 10:
            p->is_absent = f.value & 1;
            break;
        case 14:
            p->zero_threshold = pb_double(f.value);
            break;
        default:
            break;
        }
    }
}

static void quantile(struct walk *w, struct str in)
{
    uint64_t q = 0, v = 0;
    struct pb_field f;

    while (in.n && pb_next(&in, &f)) {
        if (f.number == 1)
            q = f.value;
        else if (f.number == 2)
            v = f.value;
    }
    add_number(&w->bounds, q);
    add_number(&w->values, v);
}

static void summary_point(struct walk *w, struct str in)
{
    struct otlp_point *p = &w->p;
    struct pb_field f;

    p->has_sum = true;
    for (const char *at = in.p; in.n && pb_next(&in, &f); at = in.p) {
        switch (f.number) {
        case 2:
            p->start_ns = f.value;
            break;
        case 3:
            p->time_ns = f.value;
            break;
        case 4:
            p->count = f.value;
            break;
        case 5:
            p->sum = pb_double(f.value);
            break;
        case 6:
            quantile(w, f.bytes);
            break;
        case 7:
            add_attribute(w, at, in.p);
            break;
        case 8:
            p->is_absent = f.value & 1;
            break;
        default:
            break;
        }
    }
}

static const struct {
    void (*read)(struct walk *w, struct str in);
    unsigned attributes; /* field number */
} points[] = {
    [OTLP_GAUGE] = {number_point, 7},        [OTLP_SUM] = {number_point, 7},
    [OTLP_HISTOGRAM] = {histogram_point, 9}, [OTLP_EXPONENTIAL] = {exponential_point, 1},
    [OTLP_SUMMARY] = {summary_point, 7},
};

static void point(struct walk *w, struct str in)
{
    struct otlp_point *p = &w->p;

    p->attributes = (struct otlp_attributes){.number = points[p->kind].attributes};
    p->start_ns = p->time_ns = 0;
    p->is_absent = p->has_value = p->has_sum = p->is_int = false;
    if (p->kind > OTLP_SUM) {
        w->counts.n = w->bounds.n = w->values.n = w->positive.n = w->negative.n = 0;
        p->count = p->zero_count = 0;
        p->sum = p->zero_threshold = 0;
        p->scale = p->positive.offset = p->negative.offset = 0;
    }
    points[p->kind].read(w, in);
    if (p->kind > OTLP_SUM) {
        p->counts = w->counts.items;
        p->n_counts = w->counts.n;
        p->bounds = doubles(&w->bounds);
        p->n_bounds = w->bounds.n;
        p->values = doubles(&w->values);
        p->positive.counts = w->positive.items;
        p->positive.n = w->positive.n;
        p->negative.counts = w->negative.items;
        p->negative.n = w->negative.n;
    }
    w->fn(w->arg, p);
}

/* --- what is around them --- */

static bool is_data(uint64_t number)
{
    return number < ARRAY_LEN(points) && points[number].read;
}

/* Temporality and monotony stand behind the points as a rule. */
static void data_head(struct walk *w, struct str in)
{
    struct pb_field f;

    while (in.n && pb_next(&in, &f)) {
        if (f.number == 2 && f.wire == PB_VARINT)
            w->p.temporality = (int)f.value;
        else if (f.number == 3 && f.wire == PB_VARINT)
            w->p.is_monotonic = f.value != 0;
    }
}

static void metric(struct walk *w, struct str in)
{
    struct str data = STR_NONE; /* from the first piece of the member that counts */
    struct otlp_point *p = &w->p;
    struct pb_field f;
    unsigned kind = 0;

    p->metric_no++;
    p->name = STR("");
    p->temporality = OTLP_UNSPECIFIED;
    p->is_monotonic = false;
    for (struct str at = in; in.n && pb_next(&in, &f); at = in) {
        if (f.number == 1) {
            p->name = f.bytes;
        } else if (is_data(f.number) && f.number != kind) {
            kind = (unsigned)f.number;
            data = at;
        }
    }
    if (!kind)
        return;
    p->kind = kind;
    in = data;
    while (in.n && pb_next(&in, &f))
        if (f.number == kind)
            data_head(w, f.bytes);
    while (data.n && pb_next(&data, &f)) {
        struct str piece = f.bytes;
        struct pb_field d;

        if (f.number == kind)
            while (piece.n && pb_next(&piece, &d))
                if (d.number == 1)
                    point(w, d.bytes);
    }
}

static void each(struct walk *w, struct str in, unsigned number,
                 void (*fn)(struct walk *w, struct str in))
{
    struct pb_field f;

    while (in.n && pb_next(&in, &f))
        if (f.number == number)
            fn(w, f.bytes);
}

static void scope_metrics(struct walk *w, struct str in)
{
    each(w, in, 2, metric);
}

/* Several resource messages are one, by protobuf's rule for a field that is given twice. */
static void add_resource(struct walk *w, struct str in)
{
    struct str *have = &w->p.resource.bytes;

    if (have->p) {
        if (have->p != w->resource.p) {
            buf_clear(&w->resource);
            buf_add_str(&w->resource, *have);
        }
        buf_add_str(&w->resource, in);
        in = buf_str(&w->resource);
    }
    *have = in;
}

static void resource_metrics(struct walk *w, struct str in)
{
    w->p.resource_no++;
    w->p.resource = (struct otlp_attributes){STR_NONE, 1};
    each(w, in, 1, add_resource);
    each(w, in, 2, scope_metrics);
}

void otlp_walk(struct str request, otlp_point_fn *fn, void *arg)
{
    struct walk w = {.fn = fn,
                     .arg = arg,
                     .scattered = {.max = SIZE_MAX / 2},
                     .resource = {.max = SIZE_MAX / 2}};

    each(&w, request, 1, resource_metrics);
    free(w.counts.items);
    free(w.bounds.items);
    free(w.values.items);
    free(w.positive.items);
    free(w.negative.items);
    buf_done(&w.scattered);
    buf_done(&w.resource);
}
