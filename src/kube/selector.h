/* SPDX-License-Identifier: Apache-2.0
 *
 * Label and field selectors: parsed once, matched against an object's header (labels) or tree
 * (fields). */
#ifndef FB_KUBE_SELECTOR_H
#define FB_KUBE_SELECTOR_H

#include "kube/kind.h"
#include "kube/object.h"

struct selector;

/* "a=b,c in (x,y),!d" -> new selector. Empty text matches all. ERR_BAD_INPUT says where. */
int selector_parse(struct str text, struct selector **ret, struct err *err);
/* From {matchLabels, matchExpressions}, or (plain=true) a bare map as in Service.spec.selector.
 * NULL or null tree: matches nothing if plain, else nothing as well (an absent selector selects
 * nothing). */
int selector_from_json(const json_t *tree, bool plain, struct selector **ret, struct err *err);
void selector_free(struct selector *s);
bool selector_matches(const struct selector *s, const struct object *o); /* NULL s matches all */
bool selector_matches_labels(const struct selector *s, const json_t *labels); /* a label map */
/* Labels by a function: STR_NONE where there is none. */
bool selector_matches_by(const struct selector *s, struct str (*label)(void *arg, const char *key),
                         void *arg);
/* The text form, sorted as Kubernetes prints it ("app=web,x in (a,b)"). */
void selector_text(const struct selector *s, struct buf *out);

/* Field selectors: metadata.name, metadata.namespace and the fields kube-api.md 10 lists for the
 * kind. */
struct field_selector;
int field_selector_parse(const struct kind *k, struct str text, struct field_selector **ret,
                         struct err *err);
void field_selector_free(struct field_selector *s);
bool field_selector_matches(const struct field_selector *s, const struct object *o);
/* The name a selector pins ("metadata.name=x"), or STR_NONE: lets watches and lists look one up. */
struct str field_selector_name(const struct field_selector *s);

#endif
