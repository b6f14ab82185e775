/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "base/rand.h"
#include "codec/json_alloc.h"

#define BLOCKS 500

struct held {
    unsigned char *p;
    size_t n;
    unsigned char mark;
};

static void check_and_free(struct held *h)
{
    for (size_t i = 0; i < h->n; i++)
        assert_int_equal(h->p[i], h->mark);
    json_free(h->p);
    *h = (struct held){0};
}

/* No block overlaps another, of whatever sizes and in whatever order they come and go. */
static void blocks_are_nobody_elses(void **state)
{
    static struct held held[BLOCKS];
    struct rng r;

    (void)state;
    rng_seed(&r, test_seed());
    for (int i = 0; i < 200000; i++) {
        struct held *h = &held[rng_below(&r, BLOCKS)];

        if (h->p) {
            check_and_free(h);
            continue;
        }
        h->n = rng_below(&r, rng_below(&r, 20) ? 300 : 5000);
        h->mark = (unsigned char)rng_u64(&r);
        h->p = json_alloc(h->n);
        assert_non_null(h->p);
        assert_int_equal((uintptr_t)h->p % 8, 0);
        memset(h->p, h->mark, h->n);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        check_and_free(&held[i]);
}

static void what_was_freed_is_used_again(void **state)
{
    void *p = json_alloc(40);

    (void)state;
    json_free(p);
    assert_ptr_equal(json_alloc(33), p); /* the same class */
    json_free(p);
    json_free(NULL);
}

static void *free_all(void *arg)
{
    struct held *held = arg;

    for (size_t i = 0; i < BLOCKS; i++)
        check_and_free(&held[i]);
    return NULL;
}

static void another_thread_may_free(void **state)
{
    static struct held held[BLOCKS];
    pthread_t thread;

    (void)state;
    for (size_t i = 0; i < BLOCKS; i++) {
        held[i] = (struct held){json_alloc(i), i, (unsigned char)i};
        memset(held[i].p, held[i].mark, i);
    }
    assert_int_equal(pthread_create(&thread, NULL, free_all, held), 0);
    pthread_join(thread, NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_nobody_elses),
        cmocka_unit_test(what_was_freed_is_used_again),
        cmocka_unit_test(another_thread_may_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
