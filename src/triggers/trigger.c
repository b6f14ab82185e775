/* SPDX-License-Identifier: Apache-2.0 */
#include "triggers/trigger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "codec/quantity.h"
#include "triggers/hub_int.h"
#include "triggers/metric_name.h"
#include "triggers/trigger_int.h"

static const struct trigger_type *const types[] = {
    &trigger_prometheus,    &trigger_cron,        &trigger_workload,
    &trigger_cpu,           &trigger_memory,      &trigger_external,
    &trigger_external_push, &trigger_metrics_api, &trigger_graphite};

const struct trigger_type *trigger_type_named(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (strcmp(types[i]->name, name) == 0)
            return types[i];
    return NULL;
}

const struct trigger_type *trigger_type_at(size_t i)
{
    return i < ARRAY_LEN(types) ? types[i] : NULL;
}

static int unknown_type(const char *name, struct err *err)
{
    struct buf known = BUF_INIT;

    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        buf_printf(&known, "%s%s", i ? ", " : "", types[i]->name);
    err_set(err, ERR_INVALID, "no scaler found for type: %s; those that exist here: %s", name,
            buf_cstr(&known));
    buf_done(&known);
    return ERR_INVALID;
}

static int check_metric_type(const struct trigger *t, struct err *err)
{
    static const char *const known[] = {"", "AverageValue", "Value"};

    if (!t->type->is_external)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(t->metric_type, known[i]) == 0)
            return 0;
    return err_set(err, ERR_INVALID,
                   "error getting scaler metric type: metricType '%s' is not AverageValue or "
                   "Value (Utilization is only for cpu and memory)",
                   t->metric_type);
}

/* --- authentication --- */

struct trigger_source {
    json_t *spec, *scale_target;
};

static struct trigger_source *keep_source(const struct trigger_options *o)
{
    struct trigger_source *s;

    if (o->auth || !auth_is_needed(o->spec))
        return NULL;
    s = mem_zalloc(sizeof(*s));
    s->spec = json_deep_copy(o->spec);
    s->scale_target = o->scale_target ? json_deep_copy(o->scale_target) : NULL;
    return s;
}

static int resolve(struct trigger *t, struct auth *ret, struct err *err)
{
    const struct trigger_world *w = t->w;
    struct auth_options o = {.cluster = w->cluster,
                             .ns = str_of(t->ns),
                             .trigger = t->source->spec,
                             .scale_target = t->source->scale_target,
                             .cluster_ns = str_of(w->cluster_ns ? w->cluster_ns : "keda"),
                             .file_root = w->file_root,
                             .tokens = w->tokens};

    return auth_resolve(&o, ret, err);
}

const char *trigger_param(const struct trigger *t, const char *name)
{
    return t->auth ? auth_param(t->auth, name) : NULL;
}

const char *trigger_env(const struct trigger *t, const char *name)
{
    return t->auth ? table_get(&t->auth->env, str_of(name)) : NULL;
}

void trigger_scrub(const struct trigger *t, char *text)
{
    if (t->auth)
        auth_scrub(t->auth, text);
}

/* --- making one --- */

static int check_pod_identity(const struct trigger *t, struct err *err)
{
    const char *p = t->auth ? t->auth->pod_identity : NULL;

    return p && strcmp(p, "none") != 0
               ? err_set(err, ERR_UNSUPPORTED,
                         "podIdentity '%s' does not exist here: it is for clouds", p)
               : 0;
}

/* Why a parameter is absent is rarely seen from the trigger. */
static int explain(const struct trigger *t, const struct err *wrong, struct err *err)
{
    const char *why = t->auth ? buf_cstr(&t->auth->missing) : "";
    char text[sizeof(wrong->msg)];

    snprintf(text, sizeof(text), "%.*s%s%.*s%s", 600, wrong->msg, *why ? " (" : "", 300, why,
             *why ? ")" : "");
    trigger_scrub(t, text);
    return err_set(err, wrong->code, "%s", text);
}

static int parse(struct trigger *t, const json_t *spec, struct err *err)
{
    struct err wrong = ERR_INIT;

    if (check_metric_type(t, &wrong) < 0 || check_pod_identity(t, &wrong) < 0 ||
        t->type->parse(t, json_object_get(spec, "metadata"), &wrong) < 0)
        return explain(t, &wrong, err);
    return 0;
}

static void unmake(struct trigger *t)
{
    if (t->type->done)
        t->type->done(t);
    free(t->query);
    t->query = NULL;
    t->threshold = t->activation = 0;
    memset((char *)t + sizeof(*t), 0, t->type->size - sizeof(*t));
}

static void start(struct trigger *t)
{
    if (t->type->start)
        t->type->start(t);
}

void trigger_set_texts(struct trigger *t, struct str ns, struct str so_name, const char *given_name,
                       const char *metric_type)
{
    struct str all[] = {ns, so_name, str_of(given_name), str_of(metric_type)};
    const char *at[ARRAY_LEN(all)];
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        n += all[i].n + 1;
    t->ns = mem_zalloc(n);
    n = 0;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        at[i] = t->ns + n;
        if (all[i].n)
            memcpy(t->ns + n, all[i].p, all[i].n);
        n += all[i].n + 1;
    }
    t->so_name = at[1];
    t->given_name = at[2];
    t->metric_type = at[3];
}

/* What is given, or what there is to resolve; negative: that has failed. */
static int find_auth(struct trigger *t, const struct trigger_options *o, struct err *err)
{
    t->source = keep_source(o);
    if (!o->auth && !t->source)
        return 0;
    t->auth = mem_zalloc(sizeof(*t->auth));
    if (!o->auth)
        return resolve(t, t->auth, err);
    *t->auth = *o->auth;
    *o->auth = (struct auth){0};
    return 0;
}

int trigger_new(const struct trigger_options *o, struct trigger **ret, struct err *err)
{
    const char *name = json_text(o->spec, "type", "");
    const struct trigger_type *type = trigger_type_named(name);
    struct err bad = ERR_INIT;
    struct trigger *t;
    int r;

    if (!type)
        return unknown_type(name, err);
    t = mem_zalloc(type->size);
    t->type = type;
    t->w = o->world;
    trigger_set_texts(t, o->ns, o->so_name, json_text(o->spec, "name", ""),
                      json_text(o->spec, "metricType", ""));
    t->index = o->index;
    t->poll_ms = o->poll_ms;
    t->is_average = strcmp(t->metric_type, "Value") != 0;
    t->has_modifiers = o->has_modifiers;
    t->changed = o->changed;
    t->respec = o->respec;
    t->changed_arg = o->arg;
    t->name = type->is_external
                  ? trigger_metric_name_of(name, o->index, json_object_get(o->spec, "metadata"),
                                           o->ns, NULL)
                  : mem_strdup(name);
    list_init(&t->hub_link);
    r = find_auth(t, o, &bad);
    r = r < 0 ? explain(t, &bad, err) : parse(t, o->spec, err);
    if (r < 0) {
        trigger_free(t);
        return r;
    }
    start(t);
    hub_add(t);
    *ret = t;
    return 0;
}

/* The same parameters from other objects, or for longer. */
static void take_sources(struct auth *to, struct auth *from)
{
    struct auth was = *to;

    to->sources = from->sources;
    to->n_sources = from->n_sources;
    to->sources_cap = from->sources_cap;
    to->expires_ms = from->expires_ms;
    from->sources = was.sources;
    from->n_sources = was.n_sources;
}

static void make_anew(struct trigger *t, const struct err *bad)
{
    struct err err = ERR_INIT;
    int r;

    free(t->broken);
    t->broken = NULL;
    r = bad->code ? explain(t, bad, &err) : parse(t, t->source->spec, &err);
    if (r == 0) {
        start(t);
        return;
    }
    unmake(t);
    t->broken = mem_strdup(err.msg);
}

void trigger_refresh(struct trigger *t)
{
    struct auth fresh = {0};
    struct err bad = ERR_INIT;
    int r = resolve(t, &fresh, &bad);

    if (r == 0 && fresh.digest == t->auth->digest && !t->broken) {
        take_sources(t->auth, &fresh);
        auth_done(&fresh);
        hub_update(t);
        return;
    }
    unmake(t);
    auth_done(t->auth);
    *t->auth = fresh;
    hub_update(t);
    make_anew(t, &bad);
    trigger_tell(t);
}

void trigger_tell(struct trigger *t)
{
    if (t->changed)
        t->changed(t->changed_arg);
}

void trigger_free(struct trigger *t)
{
    if (!t)
        return;
    for (size_t i = 0; t->more && i < TRIGGER_METRICS_MAX - 1; i++)
        trigger_free(t->more[i]);
    free(t->more);
    hub_remove(t);
    unmake(t);
    if (t->auth)
        auth_done(t->auth);
    free(t->auth);
    if (t->source) {
        json_decref(t->source->spec);
        json_decref(t->source->scale_target);
    }
    free(t->source);
    free(t->ns);
    free(t->name);
    free(t->broken);
    free(t);
}

size_t trigger_metric_count(const struct trigger *t)
{
    return 1 + t->n_more;
}

struct trigger *trigger_metric(struct trigger *t, size_t i)
{
    return i ? t->more[i - 1] : t;
}

const char *trigger_metric_name(const struct trigger *t)
{
    return t->name;
}

const char *trigger_scaler(const struct trigger *t)
{
    return *t->given_name ? t->given_name : t->type->scaler;
}

bool trigger_is_external(const struct trigger *t)
{
    return t->type->is_external;
}

double trigger_activation(const struct trigger *t)
{
    return t->activation;
}

const char *trigger_query(const struct trigger *t)
{
    return t->query ? t->query : "";
}

bool trigger_is_active(const struct trigger *t, const struct decision_metric *m)
{
    if (!t->broken && t->type->is_active)
        return t->type->is_active(t, m);
    return m->state != METRIC_UNKNOWN && m->value > t->activation;
}

bool trigger_has_spec(const struct trigger *t, const char **ret_why)
{
    *ret_why = t->broken;
    return !t->broken && (!t->type->has_spec || t->type->has_spec(t, ret_why));
}

double trigger_threshold(const struct trigger *t)
{
    return t->threshold;
}

bool trigger_is_waiting(const struct trigger *t)
{
    return !t->broken && t->type->is_waiting && t->type->is_waiting(t);
}

bool trigger_is_builtin(const struct trigger *t)
{
    return !t->broken && t->type->is_builtin && t->type->is_builtin(t);
}

json_t *trigger_metric_spec(const struct trigger *t, const char *so_name)
{
    struct quantity q = quantity_of_double(t->threshold);
    char text[64];

    if (t->type->metric_spec)
        return t->type->metric_spec(t);
    return json_pack("{s:s,s:{s:{s:s,s:{s:{s:s}}},s:{s:s,s:s}}}", "type", "External", "external",
                     "metric", "name", t->name, "selector", "matchLabels",
                     "scaledobject.keda.sh/name", so_name, "target", "type",
                     t->is_average ? "AverageValue" : "Value",
                     t->is_average ? "averageValue" : "value", quantity_text(&q, text));
}

void trigger_unknown(struct decision_metric *m, const char *why)
{
    m->state = METRIC_UNKNOWN;
    snprintf(m->why, sizeof(m->why), "%.239s", why);
}

void trigger_value(struct trigger *t, int64_t now, const struct trigger_target *target,
                   struct decision_metric *m, char *warning, size_t cap)
{
    int64_t began_ns;

    *m = (struct decision_metric){
        .state = METRIC_UNKNOWN, .is_average = t->is_average, .at_ms = now};
    snprintf(m->name, sizeof(m->name), "%.79s", t->name);
    snprintf(m->query, sizeof(m->query), "%.159s", trigger_query(t));
    warning[0] = '\0';
    if (t->broken) {
        trigger_unknown(m, t->broken);
    } else {
        began_ns = clock_mono_ns(&clock_system); /* the loop's stands still meanwhile */
        t->type->value(t, now, target, m, warning, cap);
        t->took_ns = clock_mono_ns(&clock_system) - began_ns;
    }
    trigger_scrub(t, m->why);
    trigger_scrub(t, warning);
}

static bool is_key_of(const struct trigger_type *type, struct str key)
{
    if (str_ends(key, STR("FromEnv")))
        key.n -= strlen("FromEnv");
    for (const char *const *k = type->keys; *k; k++)
        if (str_is(key, *k))
            return true;
    return false;
}

bool trigger_unexpected_keys(const json_t *spec, struct buf *out)
{
    const struct trigger_type *type = trigger_type_named(json_text(spec, "type", ""));
    size_t before = out->n;
    const char *key;
    const json_t *v;

    if (!type || !type->keys)
        return false;
    json_members (json_object_get(spec, "metadata"), key, v)
        if (!is_key_of(type, str_of(key)))
            buf_printf(out, "%s%s", out->n > before ? ", " : "", key);
    return out->n > before;
}
