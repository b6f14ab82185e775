/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory of JSON trees: hundreds of small nodes that live for one pass. Blocks of a few sizes are
 * cut from chunks of their own and used again and again, per thread, so a tree costs little and
 * leaves no holes among what lives long. What was taken for nodes is kept for the next tree. */
#ifndef FB_CODEC_JSON_ALLOC_H
#define FB_CODEC_JSON_ALLOC_H

#include <stddef.h>

/* As malloc and free; a block may be freed by another thread than its own. */
void *json_alloc(size_t n);
void json_free(void *p);

#endif
