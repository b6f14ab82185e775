/* SPDX-License-Identifier: Apache-2.0
 *
 * Events as they are stored: event_emit over the real store, in virtual time. */
#include <stdio.h>
#include <stdlib.h>

#include "../cmocka_all.h"

#include "base/log.h"
#include "base/mem.h"
#include "kube/correlator.h"
#include "kube/events.h"
#include "store/store.h"

#define WALL 1767225600000
#define HOUR 3600000

struct fixture {
    struct loop *loop;
    struct store *store;
    struct cluster *c;
};

static void put(struct fixture *f, enum kind_id kind, json_t *tree)
{
    store_submit(
        f->store,
        &(struct store_request){.verb = CLUSTER_CREATE, .kind = kind_of(kind), .tree = tree}, NULL,
        NULL);
    json_decref(tree);
    store_drain(f->store);
}

static int open_it(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    struct err err = ERR_INIT;

    log_set_level(LOG_LEVEL_ERROR);
    f->loop = loop_new_sim(WALL);
    if (store_open(&(struct store_options){.loop = f->loop, .seed = 1}, &f->store, &err) < 0)
        return -1;
    f->c = store_cluster(f->store);
    put(f, KIND_NAMESPACE, json_pack("{s:{s:s}}", "metadata", "name", "default"));
    put(f, KIND_CONFIGMAP,
        json_pack("{s:{s:s,s:s}}", "metadata", "name", "m", "namespace", "default"));
    *state = f;
    return 0;
}

static int close_it(void **state)
{
    struct fixture *f = *state;

    store_close(f->store);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void emit(struct fixture *f, const char *reason, const char *message)
{
    event_emit(f->c, "tester", cluster_get(f->c, KIND_CONFIGMAP, STR("default"), STR("m")),
               EVENT_NORMAL, reason, "%s", message);
}

static void add_line(void *arg, const struct object *o)
{
    AUTO_JSON json_t *t = object_tree(o);

    buf_printf((struct buf *)arg, "%s %lld %s|", json_text(t, "reason", ""),
               (long long)json_int(t, "count", 0), json_text(t, "message", ""));
}

static void count_one(void *arg, const struct object *o)
{
    (void)o;
    ++*(int *)arg;
}

/* "REASON COUNT MESSAGE|" of each, in no order that matters. */
static void events_are(struct fixture *f, const char *expected)
{
    struct buf b = BUF_INIT;

    cluster_each(f->c, KIND_EVENT, STR_NONE, NULL, add_line, &b);
    assert_string_equal(buf_cstr(&b), expected);
    buf_done(&b);
}

static int events(struct fixture *f)
{
    int n = 0;

    cluster_each(f->c, KIND_EVENT, STR_NONE, NULL, count_one, &n);
    return n;
}

static void equal_events_of_one_turn_are_counted(void **state)
{
    struct fixture *f = *state;

    emit(f, "Tried", "again");
    emit(f, "Tried", "again");
    emit(f, "Tried", "again");
    loop_run_for(f->loop, 10);
    events_are(f, "Tried 3 again|");
    emit(f, "Tried", "again");
    loop_run_for(f->loop, 10);
    events_are(f, "Tried 4 again|");
}

static void find_combined(void *arg, const struct object *o)
{
    AUTO_JSON json_t *t = object_tree(o);

    if (str_starts(str_of(json_text(t, "message", "")), STR("(combined")))
        add_line(arg, o);
}

static void combined_is(struct fixture *f, const char *expected)
{
    struct buf b = BUF_INIT;

    cluster_each(f->c, KIND_EVENT, STR_NONE, NULL, find_combined, &b);
    assert_string_equal(buf_cstr(&b), expected);
    buf_done(&b);
}

/* A decision a second for two hours, each with its own value. */
static void a_noisy_metric_makes_ten_events_and_no_more(void **state)
{
    struct fixture *f = *state;
    char text[64];

    for (int i = 1; i <= 7200; i++) {
        snprintf(text, sizeof(text), "value %d", i);
        emit(f, "ScalingDecision", text);
        loop_run_for(f->loop, 1000);
        assert_true(events(f) <= 10);
    }
    /* what is still counted does not expire, the nine did */
    events_are(f, "ScalingDecision 7191 (combined from similar events): value 7200|");
}

static void an_event_expires_an_hour_after_it_was_last_counted(void **state)
{
    struct fixture *f = *state;

    emit(f, "Tried", "again");
    loop_run_for(f->loop, HOUR - 60000);
    emit(f, "Tried", "again");
    loop_run_for(f->loop, HOUR - 60000);
    events_are(f, "Tried 2 again|");
    loop_run_for(f->loop, 180000);
    events_are(f, "");
    emit(f, "Tried", "again");
    loop_run_for(f->loop, 10);
    assert_int_equal(events(f), 1);
}

static void delete_it(void *arg, const struct object *o)
{
    struct fixture *f = arg;

    cluster_write(f->c,
                  &(struct cluster_write){.verb = CLUSTER_DELETE,
                                          .kind = KIND_EVENT,
                                          .ns = o->ns,
                                          .name = o->name,
                                          .grace_s = -1},
                  NULL, NULL);
}

static void an_event_that_somebody_deleted_comes_back_with_its_count(void **state)
{
    struct fixture *f = *state;

    emit(f, "Tried", "again");
    loop_run_for(f->loop, 10);
    cluster_each(f->c, KIND_EVENT, STR_NONE, NULL, delete_it, f);
    loop_run_for(f->loop, 10);
    events_are(f, "");
    emit(f, "Tried", "again");
    loop_run_for(f->loop, 10);
    events_are(f, "Tried 2 again|");
}

static void a_new_run_goes_on_counting(void **state)
{
    struct fixture *f = *state;
    char text[32];

    for (int i = 1; i <= 12; i++) {
        snprintf(text, sizeof(text), "value %d", i);
        emit(f, "Said", text);
    }
    loop_run_for(f->loop, 10);
    combined_is(f, "Said 3 (combined from similar events): value 12|");
    correlator_free(
        f->c->events); /* as after a restart: the objects are there, the memory is not */
    f->c->events = correlator_new();
    for (int i = 1; i <= 12; i++) {
        snprintf(text, sizeof(text), "value %d", i);
        emit(f, "Said", text);
    }
    loop_run_for(f->loop, 10);
    combined_is(f, "Said 6 (combined from similar events): value 12|");
    assert_int_equal(events(f), 10);
}

static void an_object_with_the_longest_name_has_events_too(void **state)
{
    struct fixture *f = *state;
    char name[254];

    memset(name, 'n', 253);
    name[253] = '\0';
    memcpy(name + 231, "a.b--c", 6); /* what an event's own suffix leaves room for ends in "b--" */
    put(f, KIND_CONFIGMAP,
        json_pack("{s:{s:s,s:s}}", "metadata", "name", name, "namespace", "default"));
    event_emit(f->c, "tester", cluster_get(f->c, KIND_CONFIGMAP, STR("default"), str_of(name)),
               EVENT_NORMAL, "Long", "name");
    loop_run_for(f->loop, 10);
    events_are(f, "Long 1 name|");
}

static void long_messages_are_cut_in_whole_characters(void **state)
{
    struct fixture *f = *state;
    struct buf b = BUF_INIT, want = BUF_INIT;

    for (int i = 0; i < 400; i++)
        buf_add(&b, "\xe2\x82\xac", 3);
    emit(f, "Long", buf_cstr(&b));
    loop_run_for(f->loop, 10);
    buf_printf(&want, "Long 1 %.*s|", 341 * 3, buf_cstr(&b));
    events_are(f, buf_cstr(&want));
    buf_done(&b);
    buf_done(&want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, open_it, close_it)
        T(equal_events_of_one_turn_are_counted),
        T(a_noisy_metric_makes_ten_events_and_no_more),
        T(an_event_expires_an_hour_after_it_was_last_counted),
        T(an_event_that_somebody_deleted_comes_back_with_its_count),
        T(a_new_run_goes_on_counting),
        T(an_object_with_the_longest_name_has_events_too),
        T(long_messages_are_cut_in_whole_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
