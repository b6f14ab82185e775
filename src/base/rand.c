/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rand.h"

#include <stdio.h>
#include <sys/random.h>

#include "base/mem.h"

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void rng_seed(struct rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) { /* splitmix64 spreads a small seed */
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        r->s[i] = z ^ (z >> 31);
    }
}

void rng_seed_random(struct rng *r)
{
    uint64_t seed;

    rand_bytes(&seed, sizeof(seed));
    rng_seed(r, seed);
}

uint64_t rng_u64(struct rng *r)
{
    uint64_t out = rotl(r->s[1] * 5, 7) * 9;
    uint64_t t = r->s[1] << 17;

    r->s[2] ^= r->s[0];
    r->s[3] ^= r->s[1];
    r->s[1] ^= r->s[2];
    r->s[0] ^= r->s[3];
    r->s[2] ^= t;
    r->s[3] = rotl(r->s[3], 45);
    return out;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    uint64_t limit = UINT64_MAX - UINT64_MAX % n;
    uint64_t v;

    do {
        v = rng_u64(r);
    } while (v >= limit);
    return v % n;
}

double rng_double(struct rng *r)
{
    return (double)(rng_u64(r) >> 11) * 0x1p-53;
}

void rand_bytes(void *p, size_t n)
{
    char *at = p;

    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);

        FB_ASSERT(got > 0);
        at += got;
        n -= (size_t)got;
    }
}

void rng_name(struct rng *r, char *out, size_t n)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";

    for (size_t i = 0; i < n; i++)
        out[i] = alphabet[rng_below(r, sizeof(alphabet) - 1)];
    out[n] = '\0';
}

void rng_uuid(struct rng *r, char out[37])
{
    uint64_t a = rng_u64(r), b = rng_u64(r);

    snprintf(out, 37, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(a >> 32),
             (unsigned)((a >> 16) & 0xffff), (unsigned)(a & 0xfff),
             (unsigned)(0x8000 | ((b >> 48) & 0x3fff)), (unsigned long long)(b & 0xffffffffffffu));
}
