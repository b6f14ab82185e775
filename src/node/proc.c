/* SPDX-License-Identifier: Apache-2.0
 *
 * What the processes of a container use, from /proc. The shim takes in what loses its parent, so
 * that everything a container started is below its shim, and the time of what has ended is with
 * whoever waited for it. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "node/node_int.h"

#define DEPTH_MAX 32

/* The beginning of a small file, NUL-terminated; 0: it cannot be read. */
static size_t read_start(const char *path, char *out, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, cap - 1);

    if (fd >= 0)
        close(fd);
    out[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* Own time, or (waited) that of children that have ended and were waited for; in ticks. */
static int64_t ticks_of(const char *stat, bool waited)
{
    const char *p = strrchr(stat, ')'); /* the name before may hold anything */
    long long user, sys, child_user, child_sys;

    if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lld %lld %lld %lld",
                     &user, &sys, &child_user, &child_sys) != 4)
        return 0;
    return waited ? child_user + child_sys : user + sys;
}

static void add_process(pid_t pid, bool is_shim, struct proc_usage *u)
{
    static long hz, page;
    char path[64], text[1024];
    long long size, resident, shared;

    if (!hz) {
        hz = sysconf(_SC_CLK_TCK);
        page = sysconf(_SC_PAGESIZE);
    }
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (!read_start(path, text, sizeof(text)))
        return;
    u->cpu_ns += (ticks_of(text, true) + (is_shim ? 0 : ticks_of(text, false))) * (1000000000 / hz);
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    if (is_shim || !read_start(path, text, sizeof(text)) ||
        sscanf(text, "%lld %lld %lld", &size, &resident, &shared) != 3)
        return;
    u->private_bytes += (resident - shared) * page;
    u->processes++;
}

static void add_children(pid_t pid, int depth, struct proc_usage *u)
{
    char path[64];
    DIR *d;
    struct dirent *e;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    d = depth < DEPTH_MAX ? opendir(path) : NULL;
    while (d && (e = readdir(d))) {
        char list[400], text[4096], *p = text;

        snprintf(list, sizeof(list), "%s/%s/children", path, e->d_name);
        if (e->d_name[0] == '.' || !read_start(list, text, sizeof(text)))
            continue;
        for (long child; (child = strtol(p, &p, 10)) > 0;) {
            add_process((pid_t)child, false, u);
            add_children((pid_t)child, depth + 1, u);
        }
    }
    if (d)
        closedir(d);
}

void proc_tree_usage(const struct shim_state *s, struct proc_usage *ret)
{
    *ret = (struct proc_usage){0};
    add_process(s->shim, true, ret);
    add_children(s->shim, 0, ret);
    if (ret->processes == 0) /* a kernel without lists of children */
        add_process(s->child, false, ret);
}

bool proc_machine_usage(struct proc_usage *ret)
{
    char text[4096];
    long long t[8] = {0}, total = 0, available = 0;
    const char *p;

    if (!read_start("/proc/stat", text, sizeof(text)) ||
        sscanf(text, "cpu %lld %lld %lld %lld %lld %lld %lld %lld", &t[0], &t[1], &t[2], &t[3],
               &t[4], &t[5], &t[6], &t[7]) < 4)
        return false;
    ret->cpu_ns = (t[0] + t[1] + t[2] + t[5] + t[6] + t[7]) * (1000000000 / sysconf(_SC_CLK_TCK));
    if (!read_start("/proc/meminfo", text, sizeof(text)) ||
        sscanf(text, "MemTotal: %lld", &total) != 1 || !(p = strstr(text, "MemAvailable:")) ||
        sscanf(p, "MemAvailable: %lld", &available) != 1)
        return false;
    ret->private_bytes = (total - available) * 1024;
    return true;
}
