/* SPDX-License-Identifier: Apache-2.0
 *
 * See node/shim/shim.h for what it promises. One loop over poll(2): the program's two pipes, a
 * signalfd for the program's end and flyball's orders, and two deadlines (grace, memory watch). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "node/shim/shim_log.h"
#include "node/shim/shim_proc.h"
#include "node/shim/shim_start.h"

#define MEMORY_WATCH_MS 250
#define LAST_OUTPUT_MS 1000 /* for pipes that somebody outside still holds open */

static struct {
    const char *cwd;
    long uid, gid, grace_s;
    long long mem_bytes; /* 0: no limit */
    char **argv, **env;

    pid_t pid;            /* 0: not started */
    long long kill_at_ms; /* 0: no end ordered */
    bool has_ended, is_oom;
    int status; /* of waitpid */
    char error[512];
} shim;

static struct shim_stream streams[2] = {{.name = "stdout", .fd = -1}, {.name = "stderr", .fd = -1}};

static long long now_ms(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (long long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static long long mono_ms(void)
{
    return now_ms(CLOCK_MONOTONIC);
}

/* --- files in DIR --- */

/* The whole file with a NUL behind it, or NULL. */
static char *read_whole(const char *name, size_t *ret_n)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    struct stat st;
    char *text = NULL;

    if (fd >= 0 && fstat(fd, &st) == 0 && (text = malloc((size_t)st.st_size + 1))) {
        ssize_t n = read(fd, text, (size_t)st.st_size);

        *ret_n = n > 0 ? (size_t)n : 0;
        text[*ret_n] = '\0';
    }
    if (fd >= 0)
        close(fd);
    return text;
}

/* A NUL-separated file as a NULL-ended vector, or NULL. */
static char **read_vector(const char *name)
{
    size_t n = 0, count = 0;
    char *text = read_whole(name, &n), **v;

    if (!text)
        return NULL;
    for (size_t i = 0; i < n; i++)
        count += text[i] == '\0';
    v = calloc(count + 1, sizeof(*v));
    for (size_t i = 0; v && i < count; i++) {
        v[i] = text;
        text += strlen(text) + 1;
    }
    return v;
}

static void replace_file(const char *name, const char *text, int n)
{
    char tmp[64];
    int fd;

    snprintf(tmp, sizeof(tmp), "%s.new", name);
    fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (write(fd, text, (size_t)n) == n)
        rename(tmp, name);
    close(fd);
}

static void write_state(void)
{
    char text[256], boot[64] = "-";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC), n;

    if (fd >= 0) {
        ssize_t k = read(fd, boot, 36);

        boot[k > 0 ? k : 0] = '\0';
        close(fd);
    }
    n = snprintf(text, sizeof(text), "%d %d %llu %lld %s\n", (int)shim.pid, (int)getpid(),
                 shim_proc_start(getpid()), now_ms(CLOCK_REALTIME), boot);
    replace_file("state", text, n);
}

static void write_exit(void)
{
    char text[1024];
    int code = 128, sig = 0;

    if (!shim.error[0] && WIFEXITED(shim.status)) {
        code = WEXITSTATUS(shim.status);
    } else if (!shim.error[0]) {
        sig = WTERMSIG(shim.status);
        code = 128 + sig;
    }
    replace_file("exit", text,
                 snprintf(text, sizeof(text), "%d %d %lld %s %s\n", code, sig,
                          now_ms(CLOCK_REALTIME),
                          shim.error[0] ? "error" : (shim.is_oom ? "oom" : "-"), shim.error));
}

static long order_grace_s(void)
{
    size_t n;
    char *text = read_whole("grace", &n);
    long s = text && n > 0 ? strtol(text, NULL, 10) : shim.grace_s;

    free(text);
    return s;
}

/* --- start --- */

static void run_child(int out_fd, int err_fd, int why_fd)
{
    char why[sizeof(shim.error)] = "";
    ssize_t n;

    setsid();
    dup2(out_fd, 1);
    dup2(err_fd, 2);
    shim_exec(shim.uid, shim.gid, shim.cwd, shim.argv, shim.env, why, sizeof(why));
    n = write(why_fd, why, strlen(why));
    (void)n;
    _exit(127);
}

static void start(void)
{
    int out[2], err[2], why[2];
    ssize_t n;

    if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 || pipe2(why, O_CLOEXEC) < 0 ||
        (shim.pid = fork()) < 0) {
        snprintf(shim.error, sizeof(shim.error), "cannot start: %s", strerror(errno));
        shim.pid = 0;
        return;
    }
    if (shim.pid == 0)
        run_child(out[1], err[1], why[1]);
    close(out[1]);
    close(err[1]);
    close(why[1]);
    streams[0].fd = out[0];
    streams[1].fd = err[0];
    do /* ends when the program runs: that end is close-on-exec */
        n = read(why[0], shim.error, sizeof(shim.error) - 1);
    while (n < 0 && errno == EINTR);
    shim.error[n > 0 ? n : 0] = '\0';
    close(why[0]);
}

/* --- the loop --- */

static void reap(void)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == shim.pid) {
            shim.has_ended = true;
            shim.status = status;
        }
    }
}

static void order_end(long long grace_ms)
{
    long long at = mono_ms() + (grace_ms > 0 ? grace_ms : 0);

    if (shim.pid > 0 && shim.kill_at_ms == 0 && grace_ms > 0)
        kill(-shim.pid, SIGTERM);
    if (shim.kill_at_ms == 0 || at < shim.kill_at_ms)
        shim.kill_at_ms = at;
}

static void on_signal(int fd)
{
    struct signalfd_siginfo si;

    while (read(fd, &si, sizeof(si)) == sizeof(si)) {
        if (si.ssi_signo == SIGCHLD)
            reap();
        else if (si.ssi_signo == SIGUSR1)
            order_end(0);
        else
            order_end(si.ssi_code == SI_QUEUE ? si.ssi_int : order_grace_s() * 1000LL);
    }
}

static void keep_limits(void)
{
    if (shim.mem_bytes > 0 && shim_proc_anon_bytes() > shim.mem_bytes) {
        shim.is_oom = true;
        shim_proc_kill_all();
    }
    if (shim.kill_at_ms && mono_ms() >= shim.kill_at_ms) {
        shim_proc_kill_all();
        shim.kill_at_ms = mono_ms() + 100; /* again, for who forked meanwhile */
    }
}

static int next_timeout(void)
{
    long long left = shim.mem_bytes > 0 ? MEMORY_WATCH_MS : -1, kill_in;

    if (shim.kill_at_ms) {
        kill_in = shim.kill_at_ms - mono_ms();
        kill_in = kill_in < 0 ? 0 : kill_in;
        left = left < 0 || kill_in < left ? kill_in : left;
    }
    return (int)(left > 60000 ? 60000 : left);
}

static void wait_for_output(int signal_fd, int timeout_ms)
{
    struct pollfd p[3] = {
        {signal_fd, POLLIN, 0}, {streams[0].fd, POLLIN, 0}, {streams[1].fd, POLLIN, 0}};

    if (poll(p, 3, timeout_ms) <= 0)
        return;
    for (int i = 0; i < 2; i++)
        if (p[i + 1].revents)
            shim_log_pump(&streams[i]);
    if (p[0].revents)
        on_signal(signal_fd);
}

/* The program has ended: whatever it left behind goes too, what it said is written down. */
static void clean_up(int signal_fd)
{
    long long until = mono_ms() + LAST_OUTPUT_MS;

    for (;;) {
        kill(-shim.pid, SIGKILL);
        shim_proc_kill_all();
        reap();
        if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
            break;
        wait_for_output(signal_fd, 10);
    }
    while ((streams[0].fd >= 0 || streams[1].fd >= 0) && mono_ms() < until)
        wait_for_output(signal_fd, 50);
    shim_log_end(&streams[0]);
    shim_log_end(&streams[1]);
}

static int make_signal_fd(void)
{
    sigset_t set;

    sigfillset(&set); /* a stray signal must not end it; the program starts with none blocked */
    sigprocmask(SIG_SETMASK, &set, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int run(void)
{
    int signal_fd;

    fcntl(SHIM_FD_READY, F_SETFD, FD_CLOEXEC);
    fcntl(SHIM_FD_HELD, F_SETFD, FD_CLOEXEC);
    setsid();
    umask(022);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    signal_fd = make_signal_fd();
    shim_log_open();
    start();
    if (shim.error[0])
        shim.has_ended = true;
    write_state();
    if (!shim.has_ended)
        close(SHIM_FD_READY);
    while (!shim.has_ended) {
        wait_for_output(signal_fd, next_timeout());
        keep_limits();
    }
    if (shim.pid > 0)
        clean_up(signal_fd);
    write_exit();
    return 0;
}

static int usage(void)
{
    static const char text[] = "flyball-shim is started by flyball; it keeps a container's log and "
                               "exit code\n";
    ssize_t n = write(2, text, sizeof(text) - 1);

    (void)n;
    return 2;
}

int main(int argc, char **argv)
{
    if (argc >= 6 && strcmp(argv[1], "exec") == 0) {
        char why[512] = "";

        shim_exec(strtol(argv[2], NULL, 10), strtol(argv[3], NULL, 10), argv[4], argv + 5, environ,
                  why, sizeof(why));
        dprintf(2, "%s\n", why);
        return SHIM_EXEC_FAILED;
    }
    if (argc < 6 || argc > 7 || chdir(argv[1]) < 0)
        return usage();
    shim.uid = strtol(argv[2], NULL, 10);
    shim.gid = strtol(argv[3], NULL, 10);
    shim.cwd = argv[4];
    shim.grace_s = strtol(argv[5], NULL, 10);
    shim.mem_bytes = argc == 7 ? strtoll(argv[6], NULL, 10) : 0;
    shim.argv = read_vector("argv");
    shim.env = read_vector("env");
    if (!shim.argv || !shim.argv[0] || !shim.env)
        return usage();
    return run();
}
