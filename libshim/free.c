// SPDX-License-Identifier: MIT
/*
 * Freed by another thread (free_remote): set the remote bit, add to
 * remote_freed, tag the owner word so that the owner's own frees of this span
 * leave the fast path, and look whether the span is empty, or, if it was full,
 * has room again.
 *
 * Is a span empty?  If it is not current and the blocks its owner has out equal
 * remote_freed.  Both sides look after they have written:
 *
 *   owner, span touched:  free bit, countdown; fence; read remote_freed
 *   other:                remote_freed (a full barrier); read countdown
 *
 * so the later of the two sees both.  The owner's fast path has no fence: it
 * runs only while the span is untouched, and a first remote free that crosses
 * it within the depth of the store buffer may leave both sides thinking the
 * span has a block.  It stays usable by its heap, and is found empty when the
 * heap is collected or its thread ends.
 */
#include "free.h"

#include "report.h"
#include "span_state.h"
#include "tick.h"

/* The heap a span is attached to, locked; NULL if it is attached to none. */
static struct heap *lock_owner(const struct span *span)
{
	for (;;) {
		struct heap *heap = span_owner(span);

		if (!heap)
			return NULL;
		lock_acquire(&heap->lock);
		if (heap == span_owner(span))
			return heap;
		lock_release(&heap->lock);
	}
}

/* Retires a span that looked empty, if it is. */
static void retire_if_empty(struct span *span)
{
	struct heap *heap = lock_owner(span);

	if (!heap)
		return;
	if (span->state != SPAN_CURRENT && span_looks_empty(span))
		tract__span_retire(span);
	lock_release(&heap->lock);
	tract__tick();
}

/* Has a full span got enough free blocks to allocate from again? */
static bool has_room(const struct span *span)
{
	return read_once(&span->state) == SPAN_FULL &&
	       read_once(&span->remote_freed) >= read_once(&span->countdown);
}

/* Has the span's owner collect it at its next refill. */
static void make_ready(struct span *span)
{
	struct heap *heap = lock_owner(span);

	if (!heap)
		return;
	if (has_room(span) && list_empty(&span->ready))
		list_append(&heap->ready, &span->ready);
	lock_release(&heap->lock);
}

static void free_remote(struct span *span, void *p, uint64_t index)
{
	uint64_t bit = 1ull << index % 64;
	uint64_t *remote = &span->remote_bits[index / 64];

	if (unlikely(span_bit_is_set(span->free_bits, index) ||
		     __atomic_fetch_or(remote, bit, __ATOMIC_SEQ_CST) & bit))
		tract__report_corruption("double free", p);
	__atomic_fetch_add(&span->remote_freed, 1, __ATOMIC_SEQ_CST);
	/*
	 * From here on the span may be retired and used anew by others at any
	 * time.  Its header stays readable; a tag too many does no harm; and
	 * the rest is decided again under its owner's lock.
	 */
	if (!span_is_touched(span))
		__atomic_fetch_or(&span->owner, OWNER_TOUCHED,
				  __ATOMIC_SEQ_CST);
	if (span_looks_empty(span))
		retire_if_empty(span);
	else if (has_room(span) && list_seems_empty(&span->ready))
		make_ready(span);
}

/*
 * The tag was for us to come by, unless a remote free is just being counted: it
 * has set its bit, and finds the tag missing, or we find its count.  A slow
 * thread comes by at each free from now on.
 */
static void untag_current(struct span *span)
{
	__atomic_fetch_and(&span->owner, ~OWNER_TOUCHED, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&span->remote_freed, __ATOMIC_SEQ_CST))
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
		     span_bit_is_set(span->remote_bits, index)))
		tract__report_corruption("double free", p);
	write_once(at, word);
	if (span->state == SPAN_CURRENT && !read_once(&span->remote_freed))
		untag_current(span);
	zero = count_down(&span->countdown);
	/* Pairs with the adding to remote_freed in free_remote(). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (zero || span_looks_empty(span) || has_room(span))
		tract__free_event(span);
	else if (span->state == SPAN_CURRENT)
		tract__tick_pace(tract__thread_heap);
}

void tract__free_small_slow(struct span *span, void *p)
{
	uint64_t index = span_index(span, p);

	if (unlikely(index >= span->block_count))
		tract__report_corruption("invalid free", p);
	if (span_owner(span) == tract__thread_heap)
		free_touched(span, p, index);
	else
		free_remote(span, p, index);
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
	       !span_bit_is_set(span->remote_bits, index);
}
