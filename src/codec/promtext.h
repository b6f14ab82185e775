/* SPDX-License-Identifier: Apache-2.0
 *
 * Prometheus text format 0.0.4 and OpenMetrics 1.0: one call a sample, no tree. */
#ifndef FB_CODEC_PROMTEXT_H
#define FB_CODEC_PROMTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define PROMTEXT_LABELS_MAX 64

struct promtext_label {
    struct str name, value; /* value unescaped; valid during the call */
};

struct promtext_sample {
    struct str line_key; /* the bytes of name and labels as they stand: a cache key */
    struct str name;
    struct promtext_label labels[PROMTEXT_LABELS_MAX];
    size_t n_labels;
    double value;
    bool has_time;
    int64_t t_ms;
};

/* false from fn stops. openmetrics: times are seconds, "# EOF" ends. 0, or ERR_BAD_INPUT with the
 * line. */
int promtext_parse(struct str text, bool openmetrics,
                   bool (*fn)(void *arg, const struct promtext_sample *s), void *arg,
                   struct err *err);

#endif
