/* SPDX-License-Identifier: Apache-2.0
 *
 * One query answers the same whether a series was scraped or pushed: random pages, that change from
 * scrape to scrape, once into a store as the scraper does it, once through the agent's conversion
 * and the receiver into another. After each scrape both hold the same series with the same values.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../cmocka_all.h"

#include "agent/page.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/table.h"
#include "telemetry/otlp.h"

#define START_MS 1788184200000
#define INTERVAL_MS 5000
#define FAMILIES 12
#define CHILDREN 4 /* label sets of a family */
#define BUCKETS 5

enum family { FAMILY_GAUGE, FAMILY_COUNTER, FAMILY_HISTOGRAM, FAMILY_SUMMARY, N_FAMILIES };

struct child {
    bool is_there;
    double value; /* a counter's, a sum */
    uint64_t buckets[BUCKETS + 1], count;
};

struct world {
    struct rng rng;
    struct child children[FAMILIES][CHILDREN];
    struct tsdb *scraped, *pushed;
    struct table seen, before; /* line keys of this scrape, and of the one before -> series */
    int64_t now;
};

/* --- pages --- */

static const double bounds[BUCKETS] = {0.005, 0.1, 1, 2.5, 1000000};

static void change(struct world *w, enum family kind, struct child *c)
{
    struct rng *r = &w->rng;

    if (!c->is_there || rng_below(r, 20) == 0) { /* came, or began anew */
        *c = (struct child){.is_there = rng_below(r, 4) != 0};
        if (!c->is_there)
            return;
    } else if (rng_below(r, 15) == 0) {
        c->is_there = false;
        return;
    }
    if (rng_below(r, 3) == 0)
        return; /* as it was */
    if (kind == FAMILY_GAUGE) {
        uint64_t n = rng_below(r, 20);

        c->value = n == 0 ? INFINITY : n == 1 ? -1e-7 : (double)rng_below(r, 100) / 7;
        return;
    }
    for (uint64_t n = rng_below(r, 5); n > 0; n--) {
        c->buckets[rng_below(r, BUCKETS + 1)]++;
        c->count++;
        c->value += (double)rng_below(r, 1000) / 64;
    }
}

static void write_labels(struct buf *b, int family, int i, const char *more)
{
    static const char *const odd[] = {"plain", "with \\\"quotes\\\"", "back\\\\slash", "モデル"};

    buf_printf(b, "{engine=\"%d\",model_name=\"%s\"%s%s}", i, odd[(family + i) % 4],
               *more ? "," : "", more);
}

static void write_child(struct buf *b, enum family kind, int f, int i, const struct child *c)
{
    char name[32], more[40], le[32];
    uint64_t sum = 0;

    snprintf(name, sizeof(name), "vllm:family_%d%s", f, kind == FAMILY_COUNTER ? "_total" : "");
    switch (kind) {
    case FAMILY_GAUGE:
    case FAMILY_COUNTER:
        buf_add_cstr(b, name);
        write_labels(b, f, i, "");
        buf_printf(b, " %.17g\n", kind == FAMILY_GAUGE ? c->value : (double)c->count);
        return;
    case FAMILY_HISTOGRAM:
        for (int k = 0; k <= BUCKETS; k++) {
            sum += c->buckets[k];
            snprintf(le, sizeof(le), k == BUCKETS ? "+Inf" : "%g", k == BUCKETS ? 0 : bounds[k]);
            snprintf(more, sizeof(more), "le=\"%s\"", le);
            buf_printf(b, "%s_bucket", name);
            write_labels(b, f, i, more);
            buf_printf(b, " %llu\n", (unsigned long long)sum);
        }
        break;
    case FAMILY_SUMMARY:
        for (int k = 1; k < 3; k++) {
            snprintf(more, sizeof(more), "quantile=\"0.%d\"", k * 4);
            buf_add_cstr(b, name);
            write_labels(b, f, i, more);
            buf_printf(b, " %.17g\n", c->value / (4 - k));
        }
        break;
    default:
        break;
    }
    buf_printf(b, "%s_sum", name);
    write_labels(b, f, i, "");
    buf_printf(b, " %.17g\n%s_count", c->value, name);
    write_labels(b, f, i, "");
    buf_printf(b, " %llu\n", (unsigned long long)c->count);
}

static void write_page(struct world *w, struct buf *b)
{
    static const char *const types[] = {"gauge", "counter", "histogram", "summary"};

    buf_clear(b);
    for (int f = 0; f < FAMILIES; f++) {
        enum family kind = (enum family)(f % N_FAMILIES);

        buf_printf(b, "# TYPE vllm:family_%d%s %s\n", f, kind == FAMILY_COUNTER ? "_total" : "",
                   types[kind]);
        for (int i = 0; i < CHILDREN; i++) {
            change(w, kind, &w->children[f][i]);
            if (w->children[f][i].is_there)
                write_child(b, kind, f, i, &w->children[f][i]);
        }
    }
}

/* --- the scraper's way --- */

static bool on_sample(void *arg, const struct promtext_sample *s)
{
    struct world *w = arg;
    struct label l[20] = {{STR("__name__"), s->name},
                          {STR("job"), STR("j")},
                          {STR("instance"), STR("localhost:8080")}};
    struct series *series;

    for (size_t i = 0; i < s->n_labels; i++)
        l[3 + i] = (struct label){s->labels[i].name, s->labels[i].value};
    series = tsdb_series(w->scraped, l, 3 + s->n_labels);
    tsdb_append(w->scraped, series, w->now, s->value);
    table_set(&w->seen, s->line_key, series);
    table_del(&w->before, s->line_key);
    tsdb_release(series);
    return true;
}

static void scrape(struct world *w, struct str page)
{
    size_t i = 0;
    void *v;

    table_done(&w->before);
    w->before = w->seen;
    w->seen = TABLE_INIT;
    assert_int_equal(promtext_parse(page, PROMTEXT_004, on_sample, NULL, w, NULL), 0);
    while (table_next(&w->before, &i, NULL, &v)) /* gone from the page */
        tsdb_append(w->scraped, v, w->now, tsdb_stale());
}

/* --- comparing --- */

struct comparing {
    const struct world *w;
    struct tsdb *other;
    size_t n;
};

static void compare(void *arg, struct series *s)
{
    struct comparing *c = arg;

    struct label *l = mem_array(series_n_labels(s), sizeof(*l));
    struct str name = series_label(s, "__name__");
    struct series *other;
    int64_t t, t2;
    double v, v2;

    if (!str_starts(name, STR("vllm:")) || !series_at(s, c->w->now, INTERVAL_MS, &t, &v) ||
        tsdb_is_stale(v)) {
        free(l);
        return;
    }
    for (size_t i = 0; i < series_n_labels(s); i++)
        l[i] = *series_nth_label(s, i);
    other = tsdb_series(c->other, l, series_n_labels(s));
    if (!series_at(other, c->w->now, INTERVAL_MS, &t2, &v2) || memcmp(&v, &v2, sizeof(v)) != 0) {
        printf("%.*s:", STR_ARG(name));
        for (size_t i = 0; i < series_n_labels(s); i++)
            printf(" %.*s=%.*s", STR_ARG(l[i].name), STR_ARG(l[i].value));
        printf(" is %.17g\n", v);
        fail_msg("not so in the other store");
    }
    tsdb_release(other);
    free(l);
    c->n++;
}

static size_t hold_against(const struct world *w, struct tsdb *db, struct tsdb *other)
{
    struct comparing c = {.w = w, .other = other};

    tsdb_select(db, NULL, 0, compare, &c);
    return c.n;
}

/* --- the property --- */

static const char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

static void run(uint64_t seed)
{
    struct world w = {.now = START_MS};
    struct agent_config config;
    struct agent_job job = {.name = STR("j"), .scheme = STR("http")};
    struct agent_target target = {.address = STR("localhost:8080")};
    struct buf problems = BUF_INIT, text = BUF_INIT, request = BUF_INIT;
    struct loop *loop = loop_new_sim(START_MS);
    struct otlp *otlp;
    struct page *page;
    size_t compared = 0;

    rng_seed(&w.rng, seed);
    w.scraped = tsdb_new(&(struct tsdb_options){0});
    w.pushed = tsdb_new(&(struct tsdb_options){0});
    otlp = otlp_new(&(struct otlp_options){.loop = loop, .db = w.pushed});
    config_read(STR_NONE, no_env, &config, &problems, NULL);
    page = page_new(&config, &job, &target);
    for (int i = 0; i < 40; i++) {
        struct page_scrape at = {w.now, 0.01};
        struct otlp_outcome out;
        struct err err = ERR_INIT;
        size_t n;

        write_page(&w, &text);
        scrape(&w, buf_str(&text));
        assert_int_equal(page_take(page, buf_str(&text), PROMTEXT_004, &at, &err), 0);
        buf_clear(&request);
        page_write(page, &request);
        assert_int_equal(otlp_receive(otlp, buf_str(&request), &out, &err), 0);
        if (out.rejected)
            printf("%s\n", out.message);
        assert_int_equal(out.rejected, 0);
        n = hold_against(&w, w.scraped, w.pushed);
        assert_int_equal(hold_against(&w, w.pushed, w.scraped), n);
        compared += n;
        w.now += INTERVAL_MS;
        loop_run_for(loop, INTERVAL_MS);
    }
    assert_true(compared > 1000);
    page_free(page);
    config_done(&config);
    buf_done(&problems);
    buf_done(&text);
    buf_done(&request);
    table_done(&w.seen);
    table_done(&w.before);
    otlp_free(otlp);
    tsdb_free(w.scraped);
    tsdb_free(w.pushed);
    loop_free(loop);
}

static void pushed_and_scraped_pages_are_one(void **state)
{
    uint64_t seed = test_seed();

    (void)state;
    for (int i = 0; i < 20; i++) {
        printf("seed %llu\n", (unsigned long long)(seed + (uint64_t)i));
        run(seed + (uint64_t)i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pushed_and_scraped_pages_are_one)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
