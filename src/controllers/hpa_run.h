/* SPDX-License-Identifier: Apache-2.0
 *
 * One HPA object at work: reads it and what it scales, decides (autoscale/hpa_pass.h), writes
 * scale, status and events. Whoever owns the HPA gives it the values of its metrics: the
 * ScaledObject controller those of its triggers, the HPA controller those of the built-in store. */
#ifndef FB_CONTROLLERS_HPA_RUN_H
#define FB_CONTROLLERS_HPA_RUN_H

#include "autoscale/decision_log.h"
#include "autoscale/hpa_pass.h"
#include "base/list.h"
#include "controllers/hpa_book.h"
#include "controllers/hpa_status.h"
#include "controllers/status_writer.h"
#include "kube/cluster.h"

#define HPA_COMPONENT "horizontal-pod-autoscaler"
#define HPA_SETTLE_MS 15000 /* a sync period of the original (hpa_metric.h) */

struct hpa_look;

/* What is known of one HPA between looks. */
struct hpa_run {
    struct cluster *cluster;
    struct hpa_book *book;
    struct {
        const char *kind; /* "ScaledObject", "HorizontalPodAutoscaler" */
        struct str ns, name;
    } owner;                          /* borrowed: valid until hpa_run_done */
    struct list book_link, save_link; /* the book's */
    struct decision_log log;
    uint64_t saved_changes; /* of the memory, that are saved or wait to be */
    bool has_recalled;
    struct hpa_memory memory;
    bool has_last;            /* a decision, the newest of the log */
    int64_t last_ms;          /* wall: of it */
    uint64_t events;          /* hash of its events */
    const struct object *hpa; /* own reference: as it was last seen; NULL: not yet */
    struct {
        const struct object *o; /* own reference; NULL: not seen yet */
        int64_t replicas, status_replicas, ready;
        bool has_selector;
        char *selector_error; /* it cannot be parsed; NULL: it can */
    } target;
    struct hpa_look *writing;    /* its scale write is unanswered: no look may begin */
    struct status_writer status; /* of the HPA */
    struct hpa_told told;        /* by the newest status: ours, or as read from version told_rv */
    uint64_t told_rv;
    int64_t named; /* the generation that named the metrics of our newest status; 0: none */
    int64_t status_ms, events_ms, failing_ms, selector_ms; /* mono */
    /* The specification of hpa, and what it scales. Its tree is kept only where values are looked
     * for by it. */
    struct arena spec_arena;
    struct hpa_spec spec;
    json_t *spec_tree;
    const struct kind *target_kind; /* NULL: target_error */
    const char *target_name, *target_error;
    struct selector *selector; /* of the target as it was last seen; NULL: none */
    char *ambiguous;           /* text, or NULL */
    /* after a write to the scale; may be NULL */
    void (*scaled)(void *arg, const struct decision *d, const char *error);
    void *scaled_arg;
};
/* r: zeroed. kind, ns and name are the owner's, and borrowed. */
void hpa_run_init(struct hpa_run *r, struct cluster *c, struct hpa_book *book, const char *kind,
                  struct str ns, struct str name);
void hpa_run_done(struct hpa_run *r);

/* One look. The owner fills spec.metrics[i].values / samples / error / seen from look->arena
 * between begin and decide. */
struct hpa_look {
    struct hpa_run *run; /* NULL: it has gone meanwhile */
    struct object *hpa;  /* a reference */
    json_t *pods;        /* a list, where it was needed */
    struct arena arena;
    struct hpa_spec spec;
    struct hpa_scene scene;
    const struct kind *target_kind; /* NULL with scene.scale_error */
    struct str ns, name;            /* of the target */
    int64_t ready;                  /* pods of the target that are */
    int64_t began_ns;
    bool by_other; /* the size is another's decision (KEDA's, around zero) */
    struct decision d;
};
/* NULL while a write of the run is unanswered. */
struct hpa_look *hpa_look_begin(struct hpa_run *r, const struct object *hpa, int64_t now_ms);
void hpa_look_decide(struct hpa_look *l);
/* Only what is seen: whoever else may decide does it in l->d. */
void hpa_look_observe(struct hpa_look *l);
/* The pass wants to look again first (d.looks_again): ends the look, nothing is written. */
void hpa_look_drop(struct hpa_look *l);
/* Writes what l->d says and ends the look; the newest entry of run->log is then the decision. */
void hpa_look_finish(struct hpa_look *l);
/* The newest status of the HPA, a new tree; NULL: it has none. */
json_t *hpa_look_status(struct hpa_look *l);

#endif
