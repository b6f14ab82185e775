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

static void on_restart(void *arg)
{
    struct container *c = arg;

    npod_sync(c->pod);
}

static void on_drained(void *arg);

static void send_term(struct npod *p);

/* Neither drain nor hooks may use up the whole grace period. */
static void on_drain_limit(void *arg)
{
    struct npod *p = arg;

    hooks_stop(p);
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
                            .pidfd = -1};
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
        c->is_started = true;
        c->is_ready = json_bool(was, "ready", false);
        container_adopt(c);
        probes_start(c);
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

        probes_free(c);
        loop_fd_stop(c->watch);
        if (c->pidfd >= 0)
            close(c->pidfd);
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
        if (p->containers[i].state == C_RUNNING)
            return false;
    return true;
}

/* --- the end --- */

static void send_term(struct npod *p)
{
    const struct object *o =
        cluster_get(p->node->o.cluster, KIND_POD, str_of(p->ns), str_of(p->name));

    if (p->is_term_sent)
        return;
    p->is_term_sent = true;
    for (size_t i = 0; i < p->n; i++) {
        if (p->containers[i].state != C_RUNNING)
            continue;
        if (o)
            event_emit(p->node->o.cluster, "kubelet", o, EVENT_NORMAL, "Killing",
                       "Stopping container %s", p->containers[i].name);
        container_signal(&p->containers[i], SIGTERM);
    }
    npod_sync(p);
}

/* One node a process: a drain's answer finds its pod, which may have gone, by uid. */
static struct node *the_node;

static void on_drained(void *arg)
{
    struct npod *p = the_node ? table_get(&the_node->pods, str_of(arg)) : NULL;

    if (p) {
        p->is_drained = true;
        npod_may_end(p);
    }
}

static void on_drain_answer(void *arg)
{
    on_drained(arg);
    free(arg);
}

void npod_end(struct npod *p, int64_t grace_s)
{
    AUTO_FREE char *path = NULL;

    the_node = p->node;
    if (p->is_ending)
        return;
    p->is_ending = true;
    for (size_t i = 0; i < p->n; i++) {
        struct container *c = &p->containers[i];

        loop_timer_stop(&c->restart_timer);
        if (c->state != C_RUNNING)
            continue;
        AUTO_FREE char *dir = container_dir(c, c->attempt);

        path = mem_printf("%s/grace", dir);
        FILE *f = fopen(path, "we");

        if (f) { /* the shim keeps to the rest of it, even without us */
            fprintf(f, "%lld\n", (long long)(grace_s > 5 ? 5 : grace_s > 0 ? grace_s : 1));
            fclose(f);
        }
        free(path);
        path = NULL;
    }
    hooks_start(p);
    loop_timer_start(&p->drain_timer, grace_s > 5 ? (grace_s - 5) * 1000 : 0);
    if (p->node->o.drain && !npod_all_ended(p)) {
        p->node->o.drain(p->node->o.drain_ctx, str_of(p->uid), on_drain_answer, mem_strdup(p->uid));
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
    if (o->deleting_ms && !p->is_ending) {
        AUTO_JSON json_t *tree = object_tree(o);

        npod_end(p, json_int(tree, "metadata.deletionGracePeriodSeconds", 30));
        npod_sync(p);
    }
}
