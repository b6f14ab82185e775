/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers/hpa_book.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "controllers/hpa_history.h"
#include "controllers/hpa_stats.h"

struct hpa_book {
    struct cluster *cluster;
    struct list runs; /* by book_link */
    size_t n;
    struct hpa_keeper *keeper;
    struct hpa_stats stats;
    struct work_source work;
    int64_t tells_ms; /* start of the second that tells counts */
    int tells;
};

const struct work_source *hpa_book_work(const struct hpa_book *b)
{
    return &b->work;
}

struct hpa_book *hpa_book_new(struct cluster *c, const struct work_source *work)
{
    struct hpa_book *b = mem_zalloc(sizeof(*b));

    b->cluster = c;
    b->work = *work;
    list_init(&b->runs);
    b->keeper = hpa_keeper_new(c);
    return b;
}

void hpa_book_flush(struct hpa_book *b)
{
    hpa_keeper_flush(b->keeper);
}

void hpa_book_free(struct hpa_book *b)
{
    if (!b)
        return;
    FB_ASSERT(list_is_empty(&b->runs));
    hpa_keeper_free(b->keeper);
    free(b);
}

void hpa_book_add(struct hpa_book *b, struct hpa_run *r)
{
    list_add_tail(&b->runs, &r->book_link);
    b->n++;
}

void hpa_book_remove(struct hpa_book *b, struct hpa_run *r)
{
    hpa_keeper_forget(b->keeper, r);
    list_del(&r->book_link);
    b->n--;
}

void hpa_book_recall(struct hpa_book *b, const struct object *hpa, struct hpa_memory *ret)
{
    hpa_keeper_recall(b->keeper, hpa, ret);
}

void hpa_book_note(struct hpa_book *b, struct hpa_run *r, const struct decision *d, int64_t took_ns)
{
    hpa_stats_count(&b->stats, d, took_ns);
    hpa_keeper_note(b->keeper, r);
}

bool hpa_book_may_tell(struct hpa_book *b, int64_t now)
{
    if (now - b->tells_ms >= 1000 || now < b->tells_ms) {
        b->tells_ms = now;
        b->tells = 0;
    }
    return b->tells++ < HPA_BOOK_TELLS;
}

const struct hpa_run *hpa_book_rival(const struct hpa_book *b, const struct hpa_run *r,
                                     const struct object *pod)
{
    list_each (l, &b->runs) {
        const struct hpa_run *other = container_of(l, struct hpa_run, book_link);

        if (other != r && other->selector && other->hpa && str_eq(other->hpa->ns, pod->ns) &&
            selector_matches(other->selector, pod))
            return other;
    }
    return NULL;
}

/* --- reading --- */

static bool is_about(const struct hpa_run *r, struct str kind, struct str ns, struct str name)
{
    if ((ns.n && !str_eq(r->owner.ns, ns)) || (kind.n && !str_is(kind, r->owner.kind)))
        /* the HPA of a ScaledObject is asked for by its own name too */
        return str_is(kind, "HorizontalPodAutoscaler") && r->hpa && name.n &&
               str_eq(r->hpa->ns, ns.n ? ns : r->hpa->ns) && str_eq(r->hpa->name, name);
    return !name.n || str_eq(r->owner.name, name);
}

static const struct decision_metric *metric_of(const struct decision *d, struct str name)
{
    for (size_t i = 0; i < d->n; i++)
        if (str_eq_nocase(name, str_of(d->metrics[i].name)))
            return &d->metrics[i];
    return NULL;
}

int hpa_book_external(struct hpa_book *b, struct str ns, struct str scaledobject, struct str metric,
                      double *ret_value, int64_t *ret_at, struct err *err)
{
    int r = ERR_NOT_FOUND;

    list_each (l, &b->runs) {
        const struct hpa_run *run = container_of(l, struct hpa_run, book_link);
        const struct decision_metric *m;
        struct decision_span span;
        struct decision d;

        if (!is_about(run, STR("ScaledObject"), ns, scaledobject) ||
            !decision_log_get(&run->log, 0, &d, &span))
            continue;
        m = metric_of(&d, metric);
        if (m && m->state == METRIC_UNKNOWN) {
            r = err_set(err, ERR_UNAVAILABLE,
                        "error when getting metric %.*s for scaledObject %.*s/%.*s: %s",
                        STR_ARG(metric), STR_ARG(ns), STR_ARG(scaledobject), m->why);
        } else if (m) {
            *ret_value = m->value;
            *ret_at = m->at_ms ? m->at_ms : d.at_ms;
            r = 0;
        }
        decision_done(&d);
        if (m)
            break;
    }
    return r != ERR_NOT_FOUND
               ? r
               : err_set(err, ERR_NOT_FOUND,
                         "no matching metrics found for %.*s of scaledObject %.*s/%.*s",
                         STR_ARG(metric), STR_ARG(ns), STR_ARG(scaledobject));
}

static int by_name(const void *a, const void *b)
{
    const struct hpa_run *x = *(const struct hpa_run *const *)a,
                         *y = *(const struct hpa_run *const *)b;
    int c = str_cmp(x->owner.ns, y->owner.ns);

    if (c == 0)
        c = str_cmp(x->owner.name, y->owner.name);
    return c ? c : strcmp(x->owner.kind, y->owner.kind);
}

static const char *clock_of(int64_t ms, char out[TIME_TEXT_MAX])
{
    return time_rfc3339(ms, out);
}

static void explain_text(const struct hpa_run *r, const struct hpa_book_query *q, struct buf *out)
{
    bool is_hpa = strcmp(r->owner.kind, "HorizontalPodAutoscaler") == 0;
    char text[DECISION_TEXT_MAX], time[TIME_TEXT_MAX];
    struct decision_span span;
    struct decision d;

    buf_printf(out, "%.*s/%.*s%s", STR_ARG(r->owner.ns), STR_ARG(r->owner.name),
               is_hpa ? " (HorizontalPodAutoscaler)" : "");
    if (!decision_log_get(&r->log, 0, &d, &span)) {
        buf_add_cstr(out, ": nothing has been decided yet\n");
        return;
    }
    buf_printf(out, " has %lld of %lld..%lld, at %s decided: ", (long long)d.current,
               (long long)d.min, (long long)d.max, clock_of(d.at_ms, time));
    decision_text(&d, text, sizeof(text));
    buf_printf(out, "%s\n", text);
    if (q->last > 1 && d.next_ms)
        buf_printf(out, "  next look: %s, or when something changes\n", clock_of(d.next_ms, time));
    decision_done(&d);
    for (size_t i = 1; i < (size_t)q->last && decision_log_get(&r->log, i, &d, &span); i++) {
        decision_text(&d, text, sizeof(text));
        buf_printf(out, "  %s", clock_of(span.since_ms, time));
        if (span.looks > 1)
            buf_printf(out, " to %.8s (%lld looks)", clock_of(d.at_ms, time) + 11,
                       (long long)span.looks);
        buf_printf(out, ": %s%s\n", d.is_rescale ? "scaled to " : "", text);
        decision_done(&d);
    }
}

static void explain_json(const struct hpa_run *r, const struct hpa_book_query *q, bool is_first,
                         struct buf *out)
{
    struct decision_span span;
    struct decision d;
    size_t n = r->log.n < (size_t)q->last ? r->log.n : (size_t)q->last;

    buf_printf(out, "%s{\"kind\":\"%s\",\"namespace\":", is_first ? "" : ",", r->owner.kind);
    json_write_str(out, r->owner.ns);
    buf_add_cstr(out, ",\"name\":");
    json_write_str(out, r->owner.name);
    if (r->hpa) {
        buf_add_cstr(out, ",\"hpa\":");
        json_write_str(out, r->hpa->name);
    }
    buf_add_cstr(out, ",\"decisions\":[");
    for (size_t i = n; i-- > 0;) {
        if (!decision_log_get(&r->log, i, &d, &span))
            continue;
        decision_json(&d, &span, out);
        buf_add_cstr(out, i ? "," : "");
        decision_done(&d);
    }
    buf_add_cstr(out, "]}");
}

bool hpa_book_explain(struct hpa_book *b, const struct hpa_book_query *q, struct buf *out)
{
    struct hpa_run **all = mem_array(b->n + 1, sizeof(struct hpa_run *));
    size_t n = 0;

    list_each (l, &b->runs) {
        struct hpa_run *r = container_of(l, struct hpa_run, book_link);

        if (is_about(r, q->kind, q->ns, q->name))
            all[n++] = r;
    }
    qsort(all, n, sizeof(struct hpa_run *), by_name);
    buf_add_cstr(out, q->as_json ? "[" : "");
    for (size_t i = 0; i < n; i++) {
        if (q->as_json)
            explain_json(all[i], q, i == 0, out);
        else
            explain_text(all[i], q, out);
    }
    buf_add_cstr(out, q->as_json ? "]\n" : "");
    free(all);
    return n > 0;
}

void hpa_book_metrics(const struct hpa_book *b, struct buf *out)
{
    hpa_stats_write(&b->stats, out);
    buf_add_cstr(out, "# HELP flyball_desired_replicas Replicas of the last decision.\n# TYPE "
                      "flyball_desired_replicas gauge\n");
    list_each (l, &b->runs) {
        const struct hpa_run *r = container_of(l, struct hpa_run, book_link);
        bool is_hpa = strcmp(r->owner.kind, "HorizontalPodAutoscaler") == 0;
        int64_t desired;

        if (decision_log_desired(&r->log, &desired))
            buf_printf(out, "flyball_desired_replicas{namespace=\"%.*s\",%s=\"%.*s\"} %lld\n",
                       STR_ARG(r->owner.ns), is_hpa ? "horizontalpodautoscaler" : "scaledObject",
                       STR_ARG(r->owner.name), (long long)desired);
    }
}
