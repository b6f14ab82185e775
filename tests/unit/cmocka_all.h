/* SPDX-License-Identifier: Apache-2.0
 *
 * cmocka wants these four before it, in this order; and the seed of tests that draw. */
#ifndef FB_TESTS_CMOCKA_ALL_H
#define FB_TESTS_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Another one each second, always printed; FLYBALL_SEED=N plays a run again. */
static inline uint64_t test_seed(void)
{
    const char *given = getenv("FLYBALL_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);

    printf("FLYBALL_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

#endif
