/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>

#include "agent/config_int.h"
#include "base/mem.h"

/* --- notes and paths --- */

void conf_problem(struct conf *f, const struct node *n, const char *path, const char *fmt, ...)
{
    va_list ap;

    f->n_problems++;
    buf_add_cstr(f->problems, path);
    if (n && n->line)
        buf_printf(f->problems, " (line %u)", n->line);
    buf_add_cstr(f->problems, ": ");
    va_start(ap, fmt);
    buf_vprintf(f->problems, fmt, ap);
    va_end(ap);
    buf_add_char(f->problems, '\n');
}

const char *conf_path(struct conf *f, const char *path, struct str key)
{
    return arena_printf(&f->c->arena, "%s%s%.*s", path, *path ? "." : "", STR_ARG(key)).p;
}

const char *conf_path_at(struct conf *f, const char *path, size_t i)
{
    return arena_printf(&f->c->arena, "%s[%zu]", path, i).p;
}

/* --- values --- */

static const char *const kinds[] = {"nothing", "a text", "a map", "a list"};

bool conf_map(struct conf *f, const struct node *n, const char *path, const struct conf_key *keys,
              size_t n_keys, void *out)
{
    if (n->kind == NODE_NULL)
        return true;
    if (n->kind != NODE_MAP) {
        conf_problem(f, n, path, "a map expected, %s found", kinds[n->kind]);
        return false;
    }
    for (const struct node *m = n->first; m; m = m->next) {
        const char *at = conf_path(f, path, m->key);
        struct buf known = BUF_INIT;
        size_t i = 0;

        while (i < n_keys && !str_is(m->key, keys[i].name))
            i++;
        if (i < n_keys) {
            if (keys[i].read)
                keys[i].read(f, m, at, out ? (char *)out + keys[i].at : NULL);
            continue;
        }
        for (i = 0; i < n_keys; i++)
            buf_printf(&known, "%s%s", i ? ", " : "", keys[i].name);
        conf_problem(f, m, at, "not supported here; what can be set: %s", buf_cstr(&known));
        buf_done(&known);
    }
    return true;
}

bool conf_is_list(struct conf *f, const struct node *n, const char *path)
{
    if (n->kind != NODE_LIST && n->kind != NODE_NULL)
        conf_problem(f, n, path, "a list expected, %s found", kinds[n->kind]);
    return n->kind == NODE_LIST || n->kind == NODE_NULL;
}

void conf_text(struct conf *f, const struct node *n, const char *path, void *out)
{
    if (n->kind == NODE_TEXT)
        *(struct str *)out = n->text;
    else if (n->kind != NODE_NULL)
        conf_problem(f, n, path, "a text expected, %s found", kinds[n->kind]);
}

void conf_cstr(struct conf *f, const struct node *n, const char *path, void *out)
{
    struct str s = STR_NONE;

    conf_text(f, n, path, &s);
    if (s.p)
        *(const char **)out = arena_strdup(&f->c->arena, s);
}

void conf_bool(struct conf *f, const struct node *n, const char *path, void *out)
{
    static const char *const yes[] = {"true", "True", "TRUE", "yes", "on"};
    static const char *const no[] = {"false", "False", "FALSE", "no", "off"};

    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        if (n->kind == NODE_TEXT && (str_is(n->text, yes[i]) || str_is(n->text, no[i]))) {
            *(bool *)out = str_is(n->text, yes[i]);
            return;
        }
    conf_problem(f, n, path, "true or false expected");
}

bool config_duration(struct str s, int64_t *ret_ms)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"ns", 1e-6}, {"us", 1e-3}, {"\xc2\xb5s", 1e-3}, {"ms", 1},      {"s", 1e3},
                 {"m", 6e4},   {"h", 3.6e6}, {"d", 8.64e7},       {"w", 6.048e8}, {"y", 3.1536e10}};
    double total = 0;

    if (str_is(s, "0")) {
        *ret_ms = 0;
        return true;
    }
    if (s.n == 0)
        return false;
    while (s.n) {
        size_t digits = 0, u, best = ARRAY_LEN(units), best_n = 0;
        double v;

        while (digits < s.n && ((s.p[digits] >= '0' && s.p[digits] <= '9') || s.p[digits] == '.'))
            digits++;
        if (!str_to_double(str_n(s.p, digits), &v))
            return false;
        s = str_skip(s, digits);
        for (u = 0; u < ARRAY_LEN(units); u++)
            if (str_starts(s, str_of(units[u].unit)) && strlen(units[u].unit) > best_n) {
                best = u;
                best_n = strlen(units[u].unit);
            }
        if (best == ARRAY_LEN(units))
            return false;
        total += v * units[best].ms;
        s = str_skip(s, best_n);
    }
    if (!(total < 1e15))
        return false;
    *ret_ms = (int64_t)total;
    return true;
}

void conf_duration(struct conf *f, const struct node *n, const char *path, void *out)
{
    if (n->kind != NODE_TEXT || !config_duration(n->text, out))
        conf_problem(f, n, path, "a duration expected, as 5s, 100ms or 1m30s");
}

void conf_count(struct conf *f, const struct node *n, const char *path, void *out)
{
    int64_t v;

    if (n->kind == NODE_TEXT && str_to_i64(n->text, &v) && v >= 0)
        *(int64_t *)out = v;
    else
        conf_problem(f, n, path, "a number from 0 expected");
}

void conf_number(struct conf *f, const struct node *n, const char *path, void *out)
{
    double v;

    if (n->kind == NODE_TEXT && str_to_double(n->text, &v) && v >= 0 && v < 1e12)
        *(double *)out = v;
    else
        conf_problem(f, n, path, "a number from 0 expected");
}

struct str *conf_texts(struct conf *f, const struct node *n, const char *path, size_t *ret_n)
{
    struct str *list = NULL;
    size_t cap = 0, count = 0, i = 0;

    *ret_n = 0;
    if (!conf_is_list(f, n, path))
        return NULL;
    for (const struct node *c = n->first; c; c = c->next, i++) {
        list = arena_grow(&f->c->arena, list, &cap, count, sizeof(*list));
        list[count] = STR_NONE;
        conf_text(f, c, conf_path_at(f, path, i), &list[count]);
        count += list[count].p != NULL;
    }
    *ret_n = count;
    return list;
}

/* --- TLS --- */

static void pem_file(struct conf *f, const struct node *n, const char *path, void *out)
{
    const char *name = NULL;
    struct buf b = BUF_INIT_MAX((size_t)1 << 20);
    char part[4096];
    size_t got;
    FILE *file;

    conf_cstr(f, n, path, &name);
    if (!name)
        return;
    file = fopen(name, "re");
    if (!file) {
        conf_problem(f, n, path, "the file '%s' cannot be read: %m", name);
        return;
    }
    while (!b.overflow && (got = fread(part, 1, sizeof(part), file)) > 0)
        buf_add(&b, part, got);
    fclose(file);
    if (b.n == 0 || b.overflow)
        conf_problem(f, n, path, "the file '%s' holds no PEM text", name);
    *(struct str *)out = arena_str(&f->c->arena, buf_str(&b));
    buf_done(&b);
}

void conf_tls(struct conf *f, const struct node *n, const char *path, void *out)
{
    static const struct conf_key keys[] = {
#define AT(field) offsetof(struct agent_tls, field)
        {"insecure", conf_bool, AT(insecure)},
        {"insecure_skip_verify", conf_bool, AT(skip_verify)},
        {"ca_file", pem_file, AT(ca_pem)},
        {"ca_pem", conf_text, AT(ca_pem)},
        {"cert_file", pem_file, AT(cert_pem)},
        {"cert_pem", conf_text, AT(cert_pem)},
        {"key_file", pem_file, AT(key_pem)},
        {"key_pem", conf_text, AT(key_pem)},
        {"server_name_override", conf_cstr, AT(server_name)},
        {"server_name", conf_cstr, AT(server_name)},
#undef AT
    };
    struct agent_tls *t = out;

    if (conf_map(f, n, path, keys, ARRAY_LEN(keys), t) && (t->cert_pem.n > 0) != (t->key_pem.n > 0))
        conf_problem(f, n, path, "a client certificate needs both cert_file and key_file");
}

/* --- the whole --- */

/* Components that a pipeline names, found under receivers, processors or exporters. */
struct section {
    const char *name;
    const struct node *defined;
    const char *const *types;
    size_t n_types;
};

static struct str type_of(struct str id)
{
    ptrdiff_t slash = str_chr(id, '/');

    return slash < 0 ? id : str_n(id.p, (size_t)slash);
}

static bool has_type(const struct section *s, struct str type)
{
    for (size_t i = 0; i < s->n_types; i++)
        if (str_is(type, s->types[i]))
            return true;
    return false;
}

/* Every component that is defined must be one of ours, whether a pipeline uses it or not. */
static void check_types(struct conf *f, const struct section *s)
{
    struct buf known = BUF_INIT;

    if (!s->defined || s->defined->kind == NODE_NULL)
        return;
    if (s->defined->kind != NODE_MAP) {
        conf_problem(f, s->defined, s->name, "a map expected");
        return;
    }
    for (size_t i = 0; i < s->n_types; i++)
        buf_printf(&known, "%s%s", i ? ", " : "", s->types[i]);
    for (const struct node *m = s->defined->first; m; m = m->next)
        if (!has_type(s, type_of(m->key)))
            conf_problem(f, m, conf_path(f, s->name, m->key), "not supported here; %s that are: %s",
                         s->name, buf_cstr(&known));
    buf_done(&known);
}

static void use_components(struct conf *f, const struct section *s, const struct node *pipeline)
{
    const struct node *list = node_get(pipeline, s->name);
    const char *path = conf_path(f, "service.pipelines", pipeline->key);
    size_t n;
    struct str *ids;

    path = conf_path(f, path, str_of(s->name));
    if (!list)
        return;
    ids = conf_texts(f, list, path, &n);
    for (size_t i = 0; i < n; i++) {
        char id[256];
        const struct node *d;
        struct str type = type_of(ids[i]);

        snprintf(id, sizeof(id), "%.*s", STR_ARG(ids[i]));
        d = s->defined ? node_get(s->defined, id) : NULL;
        if (!d)
            conf_problem(f, list, conf_path_at(f, path, i), "'%s' is not defined under %s", id,
                         s->name);
        else if (!has_type(s, type))
            ; /* told already */
        else if (s->name[0] == 'r')
            conf_prometheus(f, d, conf_path(f, s->name, d->key));
        else if (s->name[0] == 'p')
            conf_processor(f, d, conf_path(f, s->name, d->key), type);
        else
            conf_exporter(f, d, conf_path(f, s->name, d->key), type);
    }
}

static void read_pipeline(struct conf *f, const struct section *sections, const struct node *p)
{
    static const struct conf_key keys[] = {
        {"receivers", NULL, 0}, {"processors", NULL, 0}, {"exporters", NULL, 0}};
    const char *path = conf_path(f, "service.pipelines", p->key);

    if (!conf_map(f, p, path, keys, ARRAY_LEN(keys), NULL))
        return;
    for (size_t i = 0; i < 3; i++)
        use_components(f, &sections[i], p);
    if (!node_get(p, "receivers") || !node_get(p, "exporters"))
        conf_problem(f, p, path, "a pipeline needs receivers and exporters");
}

static void read_pipelines(struct conf *f, const struct section *sections, const struct node *n)
{
    size_t n_metrics = 0;

    if (!n || n->kind != NODE_MAP || !n->first) {
        conf_problem(f, n, "service.pipelines", "a pipeline 'metrics' expected");
        return;
    }
    for (const struct node *p = n->first; p; p = p->next) {
        const char *path = conf_path(f, "service.pipelines", p->key);

        if (!str_is(type_of(p->key), "metrics"))
            conf_problem(f, p, path, "not supported here: only metrics are");
        else if (n_metrics++ > 0)
            conf_problem(f, p, path, "not supported here: one metrics pipeline is");
        else
            read_pipeline(f, sections, p);
    }
}

static void read_extensions(struct conf *f, const struct node *n, const char *path, void *out)
{
    (void)out;
    if (n->first)
        conf_problem(f, n, path, "not supported here: there are no extensions");
}

static void read_service(struct conf *f, const struct node *n, const char *path, void *out)
{
    static const struct conf_key keys[] = {
        {"pipelines", NULL, 0}, {"telemetry", NULL, 0}, {"extensions", read_extensions, 0}};

    conf_map(f, n, path, keys, ARRAY_LEN(keys), out);
}

static void read_top(struct conf *f, const struct node *root)
{
    static const char *const receivers[] = {"prometheus"};
    static const char *const processors[] = {"resourcedetection", "resource", "transform", "filter",
                                             "batch"};
    static const char *const exporters[] = {"otlp", "otlp_grpc", "debug"};
    static const struct conf_key keys[] = {{"receivers", NULL, 0},
                                           {"processors", NULL, 0},
                                           {"exporters", NULL, 0},
                                           {"extensions", read_extensions, 0},
                                           {"service", read_service, 0}};
    struct section sections[] = {
        {"receivers", node_get(root, "receivers"), receivers, ARRAY_LEN(receivers)},
        {"processors", node_get(root, "processors"), processors, ARRAY_LEN(processors)},
        {"exporters", node_get(root, "exporters"), exporters, ARRAY_LEN(exporters)},
    };

    if (!conf_map(f, root, "", keys, ARRAY_LEN(keys), NULL))
        return;
    for (size_t i = 0; i < ARRAY_LEN(sections); i++)
        check_types(f, &sections[i]);
    read_pipelines(f, sections, node_get(node_get(root, "service"), "pipelines"));
}

int config_read(struct str yaml, node_getenv *env, struct agent_config *ret, struct buf *problems,
                struct err *err)
{
    struct conf f = {.c = ret, .problems = problems, .env = env};
    const struct node *root;

    *ret = (struct agent_config){.arena = ARENA_INIT};
    if (node_read(&ret->arena, yaml, env, &root, err) < 0) {
        buf_printf(problems, "%s\n", err->msg);
        return err_set(err, ERR_INVALID, "the configuration cannot be read");
    }
    read_top(&f, root);
    if (f.n_problems)
        return err_set(err, ERR_INVALID, "invalid configuration: %zu problem%s", f.n_problems,
                       f.n_problems > 1 ? "s" : "");
    return 0;
}

void config_done(struct agent_config *c)
{
    arena_done(&c->arena);
}
