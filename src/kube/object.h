/* SPDX-License-Identifier: Apache-2.0
 *
 * A stored object: one immutable, reference-counted block of its canonical JSON bytes (apiVersion,
 * kind and all of metadata included) and a decoded header. Lists and watches splice the bytes; who
 * needs a field that the header has not decodes a tree for one pass (object_tree) and drops it.
 * Nothing ever changes a published object. */
#ifndef FB_KUBE_OBJECT_H
#define FB_KUBE_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "codec/json.h"

struct kind;

struct object_pair {
    struct str key, value;
};

struct object_owner {
    struct str api_version, kind, name, uid;
    bool controller, block_deletion;
};

struct object {
    unsigned refs;
    const struct kind *kind;
    struct str json;    /* canonical bytes; all strs below point into this block */
    struct str status;  /* those of the member status; empty: there is none */
    struct str version; /* those of metadata.resourceVersion, with quotes; empty: none */
    struct str ns;      /* empty for cluster-scoped kinds */
    struct str name, uid;
    uint64_t rv;         /* resourceVersion: increases over all objects of one store */
    int64_t generation;  /* 0: the kind has none */
    int64_t created_ms;  /* wall */
    int64_t deleting_ms; /* deletionTimestamp, wall; 0: not being deleted */
    bool has_finalizers;
    size_t n_labels, n_owners;
    struct object_pair *labels; /* sorted by key */
    struct object_owner *owners;
};

/* A new object (one reference) from a tree; the tree stays the caller's. The tree must carry
 * metadata.name; resourceVersion is read from metadata. ERR_BAD_INPUT on a wrong shape. */
int object_new(const struct kind *kind, const json_t *tree, struct object **ret, struct err *err);
/* From its own canonical bytes (a store that starts): the same, parsed. */
int object_from_json(const struct kind *kind, struct str json, struct object **ret,
                     struct err *err);
/* A new object that is o, which has a resourceVersion, but for the status (canonical bytes of an
 * object) and the resourceVersion: what is written most often is not decoded. ERR_LIMIT. */
int object_with_status(const struct object *o, struct str status, uint64_t rv, struct object **ret,
                       struct err *err);
/* Whether a and b differ at most in status and resourceVersion. */
bool object_is_same_but_status(const struct object *a, const struct object *b);
struct object *object_ref(const struct object *o); /* NULL gives NULL */
/* Frees with the last reference; NULL is fine; returns NULL. */
struct object *object_unref(const struct object *o);
/* A new tree of the whole object, for json_decref; the caller may change it. */
json_t *object_tree(const struct object *o);
/* A new tree of the status alone; NULL: there is none. */
json_t *object_status(const struct object *o);
/* Whether its status is this one: as a tree, and as canonical bytes in some order of members. */
bool object_has_status(const struct object *o, struct str bytes, const json_t *status);

struct str object_label(const struct object *o, const char *key); /* STR_NONE: absent */
/* The owner reference with controller: true, or NULL. */
const struct object_owner *object_controller(const struct object *o);
bool object_is_owned_by(const struct object *o, struct str uid);

/* Name -> object key text "ns/name" (or "name"), in out. */
#define OBJECT_KEY_MAX 330
const char *object_key(struct str ns, struct str name, char out[OBJECT_KEY_MAX]);

#endif
