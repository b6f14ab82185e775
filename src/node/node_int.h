/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FB_NODE_NODE_INT_H
#define FB_NODE_NODE_INT_H

#include <sys/types.h>

#include "base/table.h"
#include "kube/reconciler.h"
#include "node/leftovers.h"
#include "node/node.h"

/* STARTING: the shim runs, its program not yet for certain. */
enum container_state { C_WAITING, C_STARTING, C_RUNNING, C_TERMINATED };

struct probe {
    struct container *c;
    const json_t *spec; /* borrowed from the pod's tree; NULL: none */
    struct loop_timer timer;
    struct http_call *call;
    struct conn *conn; /* tcp */
    struct loop_timer limit;
    struct node_exec *exec;
    int successes, failures, backoff_ms;
    bool has_succeeded, is_running;
    const char *name; /* "Readiness" ... */
};

/* usage.c: a container's samples; zeroed: none yet. */
struct usage_track {
    struct series *cpu, *memory; /* own references */
    int attempt;
    int64_t cpu_ns, seen_ns; /* the counter; what its processes summed up to last */
    int falls;
};

struct container {
    struct npod *pod;
    const json_t *spec; /* borrowed from the pod's tree */
    const char *name;
    bool is_init;
    enum container_state state;
    char reason[64]; /* of waiting or terminated */
    char message[400];
    int attempt; /* number of starts so far; directory of the present one */
    int restarts;
    struct shim_state shim;
    int pidfd;
    struct loop_fd *watch;
    int state_fd; /* end of file: the shim has recorded its start, or is gone; -1: none */
    struct loop_fd *state_watch;
    uint64_t cpus;      /* processors it is bound to, as bits; 0: all */
    json_t *last_state; /* "terminated" block of the run before; NULL: none */
    bool is_ready, is_started, was_oom, port_taken;
    int64_t backoff_ms, run_started_ms;
    struct loop_timer restart_timer;
    struct probe readiness, liveness, startup;
    struct usage_track usage;
};

struct hook; /* hooks.c */

struct npod {
    struct node *node;
    char *uid, *ns, *name, *dir;
    json_t *tree; /* newest object; decides nothing that has started */
    char ip[20];
    struct container *containers;
    size_t n;
    bool is_ending, is_term_sent, status_busy, status_dirty, is_stopping_all, delete_sent,
        is_drained;
    int64_t end_by_ns;  /* mono; while ending */
    struct hook *hooks; /* one a container, once the pod is to end; else NULL */
    struct loop_timer drain_timer, status_retry;
};

struct node {
    struct node_options o;
    struct pod_log_source logs;
    char hostname[64];
    char *self_dir;    /* where flyball and flyball-shim are */
    long uid, gid;     /* -1: as we are */
    struct table pods; /* uid -> npod */
    struct list refs;  /* of pods: answers that are still to come */
    struct loop_timer memory_timer, heartbeat, usage_timer;
    struct series *cpu_series, *memory_series; /* of the machine */
    bool is_stopping;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

static inline bool container_is_live(const struct container *c)
{
    return c->state == C_STARTING || c->state == C_RUNNING;
}

/* pod.c */
struct npod *npod_get(struct node *n, const struct object *o, bool make);
void npod_update(struct npod *p, const struct object *o); /* a new version of its object */
void npod_sync(struct npod *p);                           /* does what is to be done next */
/* Again with less grace: shortens. */
void npod_end(struct npod *p, int64_t grace_s);
void npod_free(struct npod *p);
bool npod_all_ended(const struct npod *p);
/* A drain or a hook is over: SIGTERM if nothing else is waited for. */
void npod_may_end(struct npod *p);
/* A pod that may have gone when an answer comes: an argument of callbacks. pod_ref_take frees it
 * and returns the pod, or NULL. */
struct pod_ref *pod_ref_new(struct npod *p);
struct npod *pod_ref_take(struct pod_ref *r);
void pod_refs_end(struct node *n); /* the node goes: later answers find no pod */
char *container_dir(const struct container *c, int attempt); /* for free() */

/* start.c: spawns the container's process; on failure the container waits with a reason. */
void container_start(struct container *c);
void container_signal(struct container *c, int signum); /* to its shim */
void container_adopt(struct container *c);              /* watch a shim that lives */
void container_exited(struct container *c);             /* its shim has ended */
void container_unwatch(struct container *c);            /* closes its descriptors */
__attribute__((format(printf, 4, 5))) void container_say(struct container *c, enum event_type type,
                                                         const char *reason, const char *fmt, ...);

/* proc.c */
struct proc_usage {
    int64_t cpu_ns;        /* of what lives, and of what ended and was waited for */
    int64_t private_bytes; /* what could not be reclaimed: mapped files do not count */
    size_t processes;
};
/* All processes below the shim. */
void proc_tree_usage(const struct shim_state *s, struct proc_usage *ret);
/* The whole machine: private_bytes is what is not available to others. */
bool proc_machine_usage(struct proc_usage *ret);

/* usage.c */
void usage_start(struct node *n);
void usage_stop(struct node *n);
void usage_end(struct container *c); /* it has ended, or is let go */

/* limits.c */
void limits_check_memory(struct container *c);
/* Which processors, and how nice, for its cpu limit: text for the shim. */
void limits_cpu(struct container *c, char cpus[256], int *ret_nice);

/* last_words.c: whether the log ends with an address that was taken; and the termination message of
 * a container that failed (terminationMessagePolicy FallbackToLogsOnError), appended to out. */
bool log_says_taken(const char *dir);
void container_last_words(const struct container *c, struct buf *out);

/* probes.c */
void probes_start(struct container *c);
void probes_stop(struct container *c);

/* Number of a port given as one, or by the name it has in the container's ports; 0: none. */
uint16_t container_port(const struct container *c, const json_t *port);

/* hooks.c: preStop. */
void hooks_start(struct npod *p);
bool hooks_are_done(const struct npod *p);
void hooks_stop(struct npod *p);

/* status.c */
void npod_write_status(struct npod *p);
json_t *terminated_block(const struct container *c);

/* env.c: environment and argv of a container as NUL-separated bytes. */
int container_env(struct container *c, struct buf *out, struct err *err);
int container_argv(struct container *c, struct buf *out, struct err *err);

/* logs.c */
void node_logs_init(struct node *n);

#endif
