/* SPDX-License-Identifier: Apache-2.0 */
#include "modelserver/timing.h"

#include "base/mem.h"

/* opt-125m-cpu: a whole-forward measurement on one core of fp32 gave 43, 122 and 141 tokens/s for
 * 1, 8 and 16 streams: steps of 23.3, 65.6 and 113 ms lie on 17.2 + 6.05 n. A prefill token skips
 * the output head (31 % of the weights). Reading one token's keys and values is 73.7 kB at 25.5
 * GB/s; attention of a prefill token over its context is 36,864 operations per token at about half
 * of the core's peak. */
static const struct timing profiles[] = {
    {"opt-125m-cpu", 17200, 4200, 6050, 2.9, 0.7, 0.03},
    /* For tests that are about something else. */
    {"instant", 0, 0, 0, 0, 0, 0},
    /* 8B on an H100, as published with llm-d-inference-sim: 12 ms a token, 30 ms + 250 us prefill.
     */
    {"8b-h100", 11950, 250, 47, 0, 0, 0.03},
};

const struct timing *timing_profile(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(profiles); i++)
        if (str_is(str_of(profiles[i].name), name))
            return &profiles[i];
    return NULL;
}

int timing_parse(struct str text, struct timing *ret, struct err *err)
{
    struct timing t = {.name = "custom"};
    struct str rest = text, part;

    for (size_t i = 0; i < ARRAY_LEN(profiles); i++) {
        if (str_is(text, profiles[i].name)) {
            *ret = profiles[i];
            return 0;
        }
    }
    while (str_split(&rest, ',', &part)) {
        static const struct {
            const char *key;
            size_t at;
        } fields[] = {
            {"a=", offsetof(struct timing, a_us)}, {"b=", offsetof(struct timing, b_us)},
            {"c=", offsetof(struct timing, c_us)}, {"d=", offsetof(struct timing, d_us)},
            {"e=", offsetof(struct timing, e_us)}, {"jitter=", offsetof(struct timing, jitter)},
        };
        bool known = false;

        for (size_t i = 0; i < ARRAY_LEN(fields) && !known; i++) {
            double v;

            if (!str_starts(part, str_of(fields[i].key)))
                continue;
            known = str_to_double(str_skip(part, strlen(fields[i].key)), &v) && v >= 0 && v <= 1e9;
            if (known)
                *(double *)(void *)((char *)&t + fields[i].at) = v;
        }
        if (!known)
            return err_set(
                err, ERR_BAD_INPUT,
                "step times '%.*s': '%.*s' is not one of a= b= c= d= e= (microseconds) or "
                "jitter=; or name a profile: opt-125m-cpu, 8b-h100, instant",
                STR_ARG(text), STR_ARG(part));
    }
    if (t.jitter >= 1)
        return err_set(err, ERR_BAD_INPUT, "step times: jitter is a share below 1, not %g",
                       t.jitter);
    *ret = t;
    return 0;
}

int64_t timing_step_ns(const struct timing *t, const struct sched_step *step, struct rng *r)
{
    double us = t->a_us + t->b_us * step->prefill_tokens + t->c_us * step->decode_seqs +
                t->d_us * (double)step->kv_tokens_read + t->e_us * (double)step->prefill_context;

    us *= 1 + t->jitter * (2 * rng_double(r) - 1);
    return (int64_t)(us * 1000);
}
