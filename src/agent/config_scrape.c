/* SPDX-License-Identifier: Apache-2.0
 *
 * The prometheus receiver: Prometheus' scrape_configs with static targets. */
#include "agent/config_int.h"
#include "base/mem.h"
#include "net/http.h"

#define INTERVAL_MS 60000

static void read_labels(struct conf *f, const struct node *n, const char *path, struct attrs *out)
{
    if (n->kind == NODE_NULL)
        return;
    if (n->kind != NODE_MAP) {
        conf_problem(f, n, path, "a map of labels expected");
        return;
    }
    for (const struct node *m = n->first; m; m = m->next) {
        struct str v = STR_NONE;

        conf_text(f, m, conf_path(f, path, m->key), &v);
        attrs_set(&f->c->arena, out, m->key, otlpw_text(v));
    }
}

static void add_target(struct conf *f, const struct node *n, const char *path,
                       struct agent_job *job, struct str address, struct attrs labels)
{
    AUTO_FREE char *text = mem_printf("http://%.*s", STR_ARG(address));
    struct http_url u;

    if (!http_url_split(str_of(text), &u) || u.target.n || u.host.n == 0) {
        conf_problem(f, n, path, "'%.*s' is not a target: write HOST:PORT", STR_ARG(address));
        return;
    }
    job->targets = arena_grow(&f->c->arena, job->targets, &job->cap_targets, job->n_targets,
                              sizeof(*job->targets));
    job->targets[job->n_targets++] = (struct agent_target){address, labels};
}

static void read_static(struct conf *f, const struct node *n, const char *path, void *out)
{
    static const struct conf_key keys[] = {{"targets", NULL, 0}, {"labels", NULL, 0}};
    size_t i = 0;

    if (!conf_is_list(f, n, path))
        return;
    for (const struct node *c = n->first; c; c = c->next, i++) {
        const char *at = conf_path_at(f, path, i);
        const struct node *targets = node_get(c, "targets"), *labels = node_get(c, "labels");
        struct attrs l = {0};
        struct str *list;
        size_t count = 0;

        if (!conf_map(f, c, at, keys, ARRAY_LEN(keys), NULL))
            continue;
        if (labels)
            read_labels(f, labels, conf_path(f, at, STR("labels")), &l);
        if (!targets)
            continue;
        at = conf_path(f, at, STR("targets"));
        list = conf_texts(f, targets, at, &count);
        for (size_t k = 0; k < count; k++)
            add_target(f, targets, conf_path_at(f, at, k), out, list[k], l);
    }
}

static void read_fallback(struct conf *f, const struct node *n, const char *path, void *out)
{
    static const enum promtext_format text = PROMTEXT_004, om = PROMTEXT_OPENMETRICS;
    struct str s = STR_NONE;

    conf_text(f, n, path, &s);
    if (str_is(s, "PrometheusText0.0.4") || str_is(s, "PrometheusText1.0.0"))
        *(const enum promtext_format **)out = &text;
    else if (str_is(s, "OpenMetricsText1.0.0") || str_is(s, "OpenMetricsText0.0.1"))
        *(const enum promtext_format **)out = &om;
    else
        conf_problem(f, n, path,
                     "'%.*s' is not supported here: PrometheusText0.0.4, PrometheusText1.0.0, "
                     "OpenMetricsText0.0.1 and OpenMetricsText1.0.0 are",
                     STR_ARG(s));
}

static void read_scheme(struct conf *f, const struct node *n, const char *path, void *out)
{
    struct str s = STR_NONE;

    conf_text(f, n, path, &s);
    if (!str_is(s, "http") && !str_is(s, "https"))
        conf_problem(f, n, path, "http or https expected");
    else
        *(struct str *)out = s;
}

static void read_path(struct conf *f, const struct node *n, const char *path, void *out)
{
    struct str s = STR_NONE;

    conf_text(f, n, path, &s);
    if (s.n == 0 || s.p[0] != '/')
        conf_problem(f, n, path, "a path that begins with '/' expected");
    else
        *(struct str *)out = s;
}

static void read_job(struct conf *f, const struct node *n, const char *path)
{
    static const struct conf_key keys[] = {
#define AT(field) offsetof(struct agent_job, field)
        {"job_name", conf_text, AT(name)},
        {"scrape_interval", conf_duration, AT(interval_ms)},
        {"scrape_timeout", conf_duration, AT(timeout_ms)},
        {"metrics_path", read_path, AT(path)},
        {"scheme", read_scheme, AT(scheme)},
        {"honor_labels", conf_bool, AT(honor_labels)},
        {"honor_timestamps", conf_bool, AT(honor_timestamps)},
        {"static_configs", read_static, 0},
        {"sample_limit", conf_count, AT(sample_limit)},
        {"body_size_limit", conf_count, AT(body_size_limit)},
        {"fallback_scrape_protocol", read_fallback, AT(fallback)},
        {"tls_config", conf_tls, AT(tls)},
        {"enable_compression", NULL, 0},
        {"follow_redirects", NULL, 0},
#undef AT
    };
    struct agent_config *c = f->c;
    struct agent_job *job;

    c->jobs = arena_grow(&c->arena, c->jobs, &c->cap_jobs, c->n_jobs, sizeof(*c->jobs));
    job = &c->jobs[c->n_jobs++];
    *job = (struct agent_job){.path = STR("/metrics"),
                              .scheme = STR("http"),
                              .interval_ms = f->global_interval_ms,
                              .timeout_ms = f->global_timeout_ms,
                              .honor_timestamps = true};
    if (!conf_map(f, n, path, keys, ARRAY_LEN(keys), job))
        return;
    if (job->name.n == 0)
        conf_problem(f, n, path, "job_name is missing");
    for (struct agent_job *j = c->jobs; j < job; j++)
        if (str_eq(j->name, job->name))
            conf_problem(f, n, path, "the job_name '%.*s' is there twice", STR_ARG(job->name));
    if (job->interval_ms < 10)
        conf_problem(f, n, conf_path(f, path, STR("scrape_interval")), "10ms or more expected");
    if (job->timeout_ms > job->interval_ms && node_get(n, "scrape_timeout"))
        conf_problem(f, n, conf_path(f, path, STR("scrape_timeout")),
                     "must not be above scrape_interval");
}

static void read_jobs(struct conf *f, const struct node *n, const char *path, void *out)
{
    size_t i = 0;

    (void)out;
    if (!conf_is_list(f, n, path))
        return;
    for (const struct node *c = n->first; c; c = c->next, i++)
        read_job(f, c, conf_path_at(f, path, i));
}

static void read_global(struct conf *f, const struct node *n, const char *path, void *out)
{
    static const struct conf_key keys[] = {
        {"scrape_interval", conf_duration, offsetof(struct conf, global_interval_ms)},
        {"scrape_timeout", conf_duration, offsetof(struct conf, global_timeout_ms)},
        {"evaluation_interval", NULL, 0},
    };

    (void)out;
    conf_map(f, n, path, keys, ARRAY_LEN(keys), f);
}

static void read_config(struct conf *f, const struct node *n, const char *path, void *out)
{
    static const struct conf_key keys[] = {{"global", NULL, 0}, {"scrape_configs", NULL, 0}};
    const struct node *global = node_get(n, "global"), *jobs = node_get(n, "scrape_configs");

    f->global_interval_ms = INTERVAL_MS;
    f->global_timeout_ms = 0;
    if (!conf_map(f, n, path, keys, ARRAY_LEN(keys), out))
        return;
    if (global) /* wherever it stands: the jobs take their defaults from it */
        read_global(f, global, conf_path(f, path, STR("global")), out);
    if (jobs)
        read_jobs(f, jobs, conf_path(f, path, STR("scrape_configs")), out);
}

void conf_prometheus(struct conf *f, const struct node *n, const char *path)
{
    static const struct conf_key keys[] = {{"config", read_config, 0}};

    if (n->kind == NODE_NULL || !node_get(n, "config"))
        conf_problem(f, n, path, "config with scrape_configs is missing");
    else
        conf_map(f, n, path, keys, ARRAY_LEN(keys), NULL);
}
