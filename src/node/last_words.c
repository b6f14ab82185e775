/* SPDX-License-Identifier: Apache-2.0
 *
 * The end of a container's log: what it said before it failed. */
#include <fcntl.h>
#include <unistd.h>

#include "base/mem.h"
#include "node/node_int.h"

#define MESSAGE_MAX 2048
#define LINES_MAX 80

static size_t read_end(const char *dir, char *text, size_t max)
{
    AUTO_FREE char *path = mem_printf("%s/log", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    ssize_t n = fd < 0 ? -1 : pread(fd, text, max, size > (off_t)max ? size - (off_t)max : 0);

    if (fd >= 0)
        close(fd);
    return n > 0 ? (size_t)n : 0;
}

bool log_says_taken(const char *dir)
{
    static const char *const words[] = {"ddress already in use", "EADDRINUSE", "Errno 98"};
    char text[4096];
    struct str end = {text, read_end(dir, text, sizeof(text))};

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_find(end, str_of(words[i])) >= 0)
            return true;
    return false;
}

/* "TIME STREAM TAG text": the text. */
static struct str text_of(struct str line)
{
    struct str part;

    for (int i = 0; i < 3; i++)
        if (!str_split(&line, ' ', &part))
            return STR("");
    return line.p ? line : STR("");
}

void container_last_words(const struct container *c, struct buf *out)
{
    AUTO_FREE char *dir = container_dir(c, c->attempt);
    char text[4 * MESSAGE_MAX];
    struct str all, lines[LINES_MAX], line;
    size_t n = 0, first, size = 0;

    if (c->shim.exit_code == 0 ||
        strcmp(json_text(c->spec, "terminationMessagePolicy", ""), "FallbackToLogsOnError") != 0)
        return;
    all = (struct str){text, read_end(dir, text, sizeof(text))};
    if (all.n == sizeof(text) && str_chr(all, '\n') >= 0)
        all = str_skip(all, (size_t)str_chr(all, '\n') + 1); /* it begins within a line */
    while (str_split(&all, '\n', &line))
        lines[n++ % LINES_MAX] = text_of(line);
    for (first = n; first > 0 && n - first < LINES_MAX; first--) {
        size += lines[(first - 1) % LINES_MAX].n + 1;
        if (size > MESSAGE_MAX)
            break;
    }
    for (; first < n; first++) {
        buf_add_str(out, lines[first % LINES_MAX]);
        buf_add_char(out, '\n');
    }
    while (out->n > 0 && out->p[out->n - 1] == '\n')
        out->p[--out->n] = '\0';
}
