/* SPDX-License-Identifier: Apache-2.0
 *
 * Keeps what HPAs remember in objects (hpa_book.h says which and how), so that a restart loses
 * nothing that a window needs. */
#ifndef FB_CONTROLLERS_HPA_HISTORY_H
#define FB_CONTROLLERS_HPA_HISTORY_H

#include "controllers/hpa_run.h"

struct hpa_keeper;

struct hpa_keeper *hpa_keeper_new(struct cluster *c);
/* Saves at once what waits: before the end. */
void hpa_keeper_flush(struct hpa_keeper *k);
void hpa_keeper_free(struct hpa_keeper *k);
void hpa_keeper_recall(struct hpa_keeper *k, const struct object *hpa, struct hpa_memory *ret);
/* r->memory may have changed. */
void hpa_keeper_note(struct hpa_keeper *k, struct hpa_run *r);
/* r ends. */
void hpa_keeper_forget(struct hpa_keeper *k, struct hpa_run *r);

#endif
