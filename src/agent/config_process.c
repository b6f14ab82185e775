/* SPDX-License-Identifier: Apache-2.0
 *
 * Processors. Each statement and action becomes one step of the pipeline. */
#include <stdio.h>

#include "agent/config_int.h"
#include "base/log.h"
#include "base/mem.h"

struct agent_step *conf_add_step(struct conf *f, enum agent_step_kind kind)
{
    struct agent_config *c = f->c;

    c->steps = arena_grow(&c->arena, c->steps, &c->cap_steps, c->n_steps, sizeof(*c->steps));
    c->steps[c->n_steps] = (struct agent_step){.kind = kind};
    return &c->steps[c->n_steps++];
}

/* --- resourcedetection --- */

static void read_detectors(struct conf *f, const struct node *n, const char *path, void *out)
{
    size_t count;
    struct str *list = conf_texts(f, n, path, &count);

    (void)out;
    for (size_t i = 0; i < count; i++)
        if (!str_is(list[i], "env"))
            conf_problem(f, n, conf_path_at(f, path, i),
                         "the detector '%.*s' is not supported here: env is", STR_ARG(list[i]));
}

static void read_detection(struct conf *f, const struct node *n, const char *path)
{
    static const struct conf_key keys[] = {
        {"detectors", read_detectors, 0},
        {"override", conf_bool, offsetof(struct agent_step, override)},
        {"timeout", NULL, 0},
    };
    struct agent_step *s = conf_add_step(f, STEP_ENVIRONMENT);
    const char *text = f->env("OTEL_RESOURCE_ATTRIBUTES");
    struct err err = ERR_INIT;

    s->override = true;
    conf_map(f, n, path, keys, ARRAY_LEN(keys), s);
    if (attrs_parse_env(&f->c->arena, arena_str(&f->c->arena, str_of(text)), &s->environment,
                        &err) < 0)
        log_warn("agent", "OTEL_RESOURCE_ATTRIBUTES is not used: %s", err.msg);
}

/* --- resource --- */

struct action {
    struct str key, action, from;
    const struct node *value;
};

static void keep_node(struct conf *f, const struct node *n, const char *path, void *out)
{
    (void)f;
    (void)path;
    *(const struct node **)out = n;
}

/* YAML's plain numbers and booleans keep their kind. */
static struct otlpw_value literal_of(struct str s)
{
    int64_t i;
    double d;

    if (str_is(s, "true") || str_is(s, "false"))
        return (struct otlpw_value){OTLPW_BOOL, s};
    if (str_to_i64(s, &i))
        return (struct otlpw_value){OTLPW_INT, s};
    if (s.n && s.p[0] <= '9' && str_to_double(s, &d))
        return (struct otlpw_value){OTLPW_DOUBLE, s};
    return otlpw_text(s);
}

static void read_action(struct conf *f, const struct node *n, const char *path)
{
    static const struct conf_key keys[] = {
        {"key", conf_text, offsetof(struct action, key)},
        {"action", conf_text, offsetof(struct action, action)},
        {"value", keep_node, offsetof(struct action, value)},
        {"from_attribute", conf_text, offsetof(struct action, from)},
    };
    static const struct {
        const char *name;
        enum agent_when when;
    } actions[] = {{"insert", WHEN_ABSENT}, {"update", WHEN_PRESENT}, {"upsert", WHEN_ALWAYS}};
    struct action a = {0};
    struct agent_step *s;
    size_t i = 0;

    if (!conf_map(f, n, path, keys, ARRAY_LEN(keys), &a))
        return;
    while (i < ARRAY_LEN(actions) && !str_is(a.action, actions[i].name))
        i++;
    if (a.key.n == 0) {
        conf_problem(f, n, path, "key is missing");
    } else if (i == ARRAY_LEN(actions) && !str_is(a.action, "delete")) {
        conf_problem(f, n, conf_path(f, path, STR("action")),
                     "'%.*s' is not supported here: insert, update, upsert and delete are",
                     STR_ARG(a.action));
    } else if (i < ARRAY_LEN(actions) && (a.value != NULL) == (a.from.n > 0)) {
        conf_problem(f, n, path, "either value or from_attribute expected");
    } else if (a.value && a.value->kind != NODE_TEXT) {
        conf_problem(f, a.value, conf_path(f, path, STR("value")), "a text or a number expected");
    } else {
        s = conf_add_step(f, i < ARRAY_LEN(actions) ? STEP_SET : STEP_DELETE);
        s->scope = SCOPE_RESOURCE;
        s->key = a.key;
        s->when = i < ARRAY_LEN(actions) ? actions[i].when : WHEN_ALWAYS;
        s->from = a.value ? SCOPE_LITERAL : SCOPE_RESOURCE;
        s->from_key = a.from;
        if (a.value)
            s->literal = literal_of(a.value->text);
    }
}

static void read_actions(struct conf *f, const struct node *n, const char *path, void *out)
{
    size_t i = 0;

    (void)out;
    if (!conf_is_list(f, n, path))
        return;
    for (const struct node *c = n->first; c; c = c->next, i++)
        read_action(f, c, conf_path_at(f, path, i));
}

static void read_resource(struct conf *f, const struct node *n, const char *path)
{
    static const struct conf_key keys[] = {{"attributes", read_actions, 0}};

    conf_map(f, n, path, keys, ARRAY_LEN(keys), NULL);
}

/* --- transform --- */

static bool take(struct str *s, const char *word)
{
    struct str w = str_of(word);

    *s = str_trim(*s);
    if (!str_starts(*s, w))
        return false;
    *s = str_skip(*s, w.n);
    return true;
}

/* "..." with \" and \\ */
static bool take_quoted(struct conf *f, struct str *s, struct str *ret)
{
    struct buf b = BUF_INIT;
    size_t i = 1;

    *s = str_trim(*s);
    if (s->n == 0 || s->p[0] != '"')
        return false;
    for (; i < s->n && s->p[i] != '"'; i++) {
        if (s->p[i] == '\\' && i + 1 < s->n)
            i++;
        buf_add_char(&b, s->p[i]);
    }
    *ret = arena_str(&f->c->arena, buf_str(&b));
    buf_done(&b);
    if (i >= s->n)
        return false;
    *s = str_skip(*s, i + 1);
    return true;
}

/* attributes["k"], resource.attributes["k"], datapoint.attributes["k"] */
static bool take_attribute(struct conf *f, struct str *s, enum agent_scope context,
                           enum agent_scope *ret_scope, struct str *ret_key)
{
    if (take(s, "resource.attributes"))
        *ret_scope = SCOPE_RESOURCE;
    else if (take(s, "datapoint.attributes"))
        *ret_scope = SCOPE_POINT;
    else if (context != SCOPE_LITERAL && take(s, "attributes"))
        *ret_scope = context;
    else
        return false;
    return take(s, "[") && take_quoted(f, s, ret_key) && take(s, "]");
}

static bool take_literal(struct conf *f, struct str *s, struct otlpw_value *ret)
{
    struct str text;
    size_t n = 0;

    if (take_quoted(f, s, &text)) {
        *ret = otlpw_text(text);
        return true;
    }
    while (n < s->n && s->p[n] != ')' && s->p[n] != ' ')
        n++;
    *ret = literal_of(arena_str(&f->c->arena, str_n(s->p, n)));
    *s = str_skip(*s, n);
    return n > 0 && ret->kind != OTLPW_TEXT;
}

static void read_statement(struct conf *f, const struct node *n, const char *path, struct str text,
                           enum agent_scope context)
{
    struct agent_step s = {.kind = STEP_SET};
    struct str rest = text;
    bool ok = take(&rest, "set") && take(&rest, "(") &&
              take_attribute(f, &rest, context, &s.scope, &s.key) && take(&rest, ",");

    if (ok && !take_attribute(f, &rest, context, &s.from, &s.from_key)) {
        s.from = SCOPE_LITERAL;
        ok = take_literal(f, &rest, &s.literal);
    }
    ok = ok && take(&rest, ")") && str_trim(rest).n == 0;
    if (!ok || (s.scope == SCOPE_RESOURCE && s.from == SCOPE_POINT))
        conf_problem(
            f, n, path,
            "the statement '%.*s' is not supported here; these are: set(attributes[\"a\"], "
            "resource.attributes[\"b\"]), set(resource.attributes[\"a\"], \"text\")",
            STR_ARG(text));
    else
        *conf_add_step(f, STEP_SET) = s;
}

static void read_statements(struct conf *f, const struct node *n, const char *path,
                            enum agent_scope context)
{
    size_t count;
    struct str *list = conf_texts(f, n, path, &count);

    for (size_t i = 0; i < count; i++)
        read_statement(f, n, conf_path_at(f, path, i), list[i], context);
}

static void read_group(struct conf *f, const struct node *n, const char *path)
{
    static const struct conf_key keys[] = {
        {"context", NULL, 0}, {"statements", NULL, 0}, {"error_mode", NULL, 0}};
    const struct node *context = node_get(n, "context"), *list = node_get(n, "statements");
    enum agent_scope scope = SCOPE_LITERAL;
    struct str name = STR_NONE;

    if (!conf_map(f, n, path, keys, ARRAY_LEN(keys), NULL))
        return;
    if (context)
        conf_text(f, context, conf_path(f, path, STR("context")), &name);
    if (str_is(name, "datapoint"))
        scope = SCOPE_POINT;
    else if (str_is(name, "resource"))
        scope = SCOPE_RESOURCE;
    else if (name.n)
        conf_problem(f, context, conf_path(f, path, STR("context")),
                     "'%.*s' is not supported here: datapoint and resource are", STR_ARG(name));
    if (list)
        read_statements(f, list, conf_path(f, path, STR("statements")), scope);
}

static void read_metric_statements(struct conf *f, const struct node *n, const char *path,
                                   void *out)
{
    size_t i = 0;

    (void)out;
    if (!conf_is_list(f, n, path))
        return;
    for (const struct node *c = n->first; c; c = c->next, i++) {
        if (c->kind == NODE_TEXT)
            read_statement(f, c, conf_path_at(f, path, i), c->text, SCOPE_LITERAL);
        else
            read_group(f, c, conf_path_at(f, path, i));
    }
}

static void read_transform(struct conf *f, const struct node *n, const char *path)
{
    static const struct conf_key keys[] = {{"metric_statements", read_metric_statements, 0},
                                           {"error_mode", NULL, 0}};

    conf_map(f, n, path, keys, ARRAY_LEN(keys), NULL);
}

/* --- filter --- */

struct names {
    struct str match_type;
    struct str *list;
    size_t n;
};

static void read_metric_names(struct conf *f, const struct node *n, const char *path, void *out)
{
    struct names *names = out;

    names->list = conf_texts(f, n, path, &names->n);
}

static void read_names(struct conf *f, const struct node *n, const char *path, struct str **ret,
                       size_t *ret_n)
{
    static const struct conf_key keys[] = {
        {"match_type", conf_text, offsetof(struct names, match_type)},
        {"metric_names", read_metric_names, 0},
    };
    struct names names = {0};

    if (!conf_map(f, n, path, keys, ARRAY_LEN(keys), &names))
        return;
    if (!str_is(names.match_type, "strict"))
        conf_problem(f, n, conf_path(f, path, STR("match_type")),
                     "'%.*s' is not supported here: strict is", STR_ARG(names.match_type));
    *ret = names.list;
    *ret_n = names.n;
}

static void read_include(struct conf *f, const struct node *n, const char *path, void *out)
{
    struct agent_step *s = out;

    s->has_include = true;
    read_names(f, n, path, &s->include, &s->n_include);
}

static void read_exclude(struct conf *f, const struct node *n, const char *path, void *out)
{
    struct agent_step *s = out;

    read_names(f, n, path, &s->exclude, &s->n_exclude);
}

static void read_conditions(struct conf *f, const struct node *n, const char *path, void *out)
{
    struct agent_step *s = out;
    size_t count;
    struct str *list = conf_texts(f, n, path, &count);

    s->drop = arena_alloc(&f->c->arena, (count + 1) * sizeof(*s->drop));
    for (size_t i = 0; i < count; i++) {
        struct agent_condition c = {0};
        struct str rest = list[i];
        bool ok = take(&rest, "metric.name") || take(&rest, "name");

        c.is_equal = ok && take(&rest, "==");
        ok = ok && (c.is_equal || take(&rest, "!=")) && take_quoted(f, &rest, &c.name) &&
             str_trim(rest).n == 0;
        if (ok)
            s->drop[s->n_drop++] = c;
        else
            conf_problem(f, n, conf_path_at(f, path, i),
                         "the condition '%.*s' is not supported here: name == \"x\" and name != "
                         "\"x\" are",
                         STR_ARG(list[i]));
    }
}

static void read_filter_metrics(struct conf *f, const struct node *n, const char *path, void *out)
{
    static const struct conf_key keys[] = {
        {"include", read_include, 0}, {"exclude", read_exclude, 0}, {"metric", read_conditions, 0}};
    struct agent_step *s = out;

    if (conf_map(f, n, path, keys, ARRAY_LEN(keys), out) && s->n_drop &&
        (s->has_include || s->n_exclude))
        conf_problem(f, n, path, "conditions and include or exclude cannot be set together");
}

static void read_filter(struct conf *f, const struct node *n, const char *path)
{
    static const struct conf_key keys[] = {{"metrics", read_filter_metrics, 0},
                                           {"error_mode", NULL, 0}};
    struct agent_step s = {.kind = STEP_FILTER};

    conf_map(f, n, path, keys, ARRAY_LEN(keys), &s);
    *conf_add_step(f, STEP_FILTER) = s;
}

/* --- batch --- */

/* Every scrape leaves at once, as one request: waiting for more would only add delay. */
static void read_batch(struct conf *f, const struct node *n, const char *path)
{
    static const struct conf_key keys[] = {
        {"timeout", NULL, 0}, {"send_batch_size", NULL, 0}, {"send_batch_max_size", NULL, 0}};

    conf_map(f, n, path, keys, ARRAY_LEN(keys), NULL);
}

void conf_processor(struct conf *f, const struct node *n, const char *path, struct str type)
{
    if (str_is(type, "resourcedetection"))
        read_detection(f, n, path);
    else if (str_is(type, "resource"))
        read_resource(f, n, path);
    else if (str_is(type, "transform"))
        read_transform(f, n, path);
    else if (str_is(type, "filter"))
        read_filter(f, n, path);
    else
        read_batch(f, n, path);
}
