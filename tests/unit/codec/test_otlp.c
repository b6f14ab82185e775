/* SPDX-License-Identifier: Apache-2.0
 *
 * The samples of tests/data/otlp (all invented; EXPECTED.tsv says what a strict receiver answers),
 * read as JSON and as protobuf. */
#include <math.h>
#include <stdio.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "base/rand.h"
#include "codec/compress.h"
#include "codec/otlp.h"
#include "codec/otlp_json.h"
#include "codec/protobuf.h"
#include "codec/protobuf_write.h"

static struct str load(const char *name, struct buf *b)
{
    char path[300], part[65536];
    size_t n;
    FILE *f;

    snprintf(path, sizeof(path), FB_TEST_DATA "/otlp/%s", name);
    f = fopen(path, "re");
    assert_non_null(f);
    while ((n = fread(part, 1, sizeof(part), f)) > 0)
        buf_add(b, part, n);
    fclose(f);
    return b->p ? buf_str(b) : STR("");
}

/* A file of either encoding as a checked request in protobuf. */
static int request_of(const char *name, struct buf *ret, struct err *err)
{
    struct buf file = BUF_INIT;
    struct str text = load(name, &file);
    int r = 0;

    if (str_ends(str_of(name), STR(".json")))
        r = otlp_from_json(text, ret, err);
    else
        buf_add_str(ret, text);
    if (r == 0)
        r = otlp_check(buf_str(ret), err);
    buf_done(&file);
    return r;
}

struct seen {
    size_t good, bad;
    const char *fault; /* the last one */
    struct buf text;   /* the points, written out */
};

static void write_numbers(struct buf *out, const uint64_t *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(out, " %llu", (unsigned long long)v[i]);
}

static void write_attributes(struct buf *out, struct otlp_attributes a)
{
    struct buf text = BUF_INIT;
    struct str key;

    buf_add_char(out, '{');
    while (otlp_attribute(&a, &key, &text))
        buf_printf(out, "%.*s=%s,", STR_ARG(key), buf_cstr(&text));
    buf_add_char(out, '}');
    buf_done(&text);
}

static void on_point(void *arg, const struct otlp_point *p)
{
    struct seen *s = arg;
    const char *fault = otlp_fault(p);
    struct buf *b = &s->text;

    if (fault) {
        s->fault = fault;
        s->bad++;
        return;
    }
    s->good++;
    write_attributes(b, p->resource);
    buf_printf(b, "%.*s", STR_ARG(p->name));
    write_attributes(b, p->attributes);
    buf_printf(b, " kind %d temporality %d mono %d start %llu time %llu absent %d", p->kind,
               p->temporality, p->is_monotonic, (unsigned long long)p->start_ns,
               (unsigned long long)p->time_ns, p->is_absent);
    if (p->has_value)
        buf_printf(b, " value %.17g int %d", p->value, p->is_int);
    if (p->kind > OTLP_SUM) {
        buf_printf(b, " count %llu sum %d %.17g counts", (unsigned long long)p->count, p->has_sum,
                   p->sum);
        write_numbers(b, p->counts, p->n_counts);
        buf_add_cstr(b, " bounds");
        for (size_t i = 0; i < p->n_bounds; i++)
            buf_printf(b, " %.17g", p->bounds[i]);
        if (p->kind == OTLP_SUMMARY)
            for (size_t i = 0; i < p->n_bounds; i++)
                buf_printf(b, " %.17g", p->values[i]);
        buf_printf(b, " scale %d zero %llu %.17g positive %d:", p->scale,
                   (unsigned long long)p->zero_count, p->zero_threshold, p->positive.offset);
        write_numbers(b, p->positive.counts, p->positive.n);
        buf_printf(b, " negative %d:", p->negative.offset);
        write_numbers(b, p->negative.counts, p->negative.n);
    }
    buf_add_char(b, '\n');
}

static void seen_done(struct seen *s)
{
    buf_done(&s->text);
}

static void every_sample_file_is_answered_as_a_strict_receiver_does(void **state)
{
    static const struct {
        const char *file;
        int code; /* 0, or of the refusal */
        size_t good, bad;
    } cases[] = {
        {"bad_01_truncated.json", ERR_BAD_INPUT, 0, 0},
        {"bad_02_trailing_garbage.json", ERR_BAD_INPUT, 0, 0},
        {"bad_03_not_an_object.json", ERR_BAD_INPUT, 0, 0},
        {"bad_04_snake_case.json", 0, 0, 0},
        {"bad_05_enum_string.json", ERR_BAD_INPUT, 0, 0},
        {"bad_06_trace_id_base64.json", ERR_BAD_INPUT, 0, 0},
        {"bad_07_int_overflow.json", ERR_BAD_INPUT, 0, 0},
        {"bad_08_int_fraction.json", ERR_BAD_INPUT, 0, 0},
        {"bad_09_wrong_json_type.json", ERR_BAD_INPUT, 0, 0},
        {"bad_10_no_value.json", 0, 1, 1},
        {"bad_11_time_zero.json", 0, 1, 1},
        {"bad_12_bucket_mismatch.json", 0, 1, 1},
        {"bad_13_bounds_not_increasing.json", 0, 1, 1},
        {"bad_14_count_mismatch.json", 0, 1, 1},
        {"bad_15_temporality_unspecified.json", 0, 1, 1},
        {"bad_16_empty_metric.json", 0, 1, 0},
        {"bad_17_empty_name.json", 0, 1, 1},
        {"bad_18_duplicate_attribute.json", 0, 1, 0},
        {"bad_19_invalid_utf8.json", ERR_BAD_INPUT, 0, 0},
        {"bad_20_deep_nesting.json", ERR_BAD_INPUT, 0, 0},
        {"empty_object.json", 0, 0, 0},
        {"empty_request.pb", 0, 0, 0},
        {"good_min.pb", 0, 1, 0},
        {"bad_31_truncated.pb", ERR_BAD_INPUT, 0, 0},
        {"bad_32_wrong_wire_type.pb", ERR_BAD_INPUT, 0, 0},
        {"bad_33_length_overflow.pb", ERR_BAD_INPUT, 0, 0},
        {"bad_34_varint_too_long.pb", ERR_BAD_INPUT, 0, 0},
        {"bad_35_group.pb", ERR_BAD_INPUT, 0, 0},
        {"bad_36_field_zero.pb", ERR_BAD_INPUT, 0, 0},
        {"bad_37_invalid_utf8.pb", ERR_BAD_INPUT, 0, 0},
        {"bad_38_deep_nesting.pb", ERR_BAD_INPUT, 0, 0},
        {"good_unknown_fields.pb", 0, 1, 0},
        {"good_split_oneof.pb", 0, 1, 0},
        {"good_packed_mixed.pb", 0, 1, 0},
        {"all_point_kinds.json", 0, 15, 0},
        {"all_point_kinds.pb", 0, 15, 0},
        {"json_quirks.json", 0, 11, 0},
        {"vllm_page1.otlp.json", 0, 53, 0},
        {"vllm_page1.otlp.pb", 0, 53, 0},
        {"vllm_page1.from-text.otlp.json", 0, 78, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b = BUF_INIT;
        struct seen s = {0};
        struct err err = ERR_INIT;
        int r = request_of(cases[i].file, &b, &err);

        printf("%s: %d %s\n", cases[i].file, r, err.msg);
        assert_int_equal(r, cases[i].code);
        if (r == 0)
            otlp_walk(buf_str(&b), on_point, &s);
        assert_int_equal(s.good, cases[i].good);
        assert_int_equal(s.bad, cases[i].bad);
        seen_done(&s);
        buf_done(&b);
    }
}

static void json_and_protobuf_say_the_same(void **state)
{
    static const char *const pairs[][2] = {
        {"all_point_kinds.json", "all_point_kinds.pb"},
        {"vllm_page1.otlp.json", "vllm_page1.otlp.pb"},
        {"vllm_page1.filtered.otlp.json", "vllm_page1.filtered.otlp.pb"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct seen s[2] = {{0}, {0}};

        for (int k = 0; k < 2; k++) {
            struct buf b = BUF_INIT;

            assert_int_equal(request_of(pairs[i][k], &b, NULL), 0);
            otlp_walk(buf_str(&b), on_point, &s[k]);
            buf_done(&b);
        }
        assert_true(s[0].text.n > 0);
        assert_string_equal(buf_cstr(&s[0].text), buf_cstr(&s[1].text));
        seen_done(&s[0]);
        seen_done(&s[1]);
    }
}

static void attributes_and_numbers_are_read_as_sent(void **state)
{
    struct buf b = BUF_INIT;
    struct seen s = {0};

    (void)state;
    assert_int_equal(request_of("all_point_kinds.pb", &b, NULL), 0);
    otlp_walk(buf_str(&b), on_point, &s);
    assert_non_null(strstr(buf_cstr(&s.text),
                           "gauge.double{engine=0,n=-5,ok=true,r=0.5,raw=AP8Q,arr=[\"a\",1,null],"
                           "kv={\"x\":\"y\"},empty=,} kind 5"));
    assert_non_null(strstr(buf_cstr(&s.text), "value -42 int 1"));
    assert_non_null(strstr(buf_cstr(&s.text), "value -1.5 int 0"));
    assert_non_null(strstr(buf_cstr(&s.text), "scale 1 zero 2 0.001"));
    assert_non_null(strstr(buf_cstr(&s.text), "positive -2: 1 0 4 negative 3: 5"));
    seen_done(&s);
    buf_done(&b);
}

/* What comes around the points may come after them, and a point's attributes in pieces. */
static void the_order_on_the_wire_does_not_matter(void **state)
{
    struct buf kv1 = BUF_INIT, kv2 = BUF_INIT, point = BUF_INIT, sum = BUF_INIT, metric = BUF_INIT,
               scope = BUF_INIT, resource = BUF_INIT, rm = BUF_INIT, request = BUF_INIT;
    struct seen s = {0};

    (void)state;
    buf_add_str(&kv1, STR("\x0a\x01"
                          "a\x12\x03\x0a\x01"
                          "x"));
    buf_add_str(&kv2, STR("\x0a\x01"
                          "b\x12\x03\x0a\x01"
                          "y"));
    pb_put_bytes(&point, 7, buf_str(&kv1));
    pb_put_double(&point, 3, pb_double(1700000000000000000));
    pb_put_bytes(&point, 7, buf_str(&kv2));
    pb_put_double(&point, 6, pb_double(7));
    pb_put_bytes(&sum, 1, buf_str(&point));
    buf_add_str(&sum, STR("\x10\x02\x18\x01"));
    pb_put_bytes(&metric, 7, buf_str(&sum));
    pb_put_bytes(&metric, 1, STR("late"));
    pb_put_bytes(&scope, 2, buf_str(&metric));
    pb_put_bytes(&rm, 2, buf_str(&scope));
    pb_put_bytes(&resource, 1, buf_str(&kv1));
    pb_put_bytes(&rm, 1, buf_str(&resource)); /* in two pieces, which count as one */
    buf_clear(&resource);
    pb_put_bytes(&resource, 1, buf_str(&kv2));
    pb_put_bytes(&rm, 1, buf_str(&resource));
    pb_put_bytes(&request, 1, buf_str(&rm));
    assert_int_equal(otlp_check(buf_str(&request), NULL), 0);
    otlp_walk(buf_str(&request), on_point, &s);
    assert_string_equal(buf_cstr(&s.text),
                        "{a=x,b=y,}late{a=x,b=y,} kind 7 temporality 2 mono 1 start 0 time "
                        "1700000000000000000 absent 0 value 7 int 1\n");
    seen_done(&s);
    for (size_t i = 0; i < 9; i++)
        buf_done((struct buf *[]){&kv1, &kv2, &point, &sum, &metric, &scope, &resource, &rm,
                                  &request}[i]);
}

static void every_cut_is_refused_or_read_without_harm(void **state)
{
    static const char *const files[] = {"all_point_kinds.pb", "all_point_kinds.json"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct buf file = BUF_INIT;
        struct str whole = str_trim(load(files[i], &file));

        for (size_t n = 0; n < whole.n; n++) {
            struct buf cut = BUF_INIT, out = BUF_INIT;
            struct seen s = {0};

            buf_add(&cut, whole.p, n);
            if (i == 1)
                assert_int_equal(otlp_from_json(cut.p ? buf_str(&cut) : STR(""), &out, NULL),
                                 ERR_BAD_INPUT);
            else if (otlp_check(buf_str(&cut), NULL) == 0)
                otlp_walk(buf_str(&cut), on_point, &s);
            seen_done(&s);
            buf_done(&cut);
            buf_done(&out);
        }
        buf_done(&file);
    }
}

static void damaged_requests_are_refused_or_read_without_harm(void **state)
{
    uint64_t seed = test_seed();
    struct buf file = BUF_INIT;
    struct str whole = load("all_point_kinds.pb", &file);
    struct rng r;

    (void)state;
    rng_seed(&r, seed);
    for (int i = 0; i < 20000; i++) {
        struct buf b = BUF_INIT;
        struct seen s = {0};

        buf_add_str(&b, whole);
        for (uint64_t n = 1 + rng_below(&r, 4); n > 0; n--)
            b.p[rng_below(&r, b.n)] = (char)rng_u64(&r);
        if (otlp_check(buf_str(&b), NULL) == 0)
            otlp_walk(buf_str(&b), on_point, &s);
        seen_done(&s);
        buf_done(&b);
    }
    buf_done(&file);
}

static void deep_and_inflating_bodies_are_refused_in_bounded_memory(void **state)
{
    struct buf out = BUF_INIT_MAX(1 << 20), bomb = BUF_INIT, json = BUF_INIT;
    struct err err = ERR_INIT;

    (void)state;
    buf_add_cstr(&json,
                 "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"k\",\"value\":");
    for (int i = 0; i < 20000; i++)
        buf_add_cstr(&json, "{\"arrayValue\":{\"values\":[                    ");
    assert_true(json.n > 900000);
    assert_int_equal(otlp_from_json(buf_str(&json), &out, &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.msg, "nested too deep"));
    load("bad_39_gzip_bomb.pb.gz", &bomb);
    buf_clear(&out);
    assert_int_equal(decompress_body(COMPRESSION_GZIP, buf_str(&bomb), &out, &err), ERR_LIMIT);
    buf_done(&out);
    buf_done(&bomb);
    buf_done(&json);
}

static void bounds_are_written_as_prometheus_writes_them(void **state)
{
    static const struct {
        double v;
        const char *text;
    } cases[] = {
        {1, "1.0"},           {0, "0.0"},         {0.005, "0.005"},          {2.5, "2.5"},
        {100000, "100000.0"}, {1000000, "1e+06"}, {1048576, "1.048576e+06"}, {0.0001, "0.0001"},
        {0.00001, "1e-05"},   {-1, "-1.0"},       {INFINITY, "+Inf"},        {7680, "7680.0"},
        {0.1, "0.1"},         {1e300, "1e+300"},  {123456.5, "123456.5"}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char out[OTLP_BOUND_MAX];

        assert_string_equal(otlp_bound_text(cases[i].v, out), cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_file_is_answered_as_a_strict_receiver_does),
        cmocka_unit_test(json_and_protobuf_say_the_same),
        cmocka_unit_test(attributes_and_numbers_are_read_as_sent),
        cmocka_unit_test(the_order_on_the_wire_does_not_matter),
        cmocka_unit_test(every_cut_is_refused_or_read_without_harm),
        cmocka_unit_test(damaged_requests_are_refused_or_read_without_harm),
        cmocka_unit_test(deep_and_inflating_bodies_are_refused_in_bounded_memory),
        cmocka_unit_test(bounds_are_written_as_prometheus_writes_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
