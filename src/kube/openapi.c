/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/openapi.h"

#include "kube/schema.h"

/* Numbers of gnostic's openapi_v2.proto. */
enum {
    DOCUMENT_VERSION = 1,
    DOCUMENT_INFO = 2,
    DOCUMENT_PATHS = 8,
    DOCUMENT_DEFINITIONS = 9,
    PATHS_PATH = 2,
    PATH_PATCH = 8,
    OPERATION_PARAMETERS = 8,
    OPERATION_EXTENSION = 13,
    DEF_REF = 1,
    DEF_FORMAT = 2,
    DEF_DESCRIPTION = 4,
    DEF_REQUIRED = 19,
    DEF_ADDITIONAL = 21,
    DEF_TYPE = 22,
    DEF_ITEMS = 23,
    DEF_PROPERTIES = 25,
    DEF_EXTENSION = 31,
};

static void add_varint(struct buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        buf_add_char(b, (char)(v | 0x80));
    buf_add_char(b, (char)v);
}

static void add(struct buf *b, unsigned number, struct str bytes)
{
    add_varint(b, (uint64_t)number << 3 | 2);
    add_varint(b, bytes.n);
    buf_add_str(b, bytes);
}

/* Adds inner as a field, and empties it. */
static void add_message(struct buf *b, unsigned number, struct buf *inner)
{
    add(b, number, buf_str(inner));
    buf_done(inner);
}

/* {1: name, 2: value}: a named path, schema or extension. */
static void add_named(struct buf *b, unsigned number, struct str name, struct buf *value)
{
    struct buf named = BUF_INIT;

    add(&named, 1, name);
    add_message(&named, 2, value);
    add_message(b, number, &named);
}

static void add_extension(struct buf *b, unsigned number, const char *name, struct str yaml)
{
    struct buf any = BUF_INIT;

    add(&any, 2, yaml);
    add_named(b, number, str_of(name), &any);
}

/* --- paths --- */

/* {1:{2:{3:{4:name}}}}: a query parameter without a body. */
static void add_param(struct buf *operation, const char *name)
{
    struct buf query = BUF_INIT, other = BUF_INIT, parameter = BUF_INIT, item = BUF_INIT;

    add(&query, 4, str_of(name));
    add_message(&other, 3, &query);
    add_message(&parameter, 2, &other);
    add_message(&item, 1, &parameter);
    add_message(operation, OPERATION_PARAMETERS, &item);
}

static void add_path(struct buf *paths, const struct kind *k)
{
    struct buf op = BUF_INIT, gvk = BUF_INIT, item = BUF_INIT, path = BUF_INIT;

    add_param(&op, "dryRun");
    add_param(&op, "fieldValidation");
    buf_printf(&gvk, "group: \"%s\"\nkind: %s\nversion: %s\n", k->group, k->kind, k->version);
    add_extension(&op, OPERATION_EXTENSION, "x-kubernetes-group-version-kind", buf_str(&gvk));
    add_message(&item, PATH_PATCH, &op);
    buf_printf(&path, "%s%s/%s%s/%s/{name}", k->group[0] ? "/apis/" : "/api", k->group, k->version,
               k->namespaced ? "/namespaces/{namespace}" : "", k->plural);
    add_named(paths, PATHS_PATH, buf_str(&path), &item);
    buf_done(&gvk);
    buf_done(&path);
}

/* --- definitions --- */

static void add_type(struct buf *schema, const char *type, const char *format)
{
    struct buf item = BUF_INIT;

    if (format)
        add(schema, DEF_FORMAT, str_of(format));
    add(&item, 1, str_of(type));
    add_message(schema, DEF_TYPE, &item);
}

/* The schema of one value, whatever the field's cardinality. */
static void add_value(struct buf *schema, const struct schema_field *f)
{
    struct buf ref = BUF_INIT, item = BUF_INIT;

    switch (f->kind) {
    case SCHEMA_MESSAGE:
        buf_printf(&ref, "#/definitions/%s", schema_types[f->message].name);
        add(schema, DEF_REF, buf_str(&ref));
        buf_done(&ref);
        break;
    case SCHEMA_BOOL:
        add_type(schema, "boolean", NULL);
        break;
    case SCHEMA_INT32:
        add_type(schema, "integer", "int32");
        break;
    case SCHEMA_INT64:
        add_type(schema, "integer", "int64");
        break;
    case SCHEMA_DOUBLE:
        add_type(schema, "number", "double");
        break;
    case SCHEMA_ANY:
    case SCHEMA_RAW:
        add_type(schema, "object", NULL);
        break;
    case SCHEMA_INT_OR_STRING:
        add_type(schema, "string", "int-or-string");
        break;
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        add_type(schema, "string", "date-time");
        break;
    case SCHEMA_BYTES:
        add_type(schema, "string", "byte");
        break;
    case SCHEMA_STRINGS:
        add_type(&item, "string", NULL);
        add_message(&ref, 1, &item);
        add_type(schema, "array", NULL);
        add_message(schema, DEF_ITEMS, &ref);
        break;
    default:
        add_type(schema, "string", NULL);
        break;
    }
}

static void add_property(struct buf *properties, const struct schema_field *f)
{
    struct buf schema = BUF_INIT, value = BUF_INIT, wrapped = BUF_INIT;

    if (f->doc)
        add(&schema, DEF_DESCRIPTION, str_of(f->doc));
    if (f->card == SCHEMA_ONE) {
        add_value(&schema, f);
    } else {
        bool is_list = f->card == SCHEMA_LIST;

        add_value(&value, f);
        add_message(&wrapped, 1, &value); /* ItemsItem.schema, AdditionalPropertiesItem.schema */
        add_type(&schema, is_list ? "array" : "object", NULL);
        add_message(&schema, is_list ? DEF_ITEMS : DEF_ADDITIONAL, &wrapped);
    }
    /* kubectl apply computes its patch of a built-in kind from these */
    if (f->patch_strategy)
        add_extension(&schema, DEF_EXTENSION, "x-kubernetes-patch-strategy",
                      str_of(f->patch_strategy));
    if (f->patch_key)
        add_extension(&schema, DEF_EXTENSION, "x-kubernetes-patch-merge-key", str_of(f->patch_key));
    add_named(properties, 1, str_of(f->name), &schema);
}

/* Inline messages have no property of their own: theirs stand in the parent. A name that the parent
 * has already stays the parent's. */
static void add_fields(struct buf *properties, struct buf *schema, const struct schema_type *root,
                       const struct schema_type *t)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct schema_field *f = &schema_fields[t->first + i];

        if (!*f->name) {
            add_fields(properties, schema, root, &schema_types[f->message]);
        } else if (schema_field(root, str_of(f->name)) == f) {
            add_property(properties, f);
            if (f->required)
                add(schema, DEF_REQUIRED, str_of(f->name));
        }
    }
}

static void add_type_meta(struct buf *properties)
{
    static const struct schema_field fields[] = {
        {.name = "apiVersion", .kind = SCHEMA_STRING, .doc = "Group and version of the kind."},
        {.name = "kind", .kind = SCHEMA_STRING, .doc = "The kind."},
    };

    add_property(properties, &fields[0]);
    add_property(properties, &fields[1]);
}

static const struct kind *kind_with(const struct schema_type *t)
{
    for (int i = 0; i < KIND_COUNT; i++)
        if (schema_of(kind_of((enum kind_id)i)) == t)
            return kind_of((enum kind_id)i);
    return NULL;
}

static void add_definition(struct buf *definitions, const struct schema_type *t)
{
    const struct kind *k = kind_with(t);
    struct buf schema = BUF_INIT, properties = BUF_INIT, gvk = BUF_INIT;

    if (k)
        add_type_meta(&properties);
    add_fields(&properties, &schema, t, t);
    add_type(&schema, "object", NULL);
    add_message(&schema, DEF_PROPERTIES, &properties);
    if (k) {
        buf_printf(&gvk, "- group: \"%s\"\n  kind: %s\n  version: %s\n", k->group, k->kind,
                   k->version);
        add_extension(&schema, DEF_EXTENSION, "x-kubernetes-group-version-kind", buf_str(&gvk));
    }
    add_named(definitions, 1, str_of(t->name), &schema);
    buf_done(&gvk);
}

void openapi_v2(struct buf *out)
{
    struct buf info = BUF_INIT, paths = BUF_INIT, definitions = BUF_INIT;

    add(&info, 1, STR("flyball"));
    add(&info, 2, STR(FLYBALL_VERSION));
    for (int i = 0; i < KIND_COUNT; i++)
        add_path(&paths, kind_of((enum kind_id)i));
    for (size_t i = 0; i < schema_types_n; i++)
        add_definition(&definitions, &schema_types[i]);
    add(out, DOCUMENT_VERSION, STR("2.0"));
    add_message(out, DOCUMENT_INFO, &info);
    add_message(out, DOCUMENT_PATHS, &paths);
    add_message(out, DOCUMENT_DEFINITIONS, &definitions);
}
