/* SPDX-License-Identifier: Apache-2.0
 *
 * What an HPA remembers, as text that outlives the program: "r5@1764019000123 r1@... u2@...
 * d1@...", recommendations, added, removed, each with its wall time. Of the recommendations only
 * those are written that some window can still tell apart (higher or lower than all later ones), so
 * the text is bounded by the number of different sizes; of the changes the newest
 * HPA_MEMORY_CHANGES, older ones merged into the next.
 *
 * Nobody knows when a program that was killed has seen the last recommendation again, so when read
 * back that one counts as of now; all others have their own times. A time that lies ahead (the wall
 * clock was set back) counts as now. */
#ifndef FB_AUTOSCALE_HPA_MEMORY_H
#define FB_AUTOSCALE_HPA_MEMORY_H

#include "autoscale/hpa_pass.h"
#include "base/buf.h"

#define HPA_MEMORY_CHANGES 64
#define HPA_MEMORY_TEXT_MAX 65536 /* over a thousand sizes within an hour */

/* now: the same instant on both clocks. */
void hpa_memory_write(const struct hpa_memory *m, int64_t now_mono_ms, int64_t now_wall_ms,
                      struct buf *out);
/* ret: zeroed. ERR_BAD_INPUT: it stays empty. */
int hpa_memory_read(struct str text, int64_t now_mono_ms, int64_t now_wall_ms,
                    struct hpa_memory *ret, struct err *err);

#endif
