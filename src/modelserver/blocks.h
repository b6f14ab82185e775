/* SPDX-License-Identifier: Apache-2.0
 *
 * Paged KV-cache accounting: a pool of equal blocks, reference counts, and a prefix cache of full
 * blocks (model-server.md 5.3). It counts; it holds no tensors, so the timing model and a real
 * inference back end can both stand behind it.
 *
 * A block is free (in the LRU list, perhaps still carrying a key) or held by n sequences. Freed
 * blocks keep their key until they are handed out again, so a later prompt with the same beginning
 * takes them back. Block 0 is never handed out, as in vLLM: usage = held / (num_blocks - 1). */
#ifndef FB_MODELSERVER_BLOCKS_H
#define FB_MODELSERVER_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

struct blocks;

struct blocks *blocks_new(int num_blocks); /* at least 2 */
void blocks_free(struct blocks *b);
int blocks_available(const struct blocks *b);
/* 0..1: share of the pool that sequences hold. Cached but unreferenced blocks count as free. */
double blocks_usage(const struct blocks *b);
/* One block (reference 1, without key), evicting the oldest cached one; -1: none left. */
int blocks_take(struct blocks *b);
/* The held or cached block with that key, one reference more; -1: not cached. */
int blocks_take_cached(struct blocks *b, uint64_t key);
bool blocks_is_cached(const struct blocks *b, uint64_t key);
/* A held block has become full: from now on it can be found by key. A key that is already there
 * stays with the block that has it. */
void blocks_set_key(struct blocks *b, int block, uint64_t key);
/* One reference less; the last one puts it at the young end of the free list. */
void blocks_release(struct blocks *b, int block);
/* Key of a full block from its parent's key (0 for the first) and its n token ids. */
uint64_t blocks_key(uint64_t parent, const int32_t *tokens, int n);

#endif
