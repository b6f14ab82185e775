/* SPDX-License-Identifier: Apache-2.0
 *
 * What controllers that own children share: owner references, "make it so" for one child,
 * conditions. */
#ifndef FB_CONTROLLERS_CHILD_H
#define FB_CONTROLLERS_CHILD_H

#include "kube/reconciler.h"

/* A controlling, blocking reference to o. */
json_t *owner_reference(const struct object *o);
/* The name part that Kubernetes gives to what is made of a template: its decimal hash, each digit
 * mapped into the alphabet of names. collisions: how often that was taken already. */
void child_hash(const json_t *template, int64_t collisions, char out[16]);
/* Makes owner the controller of an object that has none. */
void adopt_child(struct pass *p, const struct object *owner, const struct object *child);
/* Creates want, or updates the stored child where `paths` (NULL-terminated) differ, keeping
 * everything else of it. Under a path members that want does not have stay (the API server's, other
 * people's), unless the path starts with '=': then nothing else may be there. want is borrowed.
 * Returns the stored child, or NULL while there is none. A child of that name that somebody else
 * controls is an error: *ret_foreign (may be NULL) is set and nothing is written. */
const struct object *ensure_child(struct pass *p, enum kind_id kind, json_t *want,
                                  const char *const *paths, bool *ret_foreign);
/* Deletes the child if it exists and uid controls it. */
void remove_child(struct pass *p, enum kind_id kind, struct str ns, struct str name,
                  struct str uid);
/* Sets conditions[type]; a change of status moves lastTransitionTime. extra (borrowed, may be NULL)
 * is merged in. True if anything but times changed. */
bool set_condition(json_t *conditions, const char *type, const char *status, const char *reason,
                   const char *message, int64_t now_ms, const char *time_key);
const json_t *find_condition(const json_t *object_or_list, const char *type);
/* A status to change, taken (NULL: there is none yet): an object with a list of conditions,
 * whatever it was; anybody who may write a status may write anything there. */
json_t *sound_status(json_t *status);
/* Writes the status if it differs from the stored one. */
void write_status(struct pass *p, const struct object *o, const json_t *status);

#endif
