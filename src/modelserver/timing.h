/* SPDX-License-Identifier: Apache-2.0
 *
 * How long a step takes when there are no weights to compute with (model-server.md 6.5):
 *
 *   T = a + b * prefill tokens + c * decoding sequences + d * KV tokens read
 *         + e * prefill tokens x their context, times a jitter of some percent
 *
 * The default profile stands for one CPU core that runs opt-125m in fp32; each number's
 * source is beside it in timing.c. */
#ifndef FB_MODELSERVER_TIMING_H
#define FB_MODELSERVER_TIMING_H

#include <stdint.h>

#include "base/err.h"
#include "base/rand.h"
#include "base/str.h"
#include "modelserver/sched.h"

struct timing {
    const char *name; /* of the profile */
    double a_us, b_us, c_us, d_us, e_us;
    double jitter; /* share, 0.03 = plus or minus 3 % */
};

/* The profile of that name, or NULL. */
const struct timing *timing_profile(const char *name);
/* "opt-125m-cpu" or "a=17200,b=4200,c=6050,d=2.9,e=0.7,jitter=0.03" (microseconds). */
int timing_parse(struct str text, struct timing *ret, struct err *err);
int64_t timing_step_ns(const struct timing *t, const struct sched_step *step, struct rng *r);

#endif
