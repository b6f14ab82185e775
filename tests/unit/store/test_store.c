/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../cmocka_all.h"

#include "base/log.h"
#include "base/mem.h"
#include "store/store.h"

#define WALL 1767225600000

/* One store on a simulated loop, in memory; `said` is what came back, one word a write. */
struct fixture {
    struct loop *loop;
    struct store *store;
    struct buf said;
};

/* Namespaced objects need theirs. */
static void add_namespace(struct store *s)
{
    AUTO_JSON json_t *ns = json_pack("{s:{s:s}}", "metadata", "name", "default");

    store_submit(s,
                 &(struct store_request){
                     .verb = CLUSTER_CREATE, .kind = kind_of(KIND_NAMESPACE), .tree = ns},
                 NULL, NULL);
}

static int open_it(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    struct err err = ERR_INIT;

    log_set_level(LOG_LEVEL_ERROR);
    f->loop = loop_new_sim(WALL);
    if (store_open(&(struct store_options){.loop = f->loop, .seed = 1}, &f->store, &err) < 0)
        return -1;
    add_namespace(f->store);
    *state = f;
    return 0;
}

static int close_it(void **state)
{
    struct fixture *f = *state;

    store_close(f->store);
    loop_free(f->loop);
    buf_done(&f->said);
    free(f);
    return 0;
}

static void on_done(void *arg, const struct store_result *r)
{
    struct fixture *f = arg;

    buf_printf(&f->said, "%d ", r->http);
}

static json_t *map(const char *name, const char *value)
{
    return json_pack("{s:s,s:s,s:{s:s,s:s},s:{s:s}}", "apiVersion", "v1", "kind", "ConfigMap",
                     "metadata", "name", name, "namespace", "default", "data", "v", value);
}

static void submit(struct fixture *f, struct store_request r, json_t *tree)
{
    r.kind = kind_of(KIND_CONFIGMAP);
    r.ns = STR("default");
    r.tree = tree;
    store_submit(f->store, &r, on_done, f);
    json_decref(tree);
}

static void create(struct fixture *f, const char *name, const char *value)
{
    submit(f, (struct store_request){.verb = CLUSTER_CREATE}, map(name, value));
}

static void update(struct fixture *f, const char *name, const char *value, const char *rv)
{
    json_t *tree = map(name, value);

    if (rv)
        json_put(tree, "metadata.resourceVersion", json_string(rv));
    submit(f, (struct store_request){.verb = CLUSTER_UPDATE, .name = str_of(name)}, tree);
}

static const struct object *get(struct fixture *f, const char *name)
{
    return store_get(f->store, KIND_CONFIGMAP, STR("default"), str_of(name));
}

static void said_is(struct fixture *f, const char *expected)
{
    loop_run_for(f->loop, 100);
    assert_string_equal(buf_cstr(&f->said), expected);
    buf_clear(&f->said);
}

static void a_write_is_seen_only_after_its_answer(void **state)
{
    struct fixture *f = *state;

    create(f, "a", "1");
    assert_null(get(f, "a"));
    said_is(f, "201 ");
    assert_non_null(get(f, "a"));
}

static void preconditions_are_held_against_what_is_queued(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE char *rv = NULL;
    AUTO_JSON json_t *tree = NULL;

    create(f, "a", "1");
    create(f, "a", "2"); /* the first is not committed yet: still a conflict */
    said_is(f, "201 409 ");
    tree = object_tree(get(f, "a"));
    rv = mem_strdup(json_text(tree, "metadata.resourceVersion", ""));
    update(f, "a", "2", rv);
    update(f, "a", "3", rv); /* the version was true when it was sent */
    said_is(f, "200 409 ");
    update(f, "a", "4", NULL);
    said_is(f, "200 ");
    json_decref(tree);
    tree = object_tree(get(f, "a"));
    assert_string_equal(json_text(tree, "data.v", ""), "4");
}

static void what_changes_nothing_is_no_new_version(void **state)
{
    struct fixture *f = *state;
    uint64_t before;

    create(f, "a", "1");
    said_is(f, "201 ");
    before = store_revision(f->store);
    update(f, "a", "1", NULL);
    said_is(f, "200 ");
    assert_true(store_revision(f->store) == before);
}

static void a_dry_run_answers_and_stores_nothing(void **state)
{
    struct fixture *f = *state;

    submit(f, (struct store_request){.verb = CLUSTER_CREATE, .dry_run = true}, map("a", "1"));
    said_is(f, "201 ");
    assert_null(get(f, "a"));
}

/* --- a status alone --- */

static const struct object *hpa(struct fixture *f)
{
    return store_get(f->store, KIND_HPA, STR("default"), STR("a"));
}

static void create_hpa(struct fixture *f)
{
    AUTO_JSON json_t *tree = json_pack(
        "{s:s,s:s,s:{s:s,s:s},s:{s:{s:s,s:s},s:i}}", "apiVersion", "autoscaling/v2", "kind",
        "HorizontalPodAutoscaler", "metadata", "name", "a", "namespace", "default", "spec",
        "scaleTargetRef", "kind", "Deployment", "name", "web", "maxReplicas", 3);

    store_submit(
        f->store,
        &(struct store_request){
            .verb = CLUSTER_CREATE, .kind = kind_of(KIND_HPA), .ns = STR("default"), .tree = tree},
        on_done, f);
}

static void put_status(struct fixture *f, const char *text, struct store_request r)
{
    json_t *tree = NULL;

    assert_int_equal(json_parse(str_of(text), &tree, NULL), 0);
    r.verb = CLUSTER_UPDATE;
    r.kind = kind_of(KIND_HPA);
    r.ns = STR("default");
    r.name = STR("a");
    r.subresource = "status";
    r.tree = tree;
    store_submit(f->store, &r, on_done, f);
    json_decref(tree);
}

static void status_is(struct fixture *f, const char *expected)
{
    AUTO_FREE char *text = str_dup(hpa(f)->status);

    assert_string_equal(text, expected);
}

static void a_status_is_replaced_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    AUTO_JSON json_t *was = NULL, *now = NULL;

    create_hpa(f);
    said_is(f, "201 ");
    was = object_tree(hpa(f));
    put_status(
        f,
        "{\"metadata\":{\"name\":\"a\",\"labels\":{\"x\":\"y\"}},\"spec\":{\"maxReplicas\":9},"
        "\"status\":{\"currentReplicas\":1,\"desiredReplicas\":2}}",
        (struct store_request){0});
    said_is(f, "200 ");
    status_is(f, "{\"currentReplicas\":1,\"desiredReplicas\":2}");
    now = object_tree(hpa(f));
    assert_true(hpa(f)->rv == store_revision(f->store));
    assert_true(hpa(f)->generation == json_int(was, "metadata.generation", 0));
    json_object_del(now, "status");
    json_object_del(json_object_get(now, "metadata"), "resourceVersion");
    json_object_del(json_object_get(was, "metadata"), "resourceVersion");
    assert_true(json_equal(now, was));
}

static void a_status_has_the_preconditions_of_an_update(void **state)
{
    struct fixture *f = *state;
    uint64_t before;

    put_status(f, "{\"status\":{}}", (struct store_request){0});
    said_is(f, "404 ");
    create_hpa(f);
    put_status(f, "{\"status\":{\"currentReplicas\":1}}",
               (struct store_request){0}); /* queued on it */
    said_is(f, "201 200 ");
    before = store_revision(f->store);
    put_status(f, "{\"metadata\":{\"resourceVersion\":\"7\"},\"status\":{}}",
               (struct store_request){0});
    put_status(f, "{\"metadata\":{\"name\":\"b\"},\"status\":{}}", (struct store_request){0});
    put_status(f, "{\"kind\":\"Pod\",\"status\":{}}", (struct store_request){0});
    put_status(f, "[]", (struct store_request){0});
    said_is(f, "409 400 400 400 ");
    put_status(f, "{\"status\":{\"currentReplicas\":2}}", (struct store_request){.dry_run = true});
    said_is(f, "200 ");
    status_is(f, "{\"currentReplicas\":1}");
    assert_true(store_revision(f->store) == before);
}

/* It would make every write to the object invalid. */
static void a_status_has_the_types_of_its_kind(void **state)
{
    static const char *const odd[] = {
        "{\"status\":\"text\"}", "{\"status\":{\"conditions\":\"text\"}}",
        "{\"status\":{\"conditions\":[1]}}", "{\"status\":{\"currentReplicas\":\"1\"}}"};
    struct fixture *f = *state;

    create_hpa(f);
    said_is(f, "201 ");
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        AUTO_JSON json_t *patch = NULL;

        put_status(f, odd[i], (struct store_request){0});
        said_is(f, "422 ");
        json_parse(str_of(odd[i]), &patch, NULL);
        store_submit(f->store,
                     &(struct store_request){.verb = CLUSTER_MERGE_PATCH,
                                             .kind = kind_of(KIND_HPA),
                                             .ns = STR("default"),
                                             .name = STR("a"),
                                             .subresource = "status",
                                             .tree = patch},
                     on_done, f);
        said_is(f, "422 ");
    }
    assert_int_equal(hpa(f)->status.n, 0);
}

static void the_same_status_is_no_new_version_in_whatever_order(void **state)
{
    struct fixture *f = *state;
    uint64_t before;

    create_hpa(f);
    put_status(f, "{\"status\":{\"currentReplicas\":1,\"desiredReplicas\":2}}",
               (struct store_request){0});
    said_is(f, "201 200 ");
    before = store_revision(f->store);
    put_status(f, "{\"status\":{\"desiredReplicas\":2,\"currentReplicas\":1}}",
               (struct store_request){0});
    said_is(f, "200 ");
    assert_true(store_revision(f->store) == before);
    put_status(f, "{\"status\":{\"desiredReplicas\":1,\"currentReplicas\":2}}",
               (struct store_request){0});
    said_is(f, "200 ");
    assert_true(store_revision(f->store) > before);
    status_is(f, "{\"desiredReplicas\":1,\"currentReplicas\":2}");
}

static void a_delete_with_another_uid_is_a_conflict(void **state)
{
    struct fixture *f = *state;

    create(f, "a", "1");
    said_is(f, "201 ");
    submit(f,
           (struct store_request){
               .verb = CLUSTER_DELETE, .name = STR("a"), .uid = STR("nope"), .grace_s = -1},
           NULL);
    said_is(f, "409 ");
    submit(f, (struct store_request){.verb = CLUSTER_DELETE, .name = STR("a"), .grace_s = -1},
           NULL);
    said_is(f, "200 ");
    submit(f, (struct store_request){.verb = CLUSTER_DELETE, .name = STR("a"), .grace_s = -1},
           NULL);
    said_is(f, "404 ");
}

static void a_finalizer_keeps_the_object_until_it_is_taken_away(void **state)
{
    struct fixture *f = *state;
    json_t *tree = map("a", "1");
    AUTO_JSON json_t *patch = json_pack("{s:{s:n}}", "metadata", "finalizers");

    json_put(tree, "metadata.finalizers", json_pack("[s]", "example.com/x"));
    submit(f, (struct store_request){.verb = CLUSTER_CREATE}, tree);
    submit(f, (struct store_request){.verb = CLUSTER_DELETE, .name = STR("a"), .grace_s = -1},
           NULL);
    said_is(f, "201 200 ");
    assert_non_null(get(f, "a"));
    assert_true(get(f, "a")->deleting_ms > 0);
    submit(f, (struct store_request){.verb = CLUSTER_MERGE_PATCH, .name = STR("a")},
           json_incref(patch));
    said_is(f, "200 ");
    assert_null(get(f, "a"));
}

static void on_watch(void *arg, const struct store_event *e)
{
    static const char *const names[] = {"ADDED", "MODIFIED", "DELETED"};
    struct fixture *f = arg;

    buf_printf(&f->said, "%s:%.*s ", names[e->event], STR_ARG(e->now->name));
}

static void a_watch_sees_every_change_once_and_in_order_and_may_be_replayed(void **state)
{
    struct fixture *f = *state;
    uint64_t from;

    create(f, "a", "1");
    said_is(f, "201 ");
    from = store_revision(f->store);
    store_subscribe(f->store, KIND_CONFIGMAP, on_watch, f);
    create(f, "b", "1");
    update(f, "a", "2", NULL);
    submit(f, (struct store_request){.verb = CLUSTER_DELETE, .name = STR("b"), .grace_s = -1},
           NULL);
    loop_run_for(f->loop, 100);
    assert_non_null(strstr(buf_cstr(&f->said), "ADDED:b"));
    assert_non_null(strstr(buf_cstr(&f->said), "MODIFIED:a"));
    assert_non_null(strstr(buf_cstr(&f->said), "DELETED:b"));
    assert_true(strstr(buf_cstr(&f->said), "ADDED:b") < strstr(buf_cstr(&f->said), "MODIFIED:a"));
    buf_clear(&f->said);
    store_unsubscribe(f->store, KIND_CONFIGMAP, on_watch, f);
    assert_int_equal(store_replay(f->store, KIND_CONFIGMAP, from, on_watch, f), 0);
    assert_string_equal(buf_cstr(&f->said), "ADDED:b MODIFIED:a DELETED:b ");
    buf_clear(&f->said);
}

static void history_is_compacted_and_says_gone(void **state)
{
    struct fixture *f = *state;
    uint64_t from;

    create(f, "a", "1");
    said_is(f, "201 ");
    from = store_revision(f->store);
    for (int i = 0; i < 40; i++) { /* past the five minutes that are kept */
        char v[16];

        snprintf(v, sizeof(v), "%d", i + 2);
        update(f, "a", v, NULL);
        loop_run_for(f->loop, 20000);
    }
    buf_clear(&f->said);
    assert_int_equal(store_replay(f->store, KIND_CONFIGMAP, from, on_watch, f), ERR_GONE);
    assert_int_equal(store_replay(f->store, KIND_CONFIGMAP, store_revision(f->store), on_watch, f),
                     0);
    buf_clear(&f->said);
}

static void history_grows_to_its_bound_and_loses_nothing(void **state)
{
    struct fixture *f = *state;
    static const size_t spans[] = {1, 63, 64, 65, 1000, 9999, 10000};
    uint64_t newest;

    create(f, "a", "0");
    said_is(f, "201 ");
    for (int i = 1; i <= 10500; i++) {
        char v[16];

        snprintf(v, sizeof(v), "%d", i);
        update(f, "a", v, NULL);
        loop_run_for(f->loop, 1);
        if (i == 100) { /* still growing */
            buf_clear(&f->said);
            assert_int_equal(
                store_replay(f->store, KIND_CONFIGMAP, store_revision(f->store) - 100, on_watch, f),
                0);
            assert_int_equal(f->said.n, 100 * strlen("MODIFIED:a "));
        }
    }
    newest = store_revision(f->store);
    for (size_t i = 0; i < ARRAY_LEN(spans); i++) {
        buf_clear(&f->said);
        assert_int_equal(store_replay(f->store, KIND_CONFIGMAP, newest - spans[i], on_watch, f), 0);
        assert_int_equal(f->said.n, spans[i] * strlen("MODIFIED:a "));
    }
    assert_int_equal(store_replay(f->store, KIND_CONFIGMAP, newest - 10001, on_watch, f), ERR_GONE);
    buf_clear(&f->said);
}

static void history_has_a_bound_in_bytes(void **state)
{
    struct fixture *f = *state;
    uint64_t from;
    char *v = mem_alloc(100001);

    memset(v, 'x', 100000);
    v[100000] = '\0';
    create(f, "a", "1");
    said_is(f, "201 ");
    from = store_revision(f->store);
    for (int i = 0; i < 60; i++) { /* 6 MB within a second, of which 4 MiB are kept */
        v[i] = 'y';
        update(f, "a", v, NULL);
        loop_run_for(f->loop, 10);
    }
    free(v);
    assert_int_equal(store_replay(f->store, KIND_CONFIGMAP, from, on_watch, f), ERR_GONE);
    /* the newest are there, as many as fit */
    for (uint64_t n = 0; n < 60; n++) {
        buf_clear(&f->said);
        assert_int_equal(
            store_replay(f->store, KIND_CONFIGMAP, store_revision(f->store) - n, on_watch, f),
            n <= 41 ? 0 : ERR_GONE);
    }
    buf_clear(&f->said);
}

static void one_seed_gives_one_uid(void **state)
{
    struct fixture *f = *state, *other;
    void *again = NULL;

    create(f, "a", "1");
    said_is(f, "201 ");
    assert_int_equal(open_it(&again), 0);
    other = again;
    create(other, "a", "1");
    said_is(other, "201 ");
    assert_true(str_eq(get(f, "a")->uid, get(other, "a")->uid));
    close_it(&again);
}

/* --- on disk --- */

struct disk {
    struct loop *loop;
    int answers;
    int last;
};

static void on_disk_done(void *arg, const struct store_result *r)
{
    struct disk *d = arg;

    d->last = r->http;
    if (--d->answers == 0)
        loop_stop(d->loop);
}

static void what_was_answered_is_there_after_opening_again(void **state)
{
    char dir[] = "/tmp/flyball-store-XXXXXX";
    struct err err = ERR_INIT;
    AUTO_FREE char *rm = NULL;

    (void)state;
    assert_non_null(mkdtemp(dir));
    rm = mem_printf("rm -rf %s", dir);
    for (int round = 0; round < 3; round++) {
        struct disk d = {.loop = loop_new(), .answers = 50};
        struct store *s = NULL, *second = NULL;

        if (store_open(&(struct store_options){.loop = d.loop, .dir = dir}, &s, &err) < 0)
            fail_msg("%s", err.msg);
        assert_int_equal(
            store_open(&(struct store_options){.loop = d.loop, .dir = dir}, &second, &err),
            ERR_EXISTS);
        assert_non_null(strstr(err.msg, "in use by process"));
        if (round == 0)
            add_namespace(s);
        for (int i = 0; i < round * 50; i++) { /* what the rounds before had written */
            char name[20];

            snprintf(name, sizeof(name), "m%d", i);
            assert_non_null(store_get(s, KIND_CONFIGMAP, STR("default"), str_of(name)));
        }
        for (int i = 0; i < 50; i++) {
            char name[20];

            snprintf(name, sizeof(name), "m%d", round * 50 + i);
            AUTO_JSON json_t *tree = map(name, "1");

            store_submit(s,
                         &(struct store_request){.verb = CLUSTER_CREATE,
                                                 .kind = kind_of(KIND_CONFIGMAP),
                                                 .ns = STR("default"),
                                                 .tree = tree},
                         on_disk_done, &d);
        }
        loop_run(d.loop);
        assert_int_equal(d.last, 201);
        store_close(s);
        loop_free(d.loop);
    }
    assert_int_equal(system(rm), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, open_it, close_it)
        T(a_write_is_seen_only_after_its_answer),
        T(preconditions_are_held_against_what_is_queued),
        T(what_changes_nothing_is_no_new_version),
        T(a_dry_run_answers_and_stores_nothing),
        T(a_status_is_replaced_and_nothing_else),
        T(a_status_has_the_preconditions_of_an_update),
        T(a_status_has_the_types_of_its_kind),
        T(the_same_status_is_no_new_version_in_whatever_order),
        T(a_delete_with_another_uid_is_a_conflict),
        T(a_finalizer_keeps_the_object_until_it_is_taken_away),
        T(a_watch_sees_every_change_once_and_in_order_and_may_be_replayed),
        T(history_is_compacted_and_says_gone),
        T(history_grows_to_its_bound_and_loses_nothing),
        T(history_has_a_bound_in_bytes),
        T(one_seed_gives_one_uid),
        cmocka_unit_test(what_was_answered_is_there_after_opening_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
