/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/rounds.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/table.h"
#include "codec/json.h"
#include "net/scrape.h"
#include "telemetry/clock_watch.h"
#include "telemetry/target_labels.h"

#define PAGE_MAX ((size_t)16 << 20)
#define INTERVAL_MS 250
#define LABELS_MAX 96
#define AGAIN_MS 10
#define MISSED_MS 10000 /* see is_missed */
#define SLOW_MS 2000
#define EMPTY_MS 1000

/* A line of a page: its series, and in which round it was last stored (0: never), with which value.
 */
struct known {
    struct series *s;
    uint64_t seen;
    double value;
};

struct page_sample {
    struct known *k;
    int64_t t_ms;
    double value;
};

struct target {
    struct rounds *r;
    struct workload *w;
    struct list link; /* in its workload */
    char *uid, *ns, *pod, *url;
    struct target_labels labels;
    struct net_addr addr;
    char *path;
    struct table known; /* line key -> struct known */
    struct series *up, *duration, *samples;
    struct http_call *call;
    int64_t round_ms, sent_ns;
    uint64_t round_no;
    size_t n_samples;
    uint64_t page_hash; /* of the last good page; 0: it had times of its own, or there is none */
    size_t page_size;
    bool has_times;
    char *last_error;
    int64_t last_ms;
    double last_duration;
    int64_t ok_ms; /* mono, of the last good page; 0: none */
    bool is_up, ever;
};

struct workload {
    struct rounds *r;
    char *key; /* ns/deployment */
    struct list targets, subscriptions;
    struct loop_timer tick, half, again;
    int64_t round_ms;
    uint64_t round_no;
    size_t pending;
    bool in_round;
};

struct subscription {
    struct list link; /* in its workload */
    rounds_fn *fn;
    void *arg;
    bool is_removed;
};

struct rounds {
    struct rounds_options o;
    struct table workloads, targets; /* key, uid */
    struct loop_timer sweep;
    bool is_telling;
    struct page_sample *page; /* of the page that is being read */
    size_t n_page, cap_page;
};

static struct loop *loop_of(const struct rounds *r)
{
    return r->o.cluster->loop;
}

/* --- samples --- */

static void free_known(struct target *t)
{
    size_t i = 0;
    void *v;

    while (table_next(&t->known, &i, NULL, &v)) {
        tsdb_release(((struct known *)v)->s);
        free(v);
    }
    table_done(&t->known);
}

/* A label of the page that the target has too is kept as exported_NAME. */
static struct series *series_for(struct target *t, const struct promtext_sample *s)
{
    struct label l[LABELS_MAX];
    char exported[PROMTEXT_LABELS_MAX][80];
    size_t n = 0;

    l[n++] = (struct label){STR("__name__"), s->name};
    for (size_t i = 0; i < t->labels.n; i++)
        l[n++] = t->labels.items[i];
    for (size_t i = 0; i < s->n_labels && n < LABELS_MAX; i++) {
        struct str name = s->labels[i].name;

        if (target_labels_get(&t->labels, name).p) {
            snprintf(exported[i], sizeof(exported[i]), "exported_%.*s",
                     (int)(name.n < 70 ? name.n : 70), name.p);
            name = str_of(exported[i]);
        }
        l[n++] = (struct label){name, s->labels[i].value};
    }
    return tsdb_series(t->r->o.db, l, n);
}

static bool on_sample(void *arg, const struct promtext_sample *s)
{
    struct target *t = arg;
    struct rounds *r = t->r;
    struct known *k = table_get(&t->known, s->line_key);

    if (!k) {
        k = mem_zalloc(sizeof(*k));
        k->s = series_for(t, s);
        table_set(&t->known, s->line_key, k);
    }
    t->has_times |= s->has_time;
    mem_grow(&r->page, &r->cap_page, r->n_page);
    r->page[r->n_page++] = (struct page_sample){k, s->has_time ? s->t_ms : t->round_ms, s->value};
    return true;
}

/* Of a series that stands there twice the first sample counts. */
static void store_page(struct target *t)
{
    struct rounds *r = t->r;

    for (size_t i = 0; i < r->n_page; i++) {
        struct known *k = r->page[i].k;

        if (k->seen != t->round_no)
            k->value = r->page[i].value;
        k->seen = t->round_no;
        tsdb_append(r->o.db, k->s, r->page[i].t_ms, r->page[i].value);
    }
    t->n_samples = r->n_page;
}

/* An idle server gives the same page again and again: its samples are known without reading it. */
static bool is_same_page(struct target *t, struct str page)
{
    return t->page_hash && t->page_size == page.n && t->page_hash == str_hash(page);
}

static void repeat_samples(struct target *t)
{
    size_t i = 0;
    void *v;

    while (table_next(&t->known, &i, NULL, &v)) {
        struct known *k = v;

        k->seen = t->round_no;
        tsdb_append(t->r->o.db, k->s, t->round_ms, k->value);
    }
}

static int take_page(struct target *t, struct str page, enum promtext_format format,
                     struct err *err)
{
    if (is_same_page(t, page)) {
        repeat_samples(t);
        return 0;
    }
    t->page_hash = 0;
    t->has_times = false;
    t->r->n_page = 0;
    if (promtext_parse(page, format, on_sample, NULL, t, err) < 0)
        return err->code; /* a page with one bad line is refused whole */
    store_page(t);
    t->page_hash = t->has_times ? 0 : str_hash(page);
    t->page_size = page.n;
    return 0;
}

/* Series that the page no longer has end with a marker. */
static void mark_missing(struct target *t, int64_t at)
{
    size_t i = 0, n = 0;
    struct str key, *gone = NULL;
    size_t cap = 0;
    void *v;

    while (table_next(&t->known, &i, &key, &v)) {
        struct known *k = v;

        if (k->seen == t->round_no)
            continue;
        if (k->seen) /* not only on a page that was refused */
            tsdb_append(t->r->o.db, k->s, at, tsdb_stale());
        mem_grow(&gone, &cap, n);
        gone[n++] = (struct str){str_dup(key), key.n};
    }
    for (i = 0; i < n; i++) {
        struct known *k = table_del(&t->known, gone[i]);

        tsdb_release(k->s);
        free(k);
        free((char *)(uintptr_t)gone[i].p);
    }
    free(gone);
}

static struct series *own_series(struct target *t, const char *name)
{
    struct label l[LABELS_MAX];
    size_t n = 0;

    l[n++] = (struct label){STR("__name__"), str_of(name)};
    for (size_t i = 0; i < t->labels.n; i++)
        l[n++] = t->labels.items[i];
    return tsdb_series(t->r->o.db, l, n);
}

/* --- rounds --- */

/* A target that worked just now and does not any more took its part of every sum with it. One that
 * is only slow still counts with what it said last. After MISSED_MS it is believed to be gone. */
static bool is_missed(const struct target *t, int64_t now)
{
    int64_t age = now - t->ok_ms, slow = 4 * t->r->o.interval_ms;

    return t->ok_ms && age < MISSED_MS && (!t->is_up || age > (slow > SLOW_MS ? slow : SLOW_MS));
}

static bool is_complete(const struct workload *w)
{
    int64_t now = loop_mono_ns(loop_of(w->r)) / 1000000;

    list_each (it, &w->targets)
        if (is_missed(container_of(it, struct target, link), now))
            return false;
    return true;
}

static void end_round(struct workload *w)
{
    struct rounds *r = w->r;
    bool complete = is_complete(w);

    if (!w->in_round)
        return;
    w->in_round = false;
    loop_timer_stop(&w->half);
    r->is_telling = true;
    list_each (it, &w->subscriptions) {
        struct subscription *s = container_of(it, struct subscription, link);

        if (!s->is_removed)
            s->fn(s->arg, w->round_ms, complete);
    }
    r->is_telling = false;
    list_each (it, &w->subscriptions) {
        struct subscription *s = container_of(it, struct subscription, link);

        if (s->is_removed) {
            list_del(it);
            free(s);
        }
    }
}

static void settled(struct target *t, bool ok, const char *why)
{
    struct workload *w = t->w;
    struct rounds *r = t->r;
    double took = (double)(loop_mono_ns(loop_of(r)) - t->sent_ns) / 1e9;

    t->call = NULL;
    t->is_up = ok;
    if (ok)
        t->ok_ms = loop_mono_ns(loop_of(r)) / 1000000;
    t->last_ms = t->round_ms;
    t->last_duration = took;
    free(t->last_error);
    t->last_error = ok ? NULL : mem_strdup(why);
    if (!ok) { /* all series of the target end, and the next page is read whatever it says */
        t->n_samples = 0;
        t->page_hash = 0;
    }
    mark_missing(t, t->round_ms);
    tsdb_append(r->o.db, t->up, t->round_ms, ok);
    tsdb_append(r->o.db, t->duration, t->round_ms, took);
    tsdb_append(r->o.db, t->samples, t->round_ms, (double)t->n_samples);
    if (t->round_no == w->round_no && w->pending > 0 && --w->pending == 0)
        end_round(w);
}

static void on_page(void *arg, const struct http_response *resp, struct str body,
                    const struct err *err)
{
    struct target *t = arg;
    struct buf plain = BUF_INIT_MAX(PAGE_MAX);
    struct err bad = ERR_INIT;
    enum promtext_format format;
    struct str page;

    if (err)
        settled(t, false, err->msg);
    else if (scrape_page(resp, body, NULL, &plain, &page, &format, &bad) < 0 ||
             take_page(t, page, format, &bad) < 0)
        settled(t, false, bad.msg);
    else
        settled(t, true, "");
    buf_done(&plain);
}

static void scrape(struct target *t, int64_t round_ms, uint64_t round_no)
{
    struct rounds *r = t->r;

    t->round_ms = round_ms;
    t->round_no = round_no;
    t->sent_ns = loop_mono_ns(loop_of(r));
    t->call = http_client_send(
        r->o.http, &(struct http_call_options){.addr = &t->addr,
                                               .target = str_of(t->path),
                                               .headers = &scrape_headers,
                                               .timeout_ms = r->o.interval_ms < 1000 ? 1000 : 10000,
                                               .max_body = PAGE_MAX,
                                               .arg = t,
                                               .on_all = on_page});
}

static void on_half(void *arg)
{
    end_round(arg);
}

/* The next wall-clock multiple of the interval, moved by the workload's hash. */
/* Without targets a round says only that there is none: that may take a second. */
static void arm(struct workload *w)
{
    int64_t iv = w->r->o.interval_ms, now = loop_wall_ms(loop_of(w->r)), past;

    if (list_is_empty(&w->targets) && iv < EMPTY_MS)
        iv = EMPTY_MS;
    past = (now - (int64_t)(str_hash(str_of(w->key)) % (uint64_t)iv)) % iv;
    if (past < 0)
        past += iv;
    loop_timer_start(&w->tick, iv - past);
}

static void begin_round(void *arg)
{
    struct workload *w = arg;

    clock_watch(w->r->o.db, loop_of(w->r));
    end_round(w);
    w->round_ms = loop_wall_ms(loop_of(w->r));
    w->round_no++;
    w->pending = 0;
    w->in_round = true;
    list_each (it, &w->targets) {
        struct target *t = container_of(it, struct target, link);

        if (t->call)
            continue; /* still busy with an earlier round */
        w->pending++;
        scrape(t, w->round_ms, w->round_no);
    }
    if (list_is_empty(&w->targets))
        end_round(w);
    else
        loop_timer_start(&w->half, w->r->o.interval_ms / 2);
}

static void on_tick(void *arg)
{
    arm(arg);
    begin_round(arg);
}

static struct workload *workload_of(struct rounds *r, const char *key)
{
    struct workload *w = table_get(&r->workloads, str_of(key));

    if (w)
        return w;
    w = mem_zalloc(sizeof(*w));
    w->r = r;
    w->key = mem_strdup(key);
    list_init(&w->targets);
    list_init(&w->subscriptions);
    loop_timer_init(&w->tick, loop_of(r), on_tick, w);
    loop_timer_init(&w->half, loop_of(r), on_half, w);
    loop_timer_init(&w->again, loop_of(r), begin_round, w);
    table_set(&r->workloads, str_of(key), w);
    arm(w);
    return w;
}

/* --- targets --- */

static void free_target(struct target *t)
{
    free_known(t);
    target_labels_done(&t->labels);
    free(t->uid);
    free(t->ns);
    free(t->pod);
    free(t->url);
    free(t->path);
    free(t->last_error);
    free(t);
}

static void remove_target(struct rounds *r, struct target *t)
{
    struct workload *w = t->w;
    int64_t now = loop_wall_ms(loop_of(r));

    if (t->call) {
        http_call_cancel(t->call);
        t->call = NULL;
        if (t->round_no == w->round_no && w->pending > 0 && --w->pending == 0)
            end_round(w);
    }
    t->round_no = UINT64_MAX; /* nothing was seen in that one: everything ends */
    mark_missing(t, now);
    tsdb_append(r->o.db, t->up, now, tsdb_stale());
    tsdb_append(r->o.db, t->duration, now, tsdb_stale());
    tsdb_append(r->o.db, t->samples, now, tsdb_stale());
    tsdb_release(t->up);
    tsdb_release(t->duration);
    tsdb_release(t->samples);
    table_del(&r->targets, str_of(t->uid));
    list_del(&t->link);
    free_target(t);
}

static void add_target(struct rounds *r, const struct object *o, const json_t *pod)
{
    const json_t *a = json_at(pod, "metadata.annotations");
    const char *ip = json_text(pod, "status.podIP", ""),
               *port = json_string_value(json_object_get(a, "prometheus.io/port"));
    const char *path = json_string_value(json_object_get(a, "prometheus.io/path"));
    struct target *t = mem_zalloc(sizeof(*t));
    char workload[WORKLOAD_NAME_MAX], full[600], instance[64];
    uint64_t number = 8080;

    if (port)
        str_to_u64(str_of(port), &number);
    net_addr_set(&t->addr, ip, (uint16_t)number);
    target_workload(r->o.cluster, o, workload);
    snprintf(full, sizeof(full), "%.*s/%s", STR_ARG(o->ns), workload);
    t->r = r;
    t->uid = str_dup(o->uid);
    t->ns = str_dup(o->ns);
    t->pod = str_dup(o->name);
    t->path = mem_strdup(path && *path ? path : "/metrics");
    t->url = mem_printf("http://%s%s", net_addr_text(&t->addr, instance), t->path);
    target_labels_add(&t->labels, STR("job"), STR("pods"));
    target_labels_add(&t->labels, STR("instance"), str_of(instance));
    target_labels_add_pod(&t->labels, r->o.cluster, o, pod);
    t->up = own_series(t, "up");
    t->duration = own_series(t, "scrape_duration_seconds");
    t->samples = own_series(t, "scrape_samples_scraped");
    t->w = workload_of(r, full);
    list_add_tail(&t->w->targets, &t->link);
    arm(t->w); /* the first one ends the slow rounds */
    table_set(&r->targets, o->uid, t);
}

static void on_pod(void *arg, enum cluster_event event, const struct object *was,
                   const struct object *now)
{
    struct rounds *r = arg;
    struct target *t = table_get(&r->targets, now->uid);
    AUTO_JSON json_t *pod = NULL;
    const char *scrape_it;
    bool wanted = false;

    (void)was;
    if (event != CLUSTER_DELETED && !now->deleting_ms) {
        pod = object_tree(now);
        scrape_it = json_string_value(
            json_object_get(json_at(pod, "metadata.annotations"), "prometheus.io/scrape"));
        wanted = scrape_it && strcmp(scrape_it, "true") == 0 &&
                 strcmp(json_text(pod, "status.phase", ""), "Running") == 0 &&
                 *json_text(pod, "status.podIP", "");
    }
    if (t && !wanted)
        remove_target(r, t);
    else if (!t && wanted)
        add_target(r, now, pod);
}

/* --- life --- */

static void on_sweep(void *arg)
{
    struct rounds *r = arg;

    tsdb_sweep(r->o.db, loop_wall_ms(loop_of(r)));
    loop_timer_start(&r->sweep, 30000);
}

struct rounds *rounds_new(const struct rounds_options *o)
{
    struct rounds *r = mem_zalloc(sizeof(*r));

    r->o = *o;
    if (r->o.interval_ms == 0)
        r->o.interval_ms = INTERVAL_MS;
    loop_timer_init(&r->sweep, o->cluster->loop, on_sweep, r);
    loop_timer_start(&r->sweep, 30000);
    cluster_watch(o->cluster, KIND_POD, on_pod, r);
    return r;
}

void rounds_free(struct rounds *r)
{
    size_t i = 0;
    void *v;

    if (!r)
        return;
    cluster_unwatch(r->o.cluster, KIND_POD, on_pod, r);
    free(r->page);
    loop_timer_stop(&r->sweep);
    while (i = 0, table_next(&r->targets, &i, NULL, &v))
        remove_target(r, v);
    i = 0;
    while (table_next(&r->workloads, &i, NULL, &v)) {
        struct workload *w = v;

        loop_timer_stop(&w->tick);
        loop_timer_stop(&w->half);
        loop_timer_stop(&w->again);
        list_each (it, &w->subscriptions)
            free(container_of(it, struct subscription, link));
        free(w->key);
        free(w);
    }
    table_done(&r->targets);
    table_done(&r->workloads);
    free(r);
}

void rounds_subscribe(struct rounds *r, struct str ns, struct str workload, rounds_fn *fn,
                      void *arg)
{
    AUTO_FREE char *key = mem_printf("%.*s/%.*s", STR_ARG(ns), STR_ARG(workload));
    struct subscription *s = mem_zalloc(sizeof(*s));

    s->fn = fn;
    s->arg = arg;
    /* rounds go on without targets too: "no pod" is an answer */
    list_add_tail(&workload_of(r, key)->subscriptions, &s->link);
}

void rounds_again(struct rounds *r, struct str ns, struct str workload)
{
    AUTO_FREE char *key = mem_printf("%.*s/%.*s", STR_ARG(ns), STR_ARG(workload));

    loop_timer_start(&workload_of(r, key)->again, AGAIN_MS);
}

static void unsubscribe(struct rounds *r, struct workload *w, rounds_fn *fn, void *arg)
{
    list_each (it, &w->subscriptions) {
        struct subscription *s = container_of(it, struct subscription, link);

        if (s->fn != fn || s->arg != arg || s->is_removed)
            continue;
        s->is_removed = true;
        if (!r->is_telling) {
            list_del(it);
            free(s);
        }
    }
}

void rounds_unsubscribe(struct rounds *r, rounds_fn *fn, void *arg)
{
    size_t i = 0;
    void *v;

    while (table_next(&r->workloads, &i, NULL, &v))
        unsubscribe(r, v, fn, arg);
}

int64_t rounds_interval_ms(const struct rounds *r)
{
    return r->o.interval_ms;
}

/* own: job and instance too, which a Prometheus that finds the target here sets itself. */
static void write_labels(const struct target *t, bool own, struct buf *out)
{
    size_t n = 0;

    for (size_t i = 0; i < t->labels.n; i++) {
        const struct label *l = &t->labels.items[i];

        if (!own && (str_is(l->name, "job") || str_is(l->name, "instance")))
            continue;
        buf_printf(out, "%s\"%.*s\":", n++ ? "," : "", STR_ARG(l->name));
        json_write_str(out, l->value);
    }
}

void rounds_write_targets(const struct rounds *r, struct buf *out)
{
    size_t i = 0, n = 0;
    void *v;
    char time[TIME_TEXT_MAX];

    buf_add_cstr(out, "{\"activeTargets\":[");
    while (table_next(&r->targets, &i, NULL, &v)) {
        const struct target *t = v;

        buf_add_cstr(out, n++ ? ",{\"discoveredLabels\":{},\"labels\":{"
                              : "{\"discoveredLabels\":{},\"labels\":{");
        write_labels(t, true, out);
        buf_printf(
            out,
            "},\"scrapePool\":\"pods\",\"scrapeUrl\":\"%s\",\"globalUrl\":\"%s\",\"lastError\":",
            t->url, t->url);
        json_write_str(out, str_of(t->last_error ? t->last_error : ""));
        buf_printf(out,
                   ",\"lastScrape\":\"%s\",\"lastScrapeDuration\":%.6f,\"health\":\"%s\","
                   "\"scrapeInterval\":\"%lldms\",\"scrapeTimeout\":\"1s\"}",
                   time_rfc3339(t->last_ms, time), t->last_duration,
                   t->last_ms == 0 ? "unknown"
                   : t->is_up      ? "up"
                                   : "down",
                   (long long)r->o.interval_ms);
    }
    buf_add_cstr(out, "],\"droppedTargets\":[]}");
}

void rounds_write_sd(const struct rounds *r, struct buf *out)
{
    size_t i = 0, n = 0;
    void *v;
    char addr[64];

    buf_add_char(out, '[');
    while (table_next(&r->targets, &i, NULL, &v)) {
        const struct target *t = v;

        buf_printf(out, "%s{\"targets\":[\"%s\"],\"labels\":{\"__metrics_path__\":\"%s\",",
                   n++ ? "," : "", net_addr_text(&t->addr, addr), t->path);
        write_labels(t, false, out);
        buf_add_cstr(out, "}}");
    }
    buf_add_char(out, ']');
}
