/* SPDX-License-Identifier: Apache-2.0 */
#include "node/leftovers.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/proc.h"

static bool read_line(const char *dir, const char *name, char out[256])
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, 255);

    if (fd >= 0)
        close(fd);
    out[n > 0 ? n : 0] = '\0';
    return n > 0;
}

bool shim_read(const char *dir, struct shim_state *s)
{
    char text[256];
    int child, shim;
    long long started, finished;

    *s = (struct shim_state){0};
    if (!read_line(dir, "state", text) ||
        sscanf(text, "%d %d %llu %lld", &child, &shim, &s->shim_start, &started) != 4)
        return false;
    s->child = child;
    s->shim = shim;
    s->started_ms = started;
    if (read_line(dir, "exit", text) &&
        sscanf(text, "%d %d %lld", &s->exit_code, &s->exit_signal, &finished) == 3) {
        s->has_exit = true;
        s->finished_ms = finished;
    }
    return true;
}

/* Does a process flyball-shim DIR run? */
static bool has_shim(const char *dir)
{
    DIR *d = opendir("/proc");
    struct dirent *e;
    bool found = false;

    while (d && !found && (e = readdir(d))) {
        char path[300], text[4096];
        ssize_t n;
        int fd;

        if (e->d_name[0] < '0' || e->d_name[0] > '9')
            continue;
        snprintf(path, sizeof(path), "/proc/%s/cmdline", e->d_name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        if (fd >= 0)
            close(fd);
        if (n <= 0)
            continue;
        text[n] = '\0';
        found = strlen(text) >= 12 && strcmp(text + strlen(text) - 12, "flyball-shim") == 0 &&
                (size_t)n > strlen(text) + 1 && strcmp(text + strlen(text) + 1, dir) == 0;
    }
    if (d)
        closedir(d);
    return found;
}

bool shim_read_started(const char *dir, struct shim_state *s)
{
    for (int i = 0; i < 200; i++) {
        if (shim_read(dir, s))
            return true;
        if (!has_shim(dir))
            return shim_read(dir, s); /* it may have ended in between */
        usleep(1000);
    }
    return false;
}

bool shim_is_alive(const struct shim_state *s)
{
    uint64_t start = proc_start(s->shim);

    return start && start == s->shim_start;
}

/* Calls fn for each DATA_DIR/pods/UID/CONTAINER/ATTEMPT. */
static void each_attempt(const char *data_dir, int depth, void (*fn)(void *arg, const char *dir),
                         void *arg)
{
    DIR *d = opendir(data_dir);
    struct dirent *e;

    while (d && (e = readdir(d))) {
        AUTO_FREE char *path = mem_printf("%s/%s", data_dir, e->d_name);

        if (e->d_name[0] == '.')
            continue;
        if (depth == 0)
            fn(arg, path);
        else
            each_attempt(path, depth - 1, fn, arg);
    }
    if (d)
        closedir(d);
}

struct found {
    int *fds;
    size_t n, cap;
    bool only_look;
};

static void end_one(void *arg, const char *dir)
{
    struct found *f = arg;
    struct shim_state s;
    int fd;

    if (!shim_read(dir, &s) || s.has_exit || !shim_is_alive(&s))
        return;
    fd = (int)syscall(SYS_pidfd_open, s.shim, 0);
    if (fd < 0)
        return;
    if (!f->only_look)
        syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0);
    mem_grow(&f->fds, &f->cap, f->n);
    f->fds[f->n++] = fd;
}

static size_t find(const char *data_dir, struct found *f)
{
    AUTO_FREE char *pods = mem_printf("%s/pods", data_dir);

    each_attempt(pods, 2, end_one, f);
    return f->n;
}

bool node_has_live_pods(const char *data_dir)
{
    struct found f = {.only_look = true};
    size_t n = find(data_dir, &f);

    for (size_t i = 0; i < f.n; i++)
        close(f.fds[i]);
    free(f.fds);
    return n > 0;
}

int node_end_leftovers(const char *data_dir)
{
    struct found f = {0};
    int64_t until = clock_mono_ns(&clock_system) / 1000000 + 40000;
    int n = (int)find(data_dir, &f);

    for (size_t i = 0; i < f.n; i++) {
        struct pollfd p = {.fd = f.fds[i], .events = POLLIN};
        int64_t left = until - clock_mono_ns(&clock_system) / 1000000;

        if (poll(&p, 1, left > 0 ? (int)left : 0) == 0)
            syscall(SYS_pidfd_send_signal, f.fds[i], SIGUSR1, NULL,
                    0); /* the shim kills its process */
        close(f.fds[i]);
    }
    free(f.fds);
    return n;
}
