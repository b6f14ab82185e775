/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "codec/promtext.h"
#include "codec/quantity.h"
#include "codec/yaml.h"
#include "triggers/metrics_api.h"

/* --- trees --- */

static int nothing_there(struct str location, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "the answer has nothing at valueLocation '%.*s'",
                   STR_ARG(location));
}

static int number_of(const json_t *v, struct str location, double *ret, struct err *err)
{
    struct quantity q;

    if (!v)
        return nothing_there(location, err);
    if (json_is_number(v))
        *ret = json_number_value(v);
    else if (json_is_string(v) && quantity_parse(json_strv(v), &q, NULL) == 0)
        *ret = quantity_double(&q);
    else
        return err_set(err, ERR_BAD_INPUT,
                       "valueLocation '%.*s' leads neither to a number nor to a quantity in quotes",
                       STR_ARG(location));
    return isfinite(*ret)
               ? 0
               : err_set(err, ERR_INVALID, "the value at '%.*s' is not finite", STR_ARG(location));
}

/* A member of an object, an element of a list. */
static const json_t *step(const json_t *at, struct str name)
{
    int64_t place;

    if (json_is_object(at))
        return json_get(at, name);
    if (json_is_array(at) && str_to_i64(name, &place) && place >= 0)
        return json_array_get(at, (size_t)place);
    return NULL;
}

/* "a.b": the way of YAML, and of a member inside a comparison. */
static const json_t *walk(const json_t *at, struct str path)
{
    struct str part;

    while (at && str_split(&path, '.', &part))
        at = step(at, part);
    return at;
}

/* --- GJSON --- */

struct comparison {
    struct str member, op, value; /* value: text without its quotes, or as it stands */
    bool is_text;
};

static bool parse_comparison(struct str s, struct comparison *c)
{
    static const char *const ops[] = {"==", "!=", "<=", ">=", "<", ">"};
    size_t n = 0;

    while (n < s.n && !strchr("=!<>", s.p[n]))
        n++;
    c->member = str_trim((struct str){s.p, n});
    s = str_skip(s, n);
    c->op = STR_NONE;
    for (size_t i = 0; i < ARRAY_LEN(ops) && !c->op.n; i++)
        if (str_starts(s, str_of(ops[i])))
            c->op = str_of(ops[i]);
    c->value = str_trim(str_skip(s, c->op.n));
    c->is_text = c->value.n >= 2 && c->value.p[0] == '"' && c->value.p[c->value.n - 1] == '"';
    if (c->is_text)
        c->value = (struct str){c->value.p + 1, c->value.n - 2};
    return c->op.n > 0;
}

static bool holds(const json_t *element, const struct comparison *c)
{
    const json_t *v = c->member.n ? walk(element, c->member) : element;
    double wanted;
    int order;

    if (c->is_text && json_is_string(v)) {
        order = str_cmp(json_strv(v), c->value);
    } else if (!c->is_text && json_is_number(v) && str_to_double(c->value, &wanted)) {
        order = (json_number_value(v) > wanted) - (json_number_value(v) < wanted);
    } else if (!c->is_text && json_is_boolean(v)) {
        order = !str_is(c->value, json_is_true(v) ? "true" : "false");
    } else {
        return v && str_is(c->op, "!=");
    }
    return str_is(c->op, "==")   ? order == 0
           : str_is(c->op, "!=") ? order != 0
           : str_is(c->op, "<")  ? order < 0
           : str_is(c->op, "<=") ? order <= 0
           : str_is(c->op, ">")  ? order > 0
                                 : order >= 0;
}

/* Splits off what stands before the next dot: escapes, and dots inside a comparison or its quotes,
 * belong to it. name gets it without the escapes. */
static bool next_step(struct str *path, struct buf *name)
{
    bool in_text = false, in_brackets = false;
    size_t i = 0;

    buf_clear(name);
    if (!path->p)
        return false;
    for (; i < path->n && (in_brackets || path->p[i] != '.'); i++) {
        char c = path->p[i];

        if (c == '\\' && i + 1 < path->n && !in_brackets) {
            buf_add_char(name, path->p[++i]);
            continue;
        }
        if (c == '"')
            in_text ^= in_brackets;
        else if (c == '(' && !in_text && i > 0 && path->p[i - 1] == '#')
            in_brackets = true;
        else if (c == ')' && !in_text)
            in_brackets = false;
        buf_add_char(name, c);
    }
    *path = i < path->n ? str_skip(*path, i + 1) : STR_NONE;
    return true;
}

static const json_t *first_that_holds(const json_t *list, struct str text)
{
    struct comparison c;
    const json_t *v;
    size_t i;

    if (!parse_comparison(text, &c))
        return NULL;
    json_array_foreach ((json_t *)(uintptr_t)list, i, v)
        if (holds(v, &c))
            return v;
    return NULL;
}

static int read_json(struct str body, struct str location, double *ret, struct err *err)
{
    struct buf name = BUF_INIT;
    AUTO_JSON json_t *o = NULL;
    struct str path = location;
    const json_t *at;
    int r = 1;

    if (json_parse(body, &o, NULL) < 0)
        return err_set(err, ERR_BAD_INPUT, "the answer is not JSON; check format");
    at = o;
    while (at && r == 1 && next_step(&path, &name)) {
        struct str s = buf_str(&name);

        if (str_is(s, "#") && json_is_array(at) && !path.p) {
            *ret = (double)json_array_size(at);
            r = 0;
        } else if (json_is_array(at) && s.n > 3 && str_starts(s, STR("#(")) &&
                   s.p[s.n - 1] == ')') {
            at = first_that_holds(at, (struct str){s.p + 2, s.n - 3});
        } else {
            at = step(at, s);
        }
    }
    buf_done(&name);
    return r == 1 ? number_of(at, location, ret, err) : r;
}

static int read_yaml(struct str body, struct str location, double *ret, struct err *err)
{
    AUTO_JSON json_t *o = NULL;

    if (yaml_parse(body, &o, NULL) < 0)
        return err_set(err, ERR_BAD_INPUT, "the answer is not YAML; check format");
    return number_of(walk(o, location), location, ret, err);
}

/* --- Prometheus --- */

struct wanted {
    struct str name;
    struct promtext_label labels[PROMTEXT_LABELS_MAX]; /* values own their memory */
    size_t n;
    bool found;
    double value;
};

static bool is_name_char(char c, bool colon)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (colon && c == ':');
}

static struct str take_name(struct str *s, bool colon)
{
    size_t n = 0;

    while (n < s->n && is_name_char(s->p[n], colon))
        n++;
    *s = str_skip(*s, n);
    return (struct str){s->p - n, n};
}

static bool take_char(struct str *s, char c)
{
    *s = str_trim(*s);
    if (!s->n || s->p[0] != c)
        return false;
    *s = str_trim(str_skip(*s, 1));
    return true;
}

static bool take_text(struct str *s, struct buf *out)
{
    char quote = s->n ? s->p[0] : 0;
    size_t i = 1;

    if (quote != '"' && quote != '\'')
        return false;
    for (; i < s->n && s->p[i] != quote; i++) {
        if (s->p[i] == '\\' && i + 1 < s->n) {
            i++;
            buf_add_char(out, s->p[i] == 'n' ? '\n' : s->p[i]);
        } else {
            buf_add_char(out, s->p[i]);
        }
    }
    if (i >= s->n)
        return false;
    *s = str_skip(*s, i + 1);
    return true;
}

static bool parse_labels(struct str *s, struct wanted *w)
{
    while (s->n && s->p[0] != '}') {
        struct promtext_label *l = &w->labels[w->n];
        struct buf value = BUF_INIT;
        bool ok;

        if (w->n == PROMTEXT_LABELS_MAX)
            return false;
        l->name = take_name(s, false);
        ok = l->name.n && take_char(s, '=') && take_text(s, &value);
        l->value.p = buf_take(&value, &l->value.n);
        w->n++;
        if (!ok || (!take_char(s, ',') && !(s->n && s->p[0] == '}')))
            return false;
    }
    return take_char(s, '}');
}

static bool parse_wanted(struct str s, struct wanted *w)
{
    w->name = take_name(&s, true);
    if (!w->name.n)
        return false;
    if (take_char(&s, '{') && !parse_labels(&s, w))
        return false;
    return str_trim(s).n == 0;
}

static bool look(void *arg, const struct promtext_sample *s)
{
    struct wanted *w = arg;

    if (w->found || !str_eq(s->name, w->name))
        return true;
    for (size_t i = 0; i < w->n; i++) {
        size_t k = 0;

        while (k < s->n_labels && !str_eq(s->labels[k].name, w->labels[i].name))
            k++;
        if (k == s->n_labels ? w->labels[i].value.n > 0
                             : !str_eq(s->labels[k].value, w->labels[i].value))
            return true;
    }
    w->found = true;
    w->value = s->value;
    return true; /* a fault further down makes the page one to distrust */
}

static int read_prometheus(struct str body, struct str location, double *ret, struct err *err)
{
    struct wanted w = {.n = 0};
    int r = 0;

    if (!parse_wanted(location, &w))
        r = err_set(err, ERR_INVALID,
                    "valueLocation '%.*s' is no metric: name or name{label=\"value\"} is expected",
                    STR_ARG(location));
    else if (promtext_parse(body, PROMTEXT_004, look, NULL, &w, NULL) < 0)
        r = err_set(err, ERR_BAD_INPUT, "the answer is no page of metrics; check format");
    else if (!w.found)
        r = nothing_there(location, err);
    else if (!isfinite(w.value))
        r = err_set(err, ERR_INVALID, "the value at '%.*s' is not finite", STR_ARG(location));
    else
        *ret = w.value;
    for (size_t i = 0; i < w.n; i++)
        free((char *)(uintptr_t)w.labels[i].value.p);
    return r;
}

int metrics_api_read(enum metrics_api_format format, struct str body, struct str location,
                     double *ret, struct err *err)
{
    static int (*const readers[])(struct str, struct str, double *,
                                  struct err *) = {[METRICS_API_PROMETHEUS] = read_prometheus,
                                                   [METRICS_API_JSON] = read_json,
                                                   [METRICS_API_XML] = NULL,
                                                   [METRICS_API_YAML] = read_yaml};

    return readers[format]
               ? readers[format](body, location, ret, err)
               : err_set(err, ERR_UNSUPPORTED,
                         "format xml cannot be read (KEDA's own cannot either); use json, yaml or "
                         "prometheus");
}
