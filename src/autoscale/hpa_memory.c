/* SPDX-License-Identifier: Apache-2.0 */
#include "autoscale/hpa_memory.h"

#include <stdlib.h>

#include "base/mem.h"

#define REPLICAS_MAX INT32_MAX
#define AGE_MAX_MS 3600000 /* the longest window the API allows */

static int by_time(const void *a, const void *b)
{
    const struct hpa_entry *x = a, *y = b;

    return x->at_ms < y->at_ms ? -1 : x->at_ms > y->at_ms;
}

/* A sorted copy of what is not older than any window. */
static struct hpa_entry *young(const struct hpa_history *h, int64_t now, size_t *ret_n)
{
    struct hpa_entry *e = mem_array(h->n + 1, sizeof(*e));
    size_t n = 0;

    for (size_t i = 0; i < h->n; i++)
        if (now - h->items[i].at_ms <= AGE_MAX_MS)
            e[n++] = h->items[i];
    qsort(e, n, sizeof(*e), by_time);
    *ret_n = n;
    return e;
}

static void put(struct buf *out, char kind, const struct hpa_entry *e, int64_t to_wall)
{
    buf_printf(out, "%s%c%lld@%lld", out->n ? " " : "", kind, (long long)e->replicas,
               (long long)(e->at_ms + to_wall));
}

static void write_recommendations(const struct hpa_history *h, int64_t now, int64_t to_wall,
                                  struct buf *out)
{
    int64_t lowest = INT64_MAX, highest = INT64_MIN;
    size_t n, from;
    AUTO_FREE struct hpa_entry *e = young(h, now, &n);
    AUTO_FREE bool *counts = mem_array(n + 1, sizeof(*counts));

    for (from = n; from-- > 0;) {
        counts[from] = e[from].replicas < lowest || e[from].replicas > highest;
        lowest = e[from].replicas < lowest ? e[from].replicas : lowest;
        highest = e[from].replicas > highest ? e[from].replicas : highest;
    }
    for (size_t i = 0; i < n; i++)
        if (counts[i])
            put(out, 'r', &e[i], to_wall);
}

static void write_changes(const struct hpa_history *h, char kind, int64_t now, int64_t to_wall,
                          struct buf *out)
{
    size_t n, from = 0;
    AUTO_FREE struct hpa_entry *e = young(h, now, &n);

    for (; n - from > HPA_MEMORY_CHANGES; from++) { /* a later time holds longer, never shorter */
        e[from + 1].replicas += e[from].replicas;
        if (e[from + 1].replicas > REPLICAS_MAX)
            e[from + 1].replicas = REPLICAS_MAX;
    }
    for (; from < n; from++)
        put(out, kind, &e[from], to_wall);
}

void hpa_memory_write(const struct hpa_memory *m, int64_t now_mono, int64_t now_wall,
                      struct buf *out)
{
    int64_t to_wall = now_wall - now_mono;

    write_recommendations(&m->recommendations, now_mono, to_wall, out);
    write_changes(&m->ups, 'u', now_mono, to_wall, out);
    write_changes(&m->downs, 'd', now_mono, to_wall, out);
}

/* --- reading --- */

static int read_entry(struct str word, struct hpa_memory *m, int64_t to_mono, int64_t now_mono,
                      struct err *err)
{
    struct str rest = str_skip(word, 1), number;
    struct hpa_history *h = word.p[0] == 'r'   ? &m->recommendations
                            : word.p[0] == 'u' ? &m->ups
                            : word.p[0] == 'd' ? &m->downs
                                               : NULL;
    struct hpa_entry e = {0};

    if (!h || !str_split(&rest, '@', &number) || !rest.p || !str_to_i64(number, &e.replicas) ||
        !str_to_i64(rest, &e.at_ms) || e.replicas < 0 || e.replicas > REPLICAS_MAX || e.at_ms < 0 ||
        e.at_ms > INT64_MAX / 2)
        return err_set(err, ERR_BAD_INPUT, "'%.*s' is not r, u or d with REPLICAS@MILLISECONDS",
                       STR_ARG(word));
    e.at_ms += to_mono;
    if (e.at_ms > now_mono)
        e.at_ms = now_mono;
    hpa_history_add(h, e);
    return 0;
}

/* In order of time, whatever the text's; the last counts as of now. */
static void put_in_order(struct hpa_history *h, int64_t now)
{
    if (h->n == 0)
        return;
    qsort(h->items, h->n, sizeof(*h->items), by_time);
    h->last = h->n - 1;
    h->items[h->last].at_ms = now;
}

int hpa_memory_read(struct str text, int64_t now_mono, int64_t now_wall, struct hpa_memory *ret,
                    struct err *err)
{
    struct str word;
    int r = text.n > HPA_MEMORY_TEXT_MAX
                ? err_set(err, ERR_BAD_INPUT, "longer than %d bytes", HPA_MEMORY_TEXT_MAX)
                : 0;

    while (r == 0 && str_split(&text, ' ', &word))
        if (word.n)
            r = read_entry(word, ret, now_mono - now_wall, now_mono, err);
    if (r < 0) {
        hpa_memory_done(ret);
        return r;
    }
    put_in_order(&ret->recommendations, now_mono);
    return 0;
}
