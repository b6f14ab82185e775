/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of KServe's admission verdicts (tests/data/golden/90-validation), case by case: the
 * layer that refuses shows in the HTTP code, the schema's field in the path. */
#include <stdio.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "codec/yaml.h"
#include "kube/validate.h"

static json_t *load(const char *path)
{
    static char text[1 << 16];
    FILE *f = fopen(path, "rb");
    struct err err = ERR_INIT;
    json_t *doc = NULL;
    size_t n;

    assert_non_null(f);
    n = fread(text, 1, sizeof(text), f);
    fclose(f);
    if (yaml_parse(str_n(text, n), &doc, &err) < 0)
        fail_msg("%s: %s", path, err.msg);
    return doc;
}

static void merge_into(json_t *o, const char *path, const json_t *patch)
{
    if (patch)
        json_put(o, path, json_merge_patch(json_at(o, path), patch));
}

static json_t *changed(const json_t *base, const json_t *by)
{
    json_t *o = json_deep_copy(base), *v;
    size_t i;

    merge_into(o, "metadata.annotations", json_object_get(by, "annotations"));
    merge_into(o, "metadata", json_object_get(by, "metadata"));
    merge_into(o, "spec.predictor", json_object_get(by, "predictor"));
    merge_into(o, "spec", json_object_get(by, "spec"));
    merge_into(o, "status", json_object_get(by, "status"));
    if (json_object_get(by, "metadataName"))
        json_put(o, "metadata.name", json_string(json_text(by, "metadataName", "")));
    json_array_foreach (json_object_get(by, "removeAnnotations"), i, v)
        json_object_del(json_at(o, "metadata.annotations"), json_string_value(v));
    return o;
}

/* The text a refusal gives, frame and fields together; and what the case wants of it. */
static bool verdict_is(const json_t *c, int r, const struct denial *d)
{
    bool deny = strcmp(json_text(c, "verdict", ""), "deny") == 0;
    const char *layer = json_text(c, "layer", "webhook");

    if (!deny || r == 0)
        return deny == (r != 0);
    if (strcmp(layer, "webhook") == 0)
        return d->http == 403 && d->message.n > 0;
    return d->http == 422 && d->fields.n > 0 &&
           strstr(d->fields.items[0].field,
                  json_string_value(json_array_get(json_object_get(c, "says"), 0)));
}

/* Our own cases give the words themselves, KServe's only what they convey. */
static bool says_all(const json_t *c, const struct denial *d)
{
    const json_t *v;
    size_t i;

    json_array_foreach (json_object_get(c, "says"), i, v)
        if (!strstr(buf_cstr(&d->message), json_string_value(v)))
            return false;
    return true;
}

static int check(const json_t *c, json_t *obj, const json_t *was, bool is_ours)
{
    struct denial d = {0};
    int r = admit(NULL, kind_of(KIND_INFERENCESERVICE), was ? ADMIT_UPDATE : ADMIT_CREATE, obj, was,
                  FIELDS_STRICT, &d);
    int bad = 0;

    const char *warns = json_text(c, "warns", NULL);

    if (!verdict_is(c, r, &d) || (warns && !strstr(buf_cstr(&d.warnings), warns)) ||
        (is_ours && r != 0 && !says_all(c, &d))) {
        print_error("%s: wanted %s %s, got %d http %d: %s %s; warnings '%s'\n",
                    json_text(c, "name", ""), json_text(c, "layer", ""),
                    json_text(c, "verdict", ""), r, d.http, buf_cstr(&d.message),
                    d.fields.n ? d.fields.items[0].field : "", buf_cstr(&d.warnings));
        bad = 1;
    }
    denial_done(&d);
    return bad;
}

static void every_create_case_of_the_table_gets_its_verdict(void **state)
{
    AUTO_JSON json_t *doc = load(FB_TEST_DATA "/golden/90-validation/cases.yaml");
    const json_t *c;
    size_t i;
    int bad = 0;

    (void)state;
    json_array_foreach (json_object_get(doc, "cases"), i, c) {
        AUTO_JSON json_t *o = changed(json_object_get(doc, "base"), c);

        bad += check(c, o, NULL, false);
    }
    assert_int_equal(bad, 0);
    assert_true(json_array_size(json_object_get(doc, "cases")) >= 45);
}

static void our_own_cases_are_refused_or_warned_about_in_their_words(void **state)
{
    AUTO_JSON json_t *doc = load(FB_TEST_DATA "/golden/90-validation/more.yaml");
    const json_t *c;
    size_t i;
    int bad = 0;

    (void)state;
    json_array_foreach (json_object_get(doc, "cases"), i, c) {
        AUTO_JSON json_t *o = changed(json_object_get(doc, "base"), c);

        bad += check(c, o, NULL, true);
    }
    assert_int_equal(bad, 0);
    assert_true(i >= 40);
}

static void every_update_case_of_the_table_gets_its_verdict(void **state)
{
    AUTO_JSON json_t *doc = load(FB_TEST_DATA "/golden/90-validation/cases.yaml");
    const json_t *c;
    size_t i;
    int bad = 0;

    (void)state;
    json_array_foreach (json_object_get(doc, "updates"), i, c) {
        AUTO_JSON json_t *was = changed(json_object_get(doc, "base"), json_object_get(c, "old"));
        AUTO_JSON json_t *now = changed(was, json_object_get(c, "new"));

        bad += check(c, now, was, false);
    }
    assert_int_equal(bad, 0);
    assert_int_equal(i, 5);
}

static void annotations_may_have_exactly_262144_bytes(void **state)
{
    (void)state;
    for (size_t over = 0; over < 2; over++) {
        struct denial d = {0};
        AUTO_FREE char *big = mem_zalloc(262144 + 1);
        AUTO_JSON json_t *o = NULL;

        memset(big, 'x', 262143 + over); /* and one byte of key */
        o = json_pack("{s:s,s:s,s:{s:s,s:s,s:{s:s}}}", "apiVersion", "v1", "kind", "ConfigMap",
                      "metadata", "name", "c", "namespace", "default", "annotations", "k", big);
        assert_int_equal(
            admit(NULL, kind_of(KIND_CONFIGMAP), ADMIT_CREATE, o, NULL, FIELDS_STRICT, &d),
            over ? ERR_INVALID : 0);
        if (over) {
            assert_string_equal(d.fields.items[0].field, "metadata.annotations");
            assert_string_equal(d.fields.items[0].message,
                                "Too long: must have at most 262144 bytes");
        }
        denial_done(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_create_case_of_the_table_gets_its_verdict),
        cmocka_unit_test(our_own_cases_are_refused_or_warned_about_in_their_words),
        cmocka_unit_test(every_update_case_of_the_table_gets_its_verdict),
        cmocka_unit_test(annotations_may_have_exactly_262144_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
