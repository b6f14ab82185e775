/* SPDX-License-Identifier: Apache-2.0
 *
 * flyball-shim: the parent of one container's process. It outlives flyball: it writes the log,
 * enforces the grace period and records the exit, so that a crash of flyball costs neither output
 * nor exit codes.
 *
 *   flyball-shim DIR UID GID CWD GRACE_S CPUS NICE     (UID or GID -1: as we are)
 *   flyball-shim --run DIR UID GID CWD PROGRAM [ARG]...
 *
 * CPUS: "0,3", the processors it may run on; empty: all. The second form becomes PROGRAM in the
 * surroundings of that container (probes and hooks) and is no parent of anything.
 *
 * DIR holds, written before: `argv` and `env` (NUL-separated). The shim writes
 *   state  "CHILD_PID SHIM_PID SHIM_STARTTIME STARTED_MS\n"   when the process runs (atomically)
 *   log    one line per line of output: RFC 3339 time, stream, F (whole) or P (partial), text
 *   exit   "CODE SIGNAL FINISHED_MS\n"                          at the end (atomically)
 * The program is not started before `state` is on the disk: what runs can be found again. Standard
 * output is closed at that moment, so that whoever holds its other end need not look for the file.
 * SIGTERM: ends the process with grace. SIGUSR1: kills it at once. `grace` in DIR, if there,
 * replaces GRACE_S. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/proc.h"

#define LOG_MAX (16 << 20)
#define LINE_MAX_BYTES 16384

struct stream {
    int fd;
    const char *name;
    char line[LINE_MAX_BYTES];
    size_t n;
};

static int log_fd;
static long log_size;

static int64_t now_ms(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, p, n);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return; /* a full disk loses log lines, not the process */
        p += put;
        n -= (size_t)put;
    }
}

static bool put_file(const char *name, const char *text)
{
    char tmp[64];
    bool ok;
    int fd;

    snprintf(tmp, sizeof(tmp), "%s.new", name);
    fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fsync(fd) == 0;
    close(fd);
    return ok && rename(tmp, name) == 0;
}

static void emit(struct stream *s, char tag)
{
    char head[80];
    struct timespec ts;
    struct tm tm;
    int n;

    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    n = snprintf(head, sizeof(head), "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ %s %c ",
                 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                 ts.tv_nsec, s->name, tag);
    if (log_size > LOG_MAX) {
        rename("log", "log.1");
        close(log_fd);
        log_fd = open("log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        log_size = 0;
    }
    write_all(log_fd, head, (size_t)n);
    write_all(log_fd, s->line, s->n);
    write_all(log_fd, "\n", 1);
    log_size += n + (long)s->n + 1;
    s->n = 0;
}

/* false at end of file. */
static bool pump(struct stream *s)
{
    char part[8192];
    ssize_t n = read(s->fd, part, sizeof(part));

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0)
        return false;
    for (ssize_t i = 0; i < n; i++) {
        if (part[i] == '\n') {
            emit(s, 'F');
            continue;
        }
        s->line[s->n++] = part[i];
        if (s->n == sizeof(s->line))
            emit(s, 'P');
    }
    return true;
}

/* A NUL-separated file as a vector. */
static char **read_vector(const char *name)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    struct stat st;
    char *text, **v;
    size_t n = 0, k = 0;

    if (fd < 0 || fstat(fd, &st) < 0)
        return NULL;
    text = calloc(1, (size_t)st.st_size + 1);
    if (!text || read(fd, text, (size_t)st.st_size) != st.st_size)
        return NULL;
    close(fd);
    for (off_t i = 0; i < st.st_size; i++)
        n += text[i] == '\0';
    v = calloc(n + 1, sizeof(*v));
    for (char *p = text; v && k < n; p += strlen(p) + 1)
        v[k++] = p;
    return v;
}

static int find_program(const char *name, char **env)
{
    const char *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    char full[4096];

    if (strchr(name, '/'))
        return open(name, O_RDONLY | O_CLOEXEC);
    for (; *env; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            path = *env + 5;
    while (*path) {
        size_t n = strcspn(path, ":");
        int fd;

        snprintf(full, sizeof(full), "%.*s/%s", (int)n, path, name);
        fd = open(full, O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && faccessat(AT_FDCWD, full, X_OK, 0) == 0)
            return fd;
        if (fd >= 0)
            close(fd);
        path += n + (path[n] == ':');
    }
    errno = ENOENT;
    return -1;
}

/* Where the kernel refuses, the program runs on all processors. */
static void set_cpus(const char *list)
{
    cpu_set_t set;
    char *end;

    CPU_ZERO(&set);
    for (const char *p = list; *p; p = *end == ',' ? end + 1 : end) {
        long n = strtol(p, &end, 10);

        if (end == p || n < 0 || n >= CPU_SETSIZE)
            return;
        CPU_SET((int)n, &set);
    }
    if (*list)
        sched_setaffinity(0, sizeof(set), &set);
}

/* The program is opened before privileges are dropped, so that it may lie where the pod user cannot
 * look. */
static void run_child(char **argv, char **env, long uid, long gid, const char *cwd)
{
    int fd = find_program(argv[0], env);
    char head[2] = "";

    if (fd < 0) {
        fprintf(stderr, "exec %s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    if (*cwd && chdir(cwd) < 0) {
        fprintf(stderr, "working directory %s: %s\n", cwd, strerror(errno));
        _exit(126);
    }
    if (!*cwd && chdir("/") < 0)
        _exit(126);
    if (gid >= 0 && (syscall(SYS_setgroups, 0, NULL) < 0 || setgid((gid_t)gid) < 0))
        _exit(126);
    if (uid >= 0 && setuid((uid_t)uid) < 0)
        _exit(126);
    if (pread(fd, head, 2, 0) == 2 && head[0] == '#' && head[1] == '!')
        fcntl(fd, F_SETFD, 0); /* a script's interpreter opens it by this descriptor */
    syscall(SYS_execveat, fd, "", argv, env, AT_EMPTY_PATH);
    fprintf(stderr, "exec %s: %s\n", argv[0], strerror(errno));
    _exit(errno == EACCES ? 126 : 127);
}

static long read_grace(long def)
{
    char text[32];
    int fd = open("grace", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return def;
    text[n] = '\0';
    return atol(text);
}

/* Probes and hooks: the same program, user and environment as the container's own. */
static int run_inside(char **argv)
{
    char **env;

    if (chdir(argv[2]) < 0 || !(env = read_vector("env")))
        return 126;
    run_child(argv + 6, env, atol(argv[3]), atol(argv[4]), argv[5]);
    return 126;
}

static int signal_fd(sigset_t *set)
{
    static const int signals[] = {SIGCHLD, SIGTERM, SIGUSR1, SIGINT, SIGHUP};

    sigemptyset(set);
    for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
        sigaddset(set, signals[i]);
    sigprocmask(SIG_BLOCK, set, NULL);
    return signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The child waits for the word to go, so that nothing runs that nobody could find again. */
static pid_t start_child(char **argv, int out, int err, const sigset_t *set)
{
    char **child_argv = read_vector("argv"), **child_env = read_vector("env"), text[160], go = 1;
    int gate[2], null_fd;
    pid_t child;

    if (!child_argv || !child_argv[0] || !child_env || pipe2(gate, O_CLOEXEC) < 0)
        return -1;
    child = fork();
    if (child == 0) {
        setpgid(0, 0);
        dup2(out, 1);
        dup2(err, 2);
        close(gate[1]);
        if (read(gate[0], &go, 1) != 1)
            _exit(126);
        sigprocmask(SIG_UNBLOCK, set, NULL);
        set_cpus(argv[6]);
        setpriority(PRIO_PROCESS, 0, atoi(argv[7]));
        run_child(child_argv, child_env, atol(argv[2]), atol(argv[3]), argv[4]);
    }
    if (child < 0)
        return -1;
    setpgid(child, child);
    snprintf(text, sizeof(text), "%d %d %llu %lld\n", (int)child, (int)getpid(),
             (unsigned long long)proc_start(getpid()), (long long)now_ms(CLOCK_REALTIME));
    if (!put_file("state", text)) {
        kill(child, SIGKILL);
        return -1;
    }
    null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null_fd >= 0)
        dup2(null_fd, 1);
    close(null_fd);
    close(gate[0]);
    if (write(gate[1], &go, 1) != 1)
        kill(child, SIGKILL);
    close(gate[1]);
    return child;
}

struct life {
    pid_t child;
    int sfd, status;
    long grace_s;
    int64_t kill_at, drained_at; /* mono; -1: never */
    bool has_exited;
};

static void take_signals(struct life *l)
{
    struct signalfd_siginfo si;
    pid_t got;
    int st;

    while (read(l->sfd, &si, sizeof(si)) == sizeof(si)) {
        if (si.ssi_signo == SIGTERM && l->kill_at < 0) {
            kill(-l->child, SIGTERM);
            l->kill_at = now_ms(CLOCK_MONOTONIC) + read_grace(l->grace_s) * 1000;
        } else if (si.ssi_signo == SIGUSR1) {
            kill(-l->child, SIGKILL);
        }
    }
    while ((got = waitpid(-1, &st, WNOHANG)) > 0) {
        if (got == l->child) {
            l->has_exited = true;
            l->status = st;
            kill(-l->child, SIGKILL); /* what it left behind */
            l->drained_at = now_ms(CLOCK_MONOTONIC) + 500;
        }
    }
    if (!l->has_exited && l->kill_at >= 0 && now_ms(CLOCK_MONOTONIC) >= l->kill_at) {
        kill(-l->child, SIGKILL);
        l->kill_at = INT64_MAX / 2;
    }
}

static void supervise(struct life *l, struct stream *out, struct stream *err)
{
    struct stream *streams[] = {out, err};

    while (!l->has_exited ||
           ((out->fd >= 0 || err->fd >= 0) && now_ms(CLOCK_MONOTONIC) < l->drained_at)) {
        struct pollfd p[3] = {{l->sfd, POLLIN, 0}, {out->fd, POLLIN, 0}, {err->fd, POLLIN, 0}};
        int64_t until = l->has_exited ? l->drained_at : l->kill_at, wait = -1;

        if (until >= 0)
            wait = until - now_ms(CLOCK_MONOTONIC);
        if (until >= 0 && wait < 0)
            wait = 0;
        poll(p, 3, wait > 3600000 ? 3600000 : (int)wait);
        for (int i = 0; i < 2; i++)
            if (streams[i]->fd >= 0 && (p[i + 1].revents & (POLLIN | POLLHUP)) &&
                !pump(streams[i])) {
                close(streams[i]->fd);
                streams[i]->fd = -1;
            }
        take_signals(l);
    }
    for (int i = 0; i < 2; i++)
        if (streams[i]->n)
            emit(streams[i], 'F');
}

int main(int argc, char **argv)
{
    static struct stream out = {.name = "stdout"}, err = {.name = "stderr"};
    struct life l = {.kill_at = -1, .drained_at = -1};
    int po[2], pe[2], n;
    char text[160];
    sigset_t set;

    if (argc >= 7 && strcmp(argv[1], "--run") == 0)
        return run_inside(argv);
    if (argc != 8 || chdir(argv[1]) < 0)
        return 2;
    setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    l.sfd = signal_fd(&set);
    l.grace_s = atol(argv[5]);
    log_fd = open("log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (l.sfd < 0 || log_fd < 0 || pipe2(po, O_CLOEXEC) < 0 || pipe2(pe, O_CLOEXEC) < 0)
        return 2;
    l.child = start_child(argv, po[1], pe[1], &set);
    if (l.child < 0)
        return 2;
    close(po[1]);
    close(pe[1]);
    fcntl(po[0], F_SETFL, O_NONBLOCK);
    fcntl(pe[0], F_SETFL, O_NONBLOCK);
    out.fd = po[0];
    err.fd = pe[0];
    supervise(&l, &out, &err);
    n = snprintf(text, sizeof(text), "%d %d %lld\n",
                 WIFEXITED(l.status) ? WEXITSTATUS(l.status) : 128 + WTERMSIG(l.status),
                 WIFSIGNALED(l.status) ? WTERMSIG(l.status) : 0, (long long)now_ms(CLOCK_REALTIME));
    return n > 0 && put_file("exit", text) ? 0 : 2;
}
