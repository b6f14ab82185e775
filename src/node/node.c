/* SPDX-License-Identifier: Apache-2.0 */
#include "node/node.h"

#include <ctype.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/node_int.h"

#define MEMORY_MS 250
#define HEARTBEAT_MS 30000

/* --- this node's object --- */

/* Holds since it first did: a heartbeat is no transition, nor is a restart of flyball. was: the
 * node's status as it is stored; may be NULL. */
static json_t *node_condition(const json_t *was, const char *type, const char *reason,
                              const char *message, const char *now)
{
    const char *since = now;
    const json_t *c;
    size_t i;

    json_array_foreach (json_object_get(was, "conditions"), i, c) {
        if (strcmp(json_text(c, "type", ""), type) == 0)
            since = json_text(c, "lastTransitionTime", now);
    }
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "type", type, "status", "True", "reason", reason,
                     "message", message, "lastHeartbeatTime", now, "lastTransitionTime", since);
}

static json_t *node_object(struct node *n, const json_t *was)
{
    struct utsname u;
    char now[TIME_TEXT_MAX];
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE),
         cpus = sysconf(_SC_NPROCESSORS_ONLN);
    json_t *capacity;

    uname(&u);
    time_rfc3339(loop_wall_ms(n->o.loop), now);
    capacity = json_pack("{s:o,s:o,s:s}", "cpu", json_fmt("%ld", cpus), "memory",
                         json_fmt("%lldKi", (long long)pages * size / 1024), "pods", "4094");
    return json_pack(
        "{s:s,s:s,s:{s:s,s:{s:s,s:s}},s:{s:O,s:o,s:[o,o],s:[{s:s,s:s},{s:s,s:s}],s:{s:s,s:s,s:s,s:"
        "s,s:s,s:s}}}",
        "apiVersion", "v1", "kind", "Node", "metadata", "name", n->hostname, "labels",
        "kubernetes.io/hostname", n->hostname, "kubernetes.io/os", "linux", "status", "allocatable",
        capacity, "capacity", capacity, "conditions",
        node_condition(was, "Ready", "KubeletReady", "pods run as local processes", now),
        node_condition(was, "Overcommit", "NothingIsScheduledByResources",
                       "requests are not summed up: pods may ask for more than there is", now),
        "addresses", "type", "InternalIP", "address", "127.0.0.1", "type", "Hostname", "address",
        n->hostname, "nodeInfo", "kubeletVersion", "v1.33.0+flyball", "osImage", "this machine",
        "kernelVersion", u.release, "containerRuntimeVersion", "flyball-shim://" FLYBALL_VERSION,
        "operatingSystem", "linux", "architecture", "amd64");
}

static void ignore(void *arg, const struct object *now, const struct err *err)
{
    (void)arg;
    (void)now;
    (void)err;
}

static void write_node(struct node *n)
{
    const struct object *stored =
        cluster_get(n->o.cluster, KIND_NODE, STR_NONE, str_of(n->hostname));
    AUTO_JSON json_t *was = stored ? object_status(stored) : NULL;
    AUTO_JSON json_t *o = node_object(n, was);
    bool exists = stored != NULL;

    cluster_write(n->o.cluster,
                  &(struct cluster_write){.verb = exists ? CLUSTER_UPDATE : CLUSTER_CREATE,
                                          .kind = KIND_NODE,
                                          .name = str_of(n->hostname),
                                          .subresource = exists ? "status" : NULL,
                                          .tree = o,
                                          .manager = "kubelet"},
                  ignore, NULL);
}

static void on_heartbeat(void *arg)
{
    struct node *n = arg;

    write_node(n);
    loop_timer_start(&n->heartbeat, HEARTBEAT_MS);
}

/* --- pods come and go --- */

static void bind_pod(struct node *n, const struct object *o)
{
    AUTO_JSON json_t *patch = json_pack("{s:{s:s}}", "spec", "nodeName", n->hostname);

    cluster_write(n->o.cluster,
                  &(struct cluster_write){.verb = CLUSTER_MERGE_PATCH,
                                          .kind = KIND_POD,
                                          .ns = o->ns,
                                          .name = o->name,
                                          .tree = patch,
                                          .manager = "flyball-scheduler"},
                  ignore, NULL);
}

static void forget(struct node *n, const struct object *o)
{
    struct npod *p = npod_get(n, o, false);

    if (!p)
        return;
    if (!npod_all_ended(p)) { /* its object went by force: the processes follow */
        npod_end(p, 1);
        for (size_t i = 0; i < p->n; i++)
            container_signal(&p->containers[i], SIGUSR1);
    }
    addresses_release(n->o.addresses, p->ip);
    npod_free(p);
}

static void on_pod(void *arg, enum cluster_event event, const struct object *was,
                   const struct object *now)
{
    struct node *n = arg;
    AUTO_JSON json_t *tree = NULL;
    struct npod *p;

    if (event == CLUSTER_DELETED) {
        forget(n, now);
        return;
    }
    if (n->is_stopping)
        return;
    p = npod_get(n, now, false);
    if (p) {
        npod_update(p, now);
        return;
    }
    tree = object_tree(now);
    if (!*json_text(tree, "spec.nodeName", "")) {
        if (!was && !now->deleting_ms)
            bind_pod(n, now);
        return;
    }
    if (strcmp(json_text(tree, "status.phase", ""), "Succeeded") == 0 ||
        strcmp(json_text(tree, "status.phase", ""), "Failed") == 0)
        return;
    p = npod_get(n, now, true);
    if (now->deleting_ms)
        npod_update(p, now);
    npod_sync(p);
}

/* --- memory limits --- */

static void on_memory(void *arg)
{
    struct node *n = arg;
    size_t i = 0;
    void *v;

    while (table_next(&n->pods, &i, NULL, &v)) {
        struct npod *p = v;

        for (size_t k = 0; k < p->n; k++)
            limits_check_memory(&p->containers[k]);
    }
    loop_timer_start(&n->memory_timer, MEMORY_MS);
}

/* --- life --- */

static int find_user(struct node *n, const char *name, struct err *err)
{
    struct passwd *pw;

    n->uid = n->gid = -1;
    if (geteuid() != 0)
        return 0;
    pw = getpwnam(name ? name : "nobody");
    if (!pw)
        return err_set(err, ERR_NOT_FOUND, "--pod-user '%s': there is no such user",
                       name ? name : "nobody");
    n->uid = pw->pw_uid;
    n->gid = pw->pw_gid;
    return 0;
}

int node_new(const struct node_options *o, struct node **ret, struct err *err)
{
    struct node *n = mem_zalloc(sizeof(*n));
    char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    n->o = *o;
    list_init(&n->refs);
    if (find_user(n, o->pod_user, err) < 0) {
        free(n);
        return ERR_NOT_FOUND;
    }
    self[len > 0 ? len : 0] = '\0';
    slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    n->self_dir = mem_strdup(self);
    gethostname(n->hostname, sizeof(n->hostname) - 1);
    for (char *p = n->hostname; *p; p++)
        *p = (char)(isalnum((unsigned char)*p) || *p == '.' ? tolower((unsigned char)*p) : '-');
    node_logs_init(n);
    loop_timer_init(&n->memory_timer, o->loop, on_memory, n);
    loop_timer_init(&n->heartbeat, o->loop, on_heartbeat, n);
    loop_timer_start(&n->memory_timer, MEMORY_MS);
    on_heartbeat(n);
    usage_start(n);
    cluster_watch(o->cluster, KIND_POD, on_pod, n);
    *ret = n;
    return 0;
}

void node_stop_all(struct node *n, void (*done)(void *arg), void *arg)
{
    size_t i = 0, k = 0;
    void *v;
    bool any = false;

    n->is_stopping = true;
    n->stopped = done;
    n->stopped_arg = arg;
    while (table_next(&n->pods, &i, NULL, &v)) {
        struct npod *p = v;

        any |= !npod_all_ended(p);
        p->is_stopping_all = true;
    }
    if (!any) {
        n->stopped = NULL;
        loop_post(n->o.loop, done, arg);
        return;
    }
    while (table_next(&n->pods, &k, NULL, &v)) {
        struct npod *p = v;

        npod_end(p, 5);
        for (size_t c = 0; c < p->n; c++)
            container_signal(&p->containers[c], SIGTERM);
    }
}

void node_free(struct node *n)
{
    struct npod **all;
    size_t i = 0, count = 0;
    void *v;

    if (!n)
        return;
    cluster_unwatch(n->o.cluster, KIND_POD, on_pod, n);
    loop_timer_stop(&n->memory_timer);
    loop_timer_stop(&n->heartbeat);
    all = mem_array(n->pods.count, sizeof(*all));
    while (table_next(&n->pods, &i, NULL, &v))
        all[count++] = v;
    for (i = 0; i < count; i++)
        npod_free(all[i]);
    free(all);
    table_done(&n->pods);
    pod_refs_end(n);
    usage_stop(n);
    free(n->self_dir);
    free(n);
}

const struct pod_log_source *node_log_source(struct node *n)
{
    return &n->logs;
}
