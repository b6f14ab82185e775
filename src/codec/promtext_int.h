/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers of the exposition formats in the form that le and quantile have as label values: Go's
 * shortest 'g', with ".0" behind a whole number (1.0, 1e+06, 0.25, +Inf). */
#ifndef FB_CODEC_PROMTEXT_INT_H
#define FB_CODEC_PROMTEXT_INT_H

#include "codec/promtext.h"

#define PROMTEXT_CANONICAL_MAX 40

/* True only if s certainly has that form: saves most of them the way through a double. */
bool promtext_is_canonical(struct str s);
/* Returns the length; not terminated. */
size_t promtext_canonical(double v, char out[PROMTEXT_CANONICAL_MAX]);

#endif
