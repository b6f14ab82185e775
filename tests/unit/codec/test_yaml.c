/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "base/mem.h"
#include "base/rand.h"
#include "codec/yaml.h"

/* One row: a YAML text and its JSON; NULL: refused. */
static const struct {
    const char *yaml, *json;
} rows[] = {
    {"a: yes\nb: off\nc: True\nd: y", "{\"a\":true,\"b\":false,\"c\":true,\"d\":true}"},
    {"a: \"yes\"\nb: 'no'", "{\"a\":\"yes\",\"b\":\"no\"}"},
    {"a: 0777\nb: 0x1F\nc: 0b11\nd: 0o17", "{\"a\":511,\"b\":31,\"c\":3,\"d\":15}"},
    {"a: 1_000\nb: -3\nc: +4", "{\"a\":1000,\"b\":-3,\"c\":4}"},
    {"a: 1.5\nb: 1e3\nc: .5", "{\"a\":1.5,\"b\":1000,\"c\":0.5}"},
    {"a: ~\nb: null\nc:\nd: Null", "{\"a\":null,\"b\":null,\"c\":null,\"d\":null}"},
    {"a: 2020-01-01\nb: 1.2.3\nc: 500m\nd: 1Gi",
     "{\"a\":\"2020-01-01\",\"b\":\"1.2.3\",\"c\":\"500m\",\"d\":\"1Gi\"}"},
    {"a: &x {k: 1}\nb: *x\nc: {<<: *x, m: 2}",
     "{\"a\":{\"k\":1},\"b\":{\"k\":1},\"c\":{\"m\":2,\"k\":1}}"},
    {"1: a\ntrue: b", "{\"1\":\"a\",\"true\":\"b\"}"},
    {"- |\n  x\n  y\n- >-\n  x\n  y", "[\"x\\ny\\n\",\"x y\"]"},
    {"a: !!str 1", "{\"a\":\"1\"}"},
    {"a: [1, 2", NULL},
    {"a: *nowhere", NULL},
    {"a: b: c", NULL},
    {"\ta: 1", NULL},
};

static void scalars_read_as_kubernetes_reads_them(void **state)
{
    int bad = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *o = NULL;
        struct err err = ERR_INIT;
        struct buf got = BUF_INIT;

        if (yaml_parse(str_of(rows[i].yaml), &o, &err) == 0)
            json_write(&got, o);
        if (strcmp(buf_cstr(&got), rows[i].json ? rows[i].json : "") != 0) {
            print_error("'%s': wanted %s, got %s %s\n", rows[i].yaml,
                        rows[i].json ? rows[i].json : "a refusal", buf_cstr(&got), err.msg);
            bad++;
        }
        buf_done(&got);
        json_decref(o);
    }
    assert_int_equal(bad, 0);
}

static void empty_documents_of_a_stream_are_left_out(void **state)
{
    AUTO_JSON json_t *docs = NULL;

    (void)state;
    assert_int_equal(
        yaml_parse_all(STR("---\n# nothing\n---\na: 1\n---\n---\nb: 2\n"), &docs, NULL), 0);
    assert_int_equal(json_array_size(docs), 2);
}

static int nested(size_t depth)
{
    struct buf text = BUF_INIT;
    json_t *o = NULL;
    int r;

    for (size_t i = 0; i < depth; i++)
        buf_add_char(&text, '[');
    for (size_t i = 0; i < depth; i++)
        buf_add_char(&text, ']');
    r = yaml_parse(buf_str(&text), &o, NULL);
    buf_done(&text);
    json_decref(o);
    return r;
}

static void depth_is_bounded(void **state)
{
    (void)state;
    assert_int_equal(nested(YAML_DEPTH_MAX), 0);
    assert_true(nested(YAML_DEPTH_MAX + 1) < 0);
}

static void aliases_cannot_multiply_without_end(void **state)
{
    struct buf text = BUF_INIT;
    json_t *o = NULL;

    (void)state;
    buf_add_cstr(&text, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 9; i++)
        buf_printf(&text, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i,
                   i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    assert_true(yaml_parse(buf_str(&text), &o, NULL) < 0);
    assert_null(o);
    buf_done(&text);
}

static void an_error_says_line_and_column(void **state)
{
    json_t *o = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(yaml_parse(STR("a: 1\nb: [1, 2\nc: 3\n"), &o, &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.msg, "line "));
}

/* --- writing --- */

static json_t *random_value(struct rng *r, int depth)
{
    static const char *const texts[] = {"",
                                        "yes",
                                        "No",
                                        "null",
                                        "~",
                                        "5s",
                                        "0x1",
                                        "a b",
                                        "a: b",
                                        "-",
                                        "- x",
                                        "#c",
                                        "a #b",
                                        "\"q\"",
                                        "it's",
                                        "&a",
                                        "*a",
                                        "1e3",
                                        "2020-01-01",
                                        "a:",
                                        "line\nbreak",
                                        "tab\t",
                                        "ü",
                                        "{x}",
                                        "resourcedetection/env",
                                        "localhost:8080",
                                        "<<",
                                        "!t",
                                        "%d"};
    json_t *v;

    switch (rng_below(r, depth > 4 ? 4 : 6)) {
    case 0:
        return json_integer((json_int_t)rng_below(r, 2000) - 1000);
    case 1:
        return json_boolean(rng_below(r, 2));
    case 2:
        return rng_below(r, 4) ? json_real((double)rng_below(r, 1000) / 8) : json_null();
    case 3:
        return json_string(texts[rng_below(r, ARRAY_LEN(texts))]);
    case 4:
        v = json_array();
        for (uint64_t n = rng_below(r, 4); n > 0; n--)
            json_array_append_new(v, random_value(r, depth + 1));
        return v;
    default:
        v = json_object();
        for (uint64_t n = rng_below(r, 4); n > 0; n--)
            json_object_set_new(v, texts[rng_below(r, ARRAY_LEN(texts))],
                                random_value(r, depth + 1));
        return v;
    }
}

/* 4.0 reads back as the integer 4: numbers are compared, not their types. */
static bool same(const json_t *a, const json_t *b)
{
    const char *key;
    const json_t *v;
    size_t i;

    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b);
    if (json_typeof(a) != json_typeof(b) || json_object_size(a) != json_object_size(b) ||
        json_array_size(a) != json_array_size(b))
        return false;
    if (!json_is_object(a) && !json_is_array(a))
        return json_equal(a, b);
    json_members (a, key, v)
        if (!json_object_get(b, key) || !same(v, json_object_get(b, key)))
            return false;
    json_array_foreach ((json_t *)a, i, v)
        if (!same(v, json_array_get(b, i)))
            return false;
    return true;
}

static void what_is_written_reads_back(void **state)
{
    struct rng r;
    uint64_t seed;

    (void)state;
    rng_seed_random(&r);
    seed = rng_u64(&r);
    rng_seed(&r, seed);
    for (int i = 0; i < 3000; i++) {
        AUTO_JSON json_t *v = json_pack("[o]", random_value(&r, 0)), *back = NULL;
        struct buf text = BUF_INIT;
        struct err err = ERR_INIT;

        yaml_write(&text, v);
        if (yaml_parse(buf_str(&text), &back, &err) < 0 || !same(v, back))
            fail_msg("seed %llu, round %d: %s\n%s", (unsigned long long)seed, i, err.msg,
                     buf_cstr(&text));
        buf_done(&text);
    }
}

static void configurations_are_written_as_people_write_them(void **state)
{
    AUTO_JSON json_t *v = NULL;
    struct buf text = BUF_INIT;

    (void)state;
    assert_int_equal(
        json_parse(STR("{\"a\":{\"b\":[{\"c\":\"5s\",\"d\":[\"x:1\"]},2],\"e\":{}},\"f\":true}"),
                   &v, NULL),
        0);
    yaml_write(&text, v);
    assert_string_equal(buf_cstr(&text), "a:\n  b:\n    - c: \"5s\"\n      d:\n        - x:1\n"
                                         "    - 2\n  e: {}\nf: true\n");
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_read_as_kubernetes_reads_them),
        cmocka_unit_test(empty_documents_of_a_stream_are_left_out),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(aliases_cannot_multiply_without_end),
        cmocka_unit_test(an_error_says_line_and_column),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(configurations_are_written_as_people_write_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
