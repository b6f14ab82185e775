/* SPDX-License-Identifier: Apache-2.0
 *
 * A hash table from byte strings (copied) to pointers (borrowed): open addressing, stored hashes,
 * linear probing with backward-shift deletion, so there are no tombstones. Iteration order is not
 * defined; removing the entry an iteration stands on is not allowed (collect first). */
#ifndef FB_BASE_TABLE_H
#define FB_BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct table_slot {
    uint64_t hash; /* 0: free */
    char *key;     /* owned, NUL-terminated */
    size_t key_n;
    void *value;
};

struct table {
    struct table_slot *slots;
    size_t cap; /* power of two, or 0 */
    size_t count;
};

#define TABLE_INIT ((struct table){0})

void table_done(struct table *t); /* values stay the caller's */
void *table_get(const struct table *t, struct str key);
/* Sets or replaces; returns the value that was there, or NULL. value must not be NULL. */
void *table_set(struct table *t, struct str key, void *value);
/* Removes; returns the value that was there, or NULL. */
void *table_del(struct table *t, struct str key);
/* Walks: start with *i = 0; false at the end. */
bool table_next(const struct table *t, size_t *i, struct str *ret_key, void **ret_value);

#endif
