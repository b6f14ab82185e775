/* SPDX-License-Identifier: Apache-2.0
 *
 * One target's metrics on their way from exposition text to OTLP. A line of the page is understood
 * once: which metric it is, its attributes behind all processors (as the bytes that go out), its
 * part of a histogram. From then on a scrape is a look-up per line, and what the filter drops costs
 * no more than that.
 *
 * A page counts whole or not at all. Series that are gone, and all of them when a scrape fails, are
 * told once more as points without a value (stale); after that they are forgotten. Own gauges (up,
 * scrape_*) take the same way through the processors.
 *
 * Conversion: counters keep their sample's name; histograms and summaries take their family's; a
 * histogram without _count, or whose buckets decrease, is left out; OpenMetrics' _created is the
 * start time; target_info goes to the resource, otel_scope_* labels to the scope. */
#ifndef FB_AGENT_PAGE_H
#define FB_AGENT_PAGE_H

#include "agent/config.h"

struct page;

/* All borrowed. */
struct page *page_new(const struct agent_config *c, const struct agent_job *job,
                      const struct agent_target *target);
void page_free(struct page *p);

struct page_scrape {
    int64_t t_ms; /* wall clock */
    double duration_s;
};

/* The answer of a scrape: takes its samples, or (ERR_BAD_INPUT, ERR_LIMIT) none of them, as if it
 * had failed. */
int page_take(struct page *p, struct str text, enum promtext_format format,
              const struct page_scrape *s, struct err *err);
/* The same page as the last time, byte for byte: only its time is new. False: it is not, or it has
 * times of its own. */
bool page_repeat(struct page *p, struct str text, const struct page_scrape *s);
/* No answer: up is 0, and all series end. */
void page_fail(struct page *p, const struct page_scrape *s);
/* The target goes away, or the program: everything ends, up as well. */
void page_end(struct page *p, int64_t t_ms);

/* A value, a series or up is not as it was written last. */
bool page_has_news(const struct page *p);
/* An ExportMetricsServiceRequest of all points; returns how many there are. 0: nothing was written.
 * What ended is forgotten by it. */
size_t page_write(struct page *p, struct buf *out);
/* Lines that the last page had. */
size_t page_samples(const struct page *p);

#endif
