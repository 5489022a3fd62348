// SPDX-License-Identifier: MIT
#include "free.h"

#include "fast.h"
#include "hardened.h"
#include "options.h"
#include "pagemap.h"
#include "remote.h"
#include "report.h"
#include "span_state.h"
#include "tick.h"

void tract__free_deferred(struct heap *heap)
{
	if (caught(!deferred_carry_out(&heap->deferred)))
		tract__free_deferred_twice(heap);
	heap_defer_nothing(heap);
}

/* The thread may be running, and what is read be of several moments. */
static bool seems_freed_twice(const struct heap *heap)
{
	const void *block =
		__atomic_load_n(&heap->deferred.block, __ATOMIC_ACQUIRE);
	const struct span *span;
	uint64_t index;

	if (!block)
		return false;
	span = pagemap_find(block);
	index = span_index(span, block);
	return span->kind == SPAN_SMALL && span_owner(span) == heap &&
	       index < span->block_count &&
	       bit_is_set(__atomic_load_n(&span_bits(span, index)->remote,
					  __ATOMIC_ACQUIRE),
			  index) &&
	       heap_has_deferred(heap, block);
}

/* So many looks in a row do not meet a running thread at the same turn. */
#define LOOKS 3

void tract__free_check_deferred(struct heap *heap, void *arg)
{
	(void)arg;
	for (int i = 0; i < LOOKS; i++)
		if (likely(!seems_freed_twice(heap)))
			return;
	tract__free_deferred_twice(heap);
}

void tract__free_last(struct span *span, uint64_t index)
{
	heap_defer_nothing(tract__thread_heap);
	if (free_block(span->tally, span_bits(span, index), 1ull << index % 64))
		tract__free_event(span);
}

/*
 * What others have freed is taken in, so that the next frees of the span are
 * fast again.  True: the span is due for a look.
 */
static bool absorb(struct span *span)
{
	uint32_t collected = tract__span_collect(span);
	uint32_t *countdown = &span->tally->countdown;
	uint32_t left = read_once(countdown);

	/* The tag is to have the thread look at the clock. */
	if (span->state == SPAN_CURRENT) {
		write_once(countdown, 1);
		return count_down(countdown);
	}
	if (left <= collected + 1)
		return true;
	__atomic_store_n(countdown, left - collected - 1, __ATOMIC_RELEASE);
	return false;
}

void tract__free_touched(struct span *span, void *p)
{
	uint64_t index = span_index(span, p);
	uint64_t *word;
	bool due;

	tract__free_deferred(tract__thread_heap);
	if (caught(index >= span->block_count))
		tract__report_corruption("invalid free", p);
	if (caught(span_is_freed(span, index) ||
		   tract__remote_is_gathered(span, index)))
		tract__report_corruption("double free", p);
	/* Gathered before the span was adopted.  The block keeps it from going. */
	if (read_once(&span->gatherer) == tract__thread_heap)
		tract__remote_tell(tract__thread_heap, span->class);
	word = &span_bits(span, index)->free;
	write_once(word, bit_set(read_once(word), index));
	if (read_once(&span->gatherer))
		due = count_down(&span->tally->countdown);
	else
		due = absorb(span);
	/*
	 * Pairs with the adding to remote_freed in add_freed(), remote.c.  What
	 * has not arrived here yet can only matter near the end.
	 */
	if (span_out(span) <= REMOTE_CROSSING)
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (due || span_looks_empty(span) || span_has_room(span))
		tract__free_event(span);
}

void tract__free_small_slow(struct span *span, void *p)
{
	if (span_owner(span) == tract__thread_heap)
		tract__free_touched(span, p);
	else
		tract__remote_free(span, p);
}

static noinline void settle_ready(struct heap *heap)
{
	lock_acquire(&heap->lock);
	tract__span_settle_ready(heap);
	lock_release(&heap->lock);
}

void tract__free_event(struct span *span)
{
	struct heap *heap = tract__thread_heap;
	bool retired = false;

	/* Only we make a span current, or end that. */
	if (read_once(&span->state) == SPAN_CURRENT &&
	    span_owner(span) == heap) {
		/* Or their owners would have no fast frees, for a few of ours. */
		tract__remote_flush(heap);
		if (unlikely(!list_seems_empty(&heap->ready)))
			settle_ready(heap);
		write_once(&span->tally->countdown, tract__tick_pace(heap));
		return;
	}
	lock_acquire(&heap->lock);
	/* Another thread may have found it empty first. */
	if (span_owner(span) == heap)
		retired = tract__span_settle(heap, span);
	lock_release(&heap->lock);
	if (retired)
		tract__tick();
}

bool tract__free_would_be_valid(const struct span *span, const void *p)
{
	uint64_t index = span_index(span, p);
	const struct heap *owner = span_owner(span);

	return index < span->block_count && !span_is_freed(span, index) &&
	       !(owner && heap_has_deferred(owner, p)) &&
	       !tract__remote_is_gathered(span, index) &&
	       !(tract__options.hardened && tract__hardened_holds(span, index));
}
