/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration of an OpenTelemetry collector, as far as the sidecar that KServe generates goes
 * (and a bit further): prometheus receivers, the processors resourcedetection (env), resource,
 * transform, filter, batch, and the exporters otlp, otlp_grpc and debug, in one metrics pipeline.
 *
 * Everything else is refused by name, with its path and line, all problems at once: a key that is
 * left out silently is a metric that is missing later. */
#ifndef FB_AGENT_CONFIG_H
#define FB_AGENT_CONFIG_H

#include "agent/attrs.h"
#include "agent/node.h"
#include "codec/compress.h"
#include "codec/promtext.h"

struct agent_tls {
    bool insecure; /* clear text */
    bool skip_verify;
    struct str ca_pem, cert_pem, key_pem;
    const char *server_name; /* NULL: the host */
};

struct agent_target {
    struct str address; /* "HOST:PORT" */
    struct attrs labels;
};

struct agent_job {
    struct str name, path, scheme;
    int64_t interval_ms;
    int64_t timeout_ms; /* 0: not given */
    bool honor_labels, honor_timestamps;
    int64_t sample_limit;    /* 0: none */
    int64_t body_size_limit; /* 0: none given */
    const enum promtext_format *fallback;
    struct agent_tls tls;
    struct agent_target *targets;
    size_t n_targets, cap_targets;
};

/* One thing done to every data point, or to its resource, in the pipeline's order. */
enum agent_step_kind {
    STEP_ENVIRONMENT, /* OTEL_RESOURCE_ATTRIBUTES into the resource */
    STEP_SET,         /* an attribute from another one, or from a literal */
    STEP_DELETE,      /* an attribute */
    STEP_FILTER,
};

enum agent_scope { SCOPE_LITERAL, SCOPE_POINT, SCOPE_RESOURCE };

enum agent_when { WHEN_ALWAYS, WHEN_ABSENT, WHEN_PRESENT }; /* upsert, insert, update */

struct agent_condition {
    bool is_equal; /* name == "x", else name != "x" */
    struct str name;
};

struct agent_step {
    enum agent_step_kind kind;
    struct attrs environment; /* STEP_ENVIRONMENT */
    bool override;
    enum agent_scope scope, from; /* STEP_SET, STEP_DELETE: where; where from */
    enum agent_when when;
    struct str key, from_key;
    struct otlpw_value literal;
    bool has_include; /* STEP_FILTER */
    struct str *include, *exclude;
    struct agent_condition *drop; /* any of them drops */
    size_t n_include, n_exclude, n_drop;
};

struct agent_retry {
    bool is_enabled, is_explicit;                        /* explicit: initial_ms was given */
    int64_t initial_ms, max_interval_ms, max_elapsed_ms; /* max_elapsed 0: for ever */
    double multiplier, randomization;
};

struct agent_header {
    struct str name, value;
};

struct agent_exporter {
    struct str name;
    bool is_debug;
    const char *endpoint; /* HOST:PORT */
    enum compression compression;
    struct agent_tls tls;
    int64_t timeout_ms;
    struct agent_retry retry;
    bool has_queue;
    int64_t queue_size;
    struct agent_header *headers;
    size_t n_headers;
};

struct agent_config {
    struct arena arena;
    struct agent_job *jobs;
    size_t n_jobs, cap_jobs;
    struct agent_step *steps;
    size_t n_steps, cap_steps;
    struct agent_exporter *exporters;
    size_t n_exporters, cap_exporters;
};

/* ERR_INVALID: *problems has a line each, "PATH (line N): what"; config_done either way. env is
 * asked for ${env:...} and OTEL_RESOURCE_ATTRIBUTES. */
int config_read(struct str yaml, node_getenv *env, struct agent_config *ret, struct buf *problems,
                struct err *err);
void config_done(struct agent_config *c);
/* Go's durations ("1m30s", "100ms", "1.5h") and Prometheus' ("1d", "2w"). */
bool config_duration(struct str s, int64_t *ret_ms);

#endif
