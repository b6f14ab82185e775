/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of columns share (cells_*.c, by kind): built-in kinds have cell functions, custom
 * ones jsonPaths, as in the original (kube-api.md 9). */
#ifndef FB_KUBE_CELLS_H
#define FB_KUBE_CELLS_H

#include "kube/columns.h"

#define CELL(name) static void name(struct buf *out, const json_t *o, int64_t now_ms)
#define NAME_COLUMN                      \
    {                                    \
        "Name", .path = ".metadata.name" \
    }
#define AGE_COLUMN              \
    {                           \
        "Age", .cell = cell_age \
    }

/* Cells: the age of the object, and "<none>". */
void cell_age(struct buf *out, const json_t *o, int64_t now_ms);
void cell_none(struct buf *out, const json_t *o, int64_t now_ms);

/* Parts of cells. */
void cell_add_age(struct buf *out, const char *time, int64_t now_ms);
void cell_add_text(struct buf *out, const char *text); /* or "<none>" */
void cell_add_int(struct buf *out, const json_t *o, const char *path);
/* plain: of a Service, labels alone. */
void cell_add_selector(struct buf *out, const json_t *tree, bool plain);
bool cell_is_true(const json_t *o, const char *condition);

#endif
