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
 * that region; else there is the map.  The caller's own of which frees are deferred
 * among them.
 */
void tract__free_not_own(void *p, struct span *span, struct heap *heap);

/*
 * None says that it does not return: a call that does not return needs a
 * stack frame in its caller, a tail call does not.
 */
__attribute__((__noipa__, __cold__)) void tract__free_misfit(struct span *span,
							     void *p);
__attribute__((__noipa__, __cold__)) void
tract__free_refused(const struct span *span, const void *p);

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
	return ready_take(ready, bits);
}

/*
 * The countdown of the span in which the caller freed last has ended.  Sees to that, and
 * then frees @p of @span.
 */
__attribute__((__noipa__, __cold__)) void
tract__free_after_event(struct span *span, void *p);

/*
 * Of a span of the caller's, which nobody has tagged; of one unit, since its blocks are
 * ready ones.  The bit is set by the next such free: see pending.h.
 *
 * One way for all of them, whether the thread allocates from them just now or not: where
 * both are mixed, a branch between them is often mispredicted.
 */
static inline void fast_free_own(struct heap *heap, struct span *span, void *p)
{
	struct tally *tally = span_tally(span);
	struct block_bits *at;
	uint64_t bit;
	uint32_t index;

	if (caught(!unit_index(span, (uintptr_t)p % UNIT_SIZE, &index))) {
		tract__free_misfit(span, p);
		return;
	}
	/* Before the check: it may be the same block. */
	if (unlikely(pending_make(&heap->pending))) {
		tract__free_after_event(span, p);
		return;
	}
	at = tally_bits(tally, index);
	bit = bit_set(0, index);
	if (caught((read_once(&at->free) | read_once(&at->remote)) & bit)) {
		tract__free_refused(span, p);
		return;
	}
	pending_put(&heap->pending, &at->free, bit, &tally->countdown, p);
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
	span = heap_span(heap, offset);
	if (unlikely(!heap_owns(heap, span))) {
		tract__free_not_own(p, span, heap);
		return;
	}
	fast_free_own(heap, span, p);
}

#endif
