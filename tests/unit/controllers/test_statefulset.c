/* SPDX-License-Identifier: Apache-2.0
 *
 * What a StatefulSet does next: case by case, and as a property over random lives of its pods; and
 * the pods that it makes. */
#include <stdio.h>
#include <stdlib.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "base/rand.h"
#include "codec/yaml.h"
#include "controllers/statefulset.h"
#include "controllers/statefulset_plan.h"

/* Pods as words: an ordinal, then A available, r ready only, p pending, F ended; o of the old
 * revision, n of the new, neither: there is one revision; t terminating. */
static size_t read_pods(const char *text, struct sts_pod *pods)
{
    struct str rest = str_of(text), word;
    size_t n = 0;

    while (str_split(&rest, ' ', &word)) {
        struct sts_pod x = {.is_current = true, .is_updated = true};
        size_t digits = 0;

        if (!word.n)
            continue;
        while (word.p[digits] >= '0' && word.p[digits] <= '9')
            digits++;
        assert_true(str_to_i64((struct str){word.p, digits}, &x.ordinal));
        for (size_t i = digits; i < word.n; i++) {
            x.is_available |= word.p[i] == 'A';
            x.is_ready |= word.p[i] == 'A' || word.p[i] == 'r';
            x.is_ended |= word.p[i] == 'F';
            x.is_updated &= word.p[i] != 'o';
            x.is_current &= word.p[i] != 'n';
            x.is_terminating |= word.p[i] == 't';
        }
        pods[n++] = x;
    }
    return n;
}

static void write_actions(const struct sts_action *a, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s%c%lld%s", i ? " " : "",
                   a[i].verb == STS_CREATE   ? '+'
                   : a[i].verb == STS_DELETE ? '-'
                                             : '!',
                   (long long)a[i].ordinal,
                   a[i].verb != STS_CREATE ? ""
                   : a[i].is_updated       ? "n"
                                           : "o");
}

#define ORDERED(n)                            \
    {                                         \
        .replicas = (n), .max_unavailable = 1 \
    }
#define PARALLEL(n)                                                \
    {                                                              \
        .replicas = (n), .max_unavailable = 1, .is_parallel = true \
    }

static const struct {
    const char *what;
    struct sts_spec spec;
    const char *pods, *actions;
} cases[] = {
    {"the first one", ORDERED(3), "", "+0n"},
    {"waits for the one before", ORDERED(3), "0p", ""},
    {"ready is not yet available", ORDERED(3), "0r", ""},
    {"the next one", ORDERED(3), "0A", "+1n"},
    {"a gap is filled first", ORDERED(3), "0A 2A", "+1n"},
    {"a sick one holds up what comes after it", ORDERED(3), "0p 2A", ""},
    {"but not what is before it", ORDERED(3), "1p 2A", "+0n"},
    {"all is there", ORDERED(3), "2A 0A 1A", ""},
    {"ordinals sort as numbers", ORDERED(11), "0A 1A 10A 2A 3A 4A 5A 6A 7A 8A 9A", ""},
    {"one that has ended is replaced", ORDERED(3), "0A 1F 2A", "!1"},
    {"... once", ORDERED(3), "0A 1Ft 2A", ""},
    {"a terminating one is waited for", ORDERED(3), "0A 1At", ""},
    {"down from the highest", ORDERED(1), "0A 1A 2A", "-2"},
    {"one at a time", ORDERED(1), "0A 1A 2At", ""},
    {"not while one that stays is sick", ORDERED(1), "0p 1A 2A", ""},
    {"the only sick one may go", ORDERED(1), "0A 1A 2p", "-2"},
    {"the highest sick one waits for a lower sick one", ORDERED(1), "0A 1p 2p", ""},
    {"one that has ended waits for nobody", ORDERED(1), "0A 1p 2F", "-2"},
    {"to zero", ORDERED(0), "0A", "-0"},
    {"all at once", PARALLEL(3), "", "+0n +1n +2n"},
    {"all at once, whatever state they are in", PARALLEL(3), "1p", "+0n +2n"},
    {"down at once", PARALLEL(1), "0p 1A 2A 3At", "-2 -1"},
    {"from an ordinal on", {.replicas = 2, .start = 5, .max_unavailable = 1}, "", "+5n"},
    {"... up", {.replicas = 2, .start = 5, .max_unavailable = 1}, "5A", "+6n"},
    {"... what is below the start goes last",
     {.replicas = 1, .start = 5, .max_unavailable = 1},
     "4A 5A 6A",
     "-6"},
    {"... and goes", {.replicas = 1, .start = 5, .max_unavailable = 1}, "4A 5A", "-4"},
    {"an update begins at the top", ORDERED(3), "0Ao 1Ao 2Ao", "-2"},
    {"... waits for what it has replaced", ORDERED(3), "0Ao 1Ao 2pn", ""},
    {"... and goes on", ORDERED(3), "0Ao 1Ao 2An", "-1"},
    {"... comes back new", ORDERED(3), "0Ao 1Ao", "+2n"},
    {"scaling comes first", ORDERED(2), "0Ao 1Ao 2Ao", "-2"},
    {"a sick old one of a parallel set is replaced", PARALLEL(2), "0Ao 1po", "-1"},
    {"the partition stays",
     {.replicas = 3, .partition = 2, .max_unavailable = 1},
     "0Ao 1Ao 2An",
     ""},
    {"below the partition it comes back old",
     {.replicas = 3, .partition = 2, .max_unavailable = 1},
     "0Ao 2An",
     "+1o"},
    {"the partition counts from the start",
     {.replicas = 3, .start = 4, .partition = 1, .max_unavailable = 1},
     "4Ao 5Ao 6An",
     "-5"},
    {"a partition beyond all", {.replicas = 1, .partition = 9, .max_unavailable = 1}, "0Ao", ""},
    {"on delete nothing is replaced",
     {.replicas = 2, .is_on_delete = true, .max_unavailable = 1},
     "0Ao 1Ao",
     ""},
    {"... but what comes is new",
     {.replicas = 2, .is_on_delete = true, .partition = 2, .max_unavailable = 1},
     "0Ao",
     "+1n"},
    {"two at a time",
     {.replicas = 4, .max_unavailable = 2, .is_parallel = true},
     "0Ao 1Ao 2Ao 3Ao",
     "-3 -2"},
    {"two at a time, one is away",
     {.replicas = 4, .max_unavailable = 2, .is_parallel = true},
     "0Ao 1Ao 2Ao 3pn",
     "-2"},
    {"what is away below counts, and is replaced",
     {.replicas = 4, .max_unavailable = 2, .is_parallel = true},
     "0po 1Ao 2Ao 3Ao",
     "-3 -0"},
};

static void each_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sts_pod pods[16];
        struct sts_action *a;
        struct buf got = BUF_INIT;
        size_t n = read_pods(cases[i].pods, pods), m = sts_plan(&cases[i].spec, pods, n, &a);

        write_actions(a, m, &got);
        if (!str_is(buf_str(&got), cases[i].actions))
            fail_msg("%s: of '%s' comes '%s', not '%s'", cases[i].what, cases[i].pods,
                     buf_cstr(&got), cases[i].actions);
        buf_done(&got);
        free(a);
    }
}

static void a_burst_has_a_bound(void **state)
{
    struct sts_spec s = PARALLEL(INT32_MAX);
    struct sts_action *a;

    (void)state;
    assert_int_equal(sts_plan(&s, NULL, 0, &a), STS_CREATES_MAX);
    free(a);
}

/* --- any life --- */

#define LIVES 2000
#define PODS_MAX 40

struct world {
    struct rng rng;
    struct sts_spec s;
    struct sts_pod pods[PODS_MAX];
    size_t n;
    bool is_calm; /* nothing breaks any more */
};

static void drop(struct world *w, size_t i)
{
    w->pods[i] = w->pods[--w->n];
}

static void live(struct world *w)
{
    for (size_t i = w->n; i > 0; i--) {
        struct sts_pod *x = &w->pods[i - 1];

        if (x->is_terminating) {
            if (rng_below(&w->rng, 2) == 0)
                drop(w, i - 1);
        } else if (!w->is_calm && rng_below(&w->rng, 40) == 0) {
            x->is_ended = true;
            x->is_ready = x->is_available = false;
        } else if (!w->is_calm && rng_below(&w->rng, 30) == 0) {
            x->is_ready = x->is_available = false;
        } else if (!x->is_ended && rng_below(&w->rng, 2) == 0) {
            x->is_available = x->is_ready;
            x->is_ready = true;
        }
    }
}

static const struct sts_pod *pod_at(const struct world *w, int64_t ordinal)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->pods[i].ordinal == ordinal)
            return &w->pods[i];
    return NULL;
}

static void check_in_order(const struct world *w, const struct sts_action *a, size_t n)
{
    /* an update may take as many as may be away; all else is one thing at a time */
    bool is_update = n > 0 && a[0].verb == STS_DELETE && a[0].ordinal >= w->s.start &&
                     a[0].ordinal < w->s.start + w->s.replicas;

    assert_true(n <= (is_update ? (size_t)w->s.max_unavailable : 1));
    if (n == 0)
        return;
    for (int64_t o = w->s.start; o < w->s.start + w->s.replicas; o++) {
        const struct sts_pod *x = pod_at(w, o);

        if (a[0].verb != STS_DELETE && o >= a[0].ordinal)
            break;
        assert_true(x && x->is_available && !x->is_terminating);
    }
}

static void check_action(const struct world *w, const struct sts_action *a)
{
    const struct sts_pod *x = pod_at(w, a->ordinal);
    bool is_wanted = a->ordinal >= w->s.start && a->ordinal < w->s.start + w->s.replicas;

    if (a->verb == STS_CREATE) {
        assert_true(is_wanted && !x);
        return;
    }
    assert_true(x == &w->pods[a->pod] && !x->is_terminating);
    if (a->verb == STS_DELETE && is_wanted) {
        assert_false(w->s.is_on_delete || x->is_updated);
        assert_true(a->ordinal >= w->s.start + w->s.partition);
    }
    if (a->verb == STS_DELETE && !is_wanted)
        for (size_t i = 0; i < w->n; i++)
            assert_false(!w->s.is_parallel && w->pods[i].ordinal > a->ordinal &&
                         w->pods[i].ordinal >= w->s.start + w->s.replicas);
}

static void step(struct world *w)
{
    struct sts_action *a;
    size_t n = sts_plan(&w->s, w->pods, w->n, &a);

    if (!w->s.is_parallel)
        check_in_order(w, a, n);
    for (size_t i = 0; i < n; i++)
        check_action(w, &a[i]);
    for (size_t i = 0; i < n; i++) {
        if (a[i].verb != STS_CREATE) {
            w->pods[a[i].pod].is_terminating = true;
            continue;
        }
        assert_true(w->n < PODS_MAX);
        w->pods[w->n++] = (struct sts_pod){
            .ordinal = a[i].ordinal, .is_updated = a[i].is_updated, .is_current = !a[i].is_updated};
    }
    free(a);
}

static bool is_done(const struct world *w)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct sts_pod *x = &w->pods[i];

        if (!x->is_available || x->is_terminating ||
            (!x->is_updated && !w->s.is_on_delete && x->ordinal >= w->s.start + w->s.partition))
            return false;
    }
    return (int64_t)w->n == w->s.replicas;
}

static void any_life_ends_as_it_should(void **state)
{
    uint64_t seed = test_seed();

    (void)state;
    for (int life = 0; life < LIVES; life++) {
        struct world w = {.n = 0};
        int steps = 0;

        rng_seed(&w.rng, seed + (uint64_t)life);

        for (int change = 0; change < 4; change++) {
            w.s = (struct sts_spec){
                .start = rng_below(&w.rng, 3) ? 0 : (int64_t)rng_below(&w.rng, 4),
                .replicas = (int64_t)rng_below(&w.rng, 7),
                .is_parallel = rng_below(&w.rng, 2),
                .is_on_delete = rng_below(&w.rng, 5) == 0,
                .partition = rng_below(&w.rng, 3) ? 0 : (int64_t)rng_below(&w.rng, 5),
                .max_unavailable = 1 + (rng_below(&w.rng, 3) ? 0 : 2)};
            for (size_t i = 0; i < w.n; i++) /* a new template */
                w.pods[i].is_updated = rng_below(&w.rng, 2);
            for (int i = 0; i < 30; i++) {
                live(&w);
                step(&w);
            }
        }
        w.is_calm = true;
        while (!is_done(&w) && steps++ < 1000) {
            live(&w);
            step(&w);
        }
        if (!is_done(&w))
            fail_msg("seed %llu: life %d does not come to its end", (unsigned long long)seed, life);
    }
}

/* --- names and pods --- */

static void names_give_ordinals(void **state)
{
    static const struct {
        const char *pod;
        int64_t ordinal;
    } names[] = {{"web-0", 0},    {"web-12", 12},  {"web-", -1},
                 {"web", -1},     {"web-01", -1},  {"web-1a", -1},
                 {"web-x-1", -1}, {"we-1", -1},    {"web-99999999999", -1},
                 {"web--1", -1},  {"other-1", -1}, {"web-2147483647", 2147483647}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(sts_ordinal("web", 3, names[i].pod, strlen(names[i].pod)),
                         names[i].ordinal);
}

static void a_pod_is_of_its_set(void **state)
{
    AUTO_JSON json_t *set = NULL, *pod = NULL, *want = NULL;
    struct object *o = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(
        yaml_parse(STR("{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: web, namespace: "
                       "d, uid: u}, spec: {serviceName: peers, volumeClaimTemplates: [{metadata: "
                       "{name: data}}], template: {metadata: {creationTimestamp: null, labels: "
                       "{app: web}, annotations: {a: b}}, spec: {containers: [{name: main}], "
                       "volumes: [{name: data, hostPath: {path: /x}}, {name: tmp}]}}}}"),
                   &set, &err),
        0);
    assert_int_equal(object_new(kind_of(KIND_STATEFULSET), set, &o, &err), 0);
    pod = sts_pod_of(o, set, json_at(set, "spec.template"), "web-bb", 7);
    assert_int_equal(
        yaml_parse(STR("{apiVersion: v1, kind: Pod, metadata: {labels: {app: web, "
                       "statefulset.kubernetes.io/pod-name: web-7, apps.kubernetes.io/pod-index: "
                       "'7', controller-revision-hash: web-bb}, annotations: {a: b}, name: web-7, "
                       "generateName: web-, namespace: d, ownerReferences: [{apiVersion: apps/v1, "
                       "kind: StatefulSet, name: web, uid: u, controller: true, "
                       "blockOwnerDeletion: true}]}, spec: {containers: [{name: main}], volumes: "
                       "[{name: tmp}, {name: data, emptyDir: {}}], hostname: web-7, subdomain: "
                       "peers}}"),
                   &want, &err),
        0);
    if (!json_equal(pod, want)) {
        struct buf got = BUF_INIT;

        json_write(&got, pod);
        fail_msg("%s", buf_cstr(&got));
    }
    object_unref(o);
}

/* A revision is an object that anybody may write. */
static void a_template_of_any_shape_makes_a_pod_or_is_refused_later(void **state)
{
    static const char *const templates[] = {
        "{metadata: x, spec: {}}",
        "{metadata: [], spec: {volumes: x}}",
        "{metadata: {labels: [1]}, spec: {volumes: [x, {name: 1}]}}",
        "{spec: {containers: 3}}",
    };
    AUTO_JSON json_t *set = NULL;
    struct object *o = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(yaml_parse(STR("{metadata: {name: web, namespace: d, uid: u}, spec: "
                                    "{volumeClaimTemplates: [x, {metadata: {name: data}}]}}"),
                                &set, &err),
                     0);
    assert_int_equal(object_new(kind_of(KIND_STATEFULSET), set, &o, &err), 0);
    for (size_t i = 0; i < ARRAY_LEN(templates); i++) {
        AUTO_JSON json_t *template = NULL, *pod = NULL;

        assert_int_equal(yaml_parse(str_of(templates[i]), &template, &err), 0);
        pod = sts_pod_of(o, set, template, "web-bb", 0);
        assert_string_equal(json_text(pod, "metadata.name", ""), "web-0");
        assert_string_equal(json_text(pod, "metadata.labels.app", "none"), "none");
        assert_string_equal(json_text(pod, "spec.hostname", ""), "web-0");
    }
    object_unref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_case),
        cmocka_unit_test(a_burst_has_a_bound),
        cmocka_unit_test(any_life_ends_as_it_should),
        cmocka_unit_test(names_give_ordinals),
        cmocka_unit_test(a_pod_is_of_its_set),
        cmocka_unit_test(a_template_of_any_shape_makes_a_pod_or_is_refused_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
