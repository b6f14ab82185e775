/* SPDX-License-Identifier: Apache-2.0
 *
 * RE2 for C: anchored label patterns, and captures for label_replace. */
#ifndef FB_PROMQL_RE2_SHIM_H
#define FB_PROMQL_RE2_SHIM_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct re2_pattern;
/* NULL: not a pattern; why (cap bytes) says what is wrong. The match is anchored at both ends, '.'
 * matches newline. */
struct re2_pattern *re2_compile(const char *pattern, size_t n, char *why, size_t cap);
void re2_free(struct re2_pattern *re);
bool re2_matches(const struct re2_pattern *re, const char *s, size_t n);
int re2_groups(const struct re2_pattern *re);
/* Group 0 is the whole; fills begin[i], len[i] (begin NULL: not taken part); false: no match. */
bool re2_captures(const struct re2_pattern *re, const char *s, size_t n, const char **begin,
                  size_t *len, int max);
/* Number of a named group, -1: none. */
int re2_group_number(const struct re2_pattern *re, const char *name, size_t n);

#ifdef __cplusplus
}
#endif
#endif
