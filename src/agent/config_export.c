/* SPDX-License-Identifier: Apache-2.0
 *
 * Exporters, with the collector's defaults: TLS on, gzip, 5 s, retries from 5 s to 30 s for 300 s,
 * a queue of 1000 requests. */
#include <ctype.h>

#include "agent/config_int.h"
#include "base/mem.h"
#include "net/http.h"

static void read_retry(struct conf *f, const struct node *n, const char *path, void *out)
{
    static const struct conf_key keys[] = {
#define AT(field) offsetof(struct agent_retry, field)
        {"enabled", conf_bool, AT(is_enabled)},
        {"initial_interval", conf_duration, AT(initial_ms)},
        {"randomization_factor", conf_number, AT(randomization)},
        {"multiplier", conf_number, AT(multiplier)},
        {"max_interval", conf_duration, AT(max_interval_ms)},
        {"max_elapsed_time", conf_duration, AT(max_elapsed_ms)},
#undef AT
    };
    struct agent_retry *r = out;

    if (!conf_map(f, n, path, keys, ARRAY_LEN(keys), r))
        return;
    r->is_explicit = node_get(n, "initial_interval") != NULL;
    if (r->initial_ms < 1 || r->multiplier < 1 || r->randomization > 1 ||
        r->max_interval_ms < r->initial_ms)
        conf_problem(f, n, path,
                     "expected: initial_interval from 1ms, max_interval not below it, multiplier "
                     "from 1, randomization_factor up to 1");
}

/* num_consumers is taken: requests go out one after another, so that the newest comes last. */
static void read_queue(struct conf *f, const struct node *n, const char *path, void *out)
{
    static const struct conf_key keys[] = {
        {"enabled", conf_bool, offsetof(struct agent_exporter, has_queue)},
        {"queue_size", conf_count, offsetof(struct agent_exporter, queue_size)},
        {"num_consumers", NULL, 0},
    };
    struct agent_exporter *e = out;

    if (conf_map(f, n, path, keys, ARRAY_LEN(keys), e) && e->queue_size == 0)
        conf_problem(f, n, path, "queue_size must be 1 or more");
}

static void read_compression(struct conf *f, const struct node *n, const char *path, void *out)
{
    struct agent_exporter *e = out;
    struct str s = STR_NONE;

    conf_text(f, n, path, &s);
    if (str_is(s, "none") || s.n == 0)
        e->compression = COMPRESSION_NONE;
    else if (str_is(s, "gzip"))
        e->compression = COMPRESSION_GZIP;
    else if (str_is(s, "zstd"))
        e->compression = COMPRESSION_ZSTD;
    else
        conf_problem(f, n, path, "'%.*s' is not supported here: none, gzip and zstd are",
                     STR_ARG(s));
}

static void read_headers(struct conf *f, const struct node *n, const char *path, void *out)
{
    struct agent_exporter *e = out;
    size_t cap = 0;

    if (n->kind != NODE_MAP) {
        if (n->kind != NODE_NULL)
            conf_problem(f, n, path, "a map of names and texts expected");
        return;
    }
    for (const struct node *m = n->first; m; m = m->next) {
        struct agent_header h = {.value = STR_NONE};
        char *name = arena_strdup(&f->c->arena, m->key);

        for (size_t i = 0; i < m->key.n; i++)
            name[i] = (char)tolower((unsigned char)name[i]);
        h.name = str_n(name, m->key.n);
        conf_text(f, m, conf_path(f, path, m->key), &h.value);
        if (str_chr(h.value, '\n') >= 0 || str_chr(h.value, '\r') >= 0)
            conf_problem(f, m, conf_path(f, path, m->key), "a header is one line");
        e->headers = arena_grow(&f->c->arena, e->headers, &cap, e->n_headers, sizeof(*e->headers));
        e->headers[e->n_headers++] = h;
    }
}

/* "HOST:PORT", also with dns:///, http:// and https:// before it, whose scheme decides on TLS. */
static void read_endpoint(struct conf *f, const struct node *n, const char *path, void *out)
{
    struct agent_exporter *e = out;
    struct str s = STR_NONE;
    AUTO_FREE char *url = NULL;
    struct http_url u;

    conf_text(f, n, path, &s);
    if (str_starts(s, STR("http://"))) {
        e->tls.insecure = true;
        s = str_skip(s, 7);
    } else if (str_starts(s, STR("https://"))) {
        s = str_skip(s, 8);
    } else if (str_starts(s, STR("dns:///"))) {
        s = str_skip(s, 7);
    }
    url = mem_printf("http://%.*s", STR_ARG(s));
    if (!http_url_split(str_of(url), &u) || u.host.n == 0 || u.target.n || str_chr(s, ':') < 0) {
        conf_problem(f, n, path, "'%.*s' is not an endpoint: write HOST:PORT", STR_ARG(s));
        return;
    }
    e->endpoint = arena_strdup(&f->c->arena, s);
}

static void read_otlp(struct conf *f, const struct node *n, const char *path,
                      struct agent_exporter *e)
{
    static const struct conf_key keys[] = {
#define AT(field) offsetof(struct agent_exporter, field)
        {"endpoint", read_endpoint, 0},
        {"tls", conf_tls, AT(tls)},
        {"compression", read_compression, 0},
        {"timeout", conf_duration, AT(timeout_ms)},
        {"retry_on_failure", read_retry, AT(retry)},
        {"sending_queue", read_queue, 0},
        {"headers", read_headers, 0},
        {"balancer_name", NULL, 0},
        {"read_buffer_size", NULL, 0},
        {"write_buffer_size", NULL, 0},
        {"wait_for_ready", NULL, 0},
#undef AT
    };

    if (conf_map(f, n, path, keys, ARRAY_LEN(keys), e) && !node_get(n, "endpoint"))
        conf_problem(f, n, path, "endpoint is missing: write HOST:PORT");
}

static void read_debug(struct conf *f, const struct node *n, const char *path)
{
    static const struct conf_key keys[] = {{"verbosity", NULL, 0},
                                           {"sampling_initial", NULL, 0},
                                           {"sampling_thereafter", NULL, 0},
                                           {"use_internal_logger", NULL, 0}};

    conf_map(f, n, path, keys, ARRAY_LEN(keys), NULL);
}

void conf_exporter(struct conf *f, const struct node *n, const char *path, struct str type)
{
    struct agent_config *c = f->c;
    struct agent_exporter e = {
        .name = n->key,
        .is_debug = str_is(type, "debug"),
        .compression = COMPRESSION_GZIP,
        .timeout_ms = 5000,
        .retry = {.is_enabled = true,
                  .initial_ms = 5000,
                  .max_interval_ms = 30000,
                  .max_elapsed_ms = 300000,
                  .multiplier = 1.5,
                  .randomization = 0.5},
        .has_queue = true,
        .queue_size = 1000,
    };

    if (e.is_debug) {
        e.endpoint = "the log";
        read_debug(f, n, path);
    } else {
        read_otlp(f, n, path, &e);
    }
    c->exporters = arena_grow(&c->arena, c->exporters, &c->cap_exporters, c->n_exporters,
                              sizeof(*c->exporters));
    c->exporters[c->n_exporters++] = e;
}
