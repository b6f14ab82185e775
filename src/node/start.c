/* SPDX-License-Identifier: Apache-2.0
 *
 * Starting a container under its shim, watching the shim, and what follows its end. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "kube/reconciler.h"
#include "node/images.h"
#include "node/node_int.h"

#define BACKOFF_MAX_FACTOR 30 /* 5 min for a unit of 10 s */
#define BACKOFF_RESET_MS 600000
#define START_RETRY_MS 5000

char *container_dir(const struct container *c, int attempt)
{
    return mem_printf("%s/%s/%d", c->pod->dir, c->name, attempt);
}

static void wait_with(struct container *c, const char *reason, const char *message)
{
    c->state = C_WAITING;
    snprintf(c->reason, sizeof(c->reason), "%s", reason);
    snprintf(c->message, sizeof(c->message), "%.399s", message);
}

static const struct object *object_of(const struct npod *p)
{
    return cluster_get(p->node->o.cluster, KIND_POD, str_of(p->ns), str_of(p->name));
}

void container_say(struct container *c, enum event_type type, const char *reason, const char *fmt,
                   ...)
{
    const struct object *o = object_of(c->pod);
    struct buf b = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    if (o)
        event_emit(c->pod->node->o.cluster, "kubelet", o, type, reason, "%s", buf_cstr(&b));
    buf_done(&b);
}

static int put_file(const char *dir, const char *name, const struct buf *b)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write(fd, b->n ? b->p : "", b->n) == (ssize_t)b->n;

    if (fd >= 0)
        close(fd);
    return ok ? 0 : -1;
}

/* --- the shim's end --- */

static void on_shim_end(void *arg)
{
    struct container *c = arg;

    container_exited(c);
}

void container_adopt(struct container *c)
{
    c->pidfd = (int)syscall(SYS_pidfd_open, c->shim.shim, 0);
    if (c->pidfd < 0) { /* gone already */
        loop_post(c->pod->node->o.loop, on_shim_end, c);
        return;
    }
    c->watch = loop_fd_watch(c->pod->node->o.loop, c->pidfd, on_shim_end, c);
}

static bool restarts(const struct container *c, int code)
{
    const char *policy = json_text(c->pod->tree, "spec.restartPolicy", "Always");

    if (c->pod->is_ending)
        return false;
    if (c->is_init)
        return code != 0 && strcmp(policy, "Never") != 0;
    return strcmp(policy, "Always") == 0 || (strcmp(policy, "OnFailure") == 0 && code != 0);
}

/* The first end restarts at once; then 10 s doubling to 5 min, reset after a run of 10 min. */
static void back_off(struct container *c)
{
    int64_t unit = c->pod->node->o.backoff_unit_ms ? c->pod->node->o.backoff_unit_ms : 10000;

    if (c->shim.finished_ms - c->shim.started_ms > BACKOFF_RESET_MS)
        c->backoff_ms = 0;
    if (c->backoff_ms > 0) {
        char text[300];

        snprintf(text, sizeof(text), "back-off %llds restarting failed container=%s pod=%s_%s(%s)",
                 (long long)c->backoff_ms / 1000, c->name, c->pod->name, c->pod->ns, c->pod->uid);
        if (c->port_taken)
            snprintf(text, sizeof(text),
                     "bind to $POD_IP (%s): the address it binds is taken; all pods share this "
                     "machine, so 0.0.0.0 can be bound only once",
                     c->pod->ip);
        wait_with(c, c->port_taken ? "PortInUse" : "CrashLoopBackOff", text);
        container_say(c, EVENT_WARNING, "BackOff",
                      "Back-off restarting failed container %s in pod %s", c->name, c->pod->name);
        loop_timer_start(&c->restart_timer, c->backoff_ms);
        c->backoff_ms = c->backoff_ms * 2 > unit * BACKOFF_MAX_FACTOR ? unit * BACKOFF_MAX_FACTOR
                                                                      : c->backoff_ms * 2;
    } else {
        wait_with(c, "ContainerCreating", "");
        c->backoff_ms = unit;
        loop_timer_start(&c->restart_timer, 0);
    }
}

void container_unwatch(struct container *c)
{
    loop_fd_stop(c->watch);
    loop_fd_stop(c->state_watch);
    c->watch = c->state_watch = NULL;
    if (c->pidfd >= 0)
        close(c->pidfd);
    if (c->state_fd >= 0)
        close(c->state_fd);
    c->pidfd = c->state_fd = -1;
}

/* The shim could not even record the start, so that it started nothing: a full disk, mostly. */
static void never_started(struct container *c)
{
    wait_with(c, "RunContainerError",
              "flyball-shim could not record the start (is the disk of the data directory full?)");
    container_say(c, EVENT_WARNING, "Failed", "Error: %s", c->message);
    if (!c->pod->is_ending)
        loop_timer_start(&c->restart_timer, START_RETRY_MS);
}

void container_exited(struct container *c)
{
    AUTO_FREE char *dir = container_dir(c, c->attempt);
    pid_t shim = c->shim.shim;
    bool has_state;
    int status;

    probes_stop(c);
    container_unwatch(c);
    waitpid(shim, &status, WNOHANG); /* our own child; an adopted one is init's */
    has_state = shim_read(dir, &c->shim);
    if (!has_state && c->state == C_STARTING) {
        never_started(c);
        npod_sync(c->pod);
        return;
    }
    if (!c->shim.has_exit) {
        c->shim.has_exit = true; /* the shim was killed: nobody knows better */
        c->shim.exit_code = 137;
        c->shim.exit_signal = SIGKILL;
        c->shim.finished_ms = loop_wall_ms(c->pod->node->o.loop);
        if (c->shim.child > 0)
            kill(-c->shim.child, SIGKILL);
    }
    c->is_ready = c->is_started = false;
    c->port_taken = c->shim.exit_code != 0 && log_says_taken(dir);
    c->state = C_TERMINATED;
    snprintf(c->reason, sizeof(c->reason), "%s",
             c->was_oom               ? "OOMKilled"
             : c->shim.exit_code == 0 ? "Completed"
                                      : "Error");
    c->message[0] = '\0';
    if (restarts(c, c->shim.exit_code)) {
        json_decref(c->last_state);
        c->last_state = terminated_block(c);
        c->restarts++;
        back_off(c);
    }
    npod_sync(c->pod);
}

void container_signal(struct container *c, int signum)
{
    if (c->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, c->pidfd, signum, NULL, 0);
}

/* --- the start --- */

/* Nobody shall take made-up text for a model's. */
static void say_what_stands_in(struct container *c)
{
    const char *image = json_text(c->spec, "image", ""), *note = NULL;

    if (json_array_size(json_object_get(c->spec, "command")) == 0)
        note = image_note(image, c->pod->node->o.image_map);
    if (note)
        container_say(c, EVENT_NORMAL, "StandIn",
                      "A program of flyball's stands in for image \"%s\": %s", image, note);
}

static void on_state(void *arg)
{
    struct container *c = arg;
    AUTO_FREE char *dir = container_dir(c, c->attempt);
    pid_t shim = c->shim.shim;

    loop_fd_stop(c->state_watch);
    c->state_watch = NULL;
    close(c->state_fd);
    c->state_fd = -1;
    if (!shim_read(dir, &c->shim)) { /* it has ended: container_exited says the rest */
        c->shim.shim = shim;
        return;
    }
    c->state = C_RUNNING;
    c->reason[0] = c->message[0] = '\0';
    c->run_started_ms = loop_wall_ms(c->pod->node->o.loop);
    container_say(c, EVENT_NORMAL, "Created", "Created container: %s", c->name);
    container_say(c, EVENT_NORMAL, "Started", "Started container %s", c->name);
    say_what_stands_in(c);
    probes_start(c);
    npod_sync(c->pod);
}

static pid_t spawn_shim(struct container *c, const char *dir, int out)
{
    struct node *n = c->pod->node;
    AUTO_FREE char *program = mem_printf("%s/flyball-shim", n->self_dir);
    AUTO_FREE char *uid = mem_printf("%ld", n->uid);
    AUTO_FREE char *gid = mem_printf("%ld", n->gid);
    AUTO_FREE char *grace = mem_printf(
        "%lld", (long long)json_int(c->pod->tree, "spec.terminationGracePeriodSeconds", 30));
    AUTO_FREE char *cwd = mem_strdup(json_text(c->spec, "workingDir", ""));
    AUTO_FREE char *where = mem_strdup(dir);
    char cpus[256], *env[] = {NULL};
    int nice_by;
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    sigset_t none;
    pid_t pid = -1;
    int r;

    limits_cpu(c, cpus, &nice_by);
    AUTO_FREE char *nice_text = mem_printf("%d", nice_by);
    char *argv[] = {program, where, uid, gid, cwd, grace, cpus, nice_text, NULL};

    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&fa, out, 1);
    posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_init(&attr);
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    r = posix_spawn(&pid, program, &fa, &attr, argv, env);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&attr);
    if (r != 0) {
        errno = r;
        return -1;
    }
    return pid;
}

static void make_dirs(const char *path)
{
    AUTO_FREE char *p = mem_strdup(path);

    for (char *q = p + 1; *q; q++)
        if (*q == '/') {
            *q = '\0';
            mkdir(p, 0700);
            *q = '/';
        }
    mkdir(p, 0700);
}

/* The shim of a new attempt, with a pipe that tells when it has recorded its start. -1 with errno.
 */
static pid_t launch(struct container *c, const struct buf *argv, const struct buf *env)
{
    AUTO_FREE char *dir = container_dir(c, c->attempt);
    int fds[2], saved;
    pid_t pid;

    make_dirs(dir);
    if (put_file(dir, "argv", argv) < 0 || put_file(dir, "env", env) < 0 ||
        pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    pid = spawn_shim(c, dir, fds[1]);
    saved = errno;
    close(fds[1]);
    if (pid < 0)
        close(fds[0]);
    else
        c->state_fd = fds[0];
    errno = saved;
    return pid;
}

static void cannot_start(struct container *c, const char *reason, const char *why, bool retry)
{
    wait_with(c, reason, why);
    container_say(c, EVENT_WARNING, "Failed", "Error: %s", why);
    if (retry)
        loop_timer_start(&c->restart_timer, START_RETRY_MS);
}

void container_start(struct container *c)
{
    struct buf argv = BUF_INIT, env = BUF_INIT;
    struct err err = ERR_INIT;
    char text[300];
    pid_t pid;

    if (container_argv(c, &argv, &err) < 0 || container_env(c, &env, &err) < 0) {
        bool never = err.code == ERR_UNSUPPORTED; /* else: a Secret may come */

        cannot_start(c, never ? "ImageNotRunnable" : "CreateContainerConfigError", err.msg, !never);
        buf_done(&argv);
        buf_done(&env);
        return;
    }
    c->attempt++;
    c->shim = (struct shim_state){0};
    c->was_oom = c->is_started = false;
    pid = launch(c, &argv, &env);
    buf_done(&argv);
    buf_done(&env);
    if (pid < 0) {
        snprintf(text, sizeof(text), "cannot start: %s", strerror(errno));
        cannot_start(c, "RunContainerError", text, true);
        return;
    }
    c->shim.shim = pid;
    c->state = C_STARTING;
    c->reason[0] = c->message[0] = '\0';
    c->state_watch = loop_fd_watch(c->pod->node->o.loop, c->state_fd, on_state, c);
    container_adopt(c);
}
