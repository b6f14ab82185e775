/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/schema.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "codec/quantity.h"

static int by_name(const void *key, const void *type)
{
    return strcmp(key, ((const struct schema_type *)type)->name);
}

const struct schema_type *schema_type(const char *name)
{
    return bsearch(name, schema_types, schema_types_n, sizeof(schema_types[0]), by_name);
}

const struct schema_type *schema_of(const struct kind *k)
{
    char name[160];
    const char *group = k->group[0] ? k->group : "core";

    /* a group's first label names its Go package: "serving.kserve.io" is serving.v1beta1 */
    snprintf(name, sizeof(name), "%.*s.%s.%s", (int)strcspn(group, "."), group, k->version,
             k->kind);
    return schema_type(name);
}

const struct schema_field *schema_field(const struct schema_type *t, struct str name)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct schema_field *f = &schema_fields[t->first + i];

        if (!*f->name)
            f = schema_field(&schema_types[f->message], name);
        else if (!str_is(name, f->name))
            f = NULL;
        if (f)
            return f;
    }
    return NULL;
}

/* --- suggestions --- */

#define NAME_MAX_LEN 64

/* Edits (insert, delete, replace) between two names, letter case ignored. */
static size_t distance(struct str a, struct str b)
{
    size_t row[NAME_MAX_LEN + 1];

    if (a.n > NAME_MAX_LEN || b.n > NAME_MAX_LEN)
        return NAME_MAX_LEN;
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t best = diagonal + ((a.p[i - 1] | 32) != (b.p[j - 1] | 32));

            diagonal = row[j];
            best = best < row[j] + 1 ? best : row[j] + 1;
            row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
        }
    }
    return row[b.n];
}

static void suggest(const struct schema_type *t, struct str name, const char **best, size_t *least)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct schema_field *f = &schema_fields[t->first + i];
        size_t d;

        if (!*f->name) {
            suggest(&schema_types[f->message], name, best, least);
        } else if ((d = distance(name, str_of(f->name))) < *least) {
            *least = d;
            *best = f->name;
        }
    }
}

const char *schema_suggest(const struct schema_type *t, struct str name)
{
    const char *best = NULL;
    size_t least = name.n / 3 + 1; /* a third of the letters may be wrong */

    suggest(t, name, &best, &least);
    return best;
}

/* --- decoding: unknown fields --- */

/* A path that grows and shrinks with the walk. */
struct walk {
    struct buf path;
    struct buf *unknown;
    struct field_errors *errors;
    bool is_custom;
};

static size_t enter(struct walk *w, const char *name)
{
    size_t mark = w->path.n;

    buf_printf(&w->path, "%s%s", mark ? "." : "", name);
    return mark;
}

static size_t enter_index(struct walk *w, size_t i)
{
    size_t mark = w->path.n;

    buf_printf(&w->path, "[%zu]", i);
    return mark;
}

static void leave(struct walk *w, size_t mark)
{
    w->path.n = mark;
    if (w->path.p)
        w->path.p[mark] = '\0';
}

static void note_unknown(struct walk *w, const struct schema_type *t, const char *key)
{
    const char *meant = schema_suggest(t, str_of(key));
    size_t mark = enter(w, key);

    buf_printf(w->unknown, "unknown field \"%s\"", buf_cstr(&w->path));
    if (meant)
        buf_printf(w->unknown, " (did you mean \"%s\"?)", meant);
    buf_add_char(w->unknown, '\n');
    leave(w, mark);
}

static void prune_object(struct walk *w, const struct schema_type *t, json_t *o, bool is_root);

static void prune_field(struct walk *w, const struct schema_field *f, json_t *v)
{
    const struct schema_type *t = &schema_types[f->message];
    json_t *item;
    const char *key;
    size_t i;

    if (f->kind != SCHEMA_MESSAGE)
        return;
    if (f->card == SCHEMA_LIST) {
        json_array_foreach (v, i, item) {
            size_t mark = enter_index(w, i);

            prune_object(w, t, item, false);
            leave(w, mark);
        }
    } else if (f->card == SCHEMA_MAP) {
        json_object_foreach (v, key, item) {
            size_t mark = enter(w, key);

            prune_object(w, t, item, false);
            leave(w, mark);
        }
    } else {
        prune_object(w, t, v, false);
    }
}

static bool is_type_meta(const char *key)
{
    return strcmp(key, "apiVersion") == 0 || strcmp(key, "kind") == 0;
}

static void prune_object(struct walk *w, const struct schema_type *t, json_t *o, bool is_root)
{
    json_t *v;
    const char *key;
    void *next;

    json_object_foreach_safe(o, next, key, v)
    {
        const struct schema_field *f = schema_field(t, str_of(key));

        if (f) {
            size_t mark = enter(w, key);

            prune_field(w, f, v);
            leave(w, mark);
        } else if (!is_root || !is_type_meta(key)) {
            note_unknown(w, t, key);
            json_object_del(o, key);
        }
    }
}

void schema_prune(const struct kind *k, json_t *o, struct buf *unknown)
{
    const struct schema_type *t = schema_of(k);
    struct walk w = {.unknown = unknown};

    if (t)
        prune_object(&w, t, o, true);
    buf_done(&w.path);
}

/* --- types and rules --- */

static const char *json_type_name(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
        return "integer";
    case JSON_REAL:
        return "number";
    case JSON_NULL:
        return "null";
    default:
        return "boolean";
    }
}

static void wrong_type(struct walk *w, const char *want, const json_t *v)
{
    field_error(w->errors, "FieldValueTypeInvalid", buf_cstr(&w->path),
                "Invalid value: \"%s\": %s in body must be of type %s: \"%s\"%s", json_type_name(v),
                buf_cstr(&w->path), want, json_type_name(v),
                strcmp(want, "string") == 0 && !json_is_object(v) && !json_is_array(v)
                    ? " (put the value in quotes)"
                    : "");
}

static void check_allowed(struct walk *w, const struct schema_field *f, const char *v)
{
    struct str rest = str_of(f->allowed), one;
    struct buf list = BUF_INIT;

    while (str_split(&rest, '|', &one)) {
        if (str_is(one, v)) {
            buf_done(&list);
            return;
        }
        buf_printf(&list, "%s\"%.*s\"", list.n ? ", " : "", STR_ARG(one));
    }
    field_error(w->errors, "FieldValueNotSupported", buf_cstr(&w->path),
                "Unsupported value: \"%s\": supported values: %s", v, buf_cstr(&list));
    buf_done(&list);
}

static void check_bounds(struct walk *w, const struct schema_field *f, int64_t v)
{
    const char *path = buf_cstr(&w->path);

    if (f->kind == SCHEMA_INT32 && (v < INT32_MIN || v > INT32_MAX))
        field_error(w->errors, "FieldValueInvalid", path,
                    "Invalid value: %lld: %s in body must be of type int32", (long long)v, path);
    else if (v < f->min)
        field_error(w->errors, "FieldValueInvalid", path,
                    "Invalid value: %lld: %s in body should be greater than or equal to %lld",
                    (long long)v, path, (long long)f->min);
    else if (v > f->max)
        field_error(w->errors, "FieldValueInvalid", path,
                    "Invalid value: %lld: %s in body should be less than or equal to %lld",
                    (long long)v, path, (long long)f->max);
}

static void check_quantity(struct walk *w, const json_t *v)
{
    struct quantity q;

    if (json_is_integer(v))
        return;
    if (!json_is_string(v))
        wrong_type(w, "integer or string", v);
    else if (quantity_parse(json_strv(v), &q, NULL) < 0)
        field_error(w->errors, "FieldValueInvalid", buf_cstr(&w->path),
                    "Invalid value: \"%s\": %s in body should match "
                    "'^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|"
                    "([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$'",
                    json_string_value(v), buf_cstr(&w->path));
}

static void check_text(struct walk *w, const struct schema_field *f, const json_t *v)
{
    if (!json_is_string(v)) {
        wrong_type(w, "string", v);
        return;
    }
    if (json_string_length(v) < f->min_length)
        field_error(w->errors, "FieldValueInvalid", buf_cstr(&w->path),
                    "Invalid value: \"%s\": %s in body should be at least %u chars long",
                    json_string_value(v), buf_cstr(&w->path), f->min_length);
    else if (f->allowed)
        check_allowed(w, f, json_string_value(v));
}

static void check_object(struct walk *w, const struct schema_type *t, const json_t *o);

static void check_value(struct walk *w, const struct schema_field *f, const json_t *v)
{
    switch (f->kind) {
    case SCHEMA_MESSAGE:
        check_object(w, &schema_types[f->message], v);
        break;
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        check_text(w, f, v);
        break;
    case SCHEMA_BOOL:
        if (!json_is_boolean(v))
            wrong_type(w, "boolean", v);
        break;
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        if (!json_is_integer(v))
            wrong_type(w, "integer", v);
        else
            check_bounds(w, f, json_integer_value(v));
        break;
    case SCHEMA_DOUBLE:
        if (!json_is_number(v))
            wrong_type(w, "number", v);
        break;
    case SCHEMA_QUANTITY:
        check_quantity(w, v);
        break;
    case SCHEMA_INT_OR_STRING:
        if (!json_is_integer(v) && !json_is_string(v))
            wrong_type(w, "integer or string", v);
        break;
    default:
        break;
    }
}

static void check_list(struct walk *w, const struct schema_field *f, const json_t *list)
{
    const json_t *v;
    size_t i;

    if (!json_is_array(list)) {
        wrong_type(w, "array", list);
        return;
    }
    if (json_array_size(list) < f->min_length)
        field_error(w->errors, "FieldValueInvalid", buf_cstr(&w->path),
                    "Invalid value: %zu: %s in body should have at least %u items",
                    json_array_size(list), buf_cstr(&w->path), f->min_length);
    json_array_foreach ((json_t *)list, i, v) {
        size_t mark = enter_index(w, i);

        check_value(w, f, v);
        leave(w, mark);
    }
}

static void check_map(struct walk *w, const struct schema_field *f, const json_t *map)
{
    const json_t *v;
    const char *key;

    if (!json_is_object(map)) {
        wrong_type(w, "object", map);
        return;
    }
    json_members (map, key, v) {
        size_t mark = enter(w, key);

        /* a null in a map of Go strings is the empty string, in a CRD's schema an error */
        if (w->is_custom || !json_is_null(v))
            check_value(w, f, v);
        leave(w, mark);
    }
}

static void check_required(struct walk *w, const struct schema_type *t, const json_t *o)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct schema_field *f = &schema_fields[t->first + i];
        const json_t *v;
        size_t mark;

        if (!*f->name) {
            check_required(w, &schema_types[f->message], o);
            continue;
        }
        v = json_object_get(o, f->name);
        if (!f->required || (v && !json_is_null(v)))
            continue;
        mark = enter(w, f->name);
        field_error(w->errors, "FieldValueRequired", buf_cstr(&w->path), "Required value");
        leave(w, mark);
    }
}

static void check_object(struct walk *w, const struct schema_type *t, const json_t *o)
{
    const json_t *v;
    const char *key;

    if (!json_is_object(o)) {
        wrong_type(w, "object", o);
        return;
    }
    check_required(w, t, o);
    json_members (o, key, v) {
        const struct schema_field *f = schema_field(t, str_of(key));
        size_t mark;

        if (!f || json_is_null(v)) /* null is absent, for Go and for nullable-pruning CRDs */
            continue;
        mark = enter(w, key);
        if (f->card == SCHEMA_LIST)
            check_list(w, f, v);
        else if (f->card == SCHEMA_MAP)
            check_map(w, f, v);
        else
            check_value(w, f, v);
        leave(w, mark);
    }
}

void schema_validate(const struct kind *k, const json_t *o, struct field_errors *e)
{
    const struct schema_type *t = schema_of(k);
    struct walk w = {.errors = e, .is_custom = k->is_custom};

    if (t)
        check_object(&w, t, o);
    buf_done(&w.path);
}
