/* SPDX-License-Identifier: Apache-2.0
 *
 * Readiness, liveness and startup probes: http, tcp, exec. Until its first success a probe backs
 * off from 20 ms to 1 s, whatever periodSeconds says: a process that is ready after 50 ms is in use
 * after 100. */
#include <signal.h>
#include <stdio.h>

#include "base/mem.h"
#include "kube/reconciler.h"
#include "net/conn.h"
#include "node/exec.h"

#define BACKOFF_MIN_MS 20
#define BACKOFF_MAX_MS 1000

static struct loop *loop_of(const struct probe *p)
{
    return p->c->pod->node->o.loop;
}

static int64_t seconds(const struct probe *p, const char *key, int64_t def)
{
    int64_t v = json_int(p->spec, key, def);

    return v > 0 ? v : def;
}

static void schedule(struct probe *p)
{
    if (p->has_succeeded) {
        loop_timer_start(&p->timer, seconds(p, "periodSeconds", 10) * 1000);
        return;
    }
    p->backoff_ms = p->backoff_ms ? p->backoff_ms * 2 : BACKOFF_MIN_MS;
    if (p->backoff_ms > BACKOFF_MAX_MS)
        p->backoff_ms = BACKOFF_MAX_MS;
    loop_timer_start(&p->timer, p->backoff_ms);
}

static void complain(struct probe *p, const char *why)
{
    struct npod *pod = p->c->pod;
    const struct object *o =
        cluster_get(pod->node->o.cluster, KIND_POD, str_of(pod->ns), str_of(pod->name));

    snprintf(p->c->message, sizeof(p->c->message), "%s probe failed: %s", p->name, why);
    if (o && p->has_succeeded)
        event_emit(pod->node->o.cluster, "kubelet", o, EVENT_WARNING, "Unhealthy",
                   "%s probe failed: %s", p->name, why);
}

static void clean(struct probe *p)
{
    loop_timer_stop(&p->limit);
    if (p->call)
        http_call_cancel(p->call);
    p->call = NULL;
    conn_close(p->conn);
    p->conn = NULL;
    node_exec_cancel(p->exec);
    p->exec = NULL;
    p->is_running = false;
}

/* As many failures in a row as allowed. Before the first success they come faster than
 * periodSeconds says, so that the time it means has to have passed as well. */
static bool gives_up(const struct probe *p)
{
    int64_t times = seconds(p, "failureThreshold", 3);
    int64_t ms =
        (json_int(p->spec, "initialDelaySeconds", 0) + times * seconds(p, "periodSeconds", 10)) *
        1000;

    return p->failures >= times &&
           (p->has_succeeded || loop_wall_ms(loop_of(p)) - p->c->run_started_ms >= ms);
}

static void end_run(struct probe *p)
{
    struct container *c = p->c;

    container_say(c, EVENT_NORMAL, "Killing", "Container %s failed %s probe, will be restarted",
                  c->name, p == &c->startup ? "startup" : "liveness");
    p->failures = 0;
    container_signal(c, SIGTERM);
}

static void result(struct probe *p, bool ok, const char *why)
{
    struct container *c = p->c;
    bool was_ready = c->is_ready, was_started = c->is_started;

    clean(p);
    if (ok) {
        p->failures = 0;
        p->successes++;
        p->has_succeeded = true;
        c->message[0] = '\0';
    } else {
        p->successes = 0;
        p->failures++;
        complain(p, why);
    }
    if (p == &c->startup) {
        if (ok) {
            c->is_started = true;
            probes_start(c);
            npod_sync(c->pod);
            return; /* a startup probe is done with its first success */
        }
        if (gives_up(p))
            end_run(p);
    } else if (p == &c->readiness) {
        if (ok && p->successes >= seconds(p, "successThreshold", 1))
            c->is_ready = true;
        else if (!ok && (!p->has_succeeded || p->failures >= seconds(p, "failureThreshold", 3)))
            c->is_ready = false;
    } else if (!ok && gives_up(p)) {
        end_run(p);
    }
    schedule(p);
    if (was_ready != c->is_ready || was_started != c->is_started ||
        (!ok && p == &c->readiness && !was_ready))
        npod_sync(c->pod);
}

/* --- http --- */

static void on_http(void *arg, const struct http_response *r, struct str body,
                    const struct err *err)
{
    struct probe *p = arg;
    char text[200];

    (void)body;
    p->call = NULL;
    if (err)
        snprintf(text, sizeof(text), "Get \"%s\": %.150s", json_text(p->spec, "httpGet.path", "/"),
                 err->msg);
    else
        snprintf(text, sizeof(text), "HTTP probe failed with statuscode: %d", r->status);
    result(p, !err && r->status >= 200 && r->status < 400, text);
}

uint16_t container_port(const struct container *c, const json_t *v)
{
    const json_t *port;
    size_t i;

    if (json_is_integer(v))
        return (uint16_t)json_integer_value(v);
    json_array_foreach (json_object_get(c->spec, "ports"), i, port) {
        if (str_is(json_strv(v), json_text(port, "name", "")))
            return (uint16_t)json_int(port, "containerPort", 0);
    }
    return 0;
}

static void start_http(struct probe *p, const json_t *get)
{
    struct net_addr a;
    const char *host = json_text(get, "host", p->c->pod->ip);

    if (net_addr_set(&a, host, container_port(p->c, json_object_get(get, "port"))) < 0) {
        result(p, false, "the probe's host is not an address");
        return;
    }
    p->call = http_client_send(
        p->c->pod->node->o.http,
        &(struct http_call_options){.addr = &a,
                                    .target = str_of(json_text(get, "path", "/")),
                                    .timeout_ms = seconds(p, "timeoutSeconds", 1) * 1000,
                                    .max_body = 65536,
                                    .fresh = true,
                                    .arg = p,
                                    .on_all = on_http});
}

/* --- tcp --- */

static void on_tcp_open(void *arg)
{
    result(arg, true, "");
}

static void on_tcp_data(void *arg, struct str bytes)
{
    (void)arg;
    (void)bytes;
}

static void on_tcp_close(void *arg, const struct err *err)
{
    struct probe *p = arg;
    char text[300];

    p->conn = NULL;
    snprintf(text, sizeof(text), "dial tcp: %.250s", err ? err->msg : "closed");
    result(p, false, text);
}

static void on_limit(void *arg)
{
    result(arg, false, "timeout");
}

static void start_tcp(struct probe *p, const json_t *tcp)
{
    static const struct conn_events events = {on_tcp_open, on_tcp_data, NULL, on_tcp_close};
    struct net_addr a;

    if (net_addr_set(&a, json_text(tcp, "host", p->c->pod->ip),
                     container_port(p->c, json_object_get(tcp, "port"))) < 0) {
        result(p, false, "the probe's host is not an address");
        return;
    }
    loop_timer_start(&p->limit, seconds(p, "timeoutSeconds", 1) * 1000);
    p->conn = conn_connect(loop_of(p), &a, NULL, NULL, &events, p);
}

/* --- exec --- */

static void on_exec(void *arg, int status)
{
    struct probe *p = arg;
    char text[80];

    p->exec = NULL;
    if (status == -2)
        snprintf(text, sizeof(text), "timeout");
    else
        snprintf(text, sizeof(text), "command ended with status %d", status);
    result(p, status == 0, text);
}

static void start_exec(struct probe *p, const json_t *exec)
{
    p->exec = node_exec_start(p->c, json_object_get(exec, "command"),
                              seconds(p, "timeoutSeconds", 1) * 1000, on_exec, p);
    if (!p->exec)
        result(p, false, "the command cannot be started");
}

/* --- life --- */

static void run(void *arg)
{
    struct probe *p = arg;
    const json_t *v;

    if (p->is_running || p->c->state != C_RUNNING)
        return;
    p->is_running = true;
    if ((v = json_object_get(p->spec, "httpGet")))
        start_http(p, v);
    else if ((v = json_object_get(p->spec, "tcpSocket")))
        start_tcp(p, v);
    else if ((v = json_object_get(p->spec, "exec")))
        start_exec(p, v);
    else
        result(p, true, "");
}

static void start_one(struct container *c, struct probe *p, const char *key, const char *name)
{
    const json_t *spec = json_object_get(c->spec, key);
    int64_t delay = json_int(spec, "initialDelaySeconds", 0) * 1000;

    if (!json_is_object(spec) || loop_timer_is_running(&p->timer) || p->is_running)
        return;
    *p = (struct probe){.c = c, .spec = spec, .name = name};
    loop_timer_init(&p->timer, c->pod->node->o.loop, run, p);
    loop_timer_init(&p->limit, c->pod->node->o.loop, on_limit, p);
    loop_timer_start(&p->timer, delay > 0 ? delay : BACKOFF_MIN_MS / 2);
}

void probes_start(struct container *c)
{
    bool has_startup = json_is_object(json_object_get(c->spec, "startupProbe"));

    if (has_startup && !c->is_started) {
        start_one(c, &c->startup, "startupProbe", "Startup");
        return;
    }
    c->is_started = true;
    if (!json_is_object(json_object_get(c->spec, "readinessProbe")))
        c->is_ready = true;
    start_one(c, &c->readiness, "readinessProbe", "Readiness");
    start_one(c, &c->liveness, "livenessProbe", "Liveness");
}

void probes_stop(struct container *c)
{
    struct probe *all[] = {&c->readiness, &c->liveness, &c->startup};

    for (int i = 0; i < 3; i++) {
        if (!all[i]->c)
            continue;
        clean(all[i]);
        loop_timer_stop(&all[i]->timer);
    }
}
