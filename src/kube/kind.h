/* SPDX-License-Identifier: Apache-2.0
 *
 * Kinds as data: everything the API server, the store and the controllers know of a kind stands in
 * one table (kube/kinds.c): names, scope, subresources, printer columns, defaults, validation.
 * Adding a kind is adding a row. */
#ifndef FB_KUBE_KIND_H
#define FB_KUBE_KIND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"
#include "codec/json.h"

enum kind_id {
    KIND_NAMESPACE,
    KIND_NODE,
    KIND_POD,
    KIND_SERVICE,
    KIND_ENDPOINTS,
    KIND_SECRET,
    KIND_CONFIGMAP,
    KIND_EVENT,
    KIND_SERVICEACCOUNT,
    KIND_LIMITRANGE,
    KIND_DEPLOYMENT,
    KIND_REPLICASET,
    KIND_STATEFULSET,
    KIND_CONTROLLERREVISION,
    KIND_HPA,
    KIND_INGRESS,
    KIND_LEASE,
    KIND_ENDPOINTSLICE,
    KIND_CRD,
    KIND_INFERENCESERVICE,
    KIND_SERVINGRUNTIME,
    KIND_CLUSTERSERVINGRUNTIME,
    KIND_SCALEDOBJECT,
    KIND_TRIGGERAUTHENTICATION,
    KIND_CLUSTERTRIGGERAUTHENTICATION,
    KIND_OTELCOLLECTOR,
    KIND_COUNT
};

struct object;
struct column;       /* kube/columns.h */
struct field_errors; /* kube/validate.h */

/* One served version of a kind beside the stored one (HPA v1, v2beta2). NULL functions: same shape.
 */
struct kind_alias {
    const char *version;
    const char *group;                /* NULL: the kind's own (events.k8s.io is another group) */
    void (*from_stored)(json_t *obj); /* in place */
    void (*to_stored)(json_t *obj);
};

struct kind {
    enum kind_id id;
    const char *group;    /* "" for core */
    const char *version;  /* stored and preferred */
    const char *kind;     /* "Deployment" */
    const char *plural;   /* "deployments" */
    const char *singular; /* "deployment" */
    const char *short_names[4];
    bool namespaced;
    bool in_all;     /* category "all" */
    bool is_custom;  /* a CRD in the original: no strategic merge, items carry apiVersion */
    bool has_status; /* status subresource */
    bool has_generation;
    bool name_is_label;     /* names of at most 63 characters without dots */
    const char *scale_spec; /* path of replicas for the scale subresource, or NULL */
    const char *scale_status;
    const char *scale_selector;   /* path of a label selector object, or of a string */
    const struct column *columns; /* ends with a NULL name; NULL: Name and Age */
    /* Fills what the API server would (kube-api.md 7.4); in place; idempotent. May be NULL. */
    void (*defaults)(json_t *obj);
    /* was is NULL on create. Adds field errors; may be NULL. */
    void (*validate)(const json_t *obj, const json_t *was, struct field_errors *errors);
    const struct kind_alias *aliases; /* ends with a NULL version; may be NULL */
};

const struct kind *kind_of(enum kind_id id);
/* Other printer columns than the table's, for the whole program: before anything is served. */
void kind_set_columns(enum kind_id id, const struct column *columns);
/* By the path of a request: group "" is core. Matches aliases too (then *ret_alias is set, else
 * NULL). NULL if nothing is served there. */
const struct kind *kind_by_path(struct str group, struct str version, struct str plural,
                                const struct kind_alias **ret_alias);
/* By apiVersion ("apps/v1", "v1") and kind, aliases included. */
const struct kind *kind_by_type(struct str api_version, struct str kind,
                                const struct kind_alias **ret_alias);
/* "apps/v1" or "v1"; returns out. */
const char *kind_api_version(const struct kind *k, char out[96]);
/* "deployments.apps" or "pods" as error texts say it; returns out. */
const char *kind_resource(const struct kind *k, char out[128]);
/* "Deployment.apps" or "Pod". */
const char *kind_qualified(const struct kind *k, char out[128]);

#endif
