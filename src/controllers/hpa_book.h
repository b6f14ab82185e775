/* SPDX-License-Identifier: Apache-2.0
 *
 * The book of all HPAs at work (hpa_run.h), whoever owns them: what `flyball explain`, the metrics
 * port and external.metrics.k8s.io read, and what is common to all: how many status writes there
 * may be for numbers alone, counters, and histories that outlive the program.
 *
 * Histories are ConfigMaps flyball-history-0 to -f in the HPA's namespace (the HPA's name hashed),
 * one key an HPA: "UID r5@1764019000123 ..." (autoscale/hpa_memory.h). A change that matters to a
 * window is saved at once, but a namespace's maps are written at most every 10 s. */
#ifndef FB_CONTROLLERS_HPA_BOOK_H
#define FB_CONTROLLERS_HPA_BOOK_H

#include "autoscale/hpa_pass.h"
#include "base/list.h"
#include "controllers/victims.h"
#include "kube/cluster.h"

struct hpa_book;
struct hpa_run;

/* work: where running requests are known from; copied. */
struct hpa_book *hpa_book_new(struct cluster *c, const struct work_source *work);
const struct work_source *hpa_book_work(const struct hpa_book *b);
/* Every run must have ended. */
void hpa_book_free(struct hpa_book *b);

/* Saves at once what histories have to save: before the end. */
void hpa_book_flush(struct hpa_book *b);

void hpa_book_add(struct hpa_book *b, struct hpa_run *r);
/* Its HPA may live on: the history stays. */
void hpa_book_remove(struct hpa_book *b, struct hpa_run *r);

/* What an earlier program remembered of this HPA; memory stays empty where there is nothing. */
void hpa_book_recall(struct hpa_book *b, const struct object *hpa, struct hpa_memory *ret);
/* A status write for a number alone: at most HPA_BOOK_TELLS a second in all. */
#define HPA_BOOK_TELLS 50
bool hpa_book_may_tell(struct hpa_book *b, int64_t now_ms);

/* Another run, in the pod's namespace, whose target selects the pod too; NULL: there is none. */
const struct hpa_run *hpa_book_rival(const struct hpa_book *b, const struct hpa_run *r,
                                     const struct object *pod);

/* --- reading --- */

/* The value that the last decision on this ScaledObject had for the metric. */
int hpa_book_external(struct hpa_book *b, struct str ns, struct str scaledobject, struct str metric,
                      double *ret_value, int64_t *ret_at_ms, struct err *err);

struct hpa_book_query {
    struct str kind;     /* "ScaledObject", "HorizontalPodAutoscaler"; empty: all */
    struct str ns, name; /* empty: all */
    int64_t last;        /* decisions of each */
    bool as_json;
};
/* The decisions, newest last; as text a paragraph an object, as JSON a list. False: there is no
 * such object. */
bool hpa_book_explain(struct hpa_book *b, const struct hpa_book_query *q, struct buf *out);
/* One pass is over, with this decision: counted, and what the windows need is saved in time. */
void hpa_book_note(struct hpa_book *b, struct hpa_run *r, const struct decision *d,
                   int64_t took_ns);
/* horizontal_pod_autoscaler_controller_* and flyball_* series. */
void hpa_book_metrics(const struct hpa_book *b, struct buf *out);

#endif
