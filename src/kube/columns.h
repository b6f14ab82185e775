/* SPDX-License-Identifier: Apache-2.0
 *
 * Table answers (kube-api.md 9): a column is a name, a type, a priority and either a jsonPath
 * (custom kinds) or a cell function (built-in ones). */
#ifndef FB_KUBE_COLUMNS_H
#define FB_KUBE_COLUMNS_H

#include "kube/kind.h"
#include "kube/object.h"

struct column {
    const char *name;
    const char *type; /* "string", "integer", "number", "boolean", "date"; NULL: string */
    const char
        *path; /* jsonPath subset: .a.b[*].c, [?(@.type=='X')], [?(@.x==true)]; first result */
    void (*cell)(struct buf *out, const json_t *obj,
                 int64_t now_ms); /* appends the text of the cell */
    bool wide;                    /* only with -o wide */
};

/* Appends "columnDefinitions":[...]. */
void columns_definitions(struct buf *out, const struct kind *k);
/* Appends one row {"cells":[...],"object":...}. include: 'N'one, 'M'etadata or 'O'bject. */
void columns_row(struct buf *out, const struct object *o, int64_t now_ms, char include);
/* Age texts: "5m3s" (kube-api.md 9); returns out. */
const char *duration_human(int64_t ms, char out[32]);
/* First result of a jsonPath of the subset above, borrowed, or NULL. */
const json_t *jsonpath_first(const json_t *o, const char *path);

extern const struct column namespace_columns[], node_columns[], pod_columns[], service_columns[],
    endpoints_columns[], secret_columns[], configmap_columns[], event_columns[],
    serviceaccount_columns[], limitrange_columns[], deployment_columns[], replicaset_columns[],
    statefulset_columns[], controllerrevision_columns[], hpa_columns[], ingress_columns[],
    lease_columns[], endpointslice_columns[], crd_columns[], inferenceservice_columns[],
    runtime_columns[], scaledobject_columns[], scaledobject_columns_new[], triggerauth_columns[],
    clustertriggerauth_columns[], collector_columns[];

#endif
