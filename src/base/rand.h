/* SPDX-License-Identifier: Apache-2.0
 *
 * Two sources of randomness: a seeded generator (xoshiro256**) for everything that must repeat in a
 * test, and the kernel's for names, tokens and keys. */
#ifndef FB_BASE_RAND_H
#define FB_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
void rng_seed_random(struct rng *r); /* from the kernel */
uint64_t rng_u64(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n); /* 0..n-1, n > 0 */
double rng_double(struct rng *r);              /* [0, 1) */
/* From getrandom(2); never short. */
void rand_bytes(void *p, size_t n);
/* n characters of Kubernetes' name alphabet bcdfghjklmnpqrstvwxz2456789 (out gets n + 1 bytes). */
void rng_name(struct rng *r, char *out, size_t n);
/* A version 4 UUID as text. */
void rng_uuid(struct rng *r, char out[37]);

#endif
