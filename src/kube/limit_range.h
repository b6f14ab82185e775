/* SPDX-License-Identifier: Apache-2.0
 *
 * LimitRanges: what they give to a pod at its creation (items of type Container), and what they
 * refuse (types Container and Pod), as the LimitRanger of the original. Items of type
 * PersistentVolumeClaim are kept: there are no claims here that they could hold for. */
#ifndef FB_KUBE_LIMIT_RANGE_H
#define FB_KUBE_LIMIT_RANGE_H

#include "kube/validate.h"

/* Gives the containers what they lack, and notes it in the annotation
 * kubernetes.io/limit-ranger. item list: spec.limits of one LimitRange. */
void limit_range_default(const json_t *limits, json_t *pod);
/* Whether the pod keeps to them; else false, and out has the reasons. */
bool limit_range_admits(const json_t *limits, const json_t *pod, struct buf *out);

/* The same over all LimitRanges of the pod's namespace, in order of their names. */
void limit_ranges_default(struct cluster *c, json_t *pod);
int limit_ranges_check(struct cluster *c, const json_t *pod, struct denial *d);
/* All their items, as one new list. */
json_t *limit_ranges_items(struct cluster *c, struct str ns);

#endif
