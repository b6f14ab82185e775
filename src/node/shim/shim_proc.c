/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels without CONFIG_PROC_CHILDREN have no children lists, so the parents of all processes are
 * read instead; the shim being a subreaper, every descendant has a living chain up to it. */
#include "node/shim/shim_proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TREE_MAX 4096 /* processes of one container; more are reached by the next round */

static size_t read_file(const char *path, char *out, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, cap - 1) : -1;

    if (fd >= 0)
        close(fd);
    out[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* Field numbers as in proc(5), from 4 on: behind the name, which may hold anything. */
static unsigned long long stat_field(pid_t pid, int field)
{
    char path[64], text[1024], *p;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (read_file(path, text, sizeof(text)) == 0 || !(p = strrchr(text, ')')))
        return 0;
    p++; /* before field 3 */
    for (int i = 3; i < field && p; i++)
        p = strchr(p + 1, ' ');
    return p ? strtoull(p, NULL, 10) : 0;
}

unsigned long long shim_proc_start(pid_t pid)
{
    return stat_field(pid, 22);
}

/* Adds the children of parent from its own list; false where the kernel has none. */
static bool add_listed(pid_t parent, pid_t *tree, size_t *n)
{
    char path[64], text[8192], *p = text, *end;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
    if (access(path, R_OK) < 0)
        return false;
    read_file(path, text, sizeof(text));
    for (long pid; *n < TREE_MAX && (pid = strtol(p, &end, 10)) > 0; p = end)
        tree[(*n)++] = (pid_t)pid;
    return true;
}

static void add_scanned(pid_t *tree, size_t *n)
{
    static struct {
        pid_t pid, parent;
    } all[TREE_MAX * 4];
    size_t count = 0;
    DIR *d = opendir("/proc");
    struct dirent *e;

    while (d && (e = readdir(d)) && count < TREE_MAX * 4) {
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

        if (pid > 0) {
            all[count].pid = pid;
            all[count++].parent = (pid_t)stat_field(pid, 4);
        }
    }
    if (d)
        closedir(d);
    for (ssize_t at = -1; at < (ssize_t)*n; at++)
        for (size_t i = 0; i < count && *n < TREE_MAX; i++)
            if (all[i].parent == (at < 0 ? getpid() : tree[at]))
                tree[(*n)++] = all[i].pid;
}

/* Descendants, parents first. Children of other threads than the first are found by the next
 * round, once their parent is gone and they are ours. */
static size_t descendants(pid_t **ret)
{
    static pid_t tree[TREE_MAX];
    size_t n = 0;

    if (add_listed(getpid(), tree, &n))
        for (size_t i = 0; i < n; i++)
            add_listed(tree[i], tree, &n);
    else
        add_scanned(tree, &n);
    *ret = tree;
    return n;
}

void shim_proc_kill_all(void)
{
    pid_t *tree;
    size_t n = descendants(&tree);

    for (size_t i = 0; i < n; i++)
        kill(tree[i], SIGKILL);
}

long long shim_proc_anon_bytes(void)
{
    pid_t *tree;
    size_t n = descendants(&tree);
    long long pages = 0;

    for (size_t i = 0; i < n; i++) {
        char path[64], text[256];
        long long size, resident, shared;

        snprintf(path, sizeof(path), "/proc/%d/statm", (int)tree[i]);
        if (read_file(path, text, sizeof(text)) > 0 &&
            sscanf(text, "%lld %lld %lld", &size, &resident, &shared) == 3 && resident > shared)
            pages += resident - shared;
    }
    return pages * sysconf(_SC_PAGESIZE);
}
