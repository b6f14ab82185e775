/* SPDX-License-Identifier: Apache-2.0
 *
 * The trigger that docs/adding-a-trigger.md shows, as it stands there. */
#include <string.h>

#include "../cmocka_all.h"

#include "base/mem.h"
#include "triggers/trigger_int.h"

extern const struct trigger_type trigger_machine_load;

static struct trigger *make(const char *what, struct err *err)
{
    struct trigger *t = mem_zalloc(trigger_machine_load.size);
    AUTO_JSON json_t *meta = json_pack("{s:s,s:s}", "target", "2", "what", what);

    *err = ERR_INIT;
    t->type = &trigger_machine_load;
    trigger_machine_load.parse(t, meta, err);
    return t;
}

static void drop(struct trigger *t)
{
    free(t->query);
    free(t);
}

static void it_reads_its_metadata_and_gives_a_value(void **state)
{
    struct decision_metric m = {.state = METRIC_UNKNOWN};
    struct err err;
    struct trigger *t = make("threads", &err);
    char warning[10];

    (void)state;
    assert_int_equal(err.code, 0);
    assert_true(t->threshold == 2);
    trigger_machine_load.value(t, 0, &(struct trigger_target){0}, &m, warning, sizeof(warning));
    assert_int_equal(m.state, METRIC_VALUE);
    assert_true(m.value >= 1); /* this thread */
    drop(t);
}

static void it_refuses_a_word_it_does_not_know(void **state)
{
    struct err err;
    struct trigger *t = make("users", &err);

    (void)state;
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.msg, "error parsing machine-load metadata: unable to set param "
                                 "\"what\" value \"users\": one of running, threads");
    drop(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_reads_its_metadata_and_gives_a_value),
        cmocka_unit_test(it_refuses_a_word_it_does_not_know),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
