/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "../cmocka_all.h"

#include "base/rand.h"
#include "codec/base64.h"

static void known_texts_are_those_of_rfc_4648(void **state)
{
    static const char *const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"},
                             *const coded[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                               "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    struct buf b = BUF_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        buf_clear(&b);
        base64_encode(&b, str_of(plain[i]));
        assert_true(str_is(buf_str(&b), coded[i]));
    }
    buf_clear(&b);
    base64url_encode(&b, str_n("\xfb\xff", 2));
    assert_string_equal(buf_cstr(&b), "-_8");
    buf_done(&b);
}

static void any_bytes_come_back(void **state)
{
    uint64_t seed = test_seed();
    struct buf coded = BUF_INIT, back = BUF_INIT;
    struct rng rng;

    (void)state;
    rng_seed(&rng, seed);
    for (int n = 0; n < 2000; n++) {
        char bytes[64];
        size_t len = rng_below(&rng, sizeof(bytes));

        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)rng_u64(&rng);
        buf_clear(&coded);
        buf_clear(&back);
        if (n & 1)
            base64_encode(&coded, str_n(bytes, len));
        else
            base64url_encode(&coded, str_n(bytes, len));
        assert_true(base64_decode(&back, buf_str(&coded)));
        assert_true(str_eq(buf_str(&back), str_n(bytes, len)));
    }
    buf_done(&coded);
    buf_done(&back);
}

static void what_is_no_base64_is_refused_and_leaves_the_buffer(void **state)
{
    static const char *const bad[] = {"Z", "Zg=", "Zg===", "Z===", "Zm 9", "Zg==Zg", "%%", "Zm9v="};
    struct buf b = BUF_INIT;

    (void)state;
    buf_add_cstr(&b, "kept");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (base64_decode(&b, str_of(bad[i])))
            fail_msg("'%s' was taken", bad[i]);
        assert_string_equal(buf_cstr(&b), "kept");
        assert_int_equal(b.n, 4);
    }
    assert_true(base64_decode(&b, STR("Zm9v\nYmFy\n")));
    assert_string_equal(buf_cstr(&b), "keptfoobar");
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_texts_are_those_of_rfc_4648),
        cmocka_unit_test(any_bytes_come_back),
        cmocka_unit_test(what_is_no_base64_is_refused_and_leaves_the_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
