/* SPDX-License-Identifier: Apache-2.0
 *
 * What a trigger knows beside its metadata (keda.md 6): the parameters of its TriggerAuthentication
 * or ClusterTriggerAuthentication, and the environment of the scale target's container for keys
 * that end in FromEnv.
 *
 * Values are secrets. They are held here and by who sends them, wiped when they go, and stand in no
 * text: what cannot be found is told by the names of parameter, object and key only, and
 * auth_scrub takes out what a peer echoes. */
#ifndef FB_TRIGGERS_AUTH_H
#define FB_TRIGGERS_AUTH_H

#include "base/table.h"
#include "kube/cluster.h"

/* What a value came from, or would come from if it was there. */
struct auth_source {
    enum kind_id kind;
    char *ns, *name;
};

struct auth {
    struct table params; /* parameter -> char *, trimmed, never empty */
    struct table env;    /* of the container; not trimmed */
    struct buf missing;  /* "secret 'a' has no key 'b'; ...": why parameters are absent */
    char *pod_identity;  /* provider; NULL: none */
    int64_t expires_ms;  /* wall: resolve again before; 0: never */
    uint64_t digest;     /* of params and env: equal where these are */
    struct auth_source *sources;
    size_t n_sources, sources_cap;
};

/* A token of a ServiceAccount: fills token and its end. ERR_UNAVAILABLE: not there yet. */
struct auth_tokens {
    int (*issue)(void *ctx, struct str ns, struct str account, struct buf *token,
                 int64_t *ret_expires_ms, struct err *err);
    void *ctx;
};

struct auth_options {
    struct cluster *cluster;
    struct str ns;              /* of the ScaledObject */
    const json_t *trigger;      /* element of spec.triggers */
    const json_t *scale_target; /* spec.scaleTargetRef; may be NULL */
    struct str cluster_ns;      /* where Cluster kinds look for Secrets and ConfigMaps */
    const char *file_root;      /* of filePath; NULL: refused */
    struct auth_tokens tokens;
};

/* Whether there is anything to resolve for that trigger. */
bool auth_is_needed(const json_t *trigger);
/* Fills ret, which is empty. What is missing is left out and noted, as in KEDA; negative where KEDA
 * builds no scaler: a file that cannot be read, an environment that cannot be made, a source of
 * secrets that does not exist here. ret is to be ended in any case, and has its sources in any
 * case. */
int auth_resolve(const struct auth_options *o, struct auth *ret, struct err *err);
void auth_done(struct auth *a);

/* NULL: absent. Borrowed from a. */
const char *auth_param(const struct auth *a, const char *name);
void auth_set_param(struct auth *a, const char *name, struct str value);
/* Replaces every secret of at least four characters in text (NUL-terminated) by "***"; parameters
 * that are none, such as username, stay. */
void auth_scrub(const struct auth *a, char *text);
bool auth_depends_on(const struct auth *a, enum kind_id kind, struct str ns, struct str name);

/* auth_env.c: the environment of a container as KEDA sees it: envFrom with prefix, then env with
 * $(VAR); fieldRef and resourceFieldRef are left out. container empty: the first. */
struct auth_env_options {
    struct cluster *cluster;
    struct str ns;
    const json_t *scale_target;
    const char *container;
};
int auth_env(const struct auth_env_options *o, struct auth *a, struct table *ret, struct err *err);
/* A key of a Secret (decoded) or ConfigMap, and the object as a source of a. False: not there, and
 * why in a->missing if told is set. */
bool auth_object_value(struct cluster *c, struct auth *a, enum kind_id kind, struct str ns,
                       const char *name, const char *key, bool told, struct buf *out);
void auth_table_set(struct table *t, struct str name, struct str value);
void auth_table_done(struct table *t);
void auth_add_source(struct auth *a, enum kind_id kind, struct str ns, struct str name);

#endif
