/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/rand.h"
#include "kube/patch.h"
#include "kube/selector.h"

static json_t *parse(const char *text)
{
    json_t *o = NULL;

    assert_int_equal(json_parse(str_of(text), &o, NULL), 0);
    return o;
}

struct row {
    const char *target, *patch, *want; /* want NULL: refused */
};

static void try_rows(const struct row *rows, size_t n,
                     int (*patch)(const json_t *, const json_t *, json_t **, struct err *))
{
    int bad = 0;

    for (size_t i = 0; i < n; i++) {
        AUTO_JSON json_t *target = parse(rows[i].target), *p = parse(rows[i].patch), *got = NULL;
        AUTO_JSON json_t *want = rows[i].want ? parse(rows[i].want) : NULL;
        struct err err = ERR_INIT;
        int r = patch(target, p, &got, &err);
        struct buf text = BUF_INIT;

        if ((r == 0) != (want != NULL) || (want && !json_equal(got, want))) {
            json_write(&text, got);
            print_error("row %zu: got %s %s\n", i, buf_cstr(&text), err.msg);
            bad++;
        }
        buf_done(&text);
    }
    assert_int_equal(bad, 0);
}

static void strategic_merge_goes_by_merge_key_and_directive(void **state)
{
#define POD(list) "{\"spec\":{\"containers\":" list "}}"
    static const struct row rows[] = {
        {POD("[{\"name\":\"a\",\"image\":\"x\"},{\"name\":\"b\"}]"),
         POD("[{\"name\":\"a\",\"image\":\"y\"}]"),
         POD("[{\"name\":\"a\",\"image\":\"y\"},{\"name\":\"b\"}]")},
        {POD("[{\"name\":\"a\"},{\"name\":\"b\"}]"),
         POD("[{\"name\":\"a\",\"$patch\":\"delete\"}]"), POD("[{\"name\":\"b\"}]")},
        {POD("[{\"name\":\"a\"}]"), POD("[{\"name\":\"c\"},{\"$patch\":\"replace\"}]"),
         POD("[{\"name\":\"c\"}]")},
        {"{\"a\":{\"x\":1,\"y\":2}}", "{\"a\":{\"y\":null,\"z\":3}}", "{\"a\":{\"x\":1,\"z\":3}}"},
        {"{\"a\":{\"x\":1}}", "{\"a\":{\"$patch\":\"replace\",\"z\":3}}", "{\"a\":{\"z\":3}}"},
        {"{\"metadata\":{\"finalizers\":[\"a\",\"b\"]}}",
         "{\"metadata\":{\"$deleteFromPrimitiveList/finalizers\":[\"a\"]}}",
         "{\"metadata\":{\"finalizers\":[\"b\"]}}"},
    };

    (void)state;
    try_rows(rows, ARRAY_LEN(rows), patch_strategic);
}

static void json_patch_is_rfc_6902(void **state)
{
    static const struct row rows[] = {
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\",\"value\":2}]", "{\"a\":1,\"b\":2}"},
        {"{\"a\":[1,3]}", "[{\"op\":\"add\",\"path\":\"/a/1\",\"value\":2}]", "{\"a\":[1,2,3]}"},
        {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":2}]", "{\"a\":[1,2]}"},
        {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/2\",\"value\":2}]", NULL},
        {"{\"a/b\":1,\"m~n\":2}", "[{\"op\":\"remove\",\"path\":\"/a~1b\"}]", "{\"m~n\":2}"},
        {"{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"/b\"}]", NULL},
        {"{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":null}]", "{\"a\":null}"},
        {"{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"/b\",\"value\":1}]", NULL},
        {"{\"a\":1}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/b\"}]", "{\"b\":1}"},
        {"{\"a\":1}", "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b\"}]", "{\"a\":1,\"b\":1}"},
        {"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":1}]", "{\"a\":1}"},
        {"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":2}]", NULL},
    };

    (void)state;
    try_rows(rows, ARRAY_LEN(rows), patch_json);
}

static json_t *random_tree(struct rng *r, int depth)
{
    uint64_t what = rng_below(r, depth > 0 ? 5 : 3);
    json_t *o;

    if (what < 2)
        return json_integer((json_int_t)rng_below(r, 3));
    if (what == 2)
        return json_fmt("%c", (int)('a' + rng_below(r, 3)));
    o = json_object();
    for (uint64_t i = rng_below(r, 4); i > 0; i--) {
        char key[2] = {(char)('a' + rng_below(r, 4)), '\0'};

        json_object_set_new(o, key, random_tree(r, depth - 1));
    }
    return o;
}

static void a_merge_diff_turns_the_one_into_the_other(void **state)
{
    struct rng r;
    uint64_t seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : 1;

    (void)state;
    rng_seed(&r, seed);
    for (int i = 0; i < 2000; i++) {
        AUTO_JSON json_t *a = json_object(), *b = json_object(), *diff = NULL, *got = NULL;

        json_object_set_new(a, "r", random_tree(&r, 4));
        json_object_set_new(b, "r", random_tree(&r, 4));
        diff = json_merge_diff(a, b);
        got = json_merge_patch(a, diff);
        if (!json_equal(got, b))
            fail_msg("round %d, SEED=%llu", i, (unsigned long long)seed);
    }
}

static void selectors_match_as_kubernetes_says(void **state)
{
    static const struct {
        const char *text;
        int matches; /* {app: web, tier: a}; -1: refused */
    } rows[] = {
        {"", 1},
        {"app=web", 1},
        {"app==web", 1},
        {"app!=web", 0},
        {"none!=x", 1},
        {"app", 1},
        {"!app", 0},
        {"!none", 1},
        {"app in (x, web)", 1},
        {"app notin (x)", 1},
        {"none notin (x)", 1},
        {"none in (x)", 0},
        {"app=web,tier=b", 0},
        {"app=web, tier=a", 1},
        {"app in (x", -1},
        {"=x", -1},
        {"app=web,", -1},
    };
    AUTO_JSON json_t *labels = parse("{\"app\":\"web\",\"tier\":\"a\"}");
    int bad = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct selector *s = NULL;
        int r = selector_parse(str_of(rows[i].text), &s, NULL);
        int got = r < 0 ? -1 : selector_matches_labels(s, labels);

        if (got != rows[i].matches) {
            print_error("'%s': wanted %d, got %d\n", rows[i].text, rows[i].matches, got);
            bad++;
        }
        selector_free(s);
    }
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strategic_merge_goes_by_merge_key_and_directive),
        cmocka_unit_test(json_patch_is_rfc_6902),
        cmocka_unit_test(a_merge_diff_turns_the_one_into_the_other),
        cmocka_unit_test(selectors_match_as_kubernetes_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
