/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/node.h"

#include <yaml.h>

#include "base/buf.h"
#include "base/mem.h"

struct anchor {
    struct anchor *next;
    char *name;
    const struct node *node;
};

struct reader {
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_event;
    struct arena *arena;
    struct anchor *anchors;
    node_getenv *env;
    int depth;
    struct err *err;
};

const struct node *node_get(const struct node *map, const char *key)
{
    if (map && map->kind == NODE_MAP)
        for (const struct node *n = map->first; n; n = n->next)
            if (str_is(n->key, key))
                return n;
    return NULL;
}

/* --- expansion --- */

static bool is_env_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] | 0x20) >= 'a' && (s.p[i] | 0x20) <= 'z') && s.p[i] != '_' &&
            !(i > 0 && s.p[i] >= '0' && s.p[i] <= '9'))
            return false;
    return s.n > 0 && s.n < 256;
}

static const char *env_value(const struct reader *r, struct str name)
{
    char key[256];

    memcpy(key, name.p, name.n);
    key[name.n] = '\0';
    return r->env(key);
}

/* What stands between ${ and }. */
static int expand_braced(struct reader *r, struct str in, unsigned line, struct buf *out)
{
    ptrdiff_t dash = str_find(in, STR(":-"));
    struct str name = dash < 0 ? in : str_n(in.p, (size_t)dash);
    const char *v;

    if (str_starts(name, STR("env:")))
        name = str_skip(name, 4);
    if (!is_env_name(name))
        return err_set(r->err, ERR_BAD_INPUT,
                       "line %u: '${%.*s}' is not supported: write ${env:NAME} or "
                       "${env:NAME:-DEFAULT}",
                       line, STR_ARG(in));
    v = env_value(r, name);
    if (v && *v)
        buf_add_cstr(out, v);
    else if (dash >= 0)
        buf_add_str(out, str_skip(in, (size_t)dash + 2));
    return 0;
}

static int expand(struct reader *r, struct str in, unsigned line, struct str *ret)
{
    struct buf out = BUF_INIT_MAX((size_t)1 << 20);
    int rc = 0;

    for (size_t i = 0; i < in.n && rc == 0; i++) {
        char next = in.p[i] == '$' && i + 1 < in.n ? in.p[i + 1] : '\0';
        struct str rest = str_skip(in, i + 2), name;
        ptrdiff_t end = next == '{' ? str_chr(rest, '}') : next == '(' ? str_chr(rest, ')') : -1;
        const char *v = NULL;

        name = end < 0 ? STR_NONE : str_n(rest.p, (size_t)end);
        if (next == '$') {
            buf_add_char(&out, '$');
            i++;
        } else if (next == '{' && end >= 0) {
            rc = expand_braced(r, name, line, &out);
            i += (size_t)end + 2;
        } else if (next == '(' && is_env_name(name) && (v = env_value(r, name))) {
            buf_add_cstr(&out, v);
            i += (size_t)end + 2;
        } else {
            buf_add_char(&out, in.p[i]);
        }
    }
    if (rc == 0 && out.overflow)
        rc = err_set(r->err, ERR_LIMIT, "line %u: the expanded value is too long", line);
    *ret = arena_str(r->arena, buf_str(&out));
    buf_done(&out);
    return rc;
}

/* --- events --- */

static unsigned line_of(const struct reader *r)
{
    return (unsigned)r->event.start_mark.line + 1;
}

static int refuse(struct reader *r, const char *why)
{
    return err_set(r->err, ERR_BAD_INPUT, "line %u: %s", line_of(r), why);
}

static int next(struct reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = false;
    if (!yaml_parser_parse(&r->parser, &r->event))
        return err_set(r->err, ERR_BAD_INPUT, "line %zu: not YAML: %s",
                       r->parser.problem_mark.line + 1,
                       r->parser.problem ? r->parser.problem : "cannot be read");
    r->has_event = true;
    return 0;
}

static void keep_anchor(struct reader *r, const char *name, const struct node *n)
{
    struct anchor *a;

    if (!name)
        return;
    a = arena_alloc(r->arena, sizeof(*a));
    *a = (struct anchor){r->anchors, arena_strdup(r->arena, str_of(name)), n};
    r->anchors = a;
}

static int read_node(struct reader *r, struct node *n);

static bool is_null(struct str s)
{
    return s.n == 0 || str_is(s, "~") || str_is(s, "null") || str_is(s, "Null") ||
           str_is(s, "NULL");
}

static int read_scalar(struct reader *r, struct node *n)
{
    struct str s = str_n(r->event.data.scalar.value, r->event.data.scalar.length);
    bool plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

    if (plain && is_null(s))
        return 0;
    n->kind = NODE_TEXT;
    if (expand(r, s, n->line, &n->text) < 0)
        return ERR_BAD_INPUT;
    if (plain && is_null(n->text)) /* an unset variable */
        n->kind = NODE_NULL;
    return 0;
}

/* The members of a merged map that the map itself has not. */
static int merge(struct reader *r, struct node *map, const struct node *from)
{
    if (from->kind == NODE_LIST) {
        for (const struct node *c = from->first; c; c = c->next)
            if (c->kind != NODE_MAP || merge(r, map, c) < 0)
                return refuse(r, "'<<' merges maps only");
        return 0;
    }
    if (from->kind != NODE_MAP)
        return refuse(r, "'<<' merges maps only");
    for (const struct node *c = from->first; c; c = c->next) {
        char key[256];
        struct node *copy;

        snprintf(key, sizeof(key), "%.*s", STR_ARG(c->key));
        if (node_get(map, key))
            continue;
        copy = arena_alloc(r->arena, sizeof(*copy));
        *copy = *c;
        copy->next = map->first;
        map->first = copy;
    }
    return 0;
}

static int read_member(struct reader *r, struct node *map, struct node ***tail,
                       const struct node **merged)
{
    struct node *c = arena_alloc(r->arena, sizeof(*c));
    struct str key;
    char name[256];

    if (r->event.type != YAML_SCALAR_EVENT)
        return refuse(r, "a key must be a text");
    key = arena_str(r->arena, str_n(r->event.data.scalar.value, r->event.data.scalar.length));
    snprintf(name, sizeof(name), "%.*s", STR_ARG(key));
    if (node_get(map, name))
        return err_set(r->err, ERR_BAD_INPUT, "line %u: the key '%s' is there twice", line_of(r),
                       name);
    if (next(r) < 0 || read_node(r, c) < 0)
        return ERR_BAD_INPUT;
    c->key = key;
    if (str_is(key, "<<")) {
        *merged = c;
        return 0;
    }
    **tail = c;
    *tail = &c->next;
    return 0;
}

static int read_children(struct reader *r, struct node *n)
{
    struct node **tail = &n->first;
    const struct node *merged = NULL;
    int end = n->kind == NODE_MAP ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
    int rc;

    while ((rc = next(r)) == 0 && (int)r->event.type != end) {
        struct node *c;

        if (n->kind == NODE_MAP) {
            rc = read_member(r, n, &tail, &merged);
        } else {
            c = arena_alloc(r->arena, sizeof(*c));
            rc = read_node(r, c);
            *tail = c;
            tail = &c->next;
        }
        if (rc < 0)
            return rc;
    }
    return rc == 0 && merged ? merge(r, n, merged) : rc;
}

static int read_alias(struct reader *r, struct node *n)
{
    const char *name = (const char *)r->event.data.alias.anchor;

    for (struct anchor *a = r->anchors; a; a = a->next)
        if (strcmp(a->name, name) == 0) {
            *n = *a->node;
            n->next = NULL;
            n->key = STR_NONE;
            return 0;
        }
    return refuse(r, "an alias without its anchor");
}

static int read_node(struct reader *r, struct node *n)
{
    const yaml_char_t *anchor = NULL;
    AUTO_FREE char *name = NULL;
    int rc = 0;

    if (++r->depth > NODE_DEPTH_MAX)
        return refuse(r, "nested too deep");
    n->line = line_of(r);
    if (r->event.type == YAML_SCALAR_EVENT) {
        anchor = r->event.data.scalar.anchor;
    } else if (r->event.type == YAML_MAPPING_START_EVENT) {
        n->kind = NODE_MAP;
        anchor = r->event.data.mapping_start.anchor;
    } else if (r->event.type == YAML_SEQUENCE_START_EVENT) {
        n->kind = NODE_LIST;
        anchor = r->event.data.sequence_start.anchor;
    }
    name = anchor ? mem_strdup((const char *)anchor) : NULL;
    if (r->event.type == YAML_ALIAS_EVENT)
        rc = read_alias(r, n);
    else if (r->event.type == YAML_SCALAR_EVENT)
        rc = read_scalar(r, n);
    else if (n->kind != NODE_NULL)
        rc = read_children(r, n);
    else
        rc = refuse(r, "a value expected");
    keep_anchor(r, rc == 0 ? name : NULL, n);
    r->depth--;
    return rc;
}

int node_read(struct arena *a, struct str yaml, node_getenv *env, const struct node **ret,
              struct err *err)
{
    struct reader r = {.arena = a, .env = env, .err = err};
    struct node *root = arena_alloc(a, sizeof(*root));
    int documents = 0, rc;

    root->kind = NODE_MAP;
    root->line = 1;
    if (!yaml_parser_initialize(&r.parser))
        return err_set(err, ERR_INTERNAL, "out of memory");
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(yaml.n ? yaml.p : ""), yaml.n);
    while ((rc = next(&r)) == 0 && r.event.type != YAML_STREAM_END_EVENT) {
        if (r.event.type != YAML_DOCUMENT_START_EVENT)
            continue;
        if (documents++ > 0) {
            rc = refuse(&r, "one document expected");
            break;
        }
        if ((rc = next(&r)) < 0 || (rc = read_node(&r, root)) < 0)
            break;
    }
    if (r.has_event)
        yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    *ret = root;
    return rc;
}
