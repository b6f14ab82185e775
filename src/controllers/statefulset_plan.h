/* SPDX-License-Identifier: Apache-2.0
 *
 * What a StatefulSet does next, as a pure function of its pods. In order (OrderedReady) one thing
 * at a time: a pod is created when all before it are available, the last one goes when all are, and
 * scaling comes before updating. Otherwise (Parallel) everything that is missing or too much, at
 * once. Updates replace pods from the highest ordinal down to the partition. */
#ifndef FB_CONTROLLERS_STATEFULSET_PLAN_H
#define FB_CONTROLLERS_STATEFULSET_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STS_CREATES_MAX 100 /* of one plan; what is beyond is for the next one */

struct sts_spec {
    int64_t start, replicas; /* ordinals from start on */
    bool is_parallel, is_on_delete;
    int64_t partition;       /* those below keep the current revision */
    int64_t max_unavailable; /* by an update, at least 1 */
};

struct sts_pod {
    const void *ref; /* the caller's */
    int64_t ordinal;
    bool is_ended; /* Failed or Succeeded */
    bool is_ready, is_available, is_terminating;
    bool is_current, is_updated; /* of which revision it is; both where they are the same */
};

enum sts_verb { STS_CREATE, STS_DELETE, STS_RECREATE }; /* RECREATE: DELETE of one that has ended */

struct sts_action {
    enum sts_verb verb;
    int64_t ordinal;
    size_t pod;      /* index, but for CREATE */
    bool is_updated; /* CREATE: of the new revision */
};

/* Sorts pods by ordinal; *ret is for free(). Returns the number of actions. */
size_t sts_plan(const struct sts_spec *s, struct sts_pod *pods, size_t n, struct sts_action **ret);
/* "web-3" of the set "web": 3; -1: no pod of that set. */
int64_t sts_ordinal(const char *set, size_t set_n, const char *pod, size_t pod_n);

#endif
