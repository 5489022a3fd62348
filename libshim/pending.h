/* SPDX-License-Identifier: MIT */
/*
 * Of blocks of up to 1 KiB the bit of the one that a thread freed last, into a span of its
 * own, is set by its next such free, which counts it as well.
 *
 * Where a free stores follows from the header of the block's span, which takes some
 * twenty cycles.  Until a processor knows that, it may hold back what the program loads
 * next, and each of those cycles is one of the program's.  Of the free before it has
 * been known for long.
 *
 * The checks are made at once; what waits is the bit and the count.  Till then the block
 * counts as out, so its span stays.  A thread carries out what is pending before it looks
 * at bits or settles a span.  Others that look at bits look for the block here: not to
 * answer about one block, nor to free one, for which this line is too dear: it goes to
 * and fro enough.  If another thread frees the same block there will be both bits: the
 * owner finds them before it hands the block out, and who takes the span to empty finds
 * them, or the block here.
 */
#ifndef TRACT_PENDING_H
#define TRACT_PENDING_H

#include "bitops.h"
#include "common.h"

/* Written by the thread alone.  Nothing is pending: bit is 0, and the pointers are to no_*. */
struct pending {
	uint64_t *word;	     /* of the span's free bits */
	uint64_t bit;	     /* in it */
	uint32_t *countdown; /* of the span's tally */
	const void *block;
	uint64_t no_word;
	uint32_t no_countdown;
};

static inline void pending_forget(struct pending *pending)
{
	__atomic_store_n(&pending->bit, 0, __ATOMIC_RELEASE);
	write_once(&pending->word, &pending->no_word);
	write_once(&pending->countdown, &pending->no_countdown);
	write_once(&pending->block, NULL);
}

/*
 * Sets the bit, and counts.  The span may be somebody else's after this.  True: its
 * countdown has ended.
 */
static inline bool pending_make(struct pending *pending)
{
	set_bits(pending->word, pending->bit);
	return count_down(pending->countdown);
}

/*
 * After pending_make(): another takes its place.  Who sees that the bit is another one,
 * or none, sees the count as well: pairs with settle_remotely() in remote.c.
 *
 * A fork comes between any two stores, and the child carries out what it finds of other
 * threads': never the bit of one word in another.
 */
static inline void pending_put(struct pending *pending, uint64_t *word,
			       uint64_t bit, uint32_t *countdown,
			       const void *block)
{
	__atomic_store_n(&pending->bit, 0, __ATOMIC_RELEASE);
	write_once(&pending->word, word);
	write_once(&pending->countdown, countdown);
	write_once(&pending->block, block);
	__atomic_store_n(&pending->bit, bit, __ATOMIC_RELEASE);
}

/*
 * The countdown of the span in which @block was freed has ended.  No lock held.  What is
 * not the calling thread's is left alone: its heap is being given up.
 */
void tract__pending_event(const void *block);

/* Makes the free that is pending, if any.  No lock held. */
static inline void pending_carry_out(struct pending *pending)
{
	const void *block = pending->block;
	bool due;

	/* The heap of those that have none is not written to. */
	if (pending->word == &pending->no_word)
		return;
	due = pending->bit && pending_make(pending);
	pending_forget(pending);
	if (unlikely(due))
		tract__pending_event(block);
}

/* The block whose free is pending, or NULL.  While that thread runs it may be another one. */
static inline const void *pending_block(const struct pending *pending)
{
	return __atomic_load_n(&pending->bit, __ATOMIC_ACQUIRE) ?
		       read_once(&pending->block) :
		       NULL;
}

#endif
