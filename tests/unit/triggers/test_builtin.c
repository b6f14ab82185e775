/* SPDX-License-Identifier: Apache-2.0
 *
 * A prometheus trigger whose address leads to our own store, or does not any more; and what many of
 * them cost. */
#include <malloc.h>
#include <stdlib.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "triggers/trigger.h"

#define HOST "prometheus.monitoring.svc"

struct fixture {
    struct cluster cluster;
    struct object *service, *endpoints;
    cluster_watch_fn *watches[KIND_COUNT];
    void *watch_args[KIND_COUNT];
    int looked_up;
    struct http_client client;
    int sent;
    struct trigger_world world;
    struct series *s;
};

/* --- a cluster of one Service --- */

static const struct object *get(struct cluster *c, enum kind_id kind, struct str ns,
                                struct str name)
{
    struct fixture *f = (struct fixture *)c;

    f->looked_up++;
    return !str_is(ns, "monitoring") || !str_is(name, "prometheus") ? NULL
           : kind == KIND_SERVICE                                   ? f->service
           : kind == KIND_ENDPOINTS                                 ? f->endpoints
                                                                    : NULL;
}

static void watch(struct cluster *c, enum kind_id kind, cluster_watch_fn *fn, void *arg)
{
    struct fixture *f = (struct fixture *)c;

    assert_null(f->watches[kind]);
    f->watches[kind] = fn;
    f->watch_args[kind] = arg;
}

static void unwatch(struct cluster *c, enum kind_id kind, cluster_watch_fn *fn, void *arg)
{
    struct fixture *f = (struct fixture *)c;

    (void)arg;
    assert_true(f->watches[kind] == fn);
    f->watches[kind] = NULL;
}

static const struct cluster_ops cluster_ops = {.get = get, .watch = watch, .unwatch = unwatch};

static void put(struct fixture *f, struct object **place, const char *kind, json_t *tree)
{
    struct object *was = *place;
    struct err err = ERR_INIT;
    enum kind_id id;

    if (object_new(kind_by_type(STR("v1"), str_of(kind), NULL), tree, place, &err) < 0)
        fail_msg("%s", err.msg);
    json_decref(tree);
    id = (*place)->kind->id;
    if (f->watches[id])
        f->watches[id](f->watch_args[id], was ? CLUSTER_MODIFIED : CLUSTER_ADDED, was, *place);
    object_unref(was);
}

static void lead_to(struct fixture *f, const char *ip)
{
    put(f, &f->endpoints, "Endpoints",
        json_pack("{s:{s:s,s:s},s:[{s:[{s:s}],s:[{s:i}]}]}", "metadata", "name", "prometheus",
                  "namespace", "monitoring", "subsets", "addresses", "ip", ip, "ports", "port",
                  9090));
}

/* --- a client that nobody answers --- */

static struct http_call *send_call(struct http_client *c, const struct http_call_options *o)
{
    struct http_call_head *call = mem_zalloc(sizeof(*call));

    (void)o;
    call->client = c;
    container_of(c, struct fixture, client)->sent++;
    return (struct http_call *)call;
}

static void cancel_call(struct http_call *c)
{
    free(c);
}

static const struct http_client_ops client_ops = {.send = send_call, .cancel = cancel_call};

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    struct label l[] = {{STR("__name__"), STR("load")},
                        {STR("namespace"), STR("default")},
                        {STR("deployment"), STR("web")}};

    f->cluster = (struct cluster){.ops = &cluster_ops, .loop = loop_new_sim(1767268800000)};
    f->client.ops = &client_ops;
    f->world = (struct trigger_world){
        .cluster = &f->cluster, .http = &f->client, .db = tsdb_new(&(struct tsdb_options){0})};
    net_addr_set(&f->world.web, "127.0.0.1", 9090);
    f->world.hub = trigger_hub_new(&f->cluster);
    f->world.samples = sample_hub_new(f->cluster.loop, f->world.db);
    f->s = tsdb_series(f->world.db, l, ARRAY_LEN(l));
    tsdb_append(f->world.db, f->s, loop_wall_ms(f->cluster.loop), 7);
    put(f, &f->service, "Service",
        json_pack("{s:{s:s,s:s},s:{s:[{s:i}]}}", "metadata", "name", "prometheus", "namespace",
                  "monitoring", "spec", "ports", "port", 9090));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tsdb_release(f->s);
    sample_hub_free(f->world.samples);
    trigger_hub_free(f->world.hub);
    for (int k = 0; k < KIND_COUNT; k++)
        assert_null(f->watches[k]);
    object_unref(f->service);
    object_unref(f->endpoints);
    tsdb_free(f->world.db);
    loop_free(f->cluster.loop);
    free(f);
    return 0;
}

static struct trigger *make(struct fixture *f, const char *host)
{
    AUTO_FREE char *address = mem_printf("http://%s:9090", host);
    AUTO_JSON json_t *spec = json_pack("{s:s,s:{s:s,s:s,s:s}}", "type", "prometheus", "metadata",
                                       "serverAddress", address, "query", "load", "threshold", "2");
    struct trigger_options o = {.world = &f->world,
                                .ns = STR("default"),
                                .so_name = STR("web"),
                                .spec = spec,
                                .poll_ms = 1000};
    struct trigger *t = NULL;
    struct err err = ERR_INIT;

    if (trigger_new(&o, &t, &err) < 0)
        fail_msg("%s", err.msg);
    return t;
}

static struct decision_metric look_of(struct fixture *f, struct trigger *t, bool is_set)
{
    struct trigger_target target = {STR("default"), STR("web"), 1, is_set};
    struct decision_metric m;
    char warning[100];

    trigger_value(t, loop_wall_ms(f->cluster.loop), &target, &m, warning, sizeof(warning));
    return m;
}

static struct decision_metric look(struct fixture *f, struct trigger *t)
{
    return look_of(f, t, false);
}

/* --- the tests --- */

static void it_follows_the_name_to_our_store_and_away(void **state)
{
    struct fixture *f = *state;
    struct trigger *t = make(f, HOST);

    assert_false(trigger_is_builtin(t)); /* no endpoint: whoever it is, it is not us */
    assert_true(trigger_is_waiting(t));
    loop_run_for(f->cluster.loop, 1500);
    assert_int_equal(f->sent, 1); /* and is not answered */
    lead_to(f, "127.0.0.1");
    assert_true(trigger_is_builtin(t));
    assert_false(trigger_is_waiting(t));
    assert_true(look(f, t).value == 7);
    loop_run_for(f->cluster.loop, 10000);
    assert_int_equal(f->sent, 1);
    lead_to(f, "10.0.0.9");
    assert_false(trigger_is_builtin(t));
    assert_true(trigger_is_waiting(t));
    trigger_free(t);
    t = make(f, HOST);
    lead_to(f, "127.0.0.1");
    loop_run_for(f->cluster.loop, 10000);
    assert_int_equal(f->sent, 1); /* it was found off before it asked anybody */
    lead_to(f, "10.0.0.9");
    assert_int_equal(look(f, t).state, METRIC_UNKNOWN); /* a look sets it going */
    loop_run_for(f->cluster.loop, 100);
    assert_int_equal(f->sent, 2);
    trigger_free(t);
}

static void it_looks_a_name_up_again_only_when_one_has_changed(void **state)
{
    struct fixture *f = *state;
    struct trigger *t;
    int before;

    lead_to(f, "127.0.0.1");
    t = make(f, HOST);
    assert_true(trigger_is_builtin(t));
    before = f->looked_up;
    for (int i = 0; i < 100; i++)
        assert_true(trigger_is_builtin(t));
    assert_int_equal(f->looked_up, before);
    lead_to(f, "127.0.0.1");
    assert_true(trigger_is_builtin(t));
    assert_true(f->looked_up > before);
    trigger_free(t);
}

static void an_address_of_digits_is_never_looked_up(void **state)
{
    struct fixture *f = *state;
    struct trigger *own = make(f, "127.0.0.1"), *other = make(f, "127.0.0.2");

    assert_true(trigger_is_builtin(own));
    assert_false(trigger_is_builtin(other));
    assert_int_equal(f->looked_up, 0);
    trigger_free(own);
    trigger_free(other);
}

static void a_statefulset_of_the_same_name_is_another_workload(void **state)
{
    struct fixture *f = *state;
    struct label l[] = {{STR("__name__"), STR("load")},
                        {STR("namespace"), STR("default")},
                        {STR("statefulset"), STR("web")}};
    struct series *s = tsdb_series(f->world.db, l, ARRAY_LEN(l));
    struct trigger *t = make(f, "127.0.0.1");

    tsdb_append(f->world.db, s, loop_wall_ms(f->cluster.loop), 3);
    assert_true(look_of(f, t, true).value == 3);
    assert_true(look_of(f, t, false).value == 7);
    trigger_free(t);
    tsdb_release(s);
}

#define MANY 1000

static size_t heap(void)
{
    return mallinfo2().uordblks; /* 0 under the sanitizers */
}

static void many_take_little_memory(void **state)
{
    struct fixture *f = *state;
    struct trigger *all[MANY];
    size_t before, each;

    trigger_free(make(f, "127.0.0.1"));
    before = heap();
    for (int i = 0; i < MANY; i++) {
        all[i] = make(f, "127.0.0.1");
        assert_true(look(f, all[i]).value == 7);
    }
    each = (heap() - before) / MANY;
    print_message("%zu bytes a trigger\n", each);
    assert_true(each < 950);
    for (int i = 0; i < MANY; i++)
        trigger_free(all[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_follows_the_name_to_our_store_and_away, setup, teardown),
        cmocka_unit_test_setup_teardown(it_looks_a_name_up_again_only_when_one_has_changed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_address_of_digits_is_never_looked_up, setup, teardown),
        cmocka_unit_test_setup_teardown(a_statefulset_of_the_same_name_is_another_workload, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(many_take_little_memory, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
