/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/cells.h"

#include "base/clock.h"
#include "kube/selector.h"

void cell_add_age(struct buf *out, const char *time, int64_t now_ms)
{
    char text[32];
    int64_t t;

    buf_add_cstr(out, time && time_parse(str_of(time), &t) ? duration_human(now_ms - t, text)
                                                           : "<unknown>");
}

void cell_age(struct buf *out, const json_t *o, int64_t now_ms)
{
    cell_add_age(out, json_text(o, "metadata.creationTimestamp", NULL), now_ms);
}

void cell_add_text(struct buf *out, const char *text)
{
    buf_add_cstr(out, text && *text ? text : "<none>");
}

void cell_none(struct buf *out, const json_t *o, int64_t now_ms)
{
    buf_add_cstr(out, "<none>");
}

void cell_add_int(struct buf *out, const json_t *o, const char *path)
{
    buf_add_i64(out, json_int(o, path, 0));
}

void cell_add_selector(struct buf *out, const json_t *tree, bool plain)
{
    struct selector *s = NULL;

    if (json_object_size(tree) == 0 || selector_from_json(tree, plain, &s, NULL) < 0) {
        buf_add_cstr(out, "<none>");
        return;
    }
    selector_text(s, out);
    selector_free(s);
}

bool cell_is_true(const json_t *o, const char *condition)
{
    const json_t *list = json_at(o, "status.conditions"), *c;
    size_t i;

    json_array_foreach ((json_t *)list, i, c) {
        if (strcmp(json_text(c, "type", ""), condition) == 0)
            return strcmp(json_text(c, "status", ""), "True") == 0;
    }
    return false;
}
