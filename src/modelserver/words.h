/* SPDX-License-Identifier: Apache-2.0
 *
 * Text in and out without a model: splits a prompt into pieces about as long as a byte-level BPE
 * would, and makes up words as output. Deterministic: the same prompt and seed give the same
 * answer. Every place that shows such text also says that it is simulated. */
#ifndef FB_MODELSERVER_WORDS_H
#define FB_MODELSERVER_WORDS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define WORDS_BOS 2
#define WORDS_EOS 2

/* Appends the ids of text (with the BOS in front) to *ids (malloc), at most max; returns their
 * number, or -1 if there would be more. */
int words_tokenize(struct str text, int32_t **ids, int max);
/* The text of output token number `at` of an answer with that seed; *ret_id is its id. */
const char *words_pick(uint64_t seed, int at, int32_t *ret_id);

#endif
