/* SPDX-License-Identifier: Apache-2.0
 *
 * A full disk must not stop the program whose output this is: what cannot be written is dropped
 * and the pipe is read on. */
#include "node/shim/shim_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct {
    int fd;
    long long size;
} out = {.fd = -1};

static void reopen(void)
{
    struct stat st;

    out.fd = open("log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    out.size = out.fd >= 0 && fstat(out.fd, &st) == 0 ? st.st_size : 0;
}

void shim_log_open(void)
{
    reopen();
}

static void write_all(const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = write(out.fd, p, n);

        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return;
        p += k;
        n -= (size_t)k;
        out.size += k;
    }
}

static size_t head(char *to, size_t cap, const char *stream, char tag)
{
    struct timespec ts;
    struct tm tm;
    int n;

    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    n = snprintf(to, cap, "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ %s %c ", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, ts.tv_nsec, stream,
                 tag);
    return (size_t)n;
}

/* One record is one write, so that a reader never sees half a head. */
static void put_line(const struct shim_stream *s, const char *p, size_t n, char tag)
{
    static char record[SHIM_LINE_MAX + 128];
    size_t k;

    if (out.fd < 0)
        reopen();
    if (out.fd < 0)
        return;
    if (out.size > 0 && out.size + (long long)n > SHIM_LOG_MAX) {
        close(out.fd);
        rename("log", "log.1");
        reopen();
        if (out.fd < 0)
            return;
    }
    k = head(record, sizeof(record), s->name, tag);
    memcpy(record + k, p, n);
    record[k + n] = '\n';
    write_all(record, k + n + 1);
}

void shim_log_end(struct shim_stream *s)
{
    if (s->fd < 0)
        return;
    if (s->n > 0)
        put_line(s, s->line, s->n, 'F');
    s->n = 0;
    close(s->fd);
    s->fd = -1;
}

void shim_log_pump(struct shim_stream *s)
{
    ssize_t k = read(s->fd, s->line + s->n, sizeof(s->line) - s->n);
    size_t from = 0;

    if (k < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (k <= 0) {
        shim_log_end(s);
        return;
    }
    s->n += (size_t)k;
    for (char *nl; (nl = memchr(s->line + from, '\n', s->n - from));) {
        size_t end = (size_t)(nl - s->line);

        put_line(s, s->line + from, end - from, 'F');
        from = end + 1;
    }
    if (from == 0 && s->n == sizeof(s->line)) {
        put_line(s, s->line, s->n, 'P');
        from = s->n;
    }
    memmove(s->line, s->line + from, s->n - from);
    s->n -= from;
}
