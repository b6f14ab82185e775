/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/proc.h"
#include "codec/json.h"

char *rundir_path(const char *option)
{
    const char *env = getenv("FLYBALL_DATA_DIR"), *xdg = getenv("XDG_DATA_HOME"),
               *home = getenv("HOME");
    char *path, *real;

    if (option && *option)
        path = mem_strdup(option);
    else if (env && *env)
        path = mem_strdup(env);
    else if (xdg && xdg[0] == '/')
        path = mem_printf("%s/flyball", xdg);
    else
        path = mem_printf("%s/.local/share/flyball", home && *home ? home : "/root");
    if (path[0] == '/')
        return path;
    real = getcwd(NULL, 0);
    if (real) { /* pods and later commands run elsewhere: an absolute path means the same to all */
        char *absolute = mem_printf("%s/%s", real, path);

        free(real);
        free(path);
        return absolute;
    }
    return path;
}

int rundir_make(const char *dir, struct err *err)
{
    AUTO_FREE char *path = mem_strdup(dir);
    struct stat st;

    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        mkdir(path, 0755);
        *p = '/';
    }
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_set(err, ERR_IO,
                       "cannot create the data directory '%s': %s; choose another with --data-dir",
                       dir, strerror(errno));
    if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
        return err_set(err, ERR_IO, "the data directory '%s' is not a directory", dir);
    if (st.st_uid != geteuid())
        return err_set(err, ERR_FORBIDDEN, "the data directory '%s' belongs to user %u, not to you",
                       dir, (unsigned)st.st_uid);
    if ((st.st_mode & 077) != 0 && chmod(dir, 0700) < 0)
        return err_set(err, ERR_IO, "cannot close the data directory '%s' to others: %s", dir,
                       strerror(errno));
    return 0;
}

static char *file_in(const char *dir, const char *name)
{
    return mem_printf("%s/%s", dir, name);
}

int rundir_write(const char *dir, const struct run_info *info, struct err *err)
{
    AUTO_FREE char *path = file_in(dir, "run.json"), *tmp = file_in(dir, "run.json.new");
    FILE *f = fopen(tmp, "we");

    if (!f)
        return err_set(err, ERR_IO, "cannot write '%s': %s", tmp, strerror(errno));
    fprintf(f,
            "{\"pid\":%d,\"start\":%llu,\"api\":\"%s\",\"gateway\":\"%s\",\"web\":\"%s\",\"otlp\":"
            "\"%s\","
            "\"scaler\":\"%s\"}\n",
            (int)info->pid, (unsigned long long)proc_start(info->pid), info->api, info->gateway,
            info->web, info->otlp, info->scaler);
    if (fclose(f) != 0 || rename(tmp, path) < 0)
        return err_set(err, ERR_IO, "cannot write '%s': %s", path, strerror(errno));
    return 0;
}

void rundir_remove(const char *dir)
{
    AUTO_FREE char *path = file_in(dir, "run.json");

    unlink(path);
}

static void copy(char out[80], const json_t *o, const char *key)
{
    snprintf(out, 80, "%s", json_text(o, key, ""));
}

int rundir_read(const char *dir, struct run_info *ret, struct err *err)
{
    AUTO_FREE char *path = file_in(dir, "run.json");
    AUTO_JSON json_t *o = NULL;
    char text[1024];
    uint64_t start;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_set(err, ERR_NOT_FOUND, "no flyball runs on '%s'; start one with: flyball up -d",
                       dir);
    n = read(fd, text, sizeof(text));
    close(fd);
    if (n <= 0 || json_parse(str_n(text, (size_t)n), &o, err) < 0)
        return err_set(err, ERR_IO, "'%s' cannot be read; end flyball and remove the file", path);
    ret->pid = (pid_t)json_int(o, "pid", 0);
    copy(ret->api, o, "api");
    copy(ret->gateway, o, "gateway");
    copy(ret->web, o, "web");
    copy(ret->otlp, o, "otlp");
    copy(ret->scaler, o, "scaler");
    start = ret->pid > 0 ? proc_start(ret->pid) : 0;
    if (!start || start != (uint64_t)json_int(o, "start", 0))
        return err_set(
            err, ERR_NOT_FOUND,
            "the flyball that ran on '%s' has ended without cleaning up; start it again with "
            "'flyball up -d' (its pods are adopted) or stop them with 'flyball down'",
            dir);
    return 0;
}
