/* SPDX-License-Identifier: MIT */
/*
 * The short ways through malloc() and free(): no lock, no call, no division.
 * Inline, so that what the library exports is this and not a jump to it.
 */
#ifndef TRACT_FAST_H
#define TRACT_FAST_H

#include "bitops.h"
#include "free.h"
#include "heap.h"
#include "report.h"

/* Up to CLASS_TABLE_MAX; the class has no block ready. */
void *tract__malloc_slow(size_t size);

/* More than CLASS_TABLE_MAX. */
void *tract__malloc_beyond(size_t size);

/* What lies in another region, belongs to others, is large, or is no block. */
void tract__free_by_pagemap(void *p);

/*
 * Of a small span's first unit if it has an owner, and if the headers still serve
 * that region; else there is the map.
 */
void tract__free_not_own(void *p, struct span *span);

/*
 * Block @index of @span, which is the caller's: the countdown ends with it, and what
 * was deferred has been carried out.
 */
void tract__free_last(struct span *span, uint64_t index);

/*
 * None says that it does not return: a call that does not return needs a
 * stack frame in its caller, a tail call does not.
 */
__attribute__((__noipa__, __cold__)) void
tract__free_twice(const struct span *span, uint64_t index);
__attribute__((__noipa__, __cold__)) void tract__free_misfit(struct span *span,
							     uint64_t index);
__attribute__((__noipa__, __cold__)) void
tract__free_deferred_twice(const struct heap *heap);

/*
 * One way for all sizes up to CLASS_TABLE_MAX, though the least could do without
 * the table: where sizes are mixed, a branch between them is often mispredicted.
 */
static inline void *fast_malloc(size_t size)
{
	ready_of_thread *ready;
	uint64_t bits;

	if (unlikely(size > CLASS_TABLE_MAX))
		return tract__malloc_beyond(size);
	ready = ready_for(size);
	bits = ready->bits;
	if (unlikely(!bits))
		return tract__malloc_slow(size);
	return ready_take(ready, bits, ready->next);
}

/* Of a span whose owner word is @heap, the caller's, untouched. */
static inline void fast_free_own(struct heap *heap, struct span *span, void *p)
{
	struct tally *tally;
	struct block_bits *at;
	uint64_t index, bit;

	if (caught(!deferred_carry_out(&heap->deferred))) {
		tract__free_deferred_twice(heap);
		return;
	}
	index = span_index(span, p);
	tally = span_tally(span);
	if (caught(index >= span->block_count)) {
		tract__free_misfit(span, index);
		return;
	}
	at = tally_bits(tally, index);
	bit = bit_set(0, index);
	if (caught(either_of(&at->free, &at->remote) & bit)) {
		tract__free_twice(span, index);
		return;
	}
	if (unlikely(is_one(&tally->countdown))) {
		tract__free_last(span, index);
		return;
	}
	deferred_set(&heap->deferred, p, tally, at, bit);
}

static inline void fast_free(void *p)
{
	struct heap *heap = tract__thread_heap;
	uintptr_t offset = (uintptr_t)p - heap->region_base;
	struct span *span;

	if (unlikely(offset >= heap->region_length)) {
		tract__free_by_pagemap(p);
		return;
	}
	/* Beyond a run's first unit the headers have no owner. */
	span = heap->region_spans + offset / UNIT_SIZE;
	if (unlikely(!heap_owns(heap, span))) {
		tract__free_not_own(p, span);
		return;
	}
	fast_free_own(heap, span, p);
}

#endif
