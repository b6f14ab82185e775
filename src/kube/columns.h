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
    const char *type;   /* "string", "integer", "number", "boolean", "date" */
    const char *format; /* "name" for the first column, else "" */
    int priority;       /* 1: only with -o wide */
    const char
        *path; /* jsonPath subset: .a.b[*].c, [?(@.type=='X')], [?(@.x==true)]; first result */
    void (*cell)(struct buf *out, const json_t *obj, int64_t now_ms); /* writes one JSON value */
};

/* Appends "columnDefinitions":[...]. */
void columns_definitions(struct buf *out, const struct kind *k);
/* Appends one row {"cells":[...],"object":...}. include: 'N'one, 'M'etadata or 'O'bject. */
void columns_row(struct buf *out, const struct object *o, int64_t now_ms, char include);
/* Age texts: "5m3s" (kube-api.md 9); returns out. */
const char *duration_human(int64_t ms, char out[32]);

#endif
