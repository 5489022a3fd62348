// SPDX-License-Identifier: MIT
#include "free.h"

#include "deferred.h"
#include "fast.h"
#include "hardened.h"
#include "malloc.h"
#include "options.h"
#include "pagemap.h"
#include "remote.h"
#include "report.h"
#include "span_state.h"
#include "tick.h"

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

	tract__deferred_carry_out(tract__thread_heap);
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
	tract__remote_warn(span);
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

void tract__free_event(struct span *span)
{
	struct heap *heap = tract__thread_heap;
	bool retired = false;

	/* Only we make a span current, or end that. */
	if (read_once(&span->state) == SPAN_CURRENT &&
	    span_owner(span) == heap) {
		write_once(&span->tally->countdown, tract__tick_come_by(heap));
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

void tract__pending_event(const void *block)
{
	tract__free_event(pagemap_find(block));
}

void tract__free_after_event(struct span *span, void *p)
{
	struct pending *pending = &tract__thread_heap->pending;
	const void *block = pending->block;

	pending_forget(pending);
	/* To count when nothing is pending comes to an end, too. */
	if (block)
		tract__pending_event(block);
	tract__free_now(span, p);
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
