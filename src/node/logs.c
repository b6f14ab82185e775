/* SPDX-License-Identifier: Apache-2.0
 *
 * Container logs out of the shims' files: tail, follow, since, limits, timestamps. Following looks
 * at the file every 100 ms; the shim, not flyball, writes it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "node/node_int.h"

#define POLL_MS 100

struct pod_log_stream {
    struct node *n;
    char *uid, *container;
    struct pod_log_options o;
    void (*on_bytes)(void *arg, struct str bytes);
    void (*on_end)(void *arg);
    void *arg;
    int fd;
    struct buf part; /* an unfinished line */
    int64_t left;    /* bytes that may still be given; -1: no limit */
    struct loop_timer timer;
    bool is_closed, is_ended;
};

/* "TIME STREAM TAG text" -> what the client gets. */
static void give_line(struct pod_log_stream *s, struct str line)
{
    struct str rest = line, time, stream, tag;
    struct buf out = BUF_INIT;
    int64_t t = 0;

    if (!str_split(&rest, ' ', &time) || !str_split(&rest, ' ', &stream) ||
        !str_split(&rest, ' ', &tag) || s->is_ended)
        return;
    if (s->o.since_ms && time_parse(time, &t) && t < s->o.since_ms)
        return;
    if (s->o.timestamps) {
        buf_add_str(&out, time);
        buf_add_char(&out, ' ');
    }
    buf_add_str(&out, rest.p ? rest : STR(""));
    if (!str_is(tag, "P"))
        buf_add_char(&out, '\n');
    if (s->left >= 0 && (int64_t)out.n > s->left)
        out.n = (size_t)s->left;
    if (s->left >= 0)
        s->left -= (int64_t)out.n;
    if (out.n)
        s->on_bytes(s->arg, buf_str(&out));
    buf_done(&out);
}

static void give_lines(struct pod_log_stream *s)
{
    struct str all = buf_str(&s->part);
    ptrdiff_t nl;

    while ((nl = str_chr(all, '\n')) >= 0 && s->left != 0) {
        give_line(s, (struct str){all.p, (size_t)nl});
        all = str_skip(all, (size_t)nl + 1);
    }
    buf_consume(&s->part, s->part.n - all.n);
}

static void read_more(struct pod_log_stream *s)
{
    char part[16384];
    ssize_t n;

    while (s->left != 0 && (n = read(s->fd, part, sizeof(part))) > 0) {
        buf_add(&s->part, part, (size_t)n);
        give_lines(s);
    }
}

static const struct container *find(const struct node *n, struct str uid, const char *name)
{
    struct npod *p = table_get(&n->pods, uid);

    for (size_t i = 0; p && i < p->n; i++)
        if (strcmp(p->containers[i].name, name) == 0)
            return &p->containers[i];
    return NULL;
}

static void end(struct pod_log_stream *s)
{
    if (s->is_ended)
        return;
    s->is_ended = true;
    s->on_end(s->arg);
}

static void on_poll(void *arg)
{
    struct pod_log_stream *s = arg;
    const struct container *c = find(s->n, str_of(s->uid), s->container);
    bool runs = c && c->state == C_RUNNING;

    read_more(s);
    if (s->o.follow && s->left != 0 && runs)
        loop_timer_start(&s->timer, POLL_MS);
    else
        end(s);
}

/* Where the last n lines begin. */
static void seek_tail(int fd, int64_t lines)
{
    off_t at = lseek(fd, 0, SEEK_END);
    char part[8192];
    bool first = true;

    while (at > 0) {
        size_t n = at > (off_t)sizeof(part) ? sizeof(part) : (size_t)at;

        at -= (off_t)n;
        if (pread(fd, part, n, at) != (ssize_t)n)
            break;
        for (size_t i = n; i > 0; i--) {
            if (part[i - 1] != '\n')
                continue;
            if (!first && lines-- <= 1) {
                lseek(fd, at + (off_t)i, SEEK_SET);
                return;
            }
            if (first && lines == 0) {
                lseek(fd, 0, SEEK_END);
                return;
            }
            first = false;
        }
    }
    lseek(fd, 0, SEEK_SET);
}

static int open_log(void *ctx, const struct pod_log_options *o,
                    void (*on_bytes)(void *arg, struct str bytes), void (*on_end)(void *arg),
                    void *arg, struct pod_log_stream **ret, struct err *err)
{
    struct node *n = ctx;
    AUTO_FREE char *name = str_dup(o->container);
    const struct container *c = find(n, o->uid, name);
    AUTO_FREE char *dir = c ? container_dir(c, c->attempt - (o->previous ? 1 : 0)) : NULL;
    AUTO_FREE char *path = dir ? mem_printf("%s/log", dir) : NULL;
    struct pod_log_stream *s;
    int fd = path && c->attempt > (o->previous ? 1 : 0) ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0)
        return err_set(err, ERR_NOT_FOUND, "there is no log");
    s = mem_zalloc(sizeof(*s));
    *s = (struct pod_log_stream){.n = n,
                                 .uid = str_dup(o->uid),
                                 .container = mem_strdup(name),
                                 .o = *o,
                                 .on_bytes = on_bytes,
                                 .on_end = on_end,
                                 .arg = arg,
                                 .fd = fd,
                                 .left = o->limit_bytes};
    if (o->tail_lines >= 0)
        seek_tail(fd, o->tail_lines);
    loop_timer_init(&s->timer, n->o.loop, on_poll, s);
    loop_timer_start(&s->timer, 0);
    *ret = s;
    return 0;
}

static void close_log(struct pod_log_stream *s)
{
    loop_timer_stop(&s->timer);
    close(s->fd);
    buf_done(&s->part);
    free(s->uid);
    free(s->container);
    free(s);
}

void node_logs_init(struct node *n)
{
    n->logs = (struct pod_log_source){n, open_log, close_log};
}
