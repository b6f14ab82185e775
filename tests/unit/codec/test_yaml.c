/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "base/mem.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_read_as_kubernetes_reads_them),
        cmocka_unit_test(empty_documents_of_a_stream_are_left_out),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(aliases_cannot_multiply_without_end),
        cmocka_unit_test(an_error_says_line_and_column),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
