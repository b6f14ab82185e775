/* SPDX-License-Identifier: Apache-2.0
 *
 * StatefulSets: pods with names of their own, in order. What is next is decided in
 * statefulset_plan.h; earlier templates are kept as ControllerRevisions (statefulset_history.c), so
 * that a pod below the partition comes back as it was, and kubectl can undo a roll-out. */
#ifndef FB_CONTROLLERS_STATEFULSET_H
#define FB_CONTROLLERS_STATEFULSET_H

#include "kube/reconciler.h"

struct statefulset_controller;
struct statefulset_controller *statefulset_controller_new(struct cluster *cluster);
void statefulset_controller_free(struct statefulset_controller *c);

/* --- statefulset_history.c --- */

/* The revisions of one set in one pass. */
struct sts_history {
    struct sts_revision {
        const struct object *o; /* own reference */
        json_t *tree;
        int64_t number;
    } * items; /* the newest last */
    size_t n, cap;
    char *current, *update;         /* names; update may be of one that is being written */
    const json_t *current_template; /* borrowed */
    bool is_ready;                  /* false: some are being taken over, look again */
};
/* Looks, and writes what the set's present template needs. set: the tree of o. */
void sts_history_read(struct sts_history *h, struct pass *p, const struct object *o,
                      const json_t *set, const struct selector *sel);
/* Drops the oldest beyond the limit that no pod is of; used: names, ending with NULL. */
void sts_history_prune(const struct sts_history *h, struct pass *p, const json_t *set,
                       const char *const *used);
void sts_history_done(struct sts_history *h);

/* A pod of the set: the ordinal's name and labels, made of that template. For tests too. */
json_t *sts_pod_of(const struct object *o, const json_t *set, const json_t *template,
                   const char *revision, int64_t ordinal);

#endif
