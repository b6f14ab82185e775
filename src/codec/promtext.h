/* SPDX-License-Identifier: Apache-2.0
 *
 * Prometheus text format 0.0.4 and OpenMetrics 1.0, read in one pass: one call a sample and one a
 * line of metadata, no tree and no allocation (one for the page, if it has escapes).
 *
 * What is accepted follows Prometheus' own parser, which is laxer than both formats in places
 * (missing commas between labels, raw newlines in values, unknown escapes kept as they stand, TYPE
 * twice or late, no final newline), except that leading blanks, duplicate label names, a label
 * __name__ and names that are not UTF-8 are errors here. Any fault makes the whole page erroneous:
 * who reads it drops what he was given before. */
#ifndef FB_CODEC_PROMTEXT_H
#define FB_CODEC_PROMTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define PROMTEXT_LABELS_MAX 64

/* What a scraper asks for: OpenMetrics first. */
#define PROMTEXT_ACCEPT                                                      \
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6," \
    "application/openmetrics-text;version=0.0.1;q=0.5,"                      \
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"

enum promtext_format { PROMTEXT_004, PROMTEXT_OPENMETRICS };

enum promtext_type {
    PROMTEXT_UNKNOWN, /* "untyped" in 0.0.4 */
    PROMTEXT_COUNTER,
    PROMTEXT_GAUGE,
    PROMTEXT_HISTOGRAM,
    PROMTEXT_GAUGEHISTOGRAM,
    PROMTEXT_SUMMARY,
    PROMTEXT_INFO,
    PROMTEXT_STATESET,
};

struct promtext_label {
    struct str name, value; /* unescaped; valid during the call */
};

struct promtext_exemplar {
    struct promtext_label labels[PROMTEXT_LABELS_MAX];
    size_t n_labels;
    double value;
    bool has_time;
    int64_t t_ms;
};

struct promtext_sample {
    struct str line_key; /* the bytes of name and labels as they stand: a cache key */
    struct str name;
    struct promtext_label labels[PROMTEXT_LABELS_MAX]; /* le and quantile in canonical form */
    size_t n_labels;
    double value;
    bool has_time;
    int64_t t_ms;
    enum promtext_type type; /* of the last TYPE line */
    bool has_exemplar;       /* OpenMetrics only */
    struct promtext_exemplar exemplar;
};

struct promtext_meta {
    enum { PROMTEXT_TYPE, PROMTEXT_HELP, PROMTEXT_UNIT, PROMTEXT_COMMENT } what;
    struct str name;         /* of the family; none with a comment */
    struct str text;         /* unescaped; of a comment the whole line */
    enum promtext_type type; /* PROMTEXT_TYPE */
};

/* false stops. Either may be NULL. */
typedef bool promtext_sample_fn(void *arg, const struct promtext_sample *s);
typedef bool promtext_meta_fn(void *arg, const struct promtext_meta *m);

/* 0 (also when a function stopped), or ERR_BAD_INPUT with the line. */
int promtext_parse(struct str text, enum promtext_format format, promtext_sample_fn *on_sample,
                   promtext_meta_fn *on_meta, void *arg, struct err *err);

/* The parser that a Content-Type asks for; ERR_UNSUPPORTED, with what was expected, for none and
 * for anything else, as Prometheus 3 does. */
int promtext_format_of(struct str content_type, enum promtext_format *ret, struct err *err);
/* "counter", ...; "unknown" */
const char *promtext_type_name(enum promtext_type t);
/* A number as the formats write it (no hexadecimal, no '_', +Inf and NaN in any case). */
bool promtext_number(struct str s, double *ret);

#endif
