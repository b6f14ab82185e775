/* SPDX-License-Identifier: Apache-2.0
 *
 * A page's points as an ExportMetricsServiceRequest. */
#include <math.h>
#include <stdlib.h>

#include "agent/page_int.h"
#include "base/mem.h"

/* Bounds and counts of the histogram at hand. */
struct parts {
    double *bounds;
    uint64_t *counts;
    struct otlpw_quantile *quantiles;
    size_t n, cap_bounds, cap_counts, cap_quantiles;
    struct buf exemplars;
};

static uint64_t ns(int64_t ms)
{
    return ms > 0 ? (uint64_t)ms * 1000000 : 1; /* 0 means: no time */
}

static bool is_live(const struct page *p, const struct point *pt)
{
    return !pt->is_gone && pt->seen == p->scrape && pt->seen;
}

/* What ended, unless it was made anew meanwhile, or was never told. */
static bool is_to_end(const struct page *p, const struct point *pt)
{
    return pt->is_gone && pt->seen && !table_get(&p->points, pt->key);
}

static bool fits_count(double v)
{
    return v >= 0 && v < 1.8446744073709552e19;
}

/* Differences of the cumulative buckets. False: they decrease, or are no counts. */
static bool differences(const struct page *p, const struct point *pt, struct parts *parts)
{
    double before = 0;

    parts->n = 0;
    for (const struct bucket *b = pt->buckets; b; b = b->next) {
        if ((!pt->is_gone && b->seen != p->scrape) || isinf(b->bound))
            continue;
        mem_grow(&parts->bounds, &parts->cap_bounds, parts->n);
        mem_grow(&parts->counts, &parts->cap_counts, parts->n + 1);
        parts->bounds[parts->n] = b->bound;
        if (!pt->is_gone && !fits_count(b->value - before))
            return false;
        parts->counts[parts->n++] = pt->is_gone ? 0 : (uint64_t)(b->value - before);
        before = b->value;
    }
    mem_grow(&parts->counts, &parts->cap_counts, parts->n);
    if (pt->is_gone)
        return true;
    if (!fits_count(pt->count) || !fits_count(pt->count - before))
        return false;
    parts->counts[parts->n] = (uint64_t)(pt->count - before);
    return true;
}

static void quantiles(const struct page *p, const struct point *pt, struct parts *parts)
{
    parts->n = 0;
    for (const struct bucket *b = pt->buckets; b; b = b->next) {
        if (!pt->is_gone && b->seen != p->scrape)
            continue;
        mem_grow(&parts->quantiles, &parts->cap_quantiles, parts->n);
        parts->quantiles[parts->n++] = (struct otlpw_quantile){b->bound, b->value};
    }
}

static void exemplars(const struct page *p, const struct point *pt, struct parts *parts)
{
    buf_clear(&parts->exemplars);
    for (size_t i = 0; i < p->n_exemplars && !pt->is_gone; i++)
        if (p->exemplars[i].point == pt)
            buf_add(&parts->exemplars, p->exemplar_bytes.p + p->exemplars[i].at, p->exemplars[i].n);
}

static bool write_point(const struct page *p, const struct point *pt, struct parts *parts,
                        struct buf *out)
{
    struct otlpw_point o = {
        .attributes = pt->attrs,
        .start_ns = pt->start_ms ? ns(pt->start_ms) : 0,
        .time_ns = ns(pt->has_time || pt->is_gone ? pt->own_ms : p->t_ms),
        .no_value = pt->is_gone,
    };
    bool has_count = pt->is_gone || pt->count_seen == p->scrape;

    exemplars(p, pt, parts);
    o.exemplars = buf_str(&parts->exemplars);
    switch (pt->family->data) {
    case OTLPW_HISTOGRAM:
        if (!has_count || !differences(p, pt, parts))
            return false;
        otlp_put_histogram(out, &o, (uint64_t)pt->count,
                           pt->sum_seen == p->scrape ? &pt->sum : NULL, parts->bounds,
                           parts->counts, parts->n);
        return true;
    case OTLPW_SUMMARY:
        if (!has_count || (!pt->is_gone && !fits_count(pt->count)))
            return false;
        quantiles(p, pt, parts);
        otlp_put_summary(out, &o, (uint64_t)pt->count, pt->sum_seen == p->scrape ? pt->sum : 0,
                         parts->quantiles, parts->n);
        return true;
    default:
        if (!pt->is_gone && pt->value_seen != p->scrape)
            return false;
        otlp_put_number(out, &o, pt->value);
        return true;
    }
}

/* Back to where the buffer was: nothing came of it. */
static void undo(struct buf *out, size_t n)
{
    if (out->overflow)
        return;
    out->n = n;
    if (out->p)
        out->p[n] = '\0';
}

static size_t write_family(const struct page *p, const struct family *f, struct parts *parts,
                           struct buf *out)
{
    struct otlpw_value type = otlpw_text(str_of(promtext_type_name(f->type)));
    size_t start = out->n, metric = pb_begin(out, OTLPW_SCOPE_METRICS_METRICS), data, n = 0;
    char unit[64];

    pb_put_bytes(out, OTLPW_METRIC_NAME, str_of(f->name));
    if (f->meta && f->meta->help)
        pb_put_bytes_if(out, OTLPW_METRIC_DESCRIPTION, str_of(f->meta->help));
    if (f->meta && f->meta->unit)
        pb_put_bytes_if(out, OTLPW_METRIC_UNIT, series_unit(str_of(f->meta->unit), unit));
    data = otlp_begin_data(out, f->data);
    for (const struct point *pt = f->points; pt; pt = pt->next)
        if (is_live(p, pt) || is_to_end(p, pt))
            n += write_point(p, pt, parts, out);
    if (n == 0) {
        undo(out, start);
        return 0;
    }
    otlp_end_data(out, f->data, data);
    otlp_put_attribute(out, OTLPW_METRIC_METADATA, STR("prometheus.type"), &type);
    pb_end(out, metric);
    return n;
}

static size_t write_section(const struct page *p, const struct section *s, struct parts *parts,
                            struct buf *out)
{
    size_t start = out->n, outer = pb_begin(out, OTLPW_REQUEST_RESOURCE_METRICS), inner, n = 0;

    pb_put_bytes(out, OTLPW_RESOURCE_METRICS_RESOURCE, buf_str(&s->resource));
    inner = pb_begin(out, OTLPW_RESOURCE_METRICS_SCOPE_METRICS);
    pb_put_bytes(out, OTLPW_SCOPE_METRICS_SCOPE, buf_str(&s->scope));
    for (const struct family *f = s->families; f; f = f->next)
        n += write_family(p, f, parts, out);
    if (n == 0) {
        undo(out, start);
        return 0;
    }
    pb_end(out, inner);
    pb_end(out, outer);
    return n;
}

/* --- what was told is forgotten --- */

static bool forget_points(struct family *f, bool all)
{
    struct point **at = &f->points;

    while (*at) {
        struct point *pt = *at;

        if (pt->is_gone && (all || !pt->seen)) {
            *at = pt->next;
            series_free_point(pt);
        } else {
            at = &pt->next;
        }
    }
    f->points_tail = at;
    return !f->points;
}

static bool forget_families(struct section *s, bool all)
{
    struct family **at = &s->families;

    while (*at) {
        struct family *f = *at;

        if (forget_points(f, all)) {
            *at = f->next;
            free(f->name);
            free(f);
        } else {
            at = &f->next;
        }
    }
    s->families_tail = at;
    return !s->families;
}

void page_forget(struct page *p, bool all)
{
    struct section **at = &p->sections;

    while (*at) {
        struct section *s = *at;

        if (forget_families(s, all)) {
            *at = s->next;
            series_free_section(s);
        } else {
            at = &s->next;
        }
    }
    p->sections_tail = at;
}

size_t page_write(struct page *p, struct buf *out)
{
    struct parts parts = {0};
    size_t n = 0;

    for (const struct section *s = p->sections; s; s = s->next)
        n += write_section(p, s, &parts, out);
    free(parts.bounds);
    free(parts.counts);
    free(parts.quantiles);
    buf_done(&parts.exemplars);
    page_forget(p, true);
    p->has_news = false;
    return n;
}
