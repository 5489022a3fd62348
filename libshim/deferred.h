/* SPDX-License-Identifier: MIT */
/*
 * The free that a thread made last, of a block of its own, is carried out by its
 * next one.
 *
 * Where a free stores follows from the header of the block's span, which takes some
 * twenty cycles.  Until a processor knows that, it holds back what the program loads
 * next, and so each of those cycles was one of the program's.  Of the free before
 * the last it has been known for long.
 *
 * The checks are made at once; what waits is the bit and the count.  A thread carries
 * out what it has deferred before it looks at bits; others that look at bits look for
 * the block here.  Only another one's free does not: this line goes to and fro enough.
 * If that frees the same block its remote bit says so: when the free is carried out, when
 * the span seems empty, at the end of the program.  Till then the block stays out.
 *
 * The free that ends a countdown is not deferred, and each slow path begins with carrying
 * out; so spans change their state and go without delay.  What a sleeping thread can hold
 * by it is one span, all else of which others have freed.
 *
 * A malloc() of more than 1 KiB calls it off if the block is of its class, and takes
 * the block; it looks for a remote bit as well.
 */
#ifndef TRACT_DEFERRED_H
#define TRACT_DEFERRED_H

#include "report.h"
#include "span.h"

/* Written by the thread alone. */
struct deferred {
	/* The others look at this: it is freed as long as it stands here. */
	void *block; /* NULL: nothing is deferred */
	struct tally *tally;
	struct block_bits *at; /* the word */
	uint64_t bit;
};

static inline void deferred_set(struct deferred *deferred, void *block,
				struct tally *tally, struct block_bits *at,
				uint64_t bit)
{
	write_once(&deferred->block, block);
	deferred->tally = tally;
	deferred->at = at;
	deferred->bit = bit;
}

/*
 * Frees a block, of which nothing else is to be checked.  Release: who sees the count
 * (and may retire the span for it) sees the bit as well.  The span may be somebody
 * else's after this.  True: its countdown has ended.
 */
static inline bool free_block(struct tally *tally, struct block_bits *at,
			      uint64_t bit)
{
	set_bits(&at->free, bit);
	return count_down(&tally->countdown);
}

/* False: another thread has freed the block as well. */
static inline bool deferred_carry_out(const struct deferred *deferred)
{
	struct block_bits *at = deferred->at;
	uint64_t bit = deferred->bit;

	if (caught(any_set(&at->remote, bit)))
		return false;
	/* The countdown does not end: see fast_free_own(). */
	free_block(deferred->tally, at, bit);
	return true;
}

#endif
