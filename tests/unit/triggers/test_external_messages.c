/* SPDX-License-Identifier: Apache-2.0
 *
 * The messages of externalscaler.proto: against bytes that protobuf's own compiler makes, cut at
 * every byte, and there and back. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../cmocka_all.h"

#include "triggers/scaler_messages.h"

/* name: "web", namespace: "default", scalerMetadata {a: "b", metricQuery: "sum(m)"} */
static const char ref_bytes[] = "\x0a\x03web\x12\x07"
                                "default\x1a\x06\x0a\x01"
                                "a\x12\x01"
                                "b\x1a\x15\x0a\x0bmetricQuery\x12\x06sum(m)";

static void a_reference_is_read_as_its_writer_meant_it(void **state)
{
    struct scaler_ref r;
    struct buf out = BUF_INIT;

    (void)state;
    assert_int_equal(scaler_ref_decode(STR(ref_bytes), &r, NULL), 0);
    assert_true(str_is(r.name, "web") && str_is(r.ns, "default"));
    assert_int_equal(json_object_size(r.metadata), 2);
    assert_string_equal(json_text(r.metadata, "metricQuery", ""), "sum(m)");
    scaler_ref_encode(&out, &r);
    assert_true(str_eq(buf_str(&out), STR(ref_bytes)));
    buf_done(&out);
    scaler_ref_done(&r);
    assert_int_equal(scaler_ref_decode(STR(""), &r, NULL), 0);
    assert_true(r.name.n == 0 && json_object_size(r.metadata) == 0);
    scaler_ref_done(&r);
}

static void a_reference_cut_at_any_byte_is_an_error_or_a_shorter_one(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof(ref_bytes) - 1; n++) {
        char *copy = malloc(n ? n : 1); /* exactly n bytes: the sanitizer sees a read behind it */
        struct scaler_ref r;
        struct err err = ERR_INIT;

        memcpy(copy, ref_bytes, n);
        if (scaler_ref_decode(str_n(copy, n), &r, &err) < 0)
            assert_int_equal(err.code, ERR_BAD_INPUT);
        else
            assert_true(json_object_size(r.metadata) < 2);
        scaler_ref_done(&r);
        free(copy);
    }
}

static void what_is_no_text_is_refused_and_what_is_unknown_is_skipped(void **state)
{
    static const struct {
        struct str bytes;
        bool ok;
    } cases[] = {{STR("\x0a\x02\xff\xfe"), false}, /* not UTF-8 */
                 {STR("\x08\x01"), false},         /* a number for a name */
                 {STR("\x1a\x05\x0a\x03"           /* a key with a zero byte */
                      "a\0b"),
                  false},
                 {STR("\x00\x01"), false},            /* field 0 */
                 {STR("\x0b\x0c"), false},            /* groups */
                 {STR("\x7a\x03xyz\x0a\x01w"), true}, /* field 15 */
                 {STR("\x79"
                      "12345678"
                      "\x0a\x01w"),
                  true},                             /* field 15, fixed64 */
                 {STR("\x0a\x01v\x0a\x01w"), true}}; /* twice: the last counts */

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scaler_ref r;

        assert_int_equal(scaler_ref_decode(cases[i].bytes, &r, NULL) == 0, cases[i].ok);
        if (cases[i].ok)
            assert_true(str_is(r.name, "w"));
        scaler_ref_done(&r);
    }
}

static void both_number_fields_are_written_and_read(void **state)
{
    static const struct {
        double v;
        int64_t whole;
    } cases[] = {{0, 0}, {2, 2}, {2.1, 3}, {-1.5, -1}, {1e30, INT64_MAX}, {-1e30, INT64_MIN}};
    struct arena arena = ARENA_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scaler_number in[] = {scaler_number_of(STR("m"), cases[i].v),
                                     scaler_number_of(STR("n"), 7)},
                             *out;
        struct buf b = BUF_INIT;
        size_t n;

        assert_int_equal(in[0].whole, cases[i].whole);
        scaler_numbers_encode(&b, in, 2);
        assert_int_equal(scaler_numbers_decode(buf_str(&b), &arena, &out, &n, NULL), 0);
        assert_int_equal(n, 2);
        assert_true(str_is(out[0].name, "m") && str_is(out[1].name, "n"));
        assert_true(out[0].real == cases[i].v && out[0].whole == cases[i].whole);
        if (cases[i].v > 0)
            assert_true(scaler_number_value(&out[0]) == cases[i].v);
        buf_done(&b);
    }
    arena_done(&arena);
}

static void the_float_counts_only_above_zero(void **state)
{
    (void)state;
    assert_true(scaler_number_value(&(struct scaler_number){.whole = 3}) == 3);
    assert_true(scaler_number_value(&(struct scaler_number){.whole = 9, .real = 0.5}) == 0.5);
    assert_true(scaler_number_value(&(struct scaler_number){.whole = 4, .real = -2}) == 4);
    assert_true(scaler_number_value(&(struct scaler_number){.whole = 4, .real = (double)NAN}) == 4);
}

static void a_request_carries_its_reference(void **state)
{
    struct scaler_ref r, back;
    struct str metric;
    struct buf b = BUF_INIT;

    (void)state;
    assert_int_equal(scaler_ref_decode(STR(ref_bytes), &r, NULL), 0);
    scaler_request_encode(&b, &r, STR("default-web"));
    assert_int_equal(scaler_request_decode(buf_str(&b), &back, &metric, NULL), 0);
    assert_true(str_is(metric, "default-web") && str_is(back.name, "web"));
    assert_string_equal(json_text(back.metadata, "a", ""), "b");
    scaler_ref_done(&r);
    scaler_ref_done(&back);
    buf_done(&b);
}

static void activity_is_one_byte_or_nothing(void **state)
{
    struct buf b = BUF_INIT;
    bool is_active = true;

    (void)state;
    scaler_active_encode(&b, false);
    assert_int_equal(b.n, 0);
    assert_int_equal(scaler_active_decode(STR(""), &is_active, NULL), 0);
    assert_false(is_active);
    scaler_active_encode(&b, true);
    assert_true(str_eq(buf_str(&b), STR("\x08\x01")));
    assert_int_equal(scaler_active_decode(buf_str(&b), &is_active, NULL), 0);
    assert_true(is_active);
    assert_int_equal(scaler_active_decode(STR("\x0a\x01x"), &is_active, NULL), ERR_BAD_INPUT);
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reference_is_read_as_its_writer_meant_it),
        cmocka_unit_test(a_reference_cut_at_any_byte_is_an_error_or_a_shorter_one),
        cmocka_unit_test(what_is_no_text_is_refused_and_what_is_unknown_is_skipped),
        cmocka_unit_test(both_number_fields_are_written_and_read),
        cmocka_unit_test(the_float_counts_only_above_zero),
        cmocka_unit_test(a_request_carries_its_reference),
        cmocka_unit_test(activity_is_one_byte_or_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
