/* SPDX-License-Identifier: Apache-2.0
 *
 * Bodies in gzip and zstd: round trips, and what must not be read. */
#include <stdio.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "base/rand.h"
#include "codec/compress.h"

static void every_size_comes_back(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, 7);
    for (int c = COMPRESSION_NONE; c <= COMPRESSION_ZSTD; c++) {
        for (size_t n = 0; n < 300000; n = n * 3 / 2 + 1) {
            AUTO(buf_done) struct buf in = BUF_INIT;
            AUTO(buf_done) struct buf packed = BUF_INIT;
            AUTO(buf_done) struct buf out = {.max = n ? n : 1}; /* exactly the bound */
            struct err err = ERR_INIT;

            for (size_t i = 0; i < n; i++)
                buf_add_char(&in, (char)rng_below(&rng, 1 + n % 250));
            assert_int_equal(compress_body((enum compression)c, buf_str(&in), &packed, &err), 0);
            if (decompress_body((enum compression)c, buf_str(&packed), &out, &err) < 0)
                fail_msg("%zu bytes of %s: %s", n, compression_name((enum compression)c), err.msg);
            assert_true(str_eq(buf_str(&in), buf_str(&out)));
        }
    }
}

static void one_byte_over_the_bound_is_refused(void **state)
{
    AUTO(buf_done) struct buf zeros = BUF_INIT;

    (void)state;
    for (int i = 0; i < 200000; i++)
        buf_add_char(&zeros, '\0');
    for (int c = COMPRESSION_NONE; c <= COMPRESSION_ZSTD; c++) {
        AUTO(buf_done) struct buf packed = BUF_INIT;
        AUTO(buf_done) struct buf out = {.max = zeros.n - 1};
        struct err err = ERR_INIT;

        compress_body((enum compression)c, buf_str(&zeros), &packed, NULL);
        assert_int_equal(decompress_body((enum compression)c, buf_str(&packed), &out, &err),
                         ERR_LIMIT);
        assert_non_null(strstr(err.msg, "199999 bytes"));
        assert_true(out.n <= out.max);
    }
}

static void cut_and_foreign_bytes_are_refused(void **state)
{
    (void)state;
    for (int c = COMPRESSION_GZIP; c <= COMPRESSION_ZSTD; c++) {
        AUTO(buf_done) struct buf packed = BUF_INIT;
        AUTO(buf_done) struct buf out = BUF_INIT;
        struct err err = ERR_INIT;

        compress_body((enum compression)c, STR("some text, some text"), &packed, NULL);
        for (size_t n = 0; n < packed.n; n++)
            assert_int_equal(decompress_body((enum compression)c, str_n(packed.p, n), &out, &err),
                             ERR_BAD_INPUT);
        buf_add_cstr(&packed, "rubbish behind");
        assert_int_equal(decompress_body((enum compression)c, buf_str(&packed), &out, &err),
                         ERR_BAD_INPUT);
        assert_int_equal(decompress_body((enum compression)c, STR("plain text"), &out, &err),
                         ERR_BAD_INPUT);
    }
}

static void several_members_are_one_body(void **state)
{
    (void)state;
    for (int c = COMPRESSION_GZIP; c <= COMPRESSION_ZSTD; c++) {
        AUTO(buf_done) struct buf packed = BUF_INIT;
        AUTO(buf_done) struct buf out = BUF_INIT;

        compress_body((enum compression)c, STR("one "), &packed, NULL);
        compress_body((enum compression)c, STR(""), &packed, NULL);
        compress_body((enum compression)c, STR("two"), &packed, NULL);
        assert_int_equal(decompress_body((enum compression)c, buf_str(&packed), &out, NULL), 0);
        assert_string_equal(buf_cstr(&out), "one two");
    }
}

static void names_are_known_without_case(void **state)
{
    enum compression c;

    (void)state;
    assert_true(compression_named(STR("GZip"), &c) && c == COMPRESSION_GZIP);
    assert_true(compression_named(STR("x-gzip"), &c) && c == COMPRESSION_GZIP);
    assert_true(compression_named(STR("zstd"), &c) && c == COMPRESSION_ZSTD);
    assert_true(compression_named(STR("identity"), &c) && c == COMPRESSION_NONE);
    assert_true(compression_named(STR(""), &c) && c == COMPRESSION_NONE);
    assert_false(compression_named(STR("deflate"), &c));
    assert_false(compression_named(STR("gzip, zstd"), &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_comes_back),
        cmocka_unit_test(one_byte_over_the_bound_is_refused),
        cmocka_unit_test(cut_and_foreign_bytes_are_refused),
        cmocka_unit_test(several_members_are_one_body),
        cmocka_unit_test(names_are_known_without_case),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
