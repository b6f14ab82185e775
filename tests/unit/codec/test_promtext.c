/* SPDX-License-Identifier: Apache-2.0
 *
 * The exposition parser against what Prometheus' own parser made of the same bytes: pages, pages
 * that must fail, and 155 one-line inputs. */
#include "../cmocka_all.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rand.h"
#include "codec/json.h"
#include "codec/promtext.h"

static char *read_file(const char *name, size_t *n)
{
    char path[500];
    struct buf b = BUF_INIT;
    char part[8192];
    size_t got;
    FILE *f;

    snprintf(path, sizeof(path), "%s/otel/%s", FB_TEST_DATA, name);
    f = fopen(path, "re");
    assert_non_null(f);
    while ((got = fread(part, 1, sizeof(part), f)) > 0)
        buf_add(&b, part, got);
    fclose(f);
    return buf_take(&b, n);
}

/* --- what the parser says, as the expected files write it --- */

static void write_number(struct buf *b, double v)
{
    char t[40];
    uint64_t bits;

    memcpy(&bits, &v, sizeof(bits));
    if (isnan(v)) {
        buf_printf(b, "NaN:%016llx", (unsigned long long)bits);
    } else if (isinf(v)) {
        buf_add_cstr(b, v < 0 ? "-Inf" : "+Inf");
    } else {
        for (int p = 1; p <= 17; p++) {
            snprintf(t, sizeof(t), "%.*g", p, v);
            if (strtod(t, NULL) == v)
                break;
        }
        buf_add_cstr(b, t);
    }
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct promtext_label *)a)->name,
                   ((const struct promtext_label *)b)->name);
}

static void write_labels(struct buf *b, struct promtext_label *l, size_t n)
{
    qsort(l, n, sizeof(*l), by_name);
    for (size_t i = 0; i < n; i++)
        buf_printf(b, " [%.*s=%.*s]", STR_ARG(l[i].name), STR_ARG(l[i].value));
}

static bool on_sample(void *arg, const struct promtext_sample *s)
{
    struct promtext_label l[PROMTEXT_LABELS_MAX + 1] = {{STR("__name__"), s->name}};
    struct buf *b = arg;

    memcpy(l + 1, s->labels, s->n_labels * sizeof(*l));
    write_labels(b, l, s->n_labels + 1);
    buf_add_char(b, ' ');
    write_number(b, s->value);
    if (s->has_time)
        buf_printf(b, " t=%lld", (long long)s->t_ms);
    if (s->has_exemplar) {
        memcpy(l, s->exemplar.labels, s->exemplar.n_labels * sizeof(*l));
        buf_add_cstr(b, " exemplar");
        write_labels(b, l, s->exemplar.n_labels);
        buf_add_char(b, ' ');
        write_number(b, s->exemplar.value);
        if (s->exemplar.has_time)
            buf_printf(b, " t=%lld", (long long)s->exemplar.t_ms);
    }
    buf_add_char(b, '\n');
    return true;
}

static bool on_meta(void *arg, const struct promtext_meta *m)
{
    static const char *const what[] = {"type", "help", "unit", "comment"};
    struct str text = m->what == PROMTEXT_TYPE ? str_of(promtext_type_name(m->type)) : m->text;

    buf_printf(arg, "%s %.*s|%.*s\n", what[m->what], STR_ARG(m->name), STR_ARG(text));
    return true;
}

/* The files write numbers as Go does; here only the value counts. */
static void expect_number(struct buf *b, const char *text)
{
    if (strncmp(text, "NaN", 3) == 0)
        buf_add_cstr(b, text);
    else
        write_number(b, strtod(text, NULL));
}

static void expect_pairs(struct buf *b, const json_t *pairs)
{
    size_t i;
    json_t *p;

    json_array_foreach (pairs, i, p)
        buf_printf(b, " [%.*s=%.*s]", STR_ARG(json_strv(json_array_get(p, 0))),
                   STR_ARG(json_strv(json_array_get(p, 1))));
}

/* One line of an expected file; false: it is an error. */
static bool expect_entry(struct buf *b, const json_t *e)
{
    static const char *const what[] = {"type", "help", "unit"};
    const json_t *x = json_at(e, "exemplar");

    if (json_at(e, "error"))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(what); i++) {
        const json_t *v = json_at(e, what[i]);

        if (v)
            buf_printf(b, "%s %.*s|%.*s\n", what[i], STR_ARG(json_strv(json_array_get(v, 0))),
                       STR_ARG(json_strv(json_array_get(v, 1))));
    }
    if (json_at(e, "comment"))
        buf_printf(b, "comment |%s\n", json_text(e, "comment", ""));
    if (!json_at(e, "labels"))
        return true;
    expect_pairs(b, json_at(e, "labels"));
    buf_add_char(b, ' ');
    expect_number(b, json_text(e, "value", ""));
    if (json_at(e, "t_ms"))
        buf_printf(b, " t=%lld", (long long)json_int(e, "t_ms", 0));
    if (x) {
        buf_add_cstr(b, " exemplar");
        expect_pairs(b, json_at(x, "labels"));
        buf_add_char(b, ' ');
        expect_number(b, json_text(x, "value", ""));
        if (json_at(x, "t_ms"))
            buf_printf(b, " t=%lld", (long long)json_int(x, "t_ms", 0));
    }
    buf_add_char(b, '\n');
    return true;
}

/* --- pages --- */

static void pages_read_as_prometheus_reads_them(void **state)
{
    static const char *const files[] = {"odd_legal_004.prom", "odd_utf8_names.prom",
                                        "odd_legal.openmetrics.txt", "vllm_page1.prom",
                                        "vllm_page1.openmetrics.txt"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct buf got = BUF_INIT, want = BUF_INIT;
        struct err err = ERR_INIT;
        char name[100];
        size_t n, n_want;
        struct str lines, line;
        AUTO_FREE char *page = read_file(files[i], &n), *expected = NULL;

        snprintf(name, sizeof(name), "expected/%s.jsonl", files[i]);
        expected = read_file(name, &n_want);
        lines = str_n(expected, n_want);
        while (str_split(&lines, '\n', &line)) {
            AUTO_JSON json_t *e = NULL;

            if (line.n == 0)
                continue;
            assert_int_equal(json_parse(line, &e, NULL), 0);
            assert_true(expect_entry(&want, e));
        }
        assert_int_equal(
            promtext_parse(str_n(page, n),
                           strstr(files[i], "openmetrics") ? PROMTEXT_OPENMETRICS : PROMTEXT_004,
                           on_sample, on_meta, &got, &err),
            0);
        assert_string_equal(buf_cstr(&got), buf_cstr(&want));
        buf_done(&got);
        buf_done(&want);
    }
}

/* 01 to 34 are errors everywhere; of the lax ones these three are errors here. */
static bool must_fail(const char *file)
{
    int number = atoi(file);

    return number < 50 || number == 50 || number == 56 || number == 57;
}

static void malformed_pages_fail_whole(void **state)
{
    char path[500];
    struct dirent *d;
    int n_files = 0;
    DIR *dir;

    (void)state;
    snprintf(path, sizeof(path), "%s/otel/malformed", FB_TEST_DATA);
    dir = opendir(path);
    assert_non_null(dir);
    while ((d = readdir(dir))) {
        struct buf got = BUF_INIT;
        struct err err = ERR_INIT;
        AUTO_FREE char *page = NULL;
        size_t n;
        int rc;

        if (d->d_name[0] < '0' || d->d_name[0] > '9')
            continue;
        n_files++;
        snprintf(path, sizeof(path), "malformed/%s", d->d_name);
        page = read_file(path, &n);
        rc = promtext_parse(str_n(page, n),
                            strstr(d->d_name, "_om_") ? PROMTEXT_OPENMETRICS : PROMTEXT_004,
                            on_sample, on_meta, &got, &err);
        if ((rc < 0) != must_fail(d->d_name))
            fail_msg("%s: %s", d->d_name, rc < 0 ? err.msg : "accepted");
        if (rc < 0) {
            assert_int_equal(rc, ERR_BAD_INPUT);
            assert_true(strncmp(err.msg, "line ", 5) == 0);
        }
        buf_done(&got);
    }
    closedir(dir);
    assert_int_equal(n_files, 52);
}

/* --- vectors --- */

/* Inputs that Prometheus' parser takes and that are errors here, on purpose. */
static bool is_stricter_here(struct str input)
{
    return str_is(input, "  a 1\n") || str_is(input, "\ta\t1\t5\n") ||
           str_is(input, "{\"\xff\"} 1\n") || str_find(input, STR("b=\"1\",b=\"2\"")) >= 0 ||
           str_find(input, STR("__name__=")) >= 0;
}

static struct str vector_input(const json_t *v, struct buf *decoded)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct str s = json_strv(json_at(v, "input_base64"));
    unsigned bits = 0, n = 0;

    if (!s.p)
        return json_strv(json_at(v, "input"));
    for (size_t i = 0; i < s.n && s.p[i] != '='; i++) {
        bits = bits << 6 | (unsigned)(strchr(digits, s.p[i]) - digits);
        n += 6;
        if (n >= 8)
            buf_add_char(decoded, (char)(bits >> (n -= 8)));
    }
    return buf_str(decoded);
}

static void vectors_parse_as_prometheus_does(void **state)
{
    size_t n, count = 0;
    AUTO_FREE char *all = read_file("exposition_vectors.jsonl", &n);
    struct str lines = str_n(all, n), line;

    (void)state;
    while (str_split(&lines, '\n', &line)) {
        struct buf got = BUF_INIT, want = BUF_INIT, decoded = BUF_INIT;
        struct err err = ERR_INIT;
        AUTO_JSON json_t *v = NULL;
        bool ok = true;
        size_t i;
        json_t *e;
        struct str input;
        int rc;

        if (line.n == 0)
            continue;
        count++;
        assert_int_equal(json_parse(line, &v, NULL), 0);
        input = vector_input(v, &decoded);
        json_array_foreach (json_at(v, "entries"), i, e)
            ok = expect_entry(&want, e) && ok;
        ok = ok && !is_stricter_here(input);
        rc = promtext_parse(input,
                            str_starts(str_of(json_text(v, "format", "")), STR("open"))
                                ? PROMTEXT_OPENMETRICS
                                : PROMTEXT_004,
                            on_sample, on_meta, &got, &err);
        if ((rc == 0) != ok)
            fail_msg("%.*s\n%s", STR_ARG(line), rc < 0 ? err.msg : "accepted");
        if (ok)
            assert_string_equal(buf_cstr(&got), buf_cstr(&want));
        buf_done(&got);
        buf_done(&want);
        buf_done(&decoded);
    }
    assert_int_equal(count, 155);
}

/* --- properties --- */

/* Every prefix of a page, and the page with a byte changed, ends in success or an error. */
static void cut_and_changed_pages_do_no_harm(void **state)
{
    static const char *const files[] = {"odd_legal.openmetrics.txt", "odd_legal_004.prom"};
    uint64_t seed;
    struct rng rng;

    (void)state;
    rand_bytes(&seed, sizeof(seed));
    print_message("seed %llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    for (size_t f = 0; f < ARRAY_LEN(files); f++) {
        size_t n;
        AUTO_FREE char *page = read_file(files[f], &n);

        for (size_t i = 0; i < n; i++) {
            AUTO_FREE char *cut = i ? mem_alloc(i) : NULL; /* exact size: ASan sees a read behind */
            enum promtext_format format = f == 0 ? PROMTEXT_OPENMETRICS : PROMTEXT_004;
            int rc;

            if (i)
                memcpy(cut, page, i);
            rc = promtext_parse(str_n(cut, i), format, NULL, NULL, NULL, NULL);
            if (format == PROMTEXT_OPENMETRICS) /* only the whole page ends with # EOF */
                assert_int_equal(rc, ERR_BAD_INPUT);
            if (i)
                cut[rng_below(&rng, i)] = (char)rng_u64(&rng);
            promtext_parse(str_n(cut, i), format, NULL, NULL, NULL, NULL);
        }
    }
}

/* What the quick way reads is what strtod reads. */
static void numbers_equal_strtod(void **state)
{
    uint64_t seed;
    struct rng rng;

    (void)state;
    rand_bytes(&seed, sizeof(seed));
    print_message("seed %llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    for (int i = 0; i < 200000; i++) {
        char line[80];
        struct buf got = BUF_INIT;
        double want = rng_below(&rng, 4)
                          ? (double)(int64_t)rng_u64(&rng) / pow(10, (double)rng_below(&rng, 25))
                          : rng_double(&rng) * pow(10, (double)rng_below(&rng, 600) - 300);
        static const char *const forms[] = {"a %.17g\n", "a %.15g\n", "a %.6f\n", "a %.16e\n",
                                            "a %.3g\n"};
        int n = snprintf(line, sizeof(line), forms[rng_below(&rng, ARRAY_LEN(forms))], want);

        if (n >= (int)sizeof(line))
            continue;
        assert_int_equal(
            promtext_parse(str_n(line, (size_t)n), PROMTEXT_004, on_sample, NULL, &got, NULL), 0);
        {
            struct buf expect = BUF_INIT;

            buf_add_cstr(&expect, " [__name__=a] ");
            write_number(&expect, strtod(line + 2, NULL));
            buf_add_char(&expect, '\n');
            assert_string_equal(buf_cstr(&got), buf_cstr(&expect));
            buf_done(&expect);
        }
        buf_done(&got);
    }
}

static void labels_have_a_limit(void **state)
{
    struct buf b = BUF_INIT;
    struct err err = ERR_INIT;

    (void)state;
    for (int n = PROMTEXT_LABELS_MAX; n <= PROMTEXT_LABELS_MAX + 1; n++) {
        buf_clear(&b);
        buf_add_cstr(&b, "a{");
        for (int i = 0; i < n; i++)
            buf_printf(&b, "l%d=\"\\\\\",", i);
        buf_add_cstr(&b, "} 1\n");
        assert_int_equal(promtext_parse(buf_str(&b), PROMTEXT_004, NULL, NULL, NULL, &err),
                         n > PROMTEXT_LABELS_MAX ? ERR_BAD_INPUT : 0);
    }
    assert_non_null(strstr(err.msg, "more than 64 labels"));
    buf_done(&b);
}

static void content_type_decides(void **state)
{
    enum promtext_format f;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(promtext_format_of(STR("text/plain; version=0.0.4; charset=utf-8"), &f, &err),
                     0);
    assert_int_equal(f, PROMTEXT_004);
    assert_int_equal(
        promtext_format_of(STR("Application/OpenMetrics-Text; version=1.0.0"), &f, &err), 0);
    assert_int_equal(f, PROMTEXT_OPENMETRICS);
    assert_int_equal(promtext_format_of(STR_NONE, &f, &err), ERR_UNSUPPORTED);
    assert_int_equal(promtext_format_of(STR("text/html"), &f, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "'text/html': expected text/plain"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_read_as_prometheus_reads_them),
        cmocka_unit_test(malformed_pages_fail_whole),
        cmocka_unit_test(vectors_parse_as_prometheus_does),
        cmocka_unit_test(cut_and_changed_pages_do_no_harm),
        cmocka_unit_test(numbers_equal_strtod),
        cmocka_unit_test(labels_have_a_limit),
        cmocka_unit_test(content_type_decides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
