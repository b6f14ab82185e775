/* SPDX-License-Identifier: Apache-2.0
 *
 * What a line of a page is: once per series, so this is where all the work may be. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/page_int.h"
#include "agent/process.h"
#include "base/mem.h"
#include "net/http.h"

#define SCOPE_NAME \
    "github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver"

/* --- units --- */

static const struct {
    const char *word, *code;
} units[] = {
    {"days", "d"},          {"hours", "h"},         {"minutes", "min"},    {"seconds", "s"},
    {"milliseconds", "ms"}, {"microseconds", "us"}, {"nanoseconds", "ns"}, {"bytes", "By"},
    {"kibibytes", "KiBy"},  {"mebibytes", "MiBy"},  {"gibibytes", "GiBy"}, {"tibibytes", "TiBy"},
    {"kilobytes", "KBy"},   {"megabytes", "MBy"},   {"gigabytes", "GBy"},  {"terabytes", "TBy"},
    {"meters", "m"},        {"volts", "V"},         {"amperes", "A"},      {"joules", "J"},
    {"watts", "W"},         {"grams", "g"},         {"celsius", "Cel"},    {"hertz", "Hz"},
    {"ratio", "1"},         {"percent", "%"},       {"second", "s"},       {"minute", "min"},
    {"hour", "h"},          {"day", "d"},           {"week", "wk"},        {"month", "mo"},
    {"year", "y"},
};

static struct str unit_word(struct str word)
{
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (str_is(word, units[i].word))
            return str_of(units[i].code);
    return word;
}

struct str series_unit(struct str unit, char out[64])
{
    ptrdiff_t per = str_find(unit, STR("_per_"));
    struct str a, b;
    int n;

    if (per < 0)
        return unit_word(unit);
    a = unit_word(str_n(unit.p, (size_t)per));
    b = unit_word(str_skip(unit, (size_t)per + 5));
    n = snprintf(out, 64, "%.*s/%.*s", STR_ARG(a), STR_ARG(b));
    return n < 64 ? str_n(out, (size_t)n) : unit;
}

/* --- which metric --- */

struct mapped {
    struct str metric;
    enum promtext_type type;
    enum role role;
    const struct meta *meta;
};

static struct str without_suffix(struct str name)
{
    static const char *const suffixes[] = {"_bucket", "_count",   "_sum",    "_total",
                                           "_info",   "_created", "_gcount", "_gsum"};

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        if (str_ends(name, str_of(suffixes[i])) && name.n > strlen(suffixes[i]))
            return str_n(name.p, name.n - strlen(suffixes[i]));
    return STR_NONE;
}

static bool has_label(const struct promtext_sample *s, const char *name, double *ret)
{
    for (size_t i = 0; i < s->n_labels; i++)
        if (str_is(s->labels[i].name, name))
            return promtext_number(s->labels[i].value, ret);
    return false;
}

/* A sample of a histogram or summary, whose name is the family's with a suffix. */
static enum role part_of(struct page *p, const struct promtext_sample *s, struct str suffix,
                         enum promtext_type type)
{
    double bound;

    if (str_is(suffix, "_sum"))
        return ROLE_SUM;
    if (str_is(suffix, "_count"))
        return ROLE_COUNT;
    if (str_is(suffix, "_created") && p->format == PROMTEXT_OPENMETRICS)
        return ROLE_CREATED;
    if (str_is(suffix, "_bucket") && type == PROMTEXT_HISTOGRAM && has_label(s, "le", &bound))
        return ROLE_BUCKET;
    return ROLE_NONE;
}

static struct mapped map_name(struct page *p, const struct promtext_sample *s)
{
    struct mapped m = {s->name, PROMTEXT_UNKNOWN, ROLE_VALUE, table_get(&p->metas, s->name)};
    struct str base, suffix;
    double quantile;

    if (m.meta) {
        m.type = m.meta->type;
        if (m.type == PROMTEXT_SUMMARY)
            m.role = has_label(s, "quantile", &quantile) ? ROLE_BUCKET : ROLE_NONE;
        else if (m.type == PROMTEXT_HISTOGRAM || m.type == PROMTEXT_GAUGEHISTOGRAM)
            m.role = ROLE_NONE;
        return m;
    }
    base = without_suffix(s->name);
    m.meta = base.n ? table_get(&p->metas, base) : NULL;
    if (!m.meta)
        return m;
    suffix = str_skip(s->name, base.n);
    switch (m.meta->type) {
    case PROMTEXT_COUNTER:
        m.type = PROMTEXT_COUNTER;
        if (str_is(suffix, "_created") && p->format == PROMTEXT_OPENMETRICS) {
            m.metric = arena_printf(&p->scratch, "%.*s_total", STR_ARG(base));
            m.role = ROLE_CREATED;
        }
        return m;
    case PROMTEXT_HISTOGRAM:
    case PROMTEXT_SUMMARY:
        if (str_is(suffix, "_created") && p->format == PROMTEXT_004)
            break; /* a gauge that happens to be called so */
        m.type = m.meta->type;
        m.role = part_of(p, s, suffix, m.type);
        m.metric = base;
        return m;
    case PROMTEXT_INFO: /* the sample's name, as in text 0.0.4, where it is a gauge's */
        m.type = PROMTEXT_INFO;
        return m;
    case PROMTEXT_GAUGEHISTOGRAM:
        m.role = ROLE_NONE;
        return m;
    default:
        break;
    }
    m.meta = NULL;
    return m;
}

static enum otlpw_data data_of(enum promtext_type type)
{
    switch (type) {
    case PROMTEXT_COUNTER:
        return OTLPW_COUNTER;
    case PROMTEXT_INFO:
    case PROMTEXT_STATESET:
        return OTLPW_SUM;
    case PROMTEXT_HISTOGRAM:
        return OTLPW_HISTOGRAM;
    case PROMTEXT_SUMMARY:
        return OTLPW_SUMMARY;
    default:
        return OTLPW_GAUGE;
    }
}

/* --- labels --- */

static struct str label_of_target(struct page *p, struct str name)
{
    const struct otlpw_value *v;

    if (str_is(name, "job"))
        return p->job->name;
    if (str_is(name, "instance"))
        return p->target->address;
    v = attrs_get(&p->target->labels, name);
    return v ? v->text : STR_NONE;
}

/* Labels of the page and of the target, as one list. A label that both have: the target's counts,
 * and the page's is kept as exported_NAME, or the other way round with honor_labels. */
static void merge_labels(struct page *p, const struct promtext_sample *s, const char *leave_out,
                         struct attrs *l)
{
    struct arena *a = &p->scratch;

    for (size_t i = 0; i < s->n_labels; i++) {
        struct str name = s->labels[i].name;

        if (leave_out && str_is(name, leave_out))
            continue;
        if (!p->job->honor_labels)
            while (label_of_target(p, name).p || attrs_get(l, name))
                name = arena_printf(a, "exported_%.*s", STR_ARG(name));
        attrs_set(a, l, name, otlpw_text(s->labels[i].value));
    }
    if (!attrs_get(l, STR("job")))
        attrs_set(a, l, STR("job"), otlpw_text(p->job->name));
    if (!attrs_get(l, STR("instance")))
        attrs_set(a, l, STR("instance"), otlpw_text(p->target->address));
    for (size_t i = 0; i < p->target->labels.n; i++)
        if (!attrs_get(l, p->target->labels.items[i].key))
            attrs_set(a, l, p->target->labels.items[i].key, p->target->labels.items[i].value);
}

static int by_key(const void *a, const void *b)
{
    return str_cmp(((const struct attr *)a)->key, ((const struct attr *)b)->key);
}

static struct str take_label(struct attrs *l, const char *name)
{
    const struct otlpw_value *v = attrs_get(l, str_of(name));
    struct str text = v ? v->text : STR_NONE;

    attrs_del(l, str_of(name));
    return text;
}

/* --- resource and scope --- */

static bool is_local(struct str host)
{
    return str_is(host, "localhost") || str_is(host, "0.0.0.0") || str_is(host, "::") ||
           str_is(host, "::1") || str_starts(host, STR("127."));
}

static void first_resource(struct page *p, struct str job, struct str instance, struct attrs *r)
{
    struct arena *a = &p->scratch;
    struct http_url u = {0};

    http_url_split(
        arena_printf(a, "%.*s://%.*s", STR_ARG(p->job->scheme), STR_ARG(p->target->address)), &u);
    attrs_set(a, r, STR("service.name"), otlpw_text(job));
    attrs_set(a, r, STR("service.instance.id"), otlpw_text(instance));
    if (u.host.n && !is_local(u.host))
        attrs_set(a, r, STR("server.address"), otlpw_text(u.host));
    attrs_set(a, r, STR("server.port"), otlpw_text(arena_printf(a, "%u", u.port)));
    attrs_set(a, r, STR("url.scheme"), otlpw_text(p->job->scheme));
    for (size_t i = 0; i < p->target_info.n; i++)
        attrs_set(a, r, p->target_info.items[i].key, p->target_info.items[i].value);
}

static struct section *section_of(struct page *p, struct str key, const struct attrs *resource,
                                  const struct attrs *scope, struct str scope_name,
                                  struct str scope_version)
{
    struct section *s;

    for (s = p->sections; s; s = s->next)
        if (str_eq(s->key, key))
            return s;
    s = mem_zalloc(sizeof(*s));
    s->key = str_n(str_dup(key), key.n);
    s->families_tail = &s->families;
    attrs_write(&s->resource, OTLPW_RESOURCE_ATTRIBUTES, resource);
    if (scope_name.n) {
        pb_put_bytes(&s->scope, OTLPW_SCOPE_NAME, scope_name);
        pb_put_bytes_if(&s->scope, OTLPW_SCOPE_VERSION, scope_version);
    } else {
        pb_put_bytes(&s->scope, OTLPW_SCOPE_NAME, STR(SCOPE_NAME));
        pb_put_bytes(&s->scope, OTLPW_SCOPE_VERSION, STR(FLYBALL_VERSION));
    }
    attrs_write(&s->scope, OTLPW_SCOPE_ATTRIBUTES, scope);
    *p->sections_tail = s;
    p->sections_tail = &s->next;
    return s;
}

static struct family *family_of(struct section *s, const struct mapped *m)
{
    struct family *f;

    for (f = s->families; f; f = f->next)
        if (str_is(m->metric, f->name) && f->type == m->type) {
            f->meta = m->meta;
            return f;
        }
    f = mem_zalloc(sizeof(*f));
    f->section = s;
    f->points_tail = &f->points;
    f->name = str_dup(m->metric);
    f->type = m->type;
    f->data = data_of(m->type);
    f->meta = m->meta;
    *s->families_tail = f;
    s->families_tail = &f->next;
    return f;
}

/* --- points --- */

static unsigned attributes_field(enum otlpw_data d)
{
    return d == OTLPW_HISTOGRAM ? OTLPW_HISTOGRAM_ATTRIBUTES
           : d == OTLPW_SUMMARY ? OTLPW_SUMMARY_ATTRIBUTES
                                : OTLPW_NUMBER_ATTRIBUTES;
}

static struct point *new_point(struct page *p, struct family *f, struct str key,
                               const struct attrs *attrs)
{
    struct point *pt = mem_zalloc(sizeof(*pt));
    struct buf b = BUF_INIT;

    attrs_write(&b, attributes_field(f->data), attrs);
    pt->family = f;
    pt->key = str_n(str_dup(key), key.n);
    pt->attrs = str_n(str_dup(buf_str(&b)), b.n);
    buf_done(&b);
    *f->points_tail = pt;
    f->points_tail = &pt->next;
    table_set(&p->points, key, pt);
    return pt;
}

/* The point that a sample with these labels belongs to; NULL: dropped by a processor. */
static struct point *point_of(struct page *p, const struct mapped *m, struct attrs *labels)
{
    struct arena *a = &p->scratch;
    struct attrs resource = {0}, scope = {0}, point = {0};
    struct buf key = BUF_INIT, section_key = BUF_INIT;
    struct str job, instance, scope_name, scope_version;
    struct point *pt;

    qsort(labels->items, labels->n, sizeof(*labels->items), by_key);
    buf_add_str(&key, m->metric); /* a change of type alone ends nothing */
    for (size_t i = 0; i < labels->n; i++)
        buf_printf(&key, "|%zu %.*s|%zu %.*s", labels->items[i].key.n,
                   STR_ARG(labels->items[i].key), labels->items[i].value.text.n,
                   STR_ARG(labels->items[i].value.text));
    pt = table_get(&p->points, buf_str(&key));
    if (pt) {
        buf_done(&key);
        return pt->family->type == m->type ? pt : NULL;
    }
    job = take_label(labels, "job");
    instance = take_label(labels, "instance");
    scope_name = take_label(labels, "otel_scope_name");
    scope_version = take_label(labels, "otel_scope_version");
    for (size_t i = 0; i < labels->n; i++) {
        struct attr *l = &labels->items[i];

        if (l->value.text.n == 0)
            continue;
        if (str_starts(l->key, STR("otel_scope_")))
            attrs_set(a, &scope, str_skip(l->key, 11), l->value);
        else
            attrs_set(a, &point, l->key, l->value);
    }
    first_resource(p, job, instance, &resource);
    if (process_run(p->config, a, m->metric, &resource, &point)) {
        buf_printf(&section_key, "%u|%zu %.*s|%zu %.*s|%zu %.*s|%zu %.*s", p->target_info_no, job.n,
                   STR_ARG(job), instance.n, STR_ARG(instance), scope_name.n, STR_ARG(scope_name),
                   scope_version.n, STR_ARG(scope_version));
        attrs_write(&section_key, 1, &scope);
        pt = new_point(p,
                       family_of(section_of(p, buf_str(&section_key), &resource, &scope, scope_name,
                                            scope_version),
                                 m),
                       buf_str(&key), &point);
    }
    buf_done(&key);
    buf_done(&section_key);
    return pt;
}

static struct bucket *bucket_of(struct point *pt, double bound)
{
    struct bucket **at = &pt->buckets, *b;

    while (*at && (*at)->bound < bound)
        at = &(*at)->next;
    if (*at && (*at)->bound == bound)
        return *at;
    b = mem_zalloc(sizeof(*b));
    b->bound = bound;
    b->next = *at;
    *at = b;
    return b;
}

void series_make(struct page *p, const struct promtext_sample *s, struct entry *ret)
{
    struct mapped m;
    struct attrs labels = {0};
    double bound = 0;

    arena_reset(&p->scratch);
    if (str_is(s->name, "target_info")) {
        ret->role = ROLE_TARGET;
        return;
    }
    m = map_name(p, s);
    if (m.role == ROLE_NONE)
        return;
    if (m.role == ROLE_BUCKET)
        has_label(s, m.type == PROMTEXT_SUMMARY ? "quantile" : "le", &bound);
    merge_labels(p, s,
                 m.role != ROLE_BUCKET        ? NULL
                 : m.type == PROMTEXT_SUMMARY ? "quantile"
                                              : "le",
                 &labels);
    ret->point = bound == bound ? point_of(p, &m, &labels) : NULL;
    if (!ret->point)
        return;
    ret->role = m.role;
    if (m.role == ROLE_BUCKET)
        ret->bucket = bucket_of(ret->point, bound);
}

void series_target_info(struct page *p, const struct promtext_sample *s)
{
    if (p->target_info_line && str_is(s->line_key, p->target_info_line))
        return;
    free(p->target_info_line);
    p->target_info_line = str_dup(s->line_key);
    arena_reset(&p->target_info_arena);
    p->target_info = (struct attrs){0};
    for (size_t i = 0; i < s->n_labels; i++)
        if (!str_is(s->labels[i].name, "job") && !str_is(s->labels[i].name, "instance") &&
            s->labels[i].value.n)
            attrs_set(&p->target_info_arena, &p->target_info,
                      arena_str(&p->target_info_arena, s->labels[i].name),
                      otlpw_text(arena_str(&p->target_info_arena, s->labels[i].value)));
    p->target_info_no++;
    p->must_rebuild = true;
}

static char help_up[] = "The scraping was successful", help_duration[] = "Duration of the scrape",
            help_scraped[] = "The number of samples the target exposed",
            help_after[] = "The number of samples remaining after metric relabeling was applied",
            help_added[] = "The approximate number of new series in this scrape",
            unit_seconds[] = "seconds";
const struct meta series_own_meta[OWN_COUNT] = {
    [OWN_UP] = {PROMTEXT_GAUGE, true, help_up, NULL},
    [OWN_DURATION] = {PROMTEXT_GAUGE, true, help_duration, unit_seconds},
    [OWN_SCRAPED] = {PROMTEXT_GAUGE, true, help_scraped, NULL},
    [OWN_AFTER_RELABELING] = {PROMTEXT_GAUGE, true, help_after, NULL},
    [OWN_ADDED] = {PROMTEXT_GAUGE, true, help_added, NULL},
};

void series_make_own(struct page *p)
{
    static const char *const names[OWN_COUNT] = {
        [OWN_UP] = "up",
        [OWN_DURATION] = "scrape_duration_seconds",
        [OWN_SCRAPED] = "scrape_samples_scraped",
        [OWN_AFTER_RELABELING] = "scrape_samples_post_metric_relabeling",
        [OWN_ADDED] = "scrape_series_added",
    };
    static const struct promtext_sample none;

    for (int i = 0; i < OWN_COUNT; i++) {
        struct mapped m = {str_of(names[i]), PROMTEXT_GAUGE, ROLE_VALUE, &series_own_meta[i]};
        struct attrs labels = {0};

        arena_reset(&p->scratch);
        merge_labels(p, &none, NULL, &labels);
        p->own[i] = point_of(p, &m, &labels);
    }
}

/* --- the end --- */

void series_free_point(struct point *pt)
{
    while (pt->buckets) {
        struct bucket *b = pt->buckets;

        pt->buckets = b->next;
        free(b);
    }
    free((char *)(uintptr_t)pt->key.p);
    free((char *)(uintptr_t)pt->attrs.p);
    free(pt);
}

void series_free_section(struct section *s)
{
    while (s->families) {
        struct family *f = s->families;

        s->families = f->next;
        while (f->points) {
            struct point *pt = f->points;

            f->points = pt->next;
            series_free_point(pt);
        }
        free(f->name);
        free(f);
    }
    free((char *)(uintptr_t)s->key.p);
    buf_done(&s->resource);
    buf_done(&s->scope);
    free(s);
}
