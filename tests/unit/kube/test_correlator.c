/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "../cmocka_all.h"

#include "kube/correlator.h"

#define MINUTE 60000

static int make(void **state)
{
    *state = correlator_new();
    return 0;
}

static int drop(void **state)
{
    correlator_free(*state);
    return 0;
}

static struct observed *see(struct correlator *c, const char *group, int message, int64_t now_ms)
{
    char text[32];
    struct observed *o;

    snprintf(text, sizeof(text), "message %d", message);
    o = correlator_observe(c, str_of(group), str_of(text), now_ms);
    o->count++;
    return o;
}

static void an_equal_event_is_counted(void **state)
{
    uint64_t id = see(*state, "a", 1, 0)->as.id;

    assert_int_equal(see(*state, "a", 1, 1000)->count, 2);
    assert_true(see(*state, "a", 1, 2000)->as.id == id);
    assert_true(see(*state, "a", 2, 2000)->as.id != id);
    assert_true(see(*state, "b", 1, 2000)->as.id != id);
    assert_int_equal(see(*state, "a", 1, 3000)->count, 4);
}

static void the_tenth_message_of_a_group_and_what_follows_are_one(void **state)
{
    struct observed *o;
    uint64_t id;

    for (int i = 1; i <= 9; i++)
        assert_false(see(*state, "a", i, i)->is_combined);
    o = see(*state, "a", 10, 10);
    id = o->as.id;
    assert_true(o->is_combined);
    assert_int_equal(o->count, 1);
    o = see(*state, "a", 11, 11);
    assert_true(o->is_combined && o->as.id == id);
    assert_int_equal(o->count, 2);
    assert_int_equal(see(*state, "a", 10, 12)->count, 3);
    /* the nine stay what they are, and so does another group */
    o = see(*state, "a", 9, 13);
    assert_false(o->is_combined);
    assert_int_equal(o->count, 2);
    assert_false(see(*state, "b", 11, 14)->is_combined);
}

static void ten_minutes_without_an_event_begin_the_group_anew(void **state)
{
    struct observed *o;

    for (int i = 1; i <= 10; i++)
        see(*state, "a", i, 0);
    assert_true(see(*state, "a", 20, 10 * MINUTE)->is_combined); /* exactly ten: not yet */
    o = see(*state, "a", 21, 20 * MINUTE + 1);
    assert_false(o->is_combined);
    assert_int_equal(o->count, 1);
    /* combined once more, it is still the same Event */
    for (int i = 1; i <= 9; i++)
        o = see(*state, "a", i, 21 * MINUTE);
    assert_true(o->is_combined);
    assert_int_equal(o->count, 3);
}

static void ids_depend_on_nothing_but_the_texts(void **state)
{
    struct correlator *other = correlator_new();
    uint64_t own, combined;

    see(*state, "b", 3, 0);
    own = see(*state, "a", 1, 0)->as.id;
    assert_true(see(other, "a", 1, MINUTE)->as.id == own);
    for (int i = 1; i <= 12; i++) {
        combined = see(*state, "a", i, 0)->as.id;
        own = see(other, "a", 100 - i, MINUTE)->as.id;
    }
    assert_true(combined == own);
    correlator_free(other);
}

static void memory_is_bounded_and_the_longest_unused_goes_first(void **state)
{
    char group[32];

    see(*state, "first", 1, 0);
    for (int i = 0; i < CORRELATOR_MAX - 1; i++) {
        snprintf(group, sizeof(group), "g%d", i);
        see(*state, group, 1, i);
    }
    assert_int_equal(correlator_size(*state), 2 * CORRELATOR_MAX);
    assert_int_equal(see(*state, "first", 1, 5000)->count, 2);
    assert_int_equal(see(*state, "new", 1, 5000)->count, 1);
    assert_int_equal(correlator_size(*state), 2 * CORRELATOR_MAX);
    assert_int_equal(see(*state, "first", 1, 5001)->count, 3);
    assert_int_equal(see(*state, "g1", 1, 5001)->count, 2);
    assert_int_equal(see(*state, "g0", 1, 5001)->count, 1); /* it went for "new" */
}

static void what_is_unused_for_an_hour_goes_unless_it_is_pinned(void **state)
{
    struct observed *pinned = see(*state, "a", 1, 0);

    pinned->as.is_pinned = true;
    see(*state, "b", 1, 0);
    see(*state, "c", 1, 30 * MINUTE);
    assert_int_equal(correlator_size(*state), 1 + 3); /* groups go after ten minutes */
    see(*state, "c", 1, 60 * MINUTE + 1);
    assert_int_equal(correlator_size(*state), 1 + 2);
    assert_int_equal(pinned->count, 1);
    assert_ptr_equal(see(*state, "a", 1, 70 * MINUTE), pinned);
    pinned->as.is_pinned = false;
    see(*state, "c", 1, 131 * MINUTE);
    assert_int_equal(correlator_size(*state), 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_equal_event_is_counted),
        T(the_tenth_message_of_a_group_and_what_follows_are_one),
        T(ten_minutes_without_an_event_begin_the_group_anew),
        T(ids_depend_on_nothing_but_the_texts),
        T(memory_is_bounded_and_the_longest_unused_goes_first),
        T(what_is_unused_for_an_hour_goes_unless_it_is_pinned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
