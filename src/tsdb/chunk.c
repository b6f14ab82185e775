/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tsdb/tsdb_int.h"

#define CHUNK_SAMPLES 120
#define SAMPLE_MAX 19 /* head, a varint of 64 bit, a value */
#define SAME_PACE 0x80

/* Block sizes that leave the heap no gaps: 24, 40, 56 ... bytes. */
static uint16_t capacity(size_t want)
{
    size_t block = (sizeof(struct chunk) + want + 7) / 16 * 16 + 8;

    return (uint16_t)(block - offsetof(struct chunk, bytes));
}

static size_t chunk_bytes(const struct chunk *c)
{
    return offsetof(struct chunk, bytes) + c->cap + MALLOC_OVERHEAD;
}

static void resize(struct series *s, uint16_t cap)
{
    size_t was = s->head ? chunk_bytes(s->head) : 0;

    s->head = mem_realloc(s->head, offsetof(struct chunk, bytes) + cap);
    s->head->cap = cap;
    s->db->bytes += chunk_bytes(s->head) - was;
}

static void push_older(struct series *s)
{
    if (capacity(s->head->used) < s->head->cap) /* a full chunk is as large as it is */
        resize(s, capacity(s->head->used));
    if (s->n_older == s->cap_older) {
        s->cap_older = s->cap_older ? s->cap_older * 2 : 1;
        s->older = mem_rearray(s->older, s->cap_older, sizeof(*s->older));
    }
    s->older[s->n_older++] = s->head;
    s->head = NULL;
}

static void open_head(struct series *s, int64_t t)
{
    if (s->head && s->head->n == CHUNK_SAMPLES) {
        push_older(s);
        if (s->db->o.retention_ms > 0)
            chunk_drop_before(s, t - s->db->o.retention_ms);
    }
    if (!s->head) {
        resize(s, capacity(SAMPLE_MAX));
        s->head->n = s->head->used = 0;
    }
    if (s->head->n == 0) {
        s->head->first_t = s->t = t;
        s->delta = 0;
        s->bits = 0;
    }
}

/* --- one sample --- */

static uint8_t *put_varint(uint8_t *p, int64_t v)
{
    uint64_t z = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);

    for (; z >= 0x80; z >>= 7)
        *p++ = (uint8_t)(z | 0x80);
    *p++ = (uint8_t)z;
    return p;
}

static size_t encode(uint8_t *out, int64_t off_pace, uint64_t x)
{
    int lead = x ? __builtin_clzll(x) / 8 : 0, n = x ? 8 - lead - __builtin_ctzll(x) / 8 : 0;
    uint8_t *p = out + 1;

    out[0] = (uint8_t)(lead << 4 | n);
    if (off_pace)
        p = put_varint(p, off_pace);
    else
        out[0] |= SAME_PACE;
    for (int i = 0; i < n; i++)
        *p++ = (uint8_t)(x >> ((7 - lead - i) * 8));
    return (size_t)(p - out);
}

static const uint8_t *decode(const uint8_t *p, int64_t *ret_off_pace, uint64_t *ret_x)
{
    uint8_t head = *p++;
    int lead = head >> 4 & 7, n = head & 15, shift = 0;
    uint64_t z = 0, x = 0;

    if (!(head & SAME_PACE)) {
        do {
            z |= (uint64_t)(*p & 0x7f) << shift;
            shift += 7;
        } while (*p++ & 0x80);
    }
    for (int i = 0; i < n; i++)
        x |= (uint64_t)*p++ << ((7 - lead - i) * 8);
    *ret_off_pace = (int64_t)(z >> 1) ^ -(int64_t)(z & 1);
    *ret_x = x;
    return p;
}

/* --- writing --- */

static void write_sample(struct series *s, int64_t t, uint64_t bits)
{
    uint8_t bytes[SAMPLE_MAX + 1];
    size_t n;

    open_head(s, t);
    n = encode(bytes, t - s->t - s->delta, bits ^ s->bits);
    if ((size_t)s->head->cap - s->head->used < n)
        resize(s, capacity((size_t)s->head->used + s->head->used / 2 + n));
    memcpy(s->head->bytes + s->head->used, bytes, n);
    s->head->used += (uint16_t)n;
    s->last_size = (uint8_t)n;
    s->delta = t - s->t;
    s->t = t;
    s->bits = bits;
    s->head->last_t = t;
    s->head->n++;
}

enum tsdb_append tsdb_append(struct tsdb *db, struct series *s, int64_t t, double v)
{
    bool is_new = !s->head;
    uint64_t bits, before = s->bits;

    memcpy(&bits, &v, sizeof(bits));
    if (!is_new && t <= s->t)
        return t == s->t && bits == s->bits ? TSDB_DUPLICATE : TSDB_OUT_OF_ORDER;
    write_sample(s, t, bits);
    db->samples++;
    if (s->is_watched && (is_new || bits != before))
        tsdb_watch_tell(s, t, v);
    return TSDB_APPENDED;
}

/* Takes the newest sample off the head's end. */
static void take_back(struct series *s)
{
    struct chunk *c = s->head;
    int64_t off_pace;
    uint64_t x;

    c->used -= s->last_size;
    decode(c->bytes + c->used, &off_pace, &x);
    s->bits ^= x;
    s->t -= s->delta;
    s->delta -= off_pace;
    c->last_t = s->t;
    c->n--;
}

enum tsdb_append tsdb_put(struct tsdb *db, struct series *s, int64_t t, double v)
{
    uint64_t bits, before = s->bits;

    memcpy(&bits, &v, sizeof(bits));
    if (!s->head || t != s->t || bits == before)
        return tsdb_append(db, s, t, v);
    take_back(s);
    write_sample(s, t, bits);
    if (s->is_watched)
        tsdb_watch_tell(s, t, v);
    return TSDB_APPENDED;
}

void series_prefetch(const struct series *s)
{
    __builtin_prefetch(s->head, 1);
}

int64_t series_newest(const struct series *s)
{
    return s->head ? s->t : INT64_MIN;
}

/* --- dropping --- */

void chunk_drop_first(struct series *s)
{
    struct chunk *c = s->n_older ? s->older[0] : s->head;

    s->db->bytes -= chunk_bytes(c);
    free(c);
    if (s->n_older == 0)
        s->head = NULL;
    else
        memmove(s->older, s->older + 1, --s->n_older * sizeof(*s->older));
    if (s->n_older == 0) {
        free(s->older);
        s->older = NULL;
        s->cap_older = 0;
    }
}

void chunk_drop_all(struct series *s)
{
    while (s->head)
        chunk_drop_first(s);
}

void chunk_drop_before(struct series *s, int64_t t)
{
    while (s->n_older && s->older[0]->last_t < t)
        chunk_drop_first(s);
    if (s->n_older == 0 && s->head && s->head->last_t < t)
        chunk_drop_first(s);
}

/* --- reading --- */

static const struct chunk *chunk_at(const struct series *s, size_t i)
{
    return i < s->n_older ? s->older[i] : s->head;
}

static bool open_chunk(struct series_iter *it)
{
    if (it->chunk >= chunk_count(it->s))
        return false;
    it->at = 0;
    it->left = chunk_at(it->s, it->chunk)->n;
    it->t = chunk_at(it->s, it->chunk)->first_t;
    it->delta = 0;
    it->bits = 0;
    return true;
}

static bool step(struct series_iter *it)
{
    const struct chunk *c;
    int64_t off_pace;
    uint64_t x;

    if (it->left == 0) {
        it->chunk++;
        if (!open_chunk(it))
            return false;
    }
    c = chunk_at(it->s, it->chunk);
    it->at = (size_t)(decode(c->bytes + it->at, &off_pace, &x) - c->bytes);
    it->delta += off_pace;
    it->t += it->delta;
    it->bits ^= x;
    it->left--;
    return true;
}

void series_seek(struct series_iter *it, const struct series *s, int64_t from)
{
    *it = (struct series_iter){.s = s};
    while (it->chunk < chunk_count(s) && chunk_at(s, it->chunk)->last_t < from)
        it->chunk++;
    if (!open_chunk(it))
        return;
    while (step(it))
        if (it->t >= from) {
            it->has = true;
            return;
        }
}

bool series_next(struct series_iter *it, int64_t *ret_t, double *ret_v)
{
    if (!it->has)
        return false;
    *ret_t = it->t;
    memcpy(ret_v, &it->bits, sizeof(*ret_v));
    it->has = step(it);
    return true;
}

bool series_at(const struct series *s, int64_t t, int64_t back, int64_t *ret_t, double *ret_v)
{
    struct series_iter it = {.s = s};
    bool found = false;

    if (!s->head || chunk_at(s, 0)->first_t > t)
        return false;
    if (s->t <= t) { /* the newest: its state is at hand */
        if (s->t <= t - back)
            return false;
        *ret_t = s->t;
        memcpy(ret_v, &s->bits, sizeof(*ret_v));
        return true;
    }
    it.chunk = chunk_count(s) - 1;
    while (chunk_at(s, it.chunk)->first_t > t)
        it.chunk--;
    open_chunk(&it);
    while (it.left > 0 && step(&it) && it.t <= t) {
        if (it.t > t - back) {
            *ret_t = it.t;
            memcpy(ret_v, &it.bits, sizeof(*ret_v));
            found = true;
        }
    }
    return found;
}
