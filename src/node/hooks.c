/* SPDX-License-Identifier: Apache-2.0
 *
 * preStop hooks: run as soon as a pod is to end, while it drains; SIGTERM waits for both, within
 * the grace period. A hook that fails is told and holds nothing up. */
#include <stdlib.h>

#include "base/mem.h"
#include "kube/reconciler.h"
#include "node/exec.h"

struct hook {
    struct container *c;
    struct node_exec *exec;
    struct http_call *call;
    struct loop_timer sleep;
    bool is_running;
};

static void hook_done(struct hook *h, const char *failure)
{
    struct npod *p = h->c->pod;
    const struct object *o =
        cluster_get(p->node->o.cluster, KIND_POD, str_of(p->ns), str_of(p->name));

    h->is_running = false;
    h->exec = NULL;
    h->call = NULL;
    if (failure && o)
        event_emit(p->node->o.cluster, "kubelet", o, EVENT_WARNING, "FailedPreStopHook",
                   "PreStopHook of container %s failed: %s", h->c->name, failure);
    npod_may_end(p);
}

static void on_exec(void *arg, int status)
{
    char text[64];

    snprintf(text, sizeof(text), "the command ended with %d", status);
    hook_done(arg, status == 0 ? NULL : text);
}

static void on_http(void *arg, const struct http_response *r, struct str body,
                    const struct err *err)
{
    char text[64];

    (void)body;
    if (!err)
        snprintf(text, sizeof(text), "HTTP status %d", r->status);
    hook_done(arg, err ? err->msg : r->status >= 400 ? text : NULL);
}

static void on_sleep(void *arg)
{
    hook_done(arg, NULL);
}

static bool start_http(struct hook *h, const json_t *get)
{
    struct npod *p = h->c->pod;
    struct net_addr a;

    if (net_addr_set(&a, json_text(get, "host", p->ip),
                     container_port(h->c, json_object_get(get, "port"))) < 0)
        return false;
    h->call = http_client_send(
        p->node->o.http, &(struct http_call_options){.addr = &a,
                                                     .target = str_of(json_text(get, "path", "/")),
                                                     .timeout_ms = 60000,
                                                     .max_body = 65536,
                                                     .fresh = true,
                                                     .arg = h,
                                                     .on_all = on_http});
    return true;
}

static bool start(struct hook *h, const json_t *spec)
{
    const json_t *v;

    if ((v = json_object_get(spec, "exec"))) {
        h->exec = node_exec_start(h->c, json_object_get(v, "command"), 0, on_exec, h);
        return h->exec != NULL;
    }
    if ((v = json_object_get(spec, "httpGet")))
        return start_http(h, v);
    if ((v = json_object_get(spec, "sleep"))) {
        loop_timer_start(&h->sleep, json_int(v, "seconds", 0) * 1000);
        return true;
    }
    return false;
}

void hooks_start(struct npod *p)
{
    p->hooks = mem_array(p->n, sizeof(*p->hooks));
    for (size_t i = 0; i < p->n; i++) {
        const json_t *spec = json_at(p->containers[i].spec, "lifecycle.preStop");
        struct hook *h = &p->hooks[i];

        h->c = &p->containers[i];
        loop_timer_init(&h->sleep, p->node->o.loop, on_sleep, h);
        h->is_running = spec && h->c->state == C_RUNNING && start(h, spec);
    }
}

bool hooks_are_done(const struct npod *p)
{
    for (size_t i = 0; p->hooks && i < p->n; i++)
        if (p->hooks[i].is_running)
            return false;
    return true;
}

void hooks_stop(struct npod *p)
{
    for (size_t i = 0; p->hooks && i < p->n; i++) {
        struct hook *h = &p->hooks[i];

        loop_timer_stop(&h->sleep);
        node_exec_cancel(h->exec);
        http_call_cancel(h->call);
        h->exec = NULL;
        h->call = NULL;
        h->is_running = false;
    }
}
