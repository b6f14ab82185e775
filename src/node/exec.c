/* SPDX-License-Identifier: Apache-2.0 */
#include "node/exec.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

struct node_exec {
    pid_t pid;
    int pidfd;
    struct loop_fd *watch;
    struct loop_timer limit;
    void (*done)(void *arg, int status);
    void *arg;
};

static void kill_it(struct node_exec *x)
{
    kill(-x->pid, SIGKILL);
    waitpid(x->pid, NULL, 0);
}

static void end(struct node_exec *x)
{
    loop_timer_stop(&x->limit);
    loop_fd_stop(x->watch);
    close(x->pidfd);
    free(x);
}

static void finish(struct node_exec *x, int status)
{
    void (*done)(void *arg, int status) = x->done;
    void *arg = x->arg;

    end(x);
    done(arg, status);
}

static void on_end(void *arg)
{
    struct node_exec *x = arg;
    int status = 0;

    waitpid(x->pid, &status, 0);
    finish(x, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

static void on_limit(void *arg)
{
    struct node_exec *x = arg;

    kill_it(x);
    finish(x, -2);
}

static pid_t spawn(struct container *c, const json_t *command)
{
    const struct node *n = c->pod->node;
    AUTO_FREE char *program = mem_printf("%s/flyball-shim", n->self_dir);
    AUTO_FREE char *dir = container_dir(c, c->attempt);
    AUTO_FREE char *uid = mem_printf("%ld", n->uid);
    AUTO_FREE char *gid = mem_printf("%ld", n->gid);
    size_t words = json_array_size(command), k = 0;
    char **argv = mem_array(words + 7, sizeof(*argv)), *env[] = {NULL}, run[] = "--run";
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    pid_t pid = -1;
    sigset_t none;

    argv[k++] = program;
    argv[k++] = run;
    argv[k++] = dir;
    argv[k++] = uid;
    argv[k++] = gid;
    argv[k++] = (char *)(uintptr_t)json_text(c->spec, "workingDir", "");
    for (size_t i = 0; i < words; i++)
        argv[k++] = (char *)(uintptr_t)json_string_value(json_array_get(command, i));
    posix_spawn_file_actions_init(&fa);
    for (int fd = 0; fd < 3; fd++)
        posix_spawn_file_actions_addopen(&fa, fd, "/dev/null", O_RDWR, 0);
    posix_spawnattr_init(&attr);
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    if (words == 0 || posix_spawn(&pid, program, &fa, &attr, argv, env) != 0)
        pid = -1;
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&attr);
    free(argv);
    return pid;
}

struct node_exec *node_exec_start(struct container *c, const json_t *command, int64_t timeout_ms,
                                  void (*done)(void *arg, int status), void *arg)
{
    pid_t pid = spawn(c, command);
    struct node_exec *x;

    if (pid < 0)
        return NULL;
    x = mem_zalloc(sizeof(*x));
    x->pid = pid;
    x->done = done;
    x->arg = arg;
    x->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    x->watch = loop_fd_watch(c->pod->node->o.loop, x->pidfd, on_end, x);
    loop_timer_init(&x->limit, c->pod->node->o.loop, on_limit, x);
    if (timeout_ms > 0)
        loop_timer_start(&x->limit, timeout_ms);
    return x;
}

void node_exec_cancel(struct node_exec *x)
{
    if (!x)
        return;
    kill_it(x);
    end(x);
}
