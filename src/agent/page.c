/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/page_int.h"

#include <stdlib.h>

#include "base/mem.h"

#define SAMPLES_MAX 1000000 /* without a sample_limit */
#define FUTURE_MS 600000    /* samples further ahead are dropped */
#define EXEMPLAR_LABELS_MAX 128
#define METAS_MAX 20000 /* families that were ever seen: beyond, all is learnt anew */

struct page *page_new(const struct agent_config *c, const struct agent_job *job,
                      const struct agent_target *target)
{
    struct page *p = mem_zalloc(sizeof(*p));

    p->config = c;
    p->job = job;
    p->target = target;
    p->sections_tail = &p->sections;
    series_make_own(p);
    return p;
}

static void drop_entries(struct page *p)
{
    size_t i = 0;
    void *e;

    while (table_next(&p->entries, &i, NULL, &e))
        free(e);
    table_done(&p->entries);
    p->hash = 0;
}

static void drop_metas(struct page *p)
{
    size_t i = 0;
    void *v;

    while (table_next(&p->metas, &i, NULL, &v)) {
        struct meta *m = v;

        free(m->help);
        free(m->unit);
        free(m);
    }
    table_done(&p->metas);
}

void page_free(struct page *p)
{
    if (!p)
        return;
    drop_entries(p);
    table_done(&p->points);
    while (p->sections) {
        struct section *s = p->sections;

        p->sections = s->next;
        series_free_section(s);
    }
    drop_metas(p);
    arena_done(&p->scratch);
    arena_done(&p->target_info_arena);
    buf_done(&p->exemplar_bytes);
    free(p->target_info_line);
    free(p->exemplars);
    free(p->pending);
    free(p);
}

/* --- what ends --- */

static void end_point(struct page *p, struct point *pt, int64_t t_ms)
{
    if (pt->is_gone)
        return;
    table_del(&p->points, pt->key);
    pt->is_gone = true;
    if (!pt->has_time) { /* times of its own say when it ended */
        pt->own_ms = t_ms;
        p->has_news |= pt->seen != 0;
    } else {
        pt->seen = 0;
    }
}

/* Points that no line of this scrape belongs to; all: also those that one does. */
static void end_points(struct page *p, int64_t t_ms, bool all)
{
    for (struct section *s = p->sections; s; s = s->next)
        for (struct family *f = s->families; f; f = f->next)
            for (struct point *pt = f->points; pt; pt = pt->next)
                if (all || pt->touched != p->scrape)
                    end_point(p, pt, t_ms);
}

static void unlink_bucket(struct point *pt, struct bucket *b)
{
    struct bucket **at = &pt->buckets;

    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    free(b);
}

/* Lines that this page does not have. A histogram that ends keeps its bounds for its last point. */
static void drop_unseen(struct page *p)
{
    struct str key, *gone = NULL;
    size_t i = 0, n = 0, cap = 0;
    void *v;

    while (table_next(&p->entries, &i, &key, &v))
        if (((struct entry *)v)->seen != p->scrape) {
            mem_grow(&gone, &cap, n);
            gone[n++] = str_n(str_dup(key), key.n);
        }
    for (i = 0; i < n; i++) {
        struct entry *e = table_del(&p->entries, gone[i]);

        if (e->role == ROLE_TARGET) {
            p->target_info = (struct attrs){0};
            free(p->target_info_line);
            p->target_info_line = NULL;
            p->target_info_no++;
            p->must_rebuild = true;
        }
        if (e->bucket && e->point->touched == p->scrape)
            unlink_bucket(e->point, e->bucket);
        free(e);
        free((char *)(uintptr_t)gone[i].p);
    }
    free(gone);
}

/* Their texts are gone with them. */
static void forget_metas(struct page *p)
{
    for (struct section *s = p->sections; s; s = s->next)
        for (struct family *f = s->families; f; f = f->next)
            f->meta = NULL;
    drop_metas(p);
}

/* The page is to be understood anew. What is made again under the same key goes on. */
static void rebuild(struct page *p, int64_t t_ms)
{
    bool news = p->has_news;

    drop_entries(p);
    for (struct section *s = p->sections; s; s = s->next)
        for (struct family *f = s->families; f; f = f->next)
            for (struct point *pt = f->points; pt; pt = pt->next)
                end_point(p, pt, t_ms);
    if (p->metas.count > METAS_MAX)
        forget_metas(p);
    series_make_own(p);
    p->has_news = news;
    p->must_rebuild = false;
}

/* --- reading --- */

/* A TYPE that is new although samples of the family were there. */
static bool is_late(const struct page *p, struct str name)
{
    for (const struct section *s = p->sections; s; s = s->next)
        for (const struct family *f = s->families; f; f = f->next)
            if (!f->meta && str_starts(str_of(f->name), name))
                return true;
    return false;
}

static bool on_meta(void *arg, const struct promtext_meta *m)
{
    struct page *p = arg;
    struct meta *meta;
    char **text;

    if (m->what == PROMTEXT_COMMENT)
        return true;
    meta = table_get(&p->metas, m->name);
    if (!meta) {
        meta = mem_zalloc(sizeof(*meta));
        table_set(&p->metas, m->name, meta);
    }
    if (m->what == PROMTEXT_TYPE) {
        p->must_rebuild |= meta->has_type ? meta->type != m->type : is_late(p, m->name);
        meta->type = m->type;
        meta->has_type = true;
        return true;
    }
    text = m->what == PROMTEXT_HELP ? &meta->help : &meta->unit;
    if (!*text || !str_is(m->text, *text)) {
        free(*text);
        *text = str_dup(m->text);
    }
    return true;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'                     ? c - '0'
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                    : -1;
}

/* n bytes as 2n hexadecimal digits, not all zero. */
static bool take_id(struct str text, char *out, size_t n)
{
    char any = 0;

    if (text.n != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int h = hex(text.p[2 * i]), l = hex(text.p[2 * i + 1]);

        if (h < 0 || l < 0)
            return false;
        out[i] = (char)(h << 4 | l);
        any |= out[i];
    }
    return any != 0;
}

static void keep_exemplar(struct page *p, struct point *pt, const struct promtext_exemplar *e)
{
    struct str pairs[PROMTEXT_LABELS_MAX][2], trace = STR_NONE, span = STR_NONE;
    char trace_id[16], span_id[8];
    size_t n = 0, chars = 0, at = p->exemplar_bytes.n;
    unsigned field =
        pt->family->data == OTLPW_HISTOGRAM ? OTLPW_HISTOGRAM_EXEMPLARS : OTLPW_NUMBER_EXEMPLARS;
    int64_t t_ms = e->has_time ? e->t_ms : p->now_ms;

    for (size_t i = 0; i < e->n_labels; i++) {
        const struct promtext_label *l = &e->labels[i];

        chars += l->name.n + l->value.n;
        if (str_is(l->name, "trace_id") && take_id(l->value, trace_id, sizeof(trace_id))) {
            trace = str_n(trace_id, sizeof(trace_id));
        } else if (str_is(l->name, "span_id") && take_id(l->value, span_id, sizeof(span_id))) {
            span = str_n(span_id, sizeof(span_id));
        } else {
            pairs[n][0] = l->name;
            pairs[n++][1] = l->value;
        }
    }
    if (chars > EXEMPLAR_LABELS_MAX || t_ms < 0)
        return; /* not one by rule; the sample stays */
    otlp_put_exemplar(&p->exemplar_bytes, field, (uint64_t)t_ms * 1000000, e->value, trace, span,
                      (const struct str(*)[2])pairs, n);
    mem_grow(&p->exemplars, &p->cap_exemplars, p->n_exemplars);
    p->exemplars[p->n_exemplars++] = (struct exemplar){pt, at, p->exemplar_bytes.n - at};
}

static bool on_sample(void *arg, const struct promtext_sample *s)
{
    struct page *p = arg;
    struct entry *e = table_get(&p->entries, s->line_key);
    int64_t limit = p->job->sample_limit ? p->job->sample_limit : SAMPLES_MAX;

    if ((int64_t)p->n_pending == limit) {
        p->is_over = true;
        return false;
    }
    if (!e) {
        e = mem_zalloc(sizeof(*e));
        series_make(p, s, e);
        table_set(&p->entries, s->line_key, e);
        p->n_added++;
        if (e->role == ROLE_TARGET)
            series_target_info(p, s);
    }
    if (e->role != ROLE_NONE && s->has_exemplar &&
        (e->point->family->data == OTLPW_HISTOGRAM || e->point->family->data == OTLPW_COUNTER))
        keep_exemplar(p, e->point, &s->exemplar);
    mem_grow(&p->pending, &p->cap_pending, p->n_pending);
    p->pending[p->n_pending++] =
        (struct pending){e, s->value, s->t_ms, s->has_time && p->job->honor_timestamps};
    return true;
}

static void put(struct page *p, double *slot, uint64_t *seen, double v)
{
    if (*seen + 1 != p->scrape || pb_double_bits(*slot) != pb_double_bits(v))
        p->has_news = true;
    *slot = v;
    *seen = p->scrape;
}

static void put_start(struct page *p, struct point *pt, double seconds)
{
    int64_t ms = seconds > 0 && seconds < 9e12 ? (int64_t)(seconds * 1000) : 0;

    p->has_news |= ms != pt->start_ms;
    pt->start_ms = ms;
}

static void store(struct page *p, const struct pending *s)
{
    struct entry *e = s->entry;
    struct point *pt = e->point;

    if (e->seen == p->scrape) /* twice on the page: the first counts */
        return;
    e->seen = p->scrape;
    if (!pt)
        return;
    pt->touched = p->scrape;
    if (s->has_time && (s->t_ms <= 0 || s->t_ms > p->now_ms + FUTURE_MS))
        return; /* OTLP has no times before 1970, and 0 is none */
    if (e->role == ROLE_CREATED) {
        put_start(p, pt, s->value);
        return;
    }
    if (pt->seen != p->scrape) {
        pt->seen = p->scrape;
        pt->has_time = s->has_time;
        pt->own_ms = s->t_ms;
    } else if (pt->has_time != s->has_time || (s->has_time && pt->own_ms != s->t_ms)) {
        return; /* times that differ within one point */
    }
    switch (e->role) {
    case ROLE_BUCKET:
        put(p, &e->bucket->value, &e->bucket->seen, s->value);
        break;
    case ROLE_SUM:
        put(p, &pt->sum, &pt->sum_seen, s->value);
        break;
    case ROLE_COUNT:
        put(p, &pt->count, &pt->count_seen, s->value);
        break;
    default:
        put(p, &pt->value, &pt->value_seen, s->value);
        break;
    }
}

static void put_own(struct page *p, enum own which, double v)
{
    struct point *pt = p->own[which];

    if (!pt)
        return;
    if (which == OWN_UP && (pt->seen == 0 || pt->value != v))
        p->has_news = true;
    pt->value = v;
    pt->touched = pt->seen = pt->value_seen = p->scrape;
    pt->has_time = false;
}

static void put_all_own(struct page *p, const struct page_scrape *s, bool up, size_t samples,
                        size_t added)
{
    p->t_ms = s->t_ms;
    put_own(p, OWN_UP, up);
    put_own(p, OWN_DURATION, s->duration_s);
    put_own(p, OWN_SCRAPED, (double)samples);
    put_own(p, OWN_AFTER_RELABELING, (double)samples);
    put_own(p, OWN_ADDED, (double)added);
}

static int parse(struct page *p, struct str text, struct err *err)
{
    int rc;

    p->n_pending = p->n_exemplars = p->n_added = 0;
    buf_clear(&p->exemplar_bytes);
    p->is_over = false;
    rc = promtext_parse(text, p->format, on_sample, on_meta, p, err);
    if (rc == 0 && p->is_over)
        rc = err_set(err, ERR_LIMIT, "the page has more samples than the limit of %lld",
                     (long long)(p->job->sample_limit ? p->job->sample_limit : SAMPLES_MAX));
    return rc;
}

int page_take(struct page *p, struct str text, enum promtext_format format,
              const struct page_scrape *s, struct err *err)
{
    int rc;

    p->format = format;
    p->now_ms = s->t_ms;
    p->hash = 0;
    if (p->must_rebuild || p->metas.count > METAS_MAX)
        rebuild(p, s->t_ms);
    rc = parse(p, text, err);
    if (rc == 0 && p->must_rebuild) {
        rebuild(p, s->t_ms);
        rc = parse(p, text, err);
        p->must_rebuild = false;
    }
    if (rc < 0) {
        page_fail(p, s);
        return rc;
    }
    p->scrape++;
    p->has_times = false;
    for (size_t i = 0; i < p->n_pending; i++) {
        p->has_times |= p->pending[i].has_time;
        store(p, &p->pending[i]);
    }
    put_all_own(p, s, true, p->n_pending, p->n_added);
    drop_unseen(p);
    end_points(p, s->t_ms, false);
    page_forget(p, false);
    p->hash = p->has_times || p->must_rebuild ? 0 : str_hash(text);
    p->size = text.n;
    return 0;
}

bool page_repeat(struct page *p, struct str text, const struct page_scrape *s)
{
    if (!p->hash || p->size != text.n || p->hash != str_hash(text))
        return false;
    put_all_own(p, s, true, p->n_pending, 0);
    return true;
}

void page_fail(struct page *p, const struct page_scrape *s)
{
    drop_entries(p);
    p->n_pending = p->n_exemplars = 0;
    p->scrape++;
    put_all_own(p, s, false, 0, 0);
    end_points(p, s->t_ms, false);
    page_forget(p, false);
}

void page_end(struct page *p, int64_t t_ms)
{
    drop_entries(p);
    end_points(p, t_ms, true);
    memset(p->own, 0, sizeof(p->own));
    p->t_ms = t_ms;
}

bool page_has_news(const struct page *p)
{
    return p->has_news;
}

size_t page_samples(const struct page *p)
{
    return p->n_pending;
}
