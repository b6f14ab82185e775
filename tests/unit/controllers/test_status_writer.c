/* SPDX-License-Identifier: Apache-2.0
 *
 * A status that is written faster than writes are answered: nothing is lost, nothing is said twice.
 */
#include <stdlib.h>
#include <string.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "controllers/status_writer.h"

/* A cluster that keeps its answers back. */
struct slow {
    struct cluster cluster;
    cluster_done_fn *done;
    void *arg;
    char *written; /* status of the newest write */
    int writes;
};

static void keep(struct cluster *c, const struct cluster_write *w, cluster_done_fn *done, void *arg)
{
    struct slow *s = (struct slow *)c;
    struct buf b = BUF_INIT;

    json_write(&b, json_object_get(w->tree, "status"));
    free(s->written);
    s->written = buf_take(&b, NULL);
    s->done = done;
    s->arg = arg;
    s->writes++;
}

static const struct cluster_ops ops = {.write = keep};

static struct object *stored(int rv, const char *phase)
{
    AUTO_JSON json_t *tree =
        json_pack("{s:s,s:s,s:{s:s,s:s,s:o},s:{s:s}}", "apiVersion", "keda.sh/v1alpha1", "kind",
                  "ScaledObject", "metadata", "name", "x", "namespace", "default",
                  "resourceVersion", json_fmt("%d", rv), "status", "phase", phase);
    struct object *o = NULL;
    struct err err = ERR_INIT;

    if (object_new(kind_of(KIND_SCALEDOBJECT), tree, &o, &err) < 0)
        fail_msg("%s", err.msg);
    return o;
}

static bool say(struct status_writer *w, struct object *o, const char *phase)
{
    return status_say(w, o, json_pack("{s:s}", "phase", phase));
}

static const char *newest(struct status_writer *w, struct object *o)
{
    static char text[40];
    AUTO_JSON json_t *status = status_newest(w, o);

    snprintf(text, sizeof(text), "%s", json_text(status, "phase", "?"));
    return text;
}

static void one_write_at_a_time_and_the_last_word_wins(void **state)
{
    struct slow s = {.cluster = {.ops = &ops}};
    struct status_writer w = {.cluster = &s.cluster, .manager = "t"};
    struct object *old = stored(1, "zero"), *now = stored(2, "one"), *last = stored(3, "three");

    (void)state;
    assert_false(say(&w, old, "zero")); /* it stands there already */
    assert_int_equal(s.writes, 0);
    assert_true(say(&w, old, "one"));
    assert_true(say(&w, old, "two"));
    assert_true(say(&w, old, "three"));
    assert_false(say(&w, old, "three"));
    assert_int_equal(s.writes, 1);
    assert_string_equal(s.written, "{\"phase\":\"one\"}");
    assert_string_equal(newest(&w, old), "three");
    s.done(s.arg, now, NULL);
    assert_int_equal(s.writes, 2);
    assert_string_equal(s.written, "{\"phase\":\"three\"}");
    s.done(s.arg, last, NULL);
    assert_int_equal(s.writes, 2);
    assert_string_equal(newest(&w, now), "three"); /* the cache is behind */
    assert_string_equal(newest(&w, last), "three");
    status_writer_done(&w);
    object_unref(old);
    object_unref(now);
    object_unref(last);
    free(s.written);
}

static void a_failed_write_begins_again_from_what_is_stored(void **state)
{
    struct slow s = {.cluster = {.ops = &ops}};
    struct status_writer w = {.cluster = &s.cluster, .manager = "t"};
    struct object *o = stored(1, "zero");
    struct err err = ERR_INIT;

    (void)state;
    say(&w, o, "one");
    say(&w, o, "two");
    err_set(&err, ERR_UNAVAILABLE, "no");
    s.done(s.arg, NULL, &err);
    assert_int_equal(s.writes, 1);
    assert_string_equal(newest(&w, o), "zero");
    assert_true(say(&w, o, "two"));
    assert_int_equal(s.writes, 2);
    status_writer_done(&w); /* with a write on its way */
    s.done(s.arg, NULL, NULL);
    object_unref(o);
    free(s.written);
}

static void another_writers_word_is_not_overlooked(void **state)
{
    struct slow s = {.cluster = {.ops = &ops}};
    struct status_writer w = {.cluster = &s.cluster, .manager = "t"};
    struct object *old = stored(1, "zero"), *mine = stored(2, "one"), *theirs = stored(5, "other");

    (void)state;
    say(&w, old, "one");
    s.done(s.arg, mine, NULL);
    assert_string_equal(newest(&w, old), "one");
    assert_true(status_is_ours(&w, old));
    assert_true(status_is_ours(&w, mine));
    assert_string_equal(newest(&w, theirs), "other");
    assert_false(status_is_ours(&w, theirs));
    assert_true(say(&w, theirs, "one"));
    s.done(s.arg, NULL, NULL);
    status_writer_done(&w);
    object_unref(old);
    object_unref(mine);
    object_unref(theirs);
    free(s.written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_write_at_a_time_and_the_last_word_wins),
        cmocka_unit_test(a_failed_write_begins_again_from_what_is_stored),
        cmocka_unit_test(another_writers_word_is_not_overlooked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
