/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON documents. The tree is jansson's (json_t, reference-counted, members in insertion order);
 * this header is the only place that includes jansson, and adds what Kubernetes work needs: limits
 * and positions when reading, Go's number formatting when writing, and look-ups that never crash on
 * a wrong shape. A tree is built for one pass over one object and dropped: nothing keeps a shared
 * tree and nothing mutates one that it did not build. */
#ifndef FB_CODEC_JSON_H
#define FB_CODEC_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define JSON_DEPTH_MAX 256

/* Scope-bound reference: AUTO_JSON json_t *o = ...; */
static inline void json_auto_decref_(json_t **p)
{
    json_decref(*p);
}
#define AUTO_JSON __attribute__((cleanup(json_auto_decref_)))

/* Whole text -> new tree. ERR_BAD_INPUT with line and column. Duplicate keys: the last wins, as in
 * the Kubernetes API; integers beyond 64 bit become doubles. */
int json_parse(struct str text, json_t **ret, struct err *err);
/* The same, and appends the paths of duplicate keys ("spec.x", one per line) to *dups if not NULL.
 */
int json_parse_strict(struct str text, json_t **ret, struct buf *dups, struct err *err);

/* The tree of a text that json_write made: cannot fail. */
json_t *json_reread(struct str text);

/* Compact text as Go's encoding/json writes it: shortest digits that read back, 1e21 style
 * exponents, no escaping of '/', <, >, & (SetEscapeHTML(false)). Order: insertion. */
void json_write(struct buf *out, const json_t *v);
/* The text of a double in that form; "null" for what JSON has not (NaN, Inf). */
void json_write_double(struct buf *out, double v);
/* s as a quoted JSON string; invalid UTF-8 is replaced by U+FFFD. */
void json_write_str(struct buf *out, struct str s);

/* Member of an object by path "metadata.labels.app" (dots split; a member with a dot in its name:
 * json_get). Borrowed, or NULL where any step is missing or of another type. */
json_t *json_at(const json_t *o, const char *path);
json_t *json_get(const json_t *o, struct str key);
/* Text at path, or def ("" for NULL def) where there is none. Borrowed from the tree. */
const char *json_text(const json_t *o, const char *path, const char *def);
struct str json_strv(const json_t *v); /* STR_NONE if not a string */
int64_t json_int(const json_t *o, const char *path, int64_t def);
bool json_bool(const json_t *o, const char *path, bool def);
/* Sets (steals v) at path, creating objects on the way; replaces what has another type. */
void json_put(json_t *o, const char *path, json_t *v);
/* printf into a new string value. */
__attribute__((format(printf, 1, 2))) json_t *json_fmt(const char *fmt, ...);
json_t *json_str_new(struct str s); /* invalid UTF-8 is replaced by U+FFFD */
/* Object member or empty: an object/array for iteration even where path is missing. */
#define json_members(o, key, val) json_object_foreach ((json_t *)(o), key, val)

/* RFC 7386 merge patch: returns a new tree. */
json_t *json_merge_patch(const json_t *target, const json_t *patch);
/* The merge patch that turns a into b (new; an empty object when equal). */
json_t *json_merge_diff(const json_t *a, const json_t *b);

#endif
