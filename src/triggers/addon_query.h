/* SPDX-License-Identifier: Apache-2.0
 *
 * metricQuery as the otel-add-on writes it (otel.md 4.4):
 *
 *   query  = [ FUNCTION "(" ] NAME [ "{" label { "," label } "}" ] [ ")" ]      FUNCTION: sum (also
 *   label  = KEY "=" VALUE                                        without one), avg, min, max,
 * count
 *
 * NAME is a letter, '_' or ':' and then those, digits, '.', '/' and '-'; KEY the same, or anything
 * in quotes; VALUE anything in single or double quotes, or bare without blanks, quotes and
 * operators. Blanks may stand between all of them. What else the add-on takes for a name or a value
 * ("rate(m)", "a!=") is refused here with its position: it may still be PromQL (metric_query.h). */
#ifndef FB_TRIGGERS_ADDON_QUERY_H
#define FB_TRIGGERS_ADDON_QUERY_H

#include "tsdb/tsdb.h"

enum addon_function { ADDON_SUM, ADDON_AVG, ADDON_MIN, ADDON_MAX, ADDON_COUNT };

#define ADDON_LABELS_MAX 64

struct addon_query {
    enum addon_function function;
    char *name;          /* as written */
    char *stored_name;   /* as a series has it: '.', '/' and '-' are '_' */
    struct label *items; /* as written; owned texts */
    struct str *stored;  /* the same keys as a series has them */
    size_t n;
};

/* ERR_BAD_INPUT "1:5: ...". On failure ret is empty. */
int addon_query_parse(struct str text, struct addon_query *ret, struct err *err);
void addon_query_done(struct addon_query *q);
/* The add-on's rule: a series counts unless it HAS a label of the query with another value. The
 * name is not looked at. */
bool addon_query_matches(const struct addon_query *q, const struct series *s);
/* It has these labels and, beside its name, no other. */
bool addon_query_is_exact(const struct addon_query *q, const struct series *s);
const char *addon_function_name(enum addon_function f);

#endif
