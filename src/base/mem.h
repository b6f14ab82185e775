/* SPDX-License-Identifier: Apache-2.0
 *
 * Heap memory for small control objects: these calls never return NULL, they end the program with a
 * message. What a peer sizes goes through containers with a maximum (base/buf.h). Free with free().
 */
#ifndef FB_BASE_MEM_H
#define FB_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

void *mem_alloc(size_t n);
void *mem_zalloc(size_t n);
void *mem_realloc(void *p, size_t n);
void *mem_array(size_t count, size_t size); /* zeroed, overflow checked */
void *mem_rearray(void *p, size_t count, size_t size);
char *mem_strdup(const char *s);
__attribute__((format(printf, 1, 2))) char *mem_printf(const char *fmt, ...);

/* Grows the array *items (of *cap elements of size bytes) so that index count is valid: doubling.
 */
void mem_grow_(void **items, size_t *cap, size_t count, size_t size);
#define mem_grow(items, cap, count) mem_grow_((void **)(items), (cap), (count), sizeof(**(items)))

/* Scope-bound free: AUTO_FREE char *s = ...; */
static inline void mem_auto_free_(void *pp)
{
    free(*(void **)pp);
}
#define AUTO_FREE __attribute__((cleanup(mem_auto_free_)))
#define AUTO(fn) __attribute__((cleanup(fn)))

/* An invariant of ours, checked in release builds too: prints the expression and aborts. Never for
 * input. */
#define FB_ASSERT(e) ((e) ? (void)0 : fb_assert_failed_(#e, __FILE__, __LINE__))
__attribute__((noreturn)) void fb_assert_failed_(const char *expr, const char *file, int line);

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
