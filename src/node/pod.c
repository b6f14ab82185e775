/* SPDX-License-Identifier: Apache-2.0
 *
 * One pod: what is to be done next, from what is wanted and what runs. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "kube/reconciler.h"
#include "node/node_int.h"

#define TERM_RESERVE_S 5

static void on_restart(void *arg)
{
    struct container *c = arg;

    npod_sync(c->pod);
}

static void send_term(struct npod *p);

/* Neither drain nor hooks may use up the whole grace period: some of it is for what SIGTERM starts.
 * A short one is halved. */
static int64_t drain_ms(int64_t grace_s)
{
    return grace_s > 2 * TERM_RESERVE_S ? (grace_s - TERM_RESERVE_S) * 1000 : grace_s * 500;
}

static void on_drain_limit(void *arg)
{
    struct npod *p = arg;

    hooks_stop(p);
    if (p->is_term_sent) { /* and a second deletion left no more than this */
        for (size_t i = 0; i < p->n; i++)
            container_signal(&p->containers[i], SIGUSR1);
        return;
    }
    send_term(p);
}

static void on_status_retry(void *arg)
{
    npod_write_status(arg);
}

static void init_container(struct npod *p, struct container *c, const json_t *spec, bool is_init)
{
    *c = (struct container){.pod = p,
                            .spec = spec,
                            .name = json_text(spec, "name", ""),
                            .is_init = is_init,
                            .pidfd = -1,
                            .state_fd = -1};
    snprintf(c->reason, sizeof(c->reason), "%s", is_init ? "PodInitializing" : "ContainerCreating");
    loop_timer_init(&c->restart_timer, p->node->o.loop, on_restart, c);
}

/* The newest attempt that left a directory behind: a restarted flyball finds its way by it. */
static int newest_attempt(const struct container *c)
{
    AUTO_FREE char *dir = mem_printf("%s/%s", c->pod->dir, c->name);
    DIR *d = opendir(dir);
    struct dirent *e;
    int best = 0;

    while (d && (e = readdir(d)))
        if (atoi(e->d_name) > best)
            best = atoi(e->d_name);
    if (d)
        closedir(d);
    return best;
}

static const json_t *stored_status(const struct container *c)
{
    const json_t *s;
    size_t i;

    json_array_foreach (json_at(c->pod->tree, c->is_init ? "status.initContainerStatuses"
                                                         : "status.containerStatuses"),
                        i, s) {
        if (strcmp(json_text(s, "name", ""), c->name) == 0)
            return s;
    }
    return NULL;
}

/* Takes up a container that an earlier flyball had started. */
static void recover(struct container *c)
{
    const json_t *was = stored_status(c);
    AUTO_FREE char *dir = NULL;

    c->attempt = newest_attempt(c);
    c->restarts = (int)json_int(was, "restartCount", 0);
    if (json_at(was, "lastState.terminated"))
        c->last_state = json_deep_copy(json_at(was, "lastState.terminated"));
    if (c->attempt == 0)
        return;
    dir = container_dir(c, c->attempt);
    if (!shim_read_started(dir, &c->shim))
        return;
    c->state = C_RUNNING;
    c->reason[0] = '\0';
    c->run_started_ms = c->shim.started_ms;
    if (!c->shim.has_exit && shim_is_alive(&c->shim)) {
        c->is_started = json_bool(was, "started", false);
        c->is_ready = json_bool(was, "ready", false);
        container_adopt(c);
        probes_start(c);
        c->readiness.has_succeeded = c->is_ready; /* one slow answer does not undo it */
        c->liveness.has_succeeded = c->is_started;
        log_info("node", "adopted %s/%s container %s (process %d)", c->pod->ns, c->pod->name,
                 c->name, (int)c->shim.child);
    } else {
        c->pidfd = -1;
        container_exited(c);
    }
}

struct npod *npod_get(struct node *n, const struct object *o, bool make)
{
    struct npod *p = table_get(&n->pods, o->uid);
    const json_t *init, *main, *c;
    size_t i, k = 0;

    if (p || !make)
        return p;
    p = mem_zalloc(sizeof(*p));
    p->node = n;
    p->uid = str_dup(o->uid);
    p->ns = str_dup(o->ns);
    p->name = str_dup(o->name);
    p->dir = mem_printf("%s/pods/%s", n->o.data_dir, p->uid);
    p->tree = object_tree(o);
    loop_timer_init(&p->drain_timer, n->o.loop, on_drain_limit, p);
    loop_timer_init(&p->status_retry, n->o.loop, on_status_retry, p);
    init = json_at(p->tree, "spec.initContainers");
    main = json_at(p->tree, "spec.containers");
    p->n = json_array_size(init) + json_array_size(main);
    p->containers = mem_array(p->n, sizeof(*p->containers));
    json_array_foreach ((json_t *)init, i, c)
        init_container(p, &p->containers[k++], c, true);
    json_array_foreach ((json_t *)main, i, c)
        init_container(p, &p->containers[k++], c, false);
    table_set(&n->pods, o->uid, p);
    snprintf(p->ip, sizeof(p->ip), "%s", json_text(p->tree, "status.podIP", ""));
    if (*p->ip)
        addresses_mark(n->o.addresses, p->ip);
    else if (!addresses_take(n->o.addresses, p->ip))
        log_error("node", "no pod address is left");
    for (i = 0; i < p->n; i++)
        recover(&p->containers[i]);
    return p;
}

void npod_free(struct npod *p)
{
    for (size_t i = 0; i < p->n; i++) {
        struct container *c = &p->containers[i];

        probes_stop(c);
        container_unwatch(c);
        usage_end(c);
        loop_timer_stop(&c->restart_timer);
        json_decref(c->last_state);
    }
    hooks_stop(p);
    free(p->hooks);
    loop_timer_stop(&p->drain_timer);
    loop_timer_stop(&p->status_retry);
    table_del(&p->node->pods, str_of(p->uid));
    json_decref(p->tree);
    free(p->containers);
    free(p->uid);
    free(p->ns);
    free(p->name);
    free(p->dir);
    free(p);
}

bool npod_all_ended(const struct npod *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (container_is_live(&p->containers[i]))
            return false;
    return true;
}

/* --- the end --- */

struct pod_ref {
    struct list link; /* in its node's refs; in none when the node has gone */
    struct node *node;
    char uid[];
};

struct pod_ref *pod_ref_new(struct npod *p)
{
    size_t n = strlen(p->uid) + 1;
    struct pod_ref *r = mem_zalloc(sizeof(*r) + n);

    r->node = p->node;
    list_add_tail(&p->node->refs, &r->link);
    memcpy(r->uid, p->uid, n);
    return r;
}

struct npod *pod_ref_take(struct pod_ref *r)
{
    struct npod *p = r->node ? table_get(&r->node->pods, str_of(r->uid)) : NULL;

    list_del(&r->link);
    free(r);
    return p;
}

void pod_refs_end(struct node *n)
{
    list_each (it, &n->refs) {
        struct pod_ref *r = container_of(it, struct pod_ref, link);

        list_del(it);
        r->node = NULL;
    }
}

/* The shim keeps to it, even without us. */
static void put_grace(const struct container *c, int64_t s)
{
    AUTO_FREE char *dir = container_dir(c, c->attempt);
    AUTO_FREE char *path = mem_printf("%s/grace", dir);
    FILE *f = fopen(path, "we");

    if (f) {
        fprintf(f, "%lld\n", (long long)(s > 0 ? s : 1));
        fclose(f);
    }
}

static void send_term(struct npod *p)
{
    int64_t left_ns = p->end_by_ns - loop_mono_ns(p->node->o.loop);

    if (p->is_term_sent)
        return;
    p->is_term_sent = true;
    for (size_t i = 0; i < p->n; i++) {
        struct container *c = &p->containers[i];

        if (!container_is_live(c))
            continue;
        put_grace(c, (left_ns + 999999999) / 1000000000);
        container_say(c, EVENT_NORMAL, "Killing", "Stopping container %s", c->name);
        container_signal(c, SIGTERM);
    }
    npod_sync(p);
}

static void on_drained(void *arg)
{
    struct npod *p = pod_ref_take(arg);

    if (p) {
        p->is_drained = true;
        npod_may_end(p);
    }
}

/* A second deletion with less grace. Who has had SIGTERM is left with that long from now. */
static void shorten(struct npod *p, int64_t grace_s)
{
    if (!p->is_term_sent) {
        loop_timer_start(&p->drain_timer, drain_ms(grace_s));
        return;
    }
    loop_timer_start(&p->drain_timer, grace_s * 1000); /* on_drain_limit kills then */
}

void npod_end(struct npod *p, int64_t grace_s)
{
    int64_t by = loop_mono_ns(p->node->o.loop) + grace_s * 1000000000;
    bool is_first = !p->is_ending;

    if (!is_first && by >= p->end_by_ns)
        return;
    p->end_by_ns = by;
    p->is_ending = true;
    if (!is_first) {
        shorten(p, grace_s);
        return;
    }
    for (size_t i = 0; i < p->n; i++) {
        struct container *c = &p->containers[i];

        loop_timer_stop(&c->restart_timer);
        if (container_is_live(c)) /* for whoever sends SIGTERM should we die before */
            put_grace(c, grace_s > TERM_RESERVE_S ? TERM_RESERVE_S : grace_s);
    }
    hooks_start(p);
    loop_timer_start(&p->drain_timer, drain_ms(grace_s));
    if (p->node->o.drain && !npod_all_ended(p)) {
        p->node->o.drain(p->node->o.drain_ctx, str_of(p->uid), on_drained, pod_ref_new(p));
    } else {
        p->is_drained = true;
        npod_may_end(p);
    }
}

void npod_may_end(struct npod *p)
{
    if (p->is_drained && hooks_are_done(p)) {
        loop_timer_stop(&p->drain_timer);
        send_term(p);
    }
}

static void on_deleted(void *arg, const struct object *now, const struct err *err)
{
    (void)arg;
    (void)now;
    if (err && err->code != ERR_NOT_FOUND)
        log_warn("node", "a pod's object could not be removed: %s", err->msg);
}

static void finish_delete(struct npod *p)
{
    if (p->delete_sent)
        return;
    p->delete_sent = true;
    cluster_write(p->node->o.cluster,
                  &(struct cluster_write){.verb = CLUSTER_DELETE,
                                          .kind = KIND_POD,
                                          .ns = str_of(p->ns),
                                          .name = str_of(p->name),
                                          .uid = str_of(p->uid),
                                          .grace_s = 0,
                                          .manager = "kubelet"},
                  on_deleted, NULL);
}

/* --- what is next --- */

static bool may_start(const struct container *c)
{
    return c->state == C_WAITING && !loop_timer_is_running(&c->restart_timer) &&
           strcmp(c->reason, "ImageNotRunnable") != 0;
}

static void start_what_is_due(struct npod *p)
{
    bool main_may_run = true;

    for (size_t i = 0; i < p->n; i++) {
        struct container *c = &p->containers[i];

        if (c->is_init) {
            bool done = c->state == C_TERMINATED && c->shim.exit_code == 0;

            if (done)
                continue;
            main_may_run = false;
            if (may_start(c))
                container_start(c);
            break; /* one init container after the other */
        }
        if (main_may_run && may_start(c))
            container_start(c);
    }
}

void npod_sync(struct npod *p)
{
    struct node *n = p->node;

    if (p->is_ending || n->is_stopping) {
        if (npod_all_ended(p)) {
            if (!p->is_stopping_all)
                finish_delete(p);
            if (n->is_stopping && n->stopped) {
                size_t i = 0;
                void *v;
                bool all = true;

                while (table_next(&n->pods, &i, NULL, &v))
                    all &= npod_all_ended(v);
                if (all) {
                    loop_post(n->o.loop, n->stopped, n->stopped_arg);
                    n->stopped = NULL;
                }
            }
        }
    } else {
        start_what_is_due(p);
    }
    npod_write_status(p);
}

void npod_update(struct npod *p, const struct object *o)
{
    /* deletionTimestamp is when the grace period ends: a restarted flyball gives only the rest, and
     * a second deletion may shorten it */
    int64_t left_ms = o->deleting_ms - loop_wall_ms(p->node->o.loop);

    if (o->deleting_ms) {
        npod_end(p, left_ms > 1000 ? (left_ms + 999) / 1000 : 1);
        npod_sync(p);
    }
}
