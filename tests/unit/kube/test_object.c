/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "base/mem.h"
#include "base/rand.h"
#include "kube/kind.h"
#include "kube/object.h"

static json_t *text_of(struct rng *r)
{
    static const char *const pieces[] = {"a",        "model-7", "\"quoted\"",      "\\", "}", "\n",
                                         "\xc3\xbc", "status",  "resourceVersion", ",",  ":{"};
    struct buf b = BUF_INIT;
    json_t *v;

    for (uint64_t n = rng_below(r, 4); n > 0; n--)
        buf_add_cstr(&b, pieces[rng_below(r, ARRAY_LEN(pieces))]);
    v = json_str_new(buf_str(&b));
    buf_done(&b);
    return v;
}

static json_t *value_of(struct rng *r, int depth)
{
    json_t *v;

    switch (rng_below(r, depth > 0 ? 6 : 4)) {
    case 0:
        return json_integer((json_int_t)rng_below(r, 100000));
    case 1:
        return json_real(rng_double(r));
    case 2:
        return json_null();
    case 3:
        return text_of(r);
    case 4:
        v = json_array();
        for (uint64_t n = rng_below(r, 4); n > 0; n--)
            json_array_append_new(v, value_of(r, depth - 1));
        return v;
    default:
        v = json_object();
        for (uint64_t n = rng_below(r, 4); n > 0; n--)
            json_object_set_new(v, rng_below(r, 2) ? "status" : "resourceVersion",
                                value_of(r, depth - 1));
        return v;
    }
}

static json_t *map_of(struct rng *r)
{
    json_t *v = json_object();
    char key[8];

    for (uint64_t n = rng_below(r, 4); n > 0; n--) {
        rng_name(r, key, 5);
        json_object_set_new(v, key, text_of(r));
    }
    return v;
}

static json_t *metadata_of(struct rng *r)
{
    json_t *meta = json_object(), *owners = json_array();

    if (rng_below(r, 2))
        json_object_set_new(meta, "resourceVersion", json_string("1001"));
    json_object_set_new(meta, "name", json_string("model-7"));
    json_object_set_new(meta, "namespace", json_string("default"));
    json_object_set_new(meta, "uid", json_string("0b5e"));
    json_object_set_new(meta, "labels", map_of(r));
    json_object_set_new(meta, "annotations", map_of(r));
    for (uint64_t n = rng_below(r, 3); n > 0; n--)
        json_array_append_new(owners, json_pack("{s:s,s:s,s:s,s:o,s:b}", "apiVersion", "apps/v1",
                                                "kind", "Deployment", "name", "d", "uid",
                                                text_of(r), "controller", (int)(n == 1)));
    json_object_set_new(meta, "ownerReferences", owners);
    json_object_set_new(meta, "generation", json_integer((json_int_t)rng_below(r, 9)));
    if (!json_object_get(meta, "resourceVersion"))
        json_object_set_new(meta, "resourceVersion", json_string("1002"));
    return meta;
}

/* Members in any order, as users write them. */
static json_t *object_of(struct rng *r)
{
    const char *members[] = {"apiVersion", "kind", "metadata", "spec", "status"};
    json_t *o = json_object();
    size_t n = ARRAY_LEN(members) - rng_below(r, 2);

    for (size_t i = n; i > 1; i--) {
        size_t k = rng_below(r, i);
        const char *was = members[i - 1];

        members[i - 1] = members[k];
        members[k] = was;
    }
    for (size_t i = 0; i < n; i++)
        json_object_set_new(o, members[i],
                            strcmp(members[i], "metadata") == 0 ? metadata_of(r) : value_of(r, 3));
    return o;
}

static void same_texts(const struct object *a, const struct object *b)
{
    assert_true(str_eq(a->json, b->json));
    assert_true(str_eq(a->ns, b->ns) && str_eq(a->name, b->name) && str_eq(a->uid, b->uid));
    assert_true(str_eq(a->status, b->status) && str_eq(a->version, b->version));
    assert_int_equal(a->n_labels, b->n_labels);
    for (size_t i = 0; i < a->n_labels; i++)
        assert_true(str_eq(a->labels[i].key, b->labels[i].key) &&
                    str_eq(a->labels[i].value, b->labels[i].value));
    assert_int_equal(a->n_owners, b->n_owners);
    for (size_t i = 0; i < a->n_owners; i++)
        assert_true(str_eq(a->owners[i].uid, b->owners[i].uid) &&
                    str_eq(a->owners[i].kind, b->owners[i].kind) &&
                    str_eq(a->owners[i].name, b->owners[i].name) &&
                    str_eq(a->owners[i].api_version, b->owners[i].api_version) &&
                    a->owners[i].controller == b->owners[i].controller);
    assert_int_equal(a->rv, b->rv);
    assert_int_equal(a->generation, b->generation);
}

/* The short way to another status gives what encoding the whole object would. */
static void a_status_in_place_is_the_object_written_anew(void **state)
{
    struct rng r;

    (void)state;
    rng_seed(&r, test_seed());
    for (int i = 0; i < 3000; i++) {
        AUTO_JSON json_t *tree = object_of(&r), *status = value_of(&r, 3), *read = NULL;
        struct object *was, *quick, *whole, *back;
        struct buf bytes = BUF_INIT;
        struct err err = ERR_INIT;

        assert_int_equal(object_new(kind_of(KIND_CONFIGMAP), tree, &was, &err), 0);
        json_write(&bytes, status);
        assert_int_equal(object_with_status(was, buf_str(&bytes), 4711, &quick, &err), 0);
        json_object_set(tree, "status", status);
        json_put(tree, "metadata.resourceVersion", json_string("4711"));
        assert_int_equal(object_new(kind_of(KIND_CONFIGMAP), tree, &whole, &err), 0);
        same_texts(quick, whole);
        read = object_status(quick);
        assert_true(json_equal(read, status));
        assert_int_equal(object_is_same_but_status(was, quick), was->status.n > 0);
        assert_true(object_is_same_but_status(quick, whole));
        json_put(tree, rng_below(&r, 2) ? "metadata.name" : "kind", json_string("other"));
        assert_int_equal(object_new(kind_of(KIND_CONFIGMAP), tree, &back, &err), 0);
        assert_false(object_is_same_but_status(quick, back));
        object_unref(was);
        object_unref(quick);
        object_unref(whole);
        object_unref(back);
        buf_done(&bytes);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status_in_place_is_the_object_written_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
