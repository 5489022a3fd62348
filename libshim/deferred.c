// SPDX-License-Identifier: MIT
#include "deferred.h"

#include "fast.h"
#include "pagemap.h"
#include "report.h"

/* Is @p a block of @heap, of which others know nothing?  Of several moments. */
static bool is_owned(const struct heap *heap, const struct span *span,
		     const void *p)
{
	return span->kind == SPAN_SMALL && span_owner(span) == heap &&
	       span_index(span, p) < span->block_count;
}

static bool is_freed_remotely(const struct span *span, uint64_t index)
{
	return bit_is_set(__atomic_load_n(&span_bits(span, index)->remote,
					  __ATOMIC_ACQUIRE),
			  index);
}

static void forget(struct heap *heap)
{
	__atomic_store_n(&heap->deferred, NULL, __ATOMIC_RELEASE);
}

static void carry_out(struct heap *heap)
{
	const void *p = heap->deferred;
	struct span *span;
	uint64_t index;

	if (!p)
		return;
	span = pagemap_find(p);
	index = span_index(span, p);
	if (caught(is_freed_remotely(span, index)))
		tract__report_corruption("double free", p);
	/* No countdown ends with it.  The span may be somebody else's after this. */
	span_free_block(span, index);
	forget(heap);
}

void tract__deferred_carry_out(struct heap *heap)
{
	pending_carry_out(&heap->pending);
	carry_out(heap);
}

void tract__deferred_free(struct heap *heap, struct span *span, void *p)
{
	uint64_t index = span_index(span, p);

	carry_out(heap);
	if (caught(index >= span->block_count)) {
		tract__free_misfit(span, p);
		return;
	}
	if (caught(span_is_freed(span, index)))
		tract__report_corruption("double free", p);
	if (likely(read_once(&span_tally(span)->countdown) != 1))
		write_once(&heap->deferred, p);
	else if (span_free_block(span, index))
		tract__free_event(span);
}

void *tract__deferred_take(struct heap *heap, unsigned int class)
{
	void *p = heap->deferred;
	struct span *span;

	if (!p)
		return NULL;
	span = pagemap_find(p);
	if (span->class != class)
		return NULL;
	if (caught(is_freed_remotely(span, span_index(span, p))))
		tract__report_corruption("double free", p);
	forget(heap);
	return p;
}

/* @p: what the thread of @heap, which may be running, had freed last. */
static bool seems_freed_twice(const struct heap *heap, const void *p)
{
	const struct span *span;

	if (!p)
		return false;
	span = pagemap_find(p);
	return is_owned(heap, span, p) &&
	       is_freed_remotely(span, span_index(span, p)) &&
	       (heap_has_deferred(heap, p) ||
		pending_block(&heap->pending) == p);
}

/* What is read may be of several moments. */
static const void *find_freed_twice(const struct heap *heap)
{
	const void *p = __atomic_load_n(&heap->deferred, __ATOMIC_ACQUIRE);

	if (unlikely(seems_freed_twice(heap, p)))
		return p;
	p = pending_block(&heap->pending);
	return seems_freed_twice(heap, p) ? p : NULL;
}

/* So many looks in a row do not meet a running thread at the same turn. */
#define LOOKS 3

void tract__deferred_check(struct heap *heap, void *arg)
{
	const void *p = NULL;

	(void)arg;
	for (int i = 0; i < LOOKS; i++) {
		p = find_freed_twice(heap);
		if (likely(!p))
			return;
	}
	tract__report_corruption("double free", p);
}

/* Its span may have gone as soon as it was carried out, and be another heap's. */
static bool is_torn(const struct heap *heap, const void *p)
{
	const struct span *span = pagemap_find(p);

	return !is_owned(heap, span, p) ||
	       bit_is_set(span_bits(span, span_index(span, p))->free,
			  span_index(span, p));
}

void tract__deferred_forget_torn(struct heap *heap)
{
	if (is_torn(heap, heap->deferred))
		forget(heap);
	if (is_torn(heap, pending_block(&heap->pending)))
		pending_forget(&heap->pending);
}

/* To look takes a line from the owner that each of its frees writes. */
const void *tract__deferred_in(const struct span *span)
{
	uintptr_t owner = __atomic_load_n(&span->owner, __ATOMIC_ACQUIRE);
	const struct heap *heap = span_owner(span);
	const void *p;

	if (!heap)
		return NULL;
	p = owner & OWNER_DEFERS ?
		    __atomic_load_n(&heap->deferred, __ATOMIC_ACQUIRE) :
		    pending_block(&heap->pending);
	return (uintptr_t)p - (uintptr_t)span->base < span->units * UNIT_SIZE ?
		       p :
		       NULL;
}
