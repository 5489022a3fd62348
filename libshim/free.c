// SPDX-License-Identifier: MIT
#include "free.h"

#include "remote.h"
#include "report.h"
#include "span_state.h"
#include "tick.h"

/*
 * The tag was for us to come by, unless a remote free is just being counted: it
 * has set its bit, and finds the tag missing, or we find its count.  A slow
 * thread comes by at each free from now on.
 */
static void untag_current(struct span *span)
{
	__atomic_fetch_and(&span->owner, ~OWNER_TOUCHED, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&span->remote_freed, __ATOMIC_SEQ_CST) ||
	    __atomic_load_n(&span->gatherer, __ATOMIC_SEQ_CST))
		__atomic_fetch_or(&span->owner, OWNER_TOUCHED,
				  __ATOMIC_SEQ_CST);
	write_once(&span->countdown, 1);
}

/* By the owner, of a span with remote frees. */
static void free_touched(struct span *span, void *p, uint64_t index)
{
	uint64_t *at = &span->free_bits[index / 64];
	uint64_t word = read_once(at);
	bool zero;

	if (unlikely(bit_test_and_set(&word, index) ||
		     span_bit_is_set(span->remote_bits, index) ||
		     tract__remote_is_gathered(span, index)))
		tract__report_corruption("double free", p);
	write_once(at, word);
	if (span->state == SPAN_CURRENT && !read_once(&span->remote_freed))
		untag_current(span);
	zero = count_down(&span->countdown);
	/*
	 * Pairs with the adding to remote_freed in add_freed(), remote.c.  What
	 * has not arrived here yet can only matter near the end.
	 */
	if (span_out(span) <= REMOTE_CROSSING)
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (zero || span_looks_empty(span) || span_has_room(span))
		tract__free_event(span);
}

void tract__free_small_slow(struct span *span, void *p)
{
	uint64_t index = span_index(span, p);

	if (unlikely(index >= span->block_count))
		tract__report_corruption("invalid free", p);
	if (span_owner(span) == tract__thread_heap)
		free_touched(span, p, index);
	else
		tract__remote_free(span, index);
}

void tract__free_event(struct span *span)
{
	struct heap *heap = tract__thread_heap;
	bool retired = false;

	/* Only we make a span current, or end that. */
	if (read_once(&span->state) == SPAN_CURRENT &&
	    span_owner(span) == heap) {
		write_once(&span->countdown, tract__tick_pace(heap));
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

	return index < span->block_count &&
	       !span_bit_is_set(span->free_bits, index) &&
	       !span_bit_is_set(span->remote_bits, index) &&
	       !tract__remote_is_gathered(span, index);
}
