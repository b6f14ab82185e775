/* SPDX-License-Identifier: Apache-2.0
 *
 * flyball-agent: reads the configuration, runs the collector until it is told to end. */
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/collector.h"
#include "agent/exporter.h"
#include "base/log.h"
#include "base/mem.h"

#define HEARTBEAT_MS 5000
#define HEARTBEAT_MAX_MS 60000 /* receivers forget a series after two minutes */
#define DRAIN_MS 2000
#define CONFIG_MAX ((size_t)1 << 20)

struct options {
    const char *config;
    int64_t interval_ms, heartbeat_ms;
    bool is_check;
};

struct agent {
    struct loop *loop;
    struct agent_config config;
    struct http_client *http;
    struct collector *collector;
    struct exporter **exporters;
    size_t n, draining;
};

static const char help[] =
    "Usage: flyball-agent --config=SOURCE [OPTION]...\n\n"
    "Sidecar collector: scrapes Prometheus metrics, pushes them as OTLP over gRPC. Reads the\n"
    "configuration of an OpenTelemetry collector and refuses, by name, what it does not "
    "support.\n\n"
    "  --config=SOURCE       env:NAME, yaml:TEXT, file:PATH or a path\n"
    "  --interval=DURATION   scrape so often, whatever scrape_interval says; from 10ms\n"
    "  --heartbeat=DURATION  push unchanged values so often, default 5s; 0 pushes every scrape\n"
    "  --check               only say whether the configuration can be used\n"
    "  --feature-gates=LIST  taken for compatibility and ignored\n"
    "  --version             print the version\n";

/* --- options --- */

/* "--name=value" or "--name value"; NULL: another option. */
static const char *value_of(const char *name, int argc, char **argv, int *i)
{
    size_t n = strlen(name);

    if (strncmp(argv[*i], name, n) != 0 || (argv[*i][n] && argv[*i][n] != '='))
        return NULL;
    if (argv[*i][n] == '=')
        return argv[*i] + n + 1;
    return *i + 1 < argc ? argv[++*i] : "";
}

static bool duration(const char *name, const char *text, int64_t min, int64_t max, int64_t *ret)
{
    if (config_duration(str_of(text), ret) && (*ret >= min && *ret <= max))
        return true;
    fprintf(stderr, "flyball-agent: %s: '%s' is not a duration from %lldms to %llds\n", name, text,
            (long long)min, (long long)max / 1000);
    return false;
}

/* 0: go on; 1: done; 2: called wrongly. */
static int parse_args(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *v;

        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(help, stdout);
            return 1;
        }
        if (strcmp(argv[i], "--version") == 0) {
            puts("flyball-agent " FLYBALL_VERSION);
            return 1;
        }
        if (strcmp(argv[i], "--check") == 0) {
            o->is_check = true;
        } else if ((v = value_of("--config", argc, argv, &i))) {
            if (o->config) {
                fputs("flyball-agent: --config: one is read, not several\n", stderr);
                return 2;
            }
            o->config = v;
        } else if ((v = value_of("--interval", argc, argv, &i))) {
            if (!duration("--interval", v, 10, 3600000, &o->interval_ms))
                return 2;
        } else if ((v = value_of("--heartbeat", argc, argv, &i))) {
            if (!duration("--heartbeat", v, 0, HEARTBEAT_MAX_MS, &o->heartbeat_ms))
                return 2;
        } else if (!value_of("--feature-gates", argc, argv, &i)) {
            fprintf(stderr, "flyball-agent: '%s' is not an option; see --help\n", argv[i]);
            return 2;
        }
    }
    if (!o->config || !*o->config) {
        fputs("flyball-agent: --config is missing; see --help\n", stderr);
        return 2;
    }
    return 0;
}

/* --- configuration --- */

static int read_source(const char *source, struct buf *out, struct err *err)
{
    const char *path = strncmp(source, "file:", 5) == 0 ? source + 5 : source;
    char part[8192];
    ssize_t n;
    int fd;

    if (strncmp(source, "yaml:", 5) == 0) {
        buf_add_cstr(out, source + 5);
        return 0;
    }
    if (strncmp(source, "env:", 4) == 0) {
        const char *text = getenv(source + 4);

        if (!text || !*text)
            return err_set(err, ERR_NOT_FOUND,
                           "the environment variable '%s' is not set: it has to hold the "
                           "collector's configuration",
                           source + 4);
        buf_add_cstr(out, text);
        return 0;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_NOT_FOUND, "the file '%s' cannot be read: %m", path);
    while ((n = read(fd, part, sizeof(part))) > 0)
        buf_add(out, part, (size_t)n);
    close(fd);
    if (n < 0 || out->overflow)
        return err_set(err, ERR_IO, "the file '%s' cannot be read, or is larger than 1 MiB", path);
    return 0;
}

/* Where the kubelet looks for a container's last words. */
static void leave_message(struct str text)
{
    int fd = open("/dev/termination-log", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (write(fd, text.p, text.n < 4096 ? text.n : 4096) < 0)
        log_debug("agent", "no termination message: %m");
    close(fd);
}

static int say_problems(const char *what, struct str problems)
{
    struct buf b = BUF_INIT;

    buf_printf(&b, "flyball-agent: %s\n%.*s", what, STR_ARG(problems));
    fwrite(b.p, 1, b.n, stderr);
    leave_message(buf_str(&b));
    buf_done(&b);
    return 1;
}

static const char *from_environment(const char *name)
{
    return getenv(name);
}

static int read_config(const struct options *o, struct agent_config *c)
{
    struct buf text = BUF_INIT_MAX(CONFIG_MAX), problems = BUF_INIT;
    struct err err = ERR_INIT;
    int rc = 0;

    if (read_source(o->config, &text, &err) < 0)
        rc = say_problems(err.msg, STR_NONE);
    else if (config_read(buf_str(&text), from_environment, c, &problems, &err) < 0)
        rc = say_problems(err.msg, buf_str(&problems));
    buf_done(&text);
    buf_done(&problems);
    return rc;
}

/* --- running --- */

static void on_request(void *arg, struct str request)
{
    struct agent *a = arg;

    for (size_t i = 0; i < a->n; i++)
        exporter_push(a->exporters[i], request);
}

static bool is_lost(void *arg)
{
    struct agent *a = arg;

    for (size_t i = 0; i < a->n; i++)
        if (exporter_is_lost(a->exporters[i]))
            return true;
    return false;
}

static void on_drained(void *arg)
{
    struct agent *a = arg;

    if (--a->draining == 0)
        loop_stop(a->loop);
}

/* The ends of all series go out, then the agent ends; a second signal does not wait for that. */
static void on_signal(void *arg, int signum)
{
    struct agent *a = arg;

    if (a->draining) {
        loop_stop(a->loop);
        return;
    }
    log_info("agent", "signal %d: telling the receiver that all series end", signum);
    a->draining = a->n;
    collector_end(a->collector);
    for (size_t i = 0; i < a->n; i++)
        exporter_drain(a->exporters[i], DRAIN_MS, on_drained, a);
    if (a->n == 0)
        loop_stop(a->loop);
}

static int start(struct agent *a, const struct options *o, struct err *err)
{
    a->exporters = mem_array(a->config.n_exporters + 1, sizeof(*a->exporters));
    for (size_t i = 0; i < a->config.n_exporters; i++) {
        const struct agent_exporter *e = &a->config.exporters[i];
        struct exporter_transport way;

        if (e->is_debug)
            exporter_debug(a->loop, &way);
        else if (exporter_grpc(a->loop, e, &way, err) < 0)
            return err->code;
        a->exporters[a->n++] = exporter_new(a->loop, e, &way);
    }
    a->http = http_client_new(a->loop);
    return collector_new(&(struct collector_options){.config = &a->config,
                                                     .loop = a->loop,
                                                     .http = a->http,
                                                     .interval_ms = o->interval_ms,
                                                     .heartbeat_ms = o->heartbeat_ms,
                                                     .pod_ip = getenv("POD_IP"),
                                                     .on_request = on_request,
                                                     .is_lost = is_lost,
                                                     .arg = a},
                         &a->collector, err);
}

static int run(struct agent *a, const struct options *o)
{
    struct err err = ERR_INIT;
    int rc = 0;

    a->loop = loop_new();
    if (start(a, o, &err) < 0) {
        rc = say_problems(err.msg, STR_NONE);
    } else if (!o->is_check) {
        loop_on_signal(a->loop, SIGTERM, on_signal, a);
        loop_on_signal(a->loop, SIGINT, on_signal, a);
        log_info("agent", "%zu jobs, %zu processing steps, %zu exporters", a->config.n_jobs,
                 a->config.n_steps, a->n);
        malloc_trim(0); /* what reading the configuration took */
        loop_run(a->loop);
    }
    collector_free(a->collector);
    for (size_t i = 0; i < a->n; i++)
        exporter_free(a->exporters[i]);
    free(a->exporters);
    http_client_free(a->http);
    loop_free(a->loop);
    return rc;
}

int main(int argc, char **argv)
{
    struct options o = {.heartbeat_ms = HEARTBEAT_MS};
    struct agent a = {0};
    int rc = parse_args(argc, argv, &o);

    if (rc != 0)
        return rc == 1 ? 0 : rc;
    log_init();
    signal(SIGPIPE, SIG_IGN);
    rc = read_config(&o, &a.config);
    if (rc == 0)
        rc = run(&a, &o);
    if (rc == 0 && o.is_check)
        puts("the configuration can be used");
    config_done(&a.config);
    return rc;
}
