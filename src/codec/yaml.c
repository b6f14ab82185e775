/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/yaml.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>
#include <yaml.h>

#include "base/mem.h"
#include "base/table.h"

struct reader {
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_event;
    struct table anchors; /* name -> json_t (own reference) */
    int depth, nodes;
    struct err *err;
};

static int at_mark(struct reader *r, const char *what)
{
    return err_set(r->err, ERR_BAD_INPUT, "yaml: line %zu, column %zu: %s",
                   r->event.start_mark.line + 1, r->event.start_mark.column + 1, what);
}

static int next(struct reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = false;
    if (!yaml_parser_parse(&r->parser, &r->event))
        return err_set(r->err, ERR_BAD_INPUT, "yaml: line %zu, column %zu: %s",
                       r->parser.problem_mark.line + 1, r->parser.problem_mark.column + 1,
                       r->parser.problem ? r->parser.problem : "cannot be read");
    r->has_event = true;
    return 0;
}

/* --- plain scalars --- */

static bool is_one_of(struct str s, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_is(s, list[i]))
            return true;
    return false;
}

static const char *const trues[] = {"y",  "Y",  "yes",  "Yes",  "YES", "on",
                                    "On", "ON", "true", "True", "TRUE"};
static const char *const falses[] = {"n",   "N",   "no",    "No",    "NO",   "off",
                                     "Off", "OFF", "false", "False", "FALSE"};
static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};

static bool parse_radix(struct str digits, int radix, bool neg, json_t **ret)
{
    char tmp[80];
    char *end;
    unsigned long long v;

    if (digits.n == 0 || digits.n >= sizeof(tmp) || digits.p[0] == '-' || digits.p[0] == '+')
        return false;
    memcpy(tmp, digits.p, digits.n);
    tmp[digits.n] = '\0';
    errno = 0;
    v = strtoull(tmp, &end, radix);
    if (*end)
        return false;
    if (errno == ERANGE || v > (unsigned long long)INT64_MAX) {
        double d = 0;

        for (const char *p = tmp; *p; p++)
            d = d * radix + (*p <= '9' ? *p - '0' : (*p | 0x20) - 'a' + 10);
        *ret = json_real(neg ? -d : d);
        return true;
    }
    *ret = json_integer(neg ? -(json_int_t)v : (json_int_t)v);
    return true;
}

static bool parse_integer(struct str s, json_t **ret)
{
    char plain[80];
    size_t n = 0;
    bool neg = s.n && s.p[0] == '-';
    struct str d;

    if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
        s = str_skip(s, 1);
    if (s.n == 0 || s.n >= sizeof(plain) || s.p[0] < '0' || s.p[0] > '9')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '_')
            plain[n++] = s.p[i];
    d = str_n(plain, n);
    if (str_starts(d, STR("0x")) || str_starts(d, STR("0X")))
        return parse_radix(str_skip(d, 2), 16, neg, ret);
    if (str_starts(d, STR("0b")))
        return parse_radix(str_skip(d, 2), 2, neg, ret);
    if (str_starts(d, STR("0o")))
        return parse_radix(str_skip(d, 2), 8, neg, ret);
    if (n > 1 && plain[0] == '0' && parse_radix(str_skip(d, 1), 8, neg, ret))
        return true;
    return parse_radix(d, 10, neg, ret);
}

/* Digits with a dot or an exponent; no hex, no words. */
static bool parse_float(struct str s, json_t **ret)
{
    size_t i = 0, digits = 0;
    double v;

    if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
        i++;
    for (; i < s.n && ((s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '.'); i++)
        digits += s.p[i] != '.';
    if (digits == 0)
        return false;
    if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
        i++;
        if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
            i++;
        if (i == s.n)
            return false;
        for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
            ;
    }
    if (i != s.n || !str_to_double(s, &v) || !isfinite(v))
        return false;
    /* whole numbers come out of Go's YAML to JSON step without a fraction */
    *ret = v == floor(v) && fabs(v) < 1e15 ? json_integer((json_int_t)v) : json_real(v);
    return true;
}

static json_t *plain_scalar(struct str s)
{
    json_t *v = NULL;

    if (is_one_of(s, nulls, ARRAY_LEN(nulls)))
        return json_null();
    if (is_one_of(s, trues, ARRAY_LEN(trues)))
        return json_true();
    if (is_one_of(s, falses, ARRAY_LEN(falses)))
        return json_false();
    if (parse_integer(s, &v) || parse_float(s, &v))
        return v;
    return json_str_new(s);
}

/* --- nodes --- */

static int read_node(struct reader *r, json_t **ret);

static int count(struct reader *r)
{
    if (++r->nodes > YAML_NODES_MAX)
        return at_mark(r, "too many nodes (aliases expanded)");
    return 0;
}

static size_t tree_size(const json_t *v)
{
    size_t n = 1, i;
    const char *key;
    json_t *m;

    json_object_foreach ((json_t *)v, key, m)
        n += tree_size(m);
    json_array_foreach ((json_t *)v, i, m)
        n += tree_size(m);
    return n;
}

static int read_alias(struct reader *r, json_t **ret)
{
    json_t *v = table_get(&r->anchors, str_of((const char *)r->event.data.alias.anchor));

    if (!v)
        return at_mark(r, "unknown alias");
    r->nodes += (int)tree_size(v);
    if (count(r) < 0)
        return ERR_BAD_INPUT;
    *ret = json_deep_copy(v);
    return 0;
}

static void keep_anchor(struct reader *r, const yaml_char_t *anchor, json_t *v)
{
    if (anchor)
        json_decref(table_set(&r->anchors, str_of((const char *)anchor), json_deep_copy(v)));
}

static char *key_text(const json_t *k)
{
    struct buf b = BUF_INIT;

    if (json_is_string(k))
        return str_dup(json_strv(k));
    json_write(&b, k);
    return buf_take(&b, NULL);
}

/* "<<": the members that the map itself has not. */
static void merge_into(json_t *o, const json_t *from)
{
    size_t i;
    json_t *m;

    if (json_is_object(from))
        json_object_update_missing(o, (json_t *)from);
    json_array_foreach ((json_t *)from, i, m)
        merge_into(o, m);
}

static int read_mapping(struct reader *r, json_t **ret)
{
    AUTO_FREE char *anchor = r->event.data.mapping_start.anchor
                                 ? mem_strdup((char *)r->event.data.mapping_start.anchor)
                                 : NULL;
    json_t *o = json_object(), *merges = json_array();
    int rc;

    while ((rc = next(r)) == 0 && r->event.type != YAML_MAPPING_END_EVENT) {
        json_t *k = NULL, *v = NULL;
        char *key;
        bool is_plain = r->event.type == YAML_SCALAR_EVENT &&
                        r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

        rc = read_node(r, &k);
        if (rc == 0 && (json_is_object(k) || json_is_array(k)))
            rc = at_mark(r, "a key must be a scalar");
        if (rc == 0)
            rc = next(r);
        if (rc == 0)
            rc = read_node(r, &v);
        if (rc < 0) {
            json_decref(k);
            json_decref(v);
            break;
        }
        key = key_text(k);
        if (is_plain && strcmp(key, "<<") == 0) /* in quotes it is a key like others */
            json_array_append_new(merges, v);
        else
            json_object_set_new(o, key, v);
        free(key);
        json_decref(k);
    }
    merge_into(o, merges);
    json_decref(merges);
    if (rc < 0) {
        json_decref(o);
        return rc;
    }
    keep_anchor(r, (yaml_char_t *)anchor, o);
    *ret = o;
    return 0;
}

static int read_sequence(struct reader *r, json_t **ret)
{
    AUTO_FREE char *anchor = r->event.data.sequence_start.anchor
                                 ? mem_strdup((char *)r->event.data.sequence_start.anchor)
                                 : NULL;
    json_t *a = json_array();
    int rc;

    while ((rc = next(r)) == 0 && r->event.type != YAML_SEQUENCE_END_EVENT) {
        json_t *v = NULL;

        rc = read_node(r, &v);
        if (rc < 0)
            break;
        json_array_append_new(a, v);
    }
    if (rc < 0) {
        json_decref(a);
        return rc;
    }
    keep_anchor(r, (yaml_char_t *)anchor, a);
    *ret = a;
    return 0;
}

static int read_scalar(struct reader *r, json_t **ret)
{
    struct str s = str_n(r->event.data.scalar.value, r->event.data.scalar.length);
    bool plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !r->event.data.scalar.tag;

    if (plain && (str_eq_nocase(s, STR(".inf")) || str_eq_nocase(s, STR("-.inf")) ||
                  str_eq_nocase(s, STR("+.inf")) || str_eq_nocase(s, STR(".nan"))))
        return at_mark(r, "infinity and NaN have no JSON form");
    *ret = plain ? plain_scalar(s) : json_str_new(s);
    keep_anchor(r, r->event.data.scalar.anchor, *ret);
    return 0;
}

static int read_node(struct reader *r, json_t **ret)
{
    int rc = count(r);

    if (rc < 0)
        return rc;
    if (++r->depth > YAML_DEPTH_MAX)
        return at_mark(r, "nested deeper than 100 levels");
    switch (r->event.type) {
    case YAML_ALIAS_EVENT:
        rc = read_alias(r, ret);
        break;
    case YAML_SCALAR_EVENT:
        rc = read_scalar(r, ret);
        break;
    case YAML_MAPPING_START_EVENT:
        rc = read_mapping(r, ret);
        break;
    case YAML_SEQUENCE_START_EVENT:
        rc = read_sequence(r, ret);
        break;
    default:
        rc = at_mark(r, "a value expected");
    }
    r->depth--;
    return rc;
}

int yaml_parse_all(struct str text, json_t **ret, struct err *err)
{
    struct reader r = {.err = err};
    json_t *all = json_array();
    size_t i = 0;
    void *v;
    int rc;

    if (!yaml_parser_initialize(&r.parser))
        return err_set(err, ERR_INTERNAL, "out of memory");
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.n ? text.p : ""), text.n);
    while ((rc = next(&r)) == 0 && r.event.type != YAML_STREAM_END_EVENT) {
        json_t *doc = NULL;

        if (r.event.type != YAML_DOCUMENT_START_EVENT)
            continue;
        if ((rc = next(&r)) < 0 || (rc = read_node(&r, &doc)) < 0)
            break;
        if (json_is_null(doc))
            json_decref(doc);
        else
            json_array_append_new(all, doc);
    }
    if (r.has_event)
        yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    while (table_next(&r.anchors, &i, NULL, &v))
        json_decref(v);
    table_done(&r.anchors);
    if (rc < 0) {
        json_decref(all);
        return rc;
    }
    *ret = all;
    return 0;
}

int yaml_parse(struct str text, json_t **ret, struct err *err)
{
    json_t *all;
    int rc = yaml_parse_all(text, &all, err);

    if (rc < 0)
        return rc;
    if (json_array_size(all) != 1)
        rc = err_set(err, ERR_BAD_INPUT, "yaml: one document expected, %zu found",
                     json_array_size(all));
    else
        *ret = json_incref(json_array_get(all, 0));
    json_decref(all);
    return rc;
}
