/* SPDX-License-Identifier: Apache-2.0 */
#include "node/shim/shim_start.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool is_program(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return false;
    if (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0) {
        errno = EACCES;
        return false;
    }
    return true;
}

/* As execvp would look for it, in PATH of the program's own environment. */
static bool find_program(const char *name, char **env, char out[4096])
{
    const char *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *end;

    if (strchr(name, '/')) {
        snprintf(out, 4096, "%s", name);
        return is_program(out);
    }
    for (; *env; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            path = *env + 5;
    for (;; path = end + 1) {
        end = strchrnul(path, ':');
        snprintf(out, 4096, "%.*s/%s", end > path ? (int)(end - path) : 1, end > path ? path : ".",
                 name);
        if (is_program(out))
            return true;
        if (!*end)
            break;
    }
    errno = ENOENT;
    return false;
}

static bool become(long uid, long gid)
{
    if (uid < 0)
        return true;
    if (geteuid() == 0 && setgroups(0, NULL) < 0)
        return false;
    if (gid >= 0 && setresgid((gid_t)gid, (gid_t)gid, (gid_t)gid) < 0)
        return false;
    if (setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid) < 0)
        return false;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

void shim_exec(long uid, long gid, const char *cwd, char **argv, char **env, char *why,
               unsigned why_cap)
{
    char path[4096];
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    sigset_t none;
    int fd;

    /* before the user changes: a directory or program below one that only root may enter works */
    if (chdir(*cwd ? cwd : "/") < 0) {
        snprintf(why, why_cap, "working directory \"%s\": %s", cwd, strerror(errno));
        return;
    }
    if (!find_program(argv[0], env, path)) {
        snprintf(why, why_cap, "exec: \"%s\": %s", argv[0],
                 errno == ENOENT && !strchr(argv[0], '/')
                     ? "executable file not found in $PATH"
                     : (errno == ENOENT ? "stat: no such file or directory" : strerror(errno)));
        return;
    }
    fd = open(path, O_PATH | O_CLOEXEC);
    if (!become(uid, gid)) {
        snprintf(why, why_cap, "cannot become user %ld: %s", uid, strerror(errno));
        return;
    }
    /* after the user has changed: that clears it. A killed shim takes its program along. */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    for (int sig = 1; sig < NSIG; sig++)
        sigaction(sig, &dfl, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(path, argv, env);
    if (errno == EACCES && fd >= 0) {
        errno = 0;
        syscall(SYS_execveat, fd, "", argv, env, AT_EMPTY_PATH);
        if (errno == ENOENT) /* a script: its interpreter would have to open the path */
            errno = EACCES;
    }
    snprintf(why, why_cap, "exec %s: %s", path, strerror(errno));
}
