/* SPDX-License-Identifier: MIT */
/*
 * Where a small span stands: what is out, to whom it belongs, in which list of
 * its heap it is.  All under the lock of the heap that it is attached to, unless
 * said otherwise.
 */
#ifndef TRACT_SPAN_STATE_H
#define TRACT_SPAN_STATE_H

#include "heap.h"

static inline bool span_is_touched(const struct span *span)
{
	return __atomic_load_n(&span->owner, __ATOMIC_SEQ_CST) & OWNER_TOUCHED;
}

static inline void span_touch(struct span *span)
{
	if (!span_is_touched(span))
		__atomic_fetch_or(&span->owner, OWNER_TOUCHED,
				  __ATOMIC_SEQ_CST);
}

/*
 * Could frees by the owner alone empty the span before its countdown ends?  It has
 * countdown + used_base out, of which others have freed remote_freed; if none, it
 * empties the span at the end of a countdown.
 */
static inline bool span_may_empty_unseen(const struct span *span)
{
	const struct tally *tally = span_tally(span);
	uint32_t freed = read_once(&tally->remote_freed);

	return freed && freed >= read_once(&tally->used_base);
}

/* No lock: may turn out otherwise with it. */
static inline bool span_looks_empty(const struct span *span)
{
	const struct tally *tally = span_tally(span);

	return tally_used(tally) ==
	       __atomic_load_n(&tally->remote_freed, __ATOMIC_SEQ_CST);
}

/* Blocks that nobody has freed, as far as can be seen without a fence. */
static inline uint32_t span_out(const struct span *span)
{
	const struct tally *tally = span_tally(span);

	return tally_used(tally) - read_once(&tally->remote_freed);
}

/* Has a full span got enough free blocks to allocate from again? */
static inline bool span_has_room(const struct span *span)
{
	const struct tally *tally = span_tally(span);

	return read_once(&span->state) == SPAN_FULL &&
	       read_once(&tally->remote_freed) >= read_once(&tally->countdown);
}

/*
 * Takes in what others have freed, if anything, and says how many blocks.  The
 * count of what is out is the caller's to correct.  Writes free bits: only by
 * the owning thread, or by anybody for a span of the orphans.
 */
uint32_t tract__span_collect(struct span *span);

/*
 * The same for a span that stays current, and tagged, if it is: others' frees do not tag
 * it, but who wants its owner to come by at its next free.
 */
uint32_t tract__span_collect_current(struct span *span);

/*
 * Collects a span that is not current and brings it to where it belongs now: to
 * a list of @heap, or, empty, to the arena, which is said by true.
 */
bool tract__span_settle(struct heap *heap, struct span *span);

/* The same for each span of a list of @heap, linked by node or by ready. */
void tract__span_settle_nodes(struct heap *heap, struct list *list);
void tract__span_settle_ready(struct heap *heap);

/* Allocation goes on from here; with its next free into it the owner comes by. */
void tract__span_make_current(struct span *span);

void tract__span_set_owner(struct span *span, struct heap *heap);

/* The span is empty, no bin's current one, and goes to the arena. */
void tract__span_retire(struct span *span);

#endif
