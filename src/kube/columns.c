/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/columns.h"

#include <stdio.h>

#include "base/clock.h"

const char *duration_human(int64_t ms, char out[32])
{
    int64_t s = ms / 1000, m = s / 60, h = m / 60, d = h / 24;

    if (ms <= -2000)
        snprintf(out, 32, "<invalid>");
    else if (ms < 0)
        snprintf(out, 32, "0s");
    else if (s < 120)
        snprintf(out, 32, "%llds", (long long)s);
    else if (m < 10)
        snprintf(out, 32, s % 60 ? "%lldm%llds" : "%lldm", (long long)m, (long long)(s % 60));
    else if (m < 180)
        snprintf(out, 32, "%lldm", (long long)m);
    else if (h < 8)
        snprintf(out, 32, m % 60 ? "%lldh%lldm" : "%lldh", (long long)h, (long long)(m % 60));
    else if (h < 48)
        snprintf(out, 32, "%lldh", (long long)h);
    else if (d < 8)
        snprintf(out, 32, h % 24 ? "%lldd%lldh" : "%lldd", (long long)d, (long long)(h % 24));
    else if (d < 2 * 365)
        snprintf(out, 32, "%lldd", (long long)d);
    else if (d < 8 * 365)
        snprintf(out, 32, d % 365 ? "%lldy%lldd" : "%lldy", (long long)(d / 365),
                 (long long)(d % 365));
    else
        snprintf(out, 32, "%lldy", (long long)(d / 365));
    return out;
}

/* --- jsonPath --- */

/* "@.key=='text'" or "@.key==true", with either quote. */
static bool filter_matches(const json_t *item, struct str f)
{
    ptrdiff_t eq = str_find(f, STR("=="));
    struct str key, want;
    const json_t *v;

    if (eq < 3 || !str_starts(f, STR("@.")))
        return false;
    key = (struct str){f.p + 2, (size_t)eq - 2};
    want = str_skip(f, (size_t)eq + 2);
    v = json_get(item, key);
    if (want.n >= 2 && (want.p[0] == '\'' || want.p[0] == '"'))
        return json_is_string(v) && str_eq(json_strv(v), (struct str){want.p + 1, want.n - 2});
    return json_is_boolean(v) && str_is(want, json_is_true(v) ? "true" : "false");
}

static const json_t *walk(const json_t *o, struct str path)
{
    while (o && path.n) {
        if (path.p[0] == '.') {
            size_t n = 1;

            while (n < path.n && path.p[n] != '.' && path.p[n] != '[')
                n++;
            o = json_get(o, (struct str){path.p + 1, n - 1});
            path = str_skip(path, n);
        } else { /* [*] or [?(...)] */
            ptrdiff_t end = str_chr(path, ']');
            struct str in = {path.p + 1, (size_t)end - 1}, rest;
            size_t i;
            const json_t *item;

            if (end < 0)
                return NULL;
            rest = str_skip(path, (size_t)end + 1);
            json_array_foreach ((json_t *)o, i, item) {
                const json_t *found;

                if (in.n > 3 && in.p[0] == '?' &&
                    !filter_matches(item, (struct str){in.p + 2, in.n - 3}))
                    continue;
                found = walk(item, rest);
                if (found)
                    return found;
            }
            return NULL;
        }
    }
    return o;
}

const json_t *jsonpath_first(const json_t *o, const char *path)
{
    return walk(o, str_of(path));
}

/* --- rows --- */

static const struct column name_and_age[] = {
    {"Name", .path = ".metadata.name"}, {"Age", "date", ".metadata.creationTimestamp"}, {0}};

static const struct column *columns_of(const struct kind *k)
{
    return k->columns ? k->columns : name_and_age;
}

void columns_definitions(struct buf *out, const struct kind *k)
{
    const struct column *first = columns_of(k);

    buf_add_cstr(out, "\"columnDefinitions\":[");
    for (const struct column *c = first; c->name; c++) {
        /* a date is shown as an age, which is text */
        const char *type =
            c->type && !(c->cell && strcmp(c->type, "date") == 0) ? c->type : "string";

        buf_printf(out,
                   "%s{\"name\":\"%s\",\"type\":\"%s\",\"format\":\"%s\",\"description\":\"\","
                   "\"priority\":%d}",
                   c == first ? "" : ",", c->name, type, c == first ? "name" : "", c->wide);
    }
    buf_add_char(out, ']');
}

static void path_cell(struct buf *out, const struct column *c, const json_t *obj, int64_t now_ms)
{
    const json_t *v = jsonpath_first(obj, c->path);
    const char *type = c->type ? c->type : "string";
    char age[32];
    int64_t t;

    if (!v || json_is_null(v)) {
        buf_add_cstr(out, "null");
    } else if (strcmp(type, "date") == 0) {
        buf_printf(out, "\"%s\"",
                   time_parse(json_strv(v), &t) ? duration_human(now_ms - t, age) : "<unknown>");
    } else if (strcmp(type, "string") == 0) {
        struct buf text = BUF_INIT;

        if (json_is_string(v)) {
            json_write_str(out, json_strv(v));
        } else {
            json_write(&text, v);
            json_write_str(out, buf_str(&text));
        }
        buf_done(&text);
    } else if ((strcmp(type, "integer") == 0 && json_is_integer(v)) || json_is_number(v) ||
               (strcmp(type, "boolean") == 0 && json_is_boolean(v))) {
        json_write(out, v);
    } else {
        buf_add_cstr(out, "null");
    }
}

static void write_cell(struct buf *out, const struct column *c, const json_t *obj, int64_t now_ms)
{
    struct buf text = BUF_INIT;

    if (!c->cell) {
        path_cell(out, c, obj, now_ms);
        return;
    }
    c->cell(&text, obj, now_ms);
    if (c->type && strcmp(c->type, "integer") == 0)
        buf_add_str(out, text.n ? buf_str(&text) : STR("null"));
    else
        json_write_str(out, buf_str(&text));
    buf_done(&text);
}

void columns_row(struct buf *out, const struct object *o, int64_t now_ms, char include)
{
    AUTO_JSON json_t *tree = object_tree(o);

    buf_add_cstr(out, "{\"cells\":[");
    for (const struct column *c = columns_of(o->kind); c->name; c++) {
        if (c != columns_of(o->kind))
            buf_add_char(out, ',');
        write_cell(out, c, tree, now_ms);
    }
    buf_add_char(out, ']');
    if (include == 'O') {
        buf_add_cstr(out, ",\"object\":");
        buf_add_str(out, o->json);
    } else if (include == 'M') {
        buf_add_cstr(
            out,
            ",\"object\":{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\","
            "\"metadata\":");
        json_write(out, json_object_get(tree, "metadata"));
        buf_add_char(out, '}');
    }
    buf_add_char(out, '}');
}
