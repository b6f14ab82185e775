/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "modelserver/openai.h"
#include "modelserver/timing.h"
#include "modelserver/words.h"

static const struct openai_limits limits = {.max_model_len = 64, .model_name = "fbopt"};

static const struct {
    const char *body;
    int code;          /* 0: accepted */
    const char *param; /* blamed field */
} rows[] = {
    {"{\"model\":\"fbopt\",\"prompt\":\"x\"}", 0, NULL},
    {"{\"prompt\":\"x\"}", 0, NULL},
    {"{\"model\":\"other\",\"prompt\":\"x\"}", ERR_NOT_FOUND, "model"},
    {"{\"model\":1,\"prompt\":\"x\"}", ERR_BAD_INPUT, "model"},
    {"{\"prompt\":\"\"}", ERR_BAD_INPUT, "prompt"},
    {"{}", ERR_BAD_INPUT, "prompt"},
    {"[]", ERR_BAD_INPUT, NULL},
    {"{\"prompt\":", ERR_BAD_INPUT, NULL},
    {"{\"prompt\":[\"a\",\"b\"]}", 0, NULL},
    {"{\"prompt\":[1,2,3]}", 0, NULL},
    {"{\"prompt\":[[1],[2,3]]}", 0, NULL},
    {"{\"prompt\":[1,-2]}", ERR_BAD_INPUT, "prompt"},
    {"{\"prompt\":[]}", ERR_BAD_INPUT, "prompt"},
    {"{\"prompt\":\"x\",\"max_tokens\":1}", 0, NULL},
    {"{\"prompt\":\"x\",\"max_tokens\":0}", ERR_BAD_INPUT, "max_tokens"},
    {"{\"prompt\":\"x\",\"max_tokens\":null}", 0, NULL},
    {"{\"prompt\":\"x\",\"max_tokens\":\"3\"}", ERR_BAD_INPUT, "max_tokens"},
    {"{\"prompt\":\"x\",\"max_tokens\":4,\"min_tokens\":4}", 0, NULL},
    {"{\"prompt\":\"x\",\"max_tokens\":4,\"min_tokens\":5}", ERR_BAD_INPUT, "min_tokens"},
    {"{\"prompt\":\"x\",\"temperature\":0}", 0, NULL},
    {"{\"prompt\":\"x\",\"temperature\":-0.1}", ERR_BAD_INPUT, "temperature"},
    {"{\"prompt\":\"x\",\"top_p\":1}", 0, NULL},
    {"{\"prompt\":\"x\",\"top_p\":0}", ERR_BAD_INPUT, "top_p"},
    {"{\"prompt\":\"x\",\"top_p\":1.1}", ERR_BAD_INPUT, "top_p"},
    {"{\"prompt\":\"x\",\"top_k\":-1}", 0, NULL},
    {"{\"prompt\":\"x\",\"top_k\":-2}", ERR_BAD_INPUT, "top_k"},
    {"{\"prompt\":\"x\",\"presence_penalty\":2}", 0, NULL},
    {"{\"prompt\":\"x\",\"presence_penalty\":2.1}", ERR_BAD_INPUT, "presence_penalty"},
    {"{\"prompt\":\"x\",\"repetition_penalty\":0}", ERR_BAD_INPUT, "repetition_penalty"},
    {"{\"prompt\":\"x\",\"n\":64}", 0, NULL},
    {"{\"prompt\":\"x\",\"n\":65}", ERR_BAD_INPUT, "n"},
    {"{\"prompt\":\"x\",\"stop\":\"a\"}", 0, NULL},
    {"{\"prompt\":\"x\",\"stop\":[\"a\",\"\"]}", ERR_BAD_INPUT, "stop"},
    {"{\"prompt\":\"x\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}", 0, NULL},
    {"{\"prompt\":\"x\",\"stream_options\":{\"include_usage\":true}}", ERR_BAD_INPUT,
     "stream_options"},
    {"{\"prompt\":\"x\",\"stream\":1}", ERR_BAD_INPUT, "stream"},
    {"{\"prompt\":\"x\",\"suffix\":\"y\"}", ERR_BAD_INPUT, "suffix"},
    {"{\"prompt\":\"x\",\"unknown_field\":1}", 0, NULL},
};

static void every_field_is_held_to_its_range(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct openai_request r;
        struct err err = ERR_INIT;
        const char *param = NULL;
        int rc = openai_request_parse(&r, false, str_of(rows[i].body), &limits, &param, &err);

        if (rc != rows[i].code || (rows[i].param && (!param || strcmp(param, rows[i].param) != 0)))
            fail_msg("%s: got %d (%s), blamed %s", rows[i].body, rc, err.msg, param ? param : "-");
        openai_request_done(&r);
    }
}

static void a_prompt_fits_up_to_one_token_below_the_models_length(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    for (int n = 63; n <= 64; n++) {
        struct openai_request r;
        const char *param;

        buf_clear(&b);
        buf_add_cstr(&b, "{\"prompt\":[");
        for (int i = 0; i < n; i++)
            buf_printf(&b, "%s%d", i ? "," : "", i);
        buf_add_cstr(&b, "],\"max_tokens\":1000}");
        assert_int_equal(openai_request_parse(&r, false, buf_str(&b), &limits, &param, NULL),
                         n == 63 ? 0 : ERR_BAD_INPUT);
        if (n == 63)
            assert_int_equal(r.max_tokens, 1);
        openai_request_done(&r);
    }
    buf_done(&b);
}

static void every_prefix_of_a_body_is_refused_without_harm(void **state)
{
    struct str body = STR("{\"prompt\":[\"a\",\"b\"],\"stop\":[\"x\"],\"n\":2,\"stream\":true}");

    (void)state;
    for (size_t n = 0; n < body.n; n++) {
        struct openai_request r;
        const char *param;

        assert_int_equal(
            openai_request_parse(&r, n % 2, (struct str){body.p, n}, &limits, &param, NULL),
            ERR_BAD_INPUT);
        openai_request_done(&r);
    }
}

static void chat_uses_max_completion_tokens_and_what_is_left_by_default(void **state)
{
    struct openai_request r;
    const char *param;

    (void)state;
    assert_int_equal(
        openai_request_parse(&r, true,
                             STR("{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"
                                 "\"max_completion_tokens\":7,\"max_tokens\":9}"),
                             &limits, &param, NULL),
        0);
    assert_int_equal(r.max_tokens, 7);
    openai_request_done(&r);
    assert_int_equal(openai_request_parse(
                         &r, true, STR("{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"),
                         &limits, &param, NULL),
                     0);
    assert_int_equal(r.max_tokens, 64 - r.prompts[0].n);
    openai_request_done(&r);
}

static void the_beginning_of_a_stop_string_is_held_back(void **state)
{
    char end[] = "END", hashes[] = "##";
    struct openai_request r = {.stops = {end, hashes}, .n_stops = 2};
    const char *which = NULL;

    (void)state;
    assert_int_equal(openai_hold_back(&r, STR("text EN")), 2);
    assert_int_equal(openai_hold_back(&r, STR("text #")), 1);
    assert_int_equal(openai_hold_back(&r, STR("text")), 0);
    assert_int_equal(openai_find_stop(&r, STR("a ## END"), 0, &which), 2);
    assert_string_equal(which, "##");
    assert_int_equal(openai_find_stop(&r, STR("a END"), 3, &which), -1);
}

static void a_chunk_is_one_event_with_an_empty_line(void **state)
{
    struct openai_answer a = {.id = "cmpl-1", .created_s = 5, .model = "m"};
    struct openai_choice c = {.index = 0};
    struct buf out = BUF_INIT;

    (void)state;
    openai_write_chunk(&out, &a, &c, STR(" a\"b"), true, NULL, true);
    assert_string_equal(
        buf_cstr(&out),
        "data: {\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"created\":5,"
        "\"model\":\"m\",\"choices\":[{\"index\":0,\"text\":\" a\\\"b\",\"logprobs\":null,"
        "\"finish_reason\":null,\"stop_reason\":null}],\"usage\":null}\n\n");
    buf_done(&out);
}

static void step_times_are_parsed_or_refused_with_the_profiles_named(void **state)
{
    struct timing t;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(timing_parse(STR("a=10,b=2,jitter=0"), &t, &err), 0);
    assert_true(t.a_us == 10 && t.b_us == 2 && t.c_us == 0);
    assert_int_equal(timing_parse(STR("opt-125m-cpu"), &t, &err), 0);
    assert_true(t.a_us == 17200);
    assert_int_equal(timing_parse(STR("a=-1"), &t, &err), ERR_BAD_INPUT);
    assert_int_equal(timing_parse(STR("fast"), &t, &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.msg, "opt-125m-cpu"));
    assert_int_equal(timing_parse(STR("jitter=1"), &t, &err), ERR_BAD_INPUT);
}

static void five_streams_on_one_core_give_the_measured_rate(void **state)
{
    struct sched_step step = {.decode_seqs = 8};
    struct timing t = *timing_profile("opt-125m-cpu");
    struct rng r;

    (void)state;
    rng_seed(&r, 1);
    t.jitter = 0;
    /* 122 tokens/s with 8 streams were measured */
    assert_in_range(8 * 1000000000LL / timing_step_ns(&t, &step, &r), 118, 126);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_is_held_to_its_range),
        cmocka_unit_test(a_prompt_fits_up_to_one_token_below_the_models_length),
        cmocka_unit_test(every_prefix_of_a_body_is_refused_without_harm),
        cmocka_unit_test(chat_uses_max_completion_tokens_and_what_is_left_by_default),
        cmocka_unit_test(the_beginning_of_a_stop_string_is_held_back),
        cmocka_unit_test(a_chunk_is_one_event_with_an_empty_line),
        cmocka_unit_test(step_times_are_parsed_or_refused_with_the_profiles_named),
        cmocka_unit_test(five_streams_on_one_core_give_the_measured_rate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
