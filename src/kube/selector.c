/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/selector.h"

#include <stdlib.h>

#include "base/mem.h"

enum op { OP_EQ, OP_NE, OP_IN, OP_NOT_IN, OP_EXISTS, OP_ABSENT, OP_GT, OP_LT };

struct term {
    char *key;
    enum op op;
    char **values; /* sorted for text */
    size_t n, cap;
};

struct selector {
    struct term *terms;
    size_t n, cap;
    bool matches_nothing;
};

static struct term *add_term(struct selector *s, struct str key, enum op op)
{
    mem_grow(&s->terms, &s->cap, s->n);
    s->terms[s->n] = (struct term){.key = str_dup(key), .op = op};
    return &s->terms[s->n++];
}

static void add_value(struct term *t, struct str v)
{
    mem_grow(&t->values, &t->cap, t->n);
    t->values[t->n++] = str_dup(v);
}

void selector_free(struct selector *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++) {
        free(s->terms[i].key);
        for (size_t k = 0; k < s->terms[i].n; k++)
            free(s->terms[i].values[k]);
        free(s->terms[i].values);
    }
    free(s->terms);
    free(s);
}

/* --- text --- */

struct scan {
    struct str all;
    size_t at;
};

static void blanks(struct scan *c)
{
    while (c->at < c->all.n && (c->all.p[c->at] == ' ' || c->all.p[c->at] == '\t'))
        c->at++;
}

static struct str word(struct scan *c)
{
    size_t from;

    blanks(c);
    from = c->at;
    while (c->at < c->all.n && !strchr(" \t,()=!<>", c->all.p[c->at]))
        c->at++;
    return (struct str){c->all.p + from, c->at - from};
}

static bool take(struct scan *c, const char *token)
{
    size_t n = strlen(token);

    blanks(c);
    if (c->all.n - c->at < n || memcmp(c->all.p + c->at, token, n) != 0)
        return false;
    c->at += n;
    return true;
}

static int set_values(struct scan *c, struct term *t, struct err *err)
{
    if (!take(c, "("))
        return err_set(err, ERR_BAD_INPUT, "'(' expected");
    do {
        add_value(t, word(c));
    } while (take(c, ","));
    return take(c, ")") ? 0 : err_set(err, ERR_BAD_INPUT, "')' expected");
}

static int parse_term(struct scan *c, struct selector *s, struct err *err)
{
    static const struct {
        const char *token;
        enum op op;
    } ops[] = {{"==", OP_EQ}, {"=", OP_EQ}, {"!=", OP_NE}, {">", OP_GT}, {"<", OP_LT}};
    bool absent = take(c, "!");
    struct str key = word(c), w;
    size_t at;

    if (key.n == 0)
        return err_set(err, ERR_BAD_INPUT, "a label key expected");
    blanks(c);
    if (absent || c->at == c->all.n || c->all.p[c->at] == ',') {
        add_term(s, key, absent ? OP_ABSENT : OP_EXISTS);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (!take(c, ops[i].token))
            continue;
        add_value(add_term(s, key, ops[i].op), word(c));
        return 0;
    }
    at = c->at;
    w = word(c);
    if (str_is(w, "in"))
        return set_values(c, add_term(s, key, OP_IN), err);
    if (str_is(w, "notin"))
        return set_values(c, add_term(s, key, OP_NOT_IN), err);
    c->at = at;
    return err_set(err, ERR_BAD_INPUT, "one of = == != in notin > < expected");
}

int selector_parse(struct str text, struct selector **ret, struct err *err)
{
    struct selector *s = mem_zalloc(sizeof(*s));
    struct scan c = {.all = text};
    bool more = false; /* a comma promises another term */
    int r = 0;

    blanks(&c);
    while (r == 0 && (more || c.at < text.n)) {
        r = parse_term(&c, s, err);
        more = take(&c, ",");
        if (r == 0 && c.at < text.n && !more)
            r = err_set(err, ERR_BAD_INPUT, "',' expected");
        blanks(&c);
    }
    if (r < 0) {
        selector_free(s);
        return err_wrap(err, "unable to parse requirement at position %zu of '%.*s'", c.at,
                        STR_ARG(text));
    }
    *ret = s;
    return 0;
}

/* --- trees --- */

int selector_from_json(const json_t *tree, bool plain, struct selector **ret, struct err *err)
{
    static const struct {
        const char *name;
        enum op op;
    } ops[] = {
        {"In", OP_IN}, {"NotIn", OP_NOT_IN}, {"Exists", OP_EXISTS}, {"DoesNotExist", OP_ABSENT}};
    struct selector *s = mem_zalloc(sizeof(*s));
    const json_t *labels = plain ? tree : json_object_get(tree, "matchLabels"), *v;
    const json_t *exprs = plain ? NULL : json_object_get(tree, "matchExpressions");
    const char *key;

    s->matches_nothing = !json_is_object(tree) || (plain && json_object_size(tree) == 0);
    json_object_foreach ((json_t *)labels, key, v)
        add_value(add_term(s, str_of(key), OP_EQ), json_strv(v));
    for (size_t i = 0; i < json_array_size(exprs); i++) {
        const json_t *e = json_array_get(exprs, i), *values = json_object_get(e, "values");
        const char *op = json_text(e, "operator", "");
        struct term *t = NULL;

        for (size_t k = 0; k < ARRAY_LEN(ops); k++)
            if (strcmp(op, ops[k].name) == 0)
                t = add_term(s, str_of(json_text(e, "key", "")), ops[k].op);
        if (!t) {
            selector_free(s);
            return err_set(err, ERR_INVALID, "'%s' is not a valid label selector operator", op);
        }
        for (size_t k = 0; k < json_array_size(values); k++)
            add_value(t, json_strv(json_array_get(values, k)));
    }
    *ret = s;
    return 0;
}

/* --- matching --- */

static bool has_value(const struct term *t, struct str v)
{
    for (size_t i = 0; i < t->n; i++)
        if (str_is(v, t->values[i]))
            return true;
    return false;
}

static bool term_matches(const struct term *t, struct str v)
{
    int64_t a, b;

    switch (t->op) {
    case OP_EQ:
    case OP_IN:
        return v.p && has_value(t, v);
    case OP_NE:
    case OP_NOT_IN:
        return !v.p || !has_value(t, v);
    case OP_EXISTS:
        return v.p != NULL;
    case OP_ABSENT:
        return v.p == NULL;
    case OP_GT:
    case OP_LT:
        return v.p && str_to_i64(v, &a) && str_to_i64(str_of(t->values[0]), &b) &&
               (t->op == OP_GT ? a > b : a < b);
    }
    return false;
}

bool selector_matches_by(const struct selector *s, struct str (*label)(void *arg, const char *key),
                         void *arg)
{
    if (!s)
        return true;
    if (s->matches_nothing)
        return false;
    for (size_t i = 0; i < s->n; i++)
        if (!term_matches(&s->terms[i], label(arg, s->terms[i].key)))
            return false;
    return true;
}

static struct str label_of_object(void *arg, const char *key)
{
    return object_label(arg, key);
}

bool selector_matches(const struct selector *s, const struct object *o)
{
    return selector_matches_by(s, label_of_object, (void *)(uintptr_t)o);
}

static struct str label_of_json(void *arg, const char *key)
{
    return json_strv(json_object_get(arg, key));
}

bool selector_matches_labels(const struct selector *s, const json_t *labels)
{
    return selector_matches_by(s, label_of_json, (void *)(uintptr_t)labels);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct term *)a)->key, ((const struct term *)b)->key);
}

void selector_text(const struct selector *s, struct buf *out)
{
    struct term *sorted = mem_array(s->n, sizeof(*sorted));

    if (s->n)
        memcpy(sorted, s->terms, s->n * sizeof(*sorted));
    qsort(sorted, s->n, sizeof(*sorted), by_key);
    for (size_t i = 0; i < s->n; i++) {
        const struct term *t = &sorted[i];

        buf_add_cstr(out, i ? "," : "");
        if (t->op == OP_ABSENT)
            buf_add_char(out, '!');
        buf_add_cstr(out, t->key);
        if (t->op == OP_IN || t->op == OP_NOT_IN) {
            buf_add_cstr(out, t->op == OP_IN ? " in (" : " notin (");
            for (size_t k = 0; k < t->n; k++)
                buf_printf(out, "%s%s", k ? "," : "", t->values[k]);
            buf_add_char(out, ')');
        } else if (t->n) {
            buf_printf(out, "%s%s",
                       t->op == OP_NE   ? "!="
                       : t->op == OP_GT ? ">"
                       : t->op == OP_LT ? "<"
                                        : "=",
                       t->values[0]);
        }
    }
    free(sorted);
}

/* --- field selectors --- */

struct field_term {
    const char *path;
    char *value;
    bool negated;
};

struct field_selector {
    struct field_term terms[8];
    size_t n;
};

static const struct {
    enum kind_id kind; /* KIND_COUNT: every kind */
    const char *path;
} fields[] = {
    {KIND_COUNT, "metadata.name"},
    {KIND_COUNT, "metadata.namespace"},
    {KIND_POD, "spec.nodeName"},
    {KIND_POD, "spec.restartPolicy"},
    {KIND_POD, "spec.schedulerName"},
    {KIND_POD, "spec.serviceAccountName"},
    {KIND_POD, "status.phase"},
    {KIND_POD, "status.podIP"},
    {KIND_POD, "status.nominatedNodeName"},
    {KIND_EVENT, "involvedObject.kind"},
    {KIND_EVENT, "involvedObject.namespace"},
    {KIND_EVENT, "involvedObject.name"},
    {KIND_EVENT, "involvedObject.uid"},
    {KIND_EVENT, "involvedObject.apiVersion"},
    {KIND_EVENT, "involvedObject.resourceVersion"},
    {KIND_EVENT, "involvedObject.fieldPath"},
    {KIND_EVENT, "reason"},
    {KIND_EVENT, "reportingComponent"},
    {KIND_EVENT, "source"},
    {KIND_EVENT, "type"},
    {KIND_SECRET, "type"},
    {KIND_NAMESPACE, "status.phase"},
    {KIND_NODE, "spec.unschedulable"},
    {KIND_REPLICASET, "status.replicas"},
};

static int field_term(const struct kind *k, struct field_selector *s, struct str part,
                      struct err *err)
{
    ptrdiff_t eq = str_chr(part, '=');
    struct field_term *t = &s->terms[s->n];
    struct str name, value;

    if (eq < 0)
        return err_set(err, ERR_BAD_INPUT, "invalid field selector '%.*s': '=' expected",
                       STR_ARG(part));
    name = (struct str){part.p, (size_t)eq};
    value = str_skip(part, (size_t)eq + 1);
    if (value.n && value.p[0] == '=')
        value = str_skip(value, 1);
    if (name.n && name.p[name.n - 1] == '!') {
        t->negated = true;
        name.n--;
    }
    if (s->n == ARRAY_LEN(s->terms))
        return err_set(err, ERR_BAD_INPUT, "at most %zu field selectors", ARRAY_LEN(s->terms));
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if ((fields[i].kind == KIND_COUNT || fields[i].kind == k->id) &&
            str_is(name, fields[i].path)) {
            t->path = fields[i].path;
            t->value = str_dup(value);
            s->n++;
            return 0;
        }
    }
    return err_set(err, ERR_BAD_INPUT, "field label not supported: %.*s", STR_ARG(name));
}

int field_selector_parse(const struct kind *k, struct str text, struct field_selector **ret,
                         struct err *err)
{
    struct field_selector *s = mem_zalloc(sizeof(*s));
    struct str part;
    int r = 0;

    while (r == 0 && str_split(&text, ',', &part)) {
        part = str_trim(part);
        if (part.n)
            r = field_term(k, s, part, err);
    }
    if (r < 0) {
        field_selector_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void field_selector_free(struct field_selector *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        free(s->terms[i].value);
    free(s);
}

static bool field_equals(const struct object *o, json_t **tree, const char *path, const char *want)
{
    const json_t *v;

    if (strcmp(path, "metadata.name") == 0)
        return str_is(o->name, want);
    if (strcmp(path, "metadata.namespace") == 0)
        return str_is(o->ns, want);
    if (!*tree)
        *tree = object_tree(o);
    v = json_at(*tree, strcmp(path, "source") == 0 ? "source.component" : path);
    if (json_is_integer(v)) {
        int64_t n;

        return str_to_i64(str_of(want), &n) && n == json_integer_value(v);
    }
    if (json_is_boolean(v) || strcmp(path, "spec.unschedulable") == 0)
        return strcmp(want, json_is_true(v) ? "true" : "false") == 0;
    return str_is(v ? json_strv(v) : STR(""), want);
}

bool field_selector_matches(const struct field_selector *s, const struct object *o)
{
    json_t *tree = NULL;
    bool ok = true;

    for (size_t i = 0; s && i < s->n && ok; i++)
        ok = field_equals(o, &tree, s->terms[i].path, s->terms[i].value) != s->terms[i].negated;
    json_decref(tree);
    return ok;
}

struct str field_selector_name(const struct field_selector *s)
{
    for (size_t i = 0; s && i < s->n; i++)
        if (!s->terms[i].negated && strcmp(s->terms[i].path, "metadata.name") == 0)
            return str_of(s->terms[i].value);
    return STR_NONE;
}
